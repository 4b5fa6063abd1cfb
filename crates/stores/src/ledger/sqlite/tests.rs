//! The ledger's promises, on the file and on the reference in memory.

use bytes::Bytes;
use restow_model::{Digest, Token, UnitDigest};
use restow_store::ledger::{Failure, Partial};
use restow_store::ledger_memory::MemoryLedger;
use restow_store::{Cursor, Enumeration};

use super::*;

fn digest(n: u64) -> UnitDigest {
    let mut digest = UnitDigest { records: n, ..UnitDigest::default() };
    digest.bodies.add(&Digest::of(&n.to_be_bytes()));
    digest
}

fn mark(n: u64) -> Watermark {
    Watermark { source: digest(n), target: digest(n) }
}

fn failure(unit: Option<&str>, what: &str) -> Failure {
    Failure { unit: unit.map(UnitId::new), what: what.into(), why: "a reason".into() }
}

fn units(names: &[&str]) -> Vec<UnitId> {
    names.iter().copied().map(UnitId::new).collect()
}

fn two_segments() -> [Segment; 2] {
    let mut second = Segment::whole(Enumeration::Units);
    second.from = Some(Bytes::from_static(b"m\0\xff"));
    second.bytes_estimate = Some(7);
    [Segment::whole(Enumeration::Units), second]
}

async fn both(test: impl AsyncFn(&dyn Ledger)) {
    test(&MemoryLedger::new()).await;
    let folder = tempfile::tempdir().unwrap();
    test(&SqliteLedger::open(&folder.path().join("a.ledger")).await.unwrap()).await;
}

#[tokio::test]
async fn a_step_is_kept_whole() {
    both(async |ledger| {
        let id = ledger.open("a", "b", 1).await.unwrap();
        assert_eq!(ledger.open("a", "b", 2).await.unwrap(), id);
        assert_ne!(ledger.open("a", "c", 2).await.unwrap(), id);
        assert_eq!(ledger.interrupted(id).await.unwrap(), None);
        let pass = ledger.begin_pass(id, &two_segments()).await.unwrap();
        let cursor = Some(Cursor(Bytes::from_static(b"\0c")));
        let partial =
            Partial { unit: UnitId::new("t\0"), token: Token::new("x"), staged: digest(3) };
        let step = Step {
            segment: Some((1, cursor.clone(), Some(partial.clone()), false)),
            watermarks: vec![(UnitId::new("a\0b"), mark(1)), (UnitId::new(""), mark(2))],
            failures: vec![failure(Some("f"), "damaged"), failure(None, "damaged")],
            ..Step::default()
        };
        ledger.save(pass, step).await.unwrap();
        let (found, segments) = ledger.interrupted(id).await.unwrap().unwrap();
        assert_eq!((found, segments.len()), (pass, 2));
        assert_eq!((&segments[0].cursor, segments[0].done), (&None, false));
        assert_eq!((&segments[1].cursor, &segments[1].partial), (&cursor, &Some(partial)));
        assert_eq!(segments[1].segment, two_segments()[1]);
        let asked = units(&["", "none", "a\0b"]);
        let marks = ledger.watermarks(id, &asked).await.unwrap();
        assert_eq!(marks, [Some(mark(2)), None, Some(mark(1))]);
        let summary = &ledger.summaries().await.unwrap()[0];
        assert_eq!((summary.units, summary.segments, summary.failures.len()), (2, (0, 2), 2));
        ledger.end_pass(pass).await.unwrap();
        assert_eq!(ledger.interrupted(id).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_unit_is_unseen_until_a_step_of_this_pass_or_a_later_one_names_it() {
    both(async |ledger| {
        let id = ledger.open("a", "b", 1).await.unwrap();
        let first = ledger.begin_pass(id, &two_segments()).await.unwrap();
        let names = ["u1", "u2", "u3", "u4"];
        let watermarks = names.iter().map(|n| (UnitId::new(*n), mark(1))).collect();
        ledger.save(first, Step { watermarks, ..Step::default() }).await.unwrap();
        assert!(ledger.unseen(first, None, 9).await.unwrap().is_empty());
        let second = ledger.begin_pass(id, &two_segments()).await.unwrap();
        let filtered = ledger.begin_pass(id, &[]).await.unwrap();
        let watermarks = vec![(UnitId::new("u2"), mark(5))];
        ledger.save(filtered, Step { watermarks, ..Step::default() }).await.unwrap();
        let failures = vec![failure(Some("u3"), "refused")];
        ledger.save(second, Step { failures, ..Step::default() }).await.unwrap();
        let marked = ledger.marked(id, Some(&UnitId::new("u1")), 2).await.unwrap();
        assert_eq!(marked, [(UnitId::new("u2"), mark(5)), (UnitId::new("u3"), mark(1))]);
        let unseen = ledger.unseen(second, None, 9).await.unwrap();
        assert_eq!(unseen, [(UnitId::new("u1"), mark(1)), (UnitId::new("u4"), mark(1))]);
        let behind = ledger.unseen(second, Some(&UnitId::new("u1")), 1).await.unwrap();
        assert_eq!(behind, [(UnitId::new("u4"), mark(1))]);
        // A pass without segments is never continued.
        assert_eq!(ledger.interrupted(id).await.unwrap().unwrap().0, second);
        let gone = units(&["u4"]);
        ledger.save(second, Step { gone, ..Step::default() }).await.unwrap();
        assert_eq!(ledger.watermarks(id, &units(&["u4"])).await.unwrap(), [None]);
    })
    .await;
}

#[tokio::test]
async fn a_failure_goes_when_its_unit_is_copied_or_a_whole_pass_no_longer_meets_it() {
    both(async |ledger| {
        let id = ledger.open("a", "b", 1).await.unwrap();
        let first = ledger.begin_pass(id, &two_segments()).await.unwrap();
        let failures = vec![
            failure(Some("u1"), "damaged"),
            failure(Some("u1"), "refused"),
            failure(Some("u2"), "damaged"),
            failure(Some("u3"), "damaged"),
            failure(None, "damaged"),
            failure(None, "damaged"),
        ];
        ledger.save(first, Step { failures, ..Step::default() }).await.unwrap();
        ledger.end_pass(first).await.unwrap();
        assert_eq!(ledger.summaries().await.unwrap()[0].failures.len(), 4);
        let filtered = ledger.begin_pass(id, &[]).await.unwrap();
        ledger.end_pass(filtered).await.unwrap();
        assert_eq!(ledger.summaries().await.unwrap()[0].failures.len(), 4);
        let second = ledger.begin_pass(id, &two_segments()).await.unwrap();
        let step = Step {
            watermarks: vec![(UnitId::new("u1"), mark(1))],
            failures: vec![failure(Some("u2"), "refused")],
            ..Step::default()
        };
        ledger.save(second, step).await.unwrap();
        assert_eq!(ledger.summaries().await.unwrap()[0].failures.len(), 2);
        ledger.end_pass(second).await.unwrap();
        let failures = &ledger.summaries().await.unwrap()[0].failures;
        assert_eq!(*failures, [failure(Some("u2"), "refused")]);
    })
    .await;
}

#[tokio::test]
async fn an_attempt_that_died_is_closed_by_the_next() {
    both(async |ledger| {
        let id = ledger.open("a", "b", 1).await.unwrap();
        ledger.begin(id, 10).await.unwrap();
        let second = ledger.begin(id, 20).await.unwrap();
        ledger.end(second, "copied", 30).await.unwrap();
        ledger.audit(id, "a line", 5).await.unwrap();
        let attempts = &ledger.summaries().await.unwrap()[0].attempts;
        let expected = [(10, Some(20), Some("died".into())), (20, Some(30), Some("copied".into()))];
        assert_eq!(*attempts, expected);
    })
    .await;
}

#[tokio::test]
async fn what_may_be_staged_is_known_until_it_is_not() {
    both(async |ledger| {
        let id = ledger.open("a", "b", 1).await.unwrap();
        let other = ledger.open("a", "c", 1).await.unwrap();
        let pass = ledger.begin_pass(id, &[]).await.unwrap();
        let named = |n: &str, token: &str| (UnitId::new(n), Token::new(token));
        let staging = vec![named("u2", "x"), named("u1\0", "x"), named("u2", "y")];
        ledger.save(pass, Step { staging, ..Step::default() }).await.unwrap();
        let known = [named("u1\0", "x"), named("u2", "y")];
        assert_eq!(ledger.stagings(id).await.unwrap(), known);
        assert_eq!(ledger.stagings(other).await.unwrap(), []);
        // Of a unit that is staged anew in the same step, the new staging is known.
        let step = Step {
            unstaged: units(&["u1\0", "u2", "none"]),
            staging: vec![named("u2", "z")],
            ..Step::default()
        };
        ledger.save(pass, step).await.unwrap();
        assert_eq!(ledger.stagings(id).await.unwrap(), [named("u2", "z")]);
    })
    .await;
}

#[tokio::test]
async fn two_ledgers_never_call_a_migration_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut ids = std::collections::HashSet::new();
    for name in ["a.ledger", "b.ledger"] {
        let path = folder.path().join(name);
        let ledger = SqliteLedger::open(&path).await.unwrap();
        let begun = [("a", "b"), ("a", "c"), ("ab", "")];
        for (source, target) in begun {
            let id = ledger.open(source, target, 1).await.unwrap();
            assert!(id.0 >= 0 && ids.insert(id), "{source} {target}");
        }
        drop(ledger);
        let again = SqliteLedger::open(&path).await.unwrap();
        for (source, target) in begun {
            assert!(!ids.insert(again.open(source, target, 2).await.unwrap()));
        }
    }
    for ledger in [MemoryLedger::new(), MemoryLedger::new()] {
        let id = ledger.open("a", "b", 1).await.unwrap();
        assert!(ids.insert(id));
        assert_eq!(ledger.open("a", "b", 2).await.unwrap(), id);
    }
}

#[tokio::test]
async fn a_second_writer_is_refused_and_a_reader_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd ? name%.ledger");
    assert!(SqliteLedger::read_only(&path).await.unwrap().is_none());
    let first = SqliteLedger::open(&path).await.unwrap();
    let id = first.open("a", "b", 1).await.unwrap();
    let error = SqliteLedger::open(&path).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.context().contains(&("held by", "another attempt".into())), "{error}");
    let reader = SqliteLedger::read_only(&path).await.unwrap().unwrap();
    assert_eq!(reader.open("a", "b", 2).await.unwrap(), id);
    assert_eq!(reader.open("a", "c", 2).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(reader.begin(id, 2).await.unwrap_err().kind(), ErrorKind::Refused);
    // The last one to close a file is the one that folds its journal in: the writer here.
    drop(reader);
    drop(first);
    let reader = SqliteLedger::read_only(&path).await.unwrap().unwrap();
    assert_eq!(reader.summaries().await.unwrap().len(), 1);
    drop(reader);
    let mut left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["odd ? name%.ledger", "odd ? name%.ledger.lock"]);
    SqliteLedger::open(&path).await.unwrap();
}

#[tokio::test]
async fn another_file_and_a_newer_ledger_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ledger");
    drop(SqliteLedger::open(&path).await.unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", FORMAT + 1).unwrap();
    assert_eq!(SqliteLedger::open(&path).await.unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(SqliteLedger::read_only(&path).await.unwrap_err().kind(), ErrorKind::Refused);
    let other = folder.path().join("other.db");
    Connection::open(&other).unwrap().execute("CREATE TABLE t (x)", []).unwrap();
    assert_eq!(SqliteLedger::open(&other).await.unwrap_err().kind(), ErrorKind::Invalid);
    std::fs::write(folder.path().join("text"), "not a database, but some longer text").unwrap();
    let error = SqliteLedger::open(&folder.path().join("text")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
}

#[tokio::test]
async fn the_audit_log_is_only_appended_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ledger");
    let ledger = SqliteLedger::open(&path).await.unwrap();
    let id = ledger.open("a", "b", 1).await.unwrap();
    ledger.audit(id, "a line", 5).await.unwrap();
    let other = Connection::open(&path).unwrap();
    assert!(other.execute("DELETE FROM audit", []).is_err());
    assert!(other.execute("UPDATE audit SET line = 'x'", []).is_err());
}
