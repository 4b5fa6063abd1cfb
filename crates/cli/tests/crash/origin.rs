//! The sources that are copied: small threads, or one thread that outgrows a batch; in either
//! layout; as they were, and as they are after the application went on. The target is another
//! file, or a database on a server.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use restow_testkit::cli::Cli;
use restow_testkit::generate;
use rusqlite::Connection;

/// Which copy dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    /// Back from parts to LangGraph's own layout.
    pub(crate) home: bool,
    /// One unit that no batch holds, so that it is staged.
    pub(crate) large: bool,
    /// The target lies on a server.
    pub(crate) served: bool,
}

/// When the source is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    Before,
    /// Threads have grown, one is gone and one is new.
    After,
}

/// A unit that is written at once holds 8 MiB; the thread below is staged in several shares.
const LARGE_BYTES: u64 = 9_200_000;
const LARGER_BYTES: u64 = 10_000_000;
const SEED: u64 = 11;

impl Pair {
    /// Copies from file to file.
    pub(crate) const FILES: [Pair; 4] = Pair::kinds(false);

    const fn kinds(served: bool) -> [Pair; 4] {
        [
            Pair { home: false, large: false, served },
            Pair { home: true, large: false, served },
            Pair { home: false, large: true, served },
            Pair { home: true, large: true, served },
        ]
    }

    /// Returns the copies from a file to a server; none where this run was told to do without.
    pub(crate) fn served() -> impl Iterator<Item = Pair> {
        let server = restow_testkit::postgres::server();
        server.into_iter().flat_map(|_| Pair::kinds(true))
    }

    /// Returns every copy that this run can try.
    pub(crate) fn all() -> impl Iterator<Item = Pair> {
        Pair::FILES.into_iter().chain(Pair::served())
    }

    /// Returns the layouts of source and target, and the names that their files have or would have.
    pub(crate) fn names(self) -> [(&'static str, &'static str); 2] {
        let (langgraph, parts) = (("langgraph", "agent.db"), ("parts", "a.restow"));
        if self.home { [parts, langgraph] } else { [langgraph, parts] }
    }

    /// Returns a source file, made once; nobody writes to it.
    pub(crate) fn source(self, age: Age) -> PathBuf {
        originals().join(format!("{age:?}-{}-{}", self.large, self.names()[0].1))
    }

    /// Returns the LangGraph file that the source holds or came from.
    pub(crate) fn official(self, age: Age) -> PathBuf {
        Pair { home: false, ..self }.source(age)
    }
}

fn originals() -> &'static Path {
    static MADE: OnceLock<tempfile::TempDir> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        for large in [false, true] {
            for age in [Age::Before, Age::After] {
                make(folder.path(), large, age);
            }
        }
        folder
    })
    .path()
}

fn make(folder: &Path, large: bool, age: Age) {
    let path = |home: bool, age: Age| {
        let pair = Pair { home, large, served: false };
        folder.join(format!("{age:?}-{large}-{}", pair.names()[0].1))
    };
    let official = path(false, age);
    match (large, age) {
        (true, Age::Before) => generate::long_thread(&official, LARGE_BYTES, SEED),
        (true, Age::After) => generate::long_thread(&official, LARGER_BYTES, SEED),
        (false, Age::Before) => generate::agent(&official, 4, 1, SEED),
        (false, Age::After) => generate::agent(&official, 5, 2, SEED),
    };
    if (large, age) == (false, Age::After) {
        forget_a_thread(&official);
    }
    generate::mark_write_ahead(&official);
    // The compact source was brought up to date as its owner would: by copying once more.
    let cli = Cli::new(env!("CARGO_BIN_EXE_restow"));
    let (from, to) = (cli.path("agent.db"), cli.path("a.restow"));
    let ages = [Age::Before, Age::After];
    for age in ages.iter().take_while(|a| **a == Age::Before || age == Age::After) {
        fs::copy(path(false, *age), &from).unwrap();
        cli.run(&["copy", "--jobs", "1", "agent.db", "a.restow"]).expect(0);
    }
    fs::copy(to, path(true, age)).unwrap();
}

fn forget_a_thread(path: &Path) {
    let connection = Connection::open(path).unwrap();
    let oldest = "(SELECT thread_id FROM checkpoints ORDER BY rowid LIMIT 1)";
    let sql = format!(
        "CREATE TEMP TABLE gone AS SELECT thread_id FROM {oldest};
         DELETE FROM checkpoints WHERE thread_id IN (SELECT thread_id FROM gone);
         DELETE FROM writes WHERE thread_id IN (SELECT thread_id FROM gone);"
    );
    connection.execute_batch(&sql).unwrap();
    connection.close().map_err(|(_, error)| error).unwrap();
}
