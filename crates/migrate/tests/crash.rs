//! Attempts that die at every point they pass, and the next ones that finish.
//!
//! What is armed is armed for the whole process: the tests of this file take turns.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::*;
use futures::StreamExt;
use restow_migrate::{CopyOptions, CopyReport, Progress, Stop, UnitFilter, copy};
use restow_model::{Key, Token, UnitId};
use restow_store::failpoint::{Point, arm};
use restow_store::memory::{MemoryOptions, MemoryStore};
use restow_store::{Expect, Op, Selection};
use std::sync::Arc;
use tokio::sync::Mutex;

static TURN: Mutex<()> = Mutex::const_new(());

/// The points that a memory store or a copy into one passes.
fn points() -> impl Iterator<Item = Point> {
    // Those two lie inside an engine's transaction.
    let inside = [Point::BeforeCommit, Point::Committed];
    Point::ALL.iter().copied().filter(move |p| !inside.contains(p) && !p.is_of_backup())
}

/// Kills attempts at the first, second, … pass of a point, each resumed, until one passes it less
/// often; returns how often that was.
async fn die_everywhere(world: impl AsyncFn() -> World, point: Point) -> u64 {
    for at in 1.. {
        let world = world().await;
        arm(&format!("{}:{at}=error", point.name())).unwrap();
        let died = world.copy().await;
        arm("").unwrap();
        let finished = world.copy().await.unwrap();
        assert!(finished.is_clean(), "{point:?} {at}: {finished:?}");
        world.assert_equal().await;
        let third = world.copy().await.unwrap();
        let settled = third.units.unchanged;
        assert_eq!(settled, contents(&*world.source).await.len() as u64, "{point:?} {at}");
        if died.is_ok() {
            return at - 1;
        }
    }
    0
}

fn one_job(world: World) -> World {
    let options = CopyOptions { jobs: 1, ..world.options.clone() };
    World { options, ..world }
}

#[tokio::test]
async fn a_first_copy_that_died_anywhere_is_finished_by_the_next() {
    let _turn = TURN.lock().await;
    let mut passed = Vec::new();
    for point in points() {
        let world = async || {
            let world = one_job(World::new(narrow(1000), narrow(3)));
            fill(&*world.source, 2, 2).await;
            fill(&*world.source, 1, 9).await;
            put(&*world.source, "z", &[(1, "a")]).await;
            world
        };
        passed.push((point, die_everywhere(world, point).await));
    }
    assert!(passed.iter().all(|(_, n)| *n > 0), "{passed:?}");
}

#[tokio::test]
async fn a_re_run_that_died_anywhere_is_finished_by_the_next() {
    let _turn = TURN.lock().await;
    for point in points() {
        let world = async || {
            let world = one_job(World::new(narrow(1000), narrow(3)));
            fill(&*world.source, 3, 2).await;
            put(&*world.source, "big", &[(1, "a"), (2, "a"), (3, "a"), (4, "a"), (5, "a")]).await;
            world.copy().await.unwrap();
            let ops = (1..12).map(|n| Op::put(record(n, "b"))).collect();
            change(&*world.source, "big", ops).await;
            put(&*world.source, "u00", &[(1, "b")]).await;
            change(&*world.source, "u01", vec![Op::Clear]).await;
            put(&*world.source, "new", &[(1, "b")]).await;
            world
        };
        die_everywhere(world, point).await;
    }
}

#[tokio::test]
async fn a_store_with_one_record_an_apply_and_lost_answers_survives_as_well() {
    let _turn = TURN.lock().await;
    for point in [Point::Staged, Point::Promote, Point::Promoted, Point::ReadBack, Point::Saved] {
        let world = async || {
            let weak = MemoryStore::new(MemoryOptions::weakest());
            let world = one_job(World::new(narrow(1000), weak));
            fill(&*world.source, 2, 4).await;
            world
        };
        die_everywhere(world, point).await;
    }
}

/// Dies inside the staging of a unit of nine records and changes its source then.
async fn changed_while_staged(at: u64, ops: Vec<Op>) {
    let world = one_job(World::new(narrow(1000), narrow(2)));
    fill(&*world.source, 1, 9).await;
    arm(&format!("saved:{at}=error")).unwrap();
    world.copy().await.unwrap_err();
    arm("").unwrap();
    let summary = &world.ledger.summaries().await.unwrap()[0];
    assert_eq!(summary.units, 0);
    let gone = ops == [Op::Clear];
    change(&*world.source, "u00", ops).await;
    let report = world.copy().await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.units.copied, u64::from(!gone));
    world.assert_equal().await;
}

#[tokio::test]
async fn a_source_that_moves_between_two_attempts_at_a_unit_is_staged_anew() {
    let _turn = TURN.lock().await;
    for at in 1..=4 {
        let last = Key::of("item").int(8).build();
        let remove = Op::Remove { key: last, expect: Expect::Any };
        changed_while_staged(at, vec![Op::put(record(0, "changed"))]).await;
        changed_while_staged(at, vec![Op::put(record(8, "changed"))]).await;
        changed_while_staged(at, vec![remove]).await;
        changed_while_staged(at, vec![Op::Clear, Op::put(record(1, "one"))]).await;
        changed_while_staged(at, vec![Op::Clear]).await;
    }
}

impl World {
    /// Lets a copy of some units die at a point; returns what the ledger says may be staged.
    async fn dies_at(&self, units: &UnitFilter, point: &str) -> Vec<(UnitId, Token)> {
        arm(&format!("{point}=error")).unwrap();
        self.copy_of(units).await.unwrap_err();
        arm("").unwrap();
        self.stagings().await
    }

    async fn copy_of(&self, units: &UnitFilter) -> restow_store::Result<CopyReport> {
        self.copy_with(CopyOptions { units: units.clone(), ..self.options.clone() }).await
    }

    async fn stagings(&self) -> Vec<(UnitId, Token)> {
        let migration = self.ledger.open("memory:", "memory:", 0).await.unwrap();
        self.ledger.stagings(migration).await.unwrap()
    }

    async fn is_staged(&self, (unit, token): &(UnitId, Token)) -> bool {
        let what = Selection::staged(token.clone());
        let mut frames = self.target.read(vec![unit.clone()], what).await.unwrap();
        frames.next().await.is_some()
    }
}

fn ways_to_ask() -> [UnitFilter; 3] {
    let list = UnitFilter::List([unit("u00")].into());
    [UnitFilter::All, list, UnitFilter::Glob("u*".into())]
}

#[tokio::test]
async fn what_was_staged_goes_with_its_unit_wherever_the_copy_died() {
    let _turn = TURN.lock().await;
    let one = Op::put(record(1, "one"));
    for (first, second) in
        ways_to_ask().into_iter().flat_map(|f| ways_to_ask().map(|s| (f.clone(), s)))
    {
        for point in ["saved", "apply", "staged", "staged:3", "promote"] {
            for ops in [vec![Op::Clear], vec![Op::Clear, one.clone()]] {
                let world = one_job(World::new(narrow(1000), narrow(2)));
                fill(&*world.source, 1, 9).await;
                let stagings = world.dies_at(&first, point).await;
                assert_eq!(stagings.len(), 1, "{first:?} {point}");
                let was_staged = !["saved", "apply"].contains(&point);
                assert_eq!(world.is_staged(&stagings[0]).await, was_staged, "{first:?} {point}");
                change(&*world.source, "u00", ops).await;
                let report = world.copy_of(&second).await.unwrap();
                assert!(report.is_clean(), "{first:?} {point} {second:?}: {report:?}");
                assert!(!world.is_staged(&stagings[0]).await, "{first:?} {point} {second:?}");
                assert_eq!(world.stagings().await, []);
                world.assert_equal().await;
            }
        }
    }
}

#[tokio::test]
async fn a_copy_of_other_units_leaves_alone_what_can_be_resumed() {
    let _turn = TURN.lock().await;
    let world = one_job(World::new(narrow(1000), narrow(2)));
    fill(&*world.source, 1, 9).await;
    put(&*world.source, "z", &[(1, "a")]).await;
    let stagings = world.dies_at(&UnitFilter::All, "saved:4").await;
    let report = world.copy_of(&UnitFilter::List([unit("z")].into())).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert!(world.is_staged(&stagings[0]).await);
    assert_eq!(world.stagings().await, stagings);
    assert!(world.copy().await.unwrap().is_clean());
    assert_eq!(world.stagings().await, []);
    world.assert_equal().await;
}

#[tokio::test]
async fn a_resumed_unit_does_not_stage_again_what_is_staged() {
    let _turn = TURN.lock().await;
    let world = one_job(World::new(narrow(1000), narrow(2)));
    fill(&*world.source, 1, 20).await;
    arm("saved:6=error").unwrap();
    world.copy().await.unwrap_err();
    arm("").unwrap();
    let migration = world.ledger.open("memory:", "memory:", 0).await.unwrap();
    let (_, segments) = world.ledger.interrupted(migration).await.unwrap().unwrap();
    let partial = segments.iter().find_map(|s| s.partial.clone()).unwrap();
    assert_eq!((partial.unit, partial.staged.records), (unit("u00"), 10));
    let report = world.copy().await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.units.copied, 1);
}

#[tokio::test]
async fn a_stop_in_the_middle_is_resumed_where_it_was() {
    let _turn = TURN.lock().await;
    let world = one_job(World::new(narrow(1000), narrow(3)));
    fill(&*world.source, 30, 7).await;
    let stop = Stop::new();
    let options = CopyOptions { stop: stop.clone(), ..world.options.clone() };
    let progress = Arc::new(Progress::new());
    let running = copy(
        world.source.clone(),
        world.target.clone(),
        world.ledger.clone(),
        Arc::new(StillClock::default()),
        options,
        progress.clone(),
    );
    let watching = async {
        while progress.snapshot().units < 5 {
            tokio::task::yield_now().await;
        }
        stop.stop();
    };
    let (report, ()) = tokio::join!(running, watching);
    let report = report.unwrap();
    assert!(report.interrupted && report.units.copied >= 5, "{report:?}");
    let rest = world.copy().await.unwrap();
    assert!(rest.is_clean(), "{rest:?}");
    assert_eq!(report.units.copied + rest.units.copied, 30, "{report:?} {rest:?}");
    world.assert_equal().await;
}

#[tokio::test]
async fn several_workers_that_die_together_are_followed_by_several_that_finish() {
    let _turn = TURN.lock().await;
    for at in 1..120 {
        let world = World::new(narrow(1000), narrow(3));
        fill(&*world.source, 6, 2).await;
        fill(&*world.source, 3, 7).await;
        let options = CopyOptions { jobs: 3, ..world.options.clone() };
        let world = World { options, ..world };
        arm(&format!("any:{at}=error")).unwrap();
        let died = world.copy().await;
        arm("").unwrap();
        let finished = world.copy().await.unwrap();
        assert!(finished.is_clean(), "{at}: {finished:?}");
        world.assert_equal().await;
        if died.is_ok() {
            return;
        }
    }
    panic!("a copy of nine units passes that many points");
}
