//! Reading rows as records, in one read transaction.

use restow_model::{Key, KeyPart, Record, UnitId};
use restow_store::KeyRange;
use restow_store::managed::Beside;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, Row};

use super::super::memo::Memo;
use super::super::record::{CHECKPOINT, UNIT, WRITE, checkpoint_key, write_key};
use super::checkpoint::CheckpointRow;
use super::row::{Fault, Payload, integer, small, text, text_or_null};
use super::shape;
use super::side::{self, Place, STAGED};
use super::write::WriteRow;
use crate::engine::sqlite::control;

/// What a row turned out to be.
#[derive(Debug)]
pub(super) enum Found {
    /// A record of a unit.
    Record(UnitId, Record),
    /// Something that cannot be read.
    Damaged {
        /// The unit, where that can be told.
        unit: Option<UnitId>,
        /// Table and row.
        place: String,
        /// What is wrong.
        why: String,
    },
}

/// One of the three tables that hold records, in the order of their kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    /// `checkpoints`.
    Checkpoints,
    /// `restow_unit`.
    Unit,
    /// `writes`.
    Writes,
}

impl Table {
    /// Lists them in the order of their kinds.
    pub(super) const ALL: [Self; 3] = [Self::Checkpoints, Self::Unit, Self::Writes];

    /// Returns the kind of the table's records.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Checkpoints => CHECKPOINT,
            Self::Unit => UNIT,
            Self::Writes => WRITE,
        }
    }

    /// Returns the columns that are the key inside a unit.
    fn key_columns(self) -> &'static [&'static str] {
        match self {
            Self::Checkpoints => &["checkpoint_ns", "checkpoint_id"],
            Self::Unit => &["key"],
            Self::Writes => &["checkpoint_ns", "checkpoint_id", "task_id", "idx"],
        }
    }
}

/// Reads one place of a database.
#[derive(Debug)]
pub(super) struct Reading<'c> {
    /// The connection, inside a transaction.
    pub(super) connection: &'c Connection,
    /// Which tables.
    pub(super) place: &'static Place,
    has_tables: bool,
    has_path: bool,
    has_residue: bool,
    has_unit: bool,
    has_control: bool,
    memo: Memo,
}

impl<'c> Reading<'c> {
    /// Looks at what tables there are.
    pub(super) fn new(connection: &'c Connection, place: &'static Place) -> rusqlite::Result<Self> {
        let path = "SELECT 1 FROM pragma_table_info(?1) WHERE name = 'task_path'";
        Ok(Self {
            connection,
            place,
            has_tables: shape::exists(connection, place.checkpoints)?
                && shape::exists(connection, place.writes)?,
            has_path: *place == STAGED
                || connection.prepare_cached(path)?.exists([place.writes])?,
            has_residue: shape::exists(connection, place.residue)?,
            has_unit: shape::exists(connection, place.unit)?,
            has_control: shape::exists(connection, control::TABLE)?,
            memo: Memo::default(),
        })
    }

    /// Reads what stands beside a unit.
    pub(super) fn beside(&self, unit: &UnitId) -> rusqlite::Result<Option<Beside>> {
        match self.has_control {
            true => control::read(self.connection, unit),
            false => Ok(None),
        }
    }

    /// Lists the tables and columns that name units.
    pub(super) fn names(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let tables = Table::ALL.into_iter().filter(|table| self.has(*table));
        let control =
            (self.has_control && *self.place != STAGED).then_some((control::TABLE, "unit"));
        tables.map(|table| (self.name(table), "thread_id")).chain(control)
    }

    /// Says whether a table is there to be read.
    pub(super) fn has(&self, table: Table) -> bool {
        match table {
            Table::Unit => self.has_unit,
            _ => self.has_tables,
        }
    }

    /// Returns a table's name.
    pub(super) fn name(&self, table: Table) -> &'static str {
        match table {
            Table::Checkpoints => self.place.checkpoints,
            Table::Unit => self.place.unit,
            Table::Writes => self.place.writes,
        }
    }

    /// Writes a query for rows of a table; [`Reading::load`] reads them.
    pub(super) fn select(&self, table: Table, rest: &str) -> String {
        let columns = match table {
            // What lies behind a payload comes behind it: by then the way there is known.
            Table::Checkpoints => {
                "checkpoint_ns, checkpoint_id, parent_checkpoint_id, type,
                 typeof(checkpoint), octet_length(checkpoint),
                 CASE WHEN octet_length(checkpoint) <= 1048576 THEN checkpoint END, metadata"
            }
            Table::Unit => "key, body, items",
            Table::Writes if self.has_path => {
                "checkpoint_ns, checkpoint_id, task_id, idx, channel, type, task_path,
                 typeof(value), octet_length(value),
                 CASE WHEN octet_length(value) <= 1048576 THEN value END"
            }
            Table::Writes => {
                "checkpoint_ns, checkpoint_id, task_id, idx, channel, type, '',
                 typeof(value), octet_length(value),
                 CASE WHEN octet_length(value) <= 1048576 THEN value END"
            }
        };
        format!("SELECT rowid, thread_id, {columns} FROM {} {rest}", self.name(table))
    }

    /// Returns roughly how many bytes a row will hold as a record, without loading it.
    pub(super) fn weight(&self, table: Table, row: &Row<'_>) -> usize {
        4096 + self.payload(table).map_or(4096, |payload| payload.len(row))
    }

    /// Returns the key of a row, where its columns give one.
    pub(super) fn key(&self, table: Table, row: &Row<'_>) -> Option<Key> {
        match table {
            Table::Checkpoints => {
                Some(checkpoint_key(text(row, 2, "").ok()?, text(row, 3, "").ok()?))
            }
            Table::Unit => Key::from_bytes(super::row::bytes(row.get_ref(2).ok()?)).ok(),
            Table::Writes => Some(write_key(
                text(row, 2, "").ok()?,
                text(row, 3, "").ok()?,
                text(row, 4, "").ok()?,
                integer(row, 5, "").ok()?,
            )),
        }
    }

    /// Loads a row as a record, or says what is damaged.
    pub(super) fn load(&mut self, table: Table, row: &Row<'_>) -> rusqlite::Result<Found> {
        let rowid: i64 = row.get(0)?;
        let unit = text(row, 1, "thread_id").map(UnitId::new).ok();
        let loaded = self.record(table, rowid, row);
        let why = match (loaded, &unit) {
            (Ok(mut record), Some(unit)) => match self.add_residue(unit, &mut record) {
                Ok(()) => return Ok(Found::Record(unit.clone(), record)),
                Err(fault) => fault,
            },
            (Err(fault), _) => fault,
            (Ok(_), None) => Fault::Cell("column thread_id holds no text".into()),
        };
        match why {
            Fault::Sqlite(error) => Err(error),
            Fault::Cell(why) => {
                let place = self.whereabouts(table, rowid, unit.as_ref(), row);
                Ok(Found::Damaged { unit, place, why })
            }
        }
    }

    fn add_residue(&self, unit: &UnitId, record: &mut Record) -> Result<(), Fault> {
        match self.has_residue {
            true => side::add_residue(self.connection, self.place, unit.as_str(), record),
            false => Ok(()),
        }
    }

    fn record(&mut self, table: Table, rowid: i64, row: &Row<'_>) -> Result<Record, Fault> {
        match (table, self.payload(table)) {
            (Table::Checkpoints, Some(payload)) => {
                let row_of = CheckpointRow {
                    unit: text(row, 1, "thread_id")?,
                    namespace: text(row, 2, "checkpoint_ns")?,
                    id: text(row, 3, "checkpoint_id")?,
                    parent: text_or_null(row, 4, "parent_checkpoint_id")?,
                    tag: text_or_null(row, 5, "type")?,
                    metadata: small(row, 9, "metadata")?,
                    payload: payload.load(self.connection, rowid, row)?,
                };
                row_of.record(&mut self.memo).map_err(Fault::Cell)
            }
            (Table::Writes, Some(payload)) => Ok(WriteRow {
                namespace: text(row, 2, "checkpoint_ns")?,
                checkpoint: text(row, 3, "checkpoint_id")?,
                task: text(row, 4, "task_id")?,
                index: integer(row, 5, "idx")?,
                channel: text(row, 6, "channel")?,
                tag: text_or_null(row, 7, "type")?,
                path: text(row, 8, "task_path")?,
                value: payload.load(self.connection, rowid, row)?,
            }
            .record()),
            _ => side::unit_record(row, 2),
        }
    }

    fn payload(&self, table: Table) -> Option<Payload> {
        let (column, at) = match table {
            Table::Checkpoints => ("checkpoint", 6),
            Table::Unit => return None,
            Table::Writes => ("value", 9),
        };
        Some(Payload { table: self.name(table), column, at })
    }

    fn whereabouts(
        &self,
        table: Table,
        rowid: i64,
        unit: Option<&UnitId>,
        row: &Row<'_>,
    ) -> String {
        let name = self.name(table);
        let Some((unit, key)) = unit.zip(self.key(table, row)) else {
            return format!("table {name}, rowid {rowid}");
        };
        match (table, key.parts().as_slice()) {
            (Table::Checkpoints, [KeyPart::Text(ns), KeyPart::Text(id)]) => {
                format!("table {name}, thread {unit}, namespace {ns:?}, checkpoint {id}")
            }
            (Table::Writes, [KeyPart::Text(ns), KeyPart::Text(id), KeyPart::Text(task), _]) => {
                format!(
                    "table {name}, thread {unit}, namespace {ns:?}, checkpoint {id}, \
                     task {task}, rowid {rowid}"
                )
            }
            _ => format!("table {name}, thread {unit}, record {key}"),
        }
    }
}

/// A condition on the key columns of a table, and its parameters; wider than the range of keys
/// where that has no shape that SQL knows.
#[derive(Debug)]
pub(super) struct Condition {
    /// What follows `AND`, each with a leading `AND`.
    pub(super) sql: String,
    /// The parameters, from `?2` on.
    pub(super) parameters: Vec<Sql>,
}

/// Translates a range of keys for a table; `None` where none of its records lies in the range.
pub(super) fn condition(table: Table, range: &KeyRange) -> Option<Condition> {
    let kind = Key::of(table.kind()).build();
    let end = kind.after_prefix();
    let is_before = range.to.as_ref().is_some_and(|to| to <= kind.as_bytes());
    if is_before || range.from >= end {
        return None;
    }
    let mut condition = Condition { sql: String::new(), parameters: Vec::new() };
    if range.from > *kind.as_bytes() {
        condition.add(table, ">=", &range.from);
    }
    if let Some(to) = range.to.as_ref().filter(|to| **to < end) {
        condition.add(table, "<=", to);
    }
    Some(condition)
}

impl Condition {
    fn add(&mut self, table: Table, sign: &str, bound: &bytes::Bytes) {
        // Bounds are keys, prefixes of keys, or one of these with a byte behind it.
        let cut = bound.slice(..bound.len().saturating_sub(1));
        let parts = [bound.clone(), cut].into_iter().find_map(|b| Key::from_bytes(b).ok());
        let Some(parts) = parts.map(|key| key.parts()).filter(|p| !p.is_empty()) else { return };
        let columns = table.key_columns();
        if table == Table::Unit || parts.len() > columns.len() {
            return;
        }
        let mut places = Vec::new();
        for (n, part) in parts.into_iter().enumerate() {
            self.parameters.push(match (n, part) {
                (3, KeyPart::Int(index)) => Sql::Integer(index),
                (0..3, KeyPart::Text(text)) => Sql::Text(text),
                _ => return self.parameters.truncate(self.parameters.len() - n),
            });
            places.push(format!("?{}", self.parameters.len() + 1));
        }
        let columns = columns[..places.len()].join(", ");
        self.sql.push_str(&format!(" AND ({columns}) {sign} ({})", places.join(", ")));
    }
}

/// Returns the columns to order a table by.
pub(super) fn order_by(table: Table, is_descending: bool) -> String {
    let direction = if is_descending { " DESC" } else { "" };
    let columns: Vec<String> =
        table.key_columns().iter().map(|c| format!("{c}{direction}")).collect();
    columns.join(", ")
}
