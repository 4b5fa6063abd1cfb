//! restow's own tables beside LangGraph's, each made when it is first written to.
//!
//! - `restow_residue`: what other layouts say about a record, which this one only keeps.
//! - `restow_unit`: records that belong to a unit alone; `items` are its values one behind the
//!   other: form, length (varint), bytes.
//! - `restow_stage`, `restow_stage_*`: units that are being staged, gone when none is.

use restow_model::{Body, Digest, Key, Record, Residue, canonical};
use rusqlite::{Connection, Row, params};

use super::super::beside;
use super::residue::{Difference, LAYOUT};
use super::row::{Fault, bytes};
use super::shape::{CHECKPOINTS_DDL, WRITES_DDL};

/// The tables of units: the active ones, or those of staged copies.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Checkpoints.
    pub(super) checkpoints: &'static str,
    /// Pending writes.
    pub(super) writes: &'static str,
    /// Residues of other layouts.
    pub(super) residue: &'static str,
    /// Records that belong to a unit alone.
    pub(super) unit: &'static str,
}

/// What readers of the store see.
pub(super) static ACTIVE: Place = Place {
    checkpoints: "checkpoints",
    writes: "writes",
    residue: "restow_residue",
    unit: "restow_unit",
};
/// What is being staged.
pub(super) static STAGED: Place = Place {
    checkpoints: "restow_stage_checkpoints",
    writes: "restow_stage_writes",
    residue: "restow_stage_residue",
    unit: "restow_stage_unit",
};

impl Place {
    /// Lists all four tables.
    pub(super) fn tables(&self) -> [&'static str; 4] {
        [self.checkpoints, self.writes, self.residue, self.unit]
    }

    /// Makes the table of residues.
    pub(super) fn make_residue(&self, connection: &Connection) -> rusqlite::Result<()> {
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS {} (
                thread_id TEXT NOT NULL, key BLOB NOT NULL, layout TEXT NOT NULL,
                format INTEGER NOT NULL, record BLOB NOT NULL, bytes BLOB NOT NULL,
                PRIMARY KEY (thread_id, key, layout)
            ) STRICT, WITHOUT ROWID",
            self.residue
        );
        connection.execute(&sql, []).map(drop)
    }

    /// Makes the table of units' own records.
    pub(super) fn make_unit(&self, connection: &Connection) -> rusqlite::Result<()> {
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS {} (
                thread_id TEXT NOT NULL, key BLOB NOT NULL, body BLOB NOT NULL,
                items BLOB NOT NULL, PRIMARY KEY (thread_id, key)
            ) STRICT",
            self.unit
        );
        connection.execute(&sql, []).map(drop)
    }
}

/// Makes the tables of staged copies.
pub(super) fn make_stage(connection: &Connection) -> rusqlite::Result<()> {
    let checkpoints = CHECKPOINTS_DDL.replacen("checkpoints", STAGED.checkpoints, 1);
    let writes = WRITES_DDL.replacen("writes", STAGED.writes, 1);
    connection.execute(&checkpoints, [])?;
    connection.execute(&writes, [])?;
    STAGED.make_residue(connection)?;
    STAGED.make_unit(connection)?;
    let sql = "CREATE TABLE IF NOT EXISTS restow_stage (
            thread_id TEXT PRIMARY KEY NOT NULL, token TEXT NOT NULL, guard BLOB NOT NULL
        ) STRICT, WITHOUT ROWID";
    connection.execute(sql, []).map(drop)
}

/// Reads what other layouts say about a record and adds it, in the order of the layouts' names.
pub(super) fn add_residue(
    connection: &Connection,
    place: &Place,
    unit: &str,
    record: &mut Record,
) -> Result<(), Fault> {
    let sql = format!(
        "SELECT layout, format, record, bytes FROM {} WHERE thread_id = ?1 AND key = ?2",
        place.residue
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![unit, &record.key.as_bytes()[..]])?;
    while let Some(row) = rows.next()? {
        let layout: Box<str> = row.get(0)?;
        if record.residue.iter().any(|r| r.layout == layout) {
            continue;
        }
        let digest = Digest::from_slice(&bytes(row.get_ref(2)?));
        record.residue.push(Residue {
            layout,
            format: row.get(1)?,
            record: digest.ok_or(Fault::Cell("a residue's digest is cut short".into()))?,
            bytes: bytes(row.get_ref(3)?),
        });
    }
    record.residue.sort_by(|a, b| a.layout.cmp(&b.layout));
    Ok(())
}

/// Keeps what other layouts say about a record, instead of what was kept before.
pub(super) fn keep_residue(
    connection: &Connection,
    place: &Place,
    unit: &str,
    record: &Record,
) -> rusqlite::Result<()> {
    drop_residue(connection, place, unit, &record.key)?;
    // The own one is in the row, unless no row could say it.
    let own = Difference::is_told_by_row(record);
    for residue in record.residue.iter().filter(|r| !own || &*r.layout != LAYOUT) {
        if &*residue.layout == LAYOUT && residue.record != record.digest() {
            continue;
        }
        place.make_residue(connection)?;
        let sql = format!("INSERT INTO {} VALUES (?1, ?2, ?3, ?4, ?5, ?6)", place.residue);
        connection.prepare_cached(&sql)?.execute(params![
            unit,
            &record.key.as_bytes()[..],
            &*residue.layout,
            residue.format,
            &residue.record.as_bytes()[..],
            &residue.bytes[..],
        ])?;
    }
    Ok(())
}

/// Forgets what other layouts say about a record.
pub(super) fn drop_residue(
    connection: &Connection,
    place: &Place,
    unit: &str,
    key: &Key,
) -> rusqlite::Result<()> {
    if super::shape::exists(connection, place.residue)? {
        let sql = format!("DELETE FROM {} WHERE thread_id = ?1 AND key = ?2", place.residue);
        connection.prepare_cached(&sql)?.execute(params![unit, &key.as_bytes()[..]])?;
    }
    Ok(())
}

/// Stores a record that belongs to a unit alone.
pub(super) fn put_unit(
    connection: &Connection,
    place: &Place,
    unit: &str,
    record: &Record,
) -> rusqlite::Result<()> {
    place.make_unit(connection)?;
    let (body, items) = beside::encode(record);
    let sql = format!(
        "INSERT OR REPLACE INTO {} (thread_id, key, body, items) VALUES (?1, ?2, ?3, ?4)",
        place.unit
    );
    let key = &record.key.as_bytes()[..];
    connection.prepare_cached(&sql)?.execute(params![unit, key, body, items]).map(drop)
}

/// Reads a record that belongs to a unit alone, from its key, body and items.
pub(super) fn unit_record(row: &Row<'_>, at: usize) -> Result<Record, Fault> {
    let fault = |why: restow_model::Malformed| Fault::Cell(why.to_string());
    let key = Key::from_bytes(bytes(row.get_ref(at)?)).map_err(fault)?;
    let body: Body = canonical::decode(&bytes(row.get_ref(at + 1)?)).map_err(fault)?;
    let items = bytes(row.get_ref(at + 2)?);
    let values =
        beside::values(&items).ok_or(Fault::Cell("the unit's values are cut short".into()))?;
    Ok(Record { values, ..Record::new(key, body) })
}
