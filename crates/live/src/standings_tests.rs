//! Lists of two moments, made so by hand.
#![allow(clippy::expect_used, reason = "a test ends loudly")]

use std::sync::Arc;

use futures::stream;
use restow_model::{Body, Control, Dialect, HomeState, Key, Record};
use restow_store::clock::ManualClock;
use restow_store::memory::{MemoryOptions, MemoryStore};
use restow_store::{Batch, Guard, Op, Stamp, Store as _, Then, UnitOps, UnitOutcome};

use super::*;
use crate::config::{Config, Phase};
use crate::fleet::joined;
use crate::{Pair, RouterOptions};

fn unit() -> UnitId {
    UnitId::new("thread")
}

/// A router, and the stores of which the source holds a unit.
async fn world() -> (Router, [MemoryStore; 2]) {
    let stores = [(); 2].map(|()| MemoryStore::new(MemoryOptions::strong()));
    let [source, target] = stores.clone();
    let record = Record::new(Key::of("record").int(1).build(), Body::text("text"));
    let ops = vec![Op::put(record)];
    let ops = UnitOps::new(unit(), Dialect::Any, Guard::Unmanaged, ops, Then::Keep);
    source.apply(Batch { units: vec![ops] }).await.expect("an outcome");
    let pair = Pair::open("m", (Arc::new(source), "s"), (Arc::new(target), "t")).await;
    let config = Config { phase: Phase::Move, share: 5_000, ..Config::default() };
    let options = RouterOptions::new("router", Arc::new(ManualClock::default()));
    (Router::with_config(pair.expect("two stores"), config, options), stores)
}

/// The source is listed before a unit moves, the target after it: both lists call it live.
#[tokio::test]
async fn a_unit_that_moved_between_two_lists_is_not_damaged() {
    let (router, [source, target]) = world().await;
    router.move_to(&unit(), Side::Target).await.expect("a move");
    router.move_to(&unit(), Side::Source).await.expect("a move");
    let before = source.units().await.expect("a list");
    router.move_to(&unit(), Side::Target).await.expect("a move");
    let after = target.units().await.expect("a list");
    let listed: Vec<_> = joined(before, after).collect().await;
    let home = |listed: &Listed| router.damage(listed);
    let shown: Vec<_> = listed.iter().flatten().map(home).collect();
    assert_eq!(shown, [Some(Damage::TwoHomes)], "the lists show what never was");
    let count = router.counted(stream::iter(listed)).await.expect("a count");
    assert_eq!((count.damaged, count.at_target), (0, 1));
}

/// The control record that a store has of the unit.
async fn control(store: &MemoryStore) -> Box<Control> {
    let (_, control) =
        store.units().await.expect("a list").next().await.expect("a unit").expect("it");
    Box::new(control.expect("it can be read").expect("a control record"))
}

/// What is really so is said: two homes, made by hand.
#[tokio::test]
async fn two_homes_are_damage() {
    let (router, [source, _]) = world().await;
    router.move_to(&unit(), Side::Target).await.expect("a move");
    let sealed = control(&source).await;
    let live = Control { state: HomeState::Live, ..(*sealed).clone() };
    let guard = Guard::Exactly(Stamp::Control(sealed));
    let ops = UnitOps::new(unit(), Dialect::Any, guard, vec![], Then::Keep);
    let ops = UnitOps { control: Some(Box::new(live)), ..ops };
    let done = source.apply(Batch { units: vec![ops] }).await.expect("an outcome");
    assert!(done.iter().all(UnitOutcome::is_applied), "{done:?}");
    let count = router.standings().await.expect("a count");
    assert_eq!(count.damaged_units, [(unit(), Damage::TwoHomes.why().to_owned())]);
}
