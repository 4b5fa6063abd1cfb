//! Registers in a table of their own, in the schema that restow keeps beside the application's.

use bytes::Bytes;
use postgres::SimpleQueryMessage;
use postgres::types::Type;
use restow_store::{Etag, RegisterName, Result, Role, StoreRecord, Swap, managed};

use super::{Fail, Server, Transaction};

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
        Ok(change(tx, &table, &name, was.as_ref(), &now)?)
    };
    server.run(OPERATION, move |server| server.write(OPERATION, work)).await
}

fn change(
    tx: &mut Transaction<'_>,
    table: &str,
    name: &RegisterName,
    was: Option<&Etag>,
    now: &[u8],
) -> Result<Swap, postgres::Error> {
    // Two that make a register at once have no row to meet at.
    lock(tx, "pg_advisory_xact_lock", table, name)?;
    let held = read(tx, table, &name.0)?;
    if held.as_ref().map(|(etag, _)| etag) != was {
        return Ok(Swap::Lost(held));
    }
    let version = held.and_then(|(etag, _)| number(&etag)).unwrap_or(0) + 1;
    let sql = format!(
        "INSERT INTO {table} (name, version, bytes) VALUES ($1, $2, $3) ON CONFLICT (name) \
         DO UPDATE SET version = excluded.version, bytes = excluded.bytes"
    );
    let name = &*name.0;
    let row = [(&name as _, Type::TEXT), (&version as _, Type::INT8), (&now as _, Type::BYTEA)];
    tx.execute_typed(&sql, &row)?;
    Ok(Swap::Swapped(etag(version)))
}

/// Reads what the store says of itself; the table has to be there.
pub fn store(tx: &mut Transaction<'_>, table: &str) -> Result<Option<StoreRecord>, Fail> {
    let held = read(tx, table, &RegisterName::store().0)?;
    Ok(managed::store_record(held.as_ref().map(|(_, bytes)| &bytes[..]))?)
}

/// Reads the bytes of the store's record, which stays what it is until the transaction ends.
pub fn held_store(tx: &mut Transaction<'_>, table: &str) -> Result<Option<Bytes>, postgres::Error> {
    let name = RegisterName::store();
    // In one round trip, and yet what is read is what there is once the lock is held.
    let sql = format!(
        "SELECT pg_advisory_xact_lock_shared(hashtextextended({}, 0)); \
         SELECT encode(bytes, 'hex') AS hex FROM {table} WHERE name = {}",
        literal(&lock_name(table, &name)),
        literal(&name.0)
    );
    let answers = tx.simple_query(&sql)?;
    let hex = answers.iter().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => row.try_get("hex").ok().flatten(),
        _ => None,
    });
    let byte = |at: usize| u8::from_str_radix(hex?.get(at..at + 2)?, 16).ok();
    Ok(hex.and_then(|hex| (0..hex.len()).step_by(2).map(byte).collect()))
}

/// Writes a text as SQL does, whatever the server takes a backslash for.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Makes the store say of itself what a role needs; several may come at once.
pub fn prepare(
    tx: &mut Transaction<'_>,
    table: &str,
    role: Role,
    id: &str,
) -> Result<StoreRecord, Fail> {
    let held = store(tx, table)?;
    let (record, is_new) = managed::prepared(held, role, id);
    if !is_new {
        return Ok(record);
    }
    // Whoever came first is seen only behind the lock.
    lock(tx, "pg_advisory_xact_lock", table, &RegisterName::store())?;
    let (record, is_new) = managed::prepared(store(tx, table)?, role, id);
    if is_new {
        declare(tx, table, &record)?;
    }
    Ok(record)
}

/// Ends the store's part in migrations; says whether it had one, so that what is kept beside the
/// units goes too. Waits for everybody who writes.
pub fn release(tx: &mut Transaction<'_>, table: &str) -> Result<bool, Fail> {
    lock(tx, "pg_advisory_xact_lock", table, &RegisterName::store())?;
    let record = managed::released(store(tx, table)?.as_ref())?;
    if let Some(record) = &record {
        declare(tx, table, record)?;
    }
    Ok(record.is_some())
}

/// Writes the store's record; the caller holds its lock.
fn declare(
    tx: &mut Transaction<'_>,
    table: &str,
    record: &StoreRecord,
) -> Result<(), postgres::Error> {
    let name = RegisterName::store();
    let was = read(tx, table, &name.0)?.map(|(etag, _)| etag);
    change(tx, table, &name, was.as_ref(), &record.to_bytes()).map(drop)
}

fn lock(
    tx: &mut Transaction<'_>,
    how: &str,
    table: &str,
    name: &RegisterName,
) -> Result<(), postgres::Error> {
    let sql = format!("SELECT {how}(hashtextextended($1, 0))");
    tx.query_typed(&sql, &[(&lock_name(table, name), Type::TEXT)]).map(drop)
}

/// Returns what a register is locked by: the hash of this text.
pub fn lock_name(table: &str, name: &RegisterName) -> String {
    format!("{table} {}", name.0)
}

fn etag(version: i64) -> Etag {
    Etag(Bytes::copy_from_slice(&version.to_be_bytes()))
}

fn number(etag: &Etag) -> Option<i64> {
    etag.0[..].try_into().ok().map(i64::from_be_bytes)
}
