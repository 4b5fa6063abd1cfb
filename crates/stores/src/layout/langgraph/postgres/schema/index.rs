//! Indexes on tables with rows, built while others write.
//!
//! Format: PostgreSQL 12, "Building Indexes Concurrently": an interrupted build leaves an index
//! that is not valid. It is dropped and built anew: `REINDEX INDEX CONCURRENTLY`, interrupted in
//! its turn, would leave a second index of another name.

use postgres::types::Type;
use restow_store::Result;

use super::super::tables::{Tables, quoted};
use super::expected::Table;
use super::found::{self, qualified};
use super::up::opened;
use crate::engine::postgres::{Fail, Server, Transaction};

const OPERATION: &str = "build an index";

/// An index that is to be built.
#[derive(Debug)]
pub(super) struct Build {
    pub(super) table: &'static Table,
    pub(super) name: &'static str,
}

/// Builds an index, or waits for whoever builds it; returns what was made, in words.
///
/// No lock is held meanwhile: a build waits for everybody who waits with a statement under way. So
/// two may still begin at once; PostgreSQL then ends one of them, and the loser looks again.
pub(super) fn build(server: &Server, tables: &Tables, build: &Build) -> Result<Option<String>> {
    pause(server)?;
    let (index, on) = (qualified(tables, build.name), qualified(tables, build.table.name));
    let (is_busy, is_valid) = opened(server.write(OPERATION, |tx| state(tx, tables, build)))?;
    if is_busy {
        // LOCK waits without a view of the database, so that the build does not wait for it.
        let wait = format!("SET LOCAL lock_timeout = '2s'; LOCK TABLE {on} IN {MODE} MODE");
        opened(server.write(OPERATION, |tx| Ok(tx.batch_execute(&wait)?)))?;
        return Ok(None);
    }
    let (statement, done) = match is_valid {
        Some(true) => return Ok(None),
        Some(false) => (
            format!("DROP INDEX CONCURRENTLY IF EXISTS {index}"),
            "whose build was cut short, dropped",
        ),
        None => {
            let name = quoted(build.name);
            let statement = format!("CREATE INDEX CONCURRENTLY {name} ON {on} (thread_id)");
            (statement, "built without keeping writers off")
        }
    };
    server.alone(OPERATION, &statement)?;
    Ok(Some(format!("index {}, {done}", build.name)))
}

/// What a build locks its table in; nothing that reads or writes rows is kept off by it.
const MODE: &str = "SHARE UPDATE EXCLUSIVE";

/// Says whether somebody may be building on the table, and whether the index is there and valid.
///
/// The first is asked before and after: an index is given up for dead only where nobody was
/// building when it was seen, whether he has just ended or just begun.
fn state(
    tx: &mut Transaction<'_>,
    tables: &Tables,
    build: &Build,
) -> Result<(bool, Option<bool>), Fail> {
    let sql = "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = to_regclass($1) AND granted \
               AND mode = 'ShareUpdateExclusiveLock')";
    let on = qualified(tables, build.table.name);
    let is_busy = |tx: &mut Transaction<'_>| -> Result<bool, Fail> {
        Ok(tx.query_typed_one(sql, &[(&on, Type::TEXT)])?.try_get(0)?)
    };
    let was_busy = is_busy(tx)?;
    let found = found::Found::look(tx, tables)?;
    let index = found.table(build.table).and_then(|table| table.index(build.name));
    Ok((was_busy || is_busy(tx)?, index.map(|index| index.is_valid)))
}

/// Lets a moment of random length pass at the server, so that those who collided do not meet again.
pub(super) fn pause(server: &Server) -> Result<()> {
    let sql = "SELECT 1 FROM pg_sleep(random() * 0.3)";
    opened(server.write("wait for a turn", |tx| Ok(tx.query_typed_one(sql, &[])?)))?;
    Ok(())
}
