//! There and back: into a parts file, and out of it into a file of LangGraph's.

use std::path::Path;

use restow_testkit::generate;

use crate::Judge;
use crate::common::{World, example};

const HOME: &str = "langgraph+sqlite:home.sqlite";

/// Copies the application's file there and back; each store equals the one before.
fn there_and_back(world: &World) {
    world.run(&["copy", "app/agent.db", "agent.restow"]).expect(0);
    world.run(&["copy", "agent.restow", HOME]).expect(0);
    world.run(&["verify", "app/agent.db", "home.sqlite"]).expect(0);
    // Neither copy leaves anything beside its target but its ledger.
    let of_the_copies = |name: &String| name.starts_with("agent.") || name.starts_with("home.");
    let left: Vec<String> = world.cli.files().into_iter().filter(of_the_copies).collect();
    let ledgers = ["agent.restow", "home.sqlite"]
        .map(|file| ["", ".ledger", ".ledger.lock"].map(|ending| format!("{file}{ending}")));
    assert_eq!(left, ledgers.as_flattened());
}

fn judged(judge: &Judge, original: &Path, world: &World, kinds: &str) {
    let home = world.cli.path("home.sqlite");
    judge.asked("rows", &[original, &home], &[]);
    judge.asked("equal", &[original, &home], &[]);
    let reference = original.to_str().unwrap();
    judge.asked("resume", &[&home], &["--reference", reference, "--require", kinds]);
}

#[test]
fn the_newest_example_comes_back_and_every_thread_resumes() {
    let Some(judge) = Judge::find() else { return };
    let world = World::example("agent.sqlite");
    there_and_back(&world);
    let kinds = "interrupt,subgraph,fanout,fork-head,old-checkpoint,delta,failed,continue";
    judged(&judge, &example("agent.sqlite"), &world, kinds);
}

#[test]
fn the_old_example_comes_back_in_the_newest_shape() {
    let Some(judge) = Judge::find() else { return };
    let world = World::example("agent-old.sqlite");
    there_and_back(&world);
    judged(&judge, &example("agent-old.sqlite"), &world, "interrupt,fanout,subgraph");
}

#[test]
fn a_generated_file_comes_back() {
    let Some(judge) = Judge::find() else { return };
    let world = World::new(|path| {
        generate::agent(path, 5, 6, 20_261_121);
        generate::mark_write_ahead(path);
    });
    there_and_back(&world);
    let (app, home) = (world.cli.path("app/agent.db"), world.cli.path("home.sqlite"));
    judge.asked("rows", &[&app, &home], &[]);
    judge.asked("equal", &[&app, &home], &[]);
}

#[test]
fn a_copy_within_the_layout_is_the_same_file() {
    let Some(judge) = Judge::find() else { return };
    let world = World::example("agent.sqlite");
    world.run(&["copy", "app/agent.db", HOME]).expect(0);
    judge.asked("rows", &[&example("agent.sqlite"), &world.cli.path("home.sqlite")], &[]);
}
