//! What a command said about a damaged file, in the words of its own report.

use std::collections::BTreeSet;

use restow_testkit::cli::{Cli, Outcome};
use serde_json::Value;

/// What a command said.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    /// The words of its report, worst first; none where all is well.
    pub(crate) words: Vec<String>,
    /// Everything, to look for names.
    pub(crate) all: String,
    /// The report of a copy.
    pub(crate) report: Option<Value>,
}

/// Runs `verify` and returns the kinds of its findings.
pub(crate) fn verify(cli: &Cli, from: &str, to: &str) -> Said {
    let outcome = cli.run(&["--json", "verify", from, to]);
    let report = line(&outcome.out, "verify");
    let words = report.as_ref().map(findings).unwrap_or_default();
    said(outcome, words, None)
}

/// Runs `copy` and returns why units were not copied, what the sweep found, or what was done.
pub(crate) fn copy(cli: &Cli, from: &str, to: &str) -> Said {
    let outcome = cli.run(&["--json", "copy", "--jobs", "1", from, to]);
    let mut words = Vec::new();
    let report = line(&outcome.out, "copy");
    if let Some(report) = &report {
        let failures = report["failures"].as_array().unwrap();
        let what: BTreeSet<&str> = failures.iter().map(|f| f["what"].as_str().unwrap()).collect();
        words.extend(what.into_iter().map(ToOwned::to_owned));
        if words.is_empty() {
            words = findings(&report["sweep"]);
        }
        if words.is_empty() {
            let done = report["units"].as_object().unwrap();
            let done = done.iter().filter(|(what, n)| *what != "unchanged" && n.as_u64() > Some(0));
            words.extend(done.map(|(what, _)| what.clone()));
        }
    }
    said(outcome, words, report)
}

fn said(outcome: Outcome, mut words: Vec<String>, report: Option<Value>) -> Said {
    let code = outcome.code.unwrap_or_else(|| panic!("it was killed: {outcome:?}"));
    assert!(!outcome.err.contains("panicked"), "{}", outcome.err);
    if let Some(error) = line(&outcome.err, "error") {
        words = vec![error["kind"].as_str().unwrap().to_owned()];
    }
    Said { code, words, all: outcome.out + &outcome.err, report }
}

fn findings(report: &Value) -> Vec<String> {
    let counts = report["counts"].as_object().unwrap();
    let harmless = |what: &str| what == "extra at the target" || what.ends_with(" since");
    let mut words: Vec<String> = counts.keys().cloned().collect();
    words.sort_by_key(|word| (harmless(word), word.clone()));
    words
}

fn line(text: &str, event: &str) -> Option<Value> {
    let objects = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    objects.into_iter().find(|object| object["event"] == event)
}
