//! ARCHITECTURE.md names what exists, and what it names exists.
//!
//! Paths in it stand in backticks and are read from the root; below a heading that names a folder,
//! a path that begins with `src/` is read from that folder.

use std::collections::BTreeSet;

use super::tree::{Tree, numbered};
use super::{Finding, Rule};

const MAP: &str = "ARCHITECTURE.md";
const MAP_LINES_MAX: usize = 200;
const FOLDERS_OF_TESTS: [&str; 2] = ["tests", "snapshots"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(text) = tree.text(MAP) else {
        return vec![finding(1, "is missing".to_owned(), "write it: the view, the code map")];
    };
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if lines > MAP_LINES_MAX {
        let what = format!("{lines} lines, at most {MAP_LINES_MAX}");
        findings.push(finding(MAP_LINES_MAX + 1, what, "keep to what seldom changes"));
    }
    let folders = tree.folders();
    let named = named_paths(text);
    for (line, path) in &named {
        let is_file = tree.files.iter().any(|file| file.path == *path);
        if !is_file && !folders.contains(path.as_str()) {
            let what = format!("names `{path}`, which does not exist");
            findings.push(finding(*line, what, "name what is there, or take it out"));
        }
    }
    let named: BTreeSet<&str> = named.iter().map(|(_, path)| path.as_str()).collect();
    for folder in folders.iter().filter(|folder| belongs_on_the_map(folder)) {
        if !is_named(&named, folder) {
            let what = format!("does not name `{folder}`");
            findings.push(finding(1, what, "say in its code map what the folder is for"));
        }
    }
    findings
}

fn finding(line: usize, what: String, remedy: &'static str) -> Finding {
    Finding { path: MAP.to_owned(), line, rule: Rule::CodeMap, what, remedy }
}

/// Crates, and the folders of their sources.
fn belongs_on_the_map(folder: &str) -> bool {
    let names: Vec<&str> = folder.split('/').collect();
    match names.as_slice() {
        ["crates", _] => true,
        ["crates", _, "src", inner @ ..] => {
            !inner.is_empty() && !inner.iter().any(|name| FOLDERS_OF_TESTS.contains(name))
        }
        _ => false,
    }
}

fn is_named(named: &BTreeSet<&str>, folder: &str) -> bool {
    let below = format!("{folder}/");
    named.iter().any(|path| *path == folder || path.starts_with(&below))
}

/// The paths in backticks with a `/`, each with its line, from the root and without a last `/`.
fn named_paths(text: &str) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    let mut base = String::new();
    let mut is_quoted = false;
    for (line, content) in numbered(text) {
        if content.starts_with("```") {
            is_quoted = !is_quoted;
        }
        if is_quoted {
            continue;
        }
        if content.starts_with('#') {
            base.clear();
        }
        for token in content.split('`').skip(1).step_by(2).filter(|token| is_path(token)) {
            let token = token.trim_end_matches('/');
            if content.starts_with('#') {
                token.clone_into(&mut base);
            }
            let inside = !base.is_empty() && (token == "src" || token.starts_with("src/"));
            let path = if inside { format!("{base}/{token}") } else { token.to_owned() };
            paths.push((line, path));
        }
    }
    paths
}

fn is_path(token: &str) -> bool {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
    token.contains('/') && !token.starts_with('/') && token.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(map: &str, others: &[&str]) -> Vec<(usize, String)> {
        let mut files = vec![(MAP, map)];
        files.extend(others.iter().map(|path| (*path, "")));
        check(&Tree::of(&files)).into_iter().map(|found| (found.line, found.what)).collect()
    }

    #[test]
    fn crates_and_folders_are_named() {
        let others = ["crates/model/src/lib.rs", "crates/model/src/wrap/a.rs"];
        let both = "## `crates/model/`\n`src/wrap/` wraps.\n";
        assert_eq!(findings(both, &others), []);
        let expected = [(1, "does not name `crates/model/src/wrap`".to_owned())];
        assert_eq!(findings("## `crates/model`\n", &others), expected);
    }

    #[test]
    fn what_is_named_exists() {
        let expected = [(2, "names `crates/model/src/gone.rs`, which does not exist".to_owned())];
        let map = "## `crates/model`\n`src/gone.rs` and `a + b/c`\n```text\n`no/path`\n```\n";
        assert_eq!(findings(map, &["crates/model/src/lib.rs"]), expected);
    }

    #[test]
    fn folders_of_tests_need_no_name() {
        let others = ["crates/model/src/tests/a.rs", "crates/model/tests/b.rs"];
        assert_eq!(findings("`crates/model`\n", &others), []);
    }

    #[test]
    fn the_map_stays_short() {
        assert_eq!(findings(&"\n".repeat(200), &[]), []);
        assert_eq!(findings(&"\n".repeat(201), &[]).len(), 1);
    }
}
