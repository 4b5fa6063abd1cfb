//! Memory stores that hold what a configuration of the model begins with.

use futures::StreamExt;
use restow_model::{Body, Control, Dialect, Digest, Generation, HomeState, Key, Record, UnitId};
use restow_store::memory::MemoryStore;
use restow_store::{Batch, Frame, Guard, Op, Role, Selection, Store as _, Then, UnitOps};

use crate::machine::Machine;
use crate::state::{Status, Store};

/// Numbers that look random, the same for one seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below a limit.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn unit() -> UnitId {
    UnitId::new("unit")
}

pub(crate) fn key(number: usize) -> Key {
    Key::of("record").int(number as i64).build()
}

/// Makes the two stores of a configuration.
pub(crate) async fn stores(machine: &Machine) -> (MemoryStore, MemoryStore) {
    let source = one(&machine.source, Role::Source, ("s", "t")).await;
    (source, one(&machine.target, Role::Target, ("t", "s")).await)
}

async fn one(holds: &Store, role: Role, (id, other): (&str, &str)) -> MemoryStore {
    let store = MemoryStore::default();
    let put = |(number, value): (usize, &u8)| {
        Op::put(Record::new(key(number), Body::int(i64::from(*value))))
    };
    let ops: Vec<Op> = holds.records.iter().enumerate().filter(|r| *r.1 != 0).map(put).collect();
    match holds.control {
        None => {
            if !ops.is_empty() {
                let ops = UnitOps::new(unit(), Dialect::Any, Guard::Absent, ops, Then::Keep);
                apply(&store, ops).await;
            }
            store.prepare(role, id).await.expect("a prepared store");
        }
        Some(control) => {
            store.prepare(role, id).await.expect("a prepared store");
            let state = match control.status {
                Status::Live => HomeState::Live,
                Status::Copy => HomeState::Copy,
                other => panic!("no configuration begins with {other:?}"),
            };
            let (term, seq) = (control.generation.term.into(), control.generation.seq.into());
            let control = Control {
                state,
                generation: Generation { term, seq },
                epoch: control.epoch.into(),
                op_id: Digest::default(),
                tombstone: false,
                digest: restow_model::UnitDigest::default(),
                migration: "m".into(),
                store: id.into(),
                counterpart: other.into(),
            };
            let ops = UnitOps::new(unit(), Dialect::Any, Guard::Absent, ops, Then::Keep);
            apply(&store, UnitOps { control: Some(Box::new(control)), ..ops }).await;
        }
    }
    store
}

async fn apply(store: &MemoryStore, ops: UnitOps) {
    let outcomes = store.apply(Batch { units: vec![ops] }).await.expect("outcomes");
    assert!(outcomes[0].is_applied(), "{outcomes:?}");
}

/// Reads the unit's control record and its two records.
pub(crate) async fn read(store: &MemoryStore, what: Selection) -> (Option<Control>, [u8; 2]) {
    let mut frames = store.read(vec![unit()], what).await.expect("frames");
    let (mut seen, mut records) = (None, [0, 0]);
    while let Some(frame) = frames.next().await {
        match frame.expect("a frame") {
            Frame::Begin { control, .. } => seen = control,
            Frame::Record(record) => {
                let number = usize::from(record.key == key(1));
                let Body::Int(value) = &record.body else { panic!("{record:?}") };
                records[number] = value.as_str().parse().expect("a small number");
            }
            _ => {}
        }
    }
    (seen, records)
}
