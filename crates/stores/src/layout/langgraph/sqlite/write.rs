//! Rows of `writes` ⇄ records.

use bytes::Bytes;
use restow_model::Record;

use super::super::record::{self, WriteView, write_key};
use super::residue::{Difference, PAYLOAD_NULL, PAYLOAD_TEXT};
use super::row::{Class, Column};

/// A row of `writes`, as it is stored.
#[derive(Debug)]
pub(super) struct WriteRow<'r> {
    /// `checkpoint_ns`.
    pub(super) namespace: &'r str,
    /// `checkpoint_id`.
    pub(super) checkpoint: &'r str,
    /// `task_id`.
    pub(super) task: &'r str,
    /// `idx`.
    pub(super) index: i64,
    /// `channel`.
    pub(super) channel: &'r str,
    /// `type`.
    pub(super) tag: Option<&'r str>,
    /// `value`.
    pub(super) value: Column,
    /// `task_path`; empty where the column is missing.
    pub(super) path: &'r str,
}

impl WriteRow<'_> {
    /// Makes the record.
    pub(super) fn record(self) -> Record {
        let classes = match self.value.class {
            Class::Null => PAYLOAD_NULL,
            Class::Text => PAYLOAD_TEXT,
            Class::Blob => 0,
        };
        let key = write_key(self.namespace, self.checkpoint, self.task, self.index);
        let mut record = record::write(key, self.channel, self.tag, self.value.bytes, self.path);
        Difference { classes, ..Difference::default() }.attach(&mut record);
        record
    }
}

/// Returns the bytes and the class of the column `value`; says what is missing.
pub(super) fn value(view: &WriteView<'_>) -> Result<(Bytes, Class), &'static str> {
    let difference = Difference::of(view.record);
    let value = view.record.value(&view.value).ok_or("a value is missing")?;
    let class = match (difference.is(PAYLOAD_NULL), difference.is(PAYLOAD_TEXT)) {
        (true, _) if value.bytes.is_empty() => Class::Null,
        (_, true) => Class::Text,
        _ => Class::Blob,
    };
    Ok((value.bytes.clone(), class))
}
