//! `parts+sqlite` passes the suite, keeps what it was given, and names what was damaged.
#![allow(clippy::expect_used, reason = "a test ends loudly where it cannot go on")]

use std::path::Path;
use std::sync::Arc;

use futures::TryStreamExt;
use restow_model::{Body, Dialect, Form, Key, Record, UnitId, Value};
use restow_store::conformance::Fixture;
use restow_store::{
    Batch, ErrorKind, Frame, Guard, Op, Role, Selection, Store, Then, UnitOps, conformance,
};
use restow_stores::layout::parts::sqlite::PartsSqlite;

async fn fresh() -> Fixture {
    let folder = tempfile::tempdir().expect("a folder");
    let store = PartsSqlite::target(&folder.path().join("a.restow"), true).expect("a file");
    let store: Arc<dyn Store> = Arc::new(store);
    Fixture::generic(store, folder)
}

conformance!(parts_sqlite, fresh);

/// A checkpoint whose one value is a list of so many messages, as msgpack.
fn turn(messages: usize) -> Record {
    let mut bytes = vec![0xdd];
    bytes.extend((messages as u32).to_be_bytes());
    for n in 0..messages {
        // Different text all along; about 120 bytes.
        let text: String = (0..15).map(|i| format!("{:07x} ", n * 7919 + i * 104_729)).collect();
        bytes.push(0xd9);
        bytes.push(text.len() as u8);
        bytes.extend(text.as_bytes());
    }
    let value = Value::new(Form::Msgpack, bytes.into());
    let key = Key::of("checkpoint").text("").text(&format!("{messages:08}")).build();
    Record { values: vec![value.clone()], ..Record::new(key, Body::Value(value.name)) }
}

async fn add(path: &Path, record: Record) {
    let store = PartsSqlite::target(path, true).expect("a file");
    store.prepare(Role::CopyTarget, "").await.expect("tables");
    let (unit, guard) = (UnitId::new("u"), Guard::Unmanaged);
    let ops = UnitOps::new(unit, Dialect::Python, guard, vec![Op::put(record)], Then::Keep);
    let outcomes = store.apply(Batch { units: vec![ops] }).await.expect("applied");
    assert!(outcomes[0].is_applied(), "{outcomes:?}");
}

async fn frames(path: &Path) -> Vec<Frame> {
    let store = PartsSqlite::source(path).expect("a parts file");
    let frames = store.read(vec![UnitId::new("u")], Selection::all()).await.expect("frames");
    frames.try_collect().await.expect("no error")
}

fn bytes_beside(path: &Path) -> Vec<(String, Vec<u8>)> {
    let folder = std::fs::read_dir(path.parent().expect("a folder")).expect("a listing");
    let read = |entry: std::fs::DirEntry| {
        (entry.file_name().to_string_lossy().into(), std::fs::read(entry.path()).expect("bytes"))
    };
    let mut files: Vec<_> = folder.map(|entry| read(entry.expect("an entry"))).collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_list_that_grows_by_another_process_a_turn_adds_what_is_new() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.restow");
    let mut sizes = Vec::new();
    for messages in 1..=240 {
        add(&path, turn(messages)).await;
        if messages % 120 == 0 {
            sizes.push(std::fs::metadata(&path).expect("a file").len());
        }
    }
    assert!(sizes[1] < sizes[0] * 22 / 10, "{sizes:?}");
    let found = frames(&path).await;
    let records = found.iter().filter_map(|f| match f {
        Frame::Record(record) => Some(record.clone()),
        _ => None,
    });
    assert_eq!(records.collect::<Vec<_>>(), (1..=240).map(turn).collect::<Vec<_>>());
}

#[tokio::test]
async fn reading_leaves_file_and_folder_as_they_were() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.restow");
    add(&path, turn(3)).await;
    let before = bytes_beside(&path);
    assert_eq!(before.len(), 1, "one file: {:?}", before.iter().map(|f| &f.0).collect::<Vec<_>>());
    assert_eq!(frames(&path).await.len(), 3);
    assert_eq!(bytes_beside(&path), before);
    let store = PartsSqlite::source(&path).expect("a parts file");
    let refused = store.prepare(Role::CopyTarget, "").await.map_err(|e| e.kind());
    assert_eq!(refused, Err(ErrorKind::Refused));
}

#[tokio::test]
async fn damage_is_named_and_the_rest_goes_on() {
    for (table, found) in [("restow_page", "table restow_page, row 1"), ("restow_part", "record")] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.restow");
        for messages in [900, 901] {
            add(&path, turn(messages)).await;
        }
        let file = rusqlite::Connection::open(&path).expect("a database");
        let sql = format!(
            "UPDATE {table} SET data = CAST(x'00' || substr(data, 2) AS BLOB) WHERE rowid = 1"
        );
        assert_eq!(file.execute(&sql, []), Ok(1), "{table}");
        drop(file);
        let frames = frames(&path).await;
        let places = frames.iter().filter_map(|frame| match frame {
            Frame::Damaged { place, .. } => Some(place.as_str()),
            _ => None,
        });
        let places: Vec<_> = places.collect();
        assert!(!places.is_empty() && places.iter().all(|p| p.starts_with(found)), "{places:?}");
        assert!(matches!(frames.last(), Some(Frame::End { .. })), "the unit ends all the same");
    }
}

#[test]
fn another_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("other.db");
    let file = rusqlite::Connection::open(&path).expect("a database");
    file.execute_batch("CREATE TABLE users (name TEXT)").expect("a table");
    drop(file);
    let before = bytes_beside(&path);
    for opened in [PartsSqlite::target(&path, true), PartsSqlite::source(&path)] {
        let error = opened.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().contains("other.db"), "{error}");
    }
    assert_eq!(bytes_beside(&path), before);
}

/// Each record fills a page; one that empties its page must not hide those before it.
#[tokio::test]
async fn records_go_from_the_last_page_to_the_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.restow");
    let key = |n: i64| Key::of("record").int(n).build();
    for n in 0..4 {
        let text = char::from(b'a' + n as u8).to_string().repeat(200 << 10);
        add(&path, Record::new(key(n), Body::text(&*text))).await;
    }
    let store = PartsSqlite::target(&path, true).expect("a file");
    let remove = |n| Op::Remove { key: key(n), expect: restow_store::Expect::Any };
    let ops = vec![remove(3), remove(1), remove(2)];
    let ops = UnitOps::new(UnitId::new("u"), Dialect::Python, Guard::Unmanaged, ops, Then::Keep);
    let outcomes = store.apply(Batch { units: vec![ops] }).await.expect("an outcome");
    assert!(outcomes[0].is_applied(), "{outcomes:?}");
    drop(store);
    let left = frames(&path).await.into_iter().filter_map(|frame| match frame {
        Frame::Record(record) => Some(record.key),
        _ => None,
    });
    assert_eq!(left.collect::<Vec<_>>(), [key(0)]);
}
