//! Decision records: found by date and title, and short.

use super::tree::{File, Tree};
use super::{Finding, Rule};

const FOLDER: &str = "docs/decisions/";
const RECORD_LINES_MAX: usize = 60;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let records = tree.texts().filter(|(file, _)| file.path.starts_with(FOLDER));
    records.flat_map(|(file, text)| check_record(file, text)).collect()
}

fn check_record(file: &File, text: &str) -> Vec<Finding> {
    let finding = |line, what: String, remedy| Finding {
        path: file.path.clone(),
        line,
        rule: Rule::Decision,
        what,
        remedy,
    };
    let mut findings = Vec::new();
    if !is_record_name(file.path.strip_prefix(FOLDER).unwrap_or("")) {
        let what = "a decision record of another name".to_owned();
        findings.push(finding(1, what, "name it YYYY-MM-DD-title.md"));
    }
    let lines = text.lines().count();
    if lines > RECORD_LINES_MAX {
        let what = format!("{lines} lines, at most {RECORD_LINES_MAX}");
        findings.push(finding(RECORD_LINES_MAX + 1, what, "keep context, decision, consequences"));
    }
    findings
}

/// `2026-11-21-a-title.md`
fn is_record_name(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(".md") else { return false };
    let mut parts = stem.splitn(4, '-');
    let mut number = |digits: usize, range: std::ops::RangeInclusive<u32>| {
        let part = parts.next().filter(|part| part.len() == digits);
        part.and_then(|part| part.parse().ok()).is_some_and(|value| range.contains(&value))
    };
    let dated = number(4, 2000..=2999) && number(2, 1..=12) && number(2, 1..=31);
    let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let title = parts.next().unwrap_or("");
    dated && title.split('-').all(|word| !word.is_empty() && word.chars().all(fits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert!(is_record_name("2026-11-21-blake3-digests-and-sums.md"));
        for name in ["0001-a.md", "2026-13-01-a.md", "2026-11-21.md", "2026-11-21-A.md"] {
            assert!(!is_record_name(name), "{name}");
        }
        assert!(!is_record_name("2026-11-21-a.txt"));
    }

    #[test]
    fn records_are_short() {
        let path = "docs/decisions/2026-11-21-a.md";
        assert_eq!(check(&Tree::of(&[(path, &"\n".repeat(60))])), []);
        assert_eq!(check(&Tree::of(&[(path, &"\n".repeat(61))])).len(), 1);
    }
}
