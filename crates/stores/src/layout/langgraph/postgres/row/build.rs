//! Making the row of a checkpoint's record, and the blob rows that it needs.

use restow_model::{Body, Map};

use super::super::super::json;
use super::super::super::order::OrderLog;
use super::super::super::record::{CheckpointView, PayloadView};
use super::adjust::{Adjustment, Changes, Swap, replace_seen};
use super::blob::BlobRow;
use super::check::OPAQUE;
use super::known::{Content, Known};
use super::nearest::{nearest_entry, nearest_metadata};
use super::plan::{Planned, Unplanned, plan};
use super::residue::{
    Difference, LAYOUT, NO_VALUES, NO_VERSIONS, NULL_METADATA, NULL_VALUES, PARENT_EMPTY,
};
use super::{JSON_BYTES_MAX, SEEN, VALUES, VERSIONS, jsonb, sends};

/// A row of `checkpoints` to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointRow<'r> {
    /// `parent_checkpoint_id`.
    pub parent: Option<&'r str>,
    /// `type`.
    pub tag: Option<Box<str>>,
    /// `checkpoint`.
    pub checkpoint: String,
    /// `metadata`.
    pub metadata: String,
    /// The blob rows that are not there yet.
    pub blobs: Vec<BlobRow>,
    /// What the row was given differently, to be kept beside it.
    pub adjustment: Option<Adjustment>,
    /// The row says what this layout's residue says, which need not be kept beside it.
    pub is_residue_told: bool,
}

/// Makes the row of a record, and notes the versions that it uses; says what the tables cannot
/// hold. What [`Known::unknown`] names was looked up before.
pub fn checkpoint_row<'r>(
    view: &CheckpointView<'r>,
    known: &mut Known,
) -> Result<CheckpointRow<'r>, String> {
    let difference = Difference::of(view.record);
    if let Some(difference) = &difference {
        match build(view, difference, known) {
            Err(Unplanned::Misfit) => {}
            Err(Unplanned::Refused(why)) => return Err(why),
            Ok(row) => return Ok(row),
        }
    }
    let row = build(view, &Difference::default(), known).map_err(|why| match why {
        Unplanned::Refused(why) => why,
        Unplanned::Misfit => "the checkpoint does not fit PostgreSQL's tables".into(),
    })?;
    let is_residue_told = view.record.residue.iter().all(|residue| *residue.layout != *LAYOUT);
    Ok(CheckpointRow { is_residue_told, ..row })
}

/// Visits the channels of a record with their versions, and what the unit is to have under them.
pub(super) fn each_content(
    view: &CheckpointView<'_>,
    visit: &mut impl FnMut(&str, &Body, Content),
) {
    let difference = Difference::of(view.record).unwrap_or_default();
    let planned = plan(view, &difference).or_else(|_| plan(view, &Difference::default()));
    for channel in planned.unwrap_or_default() {
        visit(channel.name, &channel.version, channel.content());
    }
}

fn build<'r>(
    view: &CheckpointView<'r>,
    difference: &Difference,
    known: &mut Known,
) -> Result<CheckpointRow<'r>, Unplanned> {
    let PayloadView::Open { head, .. } = view.payload else {
        return Err(Unplanned::Refused(OPAQUE.into()));
    };
    let mut planned = plan(view, difference)?;
    let Settled { blobs, swaps, notes } = settle(view, &mut planned, known)?;
    let mut changes = Changes {
        is_without_sends: difference.sends.is_none()
            && view.parent.is_some()
            && sends::are_of_parent(head),
        ..Changes::default()
    };
    let checkpoint = checkpoint_text(head, planned, &swaps, difference, &mut changes)?;
    let metadata = metadata_text(view.metadata, difference, &mut changes)?;
    for (text, what) in [(&checkpoint, "checkpoint"), (&metadata, "metadata")] {
        if text.len() > JSON_BYTES_MAX {
            let why = format!("the JSON of the {what} is larger than the 256 MiB of jsonb");
            return Err(Unplanned::Refused(why));
        }
    }
    changes.versions = swaps.into_iter().map(|swap| (swap.channel, swap.version)).collect();
    let adjustment = changes.encode(&checkpoint, &metadata);
    let parent = match (view.parent, difference.is(PARENT_EMPTY)) {
        (None, true) => Some(""),
        (Some(_), true) => return Err(Unplanned::Misfit),
        (parent, false) => parent,
    };
    let tag = difference.tag.clone();
    if tag.as_ref().is_some_and(|tag| tag.contains('\0')) {
        return Err(Unplanned::Misfit);
    }
    for (channel, version, content) in notes {
        known.note(&view.namespace, channel, &version, content);
    }
    let is_residue_told = true;
    Ok(CheckpointRow { parent, tag, checkpoint, metadata, blobs, adjustment, is_residue_told })
}

/// The versions of a checkpoint's channels in the row.
#[derive(Default)]
struct Settled<'r> {
    blobs: Vec<BlobRow>,
    swaps: Vec<Swap>,
    notes: Vec<(&'r str, Box<str>, Content)>,
}

/// Gives every channel the version under which its content is kept.
fn settle<'r>(
    view: &CheckpointView<'r>,
    planned: &mut [Planned<'r>],
    known: &Known,
) -> Result<Settled<'r>, String> {
    let namespace = &*view.namespace;
    let mut settled = Settled::default();
    for channel in planned {
        let (name, wanted) = (channel.name, channel.content());
        let (version, is_there) = match &channel.version {
            Body::Text(version) => {
                let found = known.settle(namespace, name, version, wanted);
                let found = found.ok_or("no version is free")?;
                if found.version != *version {
                    let (version, stored) = (version.clone(), found.version.clone());
                    settled.swaps.push(Swap { channel: name.into(), version, stored });
                }
                (found.version, found.is_there)
            }
            Body::Int(version) => {
                let admitted = known.admits(namespace, name, version.as_str(), wanted);
                let why = || format!("channel {name:?} has two values under version {version}");
                (version.as_str().into(), admitted.ok_or_else(why)?)
            }
            _ => continue,
        };
        if let Body::Text(held) = &mut channel.version {
            held.clone_from(&version);
        }
        settled.notes.push((name, version.clone(), wanted));
        if let Some(row) = channel.row.take().filter(|_| !is_there) {
            let (tag, bytes) = (row.tag, row.bytes);
            settled.blobs.push(BlobRow { channel: name.into(), version, tag, bytes });
        }
    }
    Ok(settled)
}

fn checkpoint_text(
    head: &Map,
    planned: Vec<Planned<'_>>,
    swaps: &[Swap],
    difference: &Difference,
    changes: &mut Changes,
) -> Result<String, Unplanned> {
    let mut entries = Vec::with_capacity(head.len() + 2);
    for (name, entry) in head.iter() {
        let mut said = entry.clone();
        if matches!(name.as_text(), Some(VALUES | VERSIONS)) {
            return Err("an entry has the name of the channels".to_owned().into());
        }
        entry_is_no_value(entry)?;
        if !swaps.is_empty() && name.as_text() == Some(SEEN) {
            said = replace_seen(entry, swaps, Swap::forth);
            if replace_seen(&said, swaps, Swap::back) != *entry {
                changes.head.push((name.clone(), entry.clone()));
            }
        }
        entries.push((name.clone(), said));
    }
    entries.extend(channel_entries(planned, difference)?);
    let said = Body::Map(Map::from_pairs(entries));
    let text = jsonb::text(&said);
    if let Some(kept) = difference.checkpoint.as_deref() {
        let is_same = stored(kept).is_some_and(|stored| stored == said);
        let is_kept = is_same && text.as_deref() != Some(kept);
        return if is_kept { Ok(kept.to_owned()) } else { Err(Unplanned::Misfit) };
    }
    let said = match (text, said) {
        (Some(text), _) => return Ok(text),
        (None, Body::Map(said)) => said,
        (None, _) => return Err(Unplanned::Misfit),
    };
    let entries = nearest_head(head, said, changes)?;
    jsonb::text(&Body::Map(Map::from_pairs(entries))).ok_or(Unplanned::Misfit)
}

/// Gives entries that JSON cannot say the nearest thing, and keeps what the record has.
fn nearest_head(
    head: &Map,
    said: Map,
    changes: &mut Changes,
) -> Result<Vec<(Body, Body)>, Unplanned> {
    let mut entries = Vec::with_capacity(said.len());
    for (name, entry) in said.into_pairs() {
        let is_name = name.as_text().is_some_and(|name| !name.contains('\0'));
        if is_name && jsonb::text_at(&entry, 1).is_some() {
            entries.push((name, entry));
            continue;
        }
        if matches!(name.as_text(), Some(VALUES | VERSIONS)) {
            return Err(Unplanned::Misfit);
        }
        if let Some(nearest) = nearest_entry(&name, &entry) {
            entries.push((name.clone(), nearest));
        }
        let original = head.iter().find(|(own, _)| *own == name);
        if changes.head.iter().all(|(kept, _)| *kept != name) {
            changes.head.extend(original.cloned());
        }
    }
    Ok(entries)
}

fn channel_entries(
    planned: Vec<Planned<'_>>,
    difference: &Difference,
) -> Result<Vec<(Body, Body)>, Unplanned> {
    let (mut values, mut versions) = (Vec::new(), Vec::with_capacity(planned.len()));
    for channel in planned {
        if channel.has_null_version || channel.version != Body::Null {
            versions.push((Body::text(channel.name), channel.version));
        }
        if let Some(inline) = channel.inline {
            values.push((Body::text(channel.name), inline));
        }
    }
    let is_missing = |flags: u8| difference.flags & flags != 0;
    if (is_missing(NO_VALUES | NULL_VALUES) && !values.is_empty())
        || (is_missing(NO_VERSIONS) && !versions.is_empty())
    {
        return Err(Unplanned::Misfit);
    }
    let mut entries = Vec::with_capacity(2);
    if difference.is(NULL_VALUES) {
        entries.push((Body::text(VALUES), Body::Null));
    } else if !difference.is(NO_VALUES) {
        entries.push((Body::text(VALUES), Body::Map(Map::from_pairs(values))));
    }
    if !difference.is(NO_VERSIONS) {
        entries.push((Body::text(VERSIONS), Body::Map(Map::from_pairs(versions))));
    }
    Ok(entries)
}

fn metadata_text(
    metadata: &Body,
    difference: &Difference,
    changes: &mut Changes,
) -> Result<String, Unplanned> {
    entry_is_no_value(metadata)?;
    if let Some(kept) = difference.metadata.as_deref() {
        let is_same = stored(kept).is_some_and(|stored| stored == *metadata);
        let is_kept = is_same && jsonb::text(metadata).as_deref() != Some(kept);
        return if is_kept { Ok(kept.to_owned()) } else { Err(Unplanned::Misfit) };
    }
    let is_null = *metadata == Body::Null;
    if difference.is(NULL_METADATA) != is_null && !is_null {
        return Err(Unplanned::Misfit);
    }
    if (!is_null || difference.is(NULL_METADATA))
        && let Some(text) = jsonb::text(metadata)
    {
        return Ok(text);
    }
    changes.metadata = Some(metadata.clone());
    jsonb::text(&nearest_metadata(metadata)).ok_or(Unplanned::Misfit)
}

fn entry_is_no_value(entry: &Body) -> Result<(), String> {
    let mut is_value = false;
    entry.each_value(&mut |_| is_value = true);
    match is_value {
        true => Err("a value stands where none belongs".into()),
        false => Ok(()),
    }
}

fn stored(text: &str) -> Option<Body> {
    json::read(text.as_bytes(), &mut OrderLog::default()).ok()
}
