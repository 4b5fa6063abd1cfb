//! Reading a row of `checkpoints` and the blob rows that it names.

use bytes::Bytes;
use restow_model::{Body, Dialect, Map, Record};

use super::super::super::dialect;
use super::super::super::items::text_order;
use super::super::super::json;
use super::super::super::order::OrderLog;
use super::super::super::record::{self, Channel, Payload, checkpoint_key};
use super::adjust::{Changes, Swap, row_digest};
use super::blob::StoredBlob;
use super::residue::{
    Difference, NO_VALUES, NO_VERSIONS, NULL_METADATA, NULL_VALUES, PARENT_EMPTY,
};
use super::sends::{self, TASKS};
use super::shape::{Said, Shape, of_stored, read};
use super::{VALUES, VERSIONS, jsonb};

/// A row of `checkpoints` as it is stored; JSON as `jsonb::text` prints it.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointCells<'r> {
    /// `checkpoint_ns`.
    pub namespace: &'r str,
    /// `checkpoint_id`.
    pub id: &'r str,
    /// `parent_checkpoint_id`.
    pub parent: Option<&'r str>,
    /// `type`.
    pub tag: Option<&'r str>,
    /// `checkpoint`.
    pub checkpoint: &'r str,
    /// `metadata`.
    pub metadata: &'r str,
    /// The digest and the bytes of the adjustment that stands beside the row.
    pub adjustment: Option<(&'r [u8], &'r [u8])>,
}

/// A row whose JSON was read, and not yet its blobs.
#[derive(Debug)]
pub struct Opened {
    namespace: Box<str>,
    id: Box<str>,
    parent: Option<Box<str>>,
    metadata: Body,
    head: Map,
    channels: Vec<Stored>,
    difference: Difference,
    has_sends: bool,
}

/// A channel as the row's JSON has it.
#[derive(Debug)]
struct Stored {
    name: Box<str>,
    /// As the application knows it.
    version: Body,
    /// As the key of its blob row says it.
    key: Option<Box<str>>,
    has_null_version: bool,
    inline: Option<Body>,
}

impl Opened {
    /// Reads a row's JSON; says what is damaged.
    pub fn open(cells: &CheckpointCells<'_>) -> Result<Self, String> {
        let mut difference = Difference::default();
        if cells.parent == Some("") {
            difference.flags |= PARENT_EMPTY;
        }
        difference.tag = cells.tag.map(Into::into);
        let checkpoint = parse(cells.checkpoint, "checkpoint", &mut difference.checkpoint)?;
        let metadata = parse(cells.metadata, "metadata", &mut difference.metadata)?;
        let changes = match cells.adjustment {
            Some((digest, bytes)) if *digest == row_digest(cells.checkpoint, cells.metadata) => {
                Changes::decode(bytes).ok_or("what restow keeps beside the row cannot be read")?
            }
            // The application has written the row since: what it says now is what it means.
            _ => Changes::default(),
        };
        let Body::Map(checkpoint) = checkpoint else {
            return Err("the checkpoint is no JSON object".into());
        };
        let mut split = Split::default();
        split.take(checkpoint, &mut difference)?;
        let (channels, swaps) = split.channels(&changes)?;
        let head = Map::from_pairs(changes.undo_head(split.head, &swaps));
        if changes.metadata.is_none() && metadata == Body::Null {
            difference.flags |= NULL_METADATA;
        }
        let parent = cells.parent.filter(|parent| !parent.is_empty());
        Ok(Self {
            namespace: cells.namespace.into(),
            id: cells.id.into(),
            has_sends: !changes.is_without_sends && sends::are_of_parent(&head),
            parent: parent.map(Into::into),
            metadata: changes.metadata.unwrap_or(metadata),
            head,
            channels,
            difference,
        })
    }

    /// Lists the channel and version of the blob rows that the checkpoint names, as stored.
    pub fn blob_keys(&self) -> impl Iterator<Item = (&str, &str)> {
        self.channels.iter().filter_map(|channel| Some((&*channel.name, channel.key.as_deref()?)))
    }

    /// Returns the parent whose writes to `__pregel_tasks` are the checkpoint's pending sends.
    pub fn sends_parent(&self) -> Option<&str> {
        self.parent.as_deref().filter(|_| self.has_sends)
    }

    /// Tells the language that wrote the checkpoint by its versions.
    pub fn dialect(&self) -> Option<Dialect> {
        self.channels.iter().find_map(|channel| dialect::of_version(&channel.version))
    }

    /// Makes the record, with the sends of the parent; says what is damaged. `blob` gives the blob
    /// rows one by one, in the order of [`blob_keys`](Self::blob_keys).
    pub fn record(
        mut self,
        blob: &mut dyn FnMut() -> Option<StoredBlob>,
        sends: Vec<(Option<Box<str>>, Bytes)>,
    ) -> Result<Record, String> {
        let mut found = Vec::with_capacity(self.channels.len() + 1);
        for stored in std::mem::take(&mut self.channels) {
            let row = stored.key.as_deref().and_then(|_| blob());
            let (value, tag) = read(stored.inline.as_ref(), row.as_ref())
                .map_err(|why| format!("the blob of channel {:?}: {why}", stored.name))?;
            let inline = stored.inline.as_ref();
            let shape = of_stored(inline, row.as_ref(), tag.as_deref(), stored.has_null_version);
            let said =
                Said { version: &stored.version, value: value.as_ref(), tag: tag.as_deref() };
            let shape = (shape != Shape::canonical(said)).then_some(shape);
            found.push((Channel { name: stored.name, version: stored.version, value, tag }, shape));
        }
        if self.sends_parent().is_some() {
            self.difference.sends = add_sends(&mut found, sends);
        }
        let mut channels = Vec::with_capacity(found.len());
        for (number, (channel, shape)) in found.into_iter().enumerate() {
            channels.push(channel);
            self.difference.channels.extend(shape.map(|shape| (number, shape)));
        }
        let payload = Payload::Open { head: self.head, channels };
        let key = checkpoint_key(&self.namespace, &self.id);
        let mut record = record::checkpoint(key, self.parent.as_deref(), self.metadata, payload);
        self.difference.attach(&mut record);
        Ok(record)
    }
}

fn parse(text: &str, what: &str, kept: &mut Option<Box<str>>) -> Result<Body, String> {
    let body = json::read(text.as_bytes(), &mut OrderLog::default())
        .map_err(|why| format!("the {what} cannot be read as JSON: {why}"))?;
    if jsonb::text(&body).as_deref() != Some(text) {
        *kept = Some(text.into());
    }
    Ok(body)
}

/// The parts of a checkpoint's JSON.
#[derive(Default)]
struct Split {
    head: Vec<(Body, Body)>,
    values: Map,
    versions: Map,
}

impl Split {
    fn take(&mut self, checkpoint: Map, difference: &mut Difference) -> Result<(), String> {
        difference.flags |= NO_VALUES | NO_VERSIONS;
        for (name, entry) in checkpoint.into_pairs() {
            match (name.as_text(), entry) {
                (Some(VALUES), Body::Map(values)) => {
                    difference.flags &= !NO_VALUES;
                    self.values = values;
                }
                (Some(VALUES), Body::Null) => difference.flags ^= NO_VALUES | NULL_VALUES,
                (Some(VERSIONS), Body::Map(versions)) => {
                    difference.flags &= !NO_VERSIONS;
                    self.versions = versions;
                }
                (Some(other @ (VALUES | VERSIONS)), _) => {
                    return Err(format!("the checkpoint's {other} is no JSON object"));
                }
                (_, entry) => self.head.push((name, entry)),
            }
        }
        Ok(())
    }

    /// Joins the maps of channels, and puts the application's versions back.
    fn channels(&mut self, changes: &Changes) -> Result<(Vec<Stored>, Vec<Swap>), String> {
        let mut versions = std::mem::take(&mut self.versions).into_pairs().into_iter().peekable();
        let mut values = std::mem::take(&mut self.values).into_pairs().into_iter().peekable();
        let (mut channels, mut swaps) = (Vec::with_capacity(versions.len()), Vec::new());
        loop {
            let order = match (versions.peek(), values.peek()) {
                (Some(a), Some(b)) => text_order(text(&a.0)?, text(&b.0)?),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (None, None) => break,
            };
            let version = if order.is_le() { versions.next() } else { None };
            let inline = if order.is_ge() { values.next() } else { None };
            let name = version.as_ref().or(inline.as_ref()).map(|(name, _)| text(name));
            let name: Box<str> = name.transpose()?.unwrap_or_default().into();
            let stored = version.map(|(_, version)| version);
            let key = match &stored {
                Some(Body::Text(version)) => Some(version.clone()),
                Some(Body::Int(version)) => Some(version.as_str().into()),
                Some(Body::Null) | None => None,
                Some(_) => return Err(format!("the version of channel {name:?} is no text")),
            };
            let has_null_version = stored == Some(Body::Null);
            let mut version = stored.unwrap_or(Body::Null);
            if let Some((_, own)) = changes.versions.iter().find(|(channel, _)| *channel == name) {
                let (channel, stored) = (name.clone(), key.clone().unwrap_or_default());
                swaps.push(Swap { channel, version: own.clone(), stored });
                version = Body::Text(own.clone());
            }
            let inline = inline.map(|(_, inline)| inline);
            channels.push(Stored { name, version, key, has_null_version, inline });
        }
        Ok((channels, swaps))
    }
}

fn text(name: &Body) -> Result<&str, String> {
    name.as_text().ok_or_else(|| "the name of a channel is no text".into())
}

/// Adds the parent's sends as a channel; returns what stood in its place.
fn add_sends(
    channels: &mut Vec<(Channel, Option<Shape>)>,
    sends: Vec<(Option<Box<str>>, Bytes)>,
) -> Option<Body> {
    let value = sends::value(sends)?;
    let versions = channels.iter().map(|(channel, _)| &channel.version);
    let version = sends::version(versions.filter(|version| **version != Body::Null))?;
    let at = channels.partition_point(|(c, _)| text_order(&c.name, TASKS).is_lt());
    let held = channels.get_mut(at).filter(|(channel, _)| *channel.name == *TASKS);
    match held {
        Some((channel, None)) if channel.value.is_none() && channel.version != Body::Null => {
            channel.value = Some(value);
            Some(std::mem::replace(&mut channel.version, version))
        }
        // A value of its own, or a row that says so in its own way, stays what it is.
        Some(_) => None,
        None => {
            let name = TASKS.into();
            channels.insert(at, (Channel { name, version, value: Some(value), tag: None }, None));
            Some(Body::Null)
        }
    }
}
