//! Measures copies into PostgreSQL beside psql's bare `\copy` of the rows that result, in turns,
//! as ratios; a loop over the official savers once, where there is a Python with them.
#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use restow_testkit::bench::BenchOptions;
use restow_testkit::generate;
use restow_testkit::measure::{self, Measure, Sample};
use restow_testkit::postgres::Database;

/// The tables, in the order in which rows need each other.
const TABLES: [&str; 3] = ["checkpoint_blobs", "checkpoint_writes", "checkpoints"];

/// Measures a release build against the server that RESTOW_TEST_POSTGRES names, and prints tables.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    bench: BenchOptions,
}

struct Bench {
    restow: PathBuf,
    options: BenchOptions,
    folder: tempfile::TempDir,
}

fn main() {
    let options = Options::parse().bench;
    let restow = options.begin();
    let bench = Bench { restow, options, folder: tempfile::tempdir().expect("a folder") };
    let file = |name: &str| bench.folder.path().join(name);
    let (agent, chat) = (file("agent.sqlite"), file("chat.sqlite"));
    println!("agent: {}", generate::agent(&agent, 100, bench.options.turns(20), 1));
    println!("chat: {}", generate::chat(&chat, 4, bench.options.turns(250), 1));
    for source in [&agent, &chat] {
        for lz4 in [false, true] {
            bench.table(source, lz4);
        }
    }
    bench.ways_home(&agent);
}

impl Bench {
    fn table(&self, source: &Path, lz4: bool) {
        let name = source.file_stem().unwrap_or_default().display();
        let compression = if lz4 { "lz4" } else { "the server's default" };
        println!("\n{name}, compression of values: {compression}");
        let exported = self.export(source, lz4);
        let mut measures = vec![
            Measure::new("psql \\copy", "psql -c '\\copy …'".into(), || {
                let database = self.prepared();
                self.psql(&database, &exported, "from", lz4)
            }),
            self.copy("restow copy --jobs 1", source, 1, lz4),
            self.copy("restow copy --jobs 2", source, 2, lz4),
        ];
        measure::take_turns(&mut measures, self.options.rounds);
        let bare = measures[0].median().seconds;
        print(&measures, bare);
        if let Some(python) = self.options.python.as_ref().filter(|_| !lz4) {
            let mut looped = vec![Measure::new("loop over official savers", String::new(), || {
                let database = Database::create().expect("a server");
                let mut command = Command::new(python);
                command.arg(&self.options.judge).arg("loop").arg(source).arg(database.url());
                measure::child(command).1
            })];
            measure::take_turns(&mut looped, 1);
            print(&looped, bare);
        }
    }

    /// Copies out of PostgreSQL, and into its compact store, once each.
    fn ways_home(&self, source: &Path) {
        println!("\nonce each");
        let database = Database::create().expect("a server");
        let (tables, parts) = (database.address("langgraph"), database.address("parts"));
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let from = source.display().to_string();
        for (from, to) in [
            (from.clone(), tables.clone()),
            (tables.clone(), format!("langgraph+sqlite:{}", file("home.sqlite"))),
            (tables, format!("parts+sqlite:{}", file("home.restow"))),
            (from, parts),
        ] {
            let sample = self.run(&from, &to, 2);
            let ends = [&from, &to].map(|end| end.split("//").next().unwrap_or(end).to_owned());
            println!("  {} -> {}: {:.2} s", shorter(&ends[0]), shorter(&ends[1]), sample.seconds);
        }
    }

    fn copy<'a>(
        &'a self,
        name: &'static str,
        source: &'a Path,
        jobs: u16,
        lz4: bool,
    ) -> Measure<'a> {
        Measure::new(name, String::new(), move || {
            let database = Database::create().expect("a server");
            database.connect().batch_execute("CHECKPOINT").expect("a checkpoint");
            self.run(&source.display().to_string(), &address(&database, lz4), jobs)
        })
    }

    fn run(&self, source: &str, target: &str, jobs: u16) -> Sample {
        let ledger = self.folder.path().join("bench.ledger");
        for file in [&ledger, &ledger.with_extension("ledger.lock")] {
            let _ = fs::remove_file(file);
        }
        let mut command = Command::new(&self.restow);
        command.args(["copy", source, target, "--jobs", &jobs.to_string(), "--ledger"]);
        command.arg(&ledger);
        measure::child(command).1
    }

    /// Makes a database with LangGraph's tables and indexes.
    fn prepared(&self) -> Database {
        let database = Database::create().expect("a server");
        let mut command = Command::new(&self.restow);
        command.args(["schema", "up", &database.address("langgraph")]);
        measure::child(command);
        database.connect().batch_execute("CHECKPOINT").expect("a checkpoint");
        database
    }

    /// Writes the rows of a copy as files, once.
    fn export(&self, source: &Path, lz4: bool) -> PathBuf {
        let database = Database::create().expect("a server");
        self.run(&source.display().to_string(), &address(&database, lz4), 2);
        let folder = self.folder.path().to_owned();
        self.psql(&database, &folder, "to", lz4);
        folder
    }

    fn psql(&self, database: &Database, folder: &Path, way: &str, lz4: bool) -> Sample {
        let mut command = Command::new("psql");
        command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &database.url()]);
        if lz4 {
            command.env("PGOPTIONS", "-c default_toast_compression=lz4");
        }
        for table in TABLES {
            let file = folder.join(table).display().to_string();
            command.args(["-c", &format!("\\copy {table} {way} '{file}' with (format binary)")]);
        }
        measure::child(command).1
    }
}

fn address(database: &Database, lz4: bool) -> String {
    let address = database.address("langgraph");
    match (lz4, address.contains('?')) {
        (false, _) => address,
        (true, true) => format!("{address}&toast_compression=lz4"),
        (true, false) => format!("{address}?toast_compression=lz4"),
    }
}

fn shorter(address: &str) -> &str {
    let layout = address.split(':').next().unwrap_or(address);
    if layout.contains('+') { layout } else { "langgraph+sqlite" }
}

fn print(measures: &[Measure<'_>], bare: f64) {
    for measure in measures {
        let median = measure.median();
        let (from, to) = measure.range();
        println!(
            "  {:<28} {:>8.2} s  ({from:.2}-{to:.2})  {:>6.2} x \\copy  peak {:>6.1} MB",
            measure.name,
            median.seconds,
            median.seconds / bare,
            median.peak_memory as f64 / 1e6
        );
    }
}
