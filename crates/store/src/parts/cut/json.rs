//! Cutting JSON text: arrays at their elements, objects at their members.
//!
//! Only brackets, strings and commas are looked at; text that does not close what it opens is cut
//! by size.

use std::ops::Range;

use restow_model::Malformed;

use super::{Cutter, Kind};

pub(super) fn cut(cutter: &mut Cutter<'_>) -> Result<(), Malformed> {
    let start = blank(cutter.bytes, 0);
    let end = skip(cutter.bytes, start)?;
    if blank(cutter.bytes, end) != cutter.bytes.len() {
        return Err(Malformed::new("text behind the end of JSON", end));
    }
    item(cutter, start..end, 0)
}

fn item(cutter: &mut Cutter<'_>, span: Range<usize>, depth: usize) -> Result<(), Malformed> {
    let kind = match cutter.bytes.get(span.start) {
        Some(b'[') => Kind::List,
        Some(b'{') => Kind::Map,
        _ => Kind::Leaf,
    };
    if !Cutter::opens(kind, span.len(), depth) {
        cutter.element(span);
        return Ok(());
    }
    let bytes = cutter.bytes;
    let mut at = blank(bytes, span.start + 1);
    while at + 1 < span.end {
        let end = skip(&bytes[..span.end], at)?;
        item(cutter, at..end, depth + 1)?;
        at = blank(bytes, end);
        // Between elements, and between a name and its element.
        if matches!(bytes.get(at), Some(b',' | b':')) {
            at = blank(bytes, at + 1);
        }
        if at <= end && at + 1 < span.end {
            return Err(Malformed::new("JSON without a comma", at));
        }
    }
    Ok(())
}

/// Returns the offset behind the value at `at`.
fn skip(bytes: &[u8], at: usize) -> Result<usize, Malformed> {
    let short = Malformed::new("JSON cut short", at);
    match bytes.get(at).ok_or(short.clone())? {
        b'"' => string(bytes, at),
        b'[' | b'{' => {
            let mut depth = 0usize;
            let mut here = at;
            loop {
                match bytes.get(here).ok_or(short.clone())? {
                    b'"' => {
                        here = string(bytes, here)?;
                        continue;
                    }
                    b'[' | b'{' => depth += 1,
                    b']' | b'}' => depth -= 1,
                    _ => {}
                }
                here += 1;
                if depth == 0 {
                    return Ok(here);
                }
            }
        }
        b',' | b':' | b']' | b'}' => Err(Malformed::new("JSON without a value", at)),
        _ => {
            let ends = |b: &u8| {
                matches!(b, b',' | b':' | b']' | b'}' | b'[' | b'{' | b'"')
                    || b.is_ascii_whitespace()
            };
            Ok(bytes[at..].iter().position(ends).map_or(bytes.len(), |n| at + n))
        }
    }
}

fn string(bytes: &[u8], start: usize) -> Result<usize, Malformed> {
    let mut at = start + 1;
    loop {
        match bytes.get(at).ok_or(Malformed::new("JSON text cut short", start))? {
            b'"' => return Ok(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn blank(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|b| b.is_ascii_whitespace()).count()
}

#[cfg(test)]
mod tests {
    use super::super::cut;
    use restow_model::Form;

    fn pieces(text: &str) -> Vec<&str> {
        cut(Form::Json, text.as_bytes()).into_iter().map(|p| &text[p]).collect()
    }

    #[test]
    fn an_array_in_an_object_is_cut_at_its_elements() {
        let element =
            |n: usize| format!("{{\"n\": {n}, \"text\": \"a,]\\\"{}\"}}", "x".repeat(200));
        let elements: Vec<_> = (0..9).map(element).collect();
        let text = format!("{{\"v\": 1, \"messages\": [{}]}}", elements.join(", "));
        let cut = pieces(&text);
        for element in &elements {
            assert!(cut.contains(&element.as_str()), "{element} in {cut:?}");
        }
        assert_eq!(cut.concat(), text);
    }

    #[test]
    fn what_is_not_json_is_cut_by_size() {
        for text in ["[1, 2", "{\"a\"", "]", "[1] 2", ""] {
            assert_eq!(pieces(text).concat(), text);
        }
    }
}
