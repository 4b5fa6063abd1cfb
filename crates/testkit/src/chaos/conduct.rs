//! The conductor: starts processes, kills them and the server, changes the configuration, and at
//! the end asks the stores what became of it all.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::ValueEnum as _;
use restow::live::{Acknowledge, Config, Errand, Pair, Phase, Router, Rule, Rules, Side};
use restow::model::{Dialect, UnitId};
use restow::store::{Batch, Guard, Op, Role, Then, UnitOps};

use super::check::{check, most};
use super::client;
use super::clock::now_ns;
use super::history::{self, Came, Operation};
use super::truth::{self, Writes};
use super::world::{self, SEED, Stores};
use crate::cluster::Cluster;
use crate::generate::random::Random;

/// What to do, and how long.
#[derive(Clone, Debug, clap::Args)]
pub struct Plan {
    /// Between which stores.
    #[arg(long, value_enum)]
    pub pair: Stores,
    /// How long, in seconds.
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
    /// Decides who does what, who is killed when, and which calls fail.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many units; more for a longer time, so that no journal forgets.
    #[arg(long)]
    pub units: Option<u64>,
    /// How many clients.
    #[arg(long, default_value_t = 3)]
    pub clients: u64,
    /// How many movers.
    #[arg(long, default_value_t = 2)]
    pub movers: u64,
    /// The rule of the protocol that clients and movers break, to see that it is found out.
    #[arg(long, value_parser = client::parse_rule)]
    pub without: Option<Rule>,
}

/// What happened, and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What went wrong, unit by unit; nothing where all is well.
    pub faults: Vec<String>,
    /// Operations that were answered.
    pub answered: usize,
    /// Operations that were asked.
    pub asked: usize,
    /// Writes that were made.
    pub writes: usize,
    /// How often a unit's home changed.
    pub moves: u64,
    /// How often a process was killed.
    pub kills: u64,
    /// How often the server was.
    pub restarts: u64,
    /// How many elements the unit that grows held at most.
    pub largest: usize,
    /// Where the histories and stores are kept, where something is wrong.
    pub kept: Option<PathBuf>,
}

struct Conductor<'p> {
    plan: &'p Plan,
    program: &'p Path,
    folder: PathBuf,
    addresses: [String; 2],
    cluster: Option<Cluster>,
    random: Random,
    runtime: tokio::runtime::Runtime,
    report: Report,
    units: u64,
}

/// Makes chaos with a program that can be told to be a client or a mover; nothing where this run
/// does without a server and the stores need one.
pub fn run(plan: &Plan, program: &Path) -> Option<Report> {
    let cluster = match plan.pair.needs_postgres() {
        true => Some(Cluster::start("listen_addresses = '127.0.0.1'\nmax_connections = 300")?),
        false => None,
    };
    let folder = tempfile::Builder::new().prefix("restow-chaos-").tempdir().expect("a folder");
    let table = match plan.pair.needs_dynamodb() {
        true => Some(crate::servers::dynamodb()?),
        false => None,
    };
    let server = cluster.as_ref().map(Cluster::url).or(table).unwrap_or_default();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
    let mut conductor = Conductor {
        plan,
        program,
        folder: folder.path().to_owned(),
        addresses: plan.pair.addresses(folder.path(), &server),
        cluster,
        random: Random::new(plan.seed),
        runtime,
        report: Report::default(),
        units: plan.units.unwrap_or(200 + 2 * plan.seconds),
    };
    conductor.begin();
    conductor.rage();
    conductor.end();
    let mut report = conductor.report;
    if !report.faults.is_empty() {
        report.kept = Some(folder.keep());
    }
    Some(report)
}

/// A process in its present life.
struct Process {
    name: String,
    life: u64,
    child: Child,
}

impl Conductor<'_> {
    /// Makes the stores, with something in them from before the migration.
    fn begin(&mut self) {
        let (addresses, units) = (self.addresses.clone(), self.units);
        self.runtime.block_on(async move {
            let source = world::open(&addresses[0]).await.expect("the source");
            source.prepare(Role::CopyTarget, "").await.expect("tables");
            let seeded = (0..units).filter(|n| world::is_seeded(*n));
            let seeded = seeded.map(|number| {
                let put = vec![Op::put(world::element(SEED))];
                let (unit, dialect) = (world::unit(number), Dialect::Python);
                UnitOps::new(unit, dialect, Guard::Unmanaged, put, Then::Keep)
            });
            let outcomes = source.apply(Batch { units: seeded.collect() }).await;
            assert!(outcomes.expect("an answer").iter().all(|outcome| outcome.is_applied()));
            let pair = world::pair(&addresses, None).await.expect("two stores");
            let aware = Config { phase: Phase::Move, ..Config::default() };
            let held = pair.config().await.expect("a configuration");
            pair.configure(&held, aware).await.expect("a configuration");
        });
    }

    fn start(&mut self, name: String, life: u64, until: u64) -> Process {
        let kind = name.split('-').next().unwrap_or_default();
        let mut command = Command::new(self.program);
        command.args([kind, "--name", &format!("{name}-{life}"), "--source", &self.addresses[0]]);
        command.args(["--target", &self.addresses[1], "--seed", &self.random.next().to_string()]);
        command.args(["--units", &self.units.to_string(), "--until", &until.to_string()]);
        command.arg("--folder").arg(&self.folder);
        if let Some(rule) = self.plan.without {
            command.args(["--without", &format!("{rule:?}")]);
        }
        let child = command.spawn().expect("start a process");
        Process { name, life, child }
    }

    /// Lets all happen at once, for as long as the plan says.
    fn rage(&mut self) {
        let until = now_ns() + self.plan.seconds * 1_000_000_000;
        let clients = (0..self.plan.clients).map(|n| format!("client-{n}"));
        let names: Vec<String> =
            clients.chain((0..self.plan.movers).map(|n| format!("mover-{n}"))).collect();
        let mut processes: Vec<Process> =
            names.into_iter().map(|name| self.start(name, 0, until)).collect();
        let pair = self.runtime.block_on(world::pair(&self.addresses, None)).expect("two stores");
        while now_ns() < until {
            std::thread::sleep(Duration::from_millis(self.random.between(200, 900)));
            match self.random.below(10) {
                0..4 => {
                    let one = self.random.below(processes.len() as u64) as usize;
                    let Process { name, life, mut child } = processes.swap_remove(one);
                    child.kill().expect("kill a process");
                    child.wait().expect("a process that ended");
                    self.report.kills += 1;
                    let again = self.start(name, life + 1, until);
                    processes.push(again);
                }
                4 => self.restart(),
                _ => self.configure(&pair),
            }
        }
        for process in &mut processes {
            let ended = process.child.wait().expect("a process that ended");
            if !ended.success() {
                self.report.faults.push(format!("{} ended with {ended}", process.name));
            }
        }
    }

    /// Ends the server as a crash would, and starts it again.
    fn restart(&mut self) {
        if let Some(cluster) = &self.cluster {
            cluster.kill();
            cluster.up();
            self.report.restarts += 1;
        }
    }

    /// Chooses another share, and how writes are answered.
    fn configure(&mut self, pair: &Pair) {
        let share = match self.random.below(3) {
            0 => 0,
            1 => 10_000,
            _ => self.random.below(10_001) as u16,
        };
        let both = self.random.once_in(4);
        let config = Config {
            phase: Phase::Move,
            share,
            acknowledge: if both { Acknowledge::Both } else { Acknowledge::One },
            mirrors: self.random.once_in(2),
            ..Config::default()
        };
        self.runtime.block_on(async {
            // Nobody else changes it; a store that is busy for once is asked the next time.
            if let Ok(held) = pair.config().await {
                drop(pair.configure(&held, config).await);
            }
        });
    }

    /// Asks everybody what became of it.
    fn end(&mut self) {
        let pair = self.runtime.block_on(world::pair(&self.addresses, None)).expect("two stores");
        self.stands(&pair, "when everybody had ended");
        for share in [10_000, 0] {
            let number = format!("end-{share}");
            let after =
                self.runtime.block_on(settle(pair.clone(), &self.folder, share, self.units));
            self.report.faults.extend(after);
            self.stands(&pair, &number);
        }
        let operations = history::read(&self.folder);
        let journals = [0, 1].map(|n| truth::journal(&self.addresses[n]));
        let mut of_unit: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
        for operation in &operations {
            of_unit.entry(&operation.unit).or_default().push(operation);
        }
        let none = Writes::new();
        for number in 0..self.units {
            let unit = world::unit(number);
            let of = |n: usize| journals[n].get(unit.as_str()).unwrap_or(&none);
            self.report.writes += of(0).len() + of(1).len();
            if number == world::LARGE {
                self.report.largest = most([of(0), of(1)]);
            }
            let operations = of_unit.get(unit.as_str()).map_or(&[][..], Vec::as_slice);
            let faults = check(operations, [of(0), of(1)], world::is_seeded(number));
            self.report.faults.extend(faults.into_iter().map(|fault| format!("{unit}: {fault}")));
        }
        for operation in of_unit.get("all").into_iter().flatten() {
            self.report.faults.push(format!("{}: {:?}", operation.name, operation.came));
        }
        self.report.asked = operations.len();
        self.report.answered = operations.iter().filter(|o| o.came != Came::Unknown).count();
    }

    /// Looks at every unit in both stores.
    fn stands(&mut self, pair: &Pair, when: &str) {
        let mut moves = 0;
        for number in 0..self.units {
            let unit = world::unit(number);
            let both = self.runtime.block_on(truth::held(pair, &unit)).expect("a unit");
            let terms = both.iter().flatten().filter_map(|held| held.control.as_ref());
            moves += terms.map(|control| control.generation.term).max().unwrap_or(1).max(1) - 1;
            let faults = truth::faults(&both).into_iter();
            let managed = both.iter().flatten().any(|held| held.control.is_some());
            if managed {
                let told = faults.map(|fault| format!("{unit}: {fault}, {when}"));
                self.report.faults.extend(told);
            }
        }
        self.report.moves = moves;
    }
}

/// Moves all units to one store, writes to each and reads each, with nobody in the way.
async fn settle(pair: Pair, folder: &Path, share: u16, units: u64) -> Vec<String> {
    let held = pair.config().await.expect("a configuration");
    let config = Config { phase: Phase::Move, share, ..Config::default() };
    pair.configure(&held, config).await.expect("a configuration");
    let router =
        world::router(pair, &format!("end-{share}"), Rules::default()).await.expect("a router");
    let swept = router.sweep(Errand::Place, 4, &AtomicBool::new(false)).await.expect("a sweep");
    let told = |(unit, error): (UnitId, _)| format!("{unit}: {}", client::told(&error));
    let mut faults: Vec<String> = swept.failures.into_iter().map(told).collect();
    let wanted = if share == 0 { Side::Source } else { Side::Target };
    let recorder = history::Recorder::new(folder, &format!("end-{share}"));
    for number in 0..units {
        let unit = world::unit(number);
        faults.extend(last_words(&router, &recorder, number).await);
        let home = router.resolve(&unit).await.expect("a home");
        if home.is_some_and(|home| home != wanted) {
            // A unit that began only now begins at the source.
            let there = router.place(&unit).await;
            faults.extend(there.err().map(|error| format!("{unit}: {}", client::told(&error))));
        }
    }
    faults
}

/// Writes to a unit and reads it; both have to be done.
async fn last_words(router: &Router, recorder: &history::Recorder, number: u64) -> Option<String> {
    let (write, read) = (2 * number, 2 * number + 1);
    let unit = world::unit(number);
    recorder.ask(write, unit.as_str(), history::Asked::Add);
    let came = client::add(router, number, &recorder.name(write)).await;
    recorder.answer(write, &came);
    if !matches!(came, Came::Made(_)) {
        return Some(format!("I15: {unit} cannot be written: {came:?}"));
    }
    recorder.ask(read, unit.as_str(), history::Asked::Read);
    let came = client::read(router, number).await.expect("a read");
    recorder.answer(read, &came);
    None
}

/// Returns the command that does the same again.
pub fn command(plan: &Plan) -> String {
    let pair = plan.pair.to_possible_value().map(|value| value.get_name().to_owned());
    let (seconds, seed) = (plan.seconds, plan.seed);
    let pair = pair.unwrap_or_default();
    let without = plan.without.map(|rule| format!(" --without {rule:?}")).unwrap_or_default();
    format!("cargo xtask chaos --pair {pair} --seconds {seconds} --seed {seed}{without}")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, answered, writes, moves, kills, restarts, largest, .. } = self;
        writeln!(
            f,
            "{asked} operations asked, {answered} answered; {writes} writes made, the largest unit \
             had {largest} elements; units moved {moves} times; {kills} processes killed, the \
             server {restarts} times"
        )?;
        for fault in self.faults.iter().take(50) {
            writeln!(f, "  {fault}")?;
        }
        writeln!(f, "{} faults", self.faults.len())?;
        match &self.kept {
            Some(folder) => writeln!(f, "histories and stores are in {}", folder.display()),
            None => Ok(()),
        }
    }
}
