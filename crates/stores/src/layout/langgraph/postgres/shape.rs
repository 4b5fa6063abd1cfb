//! Which saver's tables a database holds, told by their columns: versions alone say nothing, since
//! a setup of one saver's lifts the versions of another's tables without changing their shape.

use postgres::types::Type;
use restow_store::{Error, ErrorKind};

use super::schema::expected::{BLOBS, CHECKPOINTS, PATH, TABLES, VERSION, WRITES};
use super::schema::found::{Found, Table};
use super::tables::Tables;
use crate::engine::postgres::{Fail, Settings, Transaction};

const OPERATION: &str = "look at the tables";

/// How many checkpoints are looked at to tell whose they are.
const SAMPLE: i64 = 32;

/// What a database holds of LangGraph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The newest version that was applied; −1 where none is recorded.
    pub version: i32,
    /// Whether `checkpoint_writes` has `task_path`; before version 9 it does not.
    pub has_path: bool,
    /// Whether restow's own tables are there.
    pub has_side: bool,
}

/// Names the tables: in the schema of the settings, or in the first of the search path.
pub fn resolve(tx: &mut Transaction<'_>, settings: &Settings) -> Result<Tables, Fail> {
    let Some(schema) = settings.schema() else {
        let row = tx.query_typed_one("SELECT current_schema()::text", &[])?;
        let current: Option<String> = row.try_get(0)?;
        let message = "the search path leads to no schema; name one with schema=NAME";
        let none = || Error::new(ErrorKind::Invalid, OPERATION, message);
        return Ok(Tables::of(&current.ok_or_else(none)?));
    };
    let sql = "SELECT count(*) FROM pg_namespace WHERE nspname = $1";
    let there: i64 = tx.query_typed_one(sql, &[(&schema, Type::TEXT)])?.try_get(0)?;
    if there == 0 {
        let message = "there is no such schema; make it with CREATE SCHEMA, or name another";
        return Err(Error::new(ErrorKind::NotFound, OPERATION, message)
            .with("schema", schema)
            .into());
    }
    Ok(Tables::of(schema))
}

/// Tells whether a database is PostgresSaver's; `None` where it has no such tables at all.
///
/// Tables of another saver's, or that are only partly there, are an error of kind
/// [`ErrorKind::Unsupported`] that says what they are.
pub fn recognise(tx: &mut Transaction<'_>, tables: &Tables) -> Result<Option<Shape>, Fail> {
    let found = Found::look(tx, tables)?;
    judge(tx, tables, &found)?;
    let [Some(_), Some(_), Some(writes)] = [&CHECKPOINTS, &BLOBS, &WRITES].map(|t| found.table(t))
    else {
        let there: Vec<_> = found.tables.iter().map(|table| table.name).collect();
        if there.is_empty() || there == ["checkpoint_migrations"] {
            return Ok(None);
        }
        let message = "LangGraph's tables are only partly there; `restow schema up` completes them";
        let error = Error::new(ErrorKind::Unsupported, OPERATION, message);
        return Err(error.with("schema", &tables.schema).with("there", there.join(" ")).into());
    };
    if found.is_partial() {
        let message =
            "restow's own tables are only partly there; `restow schema up` completes them";
        let error = Error::new(ErrorKind::Unsupported, OPERATION, message);
        return Err(error.with("schema", &tables.side).into());
    }
    let has_path = writes.column(PATH).is_some();
    Ok(Some(Shape { version: found.version(), has_path, has_side: found.has_side() }))
}

/// Refuses what is not PostgresSaver's; tables that are not there yet are nobody's.
pub(super) fn judge(tx: &mut Transaction<'_>, tables: &Tables, found: &Found) -> Result<(), Fail> {
    for table in &found.tables {
        if !table.is_table {
            return Err(another_s(table, "it is no table").into());
        }
    }
    is_shallow(found)?;
    for expected in TABLES {
        let Some(table) = found.table(expected) else { continue };
        for column in expected.columns.iter().filter(|column| column.name != PATH) {
            match table.column(column.name) {
                None => {
                    return Err(another_s(table, "it lacks a column")
                        .with("column", column.name)
                        .into());
                }
                Some(there) if there.kind != column.kind => {
                    let error = another_s(table, "a column has another type");
                    let error = error.with("column", column.name).with("type", &there.kind);
                    return Err(error.into());
                }
                Some(_) => {}
            }
        }
        let unknown = table.columns.iter().find(|c| expected.column(&c.name).is_none());
        if let (Some(column), true) = (unknown, found.version() > VERSION) {
            let message = "the tables are a newer LangGraph's, and have a column that this restow \
                           does not know; use a newer restow";
            let error = Error::new(ErrorKind::Unsupported, OPERATION, message);
            let error = error.with("version", found.version().to_string());
            return Err(error.with("table", table.name).with("column", &column.name).into());
        }
    }
    let there = [&CHECKPOINTS, &BLOBS].iter().all(|table| found.table(table).is_some());
    if there && is_javascript(tx, tables)? {
        let message = "the checkpoints are LangGraph's for JavaScript, which its Python cannot \
                       read; name a database of Python's PostgresSaver";
        let error = Error::new(ErrorKind::Unsupported, OPERATION, message);
        return Err(error.with("schema", &tables.schema).into());
    }
    Ok(())
}

fn another_s(table: &Table, why: &str) -> Error {
    let message = format!(
        "what lies under the name of a table of LangGraph's is not LangGraph's: {why}; name \
         another schema with schema=NAME"
    );
    Error::new(ErrorKind::Unsupported, OPERATION, message).with("table", table.name)
}

/// Refuses the tables of ShallowPostgresSaver, which have the same names and versions.
fn is_shallow(found: &Found) -> Result<(), Fail> {
    let lacks = |table, other: &[&str], column| {
        let found = found.table(table);
        found.is_some_and(|table| table.has(other) && table.column(column).is_none())
    };
    let heads = lacks(&CHECKPOINTS, &["thread_id", "checkpoint", "metadata"], "checkpoint_id");
    let blobs = lacks(&BLOBS, &["thread_id", "channel", "blob"], "version");
    if !heads || !blobs {
        return Ok(());
    }
    let message = "the tables are ShallowPostgresSaver's, which keeps only the newest checkpoint \
                   of a thread and no history; name a database of PostgresSaver's, into which \
                   LangGraph can write the threads anew";
    Err(Error::new(ErrorKind::Unsupported, OPERATION, message).into())
}

/// JavaScript counts versions in numbers and tags everything `json` or `bytes`; Python's versions
/// are text, and what was carried over from where they are numbers keeps Python's tags.
fn is_javascript(tx: &mut Transaction<'_>, tables: &Tables) -> Result<bool, Fail> {
    let (checkpoints, blobs) = (&tables.active.checkpoints, &tables.active.blobs);
    let sql = format!(
        "SELECT count(*), count(*) FILTER (WHERE is_number AND NOT EXISTS (
            SELECT FROM {blobs} b WHERE b.thread_id = c.thread_id
            AND b.type NOT IN ('json', 'bytes', 'empty')
         )) FROM (
            SELECT thread_id, (
                SELECT bool_and(jsonb_typeof(value) = 'number')
                FROM jsonb_each(CASE jsonb_typeof(checkpoint -> 'channel_versions')
                    WHEN 'object' THEN checkpoint -> 'channel_versions' END)
            ) AS is_number
            FROM {checkpoints} ORDER BY thread_id, checkpoint_ns, checkpoint_id LIMIT {SAMPLE}
         ) c WHERE is_number IS NOT NULL"
    );
    let row = tx.query_typed_one(&sql, &[])?;
    let (all, javascript): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    Ok(all > 0 && all == javascript)
}
