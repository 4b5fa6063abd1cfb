//! Tables about LangGraph's databases in PostgreSQL, put back after each damage.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use restow_testkit::cli::Cli;
use restow_testkit::damage::{BESIDE_POSTGRES, Hit, LANGGRAPH_POSTGRES, Statement};
use restow_testkit::generate;
use restow_testkit::postgres::Database;

use crate::bench::{Side, THREADS};
use crate::said::{copy, verify};
use crate::section::{SEEDS, Section, cell};

const PARTS: &str = "parts+sqlite:a.restow";
const SEED: u64 = 7;

/// A database, what it was when it was sound, and the other side of its copy.
struct Bench {
    cli: Cli,
    database: Database,
    sound: Database,
    /// Files of the other side and the account of the copy, as the clean copy left them.
    files: BTreeMap<PathBuf, Vec<u8>>,
    side: Side,
}

/// Damages rows of LangGraph's tables.
pub(crate) fn rows(side: Side) -> Section {
    table("Rows", side, LANGGRAPH_POSTGRES)
}

/// Damages what restow keeps beside them.
pub(crate) fn beside() -> Section {
    table("Rows beside those", Side::Target, BESIDE_POSTGRES)
}

fn table(what: &str, side: Side, list: &[Statement]) -> Section {
    let bench = Bench::new(side);
    let mut section = Section::titled(what, "langgraph+postgres", side);
    for damage in list {
        let cells = section.cells(SEEDS.map(|seed| bench.check(damage, seed)));
        section.rows.push((damage.name, damage.structural, cells));
    }
    section
}

impl Bench {
    fn new(side: Side) -> Self {
        let cli = Cli::new(env!("CARGO_BIN_EXE_restow"));
        let made = || Database::create().expect("asked before");
        let (database, sound) = (made(), made());
        generate::agent(&cli.path("agent.db"), THREADS, 2, SEED);
        let mut bench = Self { cli, database, sound, files: BTreeMap::new(), side };
        let there = bench.database.address("langgraph");
        let copies = match side {
            Side::Source => [("agent.db", &*there), (&*there, PARTS)],
            Side::Target => [("agent.db", PARTS), (PARTS, &*there)],
        };
        for (from, to) in copies {
            let said = copy(&bench.cli, from, to);
            assert_eq!(said.code, 0, "{}", said.all);
        }
        bench.sound.become_copy_of(&bench.database);
        let state = bench.cli.home().join(".local/state/restow");
        for folder in [bench.cli.dir(), state] {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                bench.files.insert(path.clone(), fs::read(path).unwrap());
            }
        }
        bench
    }

    fn addresses(&self) -> [String; 2] {
        let there = self.database.address("langgraph");
        match self.side {
            Side::Source => [there, PARTS.to_owned()],
            Side::Target => [PARTS.to_owned(), there],
        }
    }

    /// Puts everything back, and damages the database.
    fn harm(&self, damage: &Statement, seed: u64) -> Hit {
        self.database.become_copy_of(&self.sound);
        for (path, bytes) in &self.files {
            fs::write(path, bytes).unwrap();
        }
        damage.apply(&mut self.database.connect(), seed)
    }

    /// Damages the database and holds every check against it.
    fn check(&self, damage: &Statement, seed: u64) -> Vec<String> {
        let [from, to] = self.addresses();
        let hit = self.harm(damage, seed);
        let mut cells = Vec::new();
        if self.side == Side::Source {
            // A target of its own, which nothing was copied to.
            let name = "parts+sqlite:first.restow";
            let said = copy(&self.cli, &from, name);
            for ending in ["", ".ledger", ".ledger.lock"] {
                let _ = fs::remove_file(self.cli.path(format!("first.restow{ending}")));
            }
            if let Some(report) = said.report.as_ref().filter(|_| said.code == 3) {
                let failures = report["failures"].as_array().unwrap().len() as u64;
                assert_eq!(report["units"]["copied"], THREADS - failures, "{}", said.all);
            }
            cells.push(cell(&said, &hit));
        }
        cells.push(cell(&verify(&self.cli, &from, &to), &hit));
        cells.push(cell(&copy(&self.cli, &from, &to), &hit));
        cells
    }
}
