//! JSON exactly as `jsonb` prints it: keys by length, then by bytes (which is also the order of
//! [`Map`]), `, ` and `: ` between entries, numbers as plain decimals.
//!
//! What is written so is what the server gives back, so that a stored text can be compared, and
//! digested, before it was stored.

use restow_model::{Body, Float, Map};

use super::super::super::json;
use super::super::super::json_text::escaped;

/// How deep lists and objects may be nested; what is written is read again.
const DEPTH_MAX: usize = json::DEPTH_MAX;
/// How many digits `numeric` holds before the point.
const DIGITS_MAX: usize = 131_072;

/// Returns the text of a body, where `jsonb` gives it back as it is.
pub fn text(body: &Body) -> Option<String> {
    text_at(body, 0)
}

/// Returns the text of what lies so deep in a body, where `jsonb` gives it back as it is.
pub fn text_at(body: &Body, depth: usize) -> Option<String> {
    let mut out = String::with_capacity(256);
    item(body, &mut out, depth).then_some(out)
}

/// Says whether `jsonb` gives a number back as it is.
pub fn is_exact_float(float: Float) -> bool {
    let f = float.get();
    f.is_finite() && (f != 0.0 || f.is_sign_positive())
}

fn item(body: &Body, out: &mut String, depth: usize) -> bool {
    if depth > DEPTH_MAX {
        return false;
    }
    match body {
        Body::Null => out.push_str("null"),
        Body::Bool(true) => out.push_str("true"),
        Body::Bool(false) => out.push_str("false"),
        Body::Int(n) if n.as_str().len() <= DIGITS_MAX => out.push_str(n.as_str()),
        Body::Float(f) if is_exact_float(*f) => float(*f, out),
        Body::Text(text) if !text.contains('\0') => string(text, out),
        Body::List(items) => {
            out.push('[');
            for (n, entry) in items.iter().enumerate() {
                if n > 0 {
                    out.push_str(", ");
                }
                if !item(entry, out, depth + 1) {
                    return false;
                }
            }
            out.push(']');
        }
        Body::Map(map) => return object(map, out, depth),
        _ => return false,
    }
    true
}

fn object(map: &Map, out: &mut String, depth: usize) -> bool {
    out.push('{');
    for (n, (key, entry)) in map.iter().enumerate() {
        if n > 0 {
            out.push_str(", ");
        }
        match key {
            Body::Text(key) if !key.contains('\0') => string(key, out),
            _ => return false,
        }
        out.push_str(": ");
        if !item(entry, out, depth + 1) {
            return false;
        }
    }
    out.push('}');
    true
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    escaped(text, out);
    out.push('"');
}

/// Writes the fewest digits that give the float back, and a `.0` that keeps it one.
fn float(float: Float, out: &mut String) {
    let plain = float.get().to_string();
    out.push_str(&plain);
    if !plain.contains('.') {
        out.push_str(".0");
    }
}
