//! Which language wrote a unit, told by its content and never by a schema's version.
//!
//! LangGraph for JavaScript knows only the tags `json` and `bytes` and counts versions as numbers
//! (npm @langchain/langgraph-checkpoint 1.1.5); Python's savers before September 2024 wrote `json`
//! too, with versions as text.

use restow_model::{Body, Dialect};

use super::json;
use super::order::OrderLog;

/// Tells the language by a serializer's tag alone, where that is enough.
pub fn of_tag(tag: Option<&str>) -> Option<Dialect> {
    match tag?.split('+').next()? {
        "msgpack" | "pickle" | "bytearray" => Some(Dialect::Python),
        _ => None,
    }
}

/// Tells the language by a checkpoint's payload under the tag `json`.
pub fn of_json(bytes: &[u8]) -> Option<Dialect> {
    let checkpoint = json::read(bytes, &mut OrderLog::default()).ok()?;
    let versions = checkpoint.get("channel_versions")?.as_map()?;
    versions.iter().find_map(|(_, version)| of_version(version))
}

/// Tells the language by the version of a channel.
pub fn of_version(version: &Body) -> Option<Dialect> {
    match version {
        Body::Text(_) => Some(Dialect::Python),
        Body::Int(_) | Body::Float(_) => Some(Dialect::JavaScript),
        _ => None,
    }
}
