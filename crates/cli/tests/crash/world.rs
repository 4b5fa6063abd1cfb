//! One copy: its source, its target, and what has to hold of both whenever it died.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use restow_testkit::cli::{Cli, Outcome};
use restow_testkit::postgres::Database;
use rusqlite::Connection;

use crate::origin::{Age, Pair};
use crate::served::{self, Seen};
use crate::stores::{Contents, Threads, assert_same_rows, contents, folder, names, threads};
use crate::target::Target;

/// What a source holds, and how the readers of a target see that.
#[derive(Clone, Debug, Default)]
struct Held {
    contents: Contents,
    threads: Threads,
    seen: Seen,
}

/// A source and a target.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) cli: Cli,
    pub(crate) pair: Pair,
    target: Target,
    /// What the target held when the source went on; nothing at first.
    before: Held,
    now: Held,
    age: Age,
}

impl World {
    /// A source and no target yet.
    pub(crate) fn new(pair: Pair) -> Self {
        let mut world = Self::bare(pair, Target::new);
        world.now = held(pair, Age::Before);
        world
    }

    /// A source, and a database that is to be the target.
    pub(crate) fn to(pair: Pair, database: Database) -> Self {
        let mut world = Self::bare(pair, |_, _| Target::Served(database));
        world.now = held(pair, Age::Before);
        world
    }

    /// A source that went on after it was copied.
    pub(crate) fn moved_on(pair: Pair) -> Self {
        let mut world = Self::new(pair);
        world.go_on();
        world
    }

    fn bare(pair: Pair, target: impl FnOnce(Pair, &Cli) -> Target) -> Self {
        let cli = Cli::new(env!("CARGO_BIN_EXE_restow"));
        for name in ["source", "target"] {
            fs::create_dir(cli.path(name)).unwrap();
        }
        let target = target(pair, &cli);
        let (before, now) = (Held::default(), Held::default());
        let world = Self { cli, pair, target, before, now, age: Age::Before };
        fs::copy(pair.source(world.age), world.source()).unwrap();
        world
    }

    /// Copies, and lets the source go on.
    pub(crate) fn go_on(&mut self) {
        self.finish();
        self.age = Age::After;
        fs::copy(self.pair.source(self.age), self.source()).unwrap();
        self.before = std::mem::replace(&mut self.now, held(self.pair, self.age));
    }

    /// Puts small threads in the place of the one that outgrows a batch.
    pub(crate) fn lose_the_large_unit(&mut self) {
        self.pair.large = false;
        self.now = held(self.pair, self.age);
        fs::copy(self.pair.source(self.age), self.source()).unwrap();
    }

    /// Counts the rows of staged copies at the target.
    pub(crate) fn staged(&self) -> i64 {
        self.target.staged()
    }

    fn source(&self) -> PathBuf {
        self.cli.path("source").join(self.pair.names()[0].1)
    }

    /// Returns the threads of the source.
    pub(crate) fn units(&self) -> Vec<String> {
        self.now.contents.keys().cloned().collect()
    }

    /// Returns the id of a thread's newest checkpoint at the source.
    pub(crate) fn newest(&self, thread: &str) -> String {
        let official = Connection::open(self.pair.official(self.age)).unwrap();
        let sql = "SELECT max(checkpoint_id) FROM checkpoints
                   WHERE thread_id = ? AND checkpoint_ns = ''";
        official.query_row(sql, [thread], |row| row.get(0)).unwrap()
    }

    /// Returns the database, where the target is one.
    pub(crate) fn database(&self) -> Option<&Database> {
        match &self.target {
            Target::Served(database) => Some(database),
            Target::File(_) => None,
        }
    }

    /// Returns both addresses, as the command line takes them.
    pub(crate) fn addresses(&self) -> [String; 2] {
        let (layout, name) = self.pair.names()[0];
        [format!("{layout}+sqlite:source/{name}"), self.target.address(self.pair)]
    }

    /// Copies in one lane, so that each run passes the same points in the same order.
    pub(crate) fn copy_in_order(&self) -> Outcome {
        let [from, to] = self.addresses();
        self.cli.run(&["copy", "--jobs", "1", &from, &to])
    }

    /// Copies while the target is watched.
    pub(crate) fn copy(&self) -> Outcome {
        let [from, to] = self.addresses();
        self.watched(|| self.cli.run(&["copy", &from, &to]))
    }

    /// Kills a copy so long after its start; says whether it was still running.
    pub(crate) fn kill_after(&self, moment: Duration) -> bool {
        let [from, to] = self.addresses();
        self.watched(|| {
            let began = Instant::now();
            let mut running = self.cli.spawn(&["copy", &from, &to]);
            running.wait_until(|| began.elapsed() >= moment);
            running.kill().code.is_none()
        })
    }

    /// Does something while another connection looks at a database of LangGraph's without a pause.
    pub(crate) fn watched<T>(&self, work: impl FnOnce() -> T) -> T {
        match self.database().filter(|_| self.pair.home) {
            Some(database) => served::watched(database, |seen| self.assert_seen(seen), work),
            None => work(),
        }
    }

    fn assert_seen(&self, seen: &Seen) {
        assert_whole(seen, &self.before.seen, &self.now.seen);
    }

    /// Checks what a copy that died has left behind.
    pub(crate) fn check_half(&self) {
        self.check_source();
        let Some(found) = self.target.look(self.pair) else {
            assert!(self.before.contents.is_empty(), "everything is gone");
            return;
        };
        if let Some(threads) = &found.threads {
            assert_whole(threads, &self.before.threads, &self.now.threads);
        }
        if let Some(seen) = &found.seen {
            self.assert_seen(seen);
        }
        assert_whole(&found.contents, &self.before.contents, &self.now.contents);
    }

    /// Runs the copy to its end and checks that nothing tells it from one that never died.
    pub(crate) fn finish(&self) {
        self.copy().expect(0);
        self.check_whole();
    }

    /// Checks a target whose copy has ended clean.
    pub(crate) fn check_whole(&self) {
        let [from, to] = self.addresses();
        self.cli.run(&["verify", &from, &to]).expect(0);
        self.check_source();
        self.target.assert_tidy();
        let found = self.target.look(self.pair).expect("a target");
        assert_eq!(found.contents, self.now.contents);
        if let Some(seen) = found.seen {
            assert_eq!(seen, self.now.seen);
        }
        match &self.target {
            Target::File(file) if self.pair.home => {
                assert_same_rows(file, &self.pair.official(self.age));
            }
            _ => {}
        }
    }

    /// Copies a target on into a file of LangGraph's, which has to hold the original's rows.
    pub(crate) fn assert_comes_home(&self) {
        let [_, to] = self.addresses();
        self.cli.run(&["copy", &to, "langgraph+sqlite:home.db"]).expect(0);
        assert_same_rows(&self.cli.path("home.db"), &self.pair.official(self.age));
    }

    fn check_source(&self) {
        let now = folder(&self.cli.path("source"));
        assert_eq!(names(&now), [self.pair.names()[0].1], "the source's folder has changed");
        let unchanged = fs::read(self.pair.source(self.age)).unwrap();
        assert!(now.values().next() == Some(&unchanged), "the source has changed");
    }
}

/// Panics unless each unit is as it was before or as it is now, and none is missing that was both.
fn assert_whole<T: PartialEq + std::fmt::Debug>(
    found: &BTreeMap<String, T>,
    before: &BTreeMap<String, T>,
    now: &BTreeMap<String, T>,
) {
    for name in found.keys().chain(before.keys()).chain(now.keys()) {
        let is = found.get(name);
        let allowed = [before.get(name), now.get(name)];
        assert!(allowed.contains(&is), "half a unit: {name} is {is:?}, not one of {allowed:?}");
    }
}

/// Reads what a source holds, once for all tests.
fn held(pair: Pair, age: Age) -> Held {
    static READ: Mutex<Vec<(Pair, Age, Held)>> = Mutex::new(Vec::new());
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((.., held)) = read.iter().find(|(p, a, _)| (*p, *a) == (pair, age)) {
        return held.clone();
    }
    let (layout, _) = pair.names()[0];
    let address = |path: &Path| format!("{layout}+sqlite:{}", path.display());
    let held = Held {
        contents: contents(&address(&pair.source(age))),
        threads: threads(&pair.official(age)),
        seen: if pair.served && pair.home { copied(pair, age) } else { Seen::new() },
    };
    read.push((pair, age, held.clone()));
    held
}

/// Tells how PostgresSaver sees a source that was copied without a disturbance.
fn copied(pair: Pair, age: Age) -> Seen {
    let (cli, database) = (Cli::new(env!("CARGO_BIN_EXE_restow")), Database::create());
    let database = database.expect("asked before");
    let from = format!("parts+sqlite:{}", pair.source(age).display());
    cli.run(&["copy", &from, &database.address("langgraph")]).expect(0);
    served::seen(&mut database.connect())
}
