//! The one list of exceptions: what a rule leaves alone, and why.

use super::tree::Tree;
use super::{Finding, Rule};

/// A place that a rule leaves alone.
#[derive(Debug)]
pub(super) struct Exception {
    pub(super) rule: Rule,
    pub(super) path: &'static str,
    /// What the line holds; an empty text stands for the whole file.
    pub(super) text: &'static str,
    pub(super) why: &'static str,
}

pub(super) const LIST: &[Exception] = &[
    Exception {
        rule: Rule::Word,
        path: "crates/stores/src/engine/object/connect.rs",
        text: "rovider",
        why: "rustls calls its cryptography so",
    },
    Exception {
        rule: Rule::Word,
        path: "crates/stores/src/engine/object/connect.rs",
        text: "tls_backend_preconfigured",
        why: "reqwest calls its setting so",
    },
    Exception {
        rule: Rule::Word,
        path: "crates/stores/src/engine/postgres/tls.rs",
        text: "rovider",
        why: "rustls calls its cryptography so",
    },
    Exception {
        rule: Rule::Word,
        path: "crates/stores/src/engine/postgres/trust.rs",
        text: "rovider",
        why: "rustls calls its cryptography so",
    },
    Exception {
        rule: Rule::Word,
        path: "crates/stores/src/engine/dynamodb/mod.rs",
        text: "rovider",
        why: "AWS's SDK calls what gives credentials so, and rustls its cryptography",
    },
    Exception {
        rule: Rule::Word,
        path: "crates/cli/tests/crash/server.rs",
        text: "pg_terminate_backend",
        why: "PostgreSQL calls its function so",
    },
    Exception {
        rule: Rule::Word,
        path: "crates/testkit/src/postgres.rs",
        text: "LOCALE_PROVIDER",
        why: "PostgreSQL calls its option so",
    },
    Exception {
        rule: Rule::Word,
        path: "crates/stores/tests/postgres_connections.rs",
        text: "pg_backend_pid",
        why: "PostgreSQL calls its function so",
    },
    Exception {
        rule: Rule::Word,
        path: "crates/stores/tests/postgres_errors.rs",
        text: "pg_backend_pid",
        why: "PostgreSQL calls its function so",
    },
    Exception {
        rule: Rule::Word,
        path: "crates/stores/tests/parts_postgres.rs",
        text: "LOCALE_PROVIDER",
        why: "PostgreSQL calls its option so",
    },
    Exception {
        rule: Rule::Word,
        path: "crates/stores/tests/parts_postgres_writers.rs",
        text: "pg_backend_pid",
        why: "PostgreSQL calls its function so",
    },
];

/// Takes out what the list excuses, and reports each exception that excuses nothing.
pub(super) fn apply(list: &[Exception], tree: &Tree, mut findings: Vec<Finding>) -> Vec<Finding> {
    let mut idle = Vec::new();
    for exception in list {
        let before = findings.len();
        findings.retain(|finding| !excuses(exception, tree, finding));
        if findings.len() == before {
            idle.push(Finding {
                path: exception.path.to_owned(),
                line: 1,
                rule: Rule::Exception,
                what: format!("an exception excuses nothing here ({})", exception.why),
                remedy: "take it from the list in the tidy task",
            });
        }
    }
    findings.extend(idle);
    findings
}

fn excuses(exception: &Exception, tree: &Tree, finding: &Finding) -> bool {
    let line = || {
        let text = tree.text(&finding.path).unwrap_or("");
        text.lines().nth(finding.line.saturating_sub(1)).unwrap_or("")
    };
    exception.rule == finding.rule
        && exception.path == finding.path
        && (exception.text.is_empty() || line().contains(exception.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(line: usize) -> Finding {
        let (path, what) = ("a.rs".to_owned(), "wide".to_owned());
        Finding { path, line, rule: Rule::LineWidth, what, remedy: "break it" }
    }

    #[test]
    fn an_exception_excuses_the_lines_that_it_names() {
        let tree = Tree::of(&[("a.rs", "one\ntwo\n")]);
        let list = [Exception { rule: Rule::LineWidth, path: "a.rs", text: "two", why: "" }];
        assert_eq!(apply(&list, &tree, vec![finding(1), finding(2)]), [finding(1)]);
    }

    #[test]
    fn an_exception_that_excuses_nothing_is_reported() {
        let list = [Exception { rule: Rule::FileLength, path: "a.rs", text: "", why: "" }];
        let left = apply(&list, &Tree::default(), vec![finding(1)]);
        assert_eq!(left[0], finding(1));
        assert_eq!(left[1].rule, Rule::Exception);
    }
}
