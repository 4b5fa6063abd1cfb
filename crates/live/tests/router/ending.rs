//! Copying ahead, and the two ends of a migration: completed, cancelled; then both cleaned up.

use std::time::Duration;

use super::*;
use restow_live::{Gate, GateOptions};
use restow_store::{ErrorKind, RegisterName, StoreRecord, WithoutControl};

fn at(phase: Phase, epoch: u64) -> Config {
    Config { phase, epoch, ..Config::default() }
}

/// Lets a configuration stand in the source, as every later step of the migration's does.
async fn configure(world: &World, phase: Phase) -> Router {
    let pair = world.router.pair();
    let held = pair.config().await.expect("a configuration");
    let now = pair.configure(&held, at(phase, 0)).await.expect("a change").config;
    again(world, now)
}

async fn sweep(router: &Router, errand: Errand) -> u64 {
    let swept = router.sweep(errand, 2, &AtomicBool::new(false)).await.expect("a sweep");
    assert_eq!(swept.failed, 0, "{:?}", swept.failures);
    swept.moved
}

async fn says(store: &MemoryStore) -> WithoutControl {
    let held = store.register_read(RegisterName::store()).await.expect("a register");
    let (_, bytes) = held.expect("a store's record");
    StoreRecord::from_bytes(&bytes).expect("a record").without_control
}

/// What was copied ahead stays at its home, is kept up, and only has to be sealed by a move.
#[tokio::test]
async fn a_copy_ahead_is_a_replica() {
    for options in [strong(), [MemoryOptions::weakest(), MemoryOptions::weakest()]] {
        let world = world(7, options, moving(0)).await;
        world.router.write(&unit(), put(3, "before")).await.expect("a write");
        let copied = world.router.copy_to(&unit(), Side::Target).await.expect("a copy");
        assert_eq!((copied, home(&world).await), (Moved::Copied, Some(Side::Source)));
        let count = world.router.standings().await.expect("a count");
        assert_eq!((count.at_source, count.uncopied, count.staging), (1, 0, 0));
        world.router.write(&unit(), put(4, "behind")).await.expect("a write");
        assert_eq!(world.router.standings().await.expect("a count").uncopied, 1);
        assert!(world.router.mirror(&unit()).await.expect("a mirror"));
        assert_eq!(world.router.standings().await.expect("a count").uncopied, 0);
        let before = texts(&world.router).await;
        world.router.move_to(&unit(), Side::Target).await.expect("a move");
        assert_eq!((home(&world).await, texts(&world.router).await), (Some(Side::Target), before));
    }
}

/// A completed migration: all stay at the target, new units begin there, the source refuses.
#[tokio::test]
async fn a_completed_migration_leaves_nothing_behind() {
    let world = world(0, strong(), moving(0)).await;
    fill(&world, 20).await;
    let early = again(&world, Config { epoch: 1, ..moving(0) });
    let error = early.finish(2, &AtomicBool::new(false)).await.expect_err("a refusal");
    assert_eq!(error.kind(), ErrorKind::Refused);
    configure(&world, Phase::Move).await;
    let router = configure(&world, Phase::Cleanup).await;
    let finished = router.finish(2, &AtomicBool::new(false)).await.expect("an end");
    assert!(finished.is_retired && finished.swept.moved == 20, "{finished:?}");
    assert_eq!(says(&world.source).await, WithoutControl::Retired);
    // One that still goes by the first configuration finds everything, and brings nothing back.
    let there = UnitId::new("unit-3");
    assert_eq!(early.resolve(&there).await.expect("a home"), Some(Side::Target));
    assert_eq!(early.move_to(&there, Side::Source).await.expect("an answer"), Moved::Stays);
    let written = early.write(&UnitId::new("late"), put(0, "late")).await.expect("a write");
    assert!(matches!(written, Written::Made(Side::Target, _)), "{written:?}");
    assert!(router.finish(2, &AtomicBool::new(false)).await.expect("an end").is_retired);
    let cleaned = router.clean_up(false, &AtomicBool::new(false)).await.expect("a clean-up");
    assert_eq!((cleaned.units, cleaned.left), (20, 0));
    assert_eq!(says(&world.target).await, WithoutControl::Legacy);
    let plain = UnitOps::new(unit(), Dialect::Any, Guard::Unmanaged, vec![], Then::Keep);
    let plain = UnitOps { ops: put(1, "plain").ops.into(), ..plain };
    let outcomes = world.target.apply(Batch { units: vec![plain] }).await.expect("an outcome");
    assert!(outcomes[0].is_applied(), "{outcomes:?}");
}

/// What is released may be the source of the next migration, records and all.
#[tokio::test]
async fn a_target_becomes_a_source() {
    let world = world(0, strong(), moving(0)).await;
    fill(&world, 3).await;
    configure(&world, Phase::Move).await;
    let router = configure(&world, Phase::Cleanup).await;
    router.finish(1, &AtomicBool::new(false)).await.expect("an end");
    router.clean_up(true, &AtomicBool::new(false)).await.expect("a clean-up");
    let next = MemoryStore::default();
    let pair = Pair::open("n", (Arc::new(world.target), "t2"), (Arc::new(next), "u")).await;
    let options = RouterOptions::new("next", Arc::new(ManualClock::default()));
    let router = Router::with_config(pair.expect("two stores"), moving(10_000), options);
    assert_eq!(sweep(&router, Errand::Place).await, 3);
    assert_eq!(router.standings().await.expect("a count").at_target, 3);
}

/// A cancelled migration: all are at the source again, and the target is done with.
#[tokio::test]
async fn a_cancelled_migration_is_as_if_it_had_never_been() {
    let world = world(0, strong(), moving(0)).await;
    fill(&world, 9).await;
    sweep(&configure(&world, Phase::Full).await, Errand::Place).await;
    let router = configure(&world, Phase::Cancelled).await;
    let finished = router.finish(2, &AtomicBool::new(false)).await.expect("an end");
    assert!(finished.is_retired, "{finished:?}");
    assert_eq!(says(&world.target).await, WithoutControl::Retired);
    let cleaned = router.clean_up(false, &AtomicBool::new(false)).await.expect("a clean-up");
    assert_eq!((cleaned.units, cleaned.left), (9, 0));
    assert_eq!(says(&world.source).await, WithoutControl::Legacy);
    assert_eq!(world.source.units().await.expect("units").count().await, 9);
}

/// More units move only where nothing is damaged, nothing lags, and a sample compares equal.
#[tokio::test]
async fn a_gate_says_what_is_wrong() {
    let world = world(0, strong(), moving(0)).await;
    fill(&world, 12).await;
    let options = GateOptions { sample: 5, ..GateOptions::default() };
    let router = configure(&world, Phase::Full).await;
    let gate = router.gate(&options).await.expect("a look");
    assert_eq!((gate.equal, gate.standings.at_source), (0, 12), "nothing is in both stores");
    sweep(&router, Errand::Place).await;
    let gate = router.gate(&options).await.expect("a look");
    assert_eq!((gate.equal, gate.behind, gate.failures.len()), (5, 0, 0));
    gate.pass(&options).expect("an open gate");
    let slow = GateOptions { p99_max: Some(Duration::ZERO), ..options };
    let late = Gate { p99: Duration::from_millis(2), ..Gate::default() };
    assert!(late.pass(&slow).expect_err("a closed gate").to_string().contains("2 ms"));
    router.write(&UnitId::new("unit-7"), put(1, "unmirrored")).await.expect("a write");
    assert_eq!(router.gate(&options).await.expect("a look").standings.mirror_lag, 1);
    let config = Config { mirrors: true, ..router.config().as_ref().clone() };
    let gate = again(&world, config).gate(&options).await.expect("a look");
    assert_eq!((gate.standings.mirror_lag, gate.equal), (0, 5));
    gate.pass(&options).expect("an open gate");
    let failed = |kind| {
        let error = restow_store::Error::new(kind, "read a unit", "no answer");
        let failures = vec![(UnitId::new("unit-3"), error)];
        Gate { tried: 200, failed: 1, failures, ..Gate::default() }
    };
    let often = failed(ErrorKind::Unavailable);
    let error = often.pass(&options).expect_err("a closed gate");
    assert!(error.to_string().ends_with("failed 1 of 200, unit unit-3: read a unit: no answer"));
    often.pass(&GateOptions { failed_max: 50, ..options }).expect("an open gate");
    often.pass(&GateOptions { failed_max: 49, ..options }).expect_err("a closed gate");
    let damaged = failed(ErrorKind::Damaged);
    damaged.pass(&GateOptions { failed_max: 10_000, ..options }).expect_err("a closed gate");
    let differs = Gate { differing: vec![UnitId::new("unit-2")], ..gate };
    let error = differs.pass(&options).expect_err("a closed gate");
    assert!(error.to_string().contains("unit-2"), "{error}");
}

/// A gate that comparisons take too long for is closed by what they took.
#[tokio::test]
async fn a_gate_takes_the_time_of_comparisons() {
    let world = world(0, strong(), moving(0)).await;
    fill(&world, 6).await;
    sweep(&configure(&world, Phase::Full).await, Errand::Place).await;
    let clock = Arc::new(ManualClock::default());
    let options = RouterOptions::new("slow", clock.clone());
    let options = RouterOptions { watch: Arc::new(Takes(clock)), ..options };
    let router = Router::with_config(world.router.pair().clone(), at(Phase::Full, 2), options);
    let gate = router.gate(&GateOptions::default()).await.expect("a look");
    assert_eq!((gate.equal, gate.p99), (6, Duration::from_millis(60)));
    for (most, is_open) in [(59, false), (60, true)] {
        let p99_max = Some(Duration::from_millis(most));
        let passed = gate.pass(&GateOptions { p99_max, ..GateOptions::default() });
        assert_eq!(passed.is_ok(), is_open, "{passed:?}");
    }
}

/// Lets each look take 30 ms.
#[derive(Debug)]
struct Takes(Arc<ManualClock>);

#[async_trait]
impl Watch for Takes {
    async fn before(&self, _: Step, _: Side, _: &UnitId) {
        self.0.advance(Duration::from_millis(30));
    }
}

/// A migration settles when every unit was found at the target, and not before.
#[tokio::test]
async fn a_migration_settles_when_all_are_there() {
    let picky = MemoryOptions { kinds: Some(&["record"]), ..MemoryOptions::strong() };
    let world = world(0, [MemoryOptions::strong(), picky], moving(0)).await;
    fill(&world, 5).await;
    let odd = UnitId::new("odd");
    let record = Record::new(Key::of("other").int(1).build(), Body::Null);
    let change = Change { ops: vec![Op::put(record)], ..put(0, "") };
    world.router.write(&odd, change).await.expect("a write");
    let router = configure(&world, Phase::Full).await;
    let stop = AtomicBool::new(false);
    let swept = router.settle(2, &stop).await.expect("a sweep");
    assert_eq!((swept.moved, swept.failed, router.config().phase), (5, 1, Phase::Full));
    router.delete(&odd, None).await.expect("a removal");
    let swept = router.settle(2, &stop).await.expect("a sweep");
    assert_eq!((swept.moved, swept.failed, router.config().phase), (1, 0, Phase::Settled));
    // What begins is moved by the next one; it is a phase like any other to go back from.
    let epoch = router.config().epoch;
    router.write(&UnitId::new("begun"), put(1, "late")).await.expect("a write");
    assert_eq!(router.settle(2, &stop).await.expect("a sweep").moved, 1);
    assert_eq!((router.config().epoch, router.config().phase), (epoch, Phase::Settled));
    let router = configure(&world, Phase::Move).await;
    assert_eq!(sweep(&router, Errand::Place).await, 7);
}

/// Units that nobody had touched yet are marked as well before the target is done with.
#[tokio::test]
async fn a_migration_is_cancelled_before_any_unit_was_touched() {
    let world = world(5, strong(), moving(0)).await;
    let router = configure(&world, Phase::Cancelled).await;
    let finished = router.finish(2, &AtomicBool::new(false)).await.expect("an end");
    assert!(finished.is_retired && finished.swept.moved == 1, "{finished:?}");
    assert_eq!(home(&world).await, Some(Side::Source));
}

/// Movers rest while they are told to; clients do not notice.
#[tokio::test]
async fn a_pause_holds_for_movers_alone() {
    let world = world(0, strong(), moving(0)).await;
    fill(&world, 4).await;
    let router = configure(&world, Phase::Full).await;
    let held = router.pair().config().await.expect("a configuration");
    let paused = Config { paused: true, ..held.config.clone() };
    let held = router.pair().configure(&held, paused).await.expect("a change");
    let swept = router.sweep(Errand::Place, 2, &AtomicBool::new(false)).await.expect("a sweep");
    assert!(swept.stopped && swept.moved == 0, "{swept:?}");
    router.write(&UnitId::new("unit-1"), put(1, "on")).await.expect("a write");
    let on = Config { paused: false, ..held.config.clone() };
    router.pair().configure(&held, on).await.expect("a change");
    assert_eq!(sweep(&router, Errand::Place).await, 4);
}

/// The target is lost: what was answered by both is at the source, which goes on alone.
#[tokio::test]
async fn a_lost_target_is_done_without() {
    let world = world(0, strong(), moving(0)).await;
    fill(&world, 6).await;
    configure(&world, Phase::Move).await;
    let both = Config { acknowledge: Acknowledge::Both, ..at(Phase::Full, 2) };
    let router = again(&world, both);
    sweep(&router, Errand::Place).await;
    router.write(&UnitId::new("unit-2"), put(1, "answered")).await.expect("a write");
    let pair = Pair::without_target("m", (Arc::new(world.source.clone()), "s"), "gone".into());
    let pair = pair.await.expect("a source");
    let held = pair.config().await.expect("a configuration");
    let options = RouterOptions::new("forcer", Arc::new(ManualClock::default()));
    let alone = Router::with_config(pair, held.config.clone(), options);
    let at_risk = alone.at_risk().await.expect("a list");
    assert_eq!(at_risk.len(), 6);
    assert!(
        at_risk.iter().any(|unit| unit.holds.is_some_and(|holds| holds.seq == 2)),
        "{at_risk:?}"
    );
    let stop = AtomicBool::new(false);
    let error = alone.force(&stop).await.expect_err("a refusal");
    assert_eq!(error.kind(), ErrorKind::Refused);
    let lost = Config { lost: true, ..at(Phase::Move, 0) };
    alone.pair().configure(&held, lost).await.expect("a change");
    assert_eq!(alone.force(&stop).await.expect("units"), 6);
    assert_eq!(alone.force(&stop).await.expect("units"), 0);
    let frames = alone.read(&UnitId::new("unit-2"), &Selection::all()).await.expect("frames");
    let records = frames.filter(|f| std::future::ready(matches!(f, Ok(Frame::Record(_)))));
    assert_eq!(records.count().await, 2);
    for unit in ["unit-2", "begun alone"] {
        let written = alone.write(&UnitId::new(unit), put(2, "alone")).await.expect("a write");
        assert!(matches!(written, Written::Made(Side::Source, _)), "{written:?}");
    }
    let held = alone.pair().config().await.expect("a configuration");
    let ends = Config { lost: true, ..at(Phase::Cancelled, 0) };
    alone.pair().configure(&held, ends).await.expect("a change");
    assert!(alone.finish(1, &stop).await.expect("an end").is_retired);
    alone.clean_up(false, &stop).await.expect("a clean-up");
    assert_eq!(says(&world.source).await, WithoutControl::Legacy);
}
