//! A target that is full, throttled, or refuses a record, from any call of a move on: the unit
//! stays readable and writable where it lives, and moves when the target takes it.

use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use bytes::Bytes;
use futures::stream;
use restow_store::{
    Content, Cursor, Enumeration, Error, ErrorKind, Etag, Frames, Purged, RegisterName, Result,
    Role, Segment, Store, StoreInfo, StoreRecord, Swap, Told, UnitOutcome, Units, Unsupported,
};

/// What is wrong with the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hindrance {
    /// There is no room for records.
    Full,
    /// So many calls are refused as too many, then they go through again.
    Throttled(i64),
    /// Records are not what it can hold.
    Refusing,
    /// The control record cannot be read.
    Damaged,
}

/// A store that is hindered behind so many applies.
#[derive(Debug)]
struct Hindered {
    inner: MemoryStore,
    how: Hindrance,
    /// How many applies are left until it begins.
    left: AtomicI64,
}

impl Hindered {
    fn hinders(&self, ops: &UnitOps) -> Option<UnitOutcome> {
        let left = self.left.fetch_sub(1, Ordering::Relaxed);
        let failed = |kind, message: &str| {
            Some(UnitOutcome::Failed(Error::new(kind, "apply operations", message)))
        };
        let puts = ops.ops.iter().find_map(|op| match op {
            Op::Put { record, .. } => Some(record),
            Op::Remove { .. } | Op::Clear => None,
        });
        match (self.how, puts) {
            _ if left > 0 => None,
            (Hindrance::Full, Some(_)) => failed(ErrorKind::Failed, "the disk is full"),
            (Hindrance::Throttled(calls), _) if left > -calls => {
                failed(ErrorKind::Unavailable, "too many requests")
            }
            (Hindrance::Refusing, Some(record)) => {
                let (key, why) = (record.key.clone(), "too odd".into());
                Some(UnitOutcome::Unsupported(Unsupported { key, why }))
            }
            _ => None,
        }
    }
}

#[async_trait]
impl Store for Hindered {
    fn info(&self) -> &StoreInfo {
        self.inner.info()
    }

    fn check(&self, record: &Record) -> Result<(), Unsupported> {
        self.inner.check(record)
    }

    async fn prepare(&self, role: Role, id: &str) -> Result<StoreRecord> {
        self.inner.prepare(role, id).await
    }

    async fn segments(&self, want: usize, by: Enumeration) -> Result<Vec<Segment>> {
        self.inner.segments(want, by).await
    }

    async fn scan(&self, of: Segment, from: Option<Cursor>, content: Content) -> Result<Frames> {
        self.inner.scan(of, from, content).await
    }

    async fn read(&self, units: Vec<UnitId>, what: Selection) -> Result<Frames> {
        if self.how != Hindrance::Damaged {
            return self.inner.read(units, what).await;
        }
        let (place, why) = ("its control record".to_owned(), "it cannot be read".to_owned());
        let damaged = Frame::Damaged { unit: units.first().cloned(), place, why };
        Ok(Box::pin(stream::iter([Ok(damaged)])))
    }

    async fn units(&self) -> Result<Units> {
        self.inner.units().await
    }

    async fn apply(&self, batch: Batch) -> Result<Vec<UnitOutcome>> {
        match batch.units.first().and_then(|ops| self.hinders(ops)) {
            Some(outcome) => Ok(vec![outcome]),
            None => self.inner.apply(batch).await,
        }
    }

    async fn journal(&self, unit: UnitId, after: u64) -> Result<Told> {
        self.inner.journal(unit, after).await
    }

    async fn trim(&self, unit: UnitId, upto: u64) -> Result<()> {
        self.inner.trim(unit, upto).await
    }

    async fn purge(&self, unit: UnitId, exactly: Stamp) -> Result<Purged> {
        self.inner.purge(unit, exactly).await
    }

    async fn release(&self) -> Result<()> {
        self.inner.release().await
    }

    async fn register_read(&self, name: RegisterName) -> Result<Option<(Etag, Bytes)>> {
        self.inner.register_read(name).await
    }

    async fn register_swap(
        &self,
        name: RegisterName,
        was: Option<Etag>,
        now: Bytes,
    ) -> Result<Swap> {
        self.inner.register_swap(name, was, now).await
    }
}

/// A router whose target is hindered behind so many applies.
async fn hindered(world: &World, how: Hindrance, behind: i64) -> Router {
    let left = AtomicI64::new(behind);
    let target = Arc::new(Hindered { inner: world.target.clone(), how, left });
    let pair = Pair::open("m", (Arc::new(world.source.clone()), "s"), (target, "t"));
    let limits = Limits { batch_records: 3, ..Limits::default() };
    let options = RouterOptions::new(behind.to_string(), Arc::new(ManualClock::default()));
    let options =
        RouterOptions { limits, watch: Arc::new(Between(world.router.clone())), ..options };
    Router::with_config(pair.await.expect("two stores"), moving(10_000), options)
}

/// Another client writes before a copy is verified, so that each move has a last lap.
#[derive(Debug)]
struct Between(Arc<Router>);

#[async_trait]
impl Watch for Between {
    async fn before(&self, step: Step, _: Side, unit: &UnitId) {
        if step == Step::Verify {
            let written = self.0.write(unit, put(50, "between")).await;
            assert!(matches!(written, Ok(Written::Made(Side::Source, _))), "{written:?}");
        }
    }
}

/// Hinders a move from every one of its applies on; returns how often it was.
async fn hinder(how: Hindrance) -> usize {
    for behind in 0.. {
        let world = world(10, strong(), moving(0)).await;
        world.router.write(&unit(), put(3, "before")).await.expect("a write");
        let router = hindered(&world, how, behind).await;
        let moved = router.move_to(&unit(), Side::Target).await;
        if moved.is_ok() {
            assert_eq!(home(&world).await, Some(Side::Target));
            return behind as usize;
        }
        let written = router.write(&unit(), put(4, "meanwhile")).await;
        let written = written.unwrap_or_else(|error| panic!("{how:?} behind {behind}: {error}"));
        let Written::Made(at, _) = written else { panic!("{written:?}") };
        // Where calls go through again, the write may finish the move.
        let is_over = matches!(how, Hindrance::Throttled(_));
        assert!(at == Side::Source || is_over, "{how:?} behind {behind}: {written:?}");
        let before = texts(&router).await;
        assert_eq!(before, texts(&world.router).await);
        assert!(before.iter().any(|(_, text)| text.contains("meanwhile")));
        world.router.move_to(&unit(), Side::Target).await.expect("a move");
        assert_eq!((home(&world).await, texts(&world.router).await), (Some(Side::Target), before));
    }
    0
}

#[tokio::test]
async fn a_full_target_leaves_the_unit_writable() {
    assert!(hinder(Hindrance::Full).await > 4);
}

#[tokio::test]
async fn a_throttled_target_leaves_the_unit_writable() {
    assert!(hinder(Hindrance::Throttled(1)).await > 4);
    assert!(hinder(Hindrance::Throttled(2)).await > 4);
}

#[tokio::test]
async fn a_target_that_refuses_a_record_leaves_the_unit_writable() {
    assert!(hinder(Hindrance::Refusing).await > 4);
}

/// Holds a mover back before it verifies, until it is told to go on.
#[derive(Debug, Default)]
struct Held {
    reached: Notify,
    go: Notify,
}

#[async_trait]
impl Watch for Held {
    async fn before(&self, step: Step, _: Side, _: &UnitId) {
        if step == Step::Verify {
            self.reached.notify_one();
            self.go.notified().await;
        }
    }
}

/// Lets a mover go on after so many looks of a writer; never where there are not that many.
#[derive(Debug)]
struct Waits(Arc<Held>, AtomicI64);

#[async_trait]
impl Watch for Waits {
    async fn before(&self, step: Step, _: Side, _: &UnitId) {
        if step == Step::Look && self.1.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.go.notify_one();
        }
    }
}

/// Under policy both a write waits for a copy that is on its way back, and not for a dead mover.
#[tokio::test]
async fn policy_both_waits_for_a_staged_copy() {
    for (looks, is_answered) in [(30, true), (i64::MAX, false)] {
        let world = world(3, strong(), moving(10_000)).await;
        world.router.place(&unit()).await.expect("a move");
        // A gap in the journal: the way back is a copy.
        world.target.trim(unit(), 9).await.expect("a trim");
        world.router.write(&unit(), put(1, "before")).await.expect("a write");
        world.target.trim(unit(), 9).await.expect("a trim");
        let held = Arc::new(Held::default());
        let router = |name: &str, watch: Arc<dyn Watch>| {
            let config = Config { acknowledge: Acknowledge::Both, epoch: 2, ..moving(0) };
            let options = RouterOptions::new(name, Arc::new(ManualClock::default()));
            let options = RouterOptions { watch, ..options };
            Router::with_config(world.router.pair().clone(), config, options)
        };
        let mover = router("mover", held.clone());
        let moving = tokio::spawn(async move { mover.place(&unit()).await });
        held.reached.notified().await;
        let writer = router("writer", Arc::new(Waits(held.clone(), AtomicI64::new(looks))));
        let written = writer.write(&unit(), put(2, "both")).await;
        let is_unanswered = |error: &Error| error.is_retryable();
        match is_answered {
            true => assert!(matches!(written, Ok(Written::Made(Side::Target, _))), "{written:?}"),
            false => assert!(written.as_ref().is_err_and(is_unanswered), "{written:?}"),
        }
        moving.abort();
    }
}

/// A unit whose control record is damaged at its home is not read from what another store held
/// before, wherever the configuration lets readers look first.
#[tokio::test]
async fn a_damaged_home_is_not_passed_over_for_what_was_before() {
    for options in [strong(), [MemoryOptions::weakest(), MemoryOptions::weakest()]] {
        let world = world(3, options, moving(0)).await;
        world.router.move_to(&unit(), Side::Target).await.expect("a move");
        world.router.write(&unit(), put(3, "later")).await.expect("a write");
        let router = hindered(&world, Hindrance::Damaged, 0).await;
        let pair = router.pair().clone();
        for share in [0, 10_000] {
            let options = RouterOptions::new("reader", Arc::new(ManualClock::default()));
            let router = Router::with_config(pair.clone(), moving(share), options);
            let read = router.read(&unit(), &Selection::all()).await;
            let error = read.err().unwrap_or_else(|| panic!("read of a share of {share}"));
            assert_eq!(error.kind(), ErrorKind::Damaged);
            assert!(router.write(&unit(), put(4, "lost")).await.is_err());
        }
    }
}
