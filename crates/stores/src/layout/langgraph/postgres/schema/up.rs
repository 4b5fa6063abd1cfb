//! Makes the tables, or lifts them to version 9.
//!
//! Whatever is quick happens in one transaction under a lock; an index on a table with rows is
//! built outside of it, so that nobody who writes has to wait. Each round begins with a look, so
//! that it does not matter who else is at it.

use postgres::error::SqlState;
use postgres::types::Type;
use restow_store::feed::Stop;
use restow_store::{Error, ErrorKind, Result};

use super::super::shape::{judge, resolve};
use super::super::tables::{Tables, control_ddl, quoted, side_ddl};
use super::expected::{BLOBS, PATH, TABLES, Table, VERSION, WRITES};
use super::found::{Found, qualified};
use super::index::{self, Build};
use super::preflight;
use crate::engine::postgres::alone::code;
use crate::engine::postgres::{Fail, Server, Transaction};

const OPERATION: &str = "make the tables";

/// So many rounds may fail because others change the same tables; each waits for them.
const ROUNDS_MAX: u32 = 100;

/// Migrations up to this one are recorded before the indexes, which those behind it make.
const BEFORE_INDEXES: i32 = 5;

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Up {
    /// The application's schema.
    pub schema: String,
    /// The version that was found; −1 where there was none.
    pub from: i32,
    /// The version that is there now.
    pub version: i32,
    /// What was made, in words; empty where all was there.
    pub changes: Vec<String>,
}

/// Makes the tables, or lifts them to version 9; does nothing where all is there.
pub async fn up(server: &Server) -> Result<Up> {
    server.run(OPERATION, |server| up_blocking(server).map_err(Stop::Error)).await
}

/// Does what [`up`] does. Blocks the thread.
pub fn up_blocking(server: &Server) -> Result<Up> {
    up_for(server, false)
}

/// Does what [`up`] does, and makes what a live migration needs where one is to begin. Blocks the
/// thread.
pub(in super::super) fn up_for(server: &Server, is_live: bool) -> Result<Up> {
    let mut from = None;
    let mut changes = Vec::new();
    let mut rounds = 0;
    loop {
        match round(server, is_live, &mut from, &mut changes) {
            Ok(Round::Done(up)) => return Ok(Up { changes, ..up }),
            Ok(Round::Changed) => continue,
            Ok(Round::Busy) => {}
            Err(error) if rounds < ROUNDS_MAX && is_collision(&error) => rounds += 1,
            Err(error) => return Err(error),
        }
        index::pause(server)?;
    }
}

enum Round {
    Done(Up),
    Changed,
    Busy,
}

fn round(
    server: &Server,
    is_live: bool,
    from: &mut Option<i32>,
    changes: &mut Vec<String>,
) -> Result<Round> {
    let (tables, found, plan) = opened(server.read(OPERATION, |tx| {
        let (tables, found, plan) = look(tx, server, is_live)?;
        preflight::check(tx, &tables, &found, &plan)?;
        Ok((tables, found, plan))
    }))?;
    let from = *from.get_or_insert(found.version());
    if plan.is_empty() {
        let (schema, version) = (tables.schema, found.version());
        return Ok(Round::Done(Up { schema, from, version, changes: Vec::new() }));
    }
    if let (false, Some(build)) = (plan.has_quick(), plan.builds.first()) {
        changes.extend(index::build(server, &tables, build)?);
        return Ok(Round::Changed);
    }
    let done = opened(server.write(OPERATION, |tx| {
        tx.batch_execute(LOCK_TIMEOUT)?;
        let lock = "SELECT pg_try_advisory_xact_lock(hashtextextended('restow schema ' || $1, 0))";
        let is_mine: bool =
            tx.query_typed_one(lock, &[(&tables.schema, Type::TEXT)])?.try_get(0)?;
        if !is_mine {
            return Ok(None);
        }
        let (tables, found, plan) = look(tx, server, is_live)?;
        apply(tx, &tables, &found, &plan).map(Some)
    }))?;
    Ok(match done {
        None => Round::Busy,
        Some(done) => {
            changes.extend(done);
            Round::Changed
        }
    })
}

/// A table that others hold is asked for again rather than waited for, since everybody else would
/// have to wait behind.
pub(super) const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '2s'";

pub(super) fn opened<T>(done: Result<T, Stop>) -> Result<T> {
    done.map_err(|stop| match stop {
        Stop::Error(error) => error,
        Stop::Closed => Error::new(ErrorKind::Failed, OPERATION, "nobody waits for it"),
    })
}

/// Says whether an error tells of somebody else who makes the same tables, or holds them.
fn is_collision(error: &Error) -> bool {
    const CODES: [SqlState; 9] = [
        SqlState::UNIQUE_VIOLATION,
        SqlState::DUPLICATE_TABLE,
        SqlState::DUPLICATE_COLUMN,
        SqlState::DUPLICATE_SCHEMA,
        SqlState::DUPLICATE_OBJECT,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::LOCK_NOT_AVAILABLE,
        // "tuple concurrently updated", by which changes of the catalog collide.
        SqlState::INTERNAL_ERROR,
    ];
    code(error).is_some_and(|code| CODES.contains(code))
}

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) tables: Vec<&'static Table>,
    pub(super) nullable: bool,
    pub(super) path: bool,
    pub(super) indexes: Vec<&'static Table>,
    pub(super) versions: Vec<i32>,
    pub(super) side: bool,
    pub(super) control: bool,
    /// Indexes on tables with rows; what comes behind them waits for them.
    pub(super) builds: Vec<Build>,
}

impl Plan {
    pub(super) fn is_empty(&self) -> bool {
        !self.has_quick() && self.builds.is_empty()
    }

    pub(super) fn has_quick(&self) -> bool {
        let Self { tables, nullable, path, indexes, versions, side, control, builds: _ } = self;
        let lists = tables.is_empty() && indexes.is_empty() && versions.is_empty();
        *nullable || *path || *side || *control || !lists
    }

    /// Says whether a table of LangGraph's that is there is to be changed at all.
    pub(super) fn changes(&self, table: &Table) -> bool {
        self.locks(table) || self.builds.iter().any(|build| build.table.name == table.name)
    }

    /// Says whether that keeps others off the table for a moment.
    fn locks(&self, table: &Table) -> bool {
        let is = |other: &Table| other.name == table.name;
        let is_indexed = self.indexes.iter().any(|table| is(table));
        (self.nullable && is(&BLOBS)) || (self.path && is(&WRITES)) || is_indexed
    }
}

fn look(
    tx: &mut Transaction<'_>,
    server: &Server,
    is_live: bool,
) -> Result<(Tables, Found, Plan), Fail> {
    let tables = resolve(tx, server.settings())?;
    let found = Found::look(tx, &tables)?;
    judge(tx, &tables, &found)?;
    let plan = plan(tx, &tables, &found, is_live)?;
    Ok((tables, found, plan))
}

fn plan(
    tx: &mut Transaction<'_>,
    tables: &Tables,
    found: &Found,
    is_live: bool,
) -> Result<Plan, Fail> {
    // Tables that are only partly there are completed in any case.
    let control = (is_live || found.control.0 > 0) && !found.has_control();
    let mut plan = Plan { side: !found.has_side(), control, ..Plan::default() };
    for table in TABLES {
        let Some(there) = found.table(table) else {
            if found.version() >= table.since {
                return Err(lost(table, found).into());
            }
            plan.tables.push(table);
            plan.indexes.extend(table.index.is_some().then_some(table));
            continue;
        };
        let Some(name) = table.index else { continue };
        let index = there.index(name);
        if index.is_some_and(|index| index.is_valid) {
            continue;
        }
        let sql = format!("SELECT EXISTS (SELECT FROM {})", qualified(tables, table.name));
        let has_rows: bool = tx.query_typed_one(&sql, &[])?.try_get(0)?;
        match has_rows {
            true => plan.builds.push(Build { table, name }),
            false => plan.indexes.push(table),
        }
    }
    let refuses_null =
        |table: &super::found::Table| table.column("blob").is_some_and(|column| column.not_null);
    plan.nullable = found.table(&BLOBS).is_some_and(refuses_null);
    plan.path = found.table(&WRITES).is_some_and(|table| table.column(PATH).is_none());
    let last = if plan.builds.is_empty() { VERSION } else { BEFORE_INDEXES };
    plan.versions = (0..=last).filter(|version| !found.versions.contains(version)).collect();
    Ok(plan)
}

fn lost(table: &Table, found: &Found) -> Error {
    let message = "LangGraph's migrations say that a table was made, but it is not there; restore \
                   it, or name another schema with schema=NAME";
    let error = Error::new(ErrorKind::Damaged, OPERATION, message).with("table", table.name);
    error.with("version", found.version().to_string())
}

/// Does what is quick, inside the transaction; returns what was made, in words.
fn apply(
    tx: &mut Transaction<'_>,
    tables: &Tables,
    found: &Found,
    plan: &Plan,
) -> Result<Vec<String>, Fail> {
    let mut done = Vec::new();
    // Whoever builds an index waits for every statement that sees the database as it was, so that
    // two would wait for each other; LOCK alone sees nothing while it waits.
    for table in TABLES.iter().filter(|table| found.table(table).is_some()) {
        if plan.locks(table) {
            tx.batch_execute(&format!("LOCK TABLE {}", qualified(tables, table.name)))?;
        }
    }
    for table in &plan.tables {
        tx.batch_execute(&table.ddl(&qualified(tables, table.name)))?;
        done.push(format!("table {}", table.name));
    }
    if plan.nullable {
        let blobs = &tables.active.blobs;
        tx.batch_execute(&format!("ALTER TABLE {blobs} ALTER COLUMN blob DROP NOT NULL"))?;
        done.push("column checkpoint_blobs.blob may be null".to_owned());
    }
    if let (true, Some(column)) = (plan.path, WRITES.column(PATH)) {
        let (writes, column) = (&tables.active.writes, column.ddl());
        tx.batch_execute(&format!("ALTER TABLE {writes} ADD COLUMN IF NOT EXISTS {column}"))?;
        done.push(format!("column {}.{PATH}", WRITES.name));
    }
    for table in &plan.indexes {
        let Some(name) = table.index else { continue };
        let (index, on) = (qualified(tables, name), qualified(tables, table.name));
        tx.batch_execute(&format!("DROP INDEX IF EXISTS {index}"))?;
        tx.batch_execute(&format!("CREATE INDEX {} ON {on} (thread_id)", quoted(name)))?;
        done.push(format!("index {name}"));
    }
    let newest = found.version().max(plan.versions.last().copied().unwrap_or(-1));
    if !plan.versions.is_empty() {
        let sql = format!(
            "INSERT INTO {} (v) SELECT unnest($1) ON CONFLICT DO NOTHING",
            tables.migrations
        );
        tx.execute_typed(&sql, &[(&plan.versions, Type::INT4_ARRAY)])?;
        done.push(format!("version {newest}"));
    }
    if plan.side {
        for statement in side_ddl(tables) {
            tx.batch_execute(&statement)?;
        }
        done.push(format!("restow's own tables in schema {}", tables.side));
    }
    if plan.control {
        for statement in control_ddl(tables) {
            tx.batch_execute(&statement)?;
        }
        done.push(format!("control records and journals in schema {}", tables.side));
    }
    Ok(done)
}
