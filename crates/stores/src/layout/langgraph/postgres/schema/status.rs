//! How much there is: threads, rows, bytes.

use postgres::types::Type;
use restow_store::Result;

use super::super::shape::{judge, resolve};
use super::super::tables::Tables;
use super::expected::{BLOBS, CHECKPOINTS, TABLES, WRITES};
use super::found::{Found, all_side_tables, qualified};
use crate::engine::postgres::{Fail, Server, Transaction};

const OPERATION: &str = "count what there is";

/// What a table takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// The table's name; of restow's own tables, their schema's.
    pub name: String,
    /// Its rows themselves, in bytes.
    pub table_bytes: u64,
    /// Its indexes.
    pub index_bytes: u64,
    /// Its large values, with their index.
    pub toast_bytes: u64,
}

impl Size {
    /// Returns all that it takes.
    pub fn bytes(&self) -> u64 {
        self.table_bytes + self.index_bytes + self.toast_bytes
    }
}

/// How much a database holds of LangGraph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The database.
    pub database: String,
    /// The application's schema.
    pub schema: String,
    /// The newest version that was applied; −1 where none was.
    pub version: i32,
    /// Threads, by their checkpoints.
    pub threads: u64,
    /// Rows of `checkpoints`.
    pub checkpoints: u64,
    /// Rows of `checkpoint_blobs`.
    pub blobs: u64,
    /// Rows of `checkpoint_writes`.
    pub writes: u64,
    /// LangGraph's tables that are there.
    pub tables: Vec<Size>,
    /// restow's own tables, taken together; `None` where there are none.
    pub side: Option<Size>,
    /// Threads that a copy is writing, or that one left behind half written.
    pub staged: u64,
    /// Threads that a live migration looks after, deleted ones included.
    pub managed: u64,
}

/// Counts threads, rows and bytes; a database without LangGraph's tables has none.
pub async fn status(server: &Server) -> Result<Status> {
    server
        .run(OPERATION, |server| {
            server.read(OPERATION, |tx| {
                let tables = resolve(tx, server.settings())?;
                let found = Found::look(tx, &tables)?;
                judge(tx, &tables, &found)?;
                count(tx, &tables, &found)
            })
        })
        .await
}

/// Counts what was found.
pub(super) fn count(
    tx: &mut Transaction<'_>,
    tables: &Tables,
    found: &Found,
) -> Result<Status, Fail> {
    let database = tx.query_typed_one("SELECT current_database()::text", &[])?.try_get(0)?;
    let (schema, version) = (tables.schema.clone(), found.version());
    let mut status = Status { database, schema, version, ..Status::default() };
    let own = |name: &str| qualified(tables, name);
    let is_there = |table| found.table(table).is_some();
    if is_there(&CHECKPOINTS) {
        let table = own(CHECKPOINTS.name);
        status.threads = number(tx, &format!("(SELECT DISTINCT thread_id FROM {table}) t"))?;
        status.checkpoints = number(tx, &table)?;
    }
    if is_there(&BLOBS) {
        status.blobs = number(tx, &own(BLOBS.name))?;
    }
    if is_there(&WRITES) {
        status.writes = number(tx, &own(WRITES.name))?;
    }
    for table in TABLES.iter().filter(|table| is_there(table)) {
        status.tables.push(size(tx, table.name, &[&own(table.name)])?);
    }
    if found.has_any_side() {
        status.side = Some(size(tx, &tables.side, &all_side_tables(tables))?);
    }
    if found.has_side() {
        status.staged = number(tx, &tables.stage)?;
    }
    if found.has_control() {
        status.managed = number(tx, &tables.control)?;
    }
    Ok(status)
}

fn number(tx: &mut Transaction<'_>, from: &str) -> Result<u64, Fail> {
    let count: i64 =
        tx.query_typed_one(&format!("SELECT count(*) FROM {from}"), &[])?.try_get(0)?;
    Ok(count.unsigned_abs())
}

fn size(tx: &mut Transaction<'_>, name: &str, tables: &[&str]) -> Result<Size, Fail> {
    let sql = "SELECT coalesce(sum(pg_table_size(c.oid))::bigint, 0), \
                 coalesce(sum(pg_indexes_size(c.oid))::bigint, 0), \
                 coalesce(sum(pg_total_relation_size(nullif(c.reltoastrelid, 0)))::bigint, 0) \
               FROM pg_class c WHERE c.oid IN (SELECT to_regclass(name) FROM unnest($1) AS name)";
    let row = tx.query_typed_one(sql, &[(&tables, Type::TEXT_ARRAY)])?;
    let bytes = |at| row.try_get(at).map(i64::unsigned_abs);
    let (all, index_bytes, toast_bytes) = (bytes(0)?, bytes(1)?, bytes(2)?);
    let table_bytes = all.saturating_sub(toast_bytes);
    Ok(Size { name: name.to_owned(), table_bytes, index_bytes, toast_bytes })
}
