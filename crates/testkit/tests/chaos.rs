//! Chaos on every pair of stores, and that it finds what it is made to find.

#![allow(clippy::panic, reason = "a test ends loudly")]

use std::path::Path;
use std::thread;

use restow::live::{LAP_RECORDS_MAX, Rule};
use restow_testkit::chaos::conduct::{self, Plan, Report};
use restow_testkit::chaos::world::Stores;

/// Chaos takes no turns beside what another test makes: they would take each other's time.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn plan(pair: Stores, seconds: u64) -> Plan {
    Plan { pair, seconds, seed: 1, units: None, clients: 3, movers: 2, without: None }
}

fn run(plan: &Plan) -> Option<Report> {
    conduct::run(plan, Path::new(env!("CARGO_BIN_EXE_chaos")))
}

fn nothing_is_lost(pair: Stores) {
    let plan = plan(pair, 60);
    let Some(report) = run(&plan) else { return };
    assert!(report.faults.is_empty(), "{}\n{report}", conduct::command(&plan));
    assert!(report.writes > 0 && report.moves > 0 && report.kills > 0, "{report}");
    assert!(report.largest as u64 > LAP_RECORDS_MAX, "{report}");
}

/// All pairs at the same time, each between stores and servers of its own.
#[test]
fn nothing_is_lost_between_any_stores() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    thread::scope(|scope| {
        for pair in Stores::ALL {
            scope.spawn(move || nothing_is_lost(pair));
        }
    });
}

/// Clients and movers that break a rule are found out by what was answered and what is stored.
#[test]
fn a_broken_rule_is_found_out() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for rule in [Rule::AdoptionCounts, Rule::LastLapFirst] {
        let (units, without) = (Some(16), Some(rule));
        let plan = Plan { units, without, ..plan(Stores::SqliteParts, 6) };
        let Some(report) = run(&plan) else { return };
        assert!(!report.faults.is_empty(), "{rule:?} is not missed\n{report}");
    }
}
