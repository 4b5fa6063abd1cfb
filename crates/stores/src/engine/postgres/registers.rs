//! Registers in a table of their own, in the schema that restow keeps beside the application's.

use bytes::Bytes;
use postgres::Transaction;
use postgres::types::Type;
use restow_store::{Etag, RegisterName, Result, Swap};

use super::{Fail, Server};

/// Returns the statement that makes the table; `table` is its qualified name.
pub fn ddl(table: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {table} (
            name TEXT PRIMARY KEY, version BIGINT NOT NULL, bytes BYTEA NOT NULL
        )"
    )
}

/// Reads a register; the table has to be there.
pub fn read(
    tx: &mut Transaction<'_>,
    table: &str,
    name: &str,
) -> Result<Option<(Etag, Bytes)>, postgres::Error> {
    let sql = format!("SELECT version, bytes FROM {table} WHERE name = $1");
    let row = tx.query_typed_opt(&sql, &[(&name, Type::TEXT)])?;
    row.map(|row| Ok((etag(row.try_get(0)?), row.try_get::<_, Vec<u8>>(1)?.into()))).transpose()
}

/// Changes a register from a known version to new bytes.
pub async fn swap(
    server: &Server,
    table: String,
    name: RegisterName,
    was: Option<Etag>,
    now: Bytes,
) -> Result<Swap> {
    const OPERATION: &str = "change a register";
    let work = move |tx: &mut Transaction<'_>| -> Result<Swap, Fail> {
        // Two that make a register at once have no row to meet at.
        let lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
        tx.query_typed(lock, &[(&format!("{table} {}", name.0), Type::TEXT)])?;
        let held = read(tx, &table, &name.0)?;
        if held.as_ref().map(|(etag, _)| etag) != was.as_ref() {
            return Ok(Swap::Lost(held));
        }
        let version = held.and_then(|(etag, _)| number(&etag)).unwrap_or(0) + 1;
        let sql = format!(
            "INSERT INTO {table} (name, version, bytes) VALUES ($1, $2, $3) ON CONFLICT (name) \
             DO UPDATE SET version = excluded.version, bytes = excluded.bytes"
        );
        let (name, now) = (&*name.0, &now[..]);
        let row = [(&name as _, Type::TEXT), (&version as _, Type::INT8), (&now as _, Type::BYTEA)];
        tx.execute_typed(&sql, &row)?;
        Ok(Swap::Swapped(etag(version)))
    };
    server.run(OPERATION, move |server| server.write(OPERATION, work)).await
}

fn etag(version: i64) -> Etag {
    Etag(Bytes::copy_from_slice(&version.to_be_bytes()))
}

fn number(etag: &Etag) -> Option<i64> {
    etag.0[..].try_into().ok().map(i64::from_be_bytes)
}
