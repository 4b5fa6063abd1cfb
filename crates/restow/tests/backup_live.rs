//! A backup of a migration: each unit from its home, in several shares at once, while one is being
//! staged.
#![allow(clippy::expect_used, clippy::panic, reason = "a test ends loudly")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use restow::backup::{self, CheckOptions, Subject};
use restow::live::{Config, Errand, Pair, Phase, Router, RouterOptions, Side, Step, Watch};
use restow::model::{UnitDigest, UnitId};
use restow::store::clock::ManualClock;
use restow::store::{Content, Enumeration, Frame, Segment, Selection};
use restow::{Access, Address, CopyOptions, Environment, Progress, Store};
use restow_testkit::generate;
use tempfile::TempDir;
use tokio::sync::Notify;

/// Larger than what one transaction of a store takes, so that it is staged wherever it goes.
const LARGE: u64 = 12 << 20;

/// What each unit holds, as sums of its records' digests.
type Contents = BTreeMap<String, UnitDigest>;

async fn open(address: String, access: Access) -> Arc<dyn Store> {
    let address = Address::parse(&address).expect("an address");
    let opened = restow::open(&address, access, &Environment::default()).await;
    opened.expect("a store").store
}

async fn contents(store: &dyn Store) -> Contents {
    let whole = Segment::whole(Enumeration::Units);
    let mut frames = store.scan(whole, None, Content::All).await.expect("frames");
    let (mut found, mut sum) = (Contents::new(), UnitDigest::default());
    while let Some(frame) = frames.next().await {
        match frame.expect("a frame") {
            Frame::Begin { .. } => sum = UnitDigest::default(),
            Frame::Record(record) => sum.merge(&record.summed()),
            Frame::End { unit, .. } => {
                assert_eq!(found.insert(unit.as_str().to_owned(), sum), None, "{unit} twice");
            }
            Frame::Damaged { place, why, .. } => panic!("{place}: {why}"),
            Frame::Mark(_) => {}
        }
    }
    found
}

/// Stops whoever is about to verify a copy, for good.
#[derive(Debug, Default)]
struct Stuck(Notify);

#[async_trait]
impl Watch for Stuck {
    async fn before(&self, step: Step, _: Side, _: &UnitId) {
        if step == Step::Verify {
            self.0.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

/// A migration of a few chats and a large one, the others moved by a share.
struct World {
    folder: TempDir,
    pair: Pair,
    held: Contents,
}

impl World {
    async fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("agent.db");
        generate::long_thread(&path, LARGE, 3);
        let source = open(format!("langgraph+sqlite:{}", path.display()), Access::Write).await;
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/agent.sqlite");
        let example = open(format!("langgraph+sqlite:{}", example.display()), Access::Read);
        let (ledger, clock) = (restow::memory_ledger(), Arc::new(ManualClock::default()));
        let (options, progress) = (CopyOptions::default(), Arc::new(Progress::new()));
        let copied =
            restow::copy(example.await, source.clone(), ledger, clock, options, progress).await;
        assert!(copied.expect("a copy").is_clean());
        let held = contents(&*source).await;
        let target = folder.path().join("agent.restow");
        let target = open(format!("parts+sqlite:{}", target.display()), Access::Write).await;
        let pair = Pair::open("m", (source, "s"), (target, "t")).await.expect("two stores");
        Self { folder, pair, held }
    }

    fn router(&self, share: u16, watch: Arc<dyn Watch>) -> Router {
        let config = Config { phase: Phase::Move, share, ..Config::default() };
        let seed = format!("router {share}");
        let options = RouterOptions::new(seed, Arc::new(ManualClock::default()));
        Router::with_config(self.pair.clone(), config, RouterOptions { watch, ..options })
    }

    /// Makes a backup in so many shares at once, and says what it holds.
    async fn back_up(&self, router: Router, jobs: usize) -> Contents {
        let file = self.folder.path().join(format!("{jobs}.backup"));
        let subject = Subject::migration(Arc::new(router));
        let (options, progress) =
            (CopyOptions { jobs, ..CopyOptions::default() }, Arc::new(Progress::new()));
        let clock = Arc::new(ManualClock::default());
        let created = backup::create(subject, &file, clock, options, progress).await;
        assert!(created.expect("a backup").is_complete());
        let options = CheckOptions::default();
        let checked = backup::check(&file, &options, Arc::new(Progress::new())).await;
        assert!(checked.expect("a check").1.is_whole());
        contents(&*backup::open(&file).await.expect("a backup").archive).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_unit_is_there_once_however_it_is_read() {
    let world = World::new().await;
    for share in [0, 3_700, 10_000] {
        let unwatched = || Arc::new(restow::live::Unwatched);
        let router = world.router(share, unwatched());
        let swept = router.sweep(Errand::Place, 2, &AtomicBool::new(false)).await;
        assert_eq!(swept.expect("a sweep").failed, 0);
        for jobs in [1, 3] {
            let file = world.folder.path().join(format!("{jobs}.backup"));
            drop(std::fs::remove_file(file));
            assert_eq!(world.back_up(world.router(share, unwatched()), jobs).await, world.held);
        }
    }
}

/// What a mover has staged and not finished is no part of a backup; nor is it in its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_that_is_being_staged_is_taken_from_its_home() {
    let world = World::new().await;
    let large = world.held.iter().max_by_key(|(_, sum)| sum.records).expect("a unit").0.clone();
    let stuck = Arc::new(Stuck::default());
    let mover = world.router(10_000, stuck.clone());
    let unit = UnitId::new(large);
    let moved = unit.clone();
    let moving = tokio::spawn(async move { mover.place(&moved).await });
    stuck.0.notified().await;
    let router = world.router(10_000, Arc::new(restow::live::Unwatched));
    assert_eq!(router.standings().await.expect("a count").staging, 1);
    let frames = router.read(&unit, &Selection::all()).await.expect("frames");
    assert!(frames.try_collect::<Vec<_>>().await.expect("frames").len() > 10);
    assert_eq!(world.back_up(router, 2).await, world.held);
    moving.abort();
}
