//! Rows of `checkpoint_writes` ⇄ records.

use bytes::Bytes;
use restow_model::Record;

use super::super::super::record::{self, WriteView, write_key};
use super::check;

/// A row of `checkpoint_writes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteRow<'r> {
    /// `checkpoint_ns`.
    pub namespace: &'r str,
    /// `checkpoint_id`.
    pub checkpoint: &'r str,
    /// `task_id`.
    pub task: &'r str,
    /// `idx`.
    pub index: i32,
    /// `channel`.
    pub channel: &'r str,
    /// `type`.
    pub tag: Option<&'r str>,
    /// `blob`.
    pub bytes: Bytes,
    /// `task_path`; empty where the column is missing.
    pub path: &'r str,
}

/// Makes the record of a row.
pub fn write_record(row: WriteRow<'_>) -> Record {
    let index = i64::from(row.index);
    let key = write_key(row.namespace, row.checkpoint, row.task, index);
    record::write(key, row.channel, row.tag, row.bytes, row.path)
}

/// Makes the row of a record; says what the tables cannot hold.
pub fn write_row<'r>(view: &'r WriteView<'r>) -> Result<WriteRow<'r>, String> {
    let value = view.record.value(&view.value).ok_or("a value is missing")?;
    Ok(WriteRow {
        namespace: &view.namespace,
        checkpoint: &view.checkpoint,
        task: &view.task,
        index: check::write(view)?,
        channel: view.channel,
        tag: view.tag,
        bytes: value.bytes.clone(),
        path: view.path,
    })
}
