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

/// Dies at the first pass of a point and at a later one; returns how often it died.
fn die_twice(world: impl Fn() -> World, point: Point) -> u64 {
    [1, 3].into_iter().take_while(|pass| dies_at(world(), point, *pass)).count() as u64
}

/// Dies at every point of one kind of copy; each has to be passed that is listed.
fn die_everywhere(served: bool, world: impl Fn() -> World, passed: impl Fn(Point) -> bool) {
    needs_failpoints();
    for point in Point::ALL.iter().filter(|point| !point.is_of_backup()) {
        let times = match served {
            // A database for each takes longer than a file.
            true => die_twice(&world, *point),
            false => die_all_over(&world, *point),
        };
        println!("{}: {times} times", point.name());
        assert_eq!(times > 0, passed(*point), "{} was passed {times} times", point.name());
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
