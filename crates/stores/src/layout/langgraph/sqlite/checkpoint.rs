//! Rows of `checkpoints` ⇄ records.

use bytes::Bytes;
use restow_model::{Body, Record, Value};

use super::super::memo::Memo;
use super::super::order::{OrderLog, Orders};
use super::super::packed::{self, Opened, Packed};
use super::super::record::{self, CheckpointView, Payload, PayloadView, checkpoint_key, form};
use super::super::{json, json_text};
use super::residue::{Difference, METADATA_TEXT, PARENT_EMPTY, PAYLOAD_NULL, PAYLOAD_TEXT};
use super::row::{Class, Column};

/// A row of `checkpoints`, as it is stored.
#[derive(Debug)]
pub(super) struct CheckpointRow<'r> {
    /// `thread_id`.
    pub(super) unit: &'r str,
    /// `checkpoint_ns`.
    pub(super) namespace: &'r str,
    /// `checkpoint_id`.
    pub(super) id: &'r str,
    /// `parent_checkpoint_id`.
    pub(super) parent: Option<&'r str>,
    /// `type`.
    pub(super) tag: Option<&'r str>,
    /// `checkpoint`.
    pub(super) payload: Column,
    /// `metadata`.
    pub(super) metadata: Column,
}

impl CheckpointRow<'_> {
    /// Makes the record; says what is damaged.
    pub(super) fn record(self, memo: &mut Memo) -> Result<Record, String> {
        memo.begin(self.unit, self.namespace, self.payload.bytes.len());
        let mut difference = Difference::default();
        if self.parent == Some("") {
            difference.classes |= PARENT_EMPTY;
        }
        match self.payload.class {
            Class::Null => difference.classes |= PAYLOAD_NULL,
            Class::Text => difference.classes |= PAYLOAD_TEXT,
            Class::Blob => {}
        }
        let metadata = self.metadata.metadata(&mut difference);
        let payload = self.payload.payload(self.tag, &mut difference, memo)?;
        let key = checkpoint_key(self.namespace, self.id);
        let mut record = record::checkpoint(key, self.parent, metadata, payload);
        difference.attach(&mut record);
        Ok(record)
    }
}

impl Column {
    fn payload(
        &self,
        tag: Option<&str>,
        difference: &mut Difference,
        memo: &mut Memo,
    ) -> Result<Payload, String> {
        if tag == Some("msgpack") {
            let opened = packed::open(&self.bytes, memo);
            match opened.map_err(|why| format!("the checkpoint is no msgpack: {why}"))? {
                Opened::Checkpoint(packed) => return Ok(opened_payload(packed, difference)),
                Opened::Other => {}
            }
        }
        let value = Value::new(form(tag), self.bytes.clone());
        Ok(Payload::Opaque { tag: tag.map(Into::into), value })
    }

    /// Reads metadata: JSON as a body, anything else as bytes, NULL as null.
    fn metadata(&self, difference: &mut Difference) -> Body {
        match self.class {
            Class::Null => return Body::Null,
            Class::Text => difference.classes |= METADATA_TEXT,
            Class::Blob => {}
        }
        let mut log = OrderLog::default();
        let Ok(body) = json::read(&self.bytes, &mut log) else {
            return Body::Bytes(self.bytes.clone());
        };
        if let Some(orders) = log.encode()
            && metadata_bytes(&body, &orders).is_ok_and(|m| m.as_deref() == Some(&self.bytes[..]))
        {
            difference.metadata_order = orders;
        } else {
            difference.metadata = Some(self.bytes.clone());
        }
        body
    }
}

fn opened_payload(packed: Packed, difference: &mut Difference) -> Payload {
    let Packed { head, channels, orders, splice } = packed;
    let names = record::channel_map(&channels);
    let again = orders.encode().and_then(|bytes| {
        let again = packed::pack(&head, &names, &mut Orders::new(&bytes)).ok()?;
        (again == splice).then_some(bytes)
    });
    match again {
        Some(orders) => difference.blob_order = orders,
        None => difference.blob = Some(splice),
    }
    Payload::Open { head, channels }
}

/// Writes metadata as it is stored; `None` is NULL.
fn metadata_bytes(body: &Body, orders: &[u8]) -> Result<Option<Bytes>, &'static str> {
    match body {
        Body::Null => Ok(None),
        Body::Bytes(raw) => Ok(Some(raw.clone())),
        _ => {
            let mut text = String::with_capacity(256);
            let mut orders = Orders::new(orders);
            json_text::write(body, &mut orders, &mut text)?;
            match orders.is_spent() {
                true => Ok(Some(text.into())),
                false => Err("the order of the metadata does not fit it"),
            }
        }
    }
}

/// A row of `checkpoints` to store.
#[derive(Debug)]
pub(super) struct CheckpointCells<'r> {
    /// What the record says as it is.
    pub(super) view: &'r CheckpointView<'r>,
    /// `parent_checkpoint_id`.
    pub(super) parent: Option<&'r str>,
    /// `type`.
    pub(super) tag: Option<&'r str>,
    /// The pieces of `checkpoint`.
    pub(super) payload: Vec<Bytes>,
    /// The class of `checkpoint`.
    pub(super) payload_class: Class,
    /// `metadata`.
    pub(super) metadata: Column,
}

/// Makes the row of a record; says what SQLite cannot hold.
pub(super) fn cells<'r>(view: &'r CheckpointView<'r>) -> Result<CheckpointCells<'r>, &'static str> {
    let difference = Difference::of(view.record);
    let metadata = match (&difference.metadata, view.metadata) {
        (Some(raw), _) => Some(raw.clone()),
        // Without its order it is still the metadata.
        (None, body) => metadata_bytes(body, &difference.metadata_order)
            .or_else(|_| metadata_bytes(body, &[]))?,
    };
    let metadata_class = match (&metadata, difference.is(METADATA_TEXT)) {
        (None, _) => Class::Null,
        (Some(_), true) => Class::Text,
        (Some(_), false) => Class::Blob,
    };
    let (tag, payload) = match view.payload {
        PayloadView::Open { head, channels } => {
            let splice = packed_again(&difference, head, channels)?;
            let names = splice.names(channels).ok_or("a channel's value is missing")?;
            let pieces = splice.pieces(view.record, &names);
            (Some("msgpack"), pieces.ok_or("a value is missing")?)
        }
        PayloadView::Opaque { tag, value } => {
            let value = view.record.value(&value).ok_or("a value is missing")?;
            (tag, vec![value.bytes.clone()])
        }
    };
    let is_empty = payload.iter().all(Bytes::is_empty);
    let payload_class = match (difference.is(PAYLOAD_NULL), difference.is(PAYLOAD_TEXT)) {
        (true, _) if is_empty => Class::Null,
        (_, true) => Class::Text,
        _ => Class::Blob,
    };
    let parent = match view.parent {
        None if difference.is(PARENT_EMPTY) => Some(""),
        parent => parent,
    };
    let metadata = Column { class: metadata_class, bytes: metadata.unwrap_or_default() };
    Ok(CheckpointCells { view, parent, tag, payload, payload_class, metadata })
}

fn packed_again(
    difference: &Difference,
    head: &restow_model::Map,
    channels: &restow_model::Map,
) -> Result<packed::Splice, &'static str> {
    // One that names no values, or others' values, is nobody's residue.
    if let Some(splice) = difference.blob.as_ref().filter(|s| s.names(channels).is_some()) {
        return Ok(splice.clone());
    }
    let mut orders = Orders::new(&difference.blob_order);
    let splice = packed::pack(head, channels, &mut orders)?;
    match orders.is_spent() {
        true => Ok(splice),
        false => packed::pack(head, channels, &mut Orders::none()),
    }
}
