//! Measures `restow copy` beside the raw reading of the same file and beside a loop over the
//! official savers, in one run, as ratios; sizes, growth and memory too.
#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Parser, Subcommand};
use restow_testkit::bench::BenchOptions;
use restow_testkit::generate::{self, Figures};
use restow_testkit::measure::{self, Measure, Sample};
use restow_testkit::reading;

/// Measures a release build and prints a table.
///
/// Files are made in a folder of their own below `TMPDIR`, about five times the source's size, and
/// read from a warm cache.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    bench: BenchOptions,
    /// Only this source: agent or chat.
    #[arg(long)]
    source: Option<String>,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What the bench runs as programs of their own, to be bound to one core.
#[derive(Debug, Subcommand)]
enum Part {
    /// Reads, parses and hashes every record of a store.
    Scan {
        /// The store.
        store: PathBuf,
    },
    /// Reads single checkpoints, drawn at random, and prints the median and the 99th percentile.
    Get {
        /// The store.
        store: PathBuf,
    },
}

/// How many single checkpoints are read.
const SINGLE_READS: usize = 1000;

/// A source of the bench.
struct Source {
    name: &'static str,
    threads: u64,
    turns: u64,
    write: fn(&Path, u64, u64, u64) -> Figures,
}

const SOURCES: [Source; 2] = [
    Source { name: "agent", threads: 100, turns: 20, write: generate::agent },
    Source { name: "chat", threads: 4, turns: 250, write: generate::chat },
];

/// What every measure needs.
struct Bench {
    restow: PathBuf,
    options: Options,
    folder: tempfile::TempDir,
}

fn main() {
    let options = Options::parse();
    match &options.part {
        Some(Part::Scan { store }) => return println!("{:?}", reading::read_all(store)),
        Some(Part::Get { store }) => {
            let times = reading::read_some(store, SINGLE_READS);
            let at = |share: usize| times[(times.len() - 1) * share / 100] * 1000.0;
            return println!("p50 {:.3} ms, p99 {:.3} ms", at(50), at(99));
        }
        None => {}
    }
    let restow = options.bench.begin();
    let folder = tempfile::tempdir().expect("make a folder");
    let bench = Bench { restow, options, folder };
    for source in &SOURCES {
        if bench.options.source.as_deref().is_none_or(|name| name == source.name) {
            bench.measure(source);
        }
    }
}

impl Bench {
    fn measure(&self, source: &Source) {
        let turns = self.options.bench.turns(source.turns);
        let path = self.folder.path().join(format!("{}.sqlite", source.name));
        let figures = (source.write)(&path, source.threads, turns, 1);
        println!("\n{}: {} threads x {turns} turns, {figures}", source.name, source.threads);

        let made = self.target();
        let mut measures = vec![
            raw(&path),
            scan("read + parse + hash, 1 core", &path),
            self.copy(&path, Some(1)),
            self.copy(&path, None),
            scan("the same of the copy, 1 core", &made),
            self.copy_official(&path),
        ];
        for relaxed in [false, true] {
            measures.extend(self.official_loop(&path, relaxed));
        }
        measure::take_turns(&mut measures, self.options.bench.rounds);
        print_table(&measures, figures.bytes);
        let made = measures[3].median().made;
        self.singles(&path);
        self.growth(source, turns, &path, made);
        fs::remove_file(&path).expect("remove the source");
    }

    /// `restow copy` into parts, with so many workers or as many as it chooses.
    fn copy<'a>(&'a self, path: &'a Path, jobs: Option<u16>) -> Measure<'a> {
        let name = if jobs.is_some() { "restow copy --jobs 1" } else { "restow copy" };
        let shown = format!("{:?}", self.copy_command(path, jobs));
        Measure::new(name, shown, move || self.copy_once(path, jobs))
    }

    fn copy_once(&self, path: &Path, jobs: Option<u16>) -> Sample {
        self.clear();
        let (_, sample) = measure::child(self.copy_command(path, jobs));
        Sample { made: size(&self.target()), ..sample }
    }

    fn copy_command(&self, path: &Path, jobs: Option<u16>) -> Command {
        let mut command = Command::new(&self.restow);
        command.arg("copy").arg(path).arg(self.target());
        if let Some(jobs) = jobs {
            command.args(["--jobs", &jobs.to_string()]);
        }
        command
    }

    /// A copy as a user's script would make it: `list`, then `put` and `put_writes`.
    ///
    /// It waits for the disk at every checkpoint unless it is relaxed, which is the fairer peer.
    fn official_loop<'a>(&'a self, path: &'a Path, relaxed: bool) -> Option<Measure<'a>> {
        let python = self.options.bench.python.as_ref()?;
        let target = self.target().with_file_name("looped.sqlite");
        let command = move || {
            let mut command = Command::new(python);
            command.arg(&self.options.bench.judge).arg("loop").arg(path).arg(&target);
            command.args(relaxed.then_some("--relaxed")).env("PYTHONDONTWRITEBYTECODE", "1");
            command
        };
        let shown = format!("{:?}", command());
        let made = self.target().with_file_name("looped.sqlite");
        let name = if relaxed { "the same, synchronous=OFF" } else { "loop over official savers" };
        Some(Measure::new(name, shown, move || {
            self.clear();
            let (outcome, sample) = measure::child(command());
            // Its own account leaves out the start of Python and the copy that it works on.
            Sample { seconds: seconds_in(&outcome.out), made: size(&made), ..sample }
        }))
    }

    /// `restow copy` into LangGraph's own layout: what the loop over its savers does.
    fn copy_official<'a>(&'a self, path: &'a Path) -> Measure<'a> {
        let target = self.target().with_file_name("official.sqlite");
        let address = format!("langgraph+sqlite:{}", target.display());
        let command = move || {
            let mut command = Command::new(&self.restow);
            command.arg("copy").arg(path).arg(&address);
            command
        };
        let shown = format!("{:?}", command());
        Measure::new("restow copy, SQLite to SQLite", shown, move || {
            self.clear();
            let (_, sample) = measure::child(command());
            Sample { made: size(&target), ..sample }
        })
    }

    /// Prints how long it takes to read one checkpoint of the copy.
    fn singles(&self, path: &Path) {
        self.copy_once(path, None);
        let this = std::env::current_exe().expect("this program");
        let mut command = Command::new(this);
        command.arg("get").arg(self.target());
        println!("  $ {command:?}");
        let (outcome, _) = measure::child(command);
        println!("  one checkpoint of the copy: {}", outcome.out.trim());
    }

    /// Prints how source and target grow from half the turns to all of them.
    fn growth(&self, source: &Source, turns: u64, full: &Path, full_target: u64) {
        let path = full.with_file_name("half.sqlite");
        let half = (source.write)(&path, source.threads, turns / 2, 1);
        let half_target = self.copy_once(&path, None).made;
        let full = size(full);
        println!("  twice the turns:");
        for (name, half, full) in
            [("source", half.bytes, full), ("restow copy", half_target, full_target)]
        {
            let ratio = full as f64 / half as f64;
            println!("    {name:<28} {:>9.1} -> {:.1} MB, x {ratio:.2}", mb(half), mb(full));
        }
        fs::remove_file(path).expect("remove the half source");
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("made").join("out.restow")
    }

    /// Makes the folder of targets empty: an old target would be brought up to date, not made.
    fn clear(&self) {
        let folder = self.folder.path().join("made");
        if folder.exists() {
            fs::remove_dir_all(&folder).expect("remove the last target");
        }
        fs::create_dir(&folder).expect("make the folder of targets");
    }
}

/// The raw limit: the file's bytes, read once.
fn raw(path: &Path) -> Measure<'_> {
    let shown = format!("read {} in pieces of 1 MiB", path.display());
    Measure::new("raw read of the file", shown, move || measure::read_once(path))
}

/// Every record of a store through the library, on one core.
fn scan<'a>(name: &'static str, path: &Path) -> Measure<'a> {
    let this = std::env::current_exe().expect("this program");
    let path = path.to_path_buf();
    let command = move || {
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(&this).arg("scan").arg(&path);
        command
    };
    let shown = format!("{:?}", command());
    Measure::new(name, shown, move || measure::child(command()).1)
}

fn print_table(measures: &[Measure<'_>], bytes: u64) {
    for measure in measures {
        println!("  $ {}", measure.command);
    }
    let raw = measures[1].median().seconds;
    // The last is the relaxed loop, where there is one at all.
    let loops = measures.last().map(|m| m.median().seconds).filter(|_| measures.len() > 6);
    let (times, rates) = ("x read", "loop/x");
    println!(
        "  {:<30} {:>8} {:>15} {:>8} {times:>8} {rates:>8} {:>8} {:>9}",
        "measure", "seconds", "from-to", "MB/s", "peak MB", "made MB"
    );
    for measure in measures {
        let median = measure.median();
        let (from, to) = measure.range();
        let ratio = loops.map_or("-".to_owned(), |l| format!("{:.1}", l / median.seconds));
        let shown =
            |figure: u64| if figure == 0 { "-".into() } else { format!("{:.1}", mb(figure)) };
        println!(
            "  {:<30} {:>8.3} {:>15} {:>8.0} {:>8.1} {ratio:>8} {:>8} {:>9}",
            measure.name,
            median.seconds,
            format!("{from:.3}-{to:.3}"),
            mb(bytes) / median.seconds,
            median.seconds / raw,
            shown(median.peak_memory),
            shown(median.made)
        );
    }
}

/// The number behind `"seconds":` in a line of JSON.
fn seconds_in(text: &str) -> f64 {
    let (_, after) = text.split_once("\"seconds\":").expect("an account of the loop");
    let number: String = after
        .trim_start()
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == '.' || *c == 'e' || *c == '-')
        .collect();
    number.parse().expect("a number of seconds")
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
