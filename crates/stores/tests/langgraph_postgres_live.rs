//! LangGraph's tables in a migration: writers that race, retiring, damage beside threads, and
//! digests where the difference alone does not tell.
#![allow(clippy::expect_used, reason = "a test ends loudly where it cannot go on")]

mod live_help;

use std::sync::Arc;

use futures::TryStreamExt;
use live_help::{apply, control, digest, live, ops, prepared, read, record, write};
use postgres::Client;
use restow_model::{Control, HomeState, Key, Record, Token, UnitDigest, UnitId};
use restow_store::{
    Address, Content, Enumeration, Error, ErrorKind, Frame, Guard, Op, RegisterName, Role, Segment,
    Selection, Stamp, Store, StoreRecord, Swap, Then, UnitOps, UnitOutcome, WithoutControl,
};
use restow_stores::engine::postgres::{Server, Settings};
use restow_stores::layout::langgraph::postgres::{LangGraphPostgres, schema};
use restow_testkit::postgres::{Database, pooler};

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("a thread")
}

async fn database() -> Option<Arc<Database>> {
    blocking(|| Database::create().map(Arc::new)).await
}

fn server(url: &str) -> Server {
    let place = url.split_once(':').expect("a URL").1;
    let address = Address::parse(&format!("langgraph+postgres:{place}")).expect("an address");
    Server::new(Settings::parse(&address).expect("settings"))
}

async fn opened(url: String) -> Arc<LangGraphPostgres> {
    blocking(move || Arc::new(LangGraphPostgres::target(server(&url)).expect("a store"))).await
}

/// Does something past restow.
async fn past<T: Send + 'static>(
    database: &Arc<Database>,
    work: impl FnOnce(&mut Client) -> T + Send + 'static,
) -> T {
    let database = database.clone();
    blocking(move || work(&mut database.connect())).await
}

async fn count(database: &Arc<Database>, sql: &'static str) -> i64 {
    past(database, move |client| client.query_one(sql, &[]).expect(sql).get(0)).await
}

async fn records(store: &dyn Store, unit: &str) -> Vec<Record> {
    let frames = read(store, &[unit]).await.into_iter();
    let record = |frame| match frame {
        Frame::Record(record) => Some(record),
        _ => None,
    };
    frames.filter_map(record).collect()
}

async fn held(store: &dyn Store, unit: &str) -> Control {
    let told = store.journal(UnitId::new(unit), 0).await.expect("told");
    told.control.expect("a control record")
}

/// Says whether the control record has the digest of what is there.
async fn is_summed(store: &dyn Store, unit: &str) -> bool {
    held(store, unit).await.digest == digest(&records(store, unit).await)
}

fn failed(outcome: &UnitOutcome) -> Option<&Error> {
    match outcome {
        UnitOutcome::Failed(error) => Some(error),
        _ => None,
    }
}

async fn adopt(store: &dyn Store, unit: &str) {
    store.prepare(Role::Source, "here").await.expect("tables");
    let adopt = ops(unit, Guard::Unmanaged, vec![], Then::Keep);
    let adopt = UnitOps { control: Some(Box::new(control(HomeState::Live, 1, 1))), ..adopt };
    let outcomes = apply(store, vec![adopt]).await;
    assert!(outcomes[0].is_applied(), "{outcomes:?}");
}

async fn copied(store: &dyn Store, unit: &str, records: Vec<Record>) {
    store.prepare(Role::CopyTarget, "").await.expect("tables");
    let puts = records.into_iter().map(Op::put).collect();
    let outcomes = apply(store, vec![ops(unit, Guard::Absent, puts, Then::Keep)]).await;
    assert!(outcomes[0].is_applied(), "{outcomes:?}");
}

const OF_A_MIGRATION: &str =
    "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname IN ('control', 'journal')";

#[tokio::test]
async fn a_store_of_no_migration_has_no_table_for_one() {
    let Some(database) = database().await else { return };
    let store = opened(database.url()).await;
    copied(&*store, "a", vec![record(0, 1)]).await;
    store.trim(UnitId::new("a"), 9).await.expect("nothing to forget");
    let told = store.journal(UnitId::new("a"), 0).await.expect("an answer");
    assert_eq!((told.control, told.entries), (None, None));
    assert_eq!(count(&database, OF_A_MIGRATION).await, 0);
    // The first opening does not know yet that it is one of a migration now.
    let other = opened(database.url()).await;
    other.prepare(Role::Source, "here").await.expect("tables");
    assert_eq!(count(&database, OF_A_MIGRATION).await, 2);
    let put = |unit: &str| ops(unit, Guard::Unmanaged, vec![Op::put(record(1, 1))], Then::Keep);
    for outcome in apply(&*store, vec![put("a"), put("b"), put("c")]).await {
        assert_eq!(failed(&outcome).map(Error::kind), Some(ErrorKind::Refused), "{outcome:?}");
    }
    adopt(&*store, "a").await;
    assert_eq!(held(&*other, "a").await.digest, digest(&[record(0, 1)]));
}

#[tokio::test]
async fn the_schema_s_commands_know_the_tables() {
    let Some(database) = database().await else { return };
    let store = opened(database.url()).await;
    prepared(&*store, &["a", "b"]).await;
    let server = server(&database.url());
    assert_eq!(schema::verify(&server).await.expect("a look").differences, [""; 0]);
    let status = schema::status(&server).await.expect("a count");
    assert_eq!((status.threads, status.managed), (2, 2));
    past(&database, |client| client.batch_execute("DROP TABLE restow.journal").expect("gone"))
        .await;
    let differences = schema::verify(&server).await.expect("a look").differences;
    assert!(differences[0].starts_with("only 12 of restow's own 13 tables"), "{differences:?}");
    let made = schema::up(&server).await.expect("tables").changes;
    assert_eq!(made, ["control records and journals in schema restow"]);
    assert_eq!(schema::verify(&server).await.expect("a look").differences, [""; 0]);
    schema::down(&server, database.name()).await.expect("gone");
    assert_eq!(count(&database, OF_A_MIGRATION).await, 0);
    let left = "SELECT count(*) FROM pg_namespace WHERE nspname = 'restow'";
    assert_eq!(count(&database, left).await, 0);
}

#[tokio::test]
async fn several_that_prepare_at_once_agree() {
    let Some(database) = database().await else { return };
    let mut preparing = Vec::new();
    for n in 0..6 {
        let store = opened(database.url()).await;
        preparing.push(tokio::spawn(async move {
            store.prepare(Role::Target, &format!("store-{n}")).await.expect("a record")
        }));
    }
    let mut records = Vec::new();
    for prepared in preparing {
        records.push(prepared.await.expect("it ends"));
    }
    assert!(records.iter().all(|record| *record == records[0]), "{records:?}");
}

#[tokio::test]
async fn what_is_damaged_beside_a_thread_is_named_and_the_rest_goes_on() {
    let Some(database) = database().await else { return };
    let store = opened(database.url()).await;
    prepared(&*store, &["a", "b", "c"]).await;
    let foreign = Control { store: "elsewhere".into(), ..held(&*store, "c").await };
    let bytes = foreign.to_bytes();
    past(&database, move |client| {
        let sql = "UPDATE restow.control SET record = substring(record, 1, 40) WHERE unit = 'a'";
        assert_eq!(client.execute(sql, &[]).expect("an update"), 1);
        let sql = "UPDATE restow.control SET record = $1 WHERE unit = 'c'";
        assert_eq!(client.execute(sql, &[&bytes]).expect("an update"), 1);
    })
    .await;
    let frames = read(&*store, &["a", "b"]).await;
    let [Frame::Damaged { unit, why, place }, Frame::Begin { unit: next, .. }, ..] = &frames[..]
    else {
        unreachable!("{frames:?}")
    };
    assert_eq!((unit.as_ref().map(UnitId::as_str), next.as_str()), (Some("a"), "b"));
    assert!(why.starts_with("the unit's control record cannot be read"), "{why}");
    assert!(place.contains("control") && place.contains("thread a"), "{place}");
    for by in [Enumeration::Units, Enumeration::Storage] {
        let frames = store.scan(Segment::whole(by), None, Content::All).await.expect("a scan");
        let frames: Vec<Frame> = frames.try_collect().await.expect("frames");
        let found = frames.iter().filter(|frame| matches!(frame, Frame::Damaged { .. })).count();
        let begun = frames.iter().filter(|frame| matches!(frame, Frame::Begin { .. })).count();
        assert_eq!((found, begun), (1, 2), "{by:?} {frames:?}");
    }
    let units = vec![write("a", 1, 1, 1), write("b", 1, 1, 1), write("c", 1, 1, 1)];
    let outcomes = apply(&*store, units).await;
    let error = failed(&outcomes[0]).expect("a failure");
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains("unit a"), "{error}");
    assert!(outcomes[1].is_applied(), "{outcomes:?}");
    assert_eq!(failed(&outcomes[2]).map(Error::kind), Some(ErrorKind::Refused));
    let told = store.journal(UnitId::new("a"), 0).await.expect_err("a failure");
    assert_eq!(told.kind(), ErrorKind::Damaged);
}

/// Writers of two openings under one term, also through a pooler that has one connection for all:
/// each write is made once, and the journal tells them all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_writers_are_all_counted() {
    const EACH: usize = 5;
    let (Some(database), Some(pooler)) = (database().await, pooler()) else { return };
    let urls = [database.url(), database.url_at(&pooler)];
    prepared(&*opened(database.url()).await, &["straight", "pooled"]).await;
    for (unit, url) in ["straight", "pooled"].into_iter().zip(urls) {
        let stores = [opened(url.clone()).await, opened(url).await];
        let writers = (0..6).map(|writer| {
            let store = stores[writer % 2].clone();
            tokio::spawn(async move {
                for n in 0..EACH {
                    // Each is sent twice, as after a lost answer.
                    let ops = write(unit, 1, n, writer as u64 + 2);
                    let outcomes =
                        [apply(&*store, vec![ops.clone()]).await, apply(&*store, vec![ops]).await];
                    let is_made = matches!(outcomes[0][..], [UnitOutcome::Applied { .. }]);
                    let is_known = matches!(outcomes[1][..], [UnitOutcome::AlreadyApplied { .. }]);
                    assert!(is_made && is_known, "{outcomes:?}");
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.expect("a writer ends");
        }
        let told = stores[1].journal(UnitId::new(unit), 1).await.expect("told");
        let seqs: Vec<u64> = told.entries.expect("all").iter().map(|entry| entry.seq).collect();
        assert_eq!(seqs, (2..2 + 6 * EACH as u64).collect::<Vec<_>>());
        assert!(is_summed(&*stores[0], unit).await);
    }
}

/// Whoever retires a store waits for the write that is under way, and no later one passes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_passes_a_retirement() {
    let Some(database) = database().await else { return };
    let stores = [opened(database.url()).await, opened(database.url()).await];
    prepared(&*stores[0], &["a"]).await;
    let writer = tokio::spawn({
        let store = stores[0].clone();
        async move {
            let mut made = 1;
            loop {
                let outcome = apply(&*store, vec![write("a", 1, made, 2)]).await.swap_remove(0);
                match failed(&outcome).map(Error::kind) {
                    None => made += 1,
                    kind => return (made, kind),
                }
            }
        }
    });
    let (etag, bytes) =
        stores[1].register_read(RegisterName::store()).await.expect("read").expect("a record");
    let was = StoreRecord::from_bytes(&bytes).expect("a record");
    let retired = StoreRecord { without_control: WithoutControl::Retired, ..was }.to_bytes();
    let swap = stores[1].register_swap(RegisterName::store(), Some(etag), retired).await;
    assert!(matches!(swap, Ok(Swap::Swapped(_))), "{swap:?}");
    // What was made by now is all that ever is.
    let frames = stores[1]
        .scan(Segment::whole(Enumeration::Units), None, Content::All)
        .await
        .expect("a scan");
    let frames: Vec<Frame> = frames.try_collect().await.expect("frames");
    let Some(Frame::Begin { control: Some(left), .. }) = frames.first() else {
        unreachable!("{frames:?}")
    };
    let (made, kind) = writer.await.expect("a writer ends");
    assert_eq!((left.generation.seq, kind), (made as u64, Some(ErrorKind::Retired)));
    let read = stores[1].read(vec![UnitId::new("a")], Selection::all()).await.map(|_| ());
    let frames = match read {
        Ok(()) => stores[1].read(vec![UnitId::new("a")], Selection::all()).await.expect("frames"),
        Err(error) => return assert_eq!(error.kind(), ErrorKind::Retired),
    };
    let error = frames.try_collect::<Vec<_>>().await.expect_err("it is retired");
    assert_eq!(error.kind(), ErrorKind::Retired);
}

/// A blob row that no checkpoint names is a record, until a checkpoint names it.
#[tokio::test]
async fn a_blob_row_that_is_named_by_and_by_leaves_the_digest() {
    let Some(database) = database().await else { return };
    let store = opened(database.url()).await;
    copied(&*store, "a", vec![record(0, 1), record(1, 1)]).await;
    past(&database, |client| {
        let sql = "DELETE FROM checkpoints WHERE checkpoint_id LIKE '%1'";
        assert_eq!(client.execute(sql, &[]).expect("a row goes"), 1);
    })
    .await;
    adopt(&*store, "a").await;
    assert_eq!(held(&*store, "a").await.digest.records, 3);
    let outcomes = apply(&*store, vec![write("a", 1, 1, 1)]).await;
    assert!(outcomes[0].is_applied(), "{outcomes:?}");
    assert_eq!(records(&*store, "a").await.len(), 2);
    assert!(is_summed(&*store, "a").await);
}

/// A checkpoint before version 4 has its parent's writes as its sends.
#[tokio::test]
async fn a_send_changes_the_digest_of_its_checkpoint_s_children() {
    let Some(database) = database().await else { return };
    let store = opened(database.url()).await;
    copied(&*store, "a", vec![record(0, 1), record(1, 1)]).await;
    past(&database, |client| {
        let sql = "UPDATE checkpoints SET checkpoint = jsonb_set(checkpoint, '{v}', '1')";
        assert_eq!(client.execute(sql, &[]).expect("rows"), 2);
    })
    .await;
    adopt(&*store, "a").await;
    let before = records(&*store, "a").await;
    let parent = before[0].key.parts();
    let [_, restow_model::KeyPart::Text(parent)] = parent.as_slice() else { unreachable!() };
    let mut send = record(2, 1);
    let restow_model::Body::Map(body) = &send.body else { unreachable!() };
    let mut entries = body.clone().into_pairs();
    entries.push((restow_model::Body::text("channel"), restow_model::Body::text("__pregel_tasks")));
    send.body = restow_model::Body::Map(restow_model::Map::from_pairs(entries));
    send.key = Key::of("write").text("").text(parent).text("task").int(0).build();
    send.residue.clear();
    let key = send.key.clone();
    let put = ops("a", Guard::LiveAt { term: 1, since: 1 }, vec![Op::put(send)], Then::Bump);
    assert!(apply(&*store, vec![put]).await[0].is_applied());
    let after = records(&*store, "a").await;
    assert_ne!(before[1], after[1], "the child has the send");
    assert!(is_summed(&*store, "a").await);
    let remove = Op::Remove { key, expect: restow_store::Expect::Any };
    let ops = ops("a", Guard::LiveAt { term: 1, since: 2 }, vec![remove], Then::Bump);
    assert!(apply(&*store, vec![ops]).await[0].is_applied());
    assert!(is_summed(&*store, "a").await);
}

/// What nobody can read has no part that could be taken out: the rest is read, and one more such
/// record is an error that says so.
#[tokio::test]
async fn a_damaged_record_goes_with_the_digest_that_is_left() {
    let Some(database) = database().await else { return };
    let store = opened(database.url()).await;
    copied(&*store, "a", vec![record(0, 1), record(1, 1), record(3, 1)]).await;
    adopt(&*store, "a").await;
    let damage = |id: &'static str| {
        past(&database, move |client| {
            let sql = "UPDATE checkpoints SET checkpoint = checkpoint || '{\"channel_values\": 7}' \
                       WHERE checkpoint_id LIKE '%' || $1";
            assert_eq!(client.execute(sql, &[&id]).expect("an update"), 1);
        })
    };
    damage("1").await;
    let remove = |n: usize, since| {
        let remove = Op::Remove { key: record(n, 1).key, expect: restow_store::Expect::Any };
        ops("a", Guard::LiveAt { term: 1, since }, vec![remove], Then::Bump)
    };
    assert!(apply(&*store, vec![remove(1, 1)]).await[0].is_applied());
    assert!(is_summed(&*store, "a").await);
    damage("0").await;
    damage("3").await;
    let outcomes = apply(&*store, vec![remove(0, 2)]).await;
    assert_eq!(failed(&outcomes[0]).map(Error::kind), Some(ErrorKind::Damaged), "{outcomes:?}");
    let gone = ops("a", Guard::LiveAt { term: 1, since: 2 }, vec![], Then::Tombstone);
    assert!(apply(&*store, vec![gone]).await[0].is_applied());
    assert_eq!(held(&*store, "a").await.digest, UnitDigest::default());
}

/// A copy that is staged beside a thread keeps its blob rows apart from the thread's.
#[tokio::test]
async fn a_staged_copy_leaves_the_rows_of_its_thread_alone() {
    let Some(database) = database().await else { return };
    let store = opened(database.url()).await;
    let copy = ops("a", Guard::Absent, vec![Op::put(record(0, 1))], Then::Keep);
    let copy = UnitOps { control: Some(Box::new(control(HomeState::Copy, 1, 1))), ..copy };
    store.prepare(Role::Target, "here").await.expect("tables");
    assert!(apply(&*store, vec![copy]).await[0].is_applied());
    let rows = "SELECT count(*) FROM checkpoint_blobs";
    let before = count(&database, rows).await;
    let token = Token::new("t");
    let stage = |progress| HomeState::Staging { token: token.clone(), base: 1, progress };
    let staged = stage(restow_model::Progress::Copying([].into()));
    let seen = Stamp::Control(Box::new(held(&*store, "a").await));
    let puts = (0..4).map(|n| Op::put(record(n, 9))).collect();
    let put = ops("a", Guard::Exactly(seen), puts, Then::Stage(token.clone()));
    let put = UnitOps { control: Some(Box::new(control(staged, 1, 1))), ..put };
    assert!(apply(&*store, vec![put]).await[0].is_applied());
    assert_eq!(count(&database, rows).await, before);
    assert_eq!(records(&*store, "a").await, [record(0, 1)]);
    let seen = Stamp::Control(Box::new(held(&*store, "a").await));
    let promote = ops("a", Guard::Exactly(seen), vec![], Then::Promote(token.clone()));
    let home = Some(Box::new(control(HomeState::Live, 2, 1)));
    assert!(apply(&*store, vec![UnitOps { control: home, ..promote }]).await[0].is_applied());
    assert_eq!(records(&*store, "a").await.len(), 4);
    assert!(is_summed(&*store, "a").await);
    let late = apply(&*store, vec![live("a")]).await;
    assert!(matches!(late[0], UnitOutcome::Lost(_)), "{late:?}");
}
