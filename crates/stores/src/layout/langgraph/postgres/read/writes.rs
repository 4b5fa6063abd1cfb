//! Rows of `checkpoint_writes` as records.

use std::collections::VecDeque;

use bytes::Bytes;
use postgres::types::{ToSql, Type};
use restow_model::{Record, UnitId};

use super::super::row::{WriteRow, write_record};
use super::checkpoints::Loaded;
use super::keys::{Keys, RowKey, Table, Walk};
use super::{Reader, side};
use crate::engine::postgres::Fail;
use crate::engine::postgres::pieces::{self, WHOLE_BYTES_MAX};

/// The pending writes of a walk, in its order.
pub(super) struct Writes {
    keys: Keys,
    ready: VecDeque<Loaded>,
}

impl Writes {
    pub(super) fn open(reader: &mut Reader<'_, '_>, walk: &Walk<'_>) -> Result<Self, Fail> {
        Ok(Self { keys: Keys::open(reader, Table::Writes, walk)?, ready: VecDeque::new() })
    }

    pub(super) fn close(self, reader: &mut Reader<'_, '_>) -> Result<(), Fail> {
        self.keys.close(reader)
    }

    /// Returns the unit of the next record, and about how many bytes it has.
    pub(super) fn peek(
        &mut self,
        reader: &mut Reader<'_, '_>,
    ) -> Result<Option<(UnitId, usize)>, Fail> {
        if let Some(loaded) = self.ready.front() {
            return Ok(Some((loaded.key.unit.clone(), loaded.key.bytes)));
        }
        Ok(self.keys.peek(reader)?.map(|key| (key.unit.clone(), key.bytes)))
    }

    /// Passes what is left of a unit.
    pub(super) fn skip(&mut self, reader: &mut Reader<'_, '_>, unit: &UnitId) -> Result<(), Fail> {
        self.ready.retain(|loaded| loaded.key.unit != *unit);
        self.keys.skip(reader, unit)
    }

    /// Loads and takes the next record.
    pub(super) fn next(
        &mut self,
        reader: &mut Reader<'_, '_>,
        limit: usize,
    ) -> Result<Option<Loaded>, Fail> {
        if self.ready.is_empty() {
            let keys = self.keys.page(reader, limit.max(1))?;
            let mut loaded = rows(reader, keys)?;
            let of = |l: &Loaded| l.key.unit.clone();
            side::add_residue(reader, &mut loaded, of, |l| l.found.as_mut().ok())?;
            self.ready.extend(loaded);
        }
        Ok(self.ready.pop_front())
    }
}

/// Reads rows, in the order of their keys.
fn rows(reader: &mut Reader<'_, '_>, keys: Vec<RowKey>) -> Result<Vec<Loaded>, Fail> {
    let mut loaded = Vec::with_capacity(keys.len());
    for mut key in keys {
        let found = match (key.checked.take(), key.row.take()) {
            (Some(checked), _) => checked,
            (None, Some(row)) => record(&key, (&row, Table::Writes.first_cell()), None)?,
            (None, None) => {
                let (row, bytes) = large(reader, &key)?;
                record(&key, (&row, 0), Some(bytes))?
            }
        };
        loaded.push(Loaded { key, found: Ok(found) });
    }
    Ok(loaded)
}

/// Makes the record of a row whose cells behind the key begin at a place; its bytes are among them
/// unless they are given.
pub(super) fn record(
    key: &RowKey,
    (row, first): (&postgres::Row, usize),
    bytes: Option<Bytes>,
) -> Result<Record, postgres::Error> {
    let bytes = match bytes {
        Some(bytes) => bytes,
        None => Bytes::copy_from_slice(row.try_get(first + 3)?),
    };
    Ok(write_record(WriteRow {
        namespace: &key.namespace,
        checkpoint: &key.checkpoint,
        task: &key.task,
        index: key.index,
        channel: row.try_get(first)?,
        tag: row.try_get(first + 1)?,
        path: row.try_get(first + 2)?,
        bytes,
    }))
}

/// Fetches a row that is too large to come with its key.
fn large(reader: &mut Reader<'_, '_>, key: &RowKey) -> Result<(postgres::Row, Bytes), Fail> {
    let path = if reader.shape.has_path { "task_path" } else { "''" };
    let is_whole = key.bytes <= WHOLE_BYTES_MAX;
    let blob = if is_whole { "blob" } else { "NULL::bytea" };
    let row = format!(
        "{} WHERE (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) = ($1, $2, $3, $4, $5)",
        reader.place.writes
    );
    let thread = key.unit.as_str();
    let parameters = [
        (&thread as &(dyn ToSql + Sync), Type::TEXT),
        (&key.namespace as _, Type::TEXT),
        (&key.checkpoint as _, Type::TEXT),
        (&key.task as _, Type::TEXT),
        (&key.index as _, Type::INT4),
    ];
    let sql = format!("SELECT channel, type, {path}, {blob} FROM {row}");
    let cells = reader.tx.query_typed_one(&sql, &parameters)?;
    let bytes = match is_whole {
        true => Bytes::copy_from_slice(cells.try_get(3)?),
        false => pieces::fetch(reader.tx, ("blob", &row), &parameters)?.unwrap_or_default(),
    };
    Ok((cells, bytes))
}
