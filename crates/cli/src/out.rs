//! What is printed: text or JSON lines on standard output, errors on standard error.

use std::io::Write;

use restow::Error;
use serde_json::{Value, json};

use crate::words::count;

/// The two streams; a closed one ends nothing.
#[derive(Debug)]
pub(crate) struct Out {
    json: bool,
}

impl Out {
    /// Prints text, or JSON lines.
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Says whether output is JSON lines.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a line of text; nothing where output is JSON.
    pub(crate) fn line(&self, text: impl AsRef<str>) {
        if !self.json {
            let _ = writeln!(std::io::stdout().lock(), "{}", text.as_ref());
        }
    }

    /// Prints the first of so many things, one a line, and how many more there are.
    pub(crate) fn first_of<T>(
        &self,
        all: u64,
        first: impl IntoIterator<Item = T>,
        line: impl Fn(T) -> String,
    ) {
        let mut named = 0;
        for thing in first {
            self.line(format!("  {}", line(thing)));
            named += 1;
        }
        if all > named {
            self.line(format!("  … and {} more", count(all - named)));
        }
    }

    /// Prints a JSON object on a line; nothing where output is text.
    pub(crate) fn object(&self, object: &Value) {
        if self.json {
            let _ = writeln!(std::io::stdout().lock(), "{object}");
        }
    }

    /// Prints a line on standard error, for people.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        let _ = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
    }

    /// Prints an error with its causes, each once.
    pub(crate) fn error(&self, error: &Error) {
        let mut causes = Vec::new();
        let mut cause = std::error::Error::source(error);
        while let Some(next) = cause {
            let text = next.to_string();
            // SQLite's errors have themselves as their cause, with a code in front.
            let bare = match text.strip_prefix("Error code ") {
                Some(coded) => coded.split_once(": ").map_or(coded, |(_, bare)| bare),
                None => &text,
            };
            if !causes.last().is_some_and(|last: &String| last.contains(bare)) {
                causes.push(text);
            }
            cause = next.source();
        }
        if self.json {
            let context: serde_json::Map<_, _> =
                error.context().iter().map(|(k, v)| ((*k).to_string(), json!(v))).collect();
            let _ = writeln!(
                std::io::stderr().lock(),
                "{}",
                json!({
                    "event": "error",
                    "kind": error.kind().to_string(),
                    "message": error.to_string(),
                    "context": context,
                    "causes": causes,
                })
            );
            return;
        }
        self.note(format!("restow: {error}"));
        for cause in causes {
            self.note(format!("  because: {cause}"));
        }
    }
}
