//! A short chaos on every pair of stores; `cargo xtask chaos` makes a longer one.

#![allow(clippy::panic, reason = "a test ends loudly")]

use std::path::Path;

use restow_testkit::chaos::conduct::{self, Plan};
use restow_testkit::chaos::world::Stores;

/// Chaos takes no turns beside another one: they would take each other's time.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn nothing_is_lost(pair: Stores) {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let plan = Plan { pair, seconds: 8, seed: 1, units: Some(48), clients: 3, movers: 2 };
    let program = Path::new(env!("CARGO_BIN_EXE_chaos"));
    let Some(report) = conduct::run(&plan, program) else { return };
    assert!(report.faults.is_empty(), "{}\n{report}", conduct::command(&plan));
    assert!(report.writes > 0 && report.moves > 0 && report.kills > 0, "{report}");
}

#[test]
fn from_sqlite_to_postgres() {
    nothing_is_lost(Stores::SqlitePostgres);
}

#[test]
fn from_postgres_to_parts() {
    nothing_is_lost(Stores::PostgresParts);
}

#[test]
fn from_one_layout_to_another_on_sqlite() {
    nothing_is_lost(Stores::SqliteParts);
}
