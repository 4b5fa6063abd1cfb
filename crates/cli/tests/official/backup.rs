//! What comes out of a backup is what LangGraph wrote, and its savers go on from there.

use restow_testkit::postgres::Database;

use crate::Judge;
use crate::common::World;
use crate::places::Place;

const KINDS: &str = "interrupt,subgraph,fanout,fork-head,old-checkpoint,delta,failed,continue";

#[test]
fn restored_files_and_tables_are_read_and_resumed() {
    let Some((judge, [database])) = Judge::with_databases() else { return };
    let world = World::example("agent.sqlite");
    let original = Place::example("agent.sqlite");
    let (file, server) = (Place::file(&world, "back.sqlite"), Place::database(&database));
    world.run(&["backup", "create", "app/agent.db", "a.backup"]).expect(0);
    for place in [&file, &server] {
        world.run(&["backup", "restore", "a.backup", &place.address]).expect(0);
        world.run(&["verify", "app/agent.db", &place.address]).expect(0);
    }
    judge.same(&original, &[&file, &server], KINDS);
    judge.same_rows(&original, &file);
}

/// A backup of a server and of compact stores, restored into a server and into compact stores.
#[test]
fn every_store_is_backed_up_and_restored() {
    let Some((judge, databases)) = Judge::with_databases::<2>() else { return };
    let world = World::example("agent.sqlite");
    let [native, back] = &databases;
    let (original, again) = (Place::database(native), Place::database(back));
    judge.says("examples", &[&original.judged]);
    let parts = |database: &Database| database.address("parts");
    world.run(&["backup", "create", &original.address, "native.backup"]).expect(0);
    world.run(&["backup", "restore", "native.backup", &parts(native)]).expect(0);
    world.run(&["backup", "create", &parts(native), "parts.backup"]).expect(0);
    world.run(&["backup", "restore", "parts.backup", "compact.restow"]).expect(0);
    world.run(&["backup", "create", "compact.restow", "compact.backup"]).expect(0);
    world.run(&["backup", "restore", "compact.backup", &again.address]).expect(0);
    judge.same(&original, &[&again], KINDS);
    judge.same_rows(&original, &again);
}
