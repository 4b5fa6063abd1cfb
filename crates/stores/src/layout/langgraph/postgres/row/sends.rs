//! Pending sends of checkpoints before version 4: PostgresSaver reads them from the parent's
//! writes, every other saver from the checkpoint.

use bytes::Bytes;
use restow_model::{Body, Form, Map, Value};

use super::super::super::msgpack::{Head, write_head};
use super::blob::{MSGPACK, is_one_item};

/// The channel of pending sends.
pub(in super::super) const TASKS: &str = "__pregel_tasks";
/// The version that the channel gets where no channel has one.
const FIRST_VERSION: &str = "00000000000000000000000000000001.0.0000000000000000";

/// Says whether a checkpoint's sends are its parent's writes.
pub(super) fn are_of_parent(head: &Map) -> bool {
    match head.get("v") {
        Some(Body::Int(v)) => v.as_str().parse::<f64>().is_ok_and(|v| v < 4.0),
        Some(Body::Float(v)) => v.get() < 4.0,
        _ => false,
    }
}

/// Packs sends as one value; nothing where there are none, or where not all can be read.
pub(super) fn value(sends: Vec<(Option<Box<str>>, Bytes)>) -> Option<Value> {
    if sends.is_empty() {
        return None;
    }
    let mut packed = Vec::new();
    write_head(&mut packed, Head::Array(sends.len()));
    for (tag, bytes) in sends {
        if tag.as_deref() != Some(MSGPACK) || is_one_item(&bytes).is_err() {
            return None;
        }
        packed.extend_from_slice(&bytes);
    }
    Some(Value::new(Form::Msgpack, packed.into()))
}

/// Returns the version that the sends get, the greatest of all; nothing where Python could not
/// compare them.
pub(super) fn version<'v>(versions: impl Iterator<Item = &'v Body>) -> Option<Body> {
    let mut greatest: Option<&Body> = None;
    for version in versions {
        let is_greater = match (greatest, version) {
            (None, Body::Text(_) | Body::Int(_)) => true,
            (Some(Body::Text(held)), Body::Text(version)) => version > held,
            (Some(Body::Int(held)), Body::Int(version)) => version.to_i64()? > held.to_i64()?,
            _ => return None,
        };
        if is_greater {
            greatest = Some(version);
        }
    }
    Some(greatest.cloned().unwrap_or_else(|| Body::text(FIRST_VERSION)))
}
