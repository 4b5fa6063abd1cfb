//! Backups as files: what a byte that was altered does to one, and what stands where it is made.
#![allow(clippy::expect_used, reason = "a test ends loudly")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::StreamExt;
use restow::backup::{self, CheckOptions, CheckReport, Created, Subject};
use restow::model::UnitDigest;
use restow::store::clock::ManualClock;
use restow::store::{Content, Enumeration, Frame, Segment};
use restow::{Access, Address, CopyOptions, Environment, ErrorKind, Progress, Result, Store};

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/agent.sqlite")
}

async fn source() -> Arc<dyn Store> {
    let address = Address::parse(&example().display().to_string()).expect("an address");
    let opened = restow::open(&address, Access::Read, &Environment::default()).await;
    opened.expect("the example").store
}

async fn create(file: &Path) -> Result<Created> {
    let (options, progress) = (CopyOptions::default(), Arc::new(Progress::new()));
    let clock = Arc::new(ManualClock::default());
    backup::create(Subject::store(source().await), file, clock, options, progress).await
}

async fn check(file: &Path) -> Result<CheckReport> {
    let checked = backup::check(file, &CheckOptions::default(), Arc::new(Progress::new())).await;
    checked.map(|(_, report)| report)
}

/// Every unit with the sum of its records as they are read; nothing where any cannot be.
async fn contents(file: &Path) -> Option<BTreeMap<String, UnitDigest>> {
    let opened = backup::open(file).await.ok()?;
    let whole = Segment::whole(Enumeration::Units);
    let mut frames = opened.archive.scan(whole, None, Content::All).await.ok()?;
    let (mut found, mut sum) = (BTreeMap::new(), UnitDigest::default());
    while let Some(frame) = frames.next().await {
        match frame.ok()? {
            Frame::Begin { .. } => sum = UnitDigest::default(),
            Frame::Record(record) => sum.merge(&record.summed()),
            Frame::End { unit, .. } => {
                found.insert(unit.as_str().to_owned(), sum);
            }
            Frame::Damaged { .. } => return None,
            Frame::Mark(_) => {}
        }
    }
    Some(found)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder");
    let name = |e: std::io::Result<fs::DirEntry>| e.expect("an entry").file_name();
    let mut names: Vec<String> =
        entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_backup_is_one_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.backup");
    let made = create(&file).await.expect("a backup").manifest.expect("a manifest");
    assert_eq!((made.units, made.records, made.made_ms), (19, 1056, 1_767_225_600_000));
    assert_eq!(names(folder.path()), ["a.backup"]);
    assert!(check(&file).await.expect("a check").is_whole());
    assert_eq!(names(folder.path()), ["a.backup"], "a check leaves something behind");
    let again = create(&file).await.expect_err("the file is there");
    assert_eq!(again.kind(), ErrorKind::Refused);
    assert_eq!(names(folder.path()), ["a.backup"]);
}

/// Whatever byte is altered: either it is found, or nothing that is kept has changed.
#[tokio::test]
async fn a_byte_that_was_altered_is_found_or_means_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.backup");
    create(&file).await.expect("a backup");
    let whole = contents(&file).await.expect("a whole backup");
    let bytes = fs::read(&file).expect("its bytes");
    let altered = folder.path().join("altered.backup");
    let (mut found, mut harmless) = (0, 0);
    for at in (0..bytes.len()).step_by(997) {
        let mut other = bytes.clone();
        other[at] ^= 0x10;
        fs::write(&altered, other).expect("write");
        match check(&altered).await {
            Ok(report) if report.is_whole() => {
                harmless += 1;
                assert_eq!(contents(&altered).await.as_ref(), Some(&whole), "byte {at}");
            }
            _ => found += 1,
        }
    }
    assert!(found > harmless, "{found} were found, {harmless} meant nothing");
}

#[tokio::test]
async fn a_file_that_was_cut_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.backup");
    create(&file).await.expect("a backup");
    let bytes = fs::read(&file).expect("its bytes");
    for len in [bytes.len() - 1, bytes.len() - 4096, bytes.len() / 2 / 4096 * 4096, 4096] {
        fs::write(&file, &bytes[..len]).expect("write");
        let report = check(&file).await.expect("a check");
        assert!(!report.is_whole(), "cut to {len} bytes");
    }
}

#[tokio::test]
async fn what_is_no_backup_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (text, empty) = (folder.path().join("text"), folder.path().join("empty"));
    fs::write(&text, "no database, but a text of some length, which nobody takes for one")
        .expect("w");
    fs::write(&empty, "").expect("write");
    let kind = async |file: &Path| backup::open(file).await.expect_err("no backup").kind();
    assert_eq!(kind(&text).await, ErrorKind::Invalid);
    assert_eq!(kind(&example()).await, ErrorKind::Invalid);
    assert_eq!(kind(&empty).await, ErrorKind::NotFound);
    assert_eq!(kind(&folder.path().join("none")).await, ErrorKind::NotFound);
    let shelf = backup::list(folder.path()).await.expect("a shelf");
    assert_eq!((shelf.backups.len(), shelf.unread.len(), shelf.others), (0, 0, 2));
}

/// Later formats say so themselves, and are not taken for damage.
#[tokio::test]
async fn a_backup_of_a_later_restow_is_told() {
    use restow::model::{Body, Digest, Map, canonical};
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("later.restow");
    let address = Address::parse(&file.display().to_string()).expect("an address");
    let opened = restow::open(&address, Access::Write, &Environment::default()).await;
    let store = opened.expect("a store").store;
    store.prepare(restow::store::Role::CopyTarget, "").await.expect("tables");
    let mut manifest = Vec::new();
    canonical::encode(&Body::Map(Map::from([("format", Body::int(2))])), &mut manifest);
    let digest = Digest::of(&manifest);
    manifest.extend(digest.as_bytes());
    let register = restow::store::RegisterName("backup".into());
    store.register_swap(register, None, manifest.into()).await.expect("a register");
    drop(store);
    let error = backup::open(&file).await.expect_err("a later format");
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("newer"), "{error}");
    let shelf = backup::list(folder.path()).await.expect("a shelf");
    assert_eq!((shelf.backups.len(), shelf.unread.len()), (0, 1));
}
