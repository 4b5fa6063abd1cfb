//! Where a copy ends, and how its readers find it: a file in a folder, or a database.

use std::fs;
use std::path::{Path, PathBuf};

use restow_testkit::cli::Cli;
use restow_testkit::postgres::Database;

use crate::origin::Pair;
use crate::served::{self, Seen};
use crate::stores::{Contents, Threads, contents, folder, is_blank, names, staged_rows, threads};

/// Where a copy ends.
#[derive(Debug)]
pub(crate) enum Target {
    /// A file in a folder of its own.
    File(PathBuf),
    /// A database of its own.
    Served(Database),
}

/// What a target holds, as each of its readers sees it.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) contents: Contents,
    /// As SQLite's own connection sees LangGraph's file.
    pub(crate) threads: Option<Threads>,
    /// As PostgresSaver sees a database.
    pub(crate) seen: Option<Seen>,
}

impl Target {
    /// Makes the place of a target, with nothing in it.
    pub(crate) fn new(pair: Pair, cli: &Cli) -> Self {
        match pair.served {
            true => Self::Served(Database::create().expect("asked before")),
            false => Self::File(cli.path("target").join(pair.names()[1].1)),
        }
    }

    /// Returns the address, as the command line takes it.
    pub(crate) fn address(&self, pair: Pair) -> String {
        let (layout, name) = pair.names()[1];
        match self {
            Self::File(_) => format!("{layout}+sqlite:target/{name}"),
            Self::Served(database) => database.address(layout),
        }
    }

    /// Looks at what a copy has left behind; nothing where not even a table was made.
    pub(crate) fn look(&self, pair: Pair) -> Option<Found> {
        match self {
            Self::File(file) => look_at_file(file, pair),
            Self::Served(database) if served::is_blank(database) => None,
            Self::Served(database) => Some(Found {
                contents: contents(&self.address(pair)),
                threads: None,
                seen: pair.home.then(|| served::seen(&mut database.connect())),
            }),
        }
    }

    /// Panics where a copy that has ended left anything behind but its target and its ledger.
    pub(crate) fn assert_tidy(&self) {
        if let Self::File(file) = self {
            let name = file.file_name().unwrap().to_string_lossy();
            let beside = ["", ".ledger", ".ledger.lock"].map(|end| format!("{name}{end}"));
            assert_eq!(names(&folder(file.parent().unwrap())), beside);
        }
        assert_eq!(self.staged(), 0, "staged rows stayed behind");
    }

    /// Counts the rows of staged copies.
    pub(crate) fn staged(&self) -> i64 {
        match self {
            Self::Served(database) => served::left(database),
            Self::File(file) => staged_rows(file),
        }
    }
}

fn look_at_file(file: &Path, pair: Pair) -> Option<Found> {
    let left = folder(file.parent().unwrap());
    // An ordinary connection writes to what it opens, so it is given another copy of it.
    let aside = tempfile::tempdir().unwrap();
    for (name, bytes) in &left {
        fs::write(aside.path().join(name), bytes).unwrap();
    }
    let aside = aside.path().join(file.file_name().unwrap());
    if is_blank(&aside) {
        return None;
    }
    let contents = contents(&format!("{}+sqlite:{}", pair.names()[1].0, file.display()));
    let after = folder(file.parent().unwrap());
    assert!(left == after, "reading changed {:?} to {:?}", names(&left), names(&after));
    Some(Found { contents, threads: pair.home.then(|| threads(&aside)), seen: None })
}
