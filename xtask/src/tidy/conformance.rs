//! Every adapter runs the conformance suite: no layout on any engine goes without it.

use std::collections::BTreeSet;

use super::tree::{Tree, numbered};
use super::words::words_of;
use super::{Finding, Rule};

const LAYOUTS: &str = "crates/stores/src/layout/";
const ENGINES: &str = "crates/stores/src/engine/";
const CRATE: &str = "crates/stores/";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let engines: BTreeSet<&str> =
        tree.files.iter().filter_map(|file| module(file.path.strip_prefix(ENGINES)?)).collect();
    let suites: Vec<BTreeSet<String>> = tree
        .texts()
        .filter(|(file, _)| file.is_rust() && file.path.starts_with(CRATE))
        .filter(|(_, text)| runs_the_suite(text))
        .map(|(file, text)| words_of(&file.path).chain(words_of(text)).collect())
        .collect();

    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for file in &tree.files {
        let Some((layout, inner)) =
            file.path.strip_prefix(LAYOUTS).and_then(|rest| rest.split_once('/'))
        else {
            continue;
        };
        let Some(engine) = module(inner).filter(|name| engines.contains(name)) else { continue };
        let is_covered = |suite: &BTreeSet<String>| suite.contains(engine) && names(suite, layout);
        if seen.insert((layout, engine)) && !suites.iter().any(is_covered) {
            findings.push(Finding {
                path: file.path.clone(),
                line: 1,
                rule: Rule::Conformance,
                what: format!("{layout} on {engine} does not run the conformance suite"),
                remedy: "add a test file that names both and calls `conformance!`",
            });
        }
    }
    findings
}

/// The module that a file belongs to, seen from the folder above it: `sqlite.rs`, `sqlite/a.rs`.
fn module(path: &str) -> Option<&str> {
    let name =
        path.split_once('/').map_or_else(|| path.strip_suffix(".rs"), |(name, _)| Some(name));
    name.filter(|name| *name != "mod")
}

fn runs_the_suite(text: &str) -> bool {
    numbered(text)
        .any(|(_, line)| !line.trim_start().starts_with("//") && line.contains("conformance!"))
}

/// Whether a test speaks of a layout, whose name may be of several words.
fn names(suite: &BTreeSet<String>, layout: &str) -> bool {
    words_of(layout).all(|word| suite.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADAPTER: [(&str, &str); 4] = [
        ("crates/stores/src/engine/sqlite.rs", ""),
        ("crates/stores/src/layout/langgraph/mod.rs", ""),
        ("crates/stores/src/layout/langgraph/sqlite/read.rs", ""),
        ("crates/stores/src/layout/langgraph/tags.rs", ""),
    ];

    fn count(test: &str) -> usize {
        let mut files = ADAPTER.to_vec();
        files.push(("crates/stores/tests/suite.rs", test));
        check(&Tree::of(&files)).len()
    }

    #[test]
    fn an_adapter_without_the_suite_is_found_once() {
        assert_eq!(count("fn langgraph_sqlite() {}"), 1);
        assert_eq!(count("// langgraph sqlite conformance!"), 1);
        assert_eq!(count("conformance!(parts_sqlite, open);"), 1);
    }

    #[test]
    fn a_test_that_names_layout_and_engine_covers_the_adapter() {
        assert_eq!(count("restow_store::conformance!(langgraph_sqlite, open);"), 0);
    }
}
