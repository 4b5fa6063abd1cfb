//! JSON as Python's `json.dumps(value, ensure_ascii=False)` writes it.
//!
//! As langgraph-checkpoint-sqlite 3.1.2 stores metadata: `, ` and `: ` between entries, floats in
//! `repr`'s shortest form, control characters escaped, everything else as it is.

use restow_model::{Body, Float, Map};

use super::items::body_order;
use super::json::outer_order;
use super::order::{Orders, arranged};

/// Appends a body as JSON, the outermost object's entries in LangGraph's order unless `orders`
/// says otherwise; says what JSON cannot hold.
pub fn write(body: &Body, orders: &mut Orders<'_>, out: &mut String) -> Result<(), &'static str> {
    item(body, orders, out, true)
}

fn item(
    body: &Body,
    orders: &mut Orders<'_>,
    out: &mut String,
    is_outer: bool,
) -> Result<(), &'static str> {
    match body {
        Body::Null => out.push_str("null"),
        Body::Bool(true) => out.push_str("true"),
        Body::Bool(false) => out.push_str("false"),
        Body::Int(n) => out.push_str(n.as_str()),
        Body::Float(f) => float(*f, out),
        Body::Text(_) | Body::Bytes(_) => string(body, out)?,
        Body::List(items) => {
            out.push('[');
            for (n, entry) in items.iter().enumerate() {
                if n > 0 {
                    out.push_str(", ");
                }
                item(entry, orders, out, false)?;
            }
            out.push(']');
        }
        Body::Map(map) => object(map, orders, out, is_outer)?,
        Body::Decimal(_) => return Err("a decimal number does not fit JSON as Python reads it"),
        Body::Value(_) => return Err("a value stands where none belongs"),
    }
    Ok(())
}

fn object(
    map: &Map,
    orders: &mut Orders<'_>,
    out: &mut String,
    is_outer: bool,
) -> Result<(), &'static str> {
    let mut pairs: Vec<&(Body, Body)> = map.iter().collect();
    if is_outer {
        pairs.sort_by(|a, b| outer_order(&a.0, &b.0));
    } else {
        debug_assert!(pairs.is_sorted_by(|a, b| body_order(&a.0, &b.0).is_lt()));
    }
    out.push('{');
    for (n, at) in arranged(orders, pairs.len()).into_iter().enumerate() {
        if n > 0 {
            out.push_str(", ");
        }
        string(&pairs[at].0, out).map_err(|_| "only text can be a key in JSON")?;
        out.push_str(": ");
        item(&pairs[at].1, orders, out, false)?;
    }
    out.push('}');
    Ok(())
}

fn string(body: &Body, out: &mut String) -> Result<(), &'static str> {
    out.push('"');
    match body {
        Body::Text(text) => escaped(text, out),
        Body::Bytes(bytes) => wtf8(bytes, out).ok_or("bytes do not fit JSON")?,
        _ => return Err("bytes do not fit JSON"),
    }
    out.push('"');
    Ok(())
}

/// Appends text, escaped where JSON asks for it.
pub fn escaped(text: &str, out: &mut String) {
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if matches!(byte, b'"' | b'\\' | 0..=0x1f) {
            out.push_str(&text[from..at]);
            character(char::from(byte), out);
            from = at + 1;
        }
    }
    out.push_str(&text[from..]);
}

fn character(c: char, out: &mut String) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\0'..='\x1f' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        _ => out.push(c),
    }
}

/// Writes text with lone surrogates; `None` where it is something else.
fn wtf8(mut bytes: &[u8], out: &mut String) -> Option<()> {
    let mut halves = 0;
    loop {
        let (good, rest) = match std::str::from_utf8(bytes) {
            Ok(text) => (text, &bytes[bytes.len()..]),
            Err(e) => {
                let (good, rest) = bytes.split_at(e.valid_up_to());
                (std::str::from_utf8(good).ok()?, rest)
            }
        };
        escaped(good, out);
        let Some(([0xed, middle @ 0xa0..=0xbf, low @ 0x80..=0xbf], rest)) =
            rest.split_first_chunk::<3>()
        else {
            return (rest.is_empty() && halves > 0).then_some(());
        };
        let code = 0xd000 | u32::from(middle & 0x3f) << 6 | u32::from(low & 0x3f);
        out.push_str(&format!("\\u{code:04x}"));
        halves += 1;
        bytes = rest;
    }
}

/// Writes a float as Python's `repr` does: the fewest digits that give it back, an exponent below
/// 1e-4 and from 1e16 on.
fn float(float: Float, out: &mut String) {
    let f = float.get();
    if f.is_nan() {
        return out.push_str("NaN");
    }
    if f.is_infinite() {
        return out.push_str(if f > 0.0 { "Infinity" } else { "-Infinity" });
    }
    let short = format!("{f:e}");
    let (mantissa, exponent) = short.split_once('e').unwrap_or((&short, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if f == 0.0 || (-4..16).contains(&exponent) {
        // `{:?}` keeps the digits and the `.0`, and knows no exponent in this range.
        let plain = format!("{f}");
        out.push_str(&plain);
        if !plain.contains('.') {
            out.push_str(".0");
        }
        return;
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    out.push_str(&format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs()));
}
