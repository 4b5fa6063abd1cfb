//! LangGraph's records: what every engine makes of its rows, and makes its rows from.
//!
//! - `checkpoint(namespace, id)`: a map of `parent` (text or null), `metadata` (the JSON; bytes
//!   where it is none), and either `head` (the checkpoint's other entries) with `channels` (channel
//!   → `[version or null, value or null]`, or `[version, value, tag]` where the value is not ours
//!   to open), or `opaque` (`[tag or null, value]`) where the payload is not ours to open.
//! - `write(namespace, checkpoint id, task id, index)`: a map of `channel`, `tag` (text or null),
//!   `value` and `path` (the task's path, `""` where it was never stored).
//! - `unit(…)`: what belongs to no record of the application; only its own layout reads it.
//!
//! An entry of `head` that a body cannot say is kept as `["msgpack", bytes]`; so is, to keep both
//! apart, one that looks like this.

use bytes::Bytes;
use restow_model::{Body, Form, Key, KeyPart, Map, Record, Value, ValueRef};
use restow_store::Unsupported;

/// The kind of a checkpoint's record.
pub const CHECKPOINT: &str = "checkpoint";
/// The kind of a pending write's record.
pub const WRITE: &str = "write";
/// The kind of a record that belongs to the unit alone.
pub const UNIT: &str = "unit";

const RAW: &str = "msgpack";

/// Returns the key of a checkpoint.
pub fn checkpoint_key(namespace: &str, id: &str) -> Key {
    Key::of(CHECKPOINT).text(namespace).text(id).build()
}

/// Returns the key of a pending write.
pub fn write_key(namespace: &str, checkpoint: &str, task: &str, index: i64) -> Key {
    Key::of(WRITE).text(namespace).text(checkpoint).text(task).int(index).build()
}

/// Keeps an entry of a checkpoint's head as it stands.
pub fn raw_entry(slice: &[u8]) -> Body {
    Body::List(vec![Body::text(RAW), Body::Bytes(Bytes::copy_from_slice(slice))])
}

/// Returns the msgpack of an entry that was kept as it stood.
pub fn as_raw_entry(body: &Body) -> Option<&Bytes> {
    match body.as_list()? {
        [tag, Body::Bytes(raw)] if tag.as_text() == Some(RAW) => Some(raw),
        _ => None,
    }
}

/// A channel of a checkpoint.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Its name.
    pub name: Box<str>,
    /// Its version as the application knows it; null where it has none.
    pub version: Body,
    /// Its value, where one is stored.
    pub value: Option<Value>,
    /// The serializer's tag of a value that is not ours to open.
    pub tag: Option<Box<str>>,
}

/// What a checkpoint's payload is.
#[derive(Clone, Debug)]
pub enum Payload {
    /// Opened: the entries that are no channels, and the channels.
    Open {
        /// Entries such as `v`, `ts`, `id`, `versions_seen`.
        head: Map,
        /// The channels, in any order, each once.
        channels: Vec<Channel>,
    },
    /// Not ours to open: encrypted, legacy JSON, pickle, or of a shape that nobody knows.
    Opaque {
        /// The serializer's tag.
        tag: Option<Box<str>>,
        /// The raw bytes.
        value: Value,
    },
}

/// Makes a checkpoint's record.
pub fn checkpoint(key: Key, parent: Option<&str>, metadata: Body, payload: Payload) -> Record {
    let parent = Body::text_or_null(parent.filter(|p| !p.is_empty()));
    let mut values: Vec<Value> = Vec::new();
    let mut entries = vec![("parent", parent), ("metadata", metadata)];
    match payload {
        Payload::Open { head, channels } => {
            entries.push(("head", Body::Map(head)));
            entries.push(("channels", Body::Map(channel_map(&channels))));
            for value in channels.into_iter().filter_map(|channel| channel.value) {
                if values.iter().all(|v| v.name != value.name) {
                    values.push(value);
                }
            }
        }
        Payload::Opaque { tag, value } => {
            let opaque = vec![Body::text_or_null(tag.as_deref()), Body::Value(value.name)];
            entries.push(("opaque", Body::List(opaque)));
            values.push(value);
        }
    }
    Record { values, ..Record::new(key, map(entries)) }
}

/// Maps channels to their versions and the names of their values, as a record's body does.
pub fn channel_map(channels: &[Channel]) -> Map {
    let pairs = channels.iter().map(|channel| {
        let name = channel.value.as_ref().map_or(Body::Null, |v| Body::Value(v.name));
        let mut entry = vec![channel.version.clone(), name];
        entry.extend(channel.tag.clone().map(Body::Text));
        (Body::text(channel.name.clone()), Body::List(entry))
    });
    Map::from_pairs(pairs.collect())
}

/// Names a channel whose value is not ours to open, and the value's tag.
pub fn sealed_channel(channels: &Map) -> Option<(&str, &str)> {
    channels.iter().find_map(|(name, channel)| match channel.as_list()? {
        [_, _, Body::Text(tag)] => Some((name.as_text()?, &**tag)),
        _ => None,
    })
}

/// Makes a pending write's record.
pub fn write(key: Key, channel: &str, tag: Option<&str>, bytes: Bytes, path: &str) -> Record {
    let value = Value::new(form(tag), bytes);
    let body = map(vec![
        ("channel", Body::text(channel)),
        ("tag", Body::text_or_null(tag)),
        ("value", Body::Value(value.name)),
        ("path", Body::text(path)),
    ]);
    Record { values: vec![value], ..Record::new(key, body) }
}

/// Returns how the bytes under a serializer's tag are arranged.
pub fn form(tag: Option<&str>) -> Form {
    match tag {
        Some("msgpack") => Form::Msgpack,
        Some("json") => Form::Json,
        _ => Form::Raw,
    }
}

fn map(entries: Vec<(&str, Body)>) -> Body {
    Body::Map(Map::from_pairs(entries.into_iter().map(|(k, v)| (Body::text(k), v)).collect()))
}

/// A checkpoint's record, read.
#[derive(Clone, Debug)]
pub struct CheckpointView<'r> {
    /// The record.
    pub record: &'r Record,
    /// The namespace.
    pub namespace: String,
    /// The id.
    pub id: String,
    /// The parent's id, where there is one.
    pub parent: Option<&'r str>,
    /// The metadata.
    pub metadata: &'r Body,
    /// The payload.
    pub payload: PayloadView<'r>,
}

/// A payload, read.
#[derive(Clone, Copy, Debug)]
pub enum PayloadView<'r> {
    /// Opened.
    Open {
        /// The entries that are no channels.
        head: &'r Map,
        /// Channel → version and value.
        channels: &'r Map,
    },
    /// As it was stored.
    Opaque {
        /// The serializer's tag.
        tag: Option<&'r str>,
        /// The raw bytes' name.
        value: ValueRef,
    },
}

/// A pending write's record, read.
#[derive(Clone, Debug)]
pub struct WriteView<'r> {
    /// The record.
    pub record: &'r Record,
    /// The namespace.
    pub namespace: String,
    /// The checkpoint's id.
    pub checkpoint: String,
    /// The task's id.
    pub task: String,
    /// The index.
    pub index: i64,
    /// The channel.
    pub channel: &'r str,
    /// The serializer's tag.
    pub tag: Option<&'r str>,
    /// The bytes' name.
    pub value: ValueRef,
    /// The task's path.
    pub path: &'r str,
}

/// A record of one of LangGraph's kinds, read.
#[derive(Clone, Debug)]
pub enum View<'r> {
    /// A checkpoint.
    Checkpoint(CheckpointView<'r>),
    /// A pending write.
    Write(WriteView<'r>),
    /// What belongs to the unit alone.
    Unit(&'r Record),
}

/// Reads a record as one of LangGraph's; refuses what is none.
pub fn view(record: &Record) -> Result<View<'_>, Unsupported> {
    let refuse = |why: &str| Unsupported { key: record.key.clone(), why: why.into() };
    let parts = record.key.parts();
    match (record.key.kind(), parts.as_slice()) {
        (UNIT, _) => Ok(View::Unit(record)),
        (CHECKPOINT, [KeyPart::Text(ns), KeyPart::Text(id)]) => checkpoint_view(record, ns, id)
            .map(View::Checkpoint)
            .ok_or_else(|| refuse("the body is not a LangGraph checkpoint's")),
        (
            WRITE,
            [KeyPart::Text(ns), KeyPart::Text(id), KeyPart::Text(task), KeyPart::Int(index)],
        ) => write_view(record, ns, id, task, *index)
            .map(View::Write)
            .ok_or_else(|| refuse("the body is not a LangGraph write's")),
        _ => Err(refuse("LangGraph has no such kind of record")),
    }
}

fn checkpoint_view<'r>(record: &'r Record, ns: &str, id: &str) -> Option<CheckpointView<'r>> {
    let body = record.body.as_map()?;
    let payload = match (body.get("head"), body.get("channels"), body.get("opaque")) {
        (Some(Body::Map(head)), Some(Body::Map(channels)), None) if body.len() == 4 => {
            let is_channel = |(name, channel): &(Body, Body)| {
                matches!(
                    (name, channel.as_list()),
                    (
                        Body::Text(_),
                        Some([_, Body::Value(_) | Body::Null] | [_, Body::Value(_), Body::Text(_)])
                    )
                )
            };
            channels.iter().all(is_channel).then_some(())?;
            PayloadView::Open { head, channels }
        }
        (None, None, Some(Body::List(opaque))) if body.len() == 3 => match opaque.as_slice() {
            [tag @ (Body::Text(_) | Body::Null), Body::Value(value)] => {
                PayloadView::Opaque { tag: tag.as_text(), value: *value }
            }
            _ => return None,
        },
        _ => return None,
    };
    let metadata = body.get("metadata")?;
    let parent = nullable(body.get("parent")?)?;
    let (namespace, id) = (ns.into(), id.into());
    Some(CheckpointView { record, namespace, id, parent, metadata, payload })
}

fn write_view<'r>(
    record: &'r Record,
    ns: &str,
    checkpoint: &str,
    task: &str,
    index: i64,
) -> Option<WriteView<'r>> {
    let body = record.body.as_map().filter(|body| body.len() == 4)?;
    Some(WriteView {
        record,
        namespace: ns.into(),
        checkpoint: checkpoint.into(),
        task: task.into(),
        index,
        channel: body.get("channel")?.as_text()?,
        tag: nullable(body.get("tag")?)?,
        value: body.get("value")?.as_value()?,
        path: body.get("path")?.as_text()?,
    })
}

fn nullable(body: &Body) -> Option<Option<&str>> {
    match body {
        Body::Null => Some(None),
        Body::Text(text) => Some(Some(text)),
        _ => None,
    }
}
