//! Control records beside an application's own tables, in `restow_control`.
//!
//! A row holds a unit's control record and, while a copy is staged beside it, the digest of that
//! copy. The table is made when a store is prepared for a migration, together with the journal.

use restow_model::UnitId;
use restow_store::managed::Beside;
use rusqlite::{Connection, OptionalExtension, params};

use super::journal;

/// The table's name.
pub const TABLE: &str = "restow_control";

const DDL: &str = "CREATE TABLE IF NOT EXISTS restow_control (
    unit TEXT PRIMARY KEY NOT NULL, record BLOB NOT NULL, staged BLOB
) STRICT, WITHOUT ROWID";

/// Makes the table, and that of the journal.
pub fn make(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute(DDL, [])?;
    journal::make(connection)
}

/// Reads what stands beside a unit; the table has to be there.
pub fn read(connection: &Connection, unit: &UnitId) -> rusqlite::Result<Option<Beside>> {
    let sql = "SELECT record, staged FROM restow_control WHERE unit = ?1";
    let row = connection
        .prepare_cached(sql)?
        .query_row([unit.as_str()], |row| Ok(Beside { record: row.get(0)?, staged: row.get(1)? }));
    row.optional()
}

/// Keeps it.
pub fn save(connection: &Connection, unit: &UnitId, beside: &Beside) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO restow_control (unit, record, staged) VALUES (?1, ?2, ?3)";
    let values = params![unit.as_str(), beside.record, beside.staged];
    connection.prepare_cached(sql)?.execute(values).map(drop)
}

/// Removes what stands beside every unit, and every journal.
pub fn clear(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM restow_control", [])?;
    journal::clear(connection)
}

/// Removes it, and the unit's journal.
pub fn remove(connection: &Connection, unit: &UnitId) -> rusqlite::Result<()> {
    let sql = "DELETE FROM restow_control WHERE unit = ?1";
    connection.prepare_cached(sql)?.execute([unit.as_str()])?;
    journal::trim(connection, unit, u64::MAX)
}
