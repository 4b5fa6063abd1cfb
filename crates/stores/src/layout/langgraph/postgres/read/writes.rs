//! Rows of `checkpoint_writes` as records.

use std::collections::VecDeque;

use postgres::types::Type;
use restow_model::UnitId;

use super::super::row::{WriteRow, write_record};
use super::checkpoints::Loaded;
use super::keys::{Keys, RowKey, Table, Walk};
use super::{Reader, blobs, side};
use crate::engine::postgres::Fail;

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

/// Fetches rows by key, in the order of the keys.
fn rows(reader: &mut Reader<'_, '_>, keys: Vec<RowKey>) -> Result<Vec<Loaded>, Fail> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let path = if reader.shape.has_path { "r.task_path" } else { "''" };
    let sql = format!(
        "SELECT k.n, r.channel, r.type, {path}, r.blob FROM unnest($1::text[], $2::text[], \
         $3::text[], $4::text[], $5::int4[]) WITH ORDINALITY k (t, s, c, j, i, n) JOIN {} r \
         ON (r.thread_id, r.checkpoint_ns, r.checkpoint_id, r.task_id, r.idx) = \
         (k.t, k.s, k.c, k.j, k.i) ORDER BY k.n",
        reader.place.writes
    );
    let threads: Vec<&str> = keys.iter().map(|k| k.unit.as_str()).collect();
    let namespaces: Vec<&str> = keys.iter().map(|k| &*k.namespace).collect();
    let ids: Vec<&str> = keys.iter().map(|k| &*k.checkpoint).collect();
    let tasks: Vec<&str> = keys.iter().map(|k| &*k.task).collect();
    let indexes: Vec<i32> = keys.iter().map(|k| k.index).collect();
    let parameters = [
        (&threads as _, Type::TEXT_ARRAY),
        (&namespaces as _, Type::TEXT_ARRAY),
        (&ids as _, Type::TEXT_ARRAY),
        (&tasks as _, Type::TEXT_ARRAY),
        (&indexes as _, Type::INT4_ARRAY),
    ];
    let found = reader.tx.query_typed(&sql, &parameters)?;
    let mut keys = keys.into_iter().enumerate();
    let mut loaded = Vec::with_capacity(found.len());
    for cells in found {
        let number: i64 = cells.try_get(0)?;
        let Some((_, key)) = keys.by_ref().find(|(n, _)| *n as i64 + 1 == number) else { break };
        let bytes: &[u8] = cells.try_get(4)?;
        let record = write_record(WriteRow {
            namespace: &key.namespace,
            checkpoint: &key.checkpoint,
            task: &key.task,
            index: key.index,
            channel: cells.try_get(1)?,
            tag: cells.try_get(2)?,
            path: cells.try_get(3)?,
            bytes: blobs::copied(bytes)?,
        });
        loaded.push(Loaded { key, found: Ok(record) });
    }
    Ok(loaded)
}
