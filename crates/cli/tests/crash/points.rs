//! Every named point, at its first, middle and last pass; at a server, its first and middle one.

use std::collections::BTreeSet;

use restow::store::failpoint::Point;

use crate::needs_failpoints;
use crate::origin::Pair;
use crate::world::World;

/// Lets a copy die at a pass of a point, and the next one finish; false where it never came there.
fn dies_at(mut world: World, point: Point, pass: u64) -> bool {
    world.cli.set("RESTOW_FAILPOINT", format!("{}:{pass}=kill", point.name()));
    let died = world.copy_in_order();
    world.cli.set("RESTOW_FAILPOINT", "");
    if died.code.is_some() {
        died.expect(0);
        world.check_whole();
        return false;
    }
    println!("{:?}: died at pass {pass} of {}", world.pair, point.name());
    world.check_half();
    world.finish();
    true
}

/// Returns how often a copy that nobody disturbs passes each point.
fn passes(mut world: World) -> Vec<(Point, u64)> {
    world.cli.set("RESTOW_FAILPOINT", "count");
    let told = world.copy_in_order().expect(0).err;
    let told = |point: &Point| {
        let line = told.lines().find_map(|line| line.strip_prefix(point.name())?.strip_prefix(' '));
        line.expect("every point is told").parse().expect("a number")
    };
    Point::ALL.iter().map(|point| (*point, told(point))).collect()
}

/// Dies at the first, middle and last pass of each point; each has to be passed that is listed.
fn die_everywhere(served: bool, world: impl Fn() -> World, passed: impl Fn(Point) -> bool) {
    needs_failpoints();
    for (point, times) in passes(world()) {
        if point.is_of_backup() {
            continue;
        }
        println!("{}: {times} times", point.name());
        assert_eq!(times > 0, passed(point), "{} was passed {times} times", point.name());
        // A database for each takes longer than a file.
        let last = if served { 1 } else { times };
        for pass in BTreeSet::from([1, times.midpoint(1), last]) {
            // What runs side by side may pass a point once less often.
            let dies = |pass| dies_at(world(), point, pass);
            assert!(times == 0 || dies(pass) || dies(pass - 1), "{point:?}: not at pass {pass}");
        }
    }
}

fn is_of_staging(point: Point) -> bool {
    matches!(point, Point::Staged | Point::Promote | Point::Promoted)
}

fn die_in_all(pairs: impl IntoIterator<Item = Pair>) {
    for pair in pairs {
        die_everywhere(
            pair.served,
            || World::new(pair),
            |point| pair.large || !is_of_staging(point),
        );
    }
}

/// What is staged at first is compared and changed in place later.
fn die_in_all_that_follow(pairs: impl IntoIterator<Item = Pair>) {
    for pair in pairs {
        die_everywhere(pair.served, || World::moved_on(pair), |point| !is_of_staging(point));
    }
}

#[test]
fn small_units() {
    die_in_all(Pair::FILES.into_iter().filter(|pair| !pair.large));
}

#[test]
fn units_that_are_staged() {
    die_in_all(Pair::FILES.into_iter().filter(|pair| pair.large));
}

#[test]
fn copies_that_follow_their_source() {
    die_in_all_that_follow(Pair::FILES);
}

#[test]
fn small_units_to_a_server() {
    die_in_all(Pair::served().filter(|pair| !pair.large));
}

#[test]
fn units_that_are_staged_on_a_server() {
    die_in_all(Pair::served().filter(|pair| pair.large));
}

#[test]
fn copies_to_a_server_that_follow_their_source() {
    die_in_all_that_follow(Pair::served());
}
