//! What the tests of the command line share: an application's folder, which no command may change,
//! and transcripts fit for a snapshot.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use restow_testkit::cli::{Cli, Outcome};
use rusqlite::Connection;
use serde_json::Value;

/// Where the binary lies.
pub(crate) const RESTOW: &str = env!("CARGO_BIN_EXE_restow");
/// The application's file, seen from the working directory.
pub(crate) const APP: &str = "app/agent.db";

const WIDTH: usize = 90;

/// An environment with an application's file in a folder of its own.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) cli: Cli,
}

impl World {
    /// Makes the application's file.
    pub(crate) fn new(make: impl FnOnce(&Path)) -> Self {
        let cli = Cli::new(RESTOW);
        fs::create_dir(cli.path("app")).unwrap();
        make(&cli.path(APP));
        Self { cli }
    }

    /// Takes an example for the application's file.
    pub(crate) fn example(name: &str) -> Self {
        Self::new(|path| {
            fs::copy(example(name), path).unwrap();
        })
    }

    /// Takes the newest example and changes it by SQL.
    pub(crate) fn altered(sql: &str) -> Self {
        let world = Self::example("agent.sqlite");
        let connection = world.app();
        connection.execute_batch(sql).unwrap();
        connection.close().unwrap();
        world
    }

    /// Opens the application's file, to change it.
    pub(crate) fn app(&self) -> Connection {
        open(&self.cli.path(APP))
    }

    /// Runs restow, which has to leave the application's folder alone.
    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        let before = Folder::look(&self.cli.path("app"));
        let outcome = self.cli.run(args);
        before.assert_same();
        outcome
    }

    /// Runs restow likewise and returns what a person sees.
    pub(crate) fn transcript(&self, args: &[&str]) -> String {
        let before = Folder::look(&self.cli.path("app"));
        let shown = self.cli.transcript(args);
        before.assert_same();
        folded(&shown)
    }

    /// Runs restow with `--json`, to an exit code, and returns the last object that it prints.
    pub(crate) fn json(&self, args: &[&str], code: i32) -> Value {
        let outcome = self.run(&[args, &["--json"]].concat()).expect(code);
        serde_json::from_str(outcome.out.lines().last().unwrap()).unwrap()
    }
}

/// A folder as it was: names, bytes, moments of the last change.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    files: BTreeMap<String, (u64, u64, SystemTime)>,
}

impl Folder {
    /// Looks at a folder.
    pub(crate) fn look(path: &Path) -> Self {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let about = entry.metadata().unwrap();
            let content = if about.is_file() { hash(&entry.path()) } else { 0 };
            let name = entry.file_name().to_string_lossy().into_owned();
            files.insert(name, (about.len(), content, about.modified().unwrap()));
        }
        Self { path: path.into(), files }
    }

    /// Returns the names.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.files.keys().map(String::as_str).collect()
    }

    /// Panics where the folder is no longer the same.
    #[track_caller]
    pub(crate) fn assert_same(&self) {
        assert_eq!(self.files, Self::look(&self.path).files, "{}", self.path.display());
    }
}

fn hash(path: &Path) -> u64 {
    let mut file = fs::File::open(path).unwrap();
    let (mut hasher, mut piece) = (DefaultHasher::new(), vec![0; 1 << 20]);
    while let count @ 1.. = file.read(&mut piece).unwrap() {
        hasher.write(&piece[..count]);
    }
    hasher.finish()
}

/// Returns the path of an example.
pub(crate) fn example(name: &str) -> PathBuf {
    workspace().join("examples").join(name)
}

/// Returns the root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Opens a database.
pub(crate) fn open(path: &Path) -> Connection {
    Connection::open(path).unwrap()
}

/// Returns the one number that a query gives.
pub(crate) fn number(path: &Path, sql: &str) -> u64 {
    let found: i64 = open(path).query_row(sql, [], |row| row.get(0)).unwrap();
    found.try_into().unwrap()
}

/// Folds long lines, with a backslash where they go on.
pub(crate) fn folded(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut rest = line.trim_end();
        while rest.chars().count() > WIDTH {
            let end = rest.char_indices().nth(WIDTH).map_or(rest.len(), |(at, _)| at);
            let blank = rest[..end].rfind(' ').filter(|at| *at > WIDTH / 2);
            // JSON has few blanks: it goes on behind a comma.
            let comma = rest[..end].rfind(',').map(|at| at + 1);
            let at = blank.or(comma).unwrap_or(end);
            out += &format!("{} \\\n    ", rest[..at].trim_end());
            rest = rest[at..].trim_start();
        }
        out += &format!("{rest}\n");
    }
    out
}

/// Hides the numbers of estimates: those of a parts file differ a little from run to run.
pub(crate) fn unestimated(text: &str) -> String {
    let is_estimate = |line: &str| {
        let key = line.split(' ').next().unwrap_or_default();
        line.contains("(an estimate)") || key.ends_with("_estimate")
    };
    let hidden = |line: &str| {
        let mut out = String::new();
        for c in line.chars() {
            match c.is_ascii_digit() || (c == '.' && out.ends_with('#')) {
                true if out.ends_with('#') => {}
                true => out.push('#'),
                false => out.push(c),
            }
        }
        out
    };
    let line = |line: &str| if is_estimate(line) { hidden(line) } else { line.to_owned() };
    text.lines().map(|text| line(text) + "\n").collect()
}
