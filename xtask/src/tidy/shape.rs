//! How long files are, how wide lines are, and that each module says what it is for.

use super::tree::{File, Tree, numbered};
use super::{Finding, Rule};

const FILE_LINES_MAX: usize = 500;
const LINE_CHARACTERS_MAX: usize = 100;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, text) in tree.texts() {
        if file.is_rust() {
            findings.extend(length(file, text));
            findings.extend(module_doc(file, text));
        }
        if file.is_rust() || file.is_shell() || file.extension() == "py" {
            findings.extend(width(file, text));
        }
    }
    findings
}

fn length(file: &File, text: &str) -> Option<Finding> {
    let lines = text.lines().count();
    (lines > FILE_LINES_MAX).then(|| Finding {
        path: file.path.clone(),
        line: FILE_LINES_MAX + 1,
        rule: Rule::FileLength,
        what: format!("{lines} lines, at most {FILE_LINES_MAX}"),
        remedy: "divide it by what a reader looks for, or move its tests into a file of their own",
    })
}

fn width<'a>(file: &'a File, text: &'a str) -> impl Iterator<Item = Finding> + 'a {
    let wide = |&(_, characters): &(usize, usize)| characters > LINE_CHARACTERS_MAX;
    let lines = numbered(text).map(|(line, text)| (line, text.chars().count()));
    lines.filter(wide).map(|(line, characters)| Finding {
        path: file.path.clone(),
        line,
        rule: Rule::LineWidth,
        what: format!("{characters} characters, at most {LINE_CHARACTERS_MAX}"),
        remedy: "break the line",
    })
}

fn module_doc(file: &File, text: &str) -> Option<Finding> {
    let example = file.path.split('/').any(|name| name == "examples");
    (!example && !text.starts_with("//!")).then(|| Finding {
        path: file.path.clone(),
        line: 1,
        rule: Rule::ModuleDoc,
        what: "the module does not open with `//!`".to_owned(),
        remedy: "say in a line what it is for",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<(Rule, usize)> {
        let findings = check(&Tree::of(&[(path, text)]));
        findings.iter().map(|finding| (finding.rule, finding.line)).collect()
    }

    #[test]
    fn long_files() {
        let longest = format!("//! Long.\n{}", "\n".repeat(499));
        assert_eq!(rules("a.rs", &longest), []);
        assert_eq!(rules("a.rs", &format!("{longest}\n")), [(Rule::FileLength, 501)]);
        assert_eq!(rules("a.md", &format!("{longest}\n")), []);
    }

    #[test]
    fn wide_lines_are_counted_in_characters() {
        let widest = "é".repeat(100);
        assert_eq!(rules("a.py", &widest), []);
        assert_eq!(rules("a.py", &format!("\n{widest}e")), [(Rule::LineWidth, 2)]);
        assert_eq!(rules("run", &format!("#!/bin/bash\n{widest}e")), [(Rule::LineWidth, 2)]);
        assert_eq!(rules("a.md", &format!("{widest}e")), []);
    }

    #[test]
    fn modules_say_what_they_are_for() {
        assert_eq!(rules("tests/a.rs", "fn a() {}"), [(Rule::ModuleDoc, 1)]);
        assert_eq!(rules("tests/a.rs", "//! A.\nfn a() {}"), []);
        assert_eq!(rules("examples/a.rs", "fn a() {}"), []);
    }
}
