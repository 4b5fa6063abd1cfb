//! `parts+postgres` under several writers: each unit is one writer's at a time, other units go on,
//! and an answer that got lost is told as such.
#![allow(clippy::expect_used, reason = "a test ends loudly where it cannot go on")]

mod parts_postgres_help;

use std::sync::Arc;

use futures::future;
use restow_model::{Token, UnitDigest};
use restow_store::{Batch, Current, Guard, Role, Stamp, Store, Then, UnitOutcome};
use restow_stores::layout::parts::postgres::PartsPostgres;

use parts_postgres_help::*;
use restow_testkit::postgres::Database;

/// A transaction past restow that is open until it is told to commit.
struct Hold {
    release: std::sync::mpsc::Sender<()>,
    done: tokio::task::JoinHandle<()>,
}

impl Hold {
    /// Runs a statement and keeps its transaction open.
    async fn begin(database: &Arc<Database>, sql: &'static str) -> Self {
        let (release, released) = std::sync::mpsc::channel();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let database = database.clone();
        let done = tokio::task::spawn_blocking(move || {
            let mut client = database.connect();
            let mut tx = client.transaction().expect("a transaction");
            tx.execute(sql, &[]).expect(sql);
            begun.send(()).expect("somebody waits");
            released.recv().expect("a word to commit");
            tx.commit().expect("a commit");
        });
        has_begun.await.expect("the statement runs");
        Self { release, done }
    }

    /// Waits until a statement of another transaction waits for a lock.
    async fn until_one_waits(&self, database: &Arc<Database>) {
        let sql = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN \
                   (SELECT pid FROM pg_stat_activity WHERE datname = current_database())";
        while count(database, sql).await == 0 {}
    }

    async fn commit(self) {
        self.release.send(()).expect("the transaction is open");
        self.done.await.expect("it ends");
    }
}

fn token(text: &str) -> Token {
    Token::new(text)
}

/// Applies in the background.
fn begin(
    store: &Arc<PartsPostgres>,
    ops: restow_store::UnitOps,
) -> tokio::task::JoinHandle<UnitOutcome> {
    let store = store.clone();
    tokio::spawn(async move { apply(&*store, ops).await })
}

#[tokio::test(flavor = "multi_thread")]
async fn six_that_make_the_tables_at_once_all_succeed() {
    let Some(database) = database("").await else { return };
    let open = || {
        let server = server(&database);
        async move {
            let store = blocking(move || PartsPostgres::target(server)).await.expect("a store");
            store.prepare(Role::CopyTarget, "").await.expect("tables");
        }
    };
    future::join_all((0..6).map(|_| open())).await;
    put(&*target(&database).await, "u", vec![turn(1)]).await;
}

#[tokio::test]
async fn a_unit_is_one_writer_s_while_others_go_on() {
    let Some(database) = database("").await else { return };
    let store = target(&database).await;
    put(&*store, "a", vec![turn(1)]).await;
    let sql = "UPDATE restow_parts.restow_unit SET version = version WHERE unit = 'a'";
    let hold = Hold::begin(&database, sql).await;
    let waits = begin(&store, ops("a", Guard::Unmanaged, vec![turn(2)], Then::Keep));
    hold.until_one_waits(&database).await;
    put(&*store, "b", vec![turn(3)]).await;
    assert!(!waits.is_finished(), "the unit is another's");
    hold.commit().await;
    assert!(waits.await.expect("an outcome").is_applied());
    assert_eq!(records(&*store, "a").await, vec![turn(1), turn(2)]);
}

#[tokio::test]
async fn of_two_that_add_a_unit_the_later_one_sees_the_earlier() {
    let Some(database) = database("").await else { return };
    let store = target(&database).await;
    let sql = "INSERT INTO restow_parts.restow_unit \
               (unit_no, unit, dialect, digest, next, version) VALUES (1000, 'b', 0, '', 0, 1)";
    let hold = Hold::begin(&database, sql).await;
    let units = ["a", "b", "c"].map(|unit| ops(unit, Guard::Absent, vec![turn(2)], Then::Keep));
    let batch = store.clone();
    let waits = tokio::spawn(async move { apply_all(&*batch, units.into()).await });
    hold.until_one_waits(&database).await;
    hold.commit().await;
    let outcomes = waits.await.expect("outcomes");
    let applied: Vec<_> = outcomes.iter().map(UnitOutcome::is_applied).collect();
    assert_eq!(applied, [true, false, true], "{outcomes:?}");
    assert!(matches!(outcomes[1], UnitOutcome::Lost(Current::Unmanaged(_))), "{outcomes:?}");
}

#[tokio::test]
async fn a_promotion_sees_what_was_committed_while_it_waited() {
    let Some(database) = database("").await else { return };
    let store = target(&database).await;
    put(&*store, "u", vec![turn(1)]).await;
    let mut seen = UnitDigest::default();
    seen.merge(&turn(1).summed());
    let guard = Guard::Exactly(Stamp::Content(seen));
    let stage = ops("u", guard, vec![turn(5)], Then::Stage(token("t")));
    assert!(apply(&*store, stage).await.is_applied());
    let sql = "UPDATE restow_parts.restow_unit SET digest = '', version = version + 1 \
               WHERE unit = 'u' AND NOT staged";
    let hold = Hold::begin(&database, sql).await;
    let promote = || ops("u", Guard::Staging(token("t")), vec![], Then::Promote(token("t")));
    let waits = begin(&store, promote());
    hold.until_one_waits(&database).await;
    hold.commit().await;
    let outcome = waits.await.expect("an outcome");
    assert!(matches!(outcome, UnitOutcome::Lost(Current::Unmanaged(_))), "{outcome:?}");
    assert_eq!(records(&*store, "u").await, vec![turn(1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_processes_that_stage_one_unit_leave_one_copy_whole() {
    let Some(database) = database("").await else { return };
    // Two stores share nothing but the database, as two processes do.
    let stores = [target(&database).await, target(&database).await];
    let shares = |store: Arc<PartsPostgres>, name: &'static str| async move {
        let mut applied = 0;
        for share in 0..12 {
            let records = (0..8).map(|n| turn(share * 8 + n + 1)).collect();
            let stage = ops("u", Guard::Unmanaged, records, Then::Stage(token(name)));
            applied += usize::from(apply(&*store, stage).await.is_applied());
        }
        applied
    };
    let [a, b] = stores.clone();
    let (a, b) = tokio::join!(tokio::spawn(shares(a, "t")), tokio::spawn(shares(b, "t")));
    assert_eq!((a.expect("shares"), b.expect("shares")), (12, 12));
    let promote = || ops("u", Guard::Staging(token("t")), vec![], Then::Promote(token("t")));
    let both = stores.map(|store| begin(&store, promote()));
    let outcomes = future::join_all(both).await;
    let won = outcomes.iter().flatten().filter(|outcome| outcome.is_applied()).count();
    assert_eq!(won, 1, "{outcomes:?}");
    let store = target(&database).await;
    assert_eq!(records(&*store, "u").await, (1..=96).map(turn).collect::<Vec<_>>());
    let rows = "SELECT count(*) FROM restow_parts.restow_unit";
    assert_eq!(count(&database, rows).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn batches_that_share_units_all_come_through() {
    let Some(database) = database("").await else { return };
    let store = target(&database).await;
    let names: Vec<String> = (0..20).map(|n| format!("u{n:02}")).collect();
    let work = (1..=6).map(|writer| {
        let (store, mut names) = (store.clone(), names.clone());
        // Every other one comes from behind.
        if writer % 2 == 0 {
            names.reverse();
        }
        tokio::spawn(async move {
            let unit = |name: &String| ops(name, Guard::Unmanaged, vec![turn(writer)], Then::Keep);
            apply_all(&*store, names.iter().map(unit).collect()).await
        })
    });
    for outcomes in future::join_all(work).await {
        let outcomes = outcomes.expect("outcomes");
        assert!(outcomes.iter().all(UnitOutcome::is_applied), "{outcomes:?}");
    }
    for name in &names {
        assert_eq!(records(&*store, name).await, (1..=6).map(turn).collect::<Vec<_>>(), "{name}");
    }
}

#[tokio::test]
async fn a_lost_answer_of_the_commit_is_told_as_such() {
    let Some(database) = database("").await else { return };
    let store = target(&database).await;
    // The server ends the connection in the middle of the commit.
    let trigger = "CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                   PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$; \
                   CREATE CONSTRAINT TRIGGER leave AFTER INSERT ON restow_parts.restow_unit \
                   DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.unit = 'b') \
                   EXECUTE FUNCTION leave()";
    past(&database, move |client| client.batch_execute(trigger).expect("a trigger")).await;
    let unit = |name| ops(name, Guard::Absent, vec![turn(1)], Then::Keep);
    put(&*store, "a", vec![turn(1)]).await;
    let outcomes = apply_all(&*store, vec![unit("a"), unit("b")]).await;
    assert!(matches!(outcomes[0], UnitOutcome::Lost(_)), "{outcomes:?}");
    assert!(matches!(outcomes[1], UnitOutcome::Indeterminate), "{outcomes:?}");
    assert!(records(&*store, "b").await.is_empty(), "read back: it was not");
    put(&*store, "c", vec![turn(1)]).await;
    let batch = Batch { units: vec![unit("d")] };
    assert!(store.apply(batch).await.expect("an answer")[0].is_applied(), "it goes on");
}
