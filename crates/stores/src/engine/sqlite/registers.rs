//! Registers in a table of their own, `restow_register`, made when the first one is written.

use bytes::Bytes;
use restow_store::{Etag, RegisterName, Result, Role, StoreRecord, Swap, managed};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{Database, Fail};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS restow_register (
    name TEXT PRIMARY KEY NOT NULL, version INTEGER NOT NULL, bytes BLOB NOT NULL
) STRICT, WITHOUT ROWID";

/// Reads a register; absent where there is none, or not even the table.
pub fn read(connection: &Connection, name: &str) -> rusqlite::Result<Option<(Etag, Bytes)>> {
    let table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'restow_register'";
    if !connection.prepare_cached(table)?.exists([])? {
        return Ok(None);
    }
    let sql = "SELECT version, bytes FROM restow_register WHERE name = ?1";
    let row = connection.prepare_cached(sql)?.query_row([name], |row| {
        let bytes: Vec<u8> = row.get(1)?;
        Ok((etag(row.get(0)?), bytes.into()))
    });
    row.optional()
}

/// Changes a register from a known version to new bytes.
pub async fn swap(
    database: &Database,
    name: RegisterName,
    was: Option<Etag>,
    now: Bytes,
) -> Result<Swap> {
    let this = database.clone();
    let work = move |connection: &mut Connection| {
        let mut change = || {
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let swap = change(&tx, &name, was.as_ref(), &now)?;
            match swap {
                Swap::Swapped(_) => tx.commit().map(|()| swap),
                Swap::Lost(_) => Ok(swap),
            }
        };
        change().map_err(|e| this.failed("change a register", e))
    };
    database.run("change a register", work).await
}

/// Changes a register; the caller holds the write lock.
fn change(
    connection: &Connection,
    name: &RegisterName,
    was: Option<&Etag>,
    now: &[u8],
) -> rusqlite::Result<Swap> {
    connection.execute(TABLE, [])?;
    let held = read(connection, &name.0)?;
    if held.as_ref().map(|(etag, _)| etag) != was {
        return Ok(Swap::Lost(held));
    }
    let version = held.and_then(|(etag, _)| number(&etag)).unwrap_or(0) + 1;
    let sql = "INSERT OR REPLACE INTO restow_register VALUES (?1, ?2, ?3)";
    connection.execute(sql, params![&*name.0, version, now])?;
    Ok(Swap::Swapped(etag(version)))
}

/// Reads what the store says of itself.
pub fn store(connection: &Connection) -> Result<Option<StoreRecord>, Fail> {
    let held = read(connection, &RegisterName::store().0)?;
    Ok(managed::store_record(held.as_ref().map(|(_, bytes)| &bytes[..]))?)
}

/// Makes the store say of itself what a role needs; the caller holds the write lock.
pub fn prepare(connection: &Connection, role: Role, id: &str) -> Result<StoreRecord, Fail> {
    let (record, is_new) = managed::prepared(store(connection)?, role, id);
    if is_new {
        declare(connection, &record)?;
    }
    Ok(record)
}

/// Ends the store's part in migrations; says whether it had one, so that what is kept beside the
/// units goes too. The caller holds the write lock.
pub fn release(connection: &Connection) -> Result<bool, Fail> {
    let record = managed::released(store(connection)?.as_ref())?;
    if let Some(record) = &record {
        declare(connection, record)?;
    }
    Ok(record.is_some())
}

fn declare(connection: &Connection, record: &StoreRecord) -> rusqlite::Result<()> {
    let name = RegisterName::store();
    let was = read(connection, &name.0)?.map(|(etag, _)| etag);
    change(connection, &name, was.as_ref(), &record.to_bytes()).map(drop)
}

fn etag(version: i64) -> Etag {
    Etag(Bytes::copy_from_slice(&version.to_be_bytes()))
}

fn number(etag: &Etag) -> Option<i64> {
    etag.0[..].try_into().ok().map(i64::from_be_bytes)
}
