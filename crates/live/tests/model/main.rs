//! The live protocol's model, checked to its last state, and each of its rules taken away.
//!
//! `docs/protocol.md` tells the protocol; its tables are written from here by `cargo xtask docs`.
#![allow(clippy::expect_used, clippy::panic, reason = "a test ends loudly")]
#![allow(clippy::print_stdout, reason = "a schedule is there to be read")]
#![allow(clippy::disallowed_methods, reason = "the document is written where that is asked for")]

mod actor;
mod client;
mod configurations;
mod coverage;
mod document;
mod ending;
mod follow;
mod keeper;
mod machine;
mod port;
mod properties;
mod protocol;
mod removals;
mod schedule;
mod seed;
mod state;
mod truth;

use restow_live::{Rule, Rules, Step};
use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model};

use crate::coverage::Event;
use crate::machine::Machine;
use crate::properties::{GOALS, INVARIANTS};
use crate::schedule::schedule;

/// Every invariant holds in every reachable state, and nothing of what could happen is left out.
#[test]
fn every_configuration_holds() {
    let mut goals = BTreeSet::new();
    let (mut steps, mut events) = (vec![Step::Look], Vec::new());
    let mut rows = Vec::new();
    for setup in configurations::ALL {
        let checker = setup().checker().spawn_bfs().join();
        let machine = checker.model();
        for invariant in INVARIANTS {
            if let Some(path) = checker.discovery(invariant) {
                let moves = schedule(machine, &path.into_vec());
                panic!("{}: not {invariant}\n{}", machine.name, document::lines(&moves));
            }
        }
        goals.extend(GOALS.into_iter().filter(|goal| checker.discovery(goal).is_some()));
        steps.extend(Step::ALL.into_iter().filter(|step| machine.seen.has_step(*step)));
        events.extend(Event::ALL.into_iter().filter(|event| machine.seen.has_event(*event)));
        rows.push(document::configuration(
            machine,
            checker.unique_state_count(),
            checker.max_depth(),
        ));
        println!("{}", rows[rows.len() - 1]);
    }
    assert_eq!(goals, GOALS.into());
    assert_eq!(Step::ALL.into_iter().find(|step| !steps.contains(step)), None);
    assert_eq!(Event::ALL.into_iter().find(|event| !events.contains(event)), None);
    document::keep("configurations", &rows);
}

/// Without any one rule some invariant fails, and every invariant fails without some rule.
#[test]
fn every_rule_is_needed() {
    let mut rows = Vec::new();
    for removal in removals::ALL {
        let machine = Machine { rules: Rules::without(removal.rule), ..(removal.setup)() };
        let found = HasDiscoveries::AnyOf([removal.breaks].into());
        let checker = machine.checker().finish_when(found).spawn_bfs().join();
        let machine = checker.model();
        let path = checker.discovery(removal.breaks);
        let path = path.unwrap_or_else(|| panic!("nothing fails without {:?}", removal.rule));
        let moves = schedule(machine, &path.into_vec());
        println!("without {:?}, {}: not {}", removal.rule, machine.name, removal.breaks);
        println!("{}", document::lines(&moves));
        rows.push(document::removal(removal, moves.len()));
    }
    let removed = |rule: &&Rule| !removals::ALL.iter().any(|removal| removal.rule == **rule);
    assert_eq!(Rule::ALL.iter().find(removed), None);
    let holds = |name: &&str| !removals::ALL.iter().any(|removal| removal.breaks == *name);
    assert_eq!(INVARIANTS.iter().find(|name| holds(name)), None);
    document::keep("rules", &rows);
}

/// Whatever has happened, and whoever has crashed: the others can all come to an end.
#[test]
fn nobody_waits_for_the_dead() {
    for setup in configurations::SMALL {
        let machine = setup();
        if let Some(way) = ending::find_trap(&machine) {
            let moves = schedule(&machine, &way);
            panic!("{}: no way out\n{}", machine.name, document::lines(&moves));
        }
    }
    let rules = Rules::without(Rule::MarkBeforeRetiring);
    let unmarked = Machine { rules, ..configurations::completed() };
    assert!(ending::find_trap(&unmarked).is_some(), "a retired home traps its writers");
}

/// A schedule names the steps of the code, so that a test can lead the code through it.
#[test]
fn a_move_has_a_shortest_schedule() {
    let found = HasDiscoveries::AnyOf([properties::MOVED].into());
    let checker = configurations::two_movers().checker().finish_when(found).spawn_bfs().join();
    let path = checker.discovery(properties::MOVED).expect("a move that completes");
    let moves = schedule(checker.model(), &path.into_vec());
    let applied: Vec<_> = moves.iter().map(|m| m.step).filter(|step| *step != Step::Look).collect();
    let copies = [Step::CopyBatch, Step::CopyBatch];
    let before = [Step::Adopt, Step::Stage];
    let after = [Step::Lap, Step::Verify, Step::Seal, Step::Activate];
    assert_eq!(applied, [&before[..], &copies, &after].concat(), "{}", document::lines(&moves));
}
