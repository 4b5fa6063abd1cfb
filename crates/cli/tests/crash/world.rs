//! One copy: its source, its target, and what has to hold of both whenever it died.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use restow_testkit::cli::{Cli, Outcome};

use crate::origin::{Age, Pair};
use crate::stores::{
    Contents, Threads, assert_same_rows, contents, folder, is_blank, staged_rows, threads,
};

/// What a source holds.
#[derive(Clone, Debug, Default)]
struct Held {
    contents: Contents,
    threads: Threads,
}

/// A source and a target, each in a folder of its own.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) cli: Cli,
    pub(crate) pair: Pair,
    /// What the target held when the source went on; nothing at first.
    before: Held,
    now: Held,
    age: Age,
}

impl World {
    /// A source and no target yet.
    pub(crate) fn new(pair: Pair) -> Self {
        let cli = Cli::new(env!("CARGO_BIN_EXE_restow"));
        for name in ["source", "target"] {
            fs::create_dir(cli.path(name)).unwrap();
        }
        let age = Age::Before;
        let mut world = Self { cli, pair, before: Held::default(), now: Held::default(), age };
        world.put_source();
        world
    }

    /// A source that went on after it was copied.
    pub(crate) fn moved_on(pair: Pair) -> Self {
        let mut world = Self::new(pair);
        world.finish();
        world.before = std::mem::take(&mut world.now);
        world.age = Age::After;
        world.put_source();
        world
    }

    fn put_source(&mut self) {
        fs::copy(self.pair.source(self.age), self.source()).unwrap();
        self.now = held(self.pair, self.age);
    }

    fn source(&self) -> PathBuf {
        self.cli.path("source").join(self.pair.names()[0].1)
    }

    fn target(&self) -> PathBuf {
        self.cli.path("target").join(self.pair.names()[1].1)
    }

    /// Returns both addresses, as the command line takes them.
    pub(crate) fn addresses(&self) -> [String; 2] {
        let [(from, source), (to, target)] = self.pair.names();
        [format!("{from}:source/{source}"), format!("{to}:target/{target}")]
    }

    /// Copies in one lane, so that each run passes the same points in the same order.
    pub(crate) fn copy_in_order(&self) -> Outcome {
        let [from, to] = self.addresses();
        self.cli.run(&["copy", "--jobs", "1", &from, &to])
    }

    fn copy(&self) -> Outcome {
        let [from, to] = self.addresses();
        self.cli.run(&["copy", &from, &to])
    }

    /// Kills a copy so long after its start; says whether it was still running.
    pub(crate) fn kill_after(&self, moment: Duration) -> bool {
        let [from, to] = self.addresses();
        let began = Instant::now();
        let mut running = self.cli.spawn(&["copy", &from, &to]);
        running.wait_until(|| began.elapsed() >= moment);
        running.kill().code.is_none()
    }

    /// Checks what a copy that died has left behind.
    pub(crate) fn check_half(&self) {
        self.check_source();
        let left = folder(&self.cli.path("target"));
        // An ordinary connection writes to what it opens, so it is given another copy of it.
        let aside = tempfile::tempdir().unwrap();
        for (name, bytes) in &left {
            fs::write(aside.path().join(name), bytes).unwrap();
        }
        let aside = aside.path().join(self.pair.names()[1].1);
        if is_blank(&aside) {
            assert!(self.before.contents.is_empty(), "everything is gone");
            return;
        }
        if self.pair.home {
            assert_whole(&threads(&aside), &self.before.threads, &self.now.threads);
        }
        let address = format!("{}:{}", self.pair.names()[1].0, self.target().display());
        assert_whole(&contents(&address), &self.before.contents, &self.now.contents);
        let after = folder(&self.cli.path("target"));
        assert!(left == after, "reading changed {:?} to {:?}", names(&left), names(&after));
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
        let name = self.pair.names()[1].1;
        let expected = [name.to_owned(), format!("{name}.ledger"), format!("{name}.ledger.lock")];
        assert_eq!(names(&folder(&self.cli.path("target"))), expected);
        let address = format!("{}:{}", self.pair.names()[1].0, self.target().display());
        assert_eq!(contents(&address), self.now.contents);
        assert_eq!(staged_rows(&self.target()), 0, "staged rows stayed behind");
        if self.pair.home {
            assert_same_rows(&self.target(), &self.pair.official(self.age));
        }
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

fn names(folder: &BTreeMap<String, Vec<u8>>) -> Vec<&str> {
    folder.keys().map(String::as_str).collect()
}

/// Reads what a source holds, once for all tests.
fn held(pair: Pair, age: Age) -> Held {
    static READ: Mutex<Vec<(Pair, Age, Held)>> = Mutex::new(Vec::new());
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((.., held)) = read.iter().find(|(p, a, _)| (*p, *a) == (pair, age)) {
        return held.clone();
    }
    let (layout, _) = pair.names()[0];
    let address = |path: &Path| format!("{layout}:{}", path.display());
    let held = Held {
        contents: contents(&address(&pair.source(age))),
        threads: threads(&pair.official(age)),
    };
    read.push((pair, age, held.clone()));
    held
}
