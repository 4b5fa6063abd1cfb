//! Backups of stores in memory: what comes back, what is refused, and what a check finds.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends loudly")]

mod common;

use std::sync::Arc;

use common::{StillClock, change, contents, fill, put, record, remove, unit};
use restow_migrate::backup::{
    CheckOptions, CheckReport, Created, Made, Manifest, Origin, Restored, check, create, manifest,
    restore,
};
use restow_migrate::{CopyOptions, Progress, Stop};
use restow_model::Key;
use restow_store::ledger::Ledger;
use restow_store::ledger_memory::MemoryLedger;
use restow_store::memory::MemoryStore;
use restow_store::{ErrorKind, Op, RegisterName, Result, Role, Store};

fn store() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::default())
}

async fn filled(units: usize) -> Arc<MemoryStore> {
    let store = store();
    fill(&*store, units, 3).await;
    store
}

async fn backed_up(source: &Arc<MemoryStore>, options: CopyOptions) -> (Arc<MemoryStore>, Created) {
    let archive = store();
    let origin = Some(Origin { migration: "m".into(), epoch: 2, phase: "aware".into() });
    let made = Made { tool: "test".into(), origin };
    let (ledger, clock) = (Arc::new(MemoryLedger::new()), Arc::new(StillClock::default()));
    let progress = Arc::new(Progress::new());
    let (from, to) = (source.clone(), archive.clone());
    let created = create(from, to, ledger, clock, options, progress, made).await.unwrap();
    (archive, created)
}

async fn restored(
    archive: &Arc<MemoryStore>,
    target: &Arc<MemoryStore>,
    ledger: &Arc<MemoryLedger>,
    options: CopyOptions,
) -> Result<Restored> {
    let manifest = manifest(&**archive).await?;
    let (clock, progress) = (Arc::new(StillClock::default()), Arc::new(Progress::new()));
    let ledger: Arc<dyn Ledger> = ledger.clone();
    restore(archive.clone(), &manifest, target.clone(), ledger, clock, options, progress).await
}

async fn checked(archive: &Arc<MemoryStore>, manifest: &Manifest, share: u16) -> CheckReport {
    let options = CheckOptions { share, ..CheckOptions::default() };
    check(archive.clone(), manifest, &options, Arc::new(Progress::new())).await.unwrap()
}

#[tokio::test]
async fn what_was_backed_up_comes_back() {
    let source = filled(30).await;
    let (archive, created) = backed_up(&source, CopyOptions::default()).await;
    assert!(created.is_complete());
    let made = created.manifest.unwrap();
    assert_eq!((made.units, made.records, made.lacking), (30, 90, 0));
    assert_eq!(manifest(&*archive).await.unwrap(), made);
    let report = checked(&archive, &made, 10_000).await;
    assert!(report.is_whole(), "{report:?}");
    assert_eq!((report.units, report.read_units, report.read_records), (30, 30, 90));
    let (target, ledger) = (store(), Arc::new(MemoryLedger::new()));
    let back = restored(&archive, &target, &ledger, CopyOptions::default()).await.unwrap();
    assert!(back.is_whole(), "{back:?}");
    assert_eq!(contents(&*source).await, contents(&*target).await);
    let store = target.register_read(RegisterName::store()).await.unwrap();
    assert!(store.is_none(), "the store takes part in something: {store:?}");
}

#[tokio::test]
async fn an_empty_store_is_backed_up_and_restored() {
    let (archive, created) = backed_up(&store(), CopyOptions::default()).await;
    assert_eq!(created.manifest.unwrap().units, 0);
    let (target, ledger) = (store(), Arc::new(MemoryLedger::new()));
    let back = restored(&archive, &target, &ledger, CopyOptions::default()).await.unwrap();
    assert!(back.is_whole() && contents(&*target).await.is_empty());
}

#[tokio::test]
async fn what_was_stopped_has_no_manifest() {
    let options = CopyOptions { stop: Stop::new(), ..CopyOptions::default() };
    options.stop.stop();
    let (archive, created) = backed_up(&filled(3).await, options).await;
    assert!(created.manifest.is_none() && created.report.interrupted);
    let error = manifest(&*archive).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("no backup"), "{error}");
}

#[tokio::test]
async fn what_is_damaged_in_the_source_is_named_and_counted() {
    let source = filled(4).await;
    source.damage(&unit("u02"), &Key::of("item").int(1).build(), "made so");
    let (archive, created) = backed_up(&source, CopyOptions::default()).await;
    assert!(!created.is_complete());
    assert_eq!(created.report.failures[0].unit, Some(unit("u02")));
    let made = created.manifest.unwrap();
    assert_eq!((made.units, made.lacking), (3, 1));
    assert!(checked(&archive, &made, 10_000).await.is_whole());
}

#[tokio::test]
async fn a_record_that_is_damaged_is_named_by_check_and_by_restore() {
    let (archive, created) = backed_up(&filled(4).await, CopyOptions::default()).await;
    let made = created.manifest.unwrap();
    archive.damage(&unit("u02"), &Key::of("item").int(1).build(), "made so");
    let report = checked(&archive, &made, 10_000).await;
    let fault = &report.faults[0];
    assert_eq!((&fault.unit, report.is_whole()), (&Some(unit("u02")), false));
    assert!(fault.why.contains("item(1)") && fault.why.contains("made so"), "{fault:?}");
    let (target, ledger) = (store(), Arc::new(MemoryLedger::new()));
    let back = restored(&archive, &target, &ledger, CopyOptions::default()).await.unwrap();
    assert!(!back.is_whole());
    assert_eq!(back.report.failures[0].unit, Some(unit("u02")));
    assert_eq!(contents(&*target).await.len(), 3, "the rest is restored");
}

#[tokio::test]
async fn units_that_are_not_the_manifests_are_found_without_reading_them() {
    for harm in 0..3 {
        let (archive, created) = backed_up(&filled(4).await, CopyOptions::default()).await;
        let made = created.manifest.unwrap();
        match harm {
            0 => change(&*archive, "u01", vec![Op::Clear]).await,
            1 => put(&*archive, "other", &[(0, "x")]).await,
            _ => {
                remove(&*archive, "u01", 1).await;
                change(&*archive, "u01", vec![Op::put(record(1, "another"))]).await;
            }
        }
        let report = checked(&archive, &made, 0).await;
        assert_eq!((report.read_units, report.faults_all), (0, 1), "{harm}: {report:?}");
        assert!(report.faults[0].why.contains("manifest"), "{:?}", report.faults);
        let (target, ledger) = (store(), Arc::new(MemoryLedger::new()));
        let back = restored(&archive, &target, &ledger, CopyOptions::default()).await.unwrap();
        assert_eq!((back.faults.len(), back.report.is_clean()), (1, true), "{harm}");
    }
}

/// Units that have changed their names would have one sum, if names were no part of it.
#[tokio::test]
async fn names_are_part_of_the_sum() {
    let source = store();
    put(&*source, "a", &[(0, "x")]).await;
    put(&*source, "b", &[(0, "y")]).await;
    let (_, created) = backed_up(&source, CopyOptions::default()).await;
    let swapped = store();
    put(&*swapped, "a", &[(0, "y")]).await;
    put(&*swapped, "b", &[(0, "x")]).await;
    let report = checked(&swapped, &created.manifest.unwrap(), 10_000).await;
    assert_eq!(report.faults_all, 1, "{report:?}");
}

#[tokio::test]
async fn a_share_reads_some_and_knows_all() {
    let (archive, created) = backed_up(&filled(60).await, CopyOptions::default()).await;
    let made = created.manifest.unwrap();
    let some = checked(&archive, &made, 3_000).await;
    assert_eq!(some.units, 60);
    assert!((1..60).contains(&some.read_units), "{} units", some.read_units);
    assert_eq!(some, checked(&archive, &made, 3_000).await);
}

#[tokio::test]
async fn a_store_that_holds_anything_is_not_restored_into() {
    let (archive, _) = backed_up(&filled(4).await, CopyOptions::default()).await;
    let (target, ledger) = (filled(1).await, Arc::new(MemoryLedger::new()));
    let before = contents(&*target).await;
    let error = restored(&archive, &target, &ledger, CopyOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert_eq!(contents(&*target).await, before);
}

#[tokio::test]
async fn a_store_of_a_migration_is_not_restored_into() {
    let (archive, _) = backed_up(&filled(4).await, CopyOptions::default()).await;
    let (target, ledger) = (store(), Arc::new(MemoryLedger::new()));
    target.prepare(Role::Target, "t").await.unwrap();
    let error = restored(&archive, &target, &ledger, CopyOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("live migration"), "{error}");
}

#[tokio::test]
async fn a_restore_that_was_stopped_goes_on_and_one_that_ended_does_not_begin_again() {
    let (archive, _) = backed_up(&filled(40).await, CopyOptions::default()).await;
    let (target, ledger) = (store(), Arc::new(MemoryLedger::new()));
    let options = CopyOptions { stop: Stop::new(), ..CopyOptions::default() };
    options.stop.stop();
    let stopped = restored(&archive, &target, &ledger, options).await.unwrap();
    assert!(stopped.report.interrupted);
    // As if the attempt had died behind its first units.
    for name in ["u00", "u01"] {
        let ops = (0..3).map(|n| Op::put(record(n, &format!("{name} {n}")))).collect();
        change(&*target, name, ops).await;
    }
    let back = restored(&archive, &target, &ledger, CopyOptions::default()).await.unwrap();
    assert!(back.is_whole(), "{back:?}");
    assert_eq!(contents(&*archive).await, contents(&*target).await);
    let again = restored(&archive, &target, &ledger, CopyOptions::default()).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn a_second_manifest_is_refused() {
    let source = filled(2).await;
    let (archive, _) = backed_up(&source, CopyOptions::default()).await;
    let made = Made { tool: "test".into(), origin: None };
    let (ledger, clock) = (Arc::new(MemoryLedger::new()), Arc::new(StillClock::default()));
    let (options, progress) = (CopyOptions::default(), Arc::new(Progress::new()));
    let again = create(source, archive, ledger, clock, options, progress, made).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Refused);
}
