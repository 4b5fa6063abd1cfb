//! Real stores under the router: units move to and fro while they are written, and nothing that
//! was answered is lost.
#![allow(clippy::expect_used, clippy::panic, reason = "a test ends loudly")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures::StreamExt;
use restow::live::{
    Acknowledge, Change, Config, Errand, Limits, Pair, Phase, Router, RouterOptions, Standings,
    Written,
};
use restow::model::{Body, Dialect, Form, Key, KeyPart, Map, Record, UnitId, Value};
use restow::store::clock::ManualClock;
use restow::store::{Frame, Op, Selection};
use restow::{Access, Address, Environment, Store};
use restow_testkit::postgres::Database;
use tempfile::TempDir;

/// Names a place for a store; nothing where this run does without a server.
fn place(layout: &str, folder: &TempDir, name: &str) -> Option<(Option<Database>, String)> {
    let (layout, engine) = layout.split_once('+').expect("a layout and an engine");
    if engine == "postgres" {
        // The client of a test's database blocks, and may not do so here.
        let made = std::thread::spawn(Database::create);
        let database = made.join().expect("a thread")?;
        let address = database.address(layout);
        return Some((Some(database), address));
    }
    Some((None, format!("{layout}+sqlite:{}", folder.path().join(name).display())))
}

async fn open(address: &str) -> Arc<dyn Store> {
    let address = Address::parse(address).expect("an address");
    let opened = restow::open(&address, Access::Write, &Environment::default()).await;
    opened.expect("a store").store
}

/// Puts the threads of the example into a store, as a copy would.
async fn fill(address: &str) {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/agent.sqlite");
    let example = Address::parse(&format!("langgraph+sqlite:{}", example.display()));
    let example = example.expect("an address");
    let source = restow::open(&example, Access::Read, &Environment::default()).await;
    let report = restow::copy(
        source.expect("the example").store,
        open(address).await,
        restow::memory_ledger(),
        Arc::new(ManualClock::default()),
        restow::CopyOptions::default(),
        Arc::new(restow::Progress::new()),
    );
    assert!(report.await.expect("a copy").is_clean());
}

fn options(name: &str) -> RouterOptions {
    let limits = Limits { batch_records: 7, ..Limits::default() };
    RouterOptions { limits, ..RouterOptions::new(name, Arc::new(ManualClock::default())) }
}

/// A pending write, as LangGraph's savers make one.
fn pending(checkpoint: &Key, number: u64) -> Record {
    let text = |part: &KeyPart| match part {
        KeyPart::Text(text) => text.to_string(),
        other => panic!("{other:?} in the key of a checkpoint"),
    };
    let parts = checkpoint.parts();
    let (namespace, id) = (text(&parts[0]), text(&parts[1]));
    let key = Key::of("write").text(&namespace).text(&id).text(&format!("t{number}")).int(0);
    let value = Value::new(Form::Msgpack, vec![0xa1, b'x'].into());
    let body = Body::Map(Map::from([
        ("channel", Body::text("messages")),
        ("tag", Body::text("msgpack")),
        ("value", Body::Value(value.name)),
        ("path", Body::text("")),
    ]));
    Record { values: vec![value], ..Record::new(key.build(), body) }
}

async fn keys(router: &Router, unit: &UnitId) -> BTreeSet<Key> {
    let frames = router.read(unit, &Selection::all()).await.expect("frames");
    let frames: Vec<_> = frames.collect().await;
    let key = |frame| match frame {
        Ok(Frame::Record(record)) => Some(record.key),
        Ok(Frame::Damaged { place, why, .. }) => panic!("{place}: {why}"),
        Ok(_) => None,
        Err(error) => panic!("{error}"),
    };
    frames.into_iter().filter_map(key).collect()
}

async fn units(router: &Router) -> Vec<UnitId> {
    let units: Vec<_> = router.units().await.expect("a list").collect().await;
    units.into_iter().map(|listed| listed.expect("a unit").unit).collect()
}

fn moving(share: u16, epoch: u64, acknowledge: Acknowledge) -> Config {
    let phase = Phase::Move;
    Config { epoch, phase, share, acknowledge, mirrors: true, ..Config::default() }
}

/// One application that writes to units in turn until it is stopped.
async fn write_on(
    router: Arc<Router>,
    stop: Arc<AtomicBool>,
    next: Arc<AtomicU64>,
) -> Vec<(UnitId, Key)> {
    let units = units(&router).await;
    let mut answered = Vec::new();
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        let unit = &units[turn % units.len()];
        turn += 1;
        let there = keys(&router, unit).await;
        let Some(checkpoint) = there.iter().rfind(|key| key.kind() == "checkpoint") else {
            continue;
        };
        let record = pending(checkpoint, next.fetch_add(1, Ordering::Relaxed));
        let key = record.key.clone();
        let change = Change { dialect: Dialect::Python, ops: vec![Op::put(record)], op_id: None };
        match router.write(unit, change).await {
            Ok(Written::Made(..)) => answered.push((unit.clone(), key)),
            Ok(other) => panic!("{other:?}"),
            Err(error) if error.is_retryable() => {}
            Err(error) => panic!("{error}"),
        }
    }
    answered
}

/// Moves all units there, some back, all back and there again under two writers; then compares.
async fn to_and_fro(from: &str, to: &str, acknowledge: Acknowledge) {
    let folder = TempDir::new().expect("a folder");
    let Some((_source, source)) = place(from, &folder, "source.db") else { return };
    let Some((_target, target)) = place(to, &folder, "target.db") else { return };
    fill(&source).await;
    let pair = || async {
        let (source, target) = (open(&source).await, open(&target).await);
        Pair::open("m", (source, "s"), (target, "t")).await.expect("two stores")
    };
    let (stop, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut writers = Vec::new();
    for n in 0..2 {
        // Each has stores of its own, as another process has, and a share of its own belief.
        let config = moving(n * 10_000, 1, acknowledge);
        let router = Router::with_config(pair().await, config, options(&format!("writer {n}")));
        let (stop, next) = (Arc::clone(&stop), Arc::clone(&next));
        writers.push(tokio::spawn(write_on(Arc::new(router), stop, next)));
    }
    let pair = pair().await;
    for (round, share) in [10_000, 3_700, 0, 10_000].into_iter().enumerate() {
        let config = moving(share, 2 + round as u64, acknowledge);
        let mover = options(&format!("mover {round}"));
        let router = Router::with_config(pair.clone(), config, mover);
        let swept = router.sweep(Errand::Place, 2, &AtomicBool::new(false)).await.expect("a sweep");
        assert_eq!(swept.failed, 0, "{:?}", swept.failures);
    }
    stop.store(true, Ordering::Relaxed);
    let mut answered = Vec::new();
    for writer in writers {
        answered.extend(writer.await.expect("a writer"));
    }
    assert!(answered.len() > 8, "only {} writes", answered.len());
    let last = Router::with_config(pair, moving(10_000, 9, acknowledge), options("last"));
    for (unit, key) in &answered {
        assert!(keys(&last, unit).await.contains(key), "{unit} lacks {key}");
    }
    for unit in units(&last).await {
        last.mirror(&unit).await.expect("a mirror");
    }
    let count = last.standings().await.expect("a count");
    let all = Standings { units: count.units, at_target: count.units, ..Standings::default() };
    assert_eq!(count, all);
    assert!(count.rollback_ready());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn from_sqlite_to_parts() {
    to_and_fro("langgraph+sqlite", "parts+sqlite", Acknowledge::One).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn from_sqlite_to_postgres() {
    to_and_fro("langgraph+sqlite", "langgraph+postgres", Acknowledge::Both).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn from_postgres_to_parts() {
    to_and_fro("langgraph+postgres", "parts+sqlite", Acknowledge::One).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn from_one_layout_to_another_on_a_server() {
    to_and_fro("langgraph+postgres", "parts+postgres", Acknowledge::Both).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn from_parts_on_a_server_to_a_file() {
    to_and_fro("parts+postgres", "langgraph+sqlite", Acknowledge::One).await;
}
