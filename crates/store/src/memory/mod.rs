//! The memory store: the reference that every other store behaves like.
//!
//! It is also the shortest example of a store: `state` is what it keeps, `write` applies
//! operations to one unit, `walk` turns what it keeps into frames.
//!
//! Invariants:
//! - All state stands behind one lock, which is held for a whole apply and never across an await.
//! - Kept state is only replaced, never changed in place: a snapshot is a clone of a pointer.

mod state;
mod walk;
mod write;

#[cfg(all(test, feature = "conformance"))]
mod conforms;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use restow_model::{Key, Record, UnitId};

use crate::{
    Batch, Capabilities, Content, Cursor, Enumeration, Error, ErrorKind, Etag, Frames, Purged,
    RegisterName, Result, Role, Segment, Selection, Stamp, Store, StoreInfo, StoreRecord, Swap,
    Told, UnitOutcome, Units, Unsupported, managed,
};
use state::State;

/// What a memory store imitates.
#[derive(Clone, Debug)]
pub struct MemoryOptions {
    /// What it says that it can do, and does.
    pub capabilities: Capabilities,
    /// Of so many applied units one is answered as indeterminate; `None` loses no answer.
    pub lost_answer_every: Option<u64>,
    /// How many records at most lie between two marks.
    pub records_per_mark: usize,
    /// The kinds of records that the layout can hold; `None` is any.
    pub kinds: Option<&'static [&'static str]>,
}

impl MemoryOptions {
    /// Describes a store that can do everything.
    pub fn strong() -> Self {
        let capabilities = Capabilities {
            keeps_digests: true,
            live: true,
            parallel_applies: true,
            ..Capabilities::default()
        };
        Self { capabilities, lost_answer_every: None, records_per_mark: 16, kinds: None }
    }

    /// Describes the weakest engine that can still take part in a migration: one record an apply,
    /// no snapshot, no kept digests, and every third answer is lost.
    pub fn weakest() -> Self {
        let capabilities = Capabilities {
            apply_records_max: 1,
            snapshot_reads: false,
            keeps_digests: false,
            ..Self::strong().capabilities
        };
        Self { capabilities, lost_answer_every: Some(3), records_per_mark: 1, kinds: None }
    }

    /// Describes a store that is only ever copied into: no control records, no staging.
    pub fn plain() -> Self {
        let capabilities = Capabilities { live: false, staging: false, ..Capabilities::default() };
        Self { capabilities, ..Self::strong() }
    }
}

/// A store in memory; clones share it.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    info: Arc<StoreInfo>,
    options: Arc<MemoryOptions>,
    state: Arc<Mutex<Arc<State>>>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(MemoryOptions::strong())
    }
}

impl MemoryStore {
    /// Makes an empty store.
    pub fn new(options: MemoryOptions) -> Self {
        let info = StoreInfo {
            address: "memory:".into(),
            layout: "memory",
            engine: "memory",
            application: None,
            capabilities: options.capabilities,
        };
        Self { info: Arc::new(info), options: Arc::new(options), state: Arc::default() }
    }

    /// Damages a record that is there: reading it gives a damage frame from now on.
    pub fn damage(&self, unit: &UnitId, key: &Key, why: &str) {
        self.change(|state| state.damage(unit, key, why));
    }

    fn lock(&self) -> MutexGuard<'_, Arc<State>> {
        // A state is replaced whole, so one behind a poisoned lock is still a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn snapshot(&self) -> Arc<State> {
        Arc::clone(&self.lock())
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(Arc::make_mut(&mut self.lock()))
    }

    /// Refuses what only a store that keeps control records can do.
    fn keeps_control(&self, operation: &'static str) -> Result<()> {
        match self.options.capabilities.live {
            true => Ok(()),
            false => {
                let message = "the store keeps no control records";
                Err(Error::new(ErrorKind::Unsupported, operation, message))
            }
        }
    }

    fn seen(&self) -> walk::Seen {
        match self.options.capabilities.snapshot_reads {
            true => walk::Seen::AtOnce(self.snapshot()),
            false => walk::Seen::AsItGoes(self.clone()),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for MemoryStore {
    fn info(&self) -> &StoreInfo {
        &self.info
    }

    fn check(&self, record: &Record) -> Result<(), Unsupported> {
        let kind = record.key.kind();
        match self.options.kinds.is_none_or(|kinds| kinds.contains(&kind)) {
            true => Ok(()),
            false => {
                let why = format!("records of the kind {kind} have no place here");
                Err(Unsupported { key: record.key.clone(), why })
            }
        }
    }

    async fn prepare(&self, role: Role, id: &str) -> Result<StoreRecord> {
        if role != Role::CopyTarget {
            self.keeps_control("prepare a store")?;
        }
        self.change(|state| {
            let (record, is_new) = managed::prepared(state.store_record()?, role, id);
            if is_new {
                state.declare(&record);
            }
            Ok(record)
        })
    }

    async fn segments(&self, want: usize, by: Enumeration) -> Result<Vec<Segment>> {
        Ok(walk::segments(&self.snapshot(), want, by))
    }

    async fn scan(
        &self,
        segment: Segment,
        from: Option<Cursor>,
        content: Content,
    ) -> Result<Frames> {
        let plan = walk::scan(&self.snapshot(), &self.options, &segment, from.as_ref())?;
        Ok(walk::frames(self.seen(), plan, Selection { content, ..Selection::all() }))
    }

    async fn read(&self, units: Vec<UnitId>, what: Selection) -> Result<Frames> {
        let state = self.snapshot();
        state.not_retired("read units")?;
        let plan = walk::read(&state, &self.options, &units, &what);
        Ok(walk::frames(self.seen(), plan, what))
    }

    async fn units(&self) -> Result<Units> {
        let state = self.snapshot();
        let there = state.units.iter().filter(|(_, unit)| unit.is_there());
        let units = there.map(|(id, unit)| Ok((id.clone(), Ok(unit.control.clone()))));
        Ok(Box::pin(futures::stream::iter(units.collect::<Vec<_>>())))
    }

    async fn apply(&self, batch: Batch) -> Result<Vec<UnitOutcome>> {
        let options = &self.options;
        Ok(self.change(|state| {
            let apply = |ops| match write::apply(state, options, |r| self.check(r), ops) {
                done if done.is_applied() && state.loses_answer(options.lost_answer_every) => {
                    UnitOutcome::Indeterminate
                }
                outcome => outcome,
            };
            batch.units.iter().map(apply).collect()
        }))
    }

    async fn journal(&self, unit: UnitId, after: u64) -> Result<Told> {
        self.keeps_control("read a journal")?;
        self.snapshot().journal(&unit, after)
    }

    async fn trim(&self, unit: UnitId, upto: u64) -> Result<()> {
        self.keeps_control("trim a journal")?;
        self.change(|state| state.trim(&unit, upto))
    }

    async fn release(&self) -> Result<()> {
        self.change(State::release)
    }

    async fn purge(&self, unit: UnitId, exactly: Stamp) -> Result<Purged> {
        if matches!(exactly, Stamp::Control(_)) {
            self.keeps_control("purge a unit")?;
        }
        self.change(|state| state.purge(&unit, exactly))
    }

    async fn optimize(&self) -> Result<()> {
        Ok(())
    }

    async fn register_read(&self, name: RegisterName) -> Result<Option<(Etag, Bytes)>> {
        Ok(self.snapshot().registers.get(&name).cloned())
    }

    async fn register_swap(
        &self,
        name: RegisterName,
        was: Option<Etag>,
        now: Bytes,
    ) -> Result<Swap> {
        Ok(self.change(|state| state.swap(name, was.as_ref(), now)))
    }
}
