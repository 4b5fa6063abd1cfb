//! The router over memory stores, strong and weak: what its callers may rely on.
#![allow(clippy::expect_used, clippy::panic, reason = "a test ends loudly")]

mod ending;
mod hindered;
mod large;
mod phases;
mod stores;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use futures::StreamExt;
use futures::future::join_all;
use restow_live::config::{Acknowledge, Config, Phase};
use restow_live::{
    Change, Compared, Errand, Limits, Moved, Pair, Router, RouterOptions, Shadowed, Side,
    Standings, Step, Watch, Written,
};
use restow_model::{Body, Control, Dialect, Digest, Key, Record, UnitId};
use restow_store::clock::ManualClock;
use restow_store::memory::{MemoryOptions, MemoryStore};
use restow_store::{
    Batch, Capabilities, Expect, Frame, Guard, Op, Selection, Stamp, Store as _, Then, UnitOps,
};
use tokio::sync::Notify;

struct World {
    source: MemoryStore,
    target: MemoryStore,
    router: Arc<Router>,
}

/// Lets the others go first before every step, as a store that takes its time does.
#[derive(Debug)]
struct Slow;

#[async_trait]
impl Watch for Slow {
    async fn before(&self, _: Step, _: Side, _: &UnitId) {
        tokio::task::yield_now().await;
    }
}

fn unit() -> UnitId {
    UnitId::new("thread")
}

fn record(key: i64, text: &str) -> Record {
    Record::new(Key::of("record").int(key).build(), Body::text(text))
}

fn put(key: i64, text: &str) -> Change {
    Change { dialect: Dialect::Any, ops: vec![Op::put(record(key, text))], op_id: None }
}

/// A pair of stores of which the source holds so many records of one unit.
async fn world(records: i64, options: [MemoryOptions; 2], config: Config) -> World {
    let [source, target] = options.map(MemoryStore::new);
    for n in 0..records {
        let ops = vec![Op::put(record(n, "legacy"))];
        let ops = UnitOps::new(unit(), Dialect::Any, Guard::Unmanaged, ops, Then::Keep);
        source.apply(Batch { units: vec![ops] }).await.expect("an outcome");
    }
    let pair = Pair::open("m", (Arc::new(source.clone()), "s"), (Arc::new(target.clone()), "t"));
    let pair = pair.await.expect("two stores");
    let limits = Limits { batch_records: 3, ..Limits::default() };
    let options = RouterOptions {
        limits,
        watch: Arc::new(Slow),
        ..RouterOptions::new("router", Arc::new(ManualClock::default()))
    };
    let router = Arc::new(Router::with_config(pair, config, options));
    World { source, target, router }
}

fn strong() -> [MemoryOptions; 2] {
    [MemoryOptions::strong(), MemoryOptions::strong()]
}

fn moving(share: u16) -> Config {
    Config { phase: Phase::Move, share, ..Config::default() }
}

async fn texts(router: &Router) -> Vec<(Key, String)> {
    let frames = router.read(&unit(), &Selection::all()).await.expect("frames");
    let frames: Vec<_> = frames.collect().await;
    let text = |frame| match frame {
        Ok(Frame::Record(record)) => Some((record.key, format!("{:?}", record.body))),
        Ok(_) => None,
        Err(error) => panic!("{error}"),
    };
    frames.into_iter().filter_map(text).collect()
}

async fn home(world: &World) -> Option<Side> {
    world.router.resolve(&unit()).await.expect("a home")
}

/// There and back, with writes at every stop: each reads what was written last.
#[tokio::test]
async fn a_unit_moves_there_and_back() {
    for options in [strong(), [MemoryOptions::weakest(), MemoryOptions::weakest()]] {
        let world = world(7, options, moving(0)).await;
        for (round, to) in [Side::Target, Side::Source, Side::Target].into_iter().enumerate() {
            let written = world.router.write(&unit(), put(3, &format!("round {round}"))).await;
            assert!(matches!(written, Ok(Written::Made(..))), "{written:?}");
            let before = texts(&world.router).await;
            assert_eq!(before.len(), 7);
            let moved = world.router.move_to(&unit(), to).await.expect("a move");
            assert_eq!((moved, home(&world).await), (Moved::There, Some(to)));
            assert_eq!(texts(&world.router).await, before);
        }
    }
}

/// Many writers of one unit while it moves to and fro: every write is there at the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_under_writers_and_movers() {
    for options in [strong(), [MemoryOptions::weakest(), MemoryOptions::strong()]] {
        let world = world(5, options, moving(5000)).await;
        let writer = |n: i64| {
            let router = Arc::clone(&world.router);
            async move {
                for round in 0..20 {
                    let written = router.write(&unit(), put(100 + n * 100 + round, "new")).await;
                    assert!(matches!(written, Ok(Written::Made(..))), "{written:?}");
                }
            }
        };
        let mover = async {
            for n in 0..12 {
                let to = if n % 2 == 0 { Side::Target } else { Side::Source };
                // A unit that others write to all the time may have to be let go; later is fine.
                drop(world.router.move_to(&unit(), to).await);
            }
        };
        let writers = (0..4).map(|n| tokio::spawn(writer(n))).collect::<Vec<_>>();
        mover.await;
        for writer in join_all(writers).await {
            writer.expect("a writer");
        }
        assert_eq!(texts(&world.router).await.len(), 5 + 4 * 20);
    }
}

/// Writes that come at once take fewer places in the journal than there are writes.
#[tokio::test]
async fn writes_that_come_at_once_are_made_together() {
    let world = world(1, strong(), moving(0)).await;
    let unit = unit();
    let writes = (0..50).map(|n| world.router.write(&unit, put(10 + n, "new")));
    let mut seqs = std::collections::BTreeSet::new();
    for written in join_all(writes).await {
        let Ok(Written::Made(Side::Source, generation)) = written else { panic!("{written:?}") };
        seqs.insert(generation.seq);
    }
    assert!(seqs.len() < 10, "{} applies for 50 writes", seqs.len());
    assert_eq!(texts(&world.router).await.len(), 51);
}

/// One that expects what is not there is told so; those that came with it are made.
#[tokio::test]
async fn a_conflict_is_told_to_its_caller_alone() {
    let world = world(1, strong(), moving(0)).await;
    let absent = Op::Put { record: record(0, "mine"), expect: Expect::Absent };
    let conflicting = Change { ops: vec![absent], ..put(0, "") };
    let writes = [put(1, "a"), conflicting, put(2, "b")];
    let unit = unit();
    let writes = writes.map(|change| world.router.write(&unit, change));
    let written: Vec<_> = join_all(writes).await.into_iter().map(|w| w.expect("a word")).collect();
    assert!(matches!(written[0], Written::Made(..)));
    assert_eq!(
        written[1],
        Written::Conflict(record(0, "").key, Some(record(0, "legacy").digest()))
    );
    assert!(matches!(written[2], Written::Made(..)));
    assert_eq!(texts(&world.router).await.len(), 3);
}

/// A write under a name is made once, also when it is repeated behind another one.
#[tokio::test]
async fn a_named_write_is_made_once() {
    let world = world(1, strong(), moving(0)).await;
    let named = Change { op_id: Some(Digest::of(b"mine")), ..put(1, "named") };
    let first = world.router.write(&unit(), named.clone()).await.expect("a write");
    world.router.write(&unit(), put(1, "later")).await.expect("a write");
    let again = world.router.write(&unit(), named).await.expect("a write");
    assert_eq!(first, again);
    assert_eq!(texts(&world.router).await[1].1, format!("{:?}", Body::text("later")));
}

/// A removed unit stays removed, in both stores, and may begin again.
#[tokio::test]
async fn a_removed_unit_does_not_come_back() {
    let world = world(4, strong(), Config { mirrors: true, ..moving(0) }).await;
    world.router.move_to(&unit(), Side::Target).await.expect("a move");
    world.router.delete(&unit(), None).await.expect("a removal");
    assert_eq!(texts(&world.router).await, []);
    world.router.move_to(&unit(), Side::Source).await.expect("a move");
    assert_eq!(texts(&world.router).await, []);
    world.router.write(&unit(), put(9, "anew")).await.expect("a write");
    assert_eq!(texts(&world.router).await.len(), 1);
}

/// Erasing leaves no byte of the unit in either store, nor a key of it in a journal.
#[tokio::test]
async fn erasing_leaves_nothing_but_that_it_was() {
    let config = Config { mirrors: true, ..moving(0) };
    let world = world(4, strong(), config).await;
    world.router.move_to(&unit(), Side::Target).await.expect("a move");
    world.router.write(&unit(), put(1, "secret")).await.expect("a write");
    world.router.erase(&unit()).await.expect("an erasure");
    nothing_is_left(&world).await;
}

async fn nothing_is_left(world: &World) {
    for store in [&world.source, &world.target] {
        let frames = store.read(vec![unit()], Selection::all()).await.expect("frames");
        let frames: Vec<_> = frames.collect().await;
        let is_record = |frame: &Result<Frame, _>| matches!(frame, Ok(Frame::Record(_)));
        assert!(!frames.iter().any(is_record), "{frames:?}");
        let control = store.journal(unit(), 0).await.expect("a journal").control;
        let control = control.expect("a control record that stays");
        assert!(control.tombstone && control.digest.records == 0, "{control:?}");
        let told = store.journal(unit(), control.generation.seq - 1).await.expect("a journal");
        assert_eq!(told.entries, None, "the journal still names keys");
    }
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

/// A mover that died leaves a copy that is half a unit; it is erased as well.
#[tokio::test]
async fn erasing_leaves_no_copy_that_was_being_staged() {
    let world = world(4, strong(), moving(0)).await;
    let stuck = Arc::new(Stuck::default());
    let watch = Arc::clone(&stuck) as Arc<dyn Watch>;
    let options = RouterOptions::new("mover", Arc::new(ManualClock::default()));
    let options = RouterOptions { watch, ..options };
    let mover = Router::with_config(world.router.pair().clone(), moving(10_000), options);
    let moving = tokio::spawn(async move { mover.place(&unit()).await });
    stuck.0.notified().await;
    moving.abort();
    drop(moving.await);
    world.router.erase(&unit()).await.expect("an erasure");
    nothing_is_left(&world).await;
}

/// Under policy both, what was answered while the target is the home is in the source as well.
#[tokio::test]
async fn policy_both_answers_when_both_stores_hold_it() {
    let config = Config { acknowledge: Acknowledge::Both, ..moving(10_000) };
    let world = world(3, strong(), config).await;
    world.router.place(&unit()).await.expect("a move");
    world.router.write(&unit(), put(1, "both")).await.expect("a write");
    for store in [&world.source, &world.target] {
        let control = store.journal(unit(), 0).await.expect("a journal").control;
        assert_eq!(control.map(|c| c.generation.seq), Some(2));
    }
}

/// A target that cannot hold a record keeps nothing: the unit stays writable at home.
#[tokio::test]
async fn a_refusing_target_leaves_the_unit_at_home() {
    let picky = MemoryOptions { kinds: Some(&["other"]), ..MemoryOptions::strong() };
    let world = world(3, [MemoryOptions::strong(), picky], moving(0)).await;
    let error = world.router.move_to(&unit(), Side::Target).await.expect_err("a refusal");
    assert!(error.to_string().contains("thread"), "{error}");
    assert!(matches!(
        world.router.write(&unit(), put(1, "still")).await,
        Ok(Written::Made(Side::Source, _))
    ));
}

/// Nothing is written before the migration has begun.
#[tokio::test]
async fn a_migration_that_is_off_writes_nothing() {
    let world = world(1, strong(), Config::default()).await;
    let error = world.router.write(&unit(), put(1, "early")).await.expect_err("a refusal");
    assert!(error.to_string().contains("has not begun"), "{error}");
    assert!(world.router.move_to(&unit(), Side::Target).await.is_err());
    assert_eq!(texts(&world.router).await.len(), 1);
}

/// Two stores of one id are a store and its clone.
#[tokio::test]
async fn a_clone_is_refused() {
    let store = MemoryStore::default();
    let again = Arc::new(store.clone());
    let error = Pair::open("m", (Arc::new(store), "s"), (again, "t")).await.expect_err("a clone");
    assert!(error.to_string().contains("clone"), "{error}");
}

/// A journal does not grow with the life of a unit; what lags behind it is copied anew.
#[tokio::test]
async fn a_journal_forgets_what_is_old() {
    let world = world(1, strong(), moving(0)).await;
    world.router.move_to(&unit(), Side::Target).await.expect("a move");
    for n in 0..1300 {
        world.router.write(&unit(), put(n % 7, &n.to_string())).await.expect("a write");
    }
    let told = |after| world.target.journal(unit(), after);
    assert_eq!(told(100).await.expect("a journal").entries, None);
    let kept = told(1301 - 1024).await.expect("a journal").entries.map(|entries| entries.len());
    assert_eq!(kept, Some(1024));
    let before = texts(&world.router).await;
    assert!(!world.router.mirror(&unit()).await.expect("an answer"), "a gap was replayed");
    world.router.move_to(&unit(), Side::Source).await.expect("a move");
    assert_eq!(texts(&world.router).await, before);
}

/// Puts units into the source, each of one record.
async fn fill(world: &World, units: usize) {
    for n in 0..units {
        let unit = UnitId::new(format!("unit-{n}"));
        world.router.write(&unit, put(0, "first")).await.expect("a write");
    }
}

/// A router over the same stores with another configuration, as after a change of it.
fn again(world: &World, config: Config) -> Router {
    let options = RouterOptions::new(vec![config.epoch as u8], Arc::new(ManualClock::default()));
    Router::with_config(world.router.pair().clone(), config, options)
}

/// A sweep moves just the units of the share; with a share of nothing all come back.
#[tokio::test]
async fn a_sweep_moves_what_is_elsewhere() {
    let world = world(0, strong(), moving(0)).await;
    fill(&world, 60).await;
    for (epoch, share) in [(2, 3_700), (3, 10_000), (4, 100), (5, 0)] {
        let router = again(&world, Config { epoch, mirrors: true, ..moving(share) });
        let wanted = |n: &usize| {
            let unit = UnitId::new(format!("unit-{n}"));
            router.config().place("m", &unit) == Side::Target
        };
        let there = (0..60).filter(wanted).count() as u64;
        let before = router.standings().await.expect("a count");
        let swept = router.sweep(Errand::Place, 3, &AtomicBool::new(false)).await.expect("a sweep");
        assert_eq!((swept.moved, swept.failed), (before.misplaced, 0));
        let count = router.standings().await.expect("a count");
        let expected = Standings {
            units: 60,
            at_source: 60 - there,
            at_target: there,
            uncopied: count.uncopied,
            ..Standings::default()
        };
        assert_eq!(count, expected);
    }
    let stopped = again(&world, Config { epoch: 6, ..moving(10_000) });
    let swept = stopped.sweep(Errand::Place, 3, &AtomicBool::new(true)).await.expect("a sweep");
    assert!(swept.stopped && swept.moved == 0);
}

/// A write whose mirror is behind is counted until it is mirrored; so is a target without mirror.
#[tokio::test]
async fn what_a_rollback_would_lack_is_counted() {
    let world = world(0, strong(), moving(0)).await;
    fill(&world, 5).await;
    let router = again(&world, Config { epoch: 2, ..moving(10_000) });
    router.sweep(Errand::Place, 2, &AtomicBool::new(false)).await.expect("a sweep");
    assert!(router.standings().await.expect("a count").rollback_ready());
    let unit = UnitId::new("unit-3");
    router.write(&unit, put(0, "unmirrored")).await.expect("a write");
    let count = router.standings().await.expect("a count");
    assert_eq!((count.mirror_lag, count.rollback_ready()), (1, false));
    assert!(router.mirror(&unit).await.expect("a mirror"));
    assert!(router.standings().await.expect("a count").rollback_ready());
}

/// What the target cannot hold is named; the others move, and what stays can be written.
#[tokio::test]
async fn a_sweep_names_what_it_cannot_move() {
    let picky = MemoryOptions { kinds: Some(&["record"]), ..MemoryOptions::strong() };
    let world = world(0, [MemoryOptions::strong(), picky], moving(0)).await;
    fill(&world, 4).await;
    let odd = UnitId::new("odd");
    let record = Record::new(Key::of("other").int(1).build(), Body::Null);
    let change = Change { ops: vec![Op::put(record)], ..put(0, "") };
    world.router.write(&odd, change).await.expect("a write");
    let router = again(&world, Config { epoch: 2, ..moving(10_000) });
    let swept = router.sweep(Errand::Place, 2, &AtomicBool::new(false)).await.expect("a sweep");
    assert_eq!((swept.moved, swept.failed), (4, 1));
    assert_eq!(swept.failures[0].0, odd);
    let written = router.write(&odd, put(2, "still")).await.expect("a write");
    assert!(matches!(written, Written::Made(Side::Source, _)), "{written:?}");
}

/// A replica is compared with its home byte by byte: behind, equal, damaged, or not there.
#[tokio::test]
async fn a_replica_is_compared_with_its_home() {
    let world = world(4, strong(), moving(0)).await;
    let compared = async || world.router.compare(&unit()).await.expect("an answer");
    world.router.write(&unit(), put(1, "first")).await.expect("a write");
    assert_eq!(compared().await, Compared::Alone);
    world.router.copy_to(&unit(), Side::Target).await.expect("a copy");
    assert_eq!(compared().await, Compared::Equal);
    world.router.write(&unit(), put(2, "later")).await.expect("a write");
    assert_eq!(compared().await, Compared::Lags);
    assert!(world.router.mirror(&unit()).await.expect("a mirror"));
    assert_eq!(compared().await, Compared::Equal);
    // A mirror that puts another record than the one that was written.
    world.router.write(&unit(), put(3, "right")).await.expect("a write");
    let control = async |store: &MemoryStore| {
        let told = store.journal(unit(), 0).await.expect("a journal");
        told.control.expect("a control record")
    };
    let (home, held) = (control(&world.source).await, control(&world.target).await);
    let now = Control { generation: home.generation, ..held.clone() };
    let guard = Guard::Exactly(Stamp::Control(Box::new(held)));
    let ops = vec![Op::put(record(3, "wrong"))];
    let ops = UnitOps::new(unit(), Dialect::Any, guard, ops, Then::Keep);
    let ops = UnitOps { control: Some(Box::new(now)), ..ops };
    let outcomes = world.target.apply(Batch { units: vec![ops] }).await.expect("an outcome");
    assert!(outcomes[0].is_applied(), "{outcomes:?}");
    assert_eq!(compared().await, Compared::Differs);
}

/// One in three reads is compared, beside the reader.
#[tokio::test]
async fn reads_are_sampled() {
    let world = world(0, strong(), moving(0)).await;
    fill(&world, 9).await;
    let pair = world.router.pair().clone();
    let clock = Arc::new(ManualClock::default());
    let options = RouterOptions { shadow_every: 3, ..RouterOptions::new("shadow", clock) };
    let router = Router::with_config(pair, moving(0), options);
    router.copy_to(&UnitId::new("unit-3"), Side::Target).await.expect("a copy");
    for n in 0..9 {
        let unit = UnitId::new(format!("unit-{n}"));
        drop(router.read(&unit, &Selection::all()).await.expect("frames"));
    }
    let told = async {
        while router.shadowed().equal + router.shadowed().behind < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = router.shadow() => panic!("it ended"),
        () = told => {}
    }
    let expected = Shadowed { equal: 1, behind: 2, ..Shadowed::default() };
    assert_eq!(router.shadowed(), expected);
}
