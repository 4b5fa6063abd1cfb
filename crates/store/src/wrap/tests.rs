//! What wrappers add, beside passing on.

use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBuilder;
use futures::TryStreamExt;
use futures::executor::block_on;
use proptest::prelude::*;
use restow_model::{Body, Dialect, Digest, Key, Record, UnitId};

use super::retry::is_repeatable;
use super::{Fault, FaultPlan, Meter, Retry};
use crate::clock::ManualClock;
use crate::memory::{MemoryOptions, MemoryStore};
use crate::{
    Batch, Clock, Content, Current, Enumeration, Expect, Frame, Guard, Op, Segment, Selection,
    Store, Then, UnitOps, UnitOutcome,
};

fn unit(n: usize) -> UnitId {
    UnitId::new(format!("unit-{n}"))
}

fn record(n: usize, text: &str) -> Record {
    Record::new(Key::of("item").int(n as i64).build(), Body::text(text))
}

fn put(n: usize, record: Record) -> UnitOps {
    let op_id = Some(Digest::of(record.key.as_bytes()));
    let ops = vec![Op::put(record)];
    UnitOps { op_id, ..UnitOps::new(unit(n), Dialect::Any, Guard::Unmanaged, ops, Then::Keep) }
}

fn filled(units: usize, records: usize) -> MemoryStore {
    let options = MemoryOptions { records_per_mark: 3, ..MemoryOptions::strong() };
    let store = MemoryStore::new(options);
    for n in 0..records {
        let units = (0..units).map(|u| put(u, record(n, "text"))).collect();
        block_on(store.apply(Batch { units })).expect("an answer");
    }
    store
}

fn clock() -> Arc<ManualClock> {
    Arc::default()
}

fn wrapped(store: &MemoryStore, plan: FaultPlan) -> (Retry, Arc<ManualClock>) {
    let clock = clock();
    let fault = Fault::new(Arc::new(store.clone()), clock.clone(), plan);
    let policy = ExponentialBuilder::default().with_max_times(50);
    (Retry::new(Arc::new(fault), clock.clone(), policy), clock)
}

async fn scanned(store: &dyn Store, by: Enumeration) -> Vec<Frame> {
    let frames = store.scan(Segment::whole(by), None, Content::All).await.expect("a scan");
    frames.try_collect().await.expect("frames")
}

async fn read(store: &dyn Store, units: usize, what: Selection) -> Vec<Frame> {
    let frames = store.read((0..units).map(unit).collect(), what).await.expect("a read");
    frames.try_collect().await.expect("frames")
}

fn is_record_or_unit(frame: &Frame) -> bool {
    !matches!(frame, Frame::Mark(_))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_reader_does_not_see_that_a_stream_broke_off(seed: u64) {
        let store = filled(4, 8);
        let plan = FaultPlan { seed, cut: 100, before: 100, ..FaultPlan::default() };
        let (retry, _) = wrapped(&store, plan);
        block_on(async {
            let whole = scanned(&store, Enumeration::Units).await;
            let resumed = scanned(&retry, Enumeration::Units).await;
            let frames = |frames: Vec<Frame>| {
                frames.into_iter().filter(is_record_or_unit).collect::<Vec<_>>()
            };
            assert_eq!(frames(resumed), frames(whole));
            let newest = Selection {
                order: crate::Order::Descending,
                limit: Some(5),
                ..Selection::all()
            };
            for what in [Selection::all(), newest] {
                let whole = read(&store, 5, what.clone()).await;
                assert_eq!(read(&retry, 5, what).await, whole);
            }
            let keys = |frames: Vec<Frame>| {
                let (mut keys, mut open) = (Vec::new(), None);
                for frame in frames {
                    match frame {
                        Frame::Begin { unit, .. } => open = Some(unit),
                        Frame::Record(record) => keys.push((open.clone(), record.key)),
                        _ => {}
                    }
                }
                keys
            };
            let whole = keys(scanned(&store, Enumeration::Storage).await);
            assert_eq!(keys(scanned(&retry, Enumeration::Storage).await), whole);
        });
    }

    #[test]
    fn a_seed_replays_a_history(seed: u64) {
        let plan = FaultPlan {
            seed, before: 200, after: 200, indeterminate: 200, cut: 50, damage: 100, delay: 300,
            delay_max: Duration::from_secs(9),
        };
        let history = || {
            let (store, clock) = (filled(2, 4), clock());
            let fault = Fault::new(Arc::new(store), clock.clone(), plan.clone());
            block_on(async {
                let mut told = Vec::new();
                for n in 0..8 {
                    let batch = Batch { units: vec![put(n % 3, record(n, "later"))] };
                    told.push(format!("{:?}", fault.apply(batch).await));
                    match fault.scan(Segment::whole(Enumeration::Units), None, Content::All).await {
                        Ok(frames) => {
                            let frames = frames.try_collect::<Vec<_>>().await;
                            told.push(format!("{frames:?}"));
                        }
                        Err(error) => told.push(error.to_string()),
                    }
                    told.push(format!("{:?}", clock.monotonic()));
                }
                told
            })
        };
        prop_assert_eq!(history(), history());
    }
}

#[test]
fn only_what_would_be_noticed_is_repeated() {
    let new = |guard, ops, then| UnitOps::new(unit(0), Dialect::Any, guard, ops, then);
    let named = |ops: UnitOps| UnitOps { op_id: Some(Digest::of(b"op")), ..ops };
    let absent = || vec![Op::Put { record: record(0, ""), expect: Expect::Absent }];
    let any = || vec![Op::put(record(0, ""))];
    assert!(is_repeatable(&named(new(Guard::Unmanaged, any(), Then::Keep))));
    assert!(is_repeatable(&new(Guard::Unmanaged, absent(), Then::Keep)));
    assert!(!is_repeatable(&new(Guard::Unmanaged, any(), Then::Keep)));
    assert!(!is_repeatable(&new(Guard::Unmanaged, vec![Op::Clear], Then::Keep)));
    assert!(!is_repeatable(&new(Guard::Unmanaged, vec![], Then::Keep)));
    let live = Guard::LiveAt { term: 1, since: 0 };
    assert!(!is_repeatable(&new(live.clone(), absent(), Then::Bump)));
    assert!(is_repeatable(&named(new(live, any(), Then::Bump))));
}

#[test]
fn what_is_not_repeatable_is_tried_once() {
    let store = filled(0, 0);
    let (retry, clock) = wrapped(&store, FaultPlan { before: 1000, ..FaultPlan::default() });
    let ops = UnitOps { op_id: None, ..put(0, record(0, "")) };
    let answer = block_on(retry.apply(Batch { units: vec![ops] }));
    assert!(answer.is_err_and(|error| error.is_retryable()));
    assert_eq!(clock.monotonic(), Duration::ZERO, "nobody waited");
}

#[test]
fn attempts_end_when_the_policy_does() {
    let (store, clock) = (filled(0, 0), clock());
    let plan = FaultPlan { before: 1000, ..FaultPlan::default() };
    let fault = Arc::new(Fault::new(Arc::new(store), clock.clone(), plan));
    let retry = Retry::new(fault, clock.clone(), ExponentialBuilder::default());
    let answer = block_on(retry.segments(1, Enumeration::Units));
    assert!(answer.is_err_and(|error| error.is_retryable()));
    // Three times by default, after one, two and four seconds.
    assert_eq!(clock.monotonic(), Duration::from_secs(7));
    let outcomes = block_on(retry.apply(Batch { units: vec![put(0, record(0, ""))] }));
    let outcomes = outcomes.expect("an answer");
    assert!(matches!(outcomes[0], UnitOutcome::Indeterminate), "{outcomes:?}");
}

#[test]
fn a_loss_behind_a_lost_answer_is_indeterminate() {
    let store = filled(0, 0);
    let (retry, _) = wrapped(&store, FaultPlan { after: 500, seed: 3, ..FaultPlan::default() });
    let mut indeterminate = 0;
    for n in 0..20 {
        let expecting = Op::Put { record: record(n, "new"), expect: Expect::Absent };
        let ops = vec![expecting];
        let ops = UnitOps::new(unit(0), Dialect::Any, Guard::Unmanaged, ops, Then::Keep);
        let outcomes = block_on(retry.apply(Batch { units: vec![ops] })).expect("an answer");
        match &outcomes[0] {
            UnitOutcome::Applied { .. } => {}
            UnitOutcome::Indeterminate => indeterminate += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(indeterminate > 0);
    let held = block_on(read(&store, 1, Selection::all()));
    let records = held.iter().filter(|f| matches!(f, Frame::Record(_))).count();
    assert_eq!(records, 20, "whatever was answered, each was applied once");
    let again = vec![Op::Put { record: record(0, ""), expect: Expect::Absent }];
    let ops = UnitOps::new(unit(0), Dialect::Any, Guard::Unmanaged, again, Then::Keep);
    let lost = block_on(store.apply(Batch { units: vec![ops] })).expect("an answer");
    assert!(matches!(lost[0], UnitOutcome::Lost(Current::Record(..))));
}

#[test]
fn what_passes_is_counted() {
    let clock = clock();
    let plan = FaultPlan {
        damage: 1000,
        delay: 1000,
        delay_max: Duration::from_secs(1),
        seed: 1,
        ..FaultPlan::default()
    };
    let fault = Fault::new(Arc::new(filled(0, 0)), clock.clone(), plan);
    let damaged = Meter::new(Arc::new(fault), clock.clone());
    let meter = Meter::new(Arc::new(filled(1, 3)), clock);
    let tally = meter.tally();
    block_on(async {
        read(&meter, 1, Selection::all()).await;
        meter.apply(Batch { units: vec![put(0, record(9, ""))] }).await.expect("an answer");
        damaged.apply(Batch { units: vec![put(0, record(9, ""))] }).await.expect("an answer");
        read(&damaged, 1, Selection::all()).await;
    });
    let counts = tally.counts();
    assert_eq!((counts.operations, counts.errors, counts.damaged), (2, 0, 0));
    assert_eq!((counts.records_read, counts.records_written), (3, 1));
    assert_eq!(counts.bytes_written, record(9, "").weight() as u64);
    assert_eq!(counts.busy, Duration::ZERO);
    let counts = damaged.tally().counts();
    assert_eq!((counts.records_read, counts.damaged), (0, 1));
    assert!(counts.busy > Duration::ZERO);
}
