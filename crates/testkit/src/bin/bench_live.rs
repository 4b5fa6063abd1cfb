//! Measures how long writes wait while one large thread moves and comes back, and what a lap costs:
//! `bench_live --megabytes 500`.
#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;
use restow::live::{
    Change, Config, Moved, Pair, Phase, Router, RouterOptions, Side, Step, Watch, Written,
};
use restow::model::{Dialect, UnitId};
use restow::store::{Content, Frame, KeyRange, Op, Selection};
use restow::{Access, Address, CopyOptions, Environment, Progress};
use restow_testkit::chaos::clock::MachineClock;
use restow_testkit::chaos::world::{self, Stores, element};
use restow_testkit::generate;
use restow_testkit::postgres::Database;

/// Moves one large thread there and back under a writer, and prints how long writes waited.
#[derive(Debug, Parser)]
struct Options {
    /// About how large the thread is, as LangGraph's own file.
    #[arg(long, default_value_t = 500)]
    megabytes: u64,
    /// How often it is written to, a second.
    #[arg(long, default_value_t = 10)]
    rate: u32,
}

/// The steps of the mover, and how long each took until the next.
#[derive(Debug, Default)]
struct Steps(Mutex<Vec<(Step, Side, Instant)>>);

#[async_trait::async_trait]
impl Watch for Steps {
    async fn before(&self, step: Step, at: Side, _: &UnitId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((step, at, Instant::now()));
    }
}

impl Steps {
    /// Takes the steps since the last time, each with the milliseconds behind a moment.
    fn since(&self, began: Instant) -> String {
        let steps = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let told = steps.iter().map(|(step, side, at)| {
            format!("{step:?} at the {side:?} after {} ms", (*at - began).as_millis())
        });
        told.collect::<Vec<_>>().join(", ")
    }

    /// Prints how often each step was taken, and the longest of each.
    fn print(&self) {
        let steps = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let ends = steps.iter().skip(1).map(|(.., at)| *at).chain([Instant::now()]);
        let mut kinds: BTreeMap<String, (usize, Duration, Duration)> = BTreeMap::new();
        for ((step, side, from), to) in steps.iter().zip(ends) {
            let kind = kinds.entry(format!("{step:?} at the {side:?}")).or_default();
            let took = to - *from;
            *kind = (kind.0 + 1, kind.1 + took, kind.2.max(took));
        }
        for (step, (times, all, longest)) in kinds {
            let (all, longest) = (all.as_millis(), longest.as_millis());
            println!("    {step}: {times} times, {all} ms, the longest {longest} ms");
        }
    }
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let folder = tempfile::tempdir().expect("a folder");
    let thread = folder.path().join("thread.sqlite");
    // A chat's file grows with the square of its turns.
    let turns = (options.megabytes as f64 * 450.0).sqrt() as u64;
    println!("{}", generate::chat(&thread, 1, turns, 1));
    for pair in [Stores::SqlitePostgres, Stores::PostgresParts, Stores::SqliteParts] {
        there_and_back(&options, pair, &thread).await;
    }
}

async fn there_and_back(options: &Options, stores: Stores, thread: &Path) {
    let folder = tempfile::tempdir().expect("a folder");
    let made = std::thread::spawn(Database::create).join().expect("a thread");
    let Some(database) = made else { return };
    let addresses = stores.addresses(folder.path(), &database.url());
    println!("\n{} -> {}", shown(&addresses[0]), shown(&addresses[1]));
    fill(thread, &addresses[0]).await;
    let pair = world::pair(&addresses, None).await.expect("two stores");
    let held = pair.config().await.expect("a configuration");
    let config = Config { phase: Phase::Move, ..Config::default() };
    pair.configure(&held, config).await.expect("a configuration");
    let unit = only_unit(&pair).await;
    laps(&pair, &unit).await;
    adopt(&pair, &unit).await;
    for to in [Side::Target, Side::Source] {
        one_way(options, &pair, &unit, to).await;
    }
}

fn shown(address: &str) -> &str {
    address.split(':').next().unwrap_or(address)
}

async fn fill(thread: &Path, address: &str) {
    let file = Address::parse(&format!("langgraph+sqlite:{}", thread.display()));
    let (file, environment) = (file.expect("an address"), Environment::default());
    let source = restow::open(&file, Access::Read, &environment);
    let report = restow::copy(
        source.await.expect("a file").store,
        world::open(address).await.expect("a store"),
        restow::memory_ledger(),
        Arc::new(MachineClock),
        CopyOptions::default(),
        Arc::new(Progress::new()),
    );
    assert!(report.await.expect("a copy").is_clean());
}

async fn only_unit(pair: &Pair) -> UnitId {
    use futures::StreamExt as _;
    let mut units = pair.store(Side::Source).units().await.expect("a list");
    units.next().await.expect("a unit").expect("a unit").0
}

/// Reads the records of a lap, one by one and together.
async fn laps(pair: &Pair, unit: &UnitId) {
    const RECORDS: usize = 256;
    let source = pair.store(Side::Source);
    let read = async |what: Selection| -> Vec<Frame> {
        let frames = source.read(vec![unit.clone()], what).await.expect("frames");
        futures::TryStreamExt::try_collect(frames).await.expect("frames")
    };
    let bodies = Selection { content: Content::Bodies, ..Selection::all() };
    let keys = read(bodies).await.into_iter().filter_map(|frame| match frame {
        Frame::Record(record) => Some(record.key),
        _ => None,
    });
    let keys: Vec<_> = keys.collect();
    let first = keys.len().saturating_sub(RECORDS);
    let lap: BTreeSet<_> = keys[first..].iter().cloned().collect();
    let began = Instant::now();
    for key in &lap {
        read(Selection { keys: KeyRange::one(key).into(), ..Selection::all() }).await;
    }
    let (each, began) = (began.elapsed(), Instant::now());
    let together = read(Selection::keys(lap.clone())).await.len() - 2;
    let (records, each, all) = (lap.len(), each.as_millis(), began.elapsed().as_millis());
    assert_eq!(together, records);
    println!("  a lap of {records} records: one by one {each} ms, together {all} ms");
}

/// Makes the first write, which gives the thread its control record, and so sums it once.
async fn adopt(pair: &Pair, unit: &UnitId) {
    let (router, _) = watched(pair, "first".to_owned()).await;
    let began = Instant::now();
    write_one(&router, unit, "first").await;
    println!("  the first write: {} ms", began.elapsed().as_millis());
}

async fn write_one(router: &Router, unit: &UnitId, name: &str) {
    let ops = vec![Op::put(element(name))];
    let change = Change { dialect: Dialect::Python, ops, op_id: None };
    let written = router.write(unit, change).await.expect("a write");
    assert!(matches!(written, Written::Made(..)), "{written:?}");
}

async fn one_way(options: &Options, pair: &Pair, unit: &UnitId, to: Side) {
    let (router, its) = watched(pair, format!("writer-{to:?}")).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = write(router, its, unit.clone(), options.rate, Arc::clone(&stop));
    let writer = tokio::spawn(writer);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (mover, steps) = watched(pair, format!("mover-{to:?}")).await;
    let began = Instant::now();
    let moved = mover.move_to(unit, to).await.expect("a move");
    let took = began.elapsed();
    tokio::time::sleep(Duration::from_secs(2)).await;
    stop.store(true, Ordering::Relaxed);
    let (mut waits, slowest) = writer.await.expect("a writer");
    waits.sort();
    assert_eq!((moved, mover.resolve(unit).await.expect("a home")), (Moved::There, Some(to)));
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_millis();
    println!(
        "  to the {to:?}: {:.1} s; {} writes waited {} ms (median), {} ms (99 %), {} ms at most",
        took.as_secs_f64(),
        waits.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    println!("  the write that waited longest: {slowest}");
    steps.print();
}

/// Opens a router whose steps are noted.
async fn watched(pair: &Pair, name: String) -> (Router, Arc<Steps>) {
    let steps = Arc::new(Steps::default());
    let options = RouterOptions::new(name, Arc::new(MachineClock));
    let options = RouterOptions { watch: Arc::clone(&steps) as Arc<dyn Watch>, ..options };
    (Router::open(pair.clone(), options).await.expect("a router"), steps)
}

/// Writes at a steady rate until it is stopped; returns how long each write waited, and the steps
/// of the one that waited longest.
async fn write(
    router: Router,
    steps: Arc<Steps>,
    unit: UnitId,
    rate: u32,
    stop: Arc<AtomicBool>,
) -> (Vec<Duration>, String) {
    let (mut waits, mut slowest) = (Vec::new(), String::new());
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate.max(1));
    let name = format!("{:?}", Instant::now());
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let began = Instant::now();
        write_one(&router, &unit, &format!("{name} {}", waits.len())).await;
        let (waited, taken) = (began.elapsed(), steps.since(began));
        if waits.iter().max().is_none_or(|longest| waited > *longest) {
            slowest = taken;
        }
        waits.push(waited);
    }
    (waits, slowest)
}
