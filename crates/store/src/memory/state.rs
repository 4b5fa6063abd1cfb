//! What a memory store keeps: units with their records, control record, journal and staged copy.
//!
//! Invariant: a unit's digest is the sum over its records, kept by difference.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use restow_model::{
    Control, Dialect, Digest, Generation, HomeState, Key, Record, Token, UnitDigest, UnitId,
};

use crate::{
    Current, Entry, Error, ErrorKind, Etag, Guard, Purged, RecordOutcome, RegisterName, Result,
    Stamp, StoreRecord, Swap, Told, WithoutControl, entries_between,
};

/// Everything that a store keeps.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) units: BTreeMap<UnitId, Arc<Unit>>,
    pub(super) registers: BTreeMap<RegisterName, (Etag, Bytes)>,
    /// Counts records and register versions; no number is given twice.
    pub(super) counter: u64,
    answers: u64,
}

/// A unit; without records and control record it is not there, whatever else it keeps.
#[derive(Clone, Debug, Default)]
pub(super) struct Unit {
    pub(super) dialect: Dialect,
    pub(super) records: Records,
    pub(super) control: Option<Control>,
    pub(super) staged: Option<Staged>,
    pub(super) journal: Vec<Entry>,
    pub(super) last_op: Option<Digest>,
}

/// A copy of a unit that only the holder of its token sees.
#[derive(Clone, Debug)]
pub(super) struct Staged {
    pub(super) token: Token,
    /// What has to hold of a unit without control record when the copy takes its place.
    pub(super) guard: Option<Guard>,
    pub(super) dialect: Dialect,
    pub(super) records: Records,
}

/// Records by key, with their digest.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    pub(super) by_key: BTreeMap<Key, Arc<Stored>>,
    pub(super) digest: UnitDigest,
}

/// A record as it is kept.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    /// Its place in the order in which records came.
    pub(super) row: u64,
    pub(super) record: Record,
    pub(super) digest: Digest,
    pub(super) damage: Option<String>,
}

impl State {
    pub(super) fn store_record(&self) -> Result<Option<StoreRecord>> {
        let Some((_, bytes)) = self.registers.get(&RegisterName::store()) else { return Ok(None) };
        let message = "the store's record is of an unknown format";
        let record = StoreRecord::from_bytes(bytes);
        record.map(Some).ok_or(Error::new(ErrorKind::Damaged, "read a store's record", message))
    }

    /// Returns the store's record, unless it says that the store is retired.
    pub(super) fn not_retired(&self, operation: &'static str) -> Result<Option<StoreRecord>> {
        let record = self.store_record()?;
        match &record {
            Some(held) if held.without_control == WithoutControl::Retired => {
                let message = "the store is retired; use the other store of its migration";
                Err(Error::new(ErrorKind::Retired, operation, message))
            }
            _ => Ok(record),
        }
    }

    pub(super) fn swap(&mut self, name: RegisterName, was: Option<&Etag>, now: Bytes) -> Swap {
        let current = self.registers.get(&name);
        if current.map(|(etag, _)| etag) != was {
            return Swap::Lost(current.cloned());
        }
        self.counter += 1;
        let etag = Etag(self.counter.to_be_bytes().to_vec().into());
        self.registers.insert(name, (etag.clone(), now));
        Swap::Swapped(etag)
    }

    pub(super) fn journal(&self, id: &UnitId, after: u64) -> Result<Told> {
        self.not_retired("read a journal")?;
        let unit = self.units.get(id);
        let entries = unit.and_then(|unit| unit.entries_since(after)).map(<[Entry]>::to_vec);
        Ok(Told { control: unit.and_then(|unit| unit.control.clone()), entries })
    }

    pub(super) fn trim(&mut self, id: &UnitId, upto: u64) -> Result<()> {
        self.not_retired("trim a journal")?;
        if let Some(unit) = self.units.get_mut(id) {
            Arc::make_mut(unit).journal.retain(|entry| entry.seq > upto);
        }
        Ok(())
    }

    pub(super) fn purge(&mut self, id: &UnitId, exactly: Stamp) -> Result<Purged> {
        let record = self.store_record()?;
        let is = |without| record.as_ref().is_some_and(|r| r.without_control == without);
        let takes_part = record.as_ref().is_some_and(|r| r.id.is_some());
        let is_needed = takes_part || matches!(exactly, Stamp::Control(_));
        if is_needed && !is(WithoutControl::Retired) {
            let message = "a unit of a migration goes only from a retired store; complete it first";
            return Err(Error::new(ErrorKind::Refused, "purge a unit", message));
        }
        let there = self.units.get(id).filter(|unit| unit.is_there());
        let Some(unit) = there else { return Ok(Purged::Absent) };
        let records = unit.records.digest.records;
        Ok(match unit.holds(&Guard::Exactly(exactly)) {
            Err(_) => Purged::Lost,
            Ok(()) => {
                self.units.remove(id);
                Purged::Removed(records)
            }
        })
    }

    pub(super) fn damage(&mut self, id: &UnitId, key: &Key, why: &str) {
        let unit = self.units.get_mut(id).map(Arc::make_mut);
        if let Some(stored) = unit.and_then(|u| u.records.by_key.get_mut(key)) {
            Arc::make_mut(stored).damage = Some(why.into());
        }
    }

    /// Counts an answer, and says whether it is one of those that get lost.
    pub(super) fn loses_answer(&mut self, every: Option<u64>) -> bool {
        self.answers += 1;
        every.is_some_and(|n| self.answers.is_multiple_of(n))
    }
}

impl Unit {
    pub(super) fn is_there(&self) -> bool {
        self.control.is_some() || !self.records.by_key.is_empty()
    }

    /// Returns what an operation made that was applied: the last one, or one of the journal.
    pub(super) fn known(&self, op_id: Digest) -> Option<Option<Generation>> {
        let now = self.control.as_ref().map(|control| control.generation);
        match self.journal.iter().rev().find(|entry| entry.op_id == Some(op_id)) {
            Some(entry) => Some(now.map(|now| Generation { seq: entry.seq, ..now })),
            None => (self.last_op == Some(op_id)).then_some(now),
        }
    }

    /// Returns the writes behind a seq, if the journal tells all of them.
    pub(super) fn entries_since(&self, after: u64) -> Option<&[Entry]> {
        let now = self.control.as_ref()?.generation.seq;
        entries_between(&self.journal, after, now)
    }

    /// Says what the unit is now, for whoever expected something else.
    pub(super) fn current(&self) -> Current {
        match &self.control {
            Some(control) => Current::Managed(Box::new(control.clone())),
            None if self.is_there() => Current::Unmanaged(Some(self.records.digest)),
            None => Current::Absent,
        }
    }

    /// Says whether a guard holds.
    pub(super) fn holds(&self, guard: &Guard) -> Result<(), Current> {
        let control = self.control.as_ref();
        let holds = match guard {
            Guard::Unmanaged => control.is_none(),
            Guard::Absent => !self.is_there(),
            Guard::Exactly(Stamp::Control(seen)) => control == Some(&**seen),
            Guard::Exactly(Stamp::Content(d)) => {
                control.is_none() && self.is_there() && self.records.digest == *d
            }
            Guard::LiveAt { term, since } => {
                control.is_some_and(|c| c.state == HomeState::Live && c.generation.term == *term)
                    && self.entries_since(*since).is_some()
            }
            Guard::Staging(token) if control.is_none() => {
                return self.staged_as(token).map(|_| ()).ok_or(Current::Absent);
            }
            Guard::Staging(_) => false,
        };
        if holds { Ok(()) } else { Err(self.current()) }
    }

    pub(super) fn staged_as(&self, token: &Token) -> Option<&Staged> {
        self.staged.as_ref().filter(|s| s.token == *token)
    }
}

impl Records {
    pub(super) fn digest_of(&self, key: &Key) -> Option<Digest> {
        self.by_key.get(key).map(|stored| stored.digest)
    }

    pub(super) fn weight(&self) -> usize {
        self.by_key.values().map(|stored| stored.record.weight()).sum()
    }

    /// Puts a record; one that replaces another keeps its place in the order of coming.
    pub(super) fn put(&mut self, record: &Record, counter: &mut u64) -> RecordOutcome {
        let was = self.by_key.get(&record.key).cloned();
        if was.as_ref().is_some_and(|w| w.record == *record && w.damage.is_none()) {
            return RecordOutcome::Kept;
        }
        self.remove(&record.key);
        *counter += 1;
        let row = was.as_ref().map_or(*counter, |w| w.row);
        let stored = Stored { row, record: record.clone(), digest: record.digest(), damage: None };
        self.digest.merge(&record.summed());
        self.by_key.insert(record.key.clone(), Arc::new(stored));
        was.map_or(RecordOutcome::Inserted, |w| RecordOutcome::Replaced(w.digest))
    }

    pub(super) fn remove(&mut self, key: &Key) -> RecordOutcome {
        let Some(was) = self.by_key.remove(key) else { return RecordOutcome::Kept };
        self.digest.records -= 1;
        self.digest.bodies.remove(&was.digest);
        for residue in &was.record.residue {
            self.digest.residues.remove(&residue.digest(key));
        }
        RecordOutcome::Replaced(was.digest)
    }
}
