//! What was meant to be taken out again: markers, and the paths of one machine.

use super::tree::{Tree, numbered};
use super::{Finding, Rule};

// Written in pieces, so that this file holds none of them.
const MARKERS: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!"), concat!("db", "g!")];
const MACHINE_FOLDERS: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/t", "mp/"), concat!("/wo", "rk/")];
const PATHS_ALLOWED_IN: &str = "Cargo.lock";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, text) in tree.texts() {
        let mut found = |line, rule, what: String, remedy| {
            findings.push(Finding { path: file.path.clone(), line, rule, what, remedy });
        };
        for (number, line) in numbered(text) {
            if file.is_written() {
                for marker in MARKERS.iter().filter(|marker| has_marker(line, marker)) {
                    found(number, Rule::Marker, format!("`{marker}`"), "finish it or take it out");
                }
            }
            if file.path != PATHS_ALLOWED_IN {
                for folder in MACHINE_FOLDERS.iter().filter(|folder| has_path(line, folder)) {
                    let what = format!("a path of one machine, `{folder}`");
                    found(
                        number,
                        Rule::MachinePath,
                        what,
                        "use a path from the root or a variable",
                    );
                }
            }
        }
    }
    findings
}

fn has_marker(line: &str, marker: &str) -> bool {
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(marker).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + marker.len()..].chars().next();
        // A macro's name ends with its own mark.
        !before.is_some_and(is_name) && (marker.ends_with('!') || !after.is_some_and(is_name))
    })
}

/// Whether an absolute path begins with the folder, and not a longer path that holds it.
fn has_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|letter| letter.is_alphanumeric() || "._-~*})>".contains(letter))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_stand_alone() {
        let [word, _, call, _] = MARKERS;
        assert!(has_marker(&format!("// {word}: later"), word));
        assert!(has_marker(&format!("    {call}(\"later\")"), call));
        assert!(!has_marker(&format!("MAS{word}N"), word));
        assert!(!has_marker(&format!("my_{call}()"), call));
    }

    #[test]
    fn absolute_paths_and_not_folders_of_that_name() {
        let [home, _, temporary, _] = MACHINE_FOLDERS;
        assert!(has_path(&format!("sqlite:{home}ann/agent.db"), home));
        assert!(has_path(&format!("\"{temporary}x\""), temporary));
        assert!(!has_path(&format!("crates/live/src{home}mod.rs"), home));
        assert!(!has_path(&format!("\"${{ROOT}}{temporary}x\""), temporary));
    }

    #[test]
    fn markers_in_code_and_prose_paths_anywhere_but_in_the_lock_file() {
        let text = format!("{}\n{}x\n", MARKERS[0], MACHINE_FOLDERS[0]);
        let rules = |path| -> Vec<Rule> {
            check(&Tree::of(&[(path, &text)])).iter().map(|finding| finding.rule).collect()
        };
        assert_eq!(rules("a.md"), [Rule::Marker, Rule::MachinePath]);
        assert_eq!(rules("a.json"), [Rule::MachinePath]);
        assert_eq!(rules("Cargo.lock"), []);
    }
}
