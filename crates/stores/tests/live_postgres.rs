//! Stores of a migration in PostgreSQL: damage beside units, writers that race, retiring.
#![allow(clippy::expect_used, reason = "a test ends loudly where it cannot go on")]

mod live_help;
mod parts_postgres_help;

use std::sync::Arc;

use live_help::{apply, control, digest, live, ops, prepared, read, record, write};
use parts_postgres_help::{blocking, count, database, past, server, server_of, target};
use restow_model::{HomeState, UnitId};
use restow_store::{
    Content, Enumeration, ErrorKind, Frame, Guard, Op, RegisterName, Role, Segment, Store,
    StoreRecord, Swap, Then, UnitOps, UnitOutcome, WithoutControl,
};
use restow_stores::layout::parts::postgres::PartsPostgres;
use restow_testkit::postgres::{Database, pooler};

async fn opened(database: &Arc<Database>) -> Arc<PartsPostgres> {
    target(database).await
}

const OF_A_MIGRATION: &str = "SELECT (SELECT count(*) FROM pg_class WHERE relname LIKE '%journal' \
                              AND relkind = 'r') + (SELECT count(*) FROM pg_attribute \
                              WHERE attname = 'control' AND NOT attisdropped)";

#[tokio::test]
async fn a_store_of_no_migration_has_no_table_for_one() {
    let Some(database) = database("").await else { return };
    let store = opened(&database).await;
    let put = ops("a", Guard::Unmanaged, vec![Op::put(record(0, 1))], Then::Keep);
    assert!(apply(&*store, vec![put]).await[0].is_applied());
    store.trim(UnitId::new("a"), 9).await.expect("nothing to forget");
    let told = store.journal(UnitId::new("a"), 0).await.expect("an answer");
    assert_eq!((told.control, told.entries), (None, None));
    assert_eq!(count(&database, OF_A_MIGRATION).await, 0);
    // Another opening does not know yet that it is one of a migration now.
    let other = opened(&database).await;
    other.prepare(Role::Source, "here").await.expect("tables");
    assert_eq!(count(&database, OF_A_MIGRATION).await, 2);
    let put = ops("a", Guard::Unmanaged, vec![Op::put(record(1, 1))], Then::Keep);
    let refused = apply(&*store, vec![put]).await;
    let is_refused =
        matches!(&refused[0], UnitOutcome::Failed(error) if error.kind() == ErrorKind::Refused);
    assert!(is_refused, "{refused:?}");
    let adopt = ops("a", Guard::Unmanaged, vec![], Then::Keep);
    let adopt = UnitOps { control: Some(Box::new(control(HomeState::Live, 1, 1))), ..adopt };
    assert!(apply(&*store, vec![adopt]).await[0].is_applied());
    let held = store.journal(UnitId::new("a"), 1).await.expect("told").control;
    assert_eq!(held.map(|held| held.digest), Some(digest(&[record(0, 1)])));
}

#[tokio::test]
async fn several_that_prepare_at_once_agree() {
    let Some(database) = database("").await else { return };
    let mut preparing = Vec::new();
    for n in 0..6 {
        let store = opened(&database).await;
        preparing.push(tokio::spawn(async move {
            store.prepare(Role::Source, &format!("store-{n}")).await.expect("a record")
        }));
    }
    let mut records = Vec::new();
    for prepared in preparing {
        records.push(prepared.await.expect("it ends"));
    }
    assert!(records.iter().all(|record| *record == records[0]), "{records:?}");
}

#[tokio::test]
async fn a_damaged_control_record_is_named_and_the_rest_goes_on() {
    let Some(database) = database("").await else { return };
    let store = opened(&database).await;
    prepared(&*store, &["a", "b"]).await;
    let changed = past(&database, |client| {
        let sql = "UPDATE restow_parts.restow_unit SET control = substring(control, 1, 40) \
                   WHERE unit = 'a'";
        client.execute(sql, &[]).expect("an update")
    });
    assert_eq!(changed.await, 1);

    let frames = read(&*store, &["a", "b"]).await;
    let [Frame::Damaged { unit, why, place }, Frame::Begin { unit: next, .. }, ..] = &frames[..]
    else {
        unreachable!("{frames:?}")
    };
    assert_eq!((unit.as_ref().map(UnitId::as_str), next.as_str()), (Some("a"), "b"));
    assert!(why.starts_with("the unit's control record cannot be read"), "{why}");
    assert!(place.contains("restow_unit"), "{place}");
    for by in [Enumeration::Units, Enumeration::Storage] {
        let frames = store.scan(Segment::whole(by), None, Content::All).await.expect("a scan");
        let frames: Vec<Frame> = futures::TryStreamExt::try_collect(frames).await.expect("frames");
        let found = frames.iter().filter(|frame| matches!(frame, Frame::Damaged { .. })).count();
        let begun = frames.iter().filter(|frame| matches!(frame, Frame::Begin { .. })).count();
        assert_eq!((found, begun), (1, 1), "{by:?} {frames:?}");
    }
    let outcomes = apply(&*store, vec![write("a", 1, 1, 1), write("b", 1, 1, 1)]).await;
    let UnitOutcome::Failed(error) = &outcomes[0] else { unreachable!("{outcomes:?}") };
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains("unit a"), "{error}");
    assert!(outcomes[1].is_applied(), "{outcomes:?}");
    let told = store.journal(UnitId::new("a"), 0).await.expect_err("a failure");
    assert_eq!(told.kind(), ErrorKind::Damaged);
}

/// Two that opened the same store write under one term, units in batches of both orders: each write
/// is made once, and the journals tell them all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_two_openings_are_all_counted() {
    const EACH: usize = 20;
    let Some(database) = database("").await else { return };
    let stores = [opened(&database).await, opened(&database).await];
    prepared(&*stores[0], &["a", "b"]).await;
    let writers = stores.clone().into_iter().enumerate().map(|(writer, store)| {
        tokio::spawn(async move {
            for n in 0..EACH {
                let of = |unit| write(unit, 1, n, writer as u64 + 2);
                let mut units = vec![of("a"), of("b")];
                if writer == 1 {
                    units.reverse();
                }
                let outcomes = apply(&*store, units.clone()).await;
                assert!(outcomes.iter().all(UnitOutcome::is_applied), "{outcomes:?}");
                // Each is sent twice, as after a lost answer.
                let again = apply(&*store, units).await;
                let is_known = |outcome: &UnitOutcome| {
                    matches!(outcome, UnitOutcome::AlreadyApplied { generation: Some(_) })
                };
                assert!(again.iter().all(is_known), "{again:?}");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("a writer ends");
    }
    for unit in ["a", "b"] {
        let told = stores[1].journal(UnitId::new(unit), 1).await.expect("told");
        let seqs: Vec<u64> = told.entries.expect("all").iter().map(|entry| entry.seq).collect();
        assert_eq!(seqs, (2..2 + 2 * EACH as u64).collect::<Vec<_>>());
        let frames = read(&*stores[0], &[unit]).await;
        let records: Vec<_> = frames
            .iter()
            .filter_map(|frame| match frame {
                Frame::Record(record) => Some(record.clone()),
                _ => None,
            })
            .collect();
        let held = told.control.expect("a control record");
        assert_eq!((records.len(), held.digest), (EACH, digest(&records)));
    }
}

/// Nothing that a migration needs outlives a transaction: a pooler with one connection is enough.
#[tokio::test]
async fn a_migration_runs_through_a_pooler() {
    let (Some(database), Some(pooler)) = (database("").await, pooler()) else { return };
    let url = database.url_at(&pooler);
    let place = url.split_once(':').expect("a URL").1;
    let server = server_of(&format!("parts+postgres:{place}"));
    let open = move || PartsPostgres::target(server.clone()).expect("a store");
    let stores = blocking(move || [open(), open()]).await;
    prepared(&stores[0], &["a", "b"]).await;
    for (n, store) in stores.iter().enumerate() {
        let outcomes = apply(store, vec![write("a", 1, n, 7), write("b", 1, n, 7)]).await;
        assert!(outcomes.iter().all(UnitOutcome::is_applied), "{outcomes:?}");
    }
    let told = stores[0].journal(UnitId::new("a"), 1).await.expect("told");
    assert_eq!(told.entries.map(|entries| entries.len()), Some(2));
    stores[1].trim(UnitId::new("a"), 2).await.expect("trimmed");
    let told = stores[0].journal(UnitId::new("a"), 2).await.expect("told");
    assert_eq!(told.entries.map(|entries| entries.len()), Some(1));
    assert_eq!(told.control.map(|held| held.digest), Some(digest(&[record(0, 7), record(1, 7)])));
    assert_eq!(read(&stores[1], &["a"]).await.len(), 4);
}

/// Whoever retires a store waits for the write that is under way, and no later one passes.
#[tokio::test]
async fn a_write_and_a_retirement_meet() {
    let Some(database) = database("").await else { return };
    let (store, other) = (opened(&database).await, opened(&database).await);
    prepared(&*store, &["a"]).await;
    let held = other.register_read(RegisterName::store()).await.expect("read").expect("a record");
    let was = StoreRecord::from_bytes(&held.1).expect("a record");
    let retired = StoreRecord { without_control: WithoutControl::Retired, ..was };
    // As a write under way does.
    let lock = server(&database);
    let begun = std::sync::Arc::new(std::sync::Barrier::new(2));
    let (ended, wait) = std::sync::mpsc::channel::<()>();
    let meanwhile = begun.clone();
    let writer = tokio::task::spawn_blocking(move || {
        lock.write("hold a store", |tx| {
            let table = "\"restow_parts\".restow_register";
            restow_stores::engine::postgres::registers::held_store(tx, table)?;
            meanwhile.wait();
            wait.recv().expect("a sign");
            Ok(())
        })
        .expect("held");
    });
    tokio::task::spawn_blocking(move || begun.wait()).await.expect("begun");
    let swapping = tokio::spawn(async move {
        other.register_swap(RegisterName::store(), Some(held.0), retired.to_bytes()).await
    });
    // The server says that somebody waits for the lock.
    let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    while count(&database, waits).await == 0 {
        tokio::task::yield_now().await;
    }
    ended.send(()).expect("a writer");
    writer.await.expect("a writer ends");
    let swapped = swapping.await.expect("it ends").expect("an answer");
    assert!(matches!(swapped, Swap::Swapped(_)), "{swapped:?}");
    let late = apply(&*store, vec![write("a", 1, 1, 1), live("b")]).await;
    for outcome in late {
        let UnitOutcome::Failed(error) = outcome else { unreachable!("{outcome:?}") };
        assert_eq!(error.kind(), ErrorKind::Retired);
    }
}
