//! Stores of a migration: damage beside units, writers that race, files without a migration.
#![allow(clippy::expect_used, reason = "a test ends loudly where it cannot go on")]

mod live_help;

use std::path::Path;
use std::sync::Arc;

use live_help::{Layout, apply, control, digest, live, ops, prepared, read, record, write};
use restow_model::{Control, HomeState, UnitId};
use restow_store::{
    Content, Enumeration, Error, ErrorKind, Frame, Guard, Op, Role, Segment, Stamp, Store, Then,
    UnitOps, UnitOutcome,
};
use restow_testkit::official;
use rusqlite::Connection;

fn tables(path: &Path) -> Vec<String> {
    let file = Connection::open(path).expect("the file");
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    let mut statement = file.prepare(sql).expect("a statement");
    let names = statement.query_map([], |row| row.get(0)).expect("names");
    names.collect::<Result<_, _>>().expect("names")
}

fn failed(outcome: &UnitOutcome) -> Option<&Error> {
    match outcome {
        UnitOutcome::Failed(error) => Some(error),
        _ => None,
    }
}

#[tokio::test]
async fn a_store_of_no_migration_has_no_table_for_one() {
    for layout in Layout::ALL {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let store = layout.open(&path);
        store.prepare(Role::CopyTarget, "").await.expect("tables");
        let put = ops("a", Guard::Unmanaged, vec![Op::put(record(0, 1))], Then::Keep);
        assert!(apply(&*store, vec![put]).await[0].is_applied());
        store.trim(UnitId::new("a"), 9).await.expect("nothing to forget");
        let told = store.journal(UnitId::new("a"), 0).await.expect("an answer");
        assert_eq!((told.control, told.entries), (None, None));
        let of_one = |name: &String| name.contains("control") || name.contains("journal");
        assert_eq!(tables(&path).iter().find(|name| of_one(name)), None, "{layout:?}");
        store.prepare(Role::Source, "here").await.expect("tables");
        assert!(tables(&path).iter().any(of_one), "{layout:?}");
    }
}

#[tokio::test]
async fn a_file_of_before_takes_part_in_a_migration() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("parts_1.restow");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/parts_1.restow");
    std::fs::copy(golden, &path).expect("a copy");
    let store = Layout::Parts.open(&path);
    store.prepare(Role::Source, "here").await.expect("it is ready");
    let adopt = ops("values-types", Guard::Unmanaged, vec![], Then::Keep);
    let adopt = UnitOps { control: Some(Box::new(control(HomeState::Live, 1, 1))), ..adopt };
    assert!(apply(&*store, vec![adopt]).await[0].is_applied());
    let frames = read(&*store, &["values-types"]).await;
    let Some(Frame::End { control: Some(held), digest: Some(kept), .. }) = frames.last() else {
        unreachable!("{frames:?}")
    };
    let records = frames.iter().filter_map(|frame| match frame {
        Frame::Record(record) => Some(record.clone()),
        _ => None,
    });
    let sum = digest(&records.collect::<Vec<_>>());
    assert_eq!((held.digest, *kept), (sum, sum));
}

/// What a control record can be damaged to, and what is said of it.
fn damages() -> [(&'static str, &'static str); 3] {
    let unreadable = "the unit's control record cannot be read";
    [
        ("x''", unreadable),
        ("CAST(substr(FIELD, 1, 40) AS BLOB)", unreadable),
        // The number of the format, the first entry whose name has six letters.
        (
            "CAST(replace(CAST(FIELD AS TEXT), 'format' || x'030131', 'format' || x'030132') \
             AS BLOB)",
            unreadable,
        ),
    ]
}

#[tokio::test]
async fn a_damaged_control_record_is_named_and_the_rest_goes_on() {
    for layout in Layout::ALL {
        for (damage, why) in damages() {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("a.db");
            let store = layout.open(&path);
            prepared(&*store, &["a", "b"]).await;
            let field = layout.control().rsplit(' ').next().expect("a column");
            let damage = damage.replace("FIELD", field);
            let sql = format!("UPDATE {} = {damage} WHERE unit = 'a'", layout.control());
            let file = Connection::open(&path).expect("the file");
            assert_eq!(file.execute(&sql, []), Ok(1));
            drop(file);

            let frames = read(&*store, &["a", "b"]).await;
            let [Frame::Damaged { unit, why: told, place }, Frame::Begin { unit: next, .. }, ..] =
                &frames[..]
            else {
                unreachable!("{layout:?} {frames:?}")
            };
            assert_eq!((unit.as_ref().map(UnitId::as_str), next.as_str()), (Some("a"), "b"));
            assert!(told.starts_with(why) && place.contains("restow_"), "{place}: {told}");
            for by in [Enumeration::Units, Enumeration::Storage] {
                let frames =
                    store.scan(Segment::whole(by), None, Content::All).await.expect("a scan");
                let frames: Vec<Frame> =
                    futures::TryStreamExt::try_collect(frames).await.expect("frames");
                let count = |is: fn(&Frame) -> bool| frames.iter().filter(|f| is(f)).count();
                let found = count(|frame| matches!(frame, Frame::Damaged { .. }));
                let begun = count(|frame| matches!(frame, Frame::Begin { .. }));
                assert_eq!((found, begun), (1, 1), "{layout:?} {by:?} {frames:?}");
            }

            let outcomes = apply(&*store, vec![write("a", 1, 1, 1), write("b", 1, 1, 1)]).await;
            let error = failed(&outcomes[0]).expect("a failure");
            assert_eq!(error.kind(), ErrorKind::Damaged);
            assert!(error.to_string().contains("unit a"), "{error}");
            assert!(outcomes[1].is_applied(), "{outcomes:?}");
            let told = store.journal(UnitId::new("a"), 0).await.expect_err("a failure");
            assert_eq!(told.kind(), ErrorKind::Damaged);
        }
    }
}

#[tokio::test]
async fn another_store_s_control_record_is_not_written_under() {
    for layout in Layout::ALL {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let store = layout.open(&path);
        prepared(&*store, &["a", "b"]).await;
        let held = store.journal(UnitId::new("a"), 0).await.expect("told").control;
        let foreign = Control { store: "elsewhere".into(), ..held.expect("a control record") };
        let sql = format!("UPDATE {} = ?1 WHERE unit = 'a'", layout.control());
        let file = Connection::open(&path).expect("the file");
        assert_eq!(file.execute(&sql, [foreign.to_bytes()]), Ok(1));
        drop(file);
        let exactly = Guard::Exactly(Stamp::Control(Box::new(foreign)));
        let bump = ops("a", exactly, vec![Op::put(record(1, 1))], Then::Bump);
        let outcomes = apply(&*store, vec![write("a", 1, 1, 1), bump]).await;
        for outcome in &outcomes {
            assert_eq!(failed(outcome).map(Error::kind), Some(ErrorKind::Refused), "{outcome:?}");
        }
        assert!(apply(&*store, vec![write("b", 1, 1, 1)]).await[0].is_applied());
    }
}

#[tokio::test]
async fn a_damaged_journal_entry_is_named() {
    for layout in Layout::ALL {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let store = layout.open(&path);
        prepared(&*store, &["a"]).await;
        let outcomes = apply(&*store, vec![write("a", 1, 1, 1)]).await;
        assert!(outcomes[0].is_applied(), "{outcomes:?}");
        let file = Connection::open(&path).expect("the file");
        assert_eq!(file.execute("UPDATE restow_journal SET keys = x'09'", []), Ok(1));
        drop(file);
        let error = store.journal(UnitId::new("a"), 1).await.expect_err("a failure");
        assert_eq!(error.kind(), ErrorKind::Damaged);
        assert!(error.to_string().contains("unit a"), "{error}");
        // Writing goes on: an entry is only read by who replays it.
        assert!(apply(&*store, vec![write("a", 1, 2, 2)]).await[0].is_applied());
    }
}

/// Two that opened the same file write under one term: each write is made once, and the journal
/// tells them all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_two_openings_are_all_counted() {
    const EACH: usize = 20;
    for layout in Layout::ALL {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        // The second finds a file that holds nothing yet, and is open.
        let stores = [layout.open(&path), layout.open(&path)];
        prepared(&*stores[0], &["a"]).await;
        let writers = stores.clone().into_iter().enumerate().map(|(writer, store)| {
            tokio::spawn(async move {
                let mut seqs = Vec::new();
                for n in 0..EACH {
                    // Each is sent twice, as after a lost answer.
                    for _ in 0..2 {
                        let ops = write("a", 1, n, writer as u64 + 2);
                        match apply(&*store, vec![ops]).await.pop() {
                            Some(UnitOutcome::Applied { generation: Some(made), .. }) => {
                                seqs.push(made.seq);
                            }
                            Some(UnitOutcome::AlreadyApplied { generation: Some(made) }) => {
                                assert_eq!(seqs.last(), Some(&made.seq));
                            }
                            outcome => unreachable!("{outcome:?}"),
                        }
                    }
                }
                seqs
            })
        });
        let mut seqs = Vec::new();
        for writer in writers.collect::<Vec<_>>() {
            seqs.extend(writer.await.expect("a writer ends"));
        }
        seqs.sort_unstable();
        let all: Vec<u64> = (2..2 + 2 * EACH as u64).collect();
        assert_eq!(seqs, all, "{layout:?}");
        let told = stores[1].journal(UnitId::new("a"), 1).await.expect("told");
        let entries = told.entries.expect("all of them");
        assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), all);
        let frames = read(&*stores[0], &["a"]).await;
        let records: Vec<_> = frames
            .iter()
            .filter_map(|frame| match frame {
                Frame::Record(record) => Some(record.clone()),
                _ => None,
            })
            .collect();
        let held = told.control.expect("a control record");
        assert_eq!((records.len(), held.digest), (EACH, digest(&records)), "{layout:?}");
    }
}

/// A unit that was removed is there by its control record alone, and asks nothing of others.
#[tokio::test]
async fn a_removed_unit_is_no_thread() {
    for layout in Layout::ALL {
        let folder = tempfile::tempdir().expect("a folder");
        let store: Arc<dyn Store> = layout.open(&folder.path().join("a.db"));
        prepared(&*store, &["a", "b"]).await;
        let gone = ops("a", Guard::LiveAt { term: 1, since: 1 }, vec![], Then::Tombstone);
        assert!(apply(&*store, vec![gone]).await[0].is_applied());
        let frames = read(&*store, &["a"]).await;
        assert!(matches!(frames[..], [Frame::Begin { .. }, Frame::End { .. }]), "{frames:?}");
        let again = apply(&*store, vec![live("a")]).await;
        assert!(matches!(again[0], UnitOutcome::Lost(_)), "{again:?}");
    }
}

/// What stands beside the tables changes nothing for LangGraph's own savers.
#[tokio::test]
async fn official_savers_read_what_they_read_before() {
    let Some(python) = official::python() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = tempfile::tempdir().expect("a folder");
    let (before, path) = (folder.path().join("before.db"), folder.path().join("agent.db"));
    for to in [&before, &path] {
        std::fs::copy(root.join("examples/agent.sqlite"), to).expect("a copy");
    }
    let store = Layout::LangGraph.open(&path);
    let frames =
        store.scan(Segment::whole(Enumeration::Units), None, Content::All).await.expect("a scan");
    let frames: Vec<Frame> = futures::TryStreamExt::try_collect(frames).await.expect("frames");
    let adopt = |frame: &Frame| match frame {
        Frame::Begin { unit, .. } => {
            let adopt = ops(unit.as_str(), Guard::Unmanaged, vec![], Then::Keep);
            Some(UnitOps { control: Some(Box::new(control(HomeState::Live, 1, 1))), ..adopt })
        }
        _ => None,
    };
    let adopted: Vec<UnitOps> = frames.iter().filter_map(adopt).collect();
    prepared(&*store, &["gone"]).await;
    let gone = ops("gone", Guard::LiveAt { term: 1, since: 1 }, vec![], Then::Tombstone);
    let outcomes = apply(&*store, adopted.into_iter().chain([gone]).collect()).await;
    assert!(outcomes.len() > 2 && outcomes.iter().all(UnitOutcome::is_applied), "{outcomes:?}");
    drop(store);
    let places = [before, path].map(|path| path.to_string_lossy().into_owned());
    let args = ["equal", &places[0], &places[1]];
    official::judge(&python, &root.join("tests/official/judge.py"), &args);
}
