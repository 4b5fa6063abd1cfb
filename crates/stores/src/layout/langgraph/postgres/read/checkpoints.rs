//! Rows of `checkpoints` as records, with the blobs that they share.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use postgres::types::Type;
use restow_model::{Dialect, Record, UnitId};

use super::super::row::{CheckpointCells, Opened};
use super::blobs::{BlobNumber, Blobs};
use super::keys::{Keys, RowKey, Table, Walk};
use super::{PAGE_BYTES_MAX, Reader, side};
use crate::engine::postgres::Fail;

/// A record on its way, or what is wrong with its row.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) key: RowKey,
    pub(super) found: Result<Record, String>,
}

/// A row whose JSON was read, and not yet its blobs.
struct Row {
    key: RowKey,
    opened: Result<Opened, String>,
    sends: Vec<(Option<Box<str>>, Bytes)>,
    /// The blob rows that it names, in the order of [`Opened::blob_keys`].
    blobs: Vec<BlobNumber>,
}

/// The checkpoints of a walk, in its order.
pub(super) struct Checkpoints {
    keys: Keys,
    rows: VecDeque<Row>,
    blobs: Blobs,
    ready: VecDeque<Loaded>,
}

impl Checkpoints {
    pub(super) fn open(reader: &mut Reader<'_, '_>, walk: &Walk<'_>) -> Result<Self, Fail> {
        Ok(Self {
            keys: Keys::open(reader, Table::Checkpoints, walk)?,
            rows: VecDeque::new(),
            blobs: Blobs::default(),
            ready: VecDeque::new(),
        })
    }

    pub(super) fn close(self, reader: &mut Reader<'_, '_>) -> Result<(), Fail> {
        self.keys.close(reader)
    }

    /// Returns the unit of the next record.
    pub(super) fn unit(&mut self, reader: &mut Reader<'_, '_>) -> Result<Option<UnitId>, Fail> {
        if let Some(loaded) = self.ready.front() {
            return Ok(Some(loaded.key.unit.clone()));
        }
        if let Some(row) = self.rows.front() {
            return Ok(Some(row.key.unit.clone()));
        }
        Ok(self.keys.peek(reader)?.map(|key| key.unit.clone()))
    }

    /// Tells the language of the next record by its versions.
    pub(super) fn dialect(&mut self, reader: &mut Reader<'_, '_>) -> Result<Dialect, Fail> {
        if self.ready.is_empty() && self.rows.is_empty() {
            self.fetch(reader, usize::MAX)?;
        }
        let opened = self.rows.front().and_then(|row| row.opened.as_ref().ok());
        Ok(opened.and_then(Opened::dialect).unwrap_or(Dialect::Any))
    }

    /// Returns about how many bytes the next record has; its blobs are not loaded for that.
    pub(super) fn weight(
        &mut self,
        reader: &mut Reader<'_, '_>,
        limit: usize,
    ) -> Result<usize, Fail> {
        if let Some(loaded) = self.ready.front() {
            return Ok(loaded.found.as_ref().map_or(0, Record::weight));
        }
        if self.rows.is_empty() {
            self.fetch(reader, limit)?;
        }
        Ok(self.rows.front().map_or(0, |row| row.key.bytes + self.blobs.weight(&row.blobs)))
    }

    /// Loads and takes the next record.
    pub(super) fn next(&mut self, reader: &mut Reader<'_, '_>) -> Result<Option<Loaded>, Fail> {
        if self.ready.is_empty() {
            if self.rows.is_empty() {
                self.fetch(reader, usize::MAX)?;
            }
            self.load(reader)?;
        }
        Ok(self.ready.pop_front())
    }

    /// Forgets what only the unit's own checkpoints share: its last one was taken.
    pub(super) fn leave(&mut self) {
        self.blobs.clear();
    }

    /// Passes what is left of a unit.
    pub(super) fn skip(&mut self, reader: &mut Reader<'_, '_>, unit: &UnitId) -> Result<(), Fail> {
        self.ready.retain(|loaded| loaded.key.unit != *unit);
        self.rows.retain(|row| row.key.unit != *unit);
        self.keys.skip(reader, unit)
    }

    /// Fetches a page of rows, and the sizes of the blobs that they name.
    fn fetch(&mut self, reader: &mut Reader<'_, '_>, limit: usize) -> Result<(), Fail> {
        let keys = self.keys.page(reader, limit.max(1))?;
        if keys.is_empty() {
            return Ok(());
        }
        let mut rows = rows(reader, keys)?;
        let named: Vec<_> = rows.iter().map(|row| (&row.key, row.opened.as_ref().ok())).collect();
        let numbers = self.blobs.learn(reader, &named)?;
        for (row, numbers) in rows.iter_mut().zip(numbers) {
            row.blobs = numbers;
        }
        self.rows.extend(rows);
        Ok(())
    }

    /// Loads as many records as fit a page; at least one.
    fn load(&mut self, reader: &mut Reader<'_, '_>) -> Result<(), Fail> {
        let (mut count, mut bytes) = (0, 0);
        for row in &self.rows {
            bytes += self.blobs.lacking(&row.blobs);
            if count > 0 && bytes > PAGE_BYTES_MAX {
                break;
            }
            count += 1;
        }
        let rows: Vec<Row> = self.rows.drain(..count).collect();
        self.blobs.load(reader, rows.iter().map(|row| &row.blobs[..]))?;
        let mut loaded = Vec::with_capacity(rows.len());
        for Row { key, opened, sends, blobs } in rows {
            let mut numbers = blobs.into_iter();
            let mut next = || numbers.next().and_then(|number| self.blobs.get(number));
            let found = opened.and_then(|opened| opened.record(&mut next, sends));
            loaded.push(Loaded { key, found });
        }
        let of = |l: &Loaded| l.key.unit.clone();
        side::add_residue(reader, &mut loaded, of, |l| l.found.as_mut().ok())?;
        self.blobs.keep();
        self.ready.extend(loaded);
        Ok(())
    }
}

/// Reads rows, in the order of their keys.
fn rows(reader: &mut Reader<'_, '_>, keys: Vec<RowKey>) -> Result<Vec<Row>, Fail> {
    let mut adjustments = adjustments(reader, &keys)?;
    let mut rows = Vec::with_capacity(keys.len());
    let mut wants = Vec::new();
    for (n, mut key) in keys.into_iter().enumerate() {
        let (cells, first) = match key.row.take() {
            Some(row) => (row, Table::Checkpoints.first_cell()),
            None => (large(reader, &key)?, 0),
        };
        let adjustment = adjustments.remove(&n);
        let opened = Opened::open(&CheckpointCells {
            namespace: &key.namespace,
            id: &key.checkpoint,
            parent: cells.try_get(first)?,
            tag: cells.try_get(first + 1)?,
            checkpoint: cells.try_get(first + 2)?,
            metadata: cells.try_get(first + 3)?,
            adjustment: adjustment.as_ref().map(|(digest, bytes)| (&digest[..], &bytes[..])),
        });
        if let Some(parent) = opened.as_ref().ok().and_then(Opened::sends_parent) {
            wants.push((rows.len(), key.unit.as_str().to_owned(), parent.to_owned()));
        }
        rows.push(Row { key, opened, sends: Vec::new(), blobs: Vec::new() });
    }
    if !wants.is_empty() {
        pending_sends(reader, &mut rows, &wants)?;
    }
    Ok(rows)
}

/// Fetches a row that is too large to come with its key.
fn large(reader: &mut Reader<'_, '_>, key: &RowKey) -> Result<postgres::Row, Fail> {
    let sql = format!(
        "SELECT parent_checkpoint_id, type, checkpoint::text, metadata::text FROM {} \
         WHERE (thread_id, checkpoint_ns, checkpoint_id) = ($1, $2, $3)",
        reader.place.checkpoints
    );
    let thread = key.unit.as_str();
    let parameters = [
        (&thread as _, Type::TEXT),
        (&key.namespace as _, Type::TEXT),
        (&key.checkpoint as _, Type::TEXT),
    ];
    Ok(reader.tx.query_typed_one(&sql, &parameters)?)
}

/// The digest of a row that was given differently, and how to undo it.
type Adjusted = (Vec<u8>, Vec<u8>);

/// Fetches what rows had to be given differently, by the place of their key.
fn adjustments(
    reader: &mut Reader<'_, '_>,
    keys: &[RowKey],
) -> Result<HashMap<usize, Adjusted>, Fail> {
    if !reader.beside()?.has_adjustments {
        return Ok(HashMap::new());
    }
    let sql = format!(
        "SELECT k.n, a.row_digest, a.bytes FROM unnest($1::text[], $2::text[], $3::text[]) \
         WITH ORDINALITY k (t, s, c, n) JOIN {} a \
         ON (a.thread_id, a.checkpoint_ns, a.checkpoint_id) = (k.t, k.s, k.c)",
        reader.place.adjustment
    );
    let threads: Vec<&str> = keys.iter().map(|k| k.unit.as_str()).collect();
    let namespaces: Vec<&str> = keys.iter().map(|k| &*k.namespace).collect();
    let ids: Vec<&str> = keys.iter().map(|k| &*k.checkpoint).collect();
    let parameters = [
        (&threads as _, Type::TEXT_ARRAY),
        (&namespaces as _, Type::TEXT_ARRAY),
        (&ids as _, Type::TEXT_ARRAY),
    ];
    let mut found = HashMap::new();
    for row in reader.tx.query_typed(&sql, &parameters)? {
        let number: i64 = row.try_get(0)?;
        if let Ok(n) = usize::try_from(number - 1) {
            found.insert(n, (row.try_get(1)?, row.try_get(2)?));
        }
    }
    Ok(found)
}

/// Fetches the sends of parents, as `SELECT_PENDING_SENDS_SQL` does: whatever the namespace.
fn pending_sends(
    reader: &mut Reader<'_, '_>,
    rows: &mut [Row],
    wants: &[(usize, String, String)],
) -> Result<(), Fail> {
    let path = if reader.shape.has_path { "w.task_path, " } else { "" };
    let sql = format!(
        "SELECT k.n, w.type, w.blob FROM unnest($1::text[], $2::text[]) WITH ORDINALITY \
         k (t, c, n) JOIN {} w ON w.thread_id = k.t AND w.checkpoint_id = k.c \
         AND w.channel = '__pregel_tasks' ORDER BY k.n, {path}w.task_id, w.idx",
        reader.place.writes
    );
    let threads: Vec<&str> = wants.iter().map(|(_, unit, _)| &**unit).collect();
    let parents: Vec<&str> = wants.iter().map(|(_, _, parent)| &**parent).collect();
    let parameters = [(&threads as _, Type::TEXT_ARRAY), (&parents as _, Type::TEXT_ARRAY)];
    for cells in reader.tx.query_typed(&sql, &parameters)? {
        let number: i64 = cells.try_get(0)?;
        let tag: Option<&str> = cells.try_get(1)?;
        let bytes: &[u8] = cells.try_get(2)?;
        let at = usize::try_from(number - 1).ok().and_then(|n| wants.get(n));
        if let Some((row, ..)) = at {
            rows[*row].sends.push((tag.map(Into::into), Bytes::copy_from_slice(bytes)));
        }
    }
    Ok(())
}
