//! Official software judges: what restow copies is what LangGraph wrote, and goes on from there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends loudly")]

mod backup;
#[path = "../common/mod.rs"]
mod common;
mod live;
mod migrate;
mod native;
mod pairs;
mod places;
mod round_trip;

use std::path::{Path, PathBuf};

use common::workspace;
use restow_testkit::official;

/// The official packages, and the script that asks them.
struct Judge {
    python: PathBuf,
    script: PathBuf,
}

impl Judge {
    /// Finds the judge; nothing where this run was told to do without.
    fn find() -> Option<Self> {
        let python = official::python()?;
        Some(Self { python, script: workspace().join("tests/official/judge.py") })
    }

    /// Asks for a judgement, which has to be a good one.
    fn asked(&self, command: &str, files: &[&Path], options: &[&str]) -> String {
        let files: Vec<&str> = files.iter().map(|path| path.to_str().unwrap()).collect();
        self.says(command, &[&files[..], options].concat())
    }

    /// Asks likewise about places by name.
    fn says(&self, command: &str, args: &[&str]) -> String {
        official::judge(&self.python, &self.script, &[&[command], args].concat())
    }
}
