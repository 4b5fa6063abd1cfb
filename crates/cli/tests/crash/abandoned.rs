//! Staged copies that nobody goes on with: shown, never read as part of a unit, and
//! gone with the next copy of the unit.

use crate::origin::Pair;
use crate::world::World;

/// A staged unit whose copy died for good; the checks are that of any half copy.
fn abandoned() -> Option<World> {
    let pair = Pair::served().find(|pair| pair.home && pair.large)?;
    Some(abandoned_at("promote", pair, &[]))
}

fn abandoned_at(point: &str, pair: Pair, options: &[&str]) -> World {
    crate::needs_failpoints();
    let mut world = World::new(pair);
    world.cli.set("RESTOW_FAILPOINT", format!("{point}=kill"));
    let [from, to] = world.addresses();
    let died = world.cli.run(&[&["copy", "--jobs", "1", &from, &to], options].concat());
    assert_eq!(died.code, None, "{died:?}");
    world.cli.set("RESTOW_FAILPOINT", "");
    world.check_half();
    assert!(world.staged() > 0, "nothing was staged");
    world
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

/// The first share is staged before the ledger knows how far that is.
#[test]
fn it_goes_though_its_unit_is_gone_from_the_source() {
    for pair in Pair::all().filter(|pair| pair.large) {
        for options in [&[][..], &["--units", "*"]] {
            let mut world = abandoned_at("staged", pair, options);
            world.lose_the_large_unit();
            world.finish();
        }
    }
}
