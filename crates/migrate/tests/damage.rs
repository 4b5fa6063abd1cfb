//! Damage of every kind at the target, against every check: which one catches what, as a table.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fmt::Write;
use std::sync::atomic::Ordering;

use common::tamper::{Tamper, Tampered};
use common::*;
use restow_migrate::{CopyOptions, Extra, SweepReport, UnitFilter, What};
use restow_model::Key;
use restow_store::memory::MemoryStore;

/// Small units are read back from the batch, large ones from the staged copy.
async fn world(
    tamper: Tamper,
    apply_records_max: usize,
    prepare: impl FnOnce(&mut Tampered),
) -> World {
    let mut target = Tampered::new(narrow(apply_records_max), Some(tamper));
    prepare(&mut target);
    let world = World::new(MemoryStore::default(), target);
    fill(&*world.source, 3, 5).await;
    world
}

fn first(report: &SweepReport) -> String {
    let harmless = |what: &What| what.is_lag() || *what == What::UnitExtra;
    let found: Vec<_> = report.findings.iter().map(|f| f.what).collect();
    match found.iter().find(|what| !harmless(what)).or(found.first()) {
        Some(what) => what.word().to_owned(),
        None => "-".to_owned(),
    }
}

/// Damage that is there from the write on: the copy itself reads it back.
async fn read_back(tamper: Tamper, apply_records_max: usize) -> String {
    let world = world(tamper, apply_records_max, |t| t.on.store(true, Ordering::Relaxed)).await;
    let report = world.copy().await.unwrap();
    let found = report.failures.iter().find(|f| f.unit == Some(unit("u01")));
    found.map_or("-".to_owned(), |f| f.what.to_string())
}

/// Damage that comes between reading back and the sweep.
async fn sweep(tamper: Tamper) -> String {
    let world = world(tamper, 1000, |t| t.on_at_sweep = true).await;
    let report = world.copy().await.unwrap();
    assert!(report.failures.is_empty(), "{report:?}");
    first(&report.swept.unwrap())
}

/// Damage that comes after the copy: to `verify`, and to a copy that is run again.
async fn later(tamper: Tamper, apply_records_max: usize) -> (String, String) {
    let mut on = None;
    let world = world(tamper, apply_records_max, |t| on = Some(t.on.clone())).await;
    assert!(world.copy().await.unwrap().is_clean());
    on.unwrap().store(true, Ordering::Relaxed);
    let verified = first(&world.verify().await);
    let again = world.copy().await.unwrap();
    let found = again.failures.iter().find(|f| f.unit == Some(unit("u01")));
    let re_run = match found {
        Some(failure) => failure.what.to_string(),
        None => first(&again.swept.unwrap()),
    };
    (verified, re_run)
}

#[tokio::test]
async fn every_damage_is_caught_as_the_table_says() {
    let mut table = String::from(
        "| Damage at the target | read back | read back, staged | sweep | verify | copy again \
         | copy again, large |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for tamper in Tamper::ALL {
        let (small, staged) = (read_back(tamper, 1000).await, read_back(tamper, 2).await);
        let (sweep, (verify, re_run)) = (sweep(tamper).await, later(tamper, 1000).await);
        let (_, re_run_large) = later(tamper, 2).await;
        let row = [format!("{tamper:?}"), small, staged, sweep, verify, re_run, re_run_large];
        let row = row.join(" | ");
        writeln!(table, "| {row} |").unwrap();
    }
    if table != include_str!("damage_table.md") {
        panic!("the table has changed; it is now:\n{table}");
    }
}

#[tokio::test]
async fn structural_damage_at_the_source_is_named_by_verify() {
    let source = MemoryStore::default();
    let world = World::new(source.clone(), MemoryStore::default());
    fill(&*world.source, 3, 4).await;
    assert!(world.copy().await.unwrap().is_clean());
    source.damage(&unit("u02"), &Key::of("item").int(1).build(), "it is torn");
    let report = world.verify().await;
    assert!(!report.is_sound());
    let named: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    assert!(named[0].starts_with("damaged at the source: record item(1): it is torn"), "{named:?}");
    let report = world.copy().await.unwrap();
    assert_eq!(report.failures.len(), 1, "{report:?}");
}

#[tokio::test]
async fn lag_is_told_from_damage_by_the_watermark() {
    let world = World::new(MemoryStore::default(), MemoryStore::default());
    fill(&*world.source, 4, 4).await;
    world.copy().await.unwrap();
    put(&*world.source, "u00", &[(1, "new")]).await;
    put(&*world.source, "new", &[(1, "new")]).await;
    change(&*world.source, "u01", vec![restow_store::Op::Clear]).await;
    let report = world.verify().await;
    assert!(report.is_sound() && !report.is_clean(), "{report:?}");
    for what in [What::SourceMoved, What::NotCopied, What::GoneFromSource] {
        assert_eq!(report.count(what), 1, "{report:?}");
    }
    put(&*world.target, "u02", &[(3, "theirs")]).await;
    let report = world.verify().await;
    assert!(!report.is_sound());
    let found = report.findings.iter().find(|f| f.what == What::RecordAltered).unwrap();
    assert_eq!(found.unit, Some(unit("u02")));
    assert_eq!(found.key, Some(Key::of("item").int(3).build()));
    assert!(found.to_string().contains("the target changed since the copy"));
}

#[tokio::test]
async fn a_hundred_differences_are_named_and_all_are_counted() {
    let world = World::new(MemoryStore::default(), MemoryStore::default());
    fill(&*world.source, 3, 100).await;
    world.copy().await.unwrap();
    for name in ["u00", "u01", "u02"] {
        for n in 0..80 {
            put(&*world.target, name, &[(n, "theirs")]).await;
        }
    }
    let report = world.verify().await;
    assert_eq!((report.findings.len(), report.count(What::RecordAltered)), (100, 240));
}

#[tokio::test]
async fn a_source_that_breaks_off_is_resumed_at_its_last_mark() {
    for every in [8, 11, 20] {
        let mut source = Tampered::new(narrow(1000), None);
        source.breaks_every = every;
        let frames = source.frames.clone();
        let world = World::new(source, narrow(3));
        fill(&*world.source, 4, 9).await;
        let migrated = world.copy().await;
        // The sweep is not resumed; it is run again by the next attempt.
        match migrated {
            Ok(report) => assert!(report.is_clean(), "{report:?}"),
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
        assert!(frames.load(Ordering::Relaxed) > 0);
        let plain = contents(&*world.target).await;
        assert_eq!(plain.len(), 4, "every {every}");
    }
}

#[tokio::test]
async fn a_source_that_stays_out_of_reach_ends_the_attempt() {
    let mut source = Tampered::new(MemoryStore::default(), None);
    source.breaks_every = 1;
    let world = World::new(source, MemoryStore::default());
    fill(&*world.source, 2, 2).await;
    let error = world.copy().await.unwrap_err();
    assert!(error.is_retryable());
    let attempts = &world.ledger.summaries().await.unwrap()[0].attempts;
    assert_eq!(attempts[0].2.as_deref(), Some("failed"));
}

#[tokio::test]
async fn what_damage_may_hide_is_not_taken_for_gone() {
    let source = Tampered::new(MemoryStore::default(), Some(Tamper::Nameless));
    let on = source.on.clone();
    let world = World::new(source, MemoryStore::default());
    fill(&*world.source, 3, 2).await;
    put(&*world.target, "theirs", &[(1, "a")]).await;
    assert!(world.copy().await.unwrap().is_clean());
    on.store(true, Ordering::Relaxed);
    let named = UnitFilter::List([unit("u01")].into());
    let by_name = [named.clone(), named];
    let by_walk = [UnitFilter::Glob("u*".into()), UnitFilter::All];
    for units in [UnitFilter::All].into_iter().chain(by_name).chain(by_walk) {
        let options = CopyOptions { units, extra: Extra::Delete, ..world.options.clone() };
        let report = world.copy_with(options).await.unwrap();
        let gone = report.failures.iter().find(|f| f.unit == Some(unit("u01"))).unwrap();
        assert!(gone.why.contains("where damage may hide it"), "{report:?}");
        assert_eq!((report.units.removed, report.units.extra_removed), (0, 0), "{report:?}");
        assert_eq!(report.failures.iter().filter(|f| f.unit.is_none()).count(), 1);
        assert_eq!(contents(&*world.target).await.len(), 4);
    }
}
