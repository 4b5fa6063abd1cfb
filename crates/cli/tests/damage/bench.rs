//! Sound files in a folder, put back after each damage.

use std::collections::BTreeMap;
use std::fs;

use restow_testkit::cli::Cli;
use restow_testkit::generate;
use rusqlite::Connection;

use crate::said::copy;

/// How many threads the sound files hold.
pub(crate) const THREADS: u64 = 4;
const SEED: u64 = 7;

/// Which way a copy goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From LangGraph's own layout to parts.
    Out,
    /// Back.
    Home,
}

/// Which file is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Target,
}

impl Way {
    /// Returns the addresses of source and target.
    pub(crate) fn addresses(self) -> [&'static str; 2] {
        const OFFICIAL: &str = "langgraph+sqlite:agent.db";
        const PARTS: &str = "parts+sqlite:a.restow";
        match self {
            Self::Out => [OFFICIAL, PARTS],
            Self::Home => [PARTS, OFFICIAL],
        }
    }

    /// Returns the file of a side.
    pub(crate) fn file(self, side: Side) -> &'static str {
        let [source, target] = self.addresses();
        let address = if side == Side::Source { source } else { target };
        address.split_once(':').unwrap().1
    }
}

/// A folder, and the sound files that belong into it.
///
/// It stays where it is: the account of a copy knows its stores by their paths.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) cli: Cli,
    pub(crate) way: Way,
    sound: BTreeMap<String, Vec<u8>>,
}

impl Bench {
    /// Makes a source, and a target by a clean copy.
    pub(crate) fn new(way: Way) -> Self {
        let cli = Cli::new(env!("CARGO_BIN_EXE_restow"));
        generate::agent(&cli.path("agent.db"), THREADS, 2, SEED);
        if way == Way::Home {
            assert_eq!(copy(&cli, "agent.db", "a.restow").code, 0);
            for file in ["agent.db", "a.restow.ledger", "a.restow.ledger.lock"] {
                fs::remove_file(cli.path(file)).unwrap();
            }
        }
        let mut bench = Self { cli, way, sound: BTreeMap::new() };
        bench.copy_and_keep();
        bench
    }

    /// Makes a source and a target that followed it once; returns also the target from before.
    ///
    /// It holds one thread: a page that is written again keeps its number only as the last one.
    pub(crate) fn followed() -> (Self, tempfile::TempDir) {
        let cli = Cli::new(env!("CARGO_BIN_EXE_restow"));
        let older = tempfile::tempdir().unwrap();
        generate::agent(&cli.path("agent.db"), 1, 1, SEED);
        let mut bench = Self { cli, way: Way::Out, sound: BTreeMap::new() };
        bench.copy_and_keep();
        fs::copy(bench.cli.path("a.restow"), older.path().join("a.restow")).unwrap();
        fs::remove_file(bench.cli.path("agent.db")).unwrap();
        generate::agent(&bench.cli.path("agent.db"), 1, 2, SEED);
        bench.copy_and_keep();
        (bench, older)
    }

    fn copy_and_keep(&mut self) {
        let [from, to] = self.way.addresses();
        let said = copy(&self.cli, from, to);
        assert_eq!(said.code, 0, "{}", said.all);
        let read = |name: String| (name.clone(), fs::read(self.cli.path(name)).unwrap());
        self.sound = self.cli.files().into_iter().map(read).collect();
    }

    /// Puts the source back, and with it target and account as the clean copy left them.
    pub(crate) fn put(&self, copied: bool) {
        for name in self.cli.files() {
            fs::remove_file(self.cli.path(name)).unwrap();
        }
        let source = self.way.file(Side::Source);
        for (name, bytes) in self.sound.iter().filter(|(name, _)| copied || **name == source) {
            fs::write(self.cli.path(name), bytes).unwrap();
        }
    }

    /// Copies the target of a copy home and panics unless that gives the source's rows, all of
    /// them, to the byte and the storage class.
    pub(crate) fn assert_comes_home(&self) {
        let said = copy(&self.cli, "parts+sqlite:a.restow", "langgraph+sqlite:home.db");
        assert_eq!(said.code, 0, "{}", said.all);
        let connection = Connection::open(self.cli.path("home.db")).unwrap();
        let source = self.cli.path("agent.db");
        connection.execute("ATTACH ? AS source", [source.to_str().unwrap()]).unwrap();
        for (table, columns) in [
            ("checkpoints", "parent_checkpoint_id, type, checkpoint, metadata"),
            ("writes", "task_id, idx, task_path, channel, type, value"),
        ] {
            let columns = format!("thread_id, checkpoint_ns, checkpoint_id, {columns}");
            for (one, two) in [("main", "source"), ("source", "main")] {
                let sql = format!(
                    "SELECT count(*) FROM (SELECT {columns} FROM {one}.{table}
                     EXCEPT SELECT {columns} FROM {two}.{table})"
                );
                let more: i64 = connection.query_row(&sql, [], |row| row.get(0)).unwrap();
                assert_eq!(more, 0, "rows of {one}.{table} that {two} has not");
            }
        }
    }
}
