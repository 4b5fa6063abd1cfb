//! Walking units: which there are, and the frames of one.

use std::ops::ControlFlow;

use restow_model::{Control, Dialect, Key, KeyPart, UnitDigest, UnitId};
use restow_store::feed::{FrameSender, Stop};
use restow_store::{Content, Frame, KeyRange, Keys, Order, Selection, UnitPage};
use rusqlite::types::{ToSqlOutput, Value as Sql, ValueRef};
use rusqlite::{Connection, OptionalExtension, ToSql};

use super::super::dialect;
use super::reading::{Found, Reading, Table, condition, order_by};
use super::row;
use super::side::{ACTIVE, STAGED};

/// A thread id as it is stored, whatever it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stored {
    /// Text, UTF-8 or not.
    Text(Vec<u8>),
    /// What no thread id should be.
    Other(Sql),
}

impl ToSql for Stored {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Text(bytes) => Ok(ToSqlOutput::Borrowed(ValueRef::Text(bytes))),
            Self::Other(value) => Ok(ToSqlOutput::Borrowed(value.into())),
        }
    }
}

impl Stored {
    fn of(value: ValueRef<'_>) -> rusqlite::Result<Self> {
        Ok(match value {
            ValueRef::Text(bytes) => Self::Text(bytes.to_vec()),
            other => Self::Other(other.try_into()?),
        })
    }

    /// Returns the unit, where this names one.
    pub(super) fn unit(&self) -> Option<UnitId> {
        match self {
            Self::Text(bytes) => std::str::from_utf8(bytes).ok().map(UnitId::new),
            Self::Other(_) => None,
        }
    }

    /// Compares as SQLite does under BINARY: text before blobs.
    fn is_before(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a < b,
            (Self::Other(Sql::Blob(a)), Self::Other(Sql::Blob(b))) => a < b,
            (Self::Text(_), Self::Other(other)) => matches!(other, Sql::Blob(_)),
            (Self::Other(other), Self::Text(_)) => !matches!(other, Sql::Blob(_)),
            (Self::Other(a), Self::Other(_)) => !matches!(a, Sql::Blob(_)),
        }
    }
}

/// Returns the first thread id behind one (or from one on), of all tables together.
pub(super) fn next_unit(
    reading: &Reading<'_>,
    from: Option<&Stored>,
    inclusive: bool,
) -> rusqlite::Result<Option<Stored>> {
    let mut first: Option<Stored> = None;
    for (table, column) in reading.names() {
        let condition = match (from, inclusive) {
            (None, _) => "?1 IS NULL".to_owned(),
            (Some(_), true) => format!("{column} >= ?1"),
            (Some(_), false) => format!("{column} > ?1"),
        };
        let sql =
            format!("SELECT {column} FROM {table} WHERE {condition} ORDER BY {column} LIMIT 1");
        let found = reading
            .connection
            .prepare_cached(&sql)?
            .query_row([from], |row| Stored::of(row.get_ref(0)?))
            .optional()?;
        if let Some(found) = found
            && first.as_ref().is_none_or(|first| found.is_before(first))
        {
            first = Some(found);
        }
    }
    Ok(first)
}

/// So many units are listed at once.
const UNITS_AT_ONCE: usize = 256;

/// Lists the units behind one with their control records, and says where to go on.
pub(super) fn list(
    connection: &Connection,
    behind: Option<&UnitId>,
) -> Result<(UnitPage, Option<Option<UnitId>>), Fail> {
    let reading = Reading::new(connection, &ACTIVE)?;
    let bytes = behind.map_or(&[][..], |unit| unit.as_str().as_bytes());
    // Before all text comes what names no unit, and behind it too.
    let (mut from, mut inclusive) = (Stored::Text(bytes.to_vec()), behind.is_none());
    let mut page = UnitPage::new();
    while page.len() < UNITS_AT_ONCE {
        let next = next_unit(&reading, Some(&from), inclusive)?;
        let Some(id @ Stored::Text(_)) = next else { return Ok((page, None)) };
        if let Some(unit) = id.unit() {
            let beside = reading.beside(&unit)?;
            let control = beside.map(|beside| beside.control(&unit)).transpose();
            page.push((unit, control));
        }
        (from, inclusive) = (id, false);
    }
    let last = page.last().map(|(unit, _)| Some(unit.clone()));
    Ok((page, last))
}

/// Says whether a unit is there.
pub(super) fn exists(reading: &Reading<'_>, unit: &UnitId) -> rusqlite::Result<bool> {
    for (table, column) in reading.names() {
        let sql = format!("SELECT 1 FROM {table} WHERE {column} = ?1 LIMIT 1");
        if reading.connection.prepare_cached(&sql)?.exists([unit.as_str()])? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Tells a unit's dialect by its content.
pub(super) fn dialect_of(reading: &Reading<'_>, unit: &UnitId) -> rusqlite::Result<Dialect> {
    if !reading.has(Table::Checkpoints) {
        return Ok(Dialect::Any);
    }
    let tag = |table: &str, rest: &str| -> rusqlite::Result<Option<Dialect>> {
        let sql = format!("SELECT type FROM {table} WHERE thread_id = ?1 {rest} LIMIT 1");
        let mut statement = reading.connection.prepare_cached(&sql)?;
        let mut rows = statement.query([unit.as_str()])?;
        let row = rows.next()?;
        Ok(row.and_then(|row| dialect::of_tag(row::text(row, 0, "type").ok())))
    };
    if let Some(dialect) = tag(reading.name(Table::Checkpoints), "")? {
        return Ok(dialect);
    }
    if let Some(dialect) = json_dialect(reading, unit)? {
        return Ok(dialect);
    }
    // Nothing JavaScript writes carries these tags.
    let python = "AND (type LIKE 'msgpack%' OR type LIKE 'pickle%')";
    for table in [Table::Checkpoints, Table::Writes] {
        if let Some(dialect) = tag(reading.name(table), python)? {
            return Ok(dialect);
        }
    }
    Ok(Dialect::Any)
}

fn json_dialect(reading: &Reading<'_>, unit: &UnitId) -> rusqlite::Result<Option<Dialect>> {
    let sql = format!(
        "SELECT checkpoint FROM {} WHERE thread_id = ?1 AND type = 'json'",
        reading.name(Table::Checkpoints)
    );
    let mut statement = reading.connection.prepare_cached(&sql)?;
    let mut rows = statement.query([unit.as_str()])?;
    while let Some(row) = rows.next()? {
        if let Some(dialect) = dialect::of_json(&row::bytes(row.get_ref(0)?)) {
            return Ok(Some(dialect));
        }
    }
    Ok(None)
}

/// Is called for a row before its record is loaded.
pub(super) type Visit<'v> =
    &'v mut dyn FnMut(&mut Reading<'_>, Table, &rusqlite::Row<'_>) -> Result<ControlFlow<()>, Fail>;

/// Calls `visit` for each row of a unit's records in a selection, in its order.
pub(super) fn each_row(
    reading: &mut Reading<'_>,
    unit: &UnitId,
    what: &Selection,
    visit: Visit<'_>,
) -> Result<(), Fail> {
    let is_descending = what.order == Order::Descending;
    let mut tables = Table::ALL;
    if is_descending {
        tables.reverse();
    }
    let mut left = what.limit.unwrap_or(usize::MAX);
    for table in tables {
        if !reading.has(table) {
            continue;
        }
        let order = order_by(table, is_descending);
        let mut ranges: Vec<KeyRange> = what.keys.ranges().collect();
        if is_descending {
            ranges.reverse();
        }
        for range in ranges {
            let Some(condition) = condition(table, &range) else { continue };
            let rest = format!("WHERE thread_id = ?1{} ORDER BY {order}", condition.sql);
            let connection: &Connection = reading.connection;
            let mut statement = connection.prepare_cached(&reading.select(table, &rest))?;
            let mut parameters = vec![Sql::Text(unit.as_str().to_owned())];
            parameters.extend(condition.parameters);
            let mut rows = statement.query(rusqlite::params_from_iter(parameters))?;
            while left > 0 {
                let Some(row) = rows.next()? else { break };
                // A row without a key is of every range, and of no set.
                let is_in = match reading.key(table, row) {
                    Some(key) => range.contains(&key),
                    None => matches!(what.keys, Keys::Range(_)),
                };
                if !is_in {
                    continue;
                }
                left -= 1;
                if visit(reading, table, row)?.is_break() {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

pub(super) use crate::engine::sqlite::Fail;

/// Sends a unit's frames; `mark` is called with the last key whenever a good share was sent.
pub(super) fn send_unit(
    reading: &mut Reading<'_>,
    unit: &UnitId,
    what: &Selection,
    sender: &FrameSender,
    mark: &mut dyn FnMut(&Key, usize) -> Result<(), Stop>,
) -> Result<(), Fail> {
    let Some(Beginning { control, digest }) = begin(reading, unit, sender)? else { return Ok(()) };
    if what.content != Content::Nothing {
        let sent = each_row(reading, unit, what, &mut |reading, table, row| {
            let weight = reading.weight(table, row);
            let room = sender.reserve(weight)?;
            match reading.load(table, row)? {
                Found::Record(_, mut record) => {
                    if what.content != Content::All {
                        record.values.clear();
                    }
                    let key = record.key.clone();
                    sender.record(Frame::Record(record), room)?;
                    mark(&key, weight)?;
                }
                Found::Damaged { unit, place, why } => {
                    sender.send(Frame::Damaged { unit, place, why })?;
                }
            }
            Ok(ControlFlow::Continue(()))
        });
        match sent {
            Err(Fail::Engine(error)) if is_corrupt(&error) => {
                sender.send(Frame::Damaged {
                    unit: Some(unit.clone()),
                    place: format!("table {}, thread {unit}", reading.name(Table::Checkpoints)),
                    why: format!("pages of the database file are damaged: {error}"),
                })?;
            }
            other => other?,
        }
    }
    sender.send(Frame::End { unit: unit.clone(), control, digest })?;
    Ok(())
}

/// What is known of a unit before its records.
pub(super) struct Beginning {
    /// Its control record.
    pub(super) control: Option<Control>,
    /// The digest of what is read, kept under a control record.
    pub(super) digest: Option<UnitDigest>,
}

/// Begins a unit. Nothing of it is read where its control record cannot be: it is not to be taken
/// for a unit that has none.
pub(super) fn begin(
    reading: &Reading<'_>,
    unit: &UnitId,
    sender: &FrameSender,
) -> Result<Option<Beginning>, Fail> {
    let beside = reading.beside(unit)?;
    let control = match beside.as_ref().map(|beside| beside.control(unit)).transpose() {
        Ok(control) => control,
        Err(error) => {
            let place = format!("table {}, unit {unit}", crate::engine::sqlite::control::TABLE);
            let (unit, why) = (Some(unit.clone()), error.message().to_owned());
            sender.send(Frame::Damaged { unit, place, why })?;
            return Ok(None);
        }
    };
    let digest = match *reading.place == STAGED {
        true => beside.and_then(|beside| beside.staged()),
        false => control.as_ref().map(|control| control.digest),
    };
    let dialect = dialect_of(reading, unit)?;
    sender.send(Frame::Begin { unit: unit.clone(), dialect, control: control.clone() })?;
    Ok(Some(Beginning { control, digest }))
}

/// Says whether pages of the file are damaged, so that other pages may still be sound.
pub(super) fn is_corrupt(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt)
}

/// Reports the rows of a thread id that names no unit.
pub(super) fn report_nameless(
    reading: &mut Reading<'_>,
    id: &Stored,
    sender: &FrameSender,
) -> Result<(), Fail> {
    for table in Table::ALL {
        if !reading.has(table) {
            continue;
        }
        let connection: &Connection = reading.connection;
        let sql = reading.select(table, "WHERE thread_id IS ?1");
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query([id])?;
        while let Some(row) = rows.next()? {
            if let Found::Damaged { unit, place, why } = reading.load(table, row)? {
                sender.send(Frame::Damaged { unit, place, why })?;
            }
        }
    }
    Ok(())
}

/// Selects what lies behind a key of a unit.
pub(super) fn behind(key: Option<&Key>) -> Selection {
    let keys = key.map(KeyRange::after).unwrap_or_default().into();
    Selection { keys, ..Selection::all() }
}

/// Returns a key's elements as text, for the key of a checkpoint.
pub(super) fn checkpoint_of(key: &Key) -> Option<(String, String)> {
    match <[KeyPart; 2]>::try_from(key.parts()).ok()? {
        [KeyPart::Text(namespace), KeyPart::Text(id)] => Some((namespace, id)),
        _ => None,
    }
}
