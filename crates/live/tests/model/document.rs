//! The tables of `docs/protocol.md`.

use std::path::Path;
use std::sync::Mutex;

use crate::machine::Machine;
use crate::removals::Removal;
use crate::schedule::Move;

/// The tests of this program run side by side, and there is one document.
static DOCUMENT: Mutex<()> = Mutex::new(());

/// A schedule, a turn a line.
pub(crate) fn lines(moves: &[Move]) -> String {
    moves.iter().map(|one| format!("  {one}\n")).collect()
}

pub(crate) fn configuration(machine: &Machine, states: usize, depth: usize) -> String {
    let actors: Vec<_> = machine.actors.iter().map(|spec| spec.name).collect();
    format!("| {} | {} | {states} | {depth} |", machine.name, actors.join(", "))
}

pub(crate) fn removal(removal: &Removal, turns: usize) -> String {
    let invariant = removal.breaks.split(' ').next().unwrap_or("");
    let Removal { rule, wrong, .. } = removal;
    format!("| {} | {wrong} | {invariant} | {turns} |", rule.says())
}

/// Holds a table of the document to these rows, or writes them where that is asked for.
pub(crate) fn keep(table: &str, rows: &[String]) {
    let _one = DOCUMENT.lock().expect("nobody panics with it");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md");
    let kept = std::fs::read_to_string(&path).expect("the document");
    let (begin, end) = (format!("<!-- {table} -->\n"), format!("<!-- end of {table} -->"));
    let (before, rest) = kept.split_once(&begin).expect("the table's beginning");
    let (was, after) = rest.split_once(&end).expect("the table's end");
    let head: String = was.lines().take(2).map(|line| format!("{line}\n")).collect();
    let now: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let text = format!("{before}{begin}{head}{now}{end}{after}");
    if std::env::var("RESTOW_BLESS").is_ok_and(|what| what == "docs") {
        std::fs::write(&path, &text).expect("write the document");
    }
    let is_kept = std::fs::read_to_string(&path).is_ok_and(|kept| kept == text);
    assert!(is_kept, "docs/protocol.md is not what the model finds; run `cargo xtask docs`");
}
