//! The model of the live protocol, checked to its last state.
#![allow(clippy::expect_used, reason = "tests")]

mod actor;
mod configurations;
mod machine;
mod port;
mod properties;
mod protocol;
mod removals;
mod rules;
mod schedule;
mod state;
mod truth;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

use crate::machine::Machine;
use crate::rules::Rules;

#[test]
fn every_configuration_holds() {
    let only = std::env::var("ONLY").ok();
    for setup in configurations::ALL {
        let machine = setup();
        let name = machine.name;
        if only.as_ref().is_some_and(|o| !name.contains(o.as_str())) { continue; }
        let t = std::time::Instant::now();
        let checker = machine.checker().target_state_count(30_000_000).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        let mut missing = vec![];
        for p in checker.model().properties() {
            match (checker.discovery(p.name), p.expectation) {
                (Some(path), Expectation::Always) => {
                    println!("VIOLATED {} in {name}", p.name);
                    if std::env::var("LONG").is_ok() {
                        let mut was = None;
                        for (s, a) in path.clone().into_vec() {
                            let now = (s.source, s.target);
                            if was != Some(now) { println!("      S {:?} {:?} {:?}\n      T {:?} {:?} {:?}", s.source.control, s.source.records, s.source.journal, s.target.control, s.target.records, s.target.staged); }
                            was = Some(now);
                            println!("  {a:?}");
                        }
                    }
                    for m in schedule::schedule(checker.model(), path) { println!("   {m}"); }
                }
                (None, Expectation::Sometimes) => missing.push(p.name),
                _ => {}
            }
        }
        println!("{name}: {} states, {} unique, depth {}, {:.1}s, never: {missing:?}", checker.state_count(), checker.unique_state_count(), checker.max_depth(), t.elapsed().as_secs_f32());
    }
}

#[test]
fn every_rule_is_needed() {
    let only = std::env::var("ONLY").ok();
    for r in removals::ALL {
        if only.as_ref().is_some_and(|o| !format!("{:?}", r.rule).contains(o.as_str())) { continue; }
        let t = std::time::Instant::now();
        let machine = Machine { rules: Rules::without(r.rule), ..(r.setup)() };
        let name = machine.name;
        let wanted = HasDiscoveries::AnyOf([r.breaks].into());
        let checker = machine.checker().target_state_count(8_000_000).finish_when(wanted).spawn_bfs().join();
        let others: Vec<_> = checker.model().properties().into_iter().filter(|p| p.expectation == Expectation::Always && checker.discovery(p.name).is_some()).map(|p| p.name).collect();
        match checker.discovery(r.breaks) {
            Some(path) => {
                let moves = schedule::schedule(checker.model(), path);
                println!("ok {:?} in {name}: {} after {} ({:.1}s); also {others:?}", r.rule, r.breaks, moves.len(), t.elapsed().as_secs_f32());
                if only.is_some() { for m in moves { println!("   {m}"); } }
            }
            None => println!("FAILS TO FAIL {:?} in {name}: wanted {}; got {others:?} {} unique ({:.1}s)", r.rule, r.breaks, checker.unique_state_count(), t.elapsed().as_secs_f32()),
        }
    }
}
