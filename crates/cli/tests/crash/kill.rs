//! A signal that nobody can handle, at any moment.

use std::time::{Duration, Instant};

use restow_testkit::generate::Random;

use crate::origin::Pair;
use crate::world::World;

const SEED: u64 = 20_261_121;

/// How long a copy takes that nobody disturbs; the shortest of some.
fn undisturbed(world: impl Fn() -> World) -> Duration {
    let run = || {
        let world = world();
        let began = Instant::now();
        world.copy_in_order().expect(0);
        began.elapsed()
    };
    (0..3).map(|_| run()).min().unwrap()
}

/// Kills so many copies, each at a moment of its own, and lets each finish then.
fn kill_each(world: impl Fn() -> World, seed: u64, copies: u64) {
    let mut whole = undisturbed(&world);
    let mut random = Random::new(seed);
    let (mut hits, mut n) = (0, 0);
    while n < copies || (hits * 2 <= copies && n < copies * 4) {
        let world = world();
        match kill(&world, &mut random, whole, (seed, n)) {
            Ok(()) => hits += 1,
            // The machine has become quicker since the undisturbed ones.
            Err(ended) => whole = whole.min(ended),
        }
        world.finish();
        n += 1;
    }
    assert!(hits * 2 > copies, "only {hits} of {copies} died before their end, of {whole:?}");
}

/// Kills copies into one target, none of which finishes unless it comes to its end before.
fn kill_in_a_row(world: impl Fn() -> World, seed: u64) {
    let whole = undisturbed(&world);
    let mut random = Random::new(seed);
    let world = world();
    for n in 0..8 {
        let _ = kill(&world, &mut random, whole, (seed, n));
    }
    world.finish();
}

/// Kills a copy at a moment that is drawn; returns the moment where it had ended before.
fn kill(
    world: &World,
    random: &mut Random,
    whole: Duration,
    (seed, n): (u64, u64),
) -> Result<(), Duration> {
    let fraction = random.fraction();
    let moment = whole.mul_f64(fraction);
    // Shown where the test fails.
    println!("seed {seed}, copy {n}: killed after {moment:?}, {fraction:.3} of {whole:?}");
    let died = world.kill_after(moment);
    world.check_half();
    if died { Ok(()) } else { Err(moment) }
}

#[test]
fn a_copy_at_many_moments() {
    for (pair, seed) in Pair::all().zip(SEED..) {
        kill_each(|| World::new(pair), seed, if pair.served { 8 } else { 25 });
    }
}

#[test]
fn a_copy_that_follows_its_source() {
    for (pair, seed) in Pair::all().zip(SEED + 10..) {
        kill_each(|| World::moved_on(pair), seed, if pair.served { 3 } else { 8 });
    }
}

#[test]
fn a_copy_again_and_again() {
    for (pair, seed) in Pair::all().zip(SEED + 20..) {
        kill_in_a_row(|| World::new(pair), seed);
        kill_in_a_row(|| World::moved_on(pair), seed + 10);
    }
}
