//! The shapes of LangGraph's tables in SQLite, told by their columns; there is no version to ask.

use restow_store::{Error, ErrorKind, Result};
use rusqlite::Connection;

/// The tables as langgraph-checkpoint-sqlite 3.1.2 makes them (`sqlite/__init__.py`, `setup`).
pub const CHECKPOINTS_DDL: &str = "CREATE TABLE IF NOT EXISTS checkpoints (
                thread_id TEXT NOT NULL,
                checkpoint_ns TEXT NOT NULL DEFAULT '',
                checkpoint_id TEXT NOT NULL,
                parent_checkpoint_id TEXT,
                type TEXT,
                checkpoint BLOB,
                metadata BLOB,
                PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id)
            )";
/// See [`CHECKPOINTS_DDL`].
pub const WRITES_DDL: &str = "CREATE TABLE IF NOT EXISTS writes (
                thread_id TEXT NOT NULL,
                checkpoint_ns TEXT NOT NULL DEFAULT '',
                checkpoint_id TEXT NOT NULL,
                task_id TEXT NOT NULL,
                task_path TEXT NOT NULL DEFAULT '',
                idx INTEGER NOT NULL,
                channel TEXT NOT NULL,
                type TEXT,
                value BLOB,
                PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
            )";
/// What 3.1.2 does to tables of before, in which the column then comes last.
pub const ADD_PATH: &str = "ALTER TABLE writes ADD COLUMN task_path TEXT NOT NULL DEFAULT ''";

const CHECKPOINTS: [&str; 7] = [
    "thread_id",
    "checkpoint_ns",
    "checkpoint_id",
    "parent_checkpoint_id",
    "type",
    "checkpoint",
    "metadata",
];
const WRITES: [&str; 8] =
    ["thread_id", "checkpoint_ns", "checkpoint_id", "task_id", "idx", "channel", "type", "value"];

/// What a database file holds of LangGraph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Whether `writes` has `task_path`; JavaScript's tables and Python's up to 3.1.1 do not.
    pub has_path: bool,
    /// Tables of LangGraph's Store (`store`, `store_vectors`, …), which are not carried yet.
    pub store_tables: Vec<String>,
}

/// Tells whether a database is LangGraph's; `None` where it has no such tables at all.
///
/// A shape that is nearly LangGraph's is an error of kind [`ErrorKind::Unsupported`] that names
/// what is missing.
pub fn recognise(connection: &Connection) -> Result<Option<Shape>> {
    let failed = |e: rusqlite::Error| {
        Error::new(ErrorKind::Damaged, "look at the tables", "the schema cannot be read").because(e)
    };
    let checkpoints = columns(connection, "checkpoints").map_err(failed)?;
    let writes = columns(connection, "writes").map_err(failed)?;
    if checkpoints.is_empty() || !checkpoints.iter().any(|c| c == "thread_id") {
        return Ok(None);
    }
    if checkpoints.iter().any(|c| c == "thread_ts") {
        let message = "the tables are of LangGraph before August 2024 (column thread_ts), which \
                       cannot be read; open the file with that version's application instead";
        return Err(Error::new(ErrorKind::Unsupported, "look at the tables", message));
    }
    missing("checkpoints", &CHECKPOINTS, &checkpoints)?;
    missing("writes", &WRITES, &writes)?;
    rowids(connection, "checkpoints")?;
    rowids(connection, "writes")?;
    let has_path = writes.iter().any(|c| c == "task_path");
    let store_tables = store_tables(connection).map_err(failed)?;
    Ok(Some(Shape { has_path, store_tables }))
}

/// Says whether a database without LangGraph's tables holds any but restow's own.
pub fn is_another_s(connection: &Connection) -> Result<bool> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE type IN ('table', 'view') \
               AND substr(name, 1, 7) NOT IN ('restow_', 'sqlite_')";
    let found = connection.prepare(sql).and_then(|mut statement| statement.exists([]));
    found.map_err(|e| {
        let message = "the schema cannot be read";
        Error::new(ErrorKind::Damaged, "look at the tables", message).because(e)
    })
}

/// Says whether a table is there.
pub fn exists(connection: &Connection, table: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    connection.prepare_cached(sql)?.exists([table])
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
    let names = statement.query_map([table], |row| row.get(0))?;
    names.collect()
}

fn missing(table: &str, wanted: &[&str], found: &[String]) -> Result<()> {
    let missing: Vec<&str> =
        wanted.iter().copied().filter(|w| !found.iter().any(|f| f == w)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = match found.is_empty() {
        true => "a table of LangGraph's is missing",
        false => "a table lacks columns of LangGraph's",
    };
    let error = Error::new(ErrorKind::Unsupported, "look at the tables", message);
    Err(error.with("table", table).with("missing", missing.join(" ")))
}

/// Official tables have row ids; a table made without them is another program's.
fn rowids(connection: &Connection, table: &str) -> Result<()> {
    match connection.prepare(&format!("SELECT rowid FROM {table}")) {
        Ok(_) => Ok(()),
        Err(e) => {
            let message = "a table has no row ids, so that LangGraph did not make it";
            let error = Error::new(ErrorKind::Unsupported, "look at the tables", message);
            Err(error.with("table", table).because(e))
        }
    }
}

fn store_tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name IN
        ('store', 'store_migrations', 'store_vectors', 'vector_migrations') ORDER BY name";
    let mut statement = connection.prepare(sql)?;
    let names = statement.query_map([], |row| row.get(0))?;
    names.collect()
}
