//! The model of the live protocol, checked to its last state.
#![allow(clippy::expect_used, reason = "tests")]

mod actor;
mod configurations;
mod machine;
mod port;
mod properties;
mod protocol;
mod rules;
mod state;
mod truth;

use stateright::{Checker, Expectation, Model};

#[test]
fn every_configuration_holds() {
    let only = std::env::var("ONLY").ok();
    for setup in configurations::ALL {
        let machine = setup();
        let name = machine.name;
        if only.as_ref().is_some_and(|o| !name.contains(o.as_str())) { continue; }
        let t = std::time::Instant::now();
        let checker = machine.checker().target_state_count(30_000_000).spawn_bfs().join();
        let mut missing = vec![];
        for p in checker.model().properties() {
            match (checker.discovery(p.name), p.expectation) {
                (Some(path), Expectation::Always) => {
                    println!("VIOLATED {} in {name}", p.name);
                    for (s, a) in path.into_vec() {
                        println!("  {a:?}\n      S {:?}\n      T {:?}", s.source, s.target);
                        if let Some(a)=a { println!("   actors {:?}", a); for x in &s.actors { println!("       {x:?}"); } }
                    }
                }
                (None, Expectation::Sometimes) => missing.push(p.name),
                _ => {}
            }
        }
        println!("{name}: {} states, {} unique, depth {}, {:.1}s, never: {missing:?}", checker.state_count(), checker.unique_state_count(), checker.max_depth(), t.elapsed().as_secs_f32());
    }
}
