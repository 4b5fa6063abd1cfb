//! What a memory store keeps: units with their records, control record, journal and staged copy.
//!
//! Invariant: a unit's digest is the sum over its records, kept by difference.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use restow_model::{Control, Dialect, Digest, Key, Record, Token, UnitDigest, UnitId};

use crate::managed::{self, Held, Noted};
use crate::{
    Current, Entry, Etag, Guard, Purged, RecordOutcome, RegisterName, Result, Stamp, StoreRecord,
    Swap, Told, entries_between,
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
        let held = self.registers.get(&RegisterName::store());
        managed::store_record(held.map(|(_, bytes)| &bytes[..]))
    }

    /// Returns the store's record, unless it says that the store is retired.
    pub(super) fn not_retired(&self, operation: &'static str) -> Result<()> {
        managed::not_retired(self.store_record()?.as_ref(), operation)
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

    /// Writes the store's record.
    pub(super) fn declare(&mut self, record: &StoreRecord) {
        let was = self.registers.get(&RegisterName::store()).map(|(etag, _)| etag.clone());
        self.swap(RegisterName::store(), was.as_ref(), record.to_bytes());
    }

    pub(super) fn release(&mut self) -> Result<()> {
        let Some(record) = managed::released(self.store_record()?.as_ref())? else {
            return Ok(());
        };
        for unit in self.units.values_mut().map(Arc::make_mut) {
            (unit.control, unit.journal) = (None, Vec::new());
        }
        self.units.retain(|_, unit| unit.is_there());
        self.declare(&record);
        Ok(())
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
        managed::lets_purge(self.store_record()?.as_ref(), &exactly)?;
        let there = self.units.get(id).filter(|unit| unit.is_there());
        let Some(unit) = there else { return Ok(Purged::Absent) };
        let records = unit.records.digest.records;
        let is_seen = match exactly {
            Stamp::Control(seen) => unit.control.as_ref() == Some(&*seen),
            Stamp::Content(seen) => unit.control.is_none() && unit.records.digest == seen,
        };
        if !is_seen {
            return Ok(Purged::Lost);
        }
        self.units.remove(id);
        Ok(Purged::Removed(records))
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

    /// Returns the writes behind a seq, if the journal tells all of them.
    pub(super) fn entries_since(&self, after: u64) -> Option<&[Entry]> {
        let now = self.control.as_ref()?.generation.seq;
        entries_between(&self.journal, after, now)
    }

    pub(super) fn staged_as(&self, token: &Token) -> Option<&Staged> {
        self.staged.as_ref().filter(|s| s.token == *token)
    }
}

impl Held for Unit {
    type Error = Infallible;

    fn control(&self) -> Option<&Control> {
        self.control.as_ref()
    }

    fn last_op(&self) -> Option<Digest> {
        self.last_op
    }

    fn content(&mut self) -> Result<Current, Infallible> {
        Ok(match self.records.by_key.is_empty() {
            true => Current::Absent,
            false => Current::Unmanaged(Some(self.records.digest)),
        })
    }

    fn staged(&mut self) -> Result<Option<Token>, Infallible> {
        Ok(self.staged.as_ref().map(|staged| staged.token.clone()))
    }

    fn noted(&mut self, op_id: Option<Digest>, after: u64) -> Result<Noted, Infallible> {
        let is_it = |entry: &&Entry| op_id.is_some() && entry.op_id == op_id;
        let made = self.journal.iter().rfind(is_it).map(|entry| entry.seq);
        let behind = self.journal.iter().filter(|entry| entry.seq > after).count();
        Ok(Noted { made, behind: behind as u64 })
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
