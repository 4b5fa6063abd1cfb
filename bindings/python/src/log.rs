//! What goes wrong behind the application's back, for Python's log.
//!
//! Nothing here waits for Python: what is said is kept until a call comes by that holds it.

use std::collections::VecDeque;
use std::fmt::{Debug, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// So many lines are kept; of more, the oldest are forgotten.
const LINES_MAX: usize = 256;

static LINES: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

fn lines() -> MutexGuard<'static, VecDeque<String>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps warnings; another subscriber of the process, if there is one, stays.
pub(crate) fn keep() {
    // A second saver finds the first one's.
    let _ = tracing::subscriber::set_global_default(Keeper);
}

/// Hands over to Python's log what was kept.
pub(crate) fn hand_over(py: Python<'_>) -> PyResult<()> {
    let said = std::mem::take(&mut *lines());
    if said.is_empty() {
        return Ok(());
    }
    let log = py.import("logging")?.call_method1("getLogger", ("restow",))?;
    for line in said {
        log.call_method1("warning", ("%s", line))?;
    }
    Ok(())
}

struct Keeper;

impl Subscriber for Keeper {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN && metadata.target().starts_with("restow")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let mut lines = lines();
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line.message + &line.values);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Line {
    message: String,
    values: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.values, " ({name}: {value:?})"),
        };
    }
}
