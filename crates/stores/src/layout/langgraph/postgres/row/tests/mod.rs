//! Rows and records, against tables in memory.

mod golden;
mod laws;
mod traps;

use std::collections::BTreeMap;

use bytes::Bytes;
use restow_model::{Body, Form, Map, Record, Value};

use super::super::super::record::{self, Channel, Payload, View, checkpoint_key};
use super::*;

/// A blob row by channel and version.
type Blobs = BTreeMap<(String, String), (String, Option<Bytes>)>;

/// What stands in a checkpoint's row.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cells {
    parent: Option<String>,
    tag: Option<String>,
    checkpoint: String,
    metadata: String,
    adjustment: Option<Adjustment>,
}

/// The rows of one namespace of one unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tables {
    checkpoints: BTreeMap<String, Cells>,
    blobs: Blobs,
}

impl Tables {
    /// Stores a record's row; says what is refused.
    fn put(&mut self, record: &Record, known: &mut Known) -> Result<bool, String> {
        check(record).map_err(|unsupported| unsupported.why)?;
        let Ok(View::Checkpoint(view)) = record::view(record) else { panic!("no checkpoint") };
        while let unknown @ [_, ..] = known.unknown(&view).as_slice() {
            for (channel, version) in unknown {
                let content = self.content(channel, version);
                known.note(&view.namespace, channel, version, content);
            }
        }
        let row = checkpoint_row(&view, known)?;
        for blob in row.blobs {
            let key = (blob.channel.to_string(), blob.version.to_string());
            let held = self.blobs.insert(key.clone(), (blob.tag.to_string(), blob.bytes));
            assert_eq!(held, None, "a blob row is there already: {key:?}");
        }
        let cells = Cells {
            parent: row.parent.map(Into::into),
            tag: row.tag.map(Into::into),
            checkpoint: row.checkpoint,
            metadata: row.metadata,
            adjustment: row.adjustment,
        };
        self.checkpoints.insert(view.id.clone(), cells);
        Ok(row.is_residue_told)
    }

    /// Looks up what stands under a version, as a store does.
    fn content(&self, channel: &str, version: &str) -> Content {
        if let Some((tag, bytes)) = self.blobs.get(&(channel.into(), version.into())) {
            return StoredBlob::new(tag, bytes.clone()).content();
        }
        let names = |cells: &Cells| {
            let opened = Opened::open(&of(cells, "")).expect("a row");
            opened.blob_keys().any(|key| key == (channel, version))
        };
        match self.checkpoints.values().any(names) {
            true => Content::NoBlob,
            false => Content::Free,
        }
    }

    fn get(&self, id: &str) -> Result<Record, String> {
        self.get_with(id, Vec::new())
    }

    fn get_with(&self, id: &str, sends: Vec<(Option<Box<str>>, Bytes)>) -> Result<Record, String> {
        let opened = Opened::open(&of(&self.checkpoints[id], id))?;
        let stored = |(channel, version): (&str, &str)| {
            let (tag, bytes) = self.blobs.get(&(channel.into(), version.into()))?;
            Some(StoredBlob::new(tag, bytes.clone()))
        };
        let mut blobs = opened.blob_keys().map(stored).collect::<Vec<_>>().into_iter();
        opened.record(&mut || blobs.next().flatten(), sends)
    }

    fn json(&self, id: &str) -> Body {
        let text = &self.checkpoints[id].checkpoint;
        let mut log = super::super::super::order::OrderLog::default();
        super::super::super::json::read(text.as_bytes(), &mut log).expect("JSON")
    }
}

fn of<'r>(cells: &'r Cells, id: &'r str) -> CheckpointCells<'r> {
    let adjustment = cells.adjustment.as_ref();
    CheckpointCells {
        namespace: "ns",
        id,
        parent: cells.parent.as_deref(),
        tag: cells.tag.as_deref(),
        checkpoint: &cells.checkpoint,
        metadata: &cells.metadata,
        adjustment: adjustment.map(|a| (&a.row_digest[..], &a.bytes[..])),
    }
}

/// A stored row as PostgresSaver would have it.
fn stored(checkpoint: &str, metadata: &str) -> Cells {
    Cells {
        parent: None,
        tag: None,
        checkpoint: checkpoint.into(),
        metadata: metadata.into(),
        adjustment: None,
    }
}

fn msgpack(bytes: &'static [u8]) -> Option<Value> {
    Some(Value::new(Form::Msgpack, Bytes::from_static(bytes)))
}

fn channel(name: &str, version: Body, value: Option<Value>) -> Channel {
    Channel { name: name.into(), version, value, tag: None }
}

/// A version as LangGraph counts.
fn version(n: u64) -> String {
    format!("{n:032}.0.{:016}", n * 7_811_799_413)
}

fn head(entries: Vec<(&str, Body)>) -> Map {
    let base = [("v", Body::int(4)), ("ts", Body::text("2026")), ("id", Body::text("1ef"))];
    let pairs = base.into_iter().chain(entries).map(|(name, entry)| (Body::text(name), entry));
    Map::from_pairs(pairs.collect())
}

fn record_of(id: &str, head: Map, channels: Vec<Channel>, metadata: Body) -> Record {
    let payload = Payload::Open { head, channels };
    record::checkpoint(checkpoint_key("ns", id), None, metadata, payload)
}

/// A checkpoint of these channels, with an ordinary head.
fn checkpoint(id: &str, channels: Vec<Channel>) -> Record {
    record_of(id, head(Vec::new()), channels, Body::Map(Map::default()))
}
