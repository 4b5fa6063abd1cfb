//! Writing records as rows, and looking at what is there.

use std::ops::ControlFlow;

use bytes::Bytes;
use restow_model::{Digest, Key, Record, UnitDigest, UnitId};
use restow_store::{KeyRange, Selection, Unsupported};
use rusqlite::blob::ZeroBlob;
use rusqlite::{Connection, OptionalExtension, params};

use super::super::record::{self, CheckpointView, PayloadView, View, WriteView};
use super::super::{json_text, order::Orders, packed};
use super::checkpoint::{self, CheckpointCells};
use super::large;
use super::reading::{Found, Reading, Table};
use super::row::{Bound, Class, LARGE};
use super::side::{self, Place};
use super::units::{Fail, each_row};
use super::write;

/// How many bytes SQLite holds in a row (`SQLITE_MAX_LENGTH`), less what stands beside a payload.
const ROW_BYTES_MAX: u64 = 1_000_000_000 - (1 << 20);

/// What is there under a key.
#[derive(Debug)]
pub(super) enum Held {
    /// Nothing.
    Nothing,
    /// A record.
    Record(Box<Record>),
    /// A row that is no record.
    Damaged,
}

impl Held {
    /// Returns the digest of the record, where there is one.
    pub(super) fn digest(&self) -> Option<Digest> {
        match self {
            Self::Record(record) => Some(record.digest()),
            _ => None,
        }
    }
}

/// Says whether SQLite can hold a record, values or not.
pub(super) fn check(record: &Record) -> Result<(), Unsupported> {
    let refuse = |why: &str| Unsupported { key: record.key.clone(), why: why.into() };
    let mut bytes = 0u64;
    record.body.each_value(&mut |value| bytes = bytes.saturating_add(value.len));
    if bytes > ROW_BYTES_MAX {
        return Err(refuse("it is larger than the 1 GB that a row of SQLite holds"));
    }
    match record::view(record)? {
        View::Checkpoint(view) => {
            if let PayloadView::Open { channels, .. } = view.payload
                && let Some((name, tag)) = record::sealed_channel(channels)
            {
                let why = "which SQLite cannot keep inside a checkpoint";
                return Err(refuse(&format!("channel {name:?} is sealed under {tag:?}, {why}")));
            }
            fits(&view).map_err(refuse)
        }
        View::Write(_) | View::Unit(_) => Ok(()),
    }
}

fn fits(view: &CheckpointView<'_>) -> Result<(), &'static str> {
    if !matches!(view.metadata, restow_model::Body::Bytes(_)) {
        json_text::write(view.metadata, &mut Orders::none(), &mut String::new())?;
    }
    match view.payload {
        PayloadView::Open { head, channels } => {
            packed::pack(head, channels, &mut Orders::none()).map(drop)
        }
        PayloadView::Opaque { .. } => Ok(()),
    }
}

/// Reads what is there under a key.
pub(super) fn held(
    connection: &Connection,
    place: &'static Place,
    unit: &UnitId,
    key: &Key,
) -> Result<Held, Fail> {
    let Some(table) = Table::ALL.into_iter().find(|table| table.kind() == key.kind()) else {
        return Ok(Held::Nothing);
    };
    if !is_there(connection, place, table, unit, key)? {
        return Ok(Held::Nothing);
    }
    let mut found = Held::Nothing;
    let keys = KeyRange::one(key).into();
    let what = Selection { keys, ..Selection::all() };
    let mut reading = Reading::new(connection, place)?;
    each_row(&mut reading, unit, &what, &mut |reading, table, row| {
        found = match reading.load(table, row)? {
            Found::Record(_, record) => Held::Record(Box::new(record)),
            Found::Damaged { .. } => Held::Damaged,
        };
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}

/// Says cheaply whether there is a row; in a copy there mostly is none.
fn is_there(
    connection: &Connection,
    place: &Place,
    table: Table,
    unit: &UnitId,
    key: &Key,
) -> rusqlite::Result<bool> {
    let unit = unit.as_str();
    use restow_model::KeyPart::{Int, Text};
    match (table, key.parts().as_slice()) {
        (Table::Checkpoints, [Text(ns), Text(id)]) => {
            let sql = format!(
                "SELECT 1 FROM {} WHERE thread_id = ?1 AND checkpoint_ns = ?2
                 AND checkpoint_id = ?3",
                place.checkpoints
            );
            connection.prepare_cached(&sql)?.exists(params![unit, ns, id])
        }
        (Table::Writes, [Text(ns), Text(id), Text(task), Int(index)]) => {
            let sql = format!(
                "SELECT 1 FROM {} WHERE thread_id = ?1 AND checkpoint_ns = ?2
                 AND checkpoint_id = ?3 AND task_id = ?4 AND idx = ?5",
                place.writes
            );
            connection.prepare_cached(&sql)?.exists(params![unit, ns, id, task, index])
        }
        (Table::Unit, _) => {
            if !super::shape::exists(connection, place.unit)? {
                return Ok(false);
            }
            let sql = format!("SELECT 1 FROM {} WHERE thread_id = ?1 AND key = ?2", place.unit);
            connection.prepare_cached(&sql)?.exists(params![unit, &key.as_bytes()[..]])
        }
        _ => Ok(false),
    }
}

/// Why a record was not written.
#[derive(Debug)]
pub(super) enum Unput {
    /// The layout cannot hold it.
    Unsupported(Unsupported),
    /// SQLite failed.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Unput {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Writes a record, checked before, over whatever is there.
pub(super) fn put(
    connection: &Connection,
    place: &Place,
    unit: &UnitId,
    record: &Record,
) -> Result<(), Unput> {
    let refuse =
        |why: &str| Unput::Unsupported(Unsupported { key: record.key.clone(), why: why.into() });
    match record::view(record).map_err(Unput::Unsupported)? {
        View::Checkpoint(view) => {
            let cells = checkpoint::cells(&view).map_err(refuse)?;
            put_checkpoint(connection, place, unit, &cells)?;
        }
        View::Write(view) => {
            let (bytes, class) = write::value(&view).map_err(refuse)?;
            put_write(connection, place, unit, &view, &bytes, class)?;
        }
        View::Unit(record) => side::put_unit(connection, place, unit.as_str(), record)?,
    }
    Ok(side::keep_residue(connection, place, unit.as_str(), record)?)
}

fn put_checkpoint(
    connection: &Connection,
    place: &Place,
    unit: &UnitId,
    cells: &CheckpointCells<'_>,
) -> rusqlite::Result<()> {
    let insert = |payload: &dyn rusqlite::ToSql, metadata: &dyn rusqlite::ToSql| {
        let sql = format!(
            "INSERT OR REPLACE INTO {} (thread_id, checkpoint_ns, checkpoint_id,
             parent_checkpoint_id, type, checkpoint, metadata) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            place.checkpoints
        );
        let (namespace, id) = (&cells.view.namespace, &cells.view.id);
        let (unit, parent, tag) = (unit.as_str(), cells.parent, cells.tag);
        let row = params![unit, namespace, id, parent, tag, payload, metadata];
        connection.prepare_cached(&sql)?.execute(row).map(drop)
    };
    let metadata = Bound(cells.metadata.class, &cells.metadata.bytes);
    let class = cells.payload_class;
    let len: usize = cells.payload.iter().map(Bytes::len).sum();
    let are_blobs = class == Class::Blob && cells.metadata.class == Class::Blob;
    if len > LARGE && are_blobs {
        insert(&ZeroBlob(len as u64), &ZeroBlob(cells.metadata.bytes.len() as u64))?;
        let rowid = connection.last_insert_rowid();
        let pieces = cells.payload.iter().map(|piece| &piece[..]);
        large::fill(connection, (place.checkpoints, "checkpoint", rowid), pieces)?;
        let pieces = [&cells.metadata.bytes[..]];
        return large::fill(connection, (place.checkpoints, "metadata", rowid), pieces);
    }
    match cells.payload.as_slice() {
        [whole] => insert(&Bound(class, whole), &metadata),
        pieces => insert(&Bound(class, &pieces.concat()), &metadata),
    }
}

fn put_write(
    connection: &Connection,
    place: &Place,
    unit: &UnitId,
    view: &WriteView<'_>,
    bytes: &[u8],
    class: Class,
) -> rusqlite::Result<()> {
    let sql = format!(
        "INSERT OR REPLACE INTO {} (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path,
         idx, channel, type, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        place.writes
    );
    let insert = |value: &dyn rusqlite::ToSql| {
        let (namespace, checkpoint, task) = (&view.namespace, &view.checkpoint, &view.task);
        let (unit, path, index) = (unit.as_str(), view.path, view.index);
        let (channel, tag) = (view.channel, view.tag);
        let row = params![unit, namespace, checkpoint, task, path, index, channel, tag, value];
        connection.prepare_cached(&sql)?.execute(row).map(drop)
    };
    if bytes.len() <= LARGE || class != Class::Blob {
        return insert(&Bound(class, bytes));
    }
    insert(&ZeroBlob(bytes.len() as u64))?;
    let rowid = connection.last_insert_rowid();
    large::fill(connection, (place.writes, "value", rowid), [bytes])
}

/// Removes a record and what is kept beside it; says whether it was there.
pub(super) fn remove(
    connection: &Connection,
    place: &Place,
    unit: &UnitId,
    key: &Key,
) -> rusqlite::Result<()> {
    use restow_model::KeyPart::{Int, Text};
    let id = unit.as_str();
    match (key.kind(), key.parts().as_slice()) {
        (record::CHECKPOINT, [Text(ns), Text(checkpoint)]) => {
            let sql = format!(
                "DELETE FROM {} WHERE thread_id = ?1 AND checkpoint_ns = ?2
                 AND checkpoint_id = ?3",
                place.checkpoints
            );
            connection.prepare_cached(&sql)?.execute(params![id, ns, checkpoint])?;
        }
        (record::WRITE, [Text(ns), Text(checkpoint), Text(task), Int(index)]) => {
            let sql = format!(
                "DELETE FROM {} WHERE thread_id = ?1 AND checkpoint_ns = ?2
                 AND checkpoint_id = ?3 AND task_id = ?4 AND idx = ?5",
                place.writes
            );
            connection.prepare_cached(&sql)?.execute(params![id, ns, checkpoint, task, index])?;
        }
        (record::UNIT, _) if super::shape::exists(connection, place.unit)? => {
            let sql = format!("DELETE FROM {} WHERE thread_id = ?1 AND key = ?2", place.unit);
            connection.prepare_cached(&sql)?.execute(params![id, &key.as_bytes()[..]])?;
        }
        _ => {}
    }
    side::drop_residue(connection, place, id, key)
}

/// Removes every record of a unit, and what is kept beside them.
pub(super) fn clear(connection: &Connection, place: &Place, unit: &UnitId) -> rusqlite::Result<()> {
    for table in place.tables() {
        if super::shape::exists(connection, table)? {
            let sql = format!("DELETE FROM {table} WHERE thread_id = ?1");
            connection.prepare_cached(&sql)?.execute([unit.as_str()])?;
        }
    }
    Ok(())
}

/// The content of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contents {
    /// It is not there.
    Absent,
    /// Its digest; `None` where a record is damaged.
    Digest(Option<UnitDigest>),
}

/// Digests what a unit holds, by reading it.
pub(super) fn contents(
    connection: &Connection,
    place: &'static Place,
    unit: &UnitId,
) -> Result<Contents, Fail> {
    Ok(match sum(connection, place, unit)? {
        (_, true) => Contents::Digest(None),
        (UnitDigest { records: 0, .. }, false) => Contents::Absent,
        (sum, false) => Contents::Digest(Some(sum)),
    })
}

/// Digests what can be read of a unit, and says whether something cannot.
pub(super) fn sum(
    connection: &Connection,
    place: &'static Place,
    unit: &UnitId,
) -> Result<(UnitDigest, bool), Fail> {
    let (mut sum, mut is_damaged) = (UnitDigest::default(), false);
    let mut reading = Reading::new(connection, place)?;
    each_row(&mut reading, unit, &Selection::all(), &mut |reading, table, row| {
        match reading.load(table, row)? {
            Found::Record(_, record) => sum.merge(&record.summed()),
            Found::Damaged { .. } => is_damaged = true,
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok((sum, is_damaged))
}

/// Returns the token of a unit's staged copy, where there is one, and its guard.
pub(super) fn staged(
    connection: &Connection,
    unit: &UnitId,
) -> rusqlite::Result<Option<(String, Vec<u8>)>> {
    if !super::shape::exists(connection, "restow_stage")? {
        return Ok(None);
    }
    let sql = "SELECT token, guard FROM restow_stage WHERE thread_id = ?1";
    let row = connection
        .prepare_cached(sql)?
        .query_row([unit.as_str()], |row| Ok((row.get(0)?, row.get(1)?)));
    row.optional()
}
