//! Staged copies that nobody goes on with: shown, never read as part of a unit, and
//! gone with the next copy of the unit.

use crate::origin::Pair;
use crate::served;
use crate::world::World;

/// A staged unit whose copy died for good; the checks are that of any half copy.
fn abandoned() -> Option<World> {
    crate::needs_failpoints();
    let mut world = World::new(Pair::served().find(|pair| pair.home && pair.large)?);
    world.cli.set("RESTOW_FAILPOINT", "promote=kill");
    let died = world.copy_in_order();
    assert_eq!(died.code, None, "{died:?}");
    world.cli.set("RESTOW_FAILPOINT", "");
    world.check_half();
    assert!(served::left(world.database().unwrap()) > 0, "nothing was staged");
    Some(world)
}

#[test]
fn the_schemas_status_shows_it() {
    let Some(world) = abandoned() else { return };
    let [_, to] = world.addresses();
    let shown = world.cli.run(&["schema", "status", &to]).expect(0).out;
    assert!(
        shown.contains("0 threads, 0 checkpoints, ") && shown.contains("1 thread is half written"),
        "{shown}"
    );
}

#[test]
fn it_is_no_unit_of_a_source() {
    let Some(world) = abandoned() else { return };
    let [_, to] = world.addresses();
    let out = world.cli.run(&["copy", &to, "b.restow", "--json"]).expect(0).out;
    assert!(out.contains("\"copied\":0"), "{out}");
}

#[test]
fn a_copy_under_another_ledger_begins_anew() {
    let Some(world) = abandoned() else { return };
    let [from, to] = world.addresses();
    world.cli.run(&["copy", &from, &to, "--ledger", "other"]).expect(0);
    world.check_whole();
}
