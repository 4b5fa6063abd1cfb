//! Measures LangGraph's questions to a migration at rest (threads at their home, no mirror) beside
//! the same questions to the same kind of store without one, in alternating runs.
#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::expect_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use restow::langgraph::{CheckpointPut, Place, Saver, Typed, WritesPut};
use restow::live::{Acknowledge, Config, Migration, Phase};
use restow::{Address, Environment};
use restow_testkit::chaos::clock::MachineClock;
use restow_testkit::postgres::Database;

/// Puts and gets checkpoints with and without a router, and prints both.
#[derive(Debug, Parser)]
struct Options {
    /// How many turns a run has.
    #[arg(long, default_value_t = 400)]
    turns: usize,
    /// How many alternating runs; each figure is a median of them.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// So many threads take turns.
const THREADS: usize = 20;
/// A channel's value, about as large as a few messages.
const VALUE_BYTES: usize = 4096;

/// How long each question took, ascending.
#[derive(Default)]
struct Took {
    puts: Vec<Duration>,
    gets: Vec<Duration>,
}

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let options = Options::parse();
    println!("{} turns, medians of {} alternating runs", options.turns, options.rounds);
    for name in ["langgraph+sqlite", "parts+sqlite", "langgraph+postgres", "parts+postgres"] {
        let (mut plain, mut routed) = (Vec::new(), Vec::new());
        for round in 0..options.rounds {
            plain.push(run(name, false, round, options.turns).await);
            routed.push(run(name, true, round, options.turns).await);
        }
        println!("\n{name}");
        for (what, of) in [("put", puts as fn(&Took) -> &[Duration]), ("get", gets)] {
            for (which, permille) in [("p50", 500), ("p99", 990)] {
                let median = |runs: &[Took]| {
                    let mut all: Vec<_> = runs.iter().map(|t| at(of(t), permille)).collect();
                    all.sort_unstable();
                    all[all.len() / 2].as_secs_f64() * 1000.0
                };
                let (bare, with) = (median(&plain), median(&routed));
                let (more, ratio) = (with - bare, with / bare);
                print!("  {what} {which}  {bare:7.3} ms, at rest {with:7.3} ms: ");
                println!("{more:+.3} ms, {ratio:.2} x");
            }
        }
    }
}

fn puts(took: &Took) -> &[Duration] {
    &took.puts
}

fn gets(took: &Took) -> &[Duration] {
    &took.gets
}

fn at(sorted: &[Duration], permille: usize) -> Duration {
    sorted[(sorted.len() * permille / 1000).min(sorted.len() - 1)]
}

async fn run(name: &str, is_routed: bool, round: usize, turns: usize) -> Took {
    let folder = tempfile::tempdir().expect("a folder");
    let (layout, engine) = name.split_once('+').expect("a layout and an engine");
    let database = match engine {
        "postgres" => std::thread::spawn(Database::create).join().expect("a thread"),
        _ => None,
    };
    assert_eq!(database.is_some(), engine == "postgres", "no server");
    let address = match &database {
        Some(database) => database.address(layout),
        None => format!("{name}:{}", folder.path().join("store").display()),
    };
    let address = Address::parse(&address).expect("an address");
    let environment = Environment::default();
    let saver = match is_routed {
        false => Saver::open(&address, &environment).await,
        true => {
            let target = format!("parts+sqlite:{}", folder.path().join("target").display());
            let migration = Migration {
                name: "bench".into(),
                source: address,
                target: Address::parse(&target).expect("an address"),
                acknowledge: Acknowledge::One,
                mirrors: false,
                shadow_every: 0,
            };
            let pair = migration.open(&environment, "opener").await.expect("two stores");
            let held = pair.config().await.expect("a configuration");
            let begun = Config { phase: Phase::Aware, ..migration.begins() };
            pair.configure(&held, begun).await.expect("a configuration");
            let seed = format!("bench-{round}");
            Saver::migration(&migration, &environment, Arc::new(MachineClock), &seed).await
        }
    };
    talk(&saver.expect("a saver"), turns).await
}

/// Every turn reads a thread's newest checkpoint, and puts one with its writes; a thread's first
/// turn, which begins it, is not counted.
async fn talk(saver: &Saver, turns: usize) -> Took {
    let mut took = Took::default();
    for turn in 0..turns {
        let thread = format!("thread-{}", turn % THREADS);
        let (id, before) = (checkpoint(turn / THREADS), (turn / THREADS).checked_sub(1));
        let began = Instant::now();
        let newest = saver.get(&thread, "", None).await.expect("an answer");
        let got = began.elapsed();
        assert_eq!(newest.map(|tuple| tuple.id), before.map(checkpoint));
        let version = format!("{:032}.{:016}", turn / THREADS + 1, 5);
        let put = CheckpointPut {
            place: Place::new(&thread, "", &id),
            parent: before.map(|n| checkpoint(n).into()),
            metadata: Bytes::from_static(br#"{"source": "loop", "step": 1, "parents": {}}"#),
            head: head(&id, &version),
            values: vec![("messages".into(), Typed::new("msgpack", value(turn)))],
            unchanged: Vec::new(),
        };
        let began = Instant::now();
        saver.put(put).await.expect("a checkpoint");
        if before.is_some() {
            took.puts.push(began.elapsed());
            took.gets.push(got);
        }
        let writes = WritesPut {
            place: Place::new(&thread, "", &id),
            task: "task".into(),
            path: "".into(),
            writes: vec![("messages".into(), Typed::new("msgpack", value(turn)))],
        };
        saver.put_writes(writes).await.expect("writes");
    }
    took.puts.sort_unstable();
    took.gets.sort_unstable();
    took
}

fn checkpoint(number: usize) -> String {
    format!("1f0a0000-0000-6000-8000-{number:012}")
}

/// A checkpoint's head in msgpack, as LangGraph packs it.
fn head(id: &str, version: &str) -> Bytes {
    let mut out = vec![0x83];
    text(&mut out, "v");
    out.push(4);
    text(&mut out, "id");
    text(&mut out, id);
    text(&mut out, "channel_versions");
    out.push(0x81);
    text(&mut out, "messages");
    text(&mut out, version);
    out.into()
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend([0xd9, text.len() as u8]);
    out.extend(text.as_bytes());
}

/// A text in msgpack that no compression shortens much.
fn value(turn: usize) -> Bytes {
    let mut state = turn as u64 * 2 + 1;
    let letters = (0..VALUE_BYTES).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        b'a' + (state >> 59) as u8 % 26
    });
    let mut out = vec![0xda];
    out.extend((VALUE_BYTES as u16).to_be_bytes());
    out.extend(letters);
    out.into()
}
