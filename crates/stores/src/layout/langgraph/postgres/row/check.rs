//! What the tables of PostgreSQL cannot hold.

use restow_model::{Body, Record};
use restow_store::Unsupported;

use super::super::super::record::{self, CheckpointView, PayloadView, View, WriteView};
use super::CELL_BYTES_MAX;
use super::residue::LAYOUT;
use super::shape::inline;

/// Why a checkpoint that was never opened is refused.
pub(super) const OPAQUE: &str = "the checkpoint is one sealed piece (encrypted, legacy JSON or \
    JavaScript's), and PostgreSQL's tables keep each channel apart";
const NUL: &str = "holds a NUL character, which no text of PostgreSQL's does";
/// The tags of values that are opened wherever they stand.
const OPENED: [&str; 5] = ["msgpack", "null", "empty", "bytes", "bytearray"];

/// Says whether the tables can hold a record, its values there or not.
pub fn check(record: &Record) -> Result<(), Unsupported> {
    let refuse = |why: String| Unsupported { key: record.key.clone(), why };
    let mut largest = 0;
    record.body.each_value(&mut |value| largest = largest.max(value.len));
    if largest > CELL_BYTES_MAX as u64 {
        return Err(refuse(
            "a value is larger than the 1 GiB that a row of PostgreSQL holds".into(),
        ));
    }
    match record::view(record)? {
        View::Checkpoint(view) => checkpoint(&view).map_err(refuse),
        View::Write(view) => write(&view).map(drop).map_err(refuse),
        View::Unit(_) => Ok(()),
    }
}

fn checkpoint(view: &CheckpointView<'_>) -> Result<(), String> {
    let PayloadView::Open { channels, .. } = view.payload else { return Err(OPAQUE.into()) };
    let cells = [("namespace", &*view.namespace), ("id", &*view.id)];
    no_nul(&cells)?;
    no_nul(&[("parent", view.parent.unwrap_or_default())])?;
    // A residue may say that a value stood inline; the row shows whether it still can.
    let has_residue = view.record.residue.iter().any(|residue| *residue.layout == *LAYOUT);
    for (name, channel) in channels.iter() {
        let name = name.as_text().unwrap_or_default();
        let channel = channel.as_list().unwrap_or_default();
        let version = channel.first().unwrap_or(&Body::Null);
        let tag = channel.get(2).and_then(Body::as_text);
        refusal(name, version, tag)?;
        let value = channel.get(1).and_then(Body::as_value);
        let value = value.and_then(|value| view.record.value(&value));
        if *version == Body::Null
            && !has_residue
            && value.is_some_and(|value| tag.is_some() || inline(value).is_none())
        {
            return Err(unversioned(name));
        }
    }
    Ok(())
}

/// Says why a value that must be a blob row is refused where its channel has no version.
pub(super) fn unversioned(name: &str) -> String {
    let why = "has no version, under which PostgreSQL's tables would keep its value";
    format!("channel {name:?} {why}")
}

/// Says what of a channel the tables cannot hold, whatever its value.
pub(super) fn refusal(name: &str, version: &Body, tag: Option<&str>) -> Result<(), String> {
    no_nul(&[("name of a channel", name)])?;
    if tag.is_some_and(|tag| OPENED.contains(&tag) || tag.contains('\0')) {
        let tag = tag.unwrap_or_default();
        return Err(format!("channel {name:?} is sealed under {tag:?}, which is no such tag"));
    }
    match version {
        Body::Text(version) if version.contains('\0') => {
            Err(format!("the version of channel {name:?} {NUL}"))
        }
        Body::Text(_) | Body::Int(_) | Body::Null => Ok(()),
        _ => Err(format!("the version of channel {name:?} is neither text nor an integer")),
    }
}

/// Returns a write's index; says what of the write the tables cannot hold.
pub(super) fn write(view: &WriteView<'_>) -> Result<i32, String> {
    no_nul(&[
        ("namespace", &view.namespace),
        ("checkpoint's id", &view.checkpoint),
        ("task's id", &view.task),
        ("channel", view.channel),
        ("tag", view.tag.unwrap_or_default()),
        ("task's path", view.path),
    ])?;
    let beyond = |_| format!("the index of the write is beyond 32 bits: {}", view.index);
    view.index.try_into().map_err(beyond)
}

fn no_nul(cells: &[(&str, &str)]) -> Result<(), String> {
    match cells.iter().find(|(_, text)| text.contains('\0')) {
        Some((what, text)) => Err(format!("the {what} {NUL}: {text:?}")),
        None => Ok(()),
    }
}
