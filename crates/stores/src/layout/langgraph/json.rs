//! JSON as Python's `json.loads` reads it: exact integers, NaN and Infinity, keys twice.
//!
//! Text with lone surrogates (`"\ud800"`) has no UTF-8: it becomes `Body::Bytes` holding its WTF-8,
//! which nothing else in JSON becomes.

use restow_model::{Body, Float, Integer, Malformed, Map};

use super::items::body_order;
use super::order::OrderLog;

/// How deep lists and objects may be nested.
pub const DEPTH_MAX: usize = super::items::DEPTH_MAX;

/// The order in which Python's LangGraph writes the first entries of a checkpoint's metadata.
pub const METADATA_FIRST: [&str; 3] = ["source", "step", "parents"];

/// Reads one JSON text; `log` takes the order of its objects.
pub fn read(bytes: &[u8], log: &mut OrderLog) -> Result<Body, Malformed> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|e| Malformed::new("JSON not UTF-8", e.valid_up_to()))?;
    let mut reader = Reader { text, at: 0, log };
    let body = reader.item(0)?;
    reader.space();
    match reader.at == text.len() {
        true => Ok(body),
        false => Err(Malformed::new("text behind the end of JSON", reader.at)),
    }
}

/// Compares two keys of the outermost object: LangGraph's own first, then as [`Map`] orders them.
pub fn outer_order(a: &Body, b: &Body) -> std::cmp::Ordering {
    let rank = |key: &Body| {
        let place = METADATA_FIRST.iter().position(|first| key.as_text() == Some(first));
        place.unwrap_or(METADATA_FIRST.len())
    };
    rank(a).cmp(&rank(b)).then_with(|| body_order(a, b))
}

struct Reader<'t, 'l> {
    text: &'t str,
    at: usize,
    log: &'l mut OrderLog,
}

impl Reader<'_, '_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn wrong<T>(&self, what: &'static str) -> Result<T, Malformed> {
        Err(Malformed::new(what, self.at))
    }

    fn eat(&mut self, word: &str) -> bool {
        let found = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        if found {
            self.at += word.len();
        }
        found
    }

    fn item(&mut self, depth: usize) -> Result<Body, Malformed> {
        if depth > DEPTH_MAX {
            return self.wrong("JSON nested too deep");
        }
        self.space();
        let float = |f| Ok(Body::Float(Float::new(f)));
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') if !self.text[self.at..].starts_with("-I") => self.number(),
            _ if self.eat("null") => Ok(Body::Null),
            _ if self.eat("true") => Ok(Body::Bool(true)),
            _ if self.eat("false") => Ok(Body::Bool(false)),
            _ if self.eat("NaN") => float(f64::NAN),
            _ if self.eat("Infinity") => float(f64::INFINITY),
            _ if self.eat("-Infinity") => float(f64::NEG_INFINITY),
            _ => self.wrong("not JSON"),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Body, Malformed> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.eat("]") {
            return Ok(Body::List(items));
        }
        loop {
            items.push(self.item(depth + 1)?);
            self.space();
            if self.eat("]") {
                return Ok(Body::List(items));
            }
            if !self.eat(",") {
                return self.wrong("JSON list without comma");
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Body, Malformed> {
        self.at += 1;
        let slot = self.log.open();
        let mut pairs = Vec::new();
        self.space();
        let mut is_open = !self.eat("}");
        while is_open {
            self.space();
            if self.peek() != Some(b'"') {
                return self.wrong("JSON object without key");
            }
            let key = self.string()?;
            self.space();
            if !self.eat(":") {
                return self.wrong("JSON object without colon");
            }
            pairs.push((key, self.item(depth + 1)?));
            self.space();
            is_open = self.eat(",");
            if !is_open && !self.eat("}") {
                return self.wrong("JSON object without comma");
            }
        }
        let order = if depth == 0 { outer_order } else { body_order };
        self.log.close(slot, pairs.len(), |a, b| order(&pairs[a].0, &pairs[b].0));
        Ok(Body::Map(Map::from_pairs(pairs)))
    }

    fn number(&mut self) -> Result<Body, Malformed> {
        let start = self.at;
        let digits = |reader: &mut Self| {
            let from = reader.at;
            while matches!(reader.peek(), Some(b'0'..=b'9')) {
                reader.at += 1;
            }
            reader.at - from
        };
        self.eat("-");
        let first = self.peek();
        let whole = digits(self);
        if whole == 0 || (whole > 1 && first == Some(b'0')) {
            return self.wrong("not a JSON number");
        }
        let mut is_float = false;
        if self.eat(".") {
            is_float = true;
            if digits(self) == 0 {
                return self.wrong("not a JSON number");
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            is_float = true;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if digits(self) == 0 {
                return self.wrong("not a JSON number");
            }
        }
        let text = &self.text[start..self.at];
        let text = if text == "-0" { "0" } else { text };
        match (is_float, Integer::parse(text), text.parse()) {
            (false, Some(n), _) => Ok(Body::Int(n)),
            (true, _, Ok(f)) => Ok(Body::Float(Float::new(f))),
            _ => self.wrong("not a JSON number"),
        }
    }

    fn string(&mut self) -> Result<Body, Malformed> {
        self.at += 1;
        // WTF-8: UTF-8 that may hold lone surrogates.
        let mut out = Vec::new();
        let mut is_text = true;
        loop {
            let run = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..=0x1f)) {
                self.at += 1;
            }
            out.extend_from_slice(&self.text.as_bytes()[run..self.at]);
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => is_text &= self.escape(&mut out)?,
                _ => return self.wrong("JSON text without end"),
            }
        }
        self.at += 1;
        if !is_text {
            return Ok(Body::Bytes(out.into()));
        }
        match String::from_utf8(out) {
            Ok(text) => Ok(Body::text(text)),
            Err(_) => self.wrong("JSON not UTF-8"),
        }
    }

    /// Reads an escape; says whether it is a character, and not half of one.
    fn escape(&mut self, out: &mut Vec<u8>) -> Result<bool, Malformed> {
        self.at += 1;
        let plain = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.code(out),
            _ => return self.wrong("not a JSON escape"),
        };
        self.at += 1;
        out.push(plain);
        Ok(true)
    }

    fn code(&mut self, out: &mut Vec<u8>) -> Result<bool, Malformed> {
        self.at += 1;
        let high = self.hex()?;
        let mut code = high;
        let behind = self.at;
        if (0xd800..0xdc00).contains(&high) && self.eat("\\u") {
            match self.hex()? {
                low @ 0xdc00..=0xdfff => code = 0x1_0000 + ((high - 0xd800) << 10) + low - 0xdc00,
                // Half a character, and another escape behind it.
                _ => self.at = behind,
            }
        }
        match char::from_u32(code) {
            Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            None => {
                let low = |shift: u32| 0x80 | (code >> shift & 0x3f) as u8;
                out.extend([0xe0 | (code >> 12) as u8, low(6), low(0)]);
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn hex(&mut self) -> Result<u32, Malformed> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let digits = digits.filter(|d| d.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|d| std::str::from_utf8(d).ok());
        match digits.and_then(|d| u32::from_str_radix(d, 16).ok()) {
            Some(code) => {
                self.at += 4;
                Ok(code)
            }
            None => self.wrong("not a JSON escape"),
        }
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
