//! `cargo xtask tidy`: the rules of this tree that no compiler checks.
//!
//! One file a group of rules; each rule is a pure function from the [`Tree`] to [`Finding`]s.

mod architecture;
mod conformance;
mod decisions;
mod dependencies;
mod exceptions;
mod leftovers;
mod shape;
mod tree;
mod words;

use std::fmt;

use crate::Outcome;
use tree::Tree;

/// One place that breaks a rule, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: usize,
    rule: Rule,
    what: String,
    remedy: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.path, self.line, self.what, self.remedy)
    }
}

/// The names of the rules, for the list of exceptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rule {
    FileLength,
    LineWidth,
    ModuleDoc,
    CodeMap,
    Dependencies,
    Conformance,
    Marker,
    MachinePath,
    Word,
    Glossary,
    Decision,
    Exception,
}

pub(crate) fn run() -> Outcome {
    let tree = Tree::load()?;
    let mut findings = check(&tree);
    findings.extend(dependencies::check_workspace()?);
    let mut findings = exceptions::apply(exceptions::LIST, &tree, findings);
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => println!("{} files, nothing to tidy", tree.files.len()),
        count => println!("{count} to tidy"),
    }
    Ok(u8::from(!findings.is_empty()))
}

/// Every rule that needs nothing but the files.
fn check(tree: &Tree) -> Vec<Finding> {
    let rules = [
        shape::check,
        architecture::check,
        conformance::check,
        leftovers::check,
        words::check,
        decisions::check,
    ];
    rules.iter().flat_map(|rule| rule(tree)).collect()
}
