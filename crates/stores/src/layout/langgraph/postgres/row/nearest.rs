//! The nearest thing that `jsonb` can say, for what it would change or refuse.

use bytes::Bytes;
use restow_model::{Body, Float, Map};

use super::super::super::json;
use super::super::super::record::as_raw_entry;
use super::jsonb;

/// Returns the nearest thing to an entry of a checkpoint; nothing where it is best left out.
pub(super) fn nearest_entry(name: &Body, entry: &Body) -> Option<Body> {
    let is_name = name.as_text().is_some_and(|name| !name.contains('\0'));
    let is_said = !matches!(entry, Body::Bytes(_)) && as_raw_entry(entry).is_none();
    (is_name && is_said).then(|| item(entry, 1))
}

/// Returns the nearest thing to metadata: filters of LangGraph's look into an object.
pub(super) fn nearest_metadata(body: &Body) -> Body {
    match body {
        Body::Null | Body::Bytes(_) => Body::Map(Map::default()),
        body => item(body, 0),
    }
}

fn item(body: &Body, depth: usize) -> Body {
    match body {
        Body::List(_) | Body::Map(_) if depth >= json::DEPTH_MAX => Body::Null,
        Body::Float(f) if f.get() == 0.0 => Body::Float(Float::new(0.0)),
        Body::Text(text) => Body::text(text.replace('\0', "")),
        Body::Bytes(bytes) => Body::text(lossy(bytes)),
        Body::List(items) => Body::List(items.iter().map(|i| item(i, depth + 1)).collect()),
        Body::Map(map) => {
            let pair = |(key, entry): &(Body, Body)| (name(key), item(entry, depth + 1));
            Body::Map(Map::from_pairs(map.iter().map(pair).collect()))
        }
        other if jsonb::text(other).is_some() => other.clone(),
        _ => Body::Null,
    }
}

fn name(key: &Body) -> Body {
    match item(key, 0) {
        Body::Text(text) => Body::Text(text),
        other => Body::text(jsonb::text(&other).unwrap_or_default()),
    }
}

/// Reads bytes as text, a replacement character for each run that is none, without NUL.
fn lossy(bytes: &Bytes) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut was_wrong = false;
    for chunk in bytes.utf8_chunks() {
        text.extend(chunk.valid().chars().filter(|c| *c != '\0'));
        was_wrong &= chunk.valid().is_empty();
        if !chunk.invalid().is_empty() && !was_wrong {
            text.push(char::REPLACEMENT_CHARACTER);
            was_wrong = true;
        }
    }
    text
}
