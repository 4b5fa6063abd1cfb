//! A store under test, and the few steps that all cases share.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::TryStreamExt;
use futures::future::BoxFuture;
use restow_model::{
    Control, Dialect, Digest, Generation, HomeState, Key, Record, UnitDigest, UnitId,
};

use super::samples;
use crate::{
    Batch, Capabilities, Content, Current, Cursor, Error, ErrorKind, Frame, Frames, Guard, Op,
    RegisterName, Result, Role, Segment, Selection, Stamp, Store, StoreRecord, Swap, Then, UnitOps,
    UnitOutcome, WithoutControl,
};

/// Damages a record of a unit in the store, by the engine's own means.
pub type Damage = Box<dyn Fn(UnitId, Key) -> BoxFuture<'static, ()> + Send + Sync>;

/// A fresh store, and what a case has to know of it.
pub struct Fixture {
    /// The store.
    pub store: Arc<dyn Store>,
    /// What must live as long as the store: a temporary folder, a server.
    pub keep: Box<dyn Any + Send>,
    /// Makes records that the layout can hold: other seeds make other bodies under the same keys.
    pub records: fn(seed: u64, n: usize) -> Vec<Record>,
    /// The language of those records.
    pub dialect: Dialect,
    /// Damages a record, where the store's tests know how.
    pub damage: Option<Damage>,
    operations: AtomicU64,
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fixture({:?})", self.store)
    }
}

/// A unit, or a piece of one, as frames showed it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The unit.
    pub id: UnitId,
    /// Its control record.
    pub control: Option<Control>,
    /// Its records, in the order in which they came; values and residues sorted.
    pub records: Vec<Record>,
    /// How many damage frames came among them.
    pub damaged: usize,
    /// The digest that the store claims.
    pub digest: Option<UnitDigest>,
}

impl Fixture {
    /// Tests a store that holds any record.
    pub fn generic(store: Arc<dyn Store>, keep: impl Any + Send) -> Self {
        let (records, dialect) = (samples::generic as fn(u64, usize) -> _, Dialect::Any);
        let (keep, operations) = (Box::new(keep), AtomicU64::new(0));
        Self { store, keep, records, dialect, damage: None, operations }
    }

    /// Tests a store that holds LangGraph's records only.
    pub fn langgraph(store: Arc<dyn Store>, keep: impl Any + Send) -> Self {
        let generic = Self::generic(store, keep);
        Self { records: samples::langgraph, dialect: Dialect::Python, ..generic }
    }

    /// Adds the way to damage a record.
    #[must_use]
    pub fn with_damage(self, damage: Damage) -> Self {
        Self { damage: Some(damage), ..self }
    }

    /// Returns what the store says that it can do.
    pub fn can(&self) -> Capabilities {
        self.store.info().capabilities
    }

    /// Makes the store ready to be copied into.
    pub async fn ready(&self) -> Result<()> {
        self.store.prepare(Role::CopyTarget, "unused").await.map(|_| ())
    }

    /// Makes the store ready for a migration; returns whether it can take part in one.
    pub async fn ready_live(&self) -> Result<bool> {
        if self.can().live {
            self.store.prepare(Role::Source, "store-1").await?;
        }
        Ok(self.can().live)
    }

    /// Makes one sample record under the key of that number.
    pub fn record(&self, n: usize, seed: u64) -> Record {
        (self.records)(seed, n + 1).swap_remove(n)
    }

    /// Makes operations, with an operation id of their own.
    pub fn ops(&self, unit: &UnitId, guard: Guard, ops: Vec<Op>, then: Then) -> UnitOps {
        let n = self.operations.fetch_add(1, Ordering::Relaxed);
        let op_id = Some(Digest::of(format!("operation {n}").as_bytes()));
        UnitOps { op_id, ..UnitOps::new(unit.clone(), self.dialect, guard, ops, then) }
    }

    /// Applies the operations of one unit, again while nobody can say what became of them.
    pub async fn apply(&self, ops: UnitOps) -> Result<UnitOutcome> {
        const ATTEMPTS_MAX: usize = 20;
        for _ in 0..ATTEMPTS_MAX {
            let outcomes = self.store.apply(Batch { units: vec![ops.clone()] }).await?;
            assert_eq!(outcomes.len(), 1, "one outcome a unit");
            match outcomes.into_iter().next() {
                None | Some(UnitOutcome::Indeterminate) => {}
                Some(outcome) => return Ok(outcome),
            }
        }
        Err(Error::new(ErrorKind::Failed, "apply", "no answer, however often it was asked"))
    }

    /// Does something to a unit; returns the outcome.
    pub async fn run(
        &self,
        unit: &UnitId,
        guard: Guard,
        ops: Vec<Op>,
        then: Then,
    ) -> Result<UnitOutcome> {
        self.apply(self.ops(unit, guard, ops, then)).await
    }

    /// Does something to a unit that has to succeed.
    pub async fn done(
        &self,
        unit: &UnitId,
        guard: Guard,
        ops: Vec<Op>,
        then: Then,
    ) -> Result<UnitOutcome> {
        let outcome = self.run(unit, guard, ops, then).await?;
        assert!(outcome.is_applied(), "{outcome:?}");
        Ok(outcome)
    }

    /// Writes records into a unit as a copy does, in as many applies as the store needs.
    pub async fn write(&self, unit: &UnitId, records: &[Record]) -> Result<()> {
        self.put(unit, records, &Guard::Unmanaged, &Then::Keep).await
    }

    /// Writes records under a guard, in as many applies as the store needs.
    pub async fn put(
        &self,
        unit: &UnitId,
        records: &[Record],
        guard: &Guard,
        then: &Then,
    ) -> Result<()> {
        let can = self.can();
        let (mut ops, mut bytes) = (Vec::new(), 0);
        for record in records {
            let full =
                ops.len() == can.apply_records_max || bytes + record.weight() > can.apply_bytes_max;
            if full && !ops.is_empty() {
                self.done(unit, guard.clone(), std::mem::take(&mut ops), then.clone()).await?;
                bytes = 0;
            }
            bytes += record.weight();
            ops.push(Op::put(record.clone()));
        }
        self.done(unit, guard.clone(), ops, then.clone()).await.map(|_| ())
    }

    /// Reads one unit whole.
    pub async fn unit(&self, unit: &UnitId) -> Result<Option<Seen>> {
        Ok(self.read(std::slice::from_ref(unit), Selection::all()).await?.pop())
    }

    /// Reads the records of one unit; none where it is not there.
    pub async fn records_of(&self, unit: &UnitId) -> Result<Vec<Record>> {
        Ok(self.unit(unit).await?.map(|seen| seen.records).unwrap_or_default())
    }

    /// Reads units.
    pub async fn read(&self, units: &[UnitId], what: Selection) -> Result<Vec<Seen>> {
        let frames = self.store.read(units.to_vec(), what).await?.try_collect::<Vec<_>>().await?;
        Ok(seen(&frames))
    }

    /// Walks a share and returns its frames.
    pub async fn scan(&self, segment: Segment, from: Option<Cursor>) -> Result<Vec<Frame>> {
        let frames: Frames = self.store.scan(segment, from, Content::All).await?;
        frames.try_collect().await
    }

    /// Returns a control record as a migration would write it; the digest is the store's to know.
    pub fn control(&self, state: HomeState, term: u64, seq: u64) -> Control {
        Control {
            state,
            generation: Generation { term, seq },
            epoch: 1,
            op_id: Digest::default(),
            tombstone: false,
            digest: UnitDigest::default(),
            migration: "migration-1".into(),
            store: "store-1".into(),
            counterpart: "store-2".into(),
        }
    }

    /// Replaces a control record, or sets the first one, together with what else is done.
    pub async fn replace(
        &self,
        unit: &UnitId,
        guard: Guard,
        ops: Vec<Op>,
        then: Then,
        control: Control,
    ) -> Result<UnitOutcome> {
        let control = Some(Box::new(control));
        self.apply(UnitOps { control, ..self.ops(unit, guard, ops, then) }).await
    }

    /// Makes a unit with a control record and one record.
    pub async fn managed(
        &self,
        unit: &UnitId,
        state: HomeState,
        generation: (u64, u64),
    ) -> Result<()> {
        let control = self.control(state, generation.0, generation.1);
        let ops = vec![Op::put(self.record(0, 1))];
        let outcome = self.replace(unit, Guard::Absent, ops, Then::Keep, control).await?;
        assert!(outcome.is_applied(), "{outcome:?}");
        Ok(())
    }

    /// Reads a unit's control record, which has to be there.
    pub async fn held(&self, unit: &UnitId) -> Result<Control> {
        let held = self.store.journal(unit.clone(), 0).await?.control;
        held.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "read a control record", "none is there")
        })
    }

    /// Returns the guard that a unit is as it is now.
    pub async fn as_held(&self, unit: &UnitId) -> Result<Guard> {
        Ok(exactly(&self.held(unit).await?))
    }

    /// Retires the store, as completing a migration does.
    pub async fn retire(&self) -> Result<()> {
        self.declare(WithoutControl::Retired).await
    }

    /// Lets the store say how it is read where it has no control record.
    pub async fn declare(&self, without_control: WithoutControl) -> Result<()> {
        let name = RegisterName::store;
        let was = self.store.register_read(name()).await?;
        let id = was.as_ref().and_then(|(_, bytes)| StoreRecord::from_bytes(bytes)?.id);
        let now = StoreRecord { id, without_control };
        let was = was.map(|(etag, _)| etag);
        let swap = self.store.register_swap(name(), was, now.to_bytes()).await?;
        assert!(matches!(swap, Swap::Swapped(_)), "{swap:?}");
        Ok(())
    }
}

/// Returns the guard that a control record is just this one.
pub fn exactly(control: &Control) -> Guard {
    Guard::Exactly(Stamp::Control(Box::new(control.clone())))
}

/// Takes frames apart into units, and checks that they open and close as they should.
pub fn seen(frames: &[Frame]) -> Vec<Seen> {
    let (mut units, mut open) = (Vec::new(), None::<Seen>);
    for frame in frames {
        match frame {
            Frame::Begin { unit, control, .. } => {
                // A mark inside a unit may close what a resumed scan opens again.
                assert!(open.is_none(), "{unit} begins inside another unit");
                let (id, control) = (unit.clone(), control.clone());
                open = Some(Seen { id, control, records: Vec::new(), damaged: 0, digest: None });
            }
            Frame::Record(record) => {
                let into = open.as_mut().map(|unit| &mut unit.records);
                assert!(into.is_some(), "{} belongs to no unit", record.key);
                into.into_iter().for_each(|records| records.push(sorted(record.clone())));
            }
            Frame::Damaged { .. } => open.iter_mut().for_each(|unit| unit.damaged += 1),
            Frame::End { unit, control, digest } => {
                let ended = open.take();
                assert_eq!(ended.as_ref().map(|e| &e.id), Some(unit), "the unit that began ends");
                units.extend(ended.map(|e| Seen { digest: *digest, ..e }));
                let began = units.last().and_then(|u| u.control.as_ref());
                assert_eq!(began, control.as_ref(), "nobody wrote meanwhile");
            }
            Frame::Mark(_) => {}
        }
    }
    assert!(open.is_none(), "a unit does not end");
    units
}

/// Puts pieces of units together; no record may come twice.
pub fn merged(pieces: impl IntoIterator<Item = Seen>) -> BTreeMap<UnitId, BTreeMap<Key, Record>> {
    let mut units: BTreeMap<UnitId, BTreeMap<Key, Record>> = BTreeMap::new();
    for piece in pieces {
        let unit = units.entry(piece.id.clone()).or_default();
        for record in piece.records {
            let key = record.key.clone();
            assert_eq!(unit.insert(key, record), None, "a record of {} came twice", piece.id);
        }
    }
    units
}

/// Returns a record with values and residues in an order that does not depend on the store.
pub fn sorted(mut record: Record) -> Record {
    record.values.sort_by_key(|value| value.name);
    record.residue.sort_by(|a, b| a.layout.cmp(&b.layout));
    record
}

/// Returns records sorted by key, each as [`sorted`] leaves it.
pub fn by_key(records: &[Record]) -> Vec<Record> {
    let mut records: Vec<_> = records.iter().cloned().map(sorted).collect();
    records.sort_by(|a, b| a.key.cmp(&b.key));
    records
}

/// Returns the digest of records.
pub fn digest(records: &[Record]) -> UnitDigest {
    let mut sum = UnitDigest::default();
    records.iter().for_each(|record| sum.merge(&record.summed()));
    sum
}

/// Names a unit.
pub fn unit(n: usize) -> UnitId {
    UnitId::new(format!("unit-{n:03}"))
}

/// Returns what stood in the way of an operation that has to be lost.
pub fn lost(outcome: &UnitOutcome) -> Option<&Current> {
    match outcome {
        UnitOutcome::Lost(current) => Some(current),
        _ => None,
    }
}

/// Returns the kind of the error of an operation that has to fail.
pub fn failed(outcome: &UnitOutcome) -> Option<ErrorKind> {
    match outcome {
        UnitOutcome::Failed(error) => Some(error.kind()),
        _ => None,
    }
}
