//! Control records beside an application's own tables, in a table of restow's own.
//!
//! A row holds a unit's control record and, while a copy is staged beside it, the digest of that
//! copy. Names of units are bytes; `table` is always the qualified name.

use postgres::types::{ToSql, Type};
use restow_model::UnitId;
use restow_store::managed::Beside;

use super::Transaction;

/// Returns the statement that makes the table.
pub fn ddl(table: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {table} (
            unit BYTEA PRIMARY KEY, record BYTEA NOT NULL, staged BYTEA
        )"
    )
}

/// Reads what stands beside units, as far as there is something.
pub fn read(
    tx: &mut Transaction<'_>,
    table: &str,
    units: &[&UnitId],
) -> Result<Vec<(UnitId, Beside)>, postgres::Error> {
    let sql = format!("SELECT unit, record, staged FROM {table} WHERE unit = ANY($1)");
    let names: Vec<&[u8]> = units.iter().map(|unit| unit.as_str().as_bytes()).collect();
    let rows = tx.query_typed(&sql, &[(&names, Type::BYTEA_ARRAY)])?;
    let read = |row: &postgres::Row| {
        let unit = UnitId::new(String::from_utf8_lossy(row.try_get(0)?));
        Ok((unit, Beside { record: row.try_get(1)?, staged: row.try_get(2)? }))
    };
    rows.iter().map(read).collect()
}

/// Keeps what stands beside a unit.
pub fn save(
    tx: &mut Transaction<'_>,
    table: &str,
    unit: &UnitId,
    beside: &Beside,
) -> Result<(), postgres::Error> {
    let sql = format!(
        "INSERT INTO {table} (unit, record, staged) VALUES ($1, $2, $3) ON CONFLICT (unit) \
         DO UPDATE SET record = excluded.record, staged = excluded.staged"
    );
    let unit = unit.as_str().as_bytes();
    let values: [(&(dyn ToSql + Sync), Type); 3] =
        [(&unit, Type::BYTEA), (&beside.record, Type::BYTEA), (&beside.staged, Type::BYTEA)];
    tx.execute_typed(&sql, &values).map(drop)
}

/// Removes it.
pub fn remove(tx: &mut Transaction<'_>, table: &str, unit: &UnitId) -> Result<(), postgres::Error> {
    let sql = format!("DELETE FROM {table} WHERE unit = $1");
    let unit = unit.as_str().as_bytes();
    tx.execute_typed(&sql, &[(&unit, Type::BYTEA)]).map(drop)
}
