//! A source is read and never written to, whatever state its files are in.
#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests are tests, too")]

mod langgraph_sqlite_help;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use futures::TryStreamExt;
use langgraph_sqlite_help::{Db, frames, packed};
use restow_model::Digest;
use restow_store::{Content, Enumeration, ErrorKind, Frame, Segment, Store};
use restow_stores::engine::sqlite::source::Source;
use restow_stores::layout::langgraph::sqlite::LangGraphSqlite;
use rusqlite::Connection;

/// Every file of a folder, with the digest of its bytes.
fn folder(path: &Path) -> BTreeMap<PathBuf, Digest> {
    let entries = fs::read_dir(path).expect("a folder").map(|e| e.expect("an entry").path());
    entries.map(|path| (path.clone(), Digest::of(&fs::read(&path).expect("a file")))).collect()
}

/// A file in WAL mode with `count` checkpoints, the last ones only in the WAL.
fn wal(count: usize) -> Db {
    let db = Db::new();
    db.run("PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0");
    add(&db, 0..count);
    db
}

fn add(db: &Db, range: std::ops::Range<usize>) {
    for n in range {
        let id = format!("{n:04}");
        db.checkpoint(&id, None, "msgpack", &packed(&id, &[], &[]), "{}");
    }
}

/// Copies some of a database's files into a folder of their own, as a crash leaves them.
fn crashed(db: &Db, endings: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    for ending in endings {
        let name = format!("agent.db{ending}");
        fs::copy(db.folder.path().join(&name), folder.path().join(&name)).expect("a copy");
    }
    let path = folder.path().join("agent.db");
    (folder, path)
}

async fn count(path: &Path) -> usize {
    let source = LangGraphSqlite::source(path).expect("a source");
    source.describe().expect("a description");
    source.segments(4, Enumeration::Units).await.expect("segments");
    let found = frames(&source, Enumeration::Units).await;
    assert_eq!(frames(&source, Enumeration::Storage).await.len(), found.len());
    found.iter().filter(|frame| matches!(frame, Frame::Record(_))).count()
}

#[tokio::test]
async fn a_closed_file_is_left_as_it_was() {
    let db = wal(5);
    let Db { folder: place, path, connection } = db;
    drop(connection);
    let before = folder(place.path());
    assert_eq!(before.len(), 1, "closed without a WAL");
    assert_eq!(count(&path).await, 5);
    assert_eq!(folder(place.path()), before);
}

const CHILD: &str = "RESTOW_TEST_DATABASE";

/// Another process with a database open: locks and shared memory are per process.
#[test]
fn another_process() {
    // Only where a test below starts this binary again.
    let Some(path) = std::env::var_os(CHILD) else { return };
    let connection = Connection::open(path).expect("the file");
    let insert = "INSERT INTO checkpoints VALUES ('other', '', '1', NULL, 'json', x'7b7d', NULL)";
    connection.execute(insert, []).expect("a row");
    println!("ready");
    std::io::stdin().read_line(&mut String::new()).expect("the end");
    connection.execute_batch("DELETE FROM checkpoints WHERE thread_id = 'other'").expect("gone");
}

#[tokio::test]
async fn a_living_application_s_wal_is_read() {
    let db = wal(5);
    let Db { folder: place, path, connection } = db;
    drop(connection);
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "another_process", "--nocapture"])
        .env(CHILD, &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test again");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    assert!(lines.any(|line| line.expect("a line").contains("ready")));
    let before = folder(place.path());
    assert_eq!(before.len(), 3);
    assert_eq!(count(&path).await, 6);
    assert_eq!(folder(place.path()), before);
    // The next stream sees what was written since.
    let source = LangGraphSqlite::source(&path).expect("a source");
    drop(child.stdin.take());
    assert!(child.wait().expect("its end").success());
    assert_eq!(frames(&source, Enumeration::Units).await.len(), 5 + 3);
}

#[tokio::test]
async fn a_crashed_application_s_wal_is_read() {
    let db = wal(5);
    for endings in [&["", "-wal", "-shm"][..], &["", "-wal"]] {
        let (place, path) = crashed(&db, endings);
        let before = folder(place.path());
        assert_eq!(count(&path).await, 5, "{endings:?}");
        assert_eq!(folder(place.path()), before, "{endings:?}");
    }
}

#[tokio::test]
async fn a_path_may_look_like_a_uri() {
    let db = wal(2);
    let odd = db.folder.path().join("a b?mode=rw#%41 ü");
    fs::create_dir(&odd).expect("a folder");
    let path = odd.join("agent%20.db");
    db.run(&format!("VACUUM INTO '{}'", path.display()));
    assert_eq!(count(&path).await, 2);
    assert_eq!(folder(&odd).len(), 1);
}

#[tokio::test]
async fn a_change_below_the_reader_is_told() {
    let db = Db::new();
    add(&db, 0..1);
    let opened = Source::open(&db.path).expect("a source").connect().expect("a connection");
    opened.check().expect("nothing has changed");
    add(&db, 1..2);
    let error = opened.check().expect_err("changed");
    assert!(error.is_retryable(), "{error}");

    let source = LangGraphSqlite::source(&db.path).expect("a source");
    let segment = Segment::whole(Enumeration::Units);
    // More than a stream holds ahead, so that it is still reading when the file changes.
    add(&db, 2..1200);
    let mut stream = source.scan(segment.clone(), None, Content::All).await.expect("a scan");
    stream.try_next().await.expect("a frame");
    add(&db, 1200..1201);
    let error = stream.try_collect::<Vec<_>>().await.expect_err("changed");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let again = source.scan(segment, None, Content::All).await.expect("a scan");
    assert_eq!(again.try_collect::<Vec<_>>().await.expect("frames").len(), 1201 + 3);
}

#[test]
fn what_cannot_be_read_is_named() {
    let place = tempfile::tempdir().expect("a folder");
    let file = |name: &str, bytes: &[u8]| {
        let path = place.path().join(name);
        fs::write(&path, bytes).expect("a file");
        path
    };
    let Db { folder: _kept, path, connection } = Db::new();
    connection
        .execute_batch("INSERT INTO checkpoints VALUES ('t','','1',NULL,'x',zeroblob(90000),NULL)")
        .expect("a row");
    drop(connection);
    let whole = fs::read(&path).expect("a file");
    let mut torn = whole.clone();
    torn[4096..8192].fill(0x5a);
    let cases = [
        (place.path().join("none"), ErrorKind::NotFound, "no such file"),
        (place.path().to_path_buf(), ErrorKind::Invalid, "no file"),
        (file("empty", b""), ErrorKind::Invalid, "empty"),
        (
            file("text", b"this is no database, but long enough"),
            ErrorKind::Invalid,
            "not an SQLite",
        ),
        (file("short", b"SQLite"), ErrorKind::Invalid, "not an SQLite"),
        (file("cut", &whole[..whole.len() / 2]), ErrorKind::Damaged, "cut short"),
        (file("header", &whole[..50]), ErrorKind::Damaged, "cut short"),
    ];
    for (path, kind, why) in cases {
        let error = LangGraphSqlite::source(&path).expect_err("refused");
        assert_eq!(error.kind(), kind, "{error}");
        let text = error.to_string();
        assert!(text.contains(why) && text.contains(&path.display().to_string()), "{text}");
    }
    let torn = file("torn", &torn);
    let opened = LangGraphSqlite::source(&torn).and_then(|s| s.describe());
    assert_eq!(opened.expect_err("damaged").kind(), ErrorKind::Damaged);
}

#[test]
fn a_file_that_another_holds_is_told() {
    let Db { folder: place, path, connection } = Db::new();
    connection.execute_batch("BEGIN EXCLUSIVE").expect("a lock");
    let before = folder(place.path());
    let error = LangGraphSqlite::source(&path).expect_err("locked");
    assert!(error.is_retryable(), "{error}");
    assert_eq!(folder(place.path()), before);
    connection.execute_batch("COMMIT").expect("a commit");
    LangGraphSqlite::source(&path).expect("free again");
}

#[tokio::test]
async fn an_unfinished_transaction_of_a_crashed_application_is_told() {
    let db = Db::new();
    add(&db, 0..50);
    db.run("PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN");
    add(&db, 50..200);
    let (place, path) = crashed(&db, &["", "-journal"]);
    let before = folder(place.path());
    let error = LangGraphSqlite::source(&path).expect_err("half a transaction");
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert_eq!(folder(place.path()), before);
}

#[tokio::test]
async fn a_source_is_not_written_to() {
    let db = wal(1);
    let source = LangGraphSqlite::source(&db.path).expect("a source");
    let name = restow_store::RegisterName::store();
    assert_eq!(source.register_read(name.clone()).await.expect("no register"), None);
    let error = source.register_swap(name, None, "x".into()).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Refused);
    let error = source.prepare(restow_store::Role::CopyTarget, "x").await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Refused);
    let reader = Connection::open(&db.path).expect("the file");
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'restow%'";
    let count: i64 = reader.query_row(tables, [], |row| row.get(0)).expect("a count");
    assert_eq!(count, 0);
}

#[test]
fn another_application_s_database_is_no_target_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("other.db");
    let file = rusqlite::Connection::open(&path).expect("a database");
    file.execute_batch("CREATE TABLE users (name TEXT)").expect("a table");
    drop(file);
    let before = std::fs::read(&path).expect("bytes");
    let error = LangGraphSqlite::target(&path, true).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert_eq!(std::fs::read(&path).expect("bytes"), before);
}
