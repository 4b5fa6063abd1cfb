//! A client: a process with many tasks that read, write, fan out and delete through one router.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{StreamExt, future};
use restow::live::{Change, Moved, Router, Rule, Rules, Side, Written};
use restow::model::{Dialect, Digest};
use restow::store::wrap::fault::FaultPlan;
use restow::store::{Frame, Op, Selection};
use restow::{Error, ErrorKind};

use super::clock::now_ns;
use super::history::{Asked, Came, Recorder};
use super::world::{self, element, is_last, last, text_of};
use crate::generate::random::Random;

/// So many tasks a client has.
const TASKS: u64 = 6;
/// So often a write without an answer is repeated under its name.
const TRIES: u32 = 12;

/// What a process of the chaos is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Life {
    /// The process and its life, such as `client-2-5`.
    #[arg(long)]
    pub name: String,
    /// The source.
    #[arg(long)]
    pub source: String,
    /// The target.
    #[arg(long)]
    pub target: String,
    /// Decides what is asked, and which calls fail.
    #[arg(long)]
    pub seed: u64,
    /// How many units there are.
    #[arg(long)]
    pub units: u64,
    /// When to end, in nanoseconds of the clock that all processes share.
    #[arg(long)]
    pub until: u64,
    /// Where histories go.
    #[arg(long)]
    pub folder: PathBuf,
    /// The rule of the protocol that the process breaks; none, where chaos is to find nothing.
    #[arg(long, value_parser = parse_rule)]
    pub without: Option<Rule>,
}

/// Takes the name of a rule of the protocol, such as `LastLapFirst`.
pub fn parse_rule(name: &str) -> Result<Rule, String> {
    let found = Rule::ALL.iter().find(|rule| format!("{rule:?}") == name);
    found.copied().ok_or_else(|| format!("no rule has the name {name}"))
}

impl Life {
    /// Opens the router; again and again while a server is down.
    pub async fn router(&self) -> Option<Router> {
        let faults = FaultPlan {
            seed: self.seed,
            before: 4,
            after: 4,
            indeterminate: 4,
            cut: 2,
            delay: 10,
            delay_max: Duration::from_millis(20),
            ..FaultPlan::default()
        };
        let addresses = [self.source.clone(), self.target.clone()];
        let rules = self.without.map_or_else(Rules::default, Rules::without);
        while now_ns() < self.until {
            let pair = world::pair(&addresses, Some(&faults)).await;
            let router = match pair {
                Ok(pair) => world::router(pair, &self.name, rules).await,
                Err(error) => Err(error),
            };
            match router {
                Ok(router) => return Some(router),
                Err(error) if may_pass(&error) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => panic!("{}: {error}, {:?}", self.name, error.context()),
            }
        }
        None
    }
}

/// Says whether an error is one that kills and faults explain.
pub fn may_pass(error: &Error) -> bool {
    // A server that starts again is a server that fails, for a moment.
    error.is_retryable() || error.kind() == ErrorKind::Failed
}

/// Tells an error with all that it says.
pub fn told(error: &Error) -> String {
    let mut text = format!("{error}");
    for (name, value) in error.context() {
        text.push_str(&format!(", {name} {value}"));
    }
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

struct Client {
    life: Life,
    router: Router,
    recorder: Recorder,
    numbers: AtomicU64,
}

/// Lives one life of a client.
pub async fn live(life: Life) {
    let recorder = Recorder::new(&life.folder, &life.name);
    let Some(router) = life.router().await else { return };
    let client = Arc::new(Client { life, router, recorder, numbers: AtomicU64::new(0) });
    let tasks = (0..TASKS).map(|task| {
        let client = Arc::clone(&client);
        tokio::spawn(async move { client.work(Random::part(client.life.seed, task)).await })
    });
    for ended in future::join_all(tasks).await {
        ended.expect("a task that came to its end");
    }
}

impl Client {
    async fn work(&self, mut random: Random) {
        while now_ns() < self.life.until {
            // The unit that grows is written to more often, so that writes come between two laps.
            let number = match random.once_in(self.life.units.div_ceil(8)) {
                true => world::LARGE,
                false => random.below(self.life.units),
            };
            match random.below(100) {
                0..40 => self.read(number).await,
                40..74 => self.add(number).await,
                74..86 => self.fan_out(number).await,
                86..88 => self.remove(number).await,
                88..96 => self.displace(number, &mut random).await,
                _ => drop(self.router.refresh().await),
            }
        }
    }

    fn begin(&self, unit: u64, asked: Asked) -> (u64, String) {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        self.recorder.ask(number, world::unit(unit).as_str(), asked);
        (number, self.recorder.name(number))
    }

    async fn read(&self, unit: u64) {
        let (number, _) = self.begin(unit, Asked::Read);
        let came = match read(&self.router, unit).await {
            Ok(came) => came,
            Err(error) if may_pass(&error) => Came::Unknown,
            Err(error) => Came::Broken(told(&error)),
        };
        self.recorder.answer(number, &came);
    }

    async fn add(&self, unit: u64) {
        let (number, name) = self.begin(unit, Asked::Add);
        self.recorder.answer(number, &add(&self.router, unit, &name).await);
    }

    /// Writes three elements at once, which the router may make as one write, and reads meanwhile.
    async fn fan_out(&self, unit: u64) {
        let write = || async {
            let (number, name) = self.begin(unit, Asked::AddBeside);
            let ops = vec![Op::put(element(&name))];
            let change = Change { dialect: Dialect::Python, ops, op_id: None };
            let came = made(self.router.write(&world::unit(unit), change).await);
            self.recorder.answer(number, &came);
        };
        future::join4(write(), write(), write(), self.read(unit)).await;
    }

    async fn remove(&self, unit: u64) {
        let (number, name) = self.begin(unit, Asked::Remove);
        let op_id = Some(Digest::of(name.as_bytes()));
        let mut came = Came::Unknown;
        for _ in 0..TRIES {
            came = made(self.router.delete(&world::unit(unit), op_id).await);
            if came != Came::Unknown {
                break;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        self.recorder.answer(number, &came);
    }

    /// Moves a unit to where it is to live, or anywhere.
    async fn displace(&self, unit: u64, random: &mut Random) {
        let id = world::unit(unit);
        let moved = match random.below(4) {
            0 => self.router.copy_to(&id, Side::Target).await,
            1 => self.router.move_to(&id, Side::Source).await,
            2 => self.router.move_to(&id, Side::Target).await,
            _ => self.router.place(&id).await,
        };
        report(&self.recorder, &self.numbers, unit, moved);
    }
}

/// Notes a move that ended as none may.
pub fn report(recorder: &Recorder, numbers: &AtomicU64, unit: u64, moved: Result<Moved, Error>) {
    if let Err(error) = moved
        && !may_pass(&error)
    {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        recorder.ask(number, world::unit(unit).as_str(), Asked::Read);
        recorder.answer(number, &Came::Broken(told(&error)));
    }
}

fn made(written: Result<Written, Error>) -> Came {
    match written {
        Ok(Written::Made(_, generation)) => Came::Made(generation.seq),
        Ok(Written::Conflict(key, _)) => Came::Refused(format!("conflict at {key}")),
        // No write of this client's is that large.
        Ok(Written::TooLarge) => Came::Broken("too large for one apply".into()),
        Ok(Written::Indeterminate) => Came::Unknown,
        Err(error) if may_pass(&error) => Came::Unknown,
        Err(error) => Came::Broken(told(&error)),
    }
}

/// Adds an element alone; again, under its name, while nobody can say whether it was made.
pub async fn add(router: &Router, unit: u64, name: &str) -> Came {
    let mut ops = vec![Op::put(element(name)), Op::put(last(name))];
    if unit == world::LARGE {
        let more = (0..world::LARGE_ADDS).map(|n| Op::put(element(&format!("{name}+{n}"))));
        ops.extend(more);
    }
    let op_id = Some(Digest::of(name.as_bytes()));
    let change = Change { dialect: Dialect::Python, ops, op_id };
    for _ in 0..TRIES {
        let came = made(router.write(&world::unit(unit), change.clone()).await);
        if came != Came::Unknown {
            return came;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    Came::Unknown
}

/// Reads all elements of a unit, with the seq of their moment.
pub async fn read(router: &Router, unit: u64) -> Result<Came, Error> {
    let mut frames = router.read(&world::unit(unit), &Selection::all()).await?;
    let (mut seq, mut elements, mut before) = (None, Vec::new(), None);
    while let Some(frame) = frames.next().await {
        match frame? {
            Frame::Begin { control, .. } => seq = control.map(|c| c.generation.seq),
            Frame::Record(record) if is_last(&record.key) => before = Some(text_of(&record)),
            Frame::Record(record) => elements.extend(world::element_of(&record.key)),
            Frame::Damaged { place, why, .. } => {
                return Ok(Came::Broken(format!("{place}: {why}")));
            }
            Frame::End { .. } | Frame::Mark(_) => {}
        }
    }
    Ok(Came::Read(seq, elements, before))
}
