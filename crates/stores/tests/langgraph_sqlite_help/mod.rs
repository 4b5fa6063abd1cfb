//! Files made by hand, and the law: rows, records, rows again.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::{Path, PathBuf};

use futures::TryStreamExt;
use restow_model::{Dialect, Record, UnitId};
use restow_store::{
    Batch, Content, Enumeration, Frame, Guard, Op, Role, Segment, Selection, Store, Then, UnitOps,
};
use restow_stores::engine::sqlite::source::Source;
use restow_stores::layout::langgraph::sqlite::{LangGraphSqlite, shape};
use rusqlite::{Connection, ToSql, params};
use tempfile::TempDir;

/// A file in a folder of its own.
pub(crate) struct Db {
    pub(crate) folder: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) connection: Connection,
}

impl Db {
    /// Makes a file with the newest tables.
    pub(crate) fn new() -> Self {
        Self::with(&[shape::CHECKPOINTS_DDL, shape::WRITES_DDL])
    }

    /// Makes a file with tables of one's own.
    pub(crate) fn with(ddl: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("agent.db");
        let connection = Connection::open(&path).expect("a file");
        // Nothing here has to survive loss of power.
        connection.execute_batch("PRAGMA synchronous = off").expect("a pragma");
        for sql in ddl {
            connection.execute(sql, []).expect("a table");
        }
        Self { folder, path, connection }
    }

    /// Adds a checkpoint of thread `t` in the root namespace.
    pub(crate) fn checkpoint(
        &self,
        id: &str,
        parent: Option<&str>,
        tag: &str,
        blob: &[u8],
        meta: &str,
    ) {
        let sql = "INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id,
                   parent_checkpoint_id, type, checkpoint, metadata)
                   VALUES ('t', '', ?1, ?2, ?3, ?4, ?5)";
        let row = params![id, parent, tag, blob, meta.as_bytes()];
        self.connection.execute(sql, row).expect("a row");
    }

    /// Adds a write of thread `t` to a checkpoint.
    pub(crate) fn write(
        &self,
        id: &str,
        task: &str,
        idx: i64,
        tag: Option<&str>,
        value: &dyn ToSql,
    ) {
        let sql =
            "INSERT INTO writes (thread_id, checkpoint_id, task_id, idx, channel, type, value)
                   VALUES ('t', ?1, ?2, ?3, 'c', ?4, ?5)";
        self.connection.execute(sql, params![id, task, idx, tag, value]).expect("a row");
    }

    /// Runs a statement.
    pub(crate) fn run(&self, sql: &str) {
        self.connection.execute_batch(sql).expect("a statement");
    }
}

/// Returns the path of an example.
pub(crate) fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

/// Walks a whole file.
pub(crate) async fn frames(store: &LangGraphSqlite, by: Enumeration) -> Vec<Frame> {
    let frames = store.scan(Segment::whole(by), None, Content::All).await.expect("a scan");
    frames.try_collect().await.expect("frames")
}

/// Walks a whole file; nothing in it is damaged.
pub(crate) async fn records(path: &Path) -> Vec<(UnitId, Dialect, Record)> {
    let store = LangGraphSqlite::source(path).expect("a source");
    let (mut unit, mut records) = (None, Vec::new());
    for frame in frames(&store, Enumeration::Units).await {
        match frame {
            Frame::Begin { unit: begun, dialect, .. } => unit = Some((begun, dialect)),
            Frame::Record(record) => {
                let (unit, dialect) = unit.clone().expect("a unit");
                records.push((unit, dialect, record));
            }
            Frame::Damaged { place, why, .. } => panic!("{place}: {why}"),
            Frame::End { .. } | Frame::Mark(_) => {}
        }
    }
    records
}

/// Writes records into a new file beside nothing else.
pub(crate) async fn store(path: &Path, records: &[(UnitId, Dialect, Record)]) -> LangGraphSqlite {
    let target = LangGraphSqlite::target(path, true).expect("a target");
    target.prepare(Role::CopyTarget, "unused").await.expect("tables");
    let mut units: Vec<UnitOps> = Vec::new();
    for unit in records.chunk_by(|a, b| a.0 == b.0) {
        let put = |(_, _, record): &(UnitId, Dialect, Record)| {
            target.check(record).expect("SQLite holds what SQLite held");
            Op::put(record.clone())
        };
        let ops = unit.iter().map(put).collect();
        let (id, dialect) = (unit[0].0.clone(), unit[0].1);
        units.push(UnitOps::new(id, dialect, Guard::Unmanaged, ops, Then::Keep));
    }
    let outcomes = target.apply(Batch { units }).await.expect("an apply");
    assert!(outcomes.iter().all(|outcome| outcome.is_applied()), "{outcomes:?}");
    target
}

/// Asserts the law on a file, and returns its records.
pub(crate) async fn law(path: &Path) -> Vec<Record> {
    let folder = tempfile::tempdir().expect("a folder");
    let to = folder.path().join("copy.db");
    let before = records(path).await;
    drop(store(&to, &before).await);
    assert_eq!(records(&to).await, before, "records differ");
    for table in ["checkpoints", "writes"] {
        assert_eq!(rows(&to, table), rows(path, table), "{table} differs");
    }
    before.into_iter().map(|(_, _, record)| record).collect()
}

/// Returns every row of a table: for each column its name, storage class and bytes.
pub(crate) fn rows(path: &Path, table: &str) -> Vec<Vec<(String, String, String)>> {
    // Examples are read by several tests at once, and never written to.
    let opened = Source::open(path).expect("a file").connect().expect("a connection");
    let connection = opened.connection();
    let sql = "SELECT name FROM pragma_table_info(?1) ORDER BY name";
    let mut statement = connection.prepare(sql).expect("a table");
    let names = statement.query_map([table], |row| row.get(0)).expect("columns");
    let names: Vec<String> = names.map(|name| name.expect("a name")).collect();
    let columns: Vec<String> =
        names.iter().map(|n| format!("typeof({n}), hex(CAST({n} AS BLOB))")).collect();
    let sql = format!("SELECT {} FROM {table}", columns.join(", "));
    let mut statement = connection.prepare(&sql).expect("a table");
    let read = |row: &rusqlite::Row<'_>| {
        let mut cells = Vec::new();
        for (n, name) in names.iter().enumerate() {
            cells.push((name.clone(), row.get(n * 2)?, row.get(n * 2 + 1)?));
        }
        // Only a path that was never stored is new.
        if table == "writes" && !names.iter().any(|name| name == "task_path") {
            cells.push(("task_path".into(), "text".into(), String::new()));
        }
        cells.sort();
        Ok(cells)
    };
    let rows = statement.query_map([], read).expect("rows");
    let mut rows: Vec<_> = rows.map(|row| row.expect("a row")).collect();
    rows.sort();
    rows
}

/// Reads one unit.
pub(crate) async fn unit(store: &LangGraphSqlite, id: &str) -> Vec<Frame> {
    let frames = store.read(vec![UnitId::new(id)], Selection::all()).await.expect("a read");
    frames.try_collect().await.expect("frames")
}

/// Writes text as msgpack.
pub(crate) fn text(text: &str) -> Vec<u8> {
    [&[0xd9, text.len() as u8][usize::from(text.len() < 32)..], text.as_bytes()]
        .concat()
        .into_iter()
        .enumerate()
        .map(|(n, byte)| if n == 0 && text.len() < 32 { byte | 0xa0 } else { byte })
        .collect()
}

/// Writes a map of at most 15 entries as msgpack.
pub(crate) fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![0x80 | entries.len() as u8];
    for (name, item) in entries {
        out.extend(text(name));
        out.extend_from_slice(item);
    }
    out
}

/// Packs a checkpoint as LangGraph does.
pub(crate) fn packed(id: &str, values: &[(&str, Vec<u8>)], versions: &[(&str, &str)]) -> Vec<u8> {
    let versions: Vec<_> = versions.iter().map(|(n, v)| (*n, text(v))).collect();
    map(&[
        ("v", vec![4]),
        ("ts", text("2026-01-01T00:00:00.000000+00:00")),
        ("id", text(id)),
        ("channel_values", map(values)),
        ("channel_versions", map(&versions)),
        ("versions_seen", map(&[("__input__", map(&[]))])),
        ("updated_channels", vec![0xc0]),
    ])
}
