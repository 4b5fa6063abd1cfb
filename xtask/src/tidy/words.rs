//! One word, one idea: words that this project does not use, and a glossary without doubles.

use std::collections::BTreeMap;

use super::tree::{File, Tree, numbered};
use super::{Finding, Rule};

const GLOSSARY: &str = "docs/glossary.md";

/// Words not used in names and prose, each with what to say instead.
const UNUSED: [(&str, &str); 7] = [
    ("backend", "say engine or store, whichever is meant"),
    ("driver", "say engine, or name the library"),
    ("provider", "say engine or store, or name the service"),
    ("runner", "say attempt, or name what runs"),
    ("src", "say source"),
    ("dest", "say target"),
    ("dst", "say target"),
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, text) in tree.texts() {
        if file.path.starts_with("crates/") && file.is_written() {
            findings.extend(unused(file, text));
        }
        if file.path == GLOSSARY {
            findings.extend(doubles(text));
        }
    }
    findings
}

fn unused(file: &File, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut look = |line: usize, text: &str| {
        for (word, remedy) in UNUSED.iter().filter(|(word, _)| uses(text, word)) {
            findings.push(Finding {
                path: file.path.clone(),
                line,
                rule: Rule::Word,
                what: format!("`{word}` is not a word of this project"),
                remedy,
            });
        }
    };
    look(1, &file.path);
    for (number, line) in numbered(text) {
        look(number, line);
    }
    findings
}

fn uses(text: &str, word: &str) -> bool {
    spans(text).any(|(start, end)| {
        let found = text[start..end].to_ascii_lowercase();
        let is_it = found == word || found.strip_suffix('s') == Some(word);
        is_it && !(word == "src" && is_folder(text, start, end))
    })
}

/// Whether a word is a folder of a path: beside a slash, or a quoted name of its own.
fn is_folder(text: &str, start: usize, end: usize) -> bool {
    let before = text[..start].chars().next_back();
    let after = text[end..].chars().next();
    let quoted = |mark| before == Some(mark) && after == Some(mark);
    before == Some('/') || after == Some('/') || quoted('"') || quoted('`')
}

/// The words of a text in lower case; names are taken apart at `_` and at capitals.
pub(super) fn words_of(text: &str) -> impl Iterator<Item = String> {
    spans(text).map(|(start, end)| text[start..end].to_ascii_lowercase())
}

fn spans(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() && !bytes[at].is_ascii_alphanumeric() {
            at += 1;
        }
        let start = at;
        while at < bytes.len() && bytes[at].is_ascii_alphanumeric() {
            at += 1;
            let hump = at < bytes.len()
                && bytes[at].is_ascii_uppercase()
                && (bytes[at - 1].is_ascii_lowercase()
                    || bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase));
            if hump {
                break;
            }
        }
        (start < at).then_some((start, at))
    })
}

/// Terms of the glossary, the first cells of its table in bold, that stand there twice.
fn doubles(text: &str) -> Vec<Finding> {
    let mut first_lines = BTreeMap::new();
    let mut findings = Vec::new();
    for (line, content) in numbered(text) {
        let Some(term) = content.strip_prefix("| **").and_then(|rest| rest.split_once("**")) else {
            continue;
        };
        let term = term.0.to_lowercase();
        if let Some(first) = first_lines.get(&term) {
            findings.push(Finding {
                path: GLOSSARY.to_owned(),
                line,
                rule: Rule::Glossary,
                what: format!("\"{term}\" stands on line {first} already"),
                remedy: "keep one meaning for one word",
            });
        } else {
            first_lines.insert(term, line);
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_taken_from_names() {
        let words: Vec<String> = words_of("let SQLiteStore_v2 = openURLNow(a-b);").collect();
        assert_eq!(words, ["let", "sq", "lite", "store", "v2", "open", "url", "now", "a", "b"]);
    }

    #[test]
    fn unused_words_are_found_in_names_and_prose() {
        assert!(uses("struct StorageBackend;", "backend"));
        assert!(uses("/// Both drivers.", "driver"));
        assert!(uses("let src_rows = 1;", "src"));
        assert!(!uses("crates/model/src/lib.rs", "src"));
        assert!(!uses("root.join(\"src\")", "src"));
        assert!(!uses("the driverless car", "driver"));
    }

    #[test]
    fn only_the_crates_are_held_to_it_names_of_files_too() {
        let lines = |path| -> Vec<usize> {
            let tree = Tree::of(&[(path, "//! A.\nfn dest() {}\n")]);
            check(&tree).iter().map(|finding| finding.line).collect()
        };
        assert_eq!(lines("crates/model/src/a.rs"), [2]);
        assert_eq!(lines("crates/model/src/runner.rs"), [1, 2]);
        assert!(lines("tests/a.rs").is_empty());
    }

    #[test]
    fn a_term_stands_once() {
        let text = "| **unit** | a |\n| **part** | b |\n| **Unit** | c |\n";
        let lines: Vec<usize> = doubles(text).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [3]);
    }
}
