//! Every named point, at its first, middle and last pass.

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

/// Dies at the first, middle and last pass of a point; returns how often a copy passes it.
fn die_all_over(world: impl Fn() -> World, point: Point) -> u64 {
    let dies = |pass| dies_at(world(), point, pass);
    let (mut low, mut high, mut died) = (0, 1, BTreeSet::new());
    while dies(high) {
        died.insert(high);
        (low, high) = (high, high * 2);
    }
    while high - low > 1 {
        let middle = low.midpoint(high);
        match dies(middle) {
            true => low = middle,
            false => high = middle,
        }
        died.insert(middle);
    }
    // The search has been at the first pass and the last.
    let middle = low.midpoint(1);
    if low > 0 && !died.contains(&middle) {
        assert!(dies(middle), "{point:?} is passed {low} times, and not at {middle}");
    }
    low
}

/// Dies at every point of one kind of copy; each has to be passed that is listed.
fn die_everywhere(world: impl Fn() -> World, passed: impl Fn(Point) -> bool) {
    needs_failpoints();
    for point in Point::ALL {
        let times = die_all_over(&world, *point);
        println!("{}: {times} times", point.name());
        assert_eq!(times > 0, passed(*point), "{} was passed {times} times", point.name());
    }
}

fn is_of_staging(point: Point) -> bool {
    matches!(point, Point::Staged | Point::Promote | Point::Promoted)
}

#[test]
fn small_units() {
    die_everywhere(|| World::new(Pair { home: false, large: false }), |p| !is_of_staging(p));
}

#[test]
fn small_units_on_their_way_home() {
    die_everywhere(|| World::new(Pair { home: true, large: false }), |p| !is_of_staging(p));
}

#[test]
fn a_unit_that_is_staged() {
    die_everywhere(|| World::new(Pair { home: false, large: true }), |_| true);
}

#[test]
fn a_unit_that_is_staged_on_its_way_home() {
    die_everywhere(|| World::new(Pair { home: true, large: true }), |_| true);
}

#[test]
fn a_copy_that_follows_its_source() {
    for pair in Pair::ALL {
        // What is staged at first is compared and changed in place later.
        die_everywhere(|| World::moved_on(pair), |p| !is_of_staging(p));
    }
}
