//! Threads that moved under the live protocol are what LangGraph wrote: its savers read and resume
//! them at the target, and at home again.

use std::fs;

use crate::Judge;
use crate::common::{World, example, open};
use crate::places::Place;

const KINDS: &str = "interrupt,subgraph,fanout,fork-head,old-checkpoint,delta,failed,continue";

#[test]
fn what_moved_live_is_resumed_at_the_target_and_at_home() {
    let Some((judge, [database])) = Judge::with_databases() else { return };
    let world = World::example("agent.sqlite");
    fs::copy(example("agent.sqlite"), world.cli.path("home.sqlite")).unwrap();
    let original = Place::example("agent.sqlite");
    let (home, server) = (Place::file(&world, "home.sqlite"), Place::database(&database));
    let stores = format!("source = \"{}\"\ntarget = \"{}\"\n", home.address, server.address);
    let text = format!("[migration]\nname = \"agent\"\n{stores}");
    fs::write(world.cli.path("restow.toml"), text).unwrap();
    world.run(&["migrate", "start", "--confirm", "agent"]).expect(0);
    world.run(&["migrate", "rollout", "37"]).expect(0);
    world.run(&["migrate", "rollout", "100"]).expect(0);
    judge.same(&original, &[&server], KINDS);
    world.run(&["migrate", "rollback"]).expect(0);
    judge.same(&original, &[&home], KINDS);
    // What restow keeps for the migration stands beside LangGraph's tables, never in them.
    let file = open(&world.cli.path("home.sqlite"));
    for table in ["control", "journal", "register"] {
        file.execute(&format!("DROP TABLE restow_{table}"), []).unwrap();
    }
    drop(file);
    judge.same_rows(&original, &home);
}

/// The application goes on with LangGraph's own saver when the migration is over.
#[test]
fn what_was_completed_is_resumed_by_the_official_saver() {
    let Some((judge, [database])) = Judge::with_databases() else { return };
    let world = World::example("agent.sqlite");
    fs::copy(example("agent.sqlite"), world.cli.path("home.sqlite")).unwrap();
    let (original, server) = (Place::example("agent.sqlite"), Place::database(&database));
    let stores =
        format!("source = \"langgraph+sqlite:home.sqlite\"\ntarget = \"{}\"", server.address);
    let text = format!("[migration]\nname = \"agent\"\n{stores}\n");
    fs::write(world.cli.path("restow.toml"), text).unwrap();
    world.run(&["migrate", "start", "--confirm", "agent"]).expect(0);
    world.run(&["migrate", "rollout", "100"]).expect(0);
    world.run(&["backup", "create", "--config", "restow.toml", "a.backup"]).expect(0);
    let complete = ["migrate", "complete", "--backup", "a.backup", "--confirm", "agent"];
    world.run(&complete).expect(0);
    judge.same(&original, &[&server], KINDS);
    world.run(&["migrate", "cleanup", "--confirm", "agent"]).expect(0);
    judge.same(&original, &[&server], KINDS);
    let again = Place::file(&world, "again.sqlite");
    world.run(&["backup", "restore", "a.backup", &again.address]).expect(0);
    judge.same_rows(&original, &again);
}
