//! What an application gives, and the records that are made of it.

use bytes::Bytes;
use restow_model::{Body, Key, Map, Record, UnitId};
use restow_store::{Error, ErrorKind, Result};
use restow_stores::layout::langgraph::json;
use restow_stores::layout::langgraph::memo::Memo;
use restow_stores::layout::langgraph::order::OrderLog;
use restow_stores::layout::langgraph::packed::{self, Opened, Packed};
use restow_stores::layout::langgraph::record::{self, Channel, Payload};

use super::Typed;

const OPERATION: &str = "put a checkpoint";
/// The channels whose writes have an index of their own, outside of the batch's numbering.
const SPECIAL: [(&str, i64); 4] =
    [("__error__", -1), ("__scheduled__", -2), ("__interrupt__", -3), ("__resume__", -4)];

/// Where a checkpoint is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The thread.
    pub thread: UnitId,
    /// The namespace; `""` is the root.
    pub namespace: Box<str>,
    /// The checkpoint's id.
    pub id: Box<str>,
}

impl Place {
    /// Names a checkpoint.
    pub fn new(thread: &str, namespace: &str, id: &str) -> Self {
        Self { thread: UnitId::new(thread), namespace: namespace.into(), id: id.into() }
    }

    pub(super) fn key(&self) -> Key {
        record::checkpoint_key(&self.namespace, &self.id)
    }
}

/// A checkpoint to be stored.
#[derive(Clone, Debug)]
pub struct CheckpointPut {
    /// Where it goes.
    pub place: Place,
    /// The id of the checkpoint that it follows.
    pub parent: Option<Box<str>>,
    /// The metadata, as JSON.
    pub metadata: Bytes,
    /// The checkpoint without its `channel_values`, as msgpack.
    pub head: Bytes,
    /// Values of channels.
    pub values: Vec<(Box<str>, Typed)>,
    /// Channels whose values and versions are those of the checkpoint before.
    pub unchanged: Vec<Box<str>>,
}

/// What became of a checkpoint that was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is stored.
    Done,
    /// Nothing is stored: these channels are not those of the checkpoint before; give their values.
    Missing(Vec<Box<str>>),
    /// Nothing is stored: values that are not ours to open have no place of their own in this
    /// layout; give the whole checkpoint under one tag.
    Whole,
}

/// Pending writes of a task to be stored.
#[derive(Clone, Debug)]
pub struct WritesPut {
    /// The checkpoint that they wait for.
    pub place: Place,
    /// The task's id.
    pub task: Box<str>,
    /// The task's path.
    pub path: Box<str>,
    /// Channels with what is written to them, in order.
    pub writes: Vec<(Box<str>, Typed)>,
}

impl CheckpointPut {
    /// Opens the head: entries, and channels without values.
    pub(super) fn opened(&self) -> Result<(Map, Vec<Channel>)> {
        match open(&self.head)? {
            Some(Packed { head, channels, .. }) => Ok((head, channels)),
            None => Err(invalid("its head is not a map with names and versions of channels")),
        }
    }

    /// Makes the record of a payload.
    pub(super) fn record(&self, payload: Payload) -> Result<Record> {
        let metadata = metadata(&self.metadata)?;
        Ok(record::checkpoint(self.place.key(), self.parent.as_deref(), metadata, payload))
    }
}

/// Makes the payload of a checkpoint that was given under one tag.
pub(super) fn whole(checkpoint: Typed) -> Result<Payload> {
    if checkpoint.tag.as_deref() == Some("msgpack")
        && let Some(Packed { head, channels, .. }) = open(&checkpoint.bytes)?
    {
        return Ok(Payload::Open { head, channels });
    }
    let form = record::form(checkpoint.tag.as_deref());
    let value = restow_model::Value::new(form, checkpoint.bytes);
    Ok(Payload::Opaque { tag: checkpoint.tag, value })
}

fn open(blob: &Bytes) -> Result<Option<Packed>> {
    match packed::open(blob, &mut Memo::default()) {
        Ok(Opened::Checkpoint(packed)) => Ok(Some(packed)),
        Ok(Opened::Other) => Ok(None),
        Err(malformed) => Err(invalid("it is not msgpack").because(malformed)),
    }
}

fn metadata(text: &[u8]) -> Result<Body> {
    let read = json::read(text, &mut OrderLog::default());
    read.map_err(|malformed| invalid("its metadata is not JSON").because(malformed))
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::Invalid, OPERATION, message)
}

impl WritesPut {
    /// Says whether the writes replace those before them; others leave them as they are.
    pub(super) fn replaces(&self) -> bool {
        self.writes.iter().all(|(channel, _)| special(channel).is_some())
    }

    /// Returns the prefix of the keys of the task's writes.
    pub(super) fn prefix(&self) -> Key {
        let Place { namespace, id, .. } = &self.place;
        Key::of(record::WRITE).text(namespace).text(id).text(&self.task).build()
    }

    /// Makes the records, in order.
    pub(super) fn records(&self) -> Vec<Record> {
        let Place { namespace, id, .. } = &self.place;
        let write = |(place, (channel, typed)): (usize, &(Box<str>, Typed))| {
            let index = special(channel).unwrap_or(place as i64);
            let key = record::write_key(namespace, id, &self.task, index);
            let bytes = typed.bytes.clone();
            record::write(key, channel, typed.tag.as_deref(), bytes, &self.path)
        };
        self.writes.iter().enumerate().map(write).collect()
    }
}

fn special(channel: &str) -> Option<i64> {
    SPECIAL.iter().find(|(name, _)| *name == channel).map(|(_, index)| *index)
}
