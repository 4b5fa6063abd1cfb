//! `split+dynamodb` while requests fail, answers get lost, writers die and others are in the way.
#![allow(clippy::expect_used, reason = "a test ends loudly where it cannot go on")]
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a longer run is asked for")]

mod split_dynamodb_help;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::TryStreamExt;
use restow_model::{Body, Dialect, Form, Key, Record, UnitId, Value};
use restow_store::{Batch, Guard, Op, Selection, Store, Then, UnitOps, UnitOutcome};
use restow_stores::layout::split::Split;
use restow_testkit::proxy::{Moment, Plan, Proxy};

use split_dynamodb_help::*;

/// A table behind a proxy that harms nothing yet, and the same table without it.
async fn proxied(place: &Place) -> (Proxy, Place, Arc<Split>) {
    let proxy = Proxy::start(&place.endpoint(), Plan::default());
    let behind = place.at(proxy.url());
    let store = behind.target().await;
    (proxy, behind, store)
}

/// Two records, one with a large value, one that is itself too large for an item.
fn two(seed: u64, len: usize) -> Vec<Record> {
    let key = Key::of("item").text("b").build();
    let wide = Record::new(key, Body::Bytes(noise(seed + 1000, len).into()));
    vec![large("a", seed, len), wide]
}

async fn try_put(store: &Split, unit: &str, records: Vec<Record>) -> bool {
    let ops = records.into_iter().map(Op::put).collect();
    let unit = UnitId::new(unit);
    let ops = UnitOps::new(unit, Dialect::Any, Guard::Unmanaged, ops, Then::Keep);
    let outcomes = store.apply(Batch { units: vec![ops] }).await;
    outcomes.is_ok_and(|outcomes| outcomes.iter().all(UnitOutcome::is_applied))
}

/// What is stored beside the store's own record.
async fn own(place: &Place) -> Vec<String> {
    let items = place.items().await;
    let names = items.iter().map(|item| format!("{item:?}").chars().take(160).collect::<String>());
    names.filter(|name| !name.contains("restow#store")).collect()
}

/// The client is cut off behind any number of requests: what is read is all old or all new, and the
/// next writer leaves nothing of it behind.
#[tokio::test]
async fn a_writer_that_dies_between_any_two_requests_tears_nothing() {
    let Some(place) = place() else { return };
    let direct = place.target().await;
    for requests in 0.. {
        put(&direct, "unit", two(1, 700 << 10)).await;
        let (proxy, _, store) = proxied(&place.impatient()).await;
        proxy.cut_after(requests);
        let is_done = try_put(&store, "unit", two(2, 700 << 10)).await;
        let is_whole = proxy.requests() <= requests + 2;
        let seen = records(&direct, "unit").await;
        assert!(seen == two(2, 700 << 10) || (!is_done && seen == two(1, 700 << 10)), "{requests}");
        // The next writer tidies up.
        put(&direct, "unit", two(3, 700 << 10)).await;
        assert_eq!(records(&direct, "unit").await, two(3, 700 << 10));
        let outcome = apply(&direct, "unit", Guard::Unmanaged, vec![Op::Clear], Then::Keep).await;
        assert!(outcome.is_applied(), "{outcome:?}");
        assert_eq!(own(&place).await, [""; 0], "after {requests} requests");
        if is_done && is_whole {
            assert!(requests > 8, "a large write is many requests");
            return;
        }
    }
}

/// One tidies up and looks at the head; before it reads the notes another commits and yet another
/// writes parts for a commit of his. His parts stay.
#[tokio::test]
async fn a_note_that_is_newer_than_the_head_that_was_seen_is_left_alone() {
    let Some(place) = place() else { return };
    let direct = place.target().await;
    put(&direct, "unit", two(1, 400 << 10)).await;
    let (first, _, tidying) = proxied(&place).await;
    let (second, _, writing) = proxied(&place).await;

    let is = |operation: &'static str| move |seen: &_| is_operation(seen, operation);
    let mut committed = first.hold(Moment::After, is("TransactWriteItems"));
    let tidies = tokio::spawn(async move { try_put(&tidying, "unit", two(2, 400 << 10)).await });
    committed.reached().await;
    let mut notes = first.hold(Moment::Before, is("Query"));
    committed.release();
    notes.reached().await;

    put(&direct, "unit", vec![large("c", 5, 100)]).await;
    let mut commits = second.hold(Moment::Before, is("TransactWriteItems"));
    let writes = tokio::spawn(async move { try_put(&writing, "unit", two(3, 400 << 10)).await });
    commits.reached().await;
    notes.release();
    assert!(tidies.await.expect("the first one ends"));
    commits.release();
    assert!(writes.await.expect("the second one ends"));
    let mut all = two(3, 400 << 10);
    all.push(large("c", 5, 100));
    assert_eq!(records(&direct, "unit").await, all);
}

fn is_operation(seen: &restow_testkit::proxy::Seen, operation: &str) -> bool {
    seen.operation == operation
}

/// How far writers have come.
#[derive(Debug, Default)]
struct Told {
    tried: [AtomicU64; 2],
    acknowledged: [AtomicU64; 2],
    is_over: AtomicBool,
}

fn turn(writer: usize, n: u64) -> Record {
    // Of changing size: with and without parts of their own.
    let len = [300, 90 << 10, 700 << 10][(n % 3) as usize] + n as usize;
    let mut record = large(&format!("writer {writer}"), n, len);
    let value =
        Value::new(Form::Raw, [&n.to_be_bytes(), &record.values[0].bytes[..]].concat().into());
    record.body = Body::Value(value.name);
    record.values = vec![value];
    record
}

/// Writers and readers of one unit, for some seconds; every reader sees what was acknowledged.
async fn run(place: &Place, plan: impl Fn(u64) -> Plan, seconds: u64) {
    let told = Arc::new(Told::default());
    let mut proxies = Vec::new();
    let mut tasks = Vec::new();
    for writer in 0..2usize {
        let (proxy, _, store) = proxied(place).await;
        proxy.follow(plan(writer as u64));
        proxies.push(proxy);
        let told = told.clone();
        tasks.push(tokio::spawn(async move {
            let mut n = 0;
            while !told.is_over.load(Ordering::SeqCst) || n == 0 {
                n += 1;
                told.tried[writer].store(n, Ordering::SeqCst);
                if try_put(&store, "unit", vec![turn(writer, n)]).await {
                    told.acknowledged[writer].store(n, Ordering::SeqCst);
                }
            }
            (0, n)
        }));
    }
    for reader in 2..5u64 {
        let (proxy, _, store) = proxied(place).await;
        proxy.follow(plan(reader));
        proxies.push(proxy);
        let told = told.clone();
        tasks.push(tokio::spawn(async move {
            let mut seen = 0;
            while !told.is_over.load(Ordering::SeqCst) {
                seen += u64::from(look(&store, &told).await);
            }
            (seen, 0)
        }));
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    told.is_over.store(true, Ordering::SeqCst);
    let (mut reads, mut writes) = (0, 0);
    for task in tasks {
        let (seen, tried) = task.await.expect("a task that ends");
        reads += seen;
        writes += tried;
    }
    let kept: Vec<u64> = told.acknowledged.iter().map(|n| n.load(Ordering::SeqCst)).collect();
    println!("{reads} reads, {writes} writes tried, {kept:?} acknowledged last");
    assert!(reads > 0 && kept.iter().all(|n| *n > 0), "{reads} reads, {kept:?}");
    drop(proxies);
    let direct = place.target().await;
    assert!(look(&direct, &told).await);
    let outcome = apply(&direct, "unit", Guard::Unmanaged, vec![Op::Clear], Then::Keep).await;
    assert!(outcome.is_applied(), "{outcome:?}");
}

/// Reads the unit and compares; `false` where it cannot be read just now.
async fn look(store: &Split, told: &Told) -> bool {
    let before = [0, 1].map(|writer: usize| told.acknowledged[writer].load(Ordering::SeqCst));
    let Ok(frames) = store.read(vec![UnitId::new("unit")], Selection::all()).await else {
        return false;
    };
    let Ok(frames) = frames.try_collect::<Vec<_>>().await else { return false };
    let damaged = frames.iter().find(|f| matches!(f, restow_store::Frame::Damaged { .. }));
    assert_eq!(damaged, None);
    let found = records_of(&frames);
    for writer in 0..2 {
        let last = told.tried[writer].load(Ordering::SeqCst);
        let key = turn(writer, 0).key;
        let record = found.iter().find(|record| record.key == key);
        let n = record.map_or(0, |record| {
            let head = record.values[0].bytes.get(..8).and_then(|head| head.try_into().ok());
            let n = u64::from_be_bytes(head.expect("a number"));
            assert_eq!(record, &turn(writer, n), "torn");
            n
        });
        assert!((before[writer]..=last).contains(&n), "{n}, {before:?}, {last}");
    }
    true
}

fn seconds() -> u64 {
    let seconds = std::env::var("RESTOW_TEST_FAULT_SECONDS").ok();
    seconds.and_then(|seconds| seconds.parse().ok()).unwrap_or(5)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_of_large_changing_records_see_none_torn_and_none_lost() {
    let Some(place) = place() else { return };
    run(&place, |_| Plan::default(), seconds()).await;
    assert_eq!(own(&place).await, [""; 0]);
}

/// The same under every fault of a busy service and a bad network.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn faults_tear_nothing_and_lose_nothing() {
    let Some(place) = place() else { return };
    let plan = |seed| Plan {
        seed,
        throttled: 40,
        broken: 20,
        closed: 20,
        dropped: 30,
        unprocessed: 300,
        stale: 300,
        delayed: 100,
        delay_max: Duration::from_millis(30),
        ..Plan::default()
    };
    run(&place, plan, seconds()).await;
    // What a note or the head tells of goes with the next writer.
    let direct = place.target().await;
    put(&direct, "unit", two(1, 400 << 10)).await;
    put(&direct, "unit", two(2, 400 << 10)).await;
    let outcome = apply(&direct, "unit", Guard::Unmanaged, vec![Op::Clear], Then::Keep).await;
    assert!(outcome.is_applied(), "{outcome:?}");
    assert_eq!(own(&place).await, [""; 0]);
}
