//! What a process that died leaves beside its file: a WAL of any length, with its index or without,
//! or a journal. A source is read as its owner would find it, and nothing there is touched; a
//! target is copied into.

use std::fs;

use restow_testkit::cli::Cli;
use rusqlite::Connection;

use crate::origin::{Age, Pair};
use crate::stores::{assert_same_rows, contents, folder, threads};

/// Bytes before a WAL's first frame, and of a frame's own head.
const WAL_HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;
const PAGE: u64 = 4096;

#[test]
fn a_wal_of_any_length() {
    let pair = Pair { home: false, large: false, served: false };
    let living = tempfile::tempdir().unwrap();
    let file = living.path().join("agent.db");
    fs::copy(pair.source(Age::Before), &file).unwrap();
    let before = threads(&file);
    // An application that has written, and whose file holds nothing of that yet.
    let application = Connection::open(&file).unwrap();
    application.execute_batch("PRAGMA wal_autocheckpoint=0").unwrap();
    let one = "DELETE FROM writes WHERE thread_id = (SELECT min(thread_id) FROM writes)";
    application.execute_batch(one).unwrap();
    let left = folder(living.path());
    let frames = left["agent.db-wal"].len() as u64;
    let frame = FRAME_HEADER + PAGE;
    let short = [0, 1, WAL_HEADER - 1, WAL_HEADER, WAL_HEADER + 1, WAL_HEADER + frame - 1];
    for length in short.into_iter().chain([frames - 1, frames]) {
        for with_index in [false, true] {
            let dead = tempfile::tempdir().unwrap();
            for (name, bytes) in &left {
                let kept = if name.ends_with("-wal") { length as usize } else { bytes.len() };
                if with_index || !name.ends_with("-shm") {
                    fs::write(dead.path().join(name), &bytes[..kept]).unwrap();
                }
            }
            let found = folder(dead.path());
            let seen = contents(&format!("langgraph+sqlite:{}/agent.db", dead.path().display()));
            assert!(found == folder(dead.path()), "{length} {with_index}: something was touched");
            // Its owner reads a copy; an ordinary connection writes.
            let owner = threads(&dead.path().join("agent.db"));
            assert_eq!(owner == before, length < frames, "{length} {with_index}");
            for (thread, (checkpoints, writes)) in owner {
                let records = seen[&thread].records as i64;
                assert_eq!(records, checkpoints + writes, "{length} {with_index}: {thread}");
            }
        }
    }
}

#[test]
fn half_a_transaction_in_a_target_is_taken_back() {
    let pair = Pair { home: true, large: false, served: false };
    let cli = Cli::new(env!("CARGO_BIN_EXE_restow"));
    fs::copy(pair.source(Age::Before), cli.path("a.restow")).unwrap();
    let official = pair.official(Age::Before);
    let living = tempfile::tempdir().unwrap();
    let file = living.path().join("agent.db");
    fs::copy(&official, &file).unwrap();
    let application = Connection::open(&file).unwrap();
    // Half of what it writes lies in the file before it commits.
    let half = "PRAGMA journal_mode=delete; PRAGMA cache_size=1; PRAGMA cache_spill=1; BEGIN;
                UPDATE checkpoints SET metadata = zeroblob(9000); DELETE FROM writes";
    application.execute_batch(half).unwrap();
    let left = folder(living.path());
    assert!(
        left["agent.db"] != fs::read(&official).unwrap() && !left["agent.db-journal"].is_empty()
    );
    for address in ["agent.db", "langgraph+sqlite:agent.db"] {
        for (name, bytes) in &left {
            fs::write(cli.path(name), bytes).unwrap();
        }
        let read = cli.run(&["verify", "a.restow", address]).expect(13);
        assert!(read.err.contains("in the middle of a transaction"), "{}", read.err);
        cli.run(&["copy", "a.restow", address]).expect(0);
        assert_same_rows(&cli.path("agent.db"), &official);
    }
}
