//! Whole copies: first runs, re-runs by watermark, large units, what is refused and why.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;

use common::tamper::Tampered;
use common::*;
use restow_migrate::{CopyOptions, Extra, OnUnsupported, Outcome, Stop, UnitFilter, Units, What};
use restow_model::{Dialect, Key};
use restow_store::memory::{MemoryOptions, MemoryStore};
use restow_store::{Capabilities, ErrorKind, Op};

#[tokio::test]
async fn a_first_copy_makes_both_sides_equal_and_a_second_changes_nothing() {
    let world = World::new(MemoryStore::default(), MemoryStore::default());
    fill(&*world.source, 40, 3).await;
    let report = world.copy().await.unwrap();
    assert_eq!(report.outcome(), Outcome::Clean, "{report:?}");
    assert_eq!((report.units.copied, report.records), (40, 120));
    world.assert_equal().await;
    let again = world.copy().await.unwrap();
    assert!(again.is_clean(), "{again:?}");
    assert_eq!((again.units.unchanged, again.units.copied, again.records), (40, 0, 0));
    assert!(world.verify().await.is_clean());
}

#[tokio::test]
async fn an_empty_source_is_copied() {
    let world = World::new(MemoryStore::default(), MemoryStore::default());
    assert!(world.copy().await.unwrap().is_clean());
}

#[tokio::test]
async fn every_kind_of_store_takes_a_copy() {
    for options in [MemoryOptions::strong(), MemoryOptions::weakest(), MemoryOptions::plain()] {
        let world = World::new(MemoryStore::new(options.clone()), MemoryStore::new(options));
        for n in 0..9 {
            for r in 0..4 {
                put(&*world.source, &format!("u{n}"), &[(r, "x")]).await;
            }
        }
        let report = world.copy().await.unwrap();
        assert!(report.is_clean(), "{report:?}");
        world.assert_equal().await;
        let again = world.copy().await.unwrap();
        assert_eq!(again.units.unchanged, 9, "{again:?}");
    }
}

#[tokio::test]
async fn a_large_unit_is_staged_and_seen_only_whole() {
    let world = World::new(narrow(1000), narrow(3));
    fill(&*world.source, 3, 20).await;
    put(&*world.source, "small", &[(1, "a")]).await;
    let report = world.copy().await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.units.copied, 4);
    world.assert_equal().await;
    assert_eq!(world.copy().await.unwrap().units.unchanged, 4);
}

#[tokio::test]
async fn the_target_follows_where_only_the_source_moved_on() {
    for records in [1000, 4] {
        let world = World::new(narrow(1000), narrow(records));
        fill(&*world.source, 4, 12).await;
        assert!(world.copy().await.unwrap().is_clean());
        // One unit changes a little, one grows, one shrinks below any limit, one goes.
        put(&*world.source, "u00", &[(3, "new"), (99, "more")]).await;
        remove(&*world.source, "u00", 5).await;
        let ops = (20..60).map(|n| Op::put(record(n, "grown"))).collect();
        change(&*world.source, "u01", ops).await;
        change(&*world.source, "u02", vec![Op::Clear, Op::put(record(1, "only"))]).await;
        change(&*world.source, "u03", vec![Op::Clear]).await;
        let report = world.copy().await.unwrap();
        assert!(report.is_clean(), "{report:?}");
        assert_eq!((report.units.updated, report.units.removed), (3, 1), "{report:?}");
        world.assert_equal().await;
    }
}

#[tokio::test]
async fn a_target_that_moved_on_is_refused_and_left_as_it_is() {
    for records in [1000, 4] {
        let world = World::new(narrow(1000), narrow(records));
        fill(&*world.source, 4, 6).await;
        world.copy().await.unwrap();
        put(&*world.target, "u00", &[(1, "theirs")]).await;
        put(&*world.target, "u01", &[(1, "theirs")]).await;
        put(&*world.source, "u01", &[(1, "ours")]).await;
        put(&*world.target, "u02", &[(1, "same")]).await;
        put(&*world.source, "u02", &[(1, "same")]).await;
        put(&*world.target, "u03", &[(1, "theirs")]).await;
        change(&*world.source, "u03", vec![Op::Clear]).await;
        let before = contents(&*world.target).await;
        let report = world.copy().await.unwrap();
        assert_eq!(contents(&*world.target).await, before);
        assert_eq!(report.outcome(), Outcome::Incomplete);
        assert_eq!(report.units.adopted, 1);
        let why: Vec<(String, &str)> = report
            .failures
            .iter()
            .map(|f| (f.unit.clone().unwrap().to_string(), &*f.why))
            .collect();
        assert_eq!(why.len(), 3, "{why:?}");
        assert!(why[0].0 == "u00" && why[0].1.starts_with("the target moved on"), "{why:?}");
        assert!(why[1].0 == "u01" && why[1].1.contains("both moved on"), "{why:?}");
        assert!(why[2].0 == "u03" && why[2].1.starts_with("it is gone"), "{why:?}");
    }
}

#[tokio::test]
async fn without_a_watermark_equal_units_are_adopted_and_others_refused() {
    for records in [1000, 4] {
        let world = World::new(narrow(1000), narrow(records));
        fill(&*world.source, 2, 6).await;
        let lost = World::new(narrow(1), narrow(1));
        world.copy().await.unwrap();
        put(&*world.target, "u01", &[(1, "theirs")]).await;
        let world = World { ledger: lost.ledger, ..world };
        let report = world.copy().await.unwrap();
        assert_eq!((report.units.adopted, report.failures.len()), (1, 1), "{report:?}");
        assert!(report.failures[0].why.contains("never copied"));
    }
}

#[tokio::test]
async fn a_unit_that_is_gone_at_the_target_is_copied_again() {
    for records in [1000, 4] {
        let world = World::new(narrow(1000), narrow(records));
        fill(&*world.source, 3, 6).await;
        world.copy().await.unwrap();
        change(&*world.target, "u01", vec![Op::Clear]).await;
        let report = world.copy().await.unwrap();
        assert!(report.is_clean(), "{report:?}");
        assert_eq!((report.units.copied, report.units.unchanged), (1, 2));
    }
}

#[tokio::test]
async fn extra_units_stay_unless_their_removal_was_asked_for() {
    let world = World::new(MemoryStore::default(), MemoryStore::default());
    fill(&*world.source, 3, 2).await;
    put(&*world.target, "theirs", &[(1, "a")]).await;
    let report = world.copy().await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.swept.unwrap().extra_units, 1);
    assert_eq!(world.verify().await.count(What::UnitExtra), 1);
    let options = CopyOptions { extra: Extra::Delete, ..world.options.clone() };
    let report = world.copy_with(options).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.units.extra_removed, report.swept.unwrap().extra_units), (1, 0));
    world.assert_equal().await;
}

#[tokio::test]
async fn a_damaged_unit_is_not_copied_in_part_and_the_rest_goes_on() {
    for records in [1000, 4] {
        let source = narrow(1000);
        let world = World::new(source.clone(), narrow(records));
        fill(&*world.source, 3, 9).await;
        source.damage(&unit("u01"), &Key::of("item").int(7).build(), "it is torn");
        let report = world.copy().await.unwrap();
        assert_eq!(report.outcome(), Outcome::Incomplete);
        assert_eq!((report.units.copied, report.failures.len()), (2, 1), "{report:?}");
        let failure = &report.failures[0];
        assert_eq!((&*failure.what, &failure.unit), ("damaged", &Some(unit("u01"))));
        assert!(failure.why.contains("it is torn") && failure.why.contains("item(7)"));
        assert_eq!(contents(&*world.target).await.len(), 2);
        let aside = CopyOptions { unsupported: OnUnsupported::Aside, ..world.options.clone() };
        let report = world.copy_with(aside).await.unwrap();
        assert_eq!((report.outcome(), report.aside.len()), (Outcome::SetAside, 1), "{report:?}");
    }
}

#[tokio::test]
async fn what_the_target_cannot_hold_is_refused_before_anything_of_its_unit_is_written() {
    let options = MemoryOptions { kinds: Some(&["item"]), ..MemoryOptions::strong() };
    let world = World::new(MemoryStore::default(), MemoryStore::new(options));
    fill(&*world.source, 2, 2).await;
    let odd = restow_model::Record::new(Key::of("odd").int(1).build(), Default::default());
    change(&*world.source, "u01", vec![Op::put(odd)]).await;
    let dry = CopyOptions { dry_run: true, ..world.options.clone() };
    let planned = world.copy_with(dry).await.unwrap().planned.unwrap();
    assert_eq!((planned.units, planned.new, planned.unfit), (2, 1, 1), "{planned:?}");
    assert_eq!(planned.unsupported_records, 1);
    let first = CopyOptions { plan_first: true, ..world.options.clone() };
    let error = world.copy_with(first).await.unwrap_err();
    assert_eq!(error.kind(), restow_store::ErrorKind::Refused);
    assert!(contents(&*world.target).await.is_empty());
    let report = world.copy().await.unwrap();
    assert_eq!((report.units.copied, report.failures.len()), (1, 1), "{report:?}");
    assert_eq!(&*report.failures[0].what, "unsupported");
    assert_eq!(contents(&*world.target).await.len(), 1);
}

#[tokio::test]
async fn units_of_another_language_are_refused_by_name() {
    let world = World::new(MemoryStore::default(), MemoryStore::default());
    change_as(&*world.source, "js", Dialect::JavaScript, vec![Op::put(record(1, "a"))]).await;
    let report = world.copy().await.unwrap();
    assert_eq!((report.failures.len(), &*report.failures[0].what), (1, "refused"));
    assert!(contents(&*world.target).await.is_empty());
}

#[tokio::test]
async fn a_dry_run_tells_and_writes_nothing() {
    let world = World::new(MemoryStore::default(), MemoryStore::default());
    fill(&*world.source, 4, 2).await;
    let dry = CopyOptions { dry_run: true, ..world.options.clone() };
    let planned = world.copy_with(dry.clone()).await.unwrap().planned.unwrap();
    assert_eq!((planned.units, planned.new, planned.records), (4, 4, 8));
    assert!(contents(&*world.target).await.is_empty());
    assert!(world.ledger.summaries().await.unwrap().is_empty());
    world.copy().await.unwrap();
    put(&*world.source, "u00", &[(1, "new")]).await;
    put(&*world.target, "u01", &[(1, "new")]).await;
    put(&*world.source, "u02", &[(1, "a")]).await;
    put(&*world.target, "u02", &[(1, "b")]).await;
    put(&*world.source, "u09", &[(1, "a")]).await;
    let report = world.copy_with(dry.clone()).await.unwrap();
    assert_eq!(report.outcome(), Outcome::Incomplete);
    let p = report.planned.unwrap();
    let counts = (p.new, p.unchanged, p.source_moved, p.target_moved, p.both_moved);
    assert_eq!(counts, (1, 1, 1, 1, 1));
    change(&*world.source, "u00", vec![Op::Clear]).await;
    change(&*world.source, "u01", vec![Op::Clear]).await;
    change(&*world.source, "u03", vec![Op::Clear]).await;
    change(&*world.target, "u03", vec![Op::Clear]).await;
    let p = world.copy_with(dry.clone()).await.unwrap().planned.unwrap();
    assert_eq!((p.gone, p.gone_refused, &*p.removals), (1, 1, &[unit("u00")][..]));
    let units = UnitFilter::List(["u00", "u02"].map(unit).into());
    let p = world.copy_with(CopyOptions { units, ..dry }).await.unwrap().planned.unwrap();
    assert_eq!((p.gone, p.gone_refused, p.both_moved), (1, 0, 1));
}

#[tokio::test]
async fn only_the_units_asked_for_are_copied_compared_and_removed() {
    let world = World::new(MemoryStore::default(), MemoryStore::default());
    fill(&*world.source, 12, 2).await;
    world.copy().await.unwrap();
    for name in ["u00", "u10", "u11"] {
        change(&*world.source, name, vec![Op::Clear]).await;
    }
    put(&*world.source, "u01", &[(1, "new")]).await;
    let units = UnitFilter::Glob("u1?".into());
    let report = world.copy_with(CopyOptions { units, ..world.options.clone() }).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.units.removed, report.units.updated), (2, 0));
    let units = UnitFilter::List(BTreeSet::from([unit("u01"), unit("u02"), unit("none")]));
    let report = world.copy_with(CopyOptions { units, ..world.options.clone() }).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.units.updated, report.units.unchanged, report.units.removed), (1, 1, 0));
    let report = world.copy().await.unwrap();
    assert_eq!((report.units.removed, report.units.unchanged), (1, 9), "{report:?}");
    world.assert_equal().await;
}

#[tokio::test]
async fn a_stopped_copy_is_resumed() {
    let world = World::new(narrow(1000), narrow(3));
    fill(&*world.source, 8, 10).await;
    let stop = Stop::new();
    stop.stop();
    let options = CopyOptions { stop, ..world.options.clone() };
    let report = world.copy_with(options).await.unwrap();
    assert_eq!(report.outcome(), Outcome::Interrupted);
    let report = world.copy().await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    world.assert_equal().await;
}

#[tokio::test]
async fn a_target_without_staging_takes_large_units_at_once_or_refuses_them() {
    let capabilities =
        Capabilities { staging: false, apply_records_max: 5, ..Capabilities::default() };
    let options = MemoryOptions { capabilities, ..MemoryOptions::strong() };
    let world = World::new(MemoryStore::default(), MemoryStore::new(options));
    fill(&*world.source, 1, 5).await;
    put(&*world.source, "big", &[(1, "a"), (2, "a"), (3, "a"), (4, "a"), (5, "a"), (6, "a")]).await;
    let report = world.copy().await.unwrap();
    assert_eq!((report.units.copied, report.failures.len()), (1, 1), "{report:?}");
    assert_eq!(report.failures[0].unit, Some(unit("big")));
}

#[tokio::test]
async fn a_store_of_a_live_migration_is_no_target() {
    let world = World::new(MemoryStore::default(), MemoryStore::default());
    world.target.prepare(restow_store::Role::Target, "s-1").await.unwrap();
    let error = world.copy().await.unwrap_err();
    assert_eq!(error.kind(), restow_store::ErrorKind::Refused);
}

#[tokio::test]
async fn batches_and_shares_are_cut_by_their_weight() {
    let world = World::new(MemoryStore::default(), Tampered::new(MemoryStore::default(), None));
    for n in 0..9 {
        put(&*world.source, "heavy", &[(n, &n.to_string().repeat(1 << 20))]).await;
        put(&*world.source, &format!("light {n}"), &[(n, &n.to_string().repeat(700 << 10))]).await;
    }
    let report = world.copy().await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.units.copied, 10);
    put(&*world.source, "heavy", &[(3, "small now")]).await;
    let report = world.copy().await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.units.updated, report.units.unchanged), (1, 9));
    world.assert_equal().await;
}

#[tokio::test]
async fn what_ended_well_behind_a_batch_that_failed_is_known_and_counted_once() {
    for kind in [ErrorKind::Unavailable, ErrorKind::Failed] {
        let one_by_one = Capabilities { batch_bytes: 1, staging: false, ..Capabilities::default() };
        let options = MemoryOptions { capabilities: one_by_one, ..MemoryOptions::plain() };
        let target = Tampered::new(MemoryStore::new(options), None);
        *target.fails_once.lock().unwrap() = Some((unit("u00"), kind));
        // It has one share, of which each unit is a batch.
        let world = World::new(Tampered::new(MemoryStore::default(), None), target);
        fill(&*world.source, 2, 3).await;
        let options = CopyOptions { jobs: 1, ..world.options.clone() };
        let first = world.copy_with(options.clone()).await;
        if kind == ErrorKind::Unavailable {
            let units = Units { copied: 2, ..Units::default() };
            assert_eq!(first.unwrap().units, units);
        } else {
            first.unwrap_err();
            assert_eq!(world.ledger.summaries().await.unwrap()[0].units, 1);
            let units = Units { copied: 1, unchanged: 1, ..Units::default() };
            assert_eq!(world.copy_with(options).await.unwrap().units, units);
        }
        world.assert_equal().await;
    }
}
