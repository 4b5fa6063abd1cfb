//! What stores hold, as three readers see it: restow, a plain SQLite connection, and the folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use futures::StreamExt;
use restow::model::UnitDigest;
use restow::store::{Content, Enumeration, Frame, Segment};
use restow::{Access, Address, Environment};
use rusqlite::{Connection, OptionalExtension};

/// Units, and the sums of their records.
pub(crate) type Contents = BTreeMap<String, UnitDigest>;
/// Threads, and how many checkpoints and writes each has.
pub(crate) type Threads = BTreeMap<String, (i64, i64)>;

/// Reads a whole store, every value included; damage, and a kept digest that does not fit, panic.
pub(crate) fn contents(address: &str) -> Contents {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (address, environment) = (Address::parse(address).unwrap(), Environment::default());
        let store = restow::open(&address, Access::Read, &environment).await;
        let store = store.unwrap_or_else(|e| panic!("open {address}: {e}")).store;
        let mut frames =
            store.scan(Segment::whole(Enumeration::Units), None, Content::All).await.unwrap();
        let (mut found, mut sum) = (Contents::new(), UnitDigest::default());
        while let Some(frame) = frames.next().await {
            match frame.unwrap_or_else(|e| panic!("read {address}: {e}")) {
                Frame::Begin { .. } => sum = UnitDigest::default(),
                Frame::Record(record) => sum.merge(&record.summed()),
                Frame::End { unit, digest, .. } => {
                    assert!(digest.is_none_or(|kept| kept == sum), "{unit} of {address}: {sum:?}");
                    assert!(found.insert(unit.as_str().into(), sum).is_none(), "{unit} twice");
                }
                damaged @ Frame::Damaged { .. } => panic!("{address}: {damaged:?}"),
                Frame::Mark(_) => {}
            }
        }
        found
    })
}

/// Counts as official software sees them: rows by thread, over an ordinary connection.
pub(crate) fn threads(path: &Path) -> Threads {
    let connection = Connection::open(path).unwrap();
    let mut threads = Threads::new();
    for (table, is_write) in [("checkpoints", false), ("writes", true)] {
        if !has_table(&connection, table) {
            continue;
        }
        let sql = format!("SELECT thread_id, count(*) FROM {table} GROUP BY thread_id");
        let mut statement = connection.prepare(&sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)));
        for (thread, count) in rows.unwrap().map(Result::unwrap) {
            let counts = threads.entry(thread).or_default();
            *(if is_write { &mut counts.1 } else { &mut counts.0 }) = count;
        }
    }
    threads
}

/// Says whether a file holds any table at all.
pub(crate) fn is_blank(path: &Path) -> bool {
    let count = |c: &Connection| {
        c.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
    };
    !path.exists() || count(&Connection::open(path).unwrap()).unwrap() == 0
}

fn has_table(connection: &Connection, table: &str) -> bool {
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?";
    connection.query_row(sql, [table], |_| Ok(())).optional().unwrap().is_some()
}

/// Counts the rows of staged copies that a finished copy has left behind.
pub(crate) fn staged_rows(path: &Path) -> i64 {
    let connection = Connection::open(path).unwrap();
    let mut sum = 0;
    for (table, condition) in [
        ("restow_unit", "token IS NOT NULL"),
        ("restow_page", "unit_no NOT IN (SELECT unit_no FROM restow_unit)"),
        ("restow_part", "unit_no NOT IN (SELECT unit_no FROM restow_unit)"),
        ("restow_stage", "true"),
        ("restow_stage_checkpoints", "true"),
        ("restow_stage_writes", "true"),
        ("restow_stage_residue", "true"),
        ("restow_stage_unit", "true"),
    ] {
        if has_table(&connection, table) {
            let sql = format!("SELECT count(*) FROM {table} WHERE {condition}");
            sum += connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap();
        }
    }
    sum
}

/// Panics unless two LangGraph files hold the same rows, to the byte and the storage class.
pub(crate) fn assert_same_rows(path: &Path, original: &Path) {
    let connection = Connection::open(path).unwrap();
    connection.execute("ATTACH ? AS other", [original.to_str().unwrap()]).unwrap();
    for (table, columns) in [
        ("checkpoints", "parent_checkpoint_id, type, checkpoint, metadata"),
        ("writes", "task_id, idx, task_path, channel, type, value"),
    ] {
        let columns = format!("thread_id, checkpoint_ns, checkpoint_id, {columns}");
        for (one, two) in [("main", "other"), ("other", "main")] {
            let sql = format!(
                "SELECT count(*) FROM (SELECT {columns} FROM {one}.{table}
                 EXCEPT SELECT {columns} FROM {two}.{table})"
            );
            let more: i64 = connection.query_row(&sql, [], |row| row.get(0)).unwrap();
            assert_eq!(more, 0, "rows of {one}.{table} that {two} has not");
        }
    }
}

/// The names in a folder with the bytes of the files.
pub(crate) fn folder(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(path).unwrap().map(Result::unwrap);
    let name = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    entries.map(|entry| (name(&entry), fs::read(entry.path()).unwrap())).collect()
}

pub(crate) fn names(folder: &BTreeMap<String, Vec<u8>>) -> Vec<&str> {
    folder.keys().map(String::as_str).collect()
}
