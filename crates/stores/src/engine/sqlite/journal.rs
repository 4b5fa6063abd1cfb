//! Journals in a table of their own, `restow_journal`, made when a store is prepared for a
//! migration.

use restow_model::{Digest, UnitId};
use restow_store::Entry;
use restow_store::managed::{Noted, StoredEntry};
use rusqlite::{Connection, OptionalExtension, params};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS restow_journal (
    unit TEXT NOT NULL, seq INTEGER NOT NULL, op_id BLOB, keys BLOB NOT NULL,
    PRIMARY KEY (unit, seq)
) STRICT, WITHOUT ROWID";
const BY_OPERATION: &str = "CREATE UNIQUE INDEX IF NOT EXISTS restow_journal_op
    ON restow_journal (unit, op_id) WHERE op_id IS NOT NULL";

/// Forgets every entry.
pub fn clear(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM restow_journal", []).map(drop)
}

/// Makes the table.
pub fn make(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute(TABLE, [])?;
    connection.execute(BY_OPERATION, []).map(drop)
}

/// Looks for an operation of a unit, and for its entries behind a seq.
pub fn noted(
    connection: &Connection,
    unit: &UnitId,
    op_id: Option<Digest>,
    after: u64,
) -> rusqlite::Result<Noted> {
    let made: Option<i64> = match op_id {
        None => None,
        Some(op_id) => {
            let sql = "SELECT seq FROM restow_journal WHERE unit = ?1 AND op_id = ?2";
            let values = params![unit.as_str(), &op_id.as_bytes()[..]];
            connection.prepare_cached(sql)?.query_row(values, |row| row.get(0)).optional()?
        }
    };
    let sql = "SELECT count(*) FROM restow_journal WHERE unit = ?1 AND seq > ?2";
    let values = params![unit.as_str(), seq(after)];
    let behind: i64 = connection.prepare_cached(sql)?.query_row(values, |row| row.get(0))?;
    Ok(Noted { made: made.map(|made| made as u64), behind: behind as u64 })
}

/// Adds the entry of a write.
pub fn push(connection: &Connection, unit: &UnitId, entry: &Entry) -> rusqlite::Result<()> {
    let sql = "INSERT INTO restow_journal (unit, seq, op_id, keys) VALUES (?1, ?2, ?3, ?4)";
    let op_id = entry.op_id.as_ref().map(|id| &id.as_bytes()[..]);
    let values = params![unit.as_str(), seq(entry.seq), op_id, entry.keys.to_bytes()];
    connection.prepare_cached(sql)?.execute(values).map(drop)
}

/// Reads the entries of a unit behind a seq, oldest first.
pub fn entries(
    connection: &Connection,
    unit: &UnitId,
    after: u64,
) -> rusqlite::Result<Vec<StoredEntry>> {
    let sql = "SELECT seq, op_id, keys FROM restow_journal WHERE unit = ?1 AND seq > ?2 \
               ORDER BY seq";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![unit.as_str(), seq(after)], |row| {
        Ok(StoredEntry { seq: row.get(0)?, op_id: row.get(1)?, keys: row.get(2)? })
    })?;
    rows.collect()
}

/// Forgets the entries of a unit up to a seq.
pub fn trim(connection: &Connection, unit: &UnitId, upto: u64) -> rusqlite::Result<()> {
    let sql = "DELETE FROM restow_journal WHERE unit = ?1 AND seq <= ?2";
    connection.prepare_cached(sql)?.execute(params![unit.as_str(), seq(upto)]).map(drop)
}

/// No seq that was stored is beyond 63 bits.
fn seq(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}
