//! What an application is told: records, taken apart into what its serializer reads.

use bytes::Bytes;
use restow_model::{Body, Form, Map, Record, UnitId, Value};
use restow_store::query::langgraph::CheckpointTuple;
use restow_store::{Error, ErrorKind, Result};
use restow_stores::layout::langgraph::order::Orders;
use restow_stores::layout::langgraph::record::{self, Channel, PayloadView, View, WriteView};
use restow_stores::layout::langgraph::{json_text, packed};

use super::Typed;

/// A checkpoint, with what waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// The thread.
    pub thread: UnitId,
    /// The namespace.
    pub namespace: String,
    /// The id.
    pub id: String,
    /// The id of the checkpoint that it follows.
    pub parent: Option<String>,
    /// The metadata, as JSON.
    pub metadata: Bytes,
    /// The checkpoint itself.
    pub payload: Payload,
    /// Its pending writes, by (task path, task id, index).
    pub writes: Vec<PendingWrite>,
}

/// A checkpoint's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Opened.
    Open {
        /// The checkpoint with empty `channel_values`, as msgpack.
        head: Bytes,
        /// The values of the channels that have one.
        values: Vec<(Box<str>, Typed)>,
    },
    /// The whole checkpoint under one tag.
    Whole(Typed),
}

/// A pending write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingWrite {
    /// The task's id.
    pub task: String,
    /// The channel.
    pub channel: Box<str>,
    /// What is written to it.
    pub value: Typed,
}

impl Tuple {
    /// Takes a checkpoint apart.
    pub(super) fn of(tuple: &CheckpointTuple) -> Result<Self> {
        let record = &tuple.checkpoint;
        let Ok(View::Checkpoint(view)) = record::view(record) else {
            return Err(damaged("it is not a LangGraph checkpoint", record));
        };
        let payload = match view.payload {
            PayloadView::Open { head, .. } => {
                let channels = channels_of(record)?;
                let head = packed_head(head, &channels).map_err(|why| damaged(why, record))?;
                let value = |c: &Channel| {
                    Some((c.name.clone(), Typed::of_channel(c.value.as_ref()?, c.tag.as_deref())))
                };
                Payload::Open { head, values: channels.iter().filter_map(value).collect() }
            }
            PayloadView::Opaque { tag, value } => {
                let value = record.value(&value).ok_or_else(|| lost(record))?;
                Payload::Whole(Typed { tag: tag.map(Into::into), bytes: value.bytes.clone() })
            }
        };
        Ok(Self {
            thread: tuple.unit.clone(),
            metadata: metadata(view.metadata).map_err(|why| damaged(why, record))?,
            parent: view.parent.map(str::to_owned),
            payload,
            writes: tuple.writes.iter().map(PendingWrite::of).collect::<Result<_>>()?,
            namespace: view.namespace,
            id: view.id,
        })
    }
}

impl PendingWrite {
    /// Takes a write apart.
    pub(super) fn of(record: &Record) -> Result<Self> {
        let Ok(View::Write(view)) = record::view(record) else {
            return Err(damaged("it is not a LangGraph write", record));
        };
        let WriteView { task, channel, tag, value, .. } = view;
        let value = record.value(&value).ok_or_else(|| lost(record))?;
        let value = Typed { tag: tag.map(Into::into), bytes: value.bytes.clone() };
        Ok(Self { task, channel: channel.into(), value })
    }
}

/// Lists the channels of a checkpoint with their values; none where it is not ours to open.
pub(super) fn channels_of(record: &Record) -> Result<Vec<Channel>> {
    let Some(channels) = record.body.get("channels").and_then(Body::as_map) else {
        return Ok(Vec::new());
    };
    let channel = |(name, entry): &(Body, Body)| -> Result<Channel> {
        let entry = entry.as_list().unwrap_or_default();
        let value = match entry.get(1).and_then(Body::as_value) {
            Some(name) => Some(record.value(&name).ok_or_else(|| lost(record))?.clone()),
            None => None,
        };
        let tag = entry.get(2).and_then(Body::as_text).map(Into::into);
        // The names of values do not tell how they are cut.
        let form = if tag.is_none() { Form::Msgpack } else { record::form(tag.as_deref()) };
        Ok(Channel {
            name: name.as_text().unwrap_or_default().into(),
            version: entry.first().cloned().unwrap_or_default(),
            value: value.map(|value| Value { form, ..value }),
            tag,
        })
    };
    channels.iter().map(channel).collect()
}

fn packed_head(head: &Map, channels: &[Channel]) -> Result<Bytes, &'static str> {
    let version = |channel: &Channel| {
        let entry = vec![channel.version.clone(), Body::Null];
        (Body::text(channel.name.clone()), Body::List(entry))
    };
    let versions = Map::from_pairs(channels.iter().map(version).collect());
    let splice = packed::pack(head, &versions, &mut Orders::none())?;
    Ok(splice.own.into())
}

fn metadata(body: &Body) -> Result<Bytes, &'static str> {
    if let Body::Bytes(raw) = body {
        return Ok(raw.clone());
    }
    let mut text = String::new();
    json_text::write(body, &mut Orders::none(), &mut text)?;
    Ok(text.into())
}

fn lost(record: &Record) -> Error {
    damaged("a value is missing", record)
}

fn damaged(why: &str, record: &Record) -> Error {
    let error = Error::new(ErrorKind::Damaged, "read a checkpoint", why);
    error.with("record", record.key.to_string())
}
