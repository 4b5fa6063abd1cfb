//! Journals in a table of their own, made when a store is prepared for a migration.
//!
//! Names of units are bytes, so that any text is held; `table` is always the qualified name.

use postgres::types::{ToSql, Type};
use restow_model::{Digest, UnitId};
use restow_store::Entry;
use restow_store::managed::{Noted, StoredEntry};

use super::Transaction;

/// Returns the statement that makes the table; its unqualified name is `restow_journal` or
/// `journal`.
pub fn ddl(table: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {table} (
            unit BYTEA NOT NULL, seq BIGINT NOT NULL, op_id BYTEA, keys BYTEA NOT NULL,
            PRIMARY KEY (unit, seq), UNIQUE (unit, op_id)
        )"
    )
}

/// Looks for an operation of a unit, and for its entries behind a seq.
pub fn noted(
    tx: &mut Transaction<'_>,
    table: &str,
    unit: &UnitId,
    op_id: Option<Digest>,
    after: u64,
) -> Result<Noted, postgres::Error> {
    let sql = format!(
        "SELECT (SELECT seq FROM {table} WHERE unit = $1 AND op_id = $2), \
         (SELECT count(*) FROM {table} WHERE unit = $1 AND seq > $3)"
    );
    let (unit, after) = (unit.as_str().as_bytes(), seq(after));
    let op_id = op_id.as_ref().map(|id| &id.as_bytes()[..]);
    let values: [Value<'_>; 3] =
        [(&unit, Type::BYTEA), (&op_id, Type::BYTEA), (&after, Type::INT8)];
    let row = tx.query_typed_one(&sql, &values)?;
    let (made, behind): (Option<i64>, i64) = (row.try_get(0)?, row.try_get(1)?);
    Ok(Noted { made: made.map(|made| made as u64), behind: behind as u64 })
}

/// Adds the entry of a write.
pub fn push(
    tx: &mut Transaction<'_>,
    table: &str,
    unit: &UnitId,
    entry: &Entry,
) -> Result<(), postgres::Error> {
    let sql = format!("INSERT INTO {table} (unit, seq, op_id, keys) VALUES ($1, $2, $3, $4)");
    let (unit, seq, keys) = (unit.as_str().as_bytes(), seq(entry.seq), entry.keys.to_bytes());
    let op_id = entry.op_id.as_ref().map(|id| &id.as_bytes()[..]);
    let values: [Value<'_>; 4] =
        [(&unit, Type::BYTEA), (&seq, Type::INT8), (&op_id, Type::BYTEA), (&keys, Type::BYTEA)];
    tx.execute_typed(&sql, &values).map(drop)
}

/// Reads the entries of a unit behind a seq, oldest first.
pub fn entries(
    tx: &mut Transaction<'_>,
    table: &str,
    unit: &UnitId,
    after: u64,
) -> Result<Vec<StoredEntry>, postgres::Error> {
    let sql =
        format!("SELECT seq, op_id, keys FROM {table} WHERE unit = $1 AND seq > $2 ORDER BY seq");
    let (unit, after) = (unit.as_str().as_bytes(), seq(after));
    let values: [Value<'_>; 2] = [(&unit, Type::BYTEA), (&after, Type::INT8)];
    let rows = tx.query_typed(&sql, &values)?;
    let read = |row: &postgres::Row| {
        Ok(StoredEntry { seq: row.try_get(0)?, op_id: row.try_get(1)?, keys: row.try_get(2)? })
    };
    rows.iter().map(read).collect()
}

/// Forgets the entries of a unit up to a seq.
pub fn trim(
    tx: &mut Transaction<'_>,
    table: &str,
    unit: &UnitId,
    upto: u64,
) -> Result<(), postgres::Error> {
    let sql = format!("DELETE FROM {table} WHERE unit = $1 AND seq <= $2");
    let (unit, upto) = (unit.as_str().as_bytes(), seq(upto));
    tx.execute_typed(&sql, &[(&unit, Type::BYTEA), (&upto, Type::INT8)]).map(drop)
}

type Value<'v> = (&'v (dyn ToSql + Sync), Type);

/// No seq that was stored is beyond 63 bits.
fn seq(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}
