//! The memory store beside a plain map: whatever operations come, both hold the same.

use std::collections::BTreeMap;

use futures::{TryStreamExt, executor::block_on};
use proptest::prelude::*;
use restow_model::{Body, Dialect, Digest, Key, Record, UnitDigest, UnitId};

use super::{MemoryOptions, MemoryStore};
use crate::{
    Batch, Content, Cursor, Enumeration, Expect, Frame, Guard, Op, Segment, Selection, Stamp,
    Store, Then, UnitOps, UnitOutcome,
};

type Model = BTreeMap<UnitId, BTreeMap<Key, Record>>;

fn unit(n: u8) -> UnitId {
    UnitId::new(format!("unit-{n}"))
}

fn key(n: u8) -> Key {
    Key::of("item").int(n.into()).build()
}

fn record(n: u8, body: i64) -> Record {
    Record::new(key(n), Body::int(body))
}

/// An operation on the record of a number; `Expect` is chosen by what the model holds, or not.
#[derive(Clone, Debug)]
enum Step {
    Put { n: u8, body: i64, expect: Wish },
    Remove { n: u8, expect: Wish },
    Clear,
}

#[derive(Clone, Copy, Debug)]
enum Wish {
    Any,
    Absent,
    Right,
    Wrong,
}

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        4 => Just(Wish::Any),
        1 => Just(Wish::Absent),
        2 => Just(Wish::Right),
        1 => Just(Wish::Wrong),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4u8, 0..3i64, wish()).prop_map(|(n, body, expect)| Step::Put { n, body, expect }),
        3 => (0..4u8, wish()).prop_map(|(n, expect)| Step::Remove { n, expect }),
        1 => Just(Step::Clear),
    ]
}

/// Turns wishes into expectations; returns whether the model meets them, and what it becomes.
fn play(records: &BTreeMap<Key, Record>, steps: &[Step]) -> (Vec<Op>, bool, BTreeMap<Key, Record>) {
    let (mut now, mut met, mut ops) = (records.clone(), true, Vec::new());
    for step in steps {
        let mut expected = |now: &BTreeMap<Key, Record>, n: u8, wish| {
            let there = now.get(&key(n)).map(Record::digest);
            let expect = match wish {
                Wish::Any => return Expect::Any,
                Wish::Absent => Expect::Absent,
                Wish::Right => there.map_or(Expect::Absent, Expect::Digest),
                Wish::Wrong => Expect::Digest(Digest::of(b"wrong")),
            };
            met &= expect == there.map_or(Expect::Absent, Expect::Digest);
            expect
        };
        match *step {
            Step::Put { n, body, expect } => {
                let expect = expected(&now, n, expect);
                ops.push(Op::Put { record: record(n, body), expect });
                now.insert(key(n), record(n, body));
            }
            Step::Remove { n, expect } => {
                let expect = expected(&now, n, expect);
                ops.push(Op::Remove { key: key(n), expect });
                now.remove(&key(n));
            }
            Step::Clear => {
                ops.push(Op::Clear);
                now.clear();
            }
        }
    }
    (ops, met, now)
}

fn digest<'r>(records: impl Iterator<Item = &'r Record>) -> UnitDigest {
    let mut sum = UnitDigest::default();
    records.for_each(|r| sum.merge(&r.summed()));
    sum
}

fn frames(store: &MemoryStore, by: Enumeration, from: Option<Cursor>) -> Vec<Frame> {
    block_on(async {
        let frames = store.scan(Segment::whole(by), from, Content::All).await.expect("a scan");
        frames.try_collect().await.expect("frames")
    })
}

/// Collects units from frames, however often each of them begins.
fn collect(frames: &[Frame]) -> Model {
    let (mut units, mut open) = (Model::new(), None);
    for frame in frames {
        match frame {
            Frame::Begin { unit, .. } => open = Some(unit.clone()),
            Frame::Record(record) => {
                let unit = units.entry(open.clone().expect("a unit begun")).or_default();
                assert_eq!(unit.insert(record.key.clone(), record.clone()), None);
            }
            _ => {}
        }
    }
    units
}

proptest! {
    #[test]
    fn operations_do_what_they_do_to_a_map(
        batches in prop::collection::vec((0..3u8, prop::collection::vec(step(), 0..5)), 0..20),
    ) {
        let options = MemoryOptions { records_per_mark: 2, ..MemoryOptions::strong() };
        let store = MemoryStore::new(options);
        let mut model = Model::new();
        for (n, steps) in batches {
            let id = unit(n);
            let was = model.remove(&id).unwrap_or_default();
            let (ops, met, becomes) = play(&was, &steps);
            let guard = match was.is_empty() {
                true => Guard::Absent,
                false => Guard::Exactly(Stamp::Content(digest(was.values()))),
            };
            let ops = UnitOps::new(id.clone(), Dialect::Any, guard, ops, Then::Keep);
            let outcomes = block_on(store.apply(Batch { units: vec![ops] })).expect("an answer");
            prop_assert_eq!(outcomes[0].is_applied(), met, "{:?}", outcomes);
            let now = if met { becomes } else { was };
            if !now.is_empty() {
                model.insert(id, now);
            }
        }

        for by in [Enumeration::Units, Enumeration::Storage] {
            let all = frames(&store, by, None);
            prop_assert_eq!(&collect(&all), &model);
            for (n, frame) in all.iter().enumerate() {
                let Frame::Mark(cursor) = frame else { continue };
                let mut resumed = collect(&all[..n]);
                for (id, records) in collect(&frames(&store, by, Some(cursor.clone()))) {
                    resumed.entry(id).or_default().extend(records);
                }
                prop_assert_eq!(&resumed, &model);
            }
        }
        for (id, records) in &model {
            let frames = block_on(store.read(vec![id.clone()], Selection::nothing()));
            let frames: Vec<_> = block_on(frames.expect("a read").try_collect()).expect("frames");
            let Some(Frame::End { digest: kept, .. }) = frames.last() else {
                panic!("no end: {frames:?}")
            };
            prop_assert_eq!(*kept, Some(digest(records.values())));
        }
    }
}

#[test]
fn the_weakest_store_loses_answers_and_not_writes() {
    let store = MemoryStore::new(MemoryOptions::weakest());
    let mut lost = 0;
    for n in 0..9 {
        let ops = vec![Op::put(record(n, 0))];
        let ops = UnitOps::new(unit(0), Dialect::Any, Guard::Unmanaged, ops, Then::Keep);
        let outcomes = block_on(store.apply(Batch { units: vec![ops] })).expect("an answer");
        lost += u8::from(matches!(outcomes[0], UnitOutcome::Indeterminate));
    }
    assert_eq!(lost, 3);
    assert_eq!(collect(&frames(&store, Enumeration::Units, None))[&unit(0)].len(), 9);
}
