//! `langgraph+sqlite` passes the suite, and gives every row back as it was.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::TryStreamExt;
use futures::future::BoxFuture;
use restow_model::{Dialect, Key, KeyPart, Record, UnitId};
use restow_store::conformance::Fixture;
use restow_store::{
    Batch, Enumeration, Frame, Guard, Op, Role, Segment, Selection, Store, Then, UnitOps,
    conformance,
};
use restow_stores::layout::langgraph::sqlite::LangGraphSqlite;
use rusqlite::Connection;
use rusqlite::types::Value;

async fn fresh() -> Fixture {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("agent.db");
    let store = LangGraphSqlite::target(&path, true).expect("a file");
    let store: Arc<dyn Store> = Arc::new(store);
    let damage = move |unit: UnitId, key: Key| -> BoxFuture<'static, ()> {
        let path = path.clone();
        Box::pin(async move { damage(&path, &unit, &key) })
    };
    Fixture::langgraph(store, folder).with_damage(Box::new(damage))
}

fn damage(path: &Path, unit: &UnitId, key: &Key) {
    let connection = Connection::open(path).expect("the file");
    let parts = key.parts();
    let [KeyPart::Text(namespace), KeyPart::Text(id), ..] = parts.as_slice() else {
        panic!("{key} is no key of LangGraph's");
    };
    let (table, change) = match key.kind() {
        "checkpoint" => ("checkpoints", "checkpoint = substr(checkpoint, 1, 40)"),
        _ => ("writes", "channel = x'ff'"),
    };
    let sql = format!(
        "UPDATE {table} SET {change} WHERE (thread_id, checkpoint_ns, checkpoint_id) = (?1, ?2, ?3)"
    );
    let changed = connection.execute(&sql, [unit.as_str(), namespace, id]).expect("an update");
    assert!(changed > 0);
}

conformance!(langgraph_sqlite, fresh);

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

type Row = Vec<(String, Value)>;

/// Every row of a table, by column name, TEXT that is not UTF-8 as a blob.
fn rows(path: &Path, table: &str) -> Vec<Row> {
    let connection = Connection::open(path).expect("a file");
    let sql = format!("SELECT * FROM {table} ORDER BY 1, 2, 3, 4, 5, 6");
    let mut statement = connection.prepare(&sql).expect("a table");
    let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    let read = |row: &rusqlite::Row<'_>| {
        let mut cells: Row = Vec::new();
        for (n, name) in names.iter().enumerate() {
            cells.push((name.clone(), row.get(n)?));
        }
        // Only the order of the columns may differ, and a path that was never stored is empty.
        if table == "writes" && !names.iter().any(|name| name == "task_path") {
            cells.push(("task_path".into(), Value::Text(String::new())));
        }
        cells.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(cells)
    };
    let mut rows: Vec<Row> =
        statement.query_map([], read).expect("rows").map(|row| row.expect("a row")).collect();
    rows.sort_by_key(|row| format!("{row:?}"));
    rows
}

async fn all(store: &LangGraphSqlite, by: Enumeration) -> Vec<(UnitId, Record)> {
    let frames = store.scan(Segment::whole(by), None).await.expect("a scan");
    let frames: Vec<Frame> = frames.try_collect().await.expect("frames");
    let (mut unit, mut records) = (None, Vec::new());
    for frame in frames {
        match frame {
            Frame::Begin { unit: begun, dialect, .. } => {
                assert_eq!(dialect, Dialect::Python);
                unit = Some(begun);
            }
            Frame::Record(record) => records.push((unit.clone().expect("a unit"), record)),
            Frame::Damaged { place, why, .. } => panic!("{place}: {why}"),
            Frame::End { .. } | Frame::Mark(_) => {}
        }
    }
    records
}

async fn copy(from: &Path, to: &Path) -> Vec<(UnitId, Record)> {
    let source = LangGraphSqlite::source(from).expect("a source");
    let target = LangGraphSqlite::target(to, true).expect("a target");
    target.prepare(Role::CopyTarget, "unused").await.expect("tables");
    let records = all(&source, Enumeration::Units).await;
    for (unit, record) in &records {
        target.check(record).expect("SQLite holds what SQLite held");
        let ops = vec![Op::put(record.clone())];
        let ops = UnitOps::new(unit.clone(), Dialect::Python, Guard::Unmanaged, ops, Then::Keep);
        let outcomes = target.apply(Batch { units: vec![ops] }).await.expect("an apply");
        assert!(outcomes[0].is_applied(), "{outcomes:?}");
    }
    assert_eq!(all(&target, Enumeration::Units).await, records);
    records
}

#[tokio::test]
async fn every_row_of_the_examples_comes_back() {
    for (name, count) in [("agent.sqlite", 271 + 785), ("agent-old.sqlite", 29 + 137)] {
        let folder = tempfile::tempdir().expect("a folder");
        let to = folder.path().join("copy.db");
        let records = copy(&example(name), &to).await;
        assert_eq!(records.len(), count);
        for table in ["checkpoints", "writes"] {
            let (before, after) = (rows(&example(name), table), rows(&to, table));
            assert!(before == after, "{name}: {table} differs");
        }
        let residue: usize =
            records.iter().flat_map(|(_, r)| &r.residue).map(|r| r.bytes.len()).sum();
        let most = records.iter().flat_map(|(_, r)| &r.residue).map(|r| r.bytes.len()).max();
        println!("{name}: {residue} bytes of residue, at most {most:?} in a record");
        assert!(residue < records.len() * 64, "residue is small");
    }
}

#[tokio::test]
async fn both_ways_of_walking_and_every_number_of_shares_give_the_same() {
    let source = LangGraphSqlite::source(&example("agent.sqlite")).expect("a source");
    let mut whole = all(&source, Enumeration::Units).await;
    let order = |a: &(UnitId, Record), b: &(UnitId, Record)| {
        (&a.0, a.1.key.as_bytes()).cmp(&(&b.0, b.1.key.as_bytes()))
    };
    assert!(whole.is_sorted_by(|a, b| order(a, b).is_lt()));
    whole.sort_by(order);
    for by in [Enumeration::Units, Enumeration::Storage] {
        for want in [1, 2, 3, 8] {
            let segments = source.segments(want, by).await.expect("segments");
            assert!((want.min(2)..=want + 1).contains(&segments.len()), "{}", segments.len());
            let mut found = Vec::new();
            for segment in segments {
                let frames = source.scan(segment, None).await.expect("a scan");
                let frames: Vec<Frame> = frames.try_collect().await.expect("frames");
                let mut unit = None;
                for frame in frames {
                    match frame {
                        Frame::Begin { unit: begun, .. } => unit = Some(begun),
                        Frame::Record(r) => found.push((unit.clone().expect("a unit"), r)),
                        _ => {}
                    }
                }
            }
            found.sort_by(order);
            assert!(found == whole, "{want} shares by {by:?}");
        }
    }
}

#[tokio::test]
async fn a_thread_is_read_alone() {
    let source = LangGraphSqlite::source(&example("agent.sqlite")).expect("a source");
    let unit = UnitId::new("chat-short");
    let prefix = Key::of("write").text("").build();
    let what = Selection::prefix(&prefix);
    let frames = source.read(vec![unit], what).await.expect("a read");
    let frames: Vec<Frame> = frames.try_collect().await.expect("frames");
    let is_write = |f: &&Frame| matches!(f, Frame::Record(r) if r.key.kind() == "write");
    assert_eq!(frames.iter().filter(is_write).count(), frames.len() - 2);
    assert!(frames.len() > 4);
}

#[test]
fn a_file_is_described() {
    let source = LangGraphSqlite::source(&example("agent.sqlite")).expect("a source");
    let described = source.describe().expect("a description");
    assert_eq!((described.checkpoints, described.writes), (271, 785));
    assert_eq!(described.dialect, Dialect::Python);
    assert!(described.shape.expect("a shape").has_path);
    let old = LangGraphSqlite::source(&example("agent-old.sqlite")).expect("a source");
    assert!(!old.describe().expect("a description").shape.expect("a shape").has_path);
}
