//! Changes to the records of one place, in order, each on what those before it left.

use std::collections::HashSet;

use bytes::Bytes;
use postgres::types::Type;
use restow_model::{Key, KeyPart, Record, UnitDigest, UnitId};
use restow_store::{Current, Error, ErrorKind, Expect, Op, RecordOutcome, UnitOutcome};

use super::super::read::{Contents, named};
use super::super::row::residue::LAYOUT;
use super::super::row::{Known, TASKS};
use super::super::tables::{Place, Tables};
use super::load::{Load, load};
use super::state::{self, Held};
use super::{Not, OPERATION, lost, stage};
use crate::engine::postgres::{Fail, Transaction};
use crate::layout::langgraph::record::{self, CHECKPOINT, UNIT, View, WRITE};

/// The digest of records while they change.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sum {
    /// Nobody asks for it.
    Unasked,
    /// Only the records tell.
    Unknown,
    /// It is kept by difference.
    Known(UnitDigest),
}

impl Sum {
    fn change(&mut self, change: impl FnOnce(&mut UnitDigest)) {
        if let Self::Known(digest) = self {
            change(digest);
        }
    }

    fn forget(&mut self) {
        if let Self::Known(_) = self {
            *self = Self::Unknown;
        }
    }
}

/// Changes to the records of one place.
pub(super) struct Changes<'a, 'c, 'o> {
    pub(super) tx: &'a mut Transaction<'c>,
    pub(super) tables: &'a Tables,
    pub(super) place: &'a Place,
    pub(super) unit: &'a UnitId,
    pub(super) known: Known,
    digest: Sum,
    /// Checkpoints whose sends changed.
    lenders: Vec<String>,
    /// The encoded keys under which something is.
    there: HashSet<Bytes>,
    /// New records that are not loaded yet.
    waiting: Vec<&'o Record>,
}

impl<'a, 'c, 'o> Changes<'a, 'c, 'o> {
    /// Begins with what is known of versions and digest.
    pub(super) fn new(
        tx: &'a mut Transaction<'c>,
        (tables, place): (&'a Tables, &'a Place),
        unit: &'a UnitId,
        known: Known,
        digest: Sum,
    ) -> Self {
        let (lenders, there, waiting) = (Vec::new(), HashSet::new(), Vec::new());
        Self { tx, tables, place, unit, known, digest, lenders, there, waiting }
    }

    /// Does all of it.
    pub(super) fn all(&mut self, ops: &'o [Op]) -> Result<Vec<RecordOutcome>, Not> {
        let (first, rest) = match ops.split_first() {
            Some((Op::Clear, rest)) => {
                self.clear()?;
                (true, rest)
            }
            _ => (false, ops),
        };
        if !first {
            let keys: Vec<&Key> = rest.iter().filter_map(key_of).collect();
            self.there = state::there(self.tx, (self.tables, self.place), self.unit, &keys)?;
        }
        let mut outcomes = Vec::with_capacity(rest.len());
        for op in rest {
            match op {
                Op::Put { record, expect } => outcomes.push(self.put(record, expect)?),
                Op::Remove { key, expect } => outcomes.push(self.remove(key, expect)?),
                Op::Clear => self.clear()?,
            }
        }
        self.load()?;
        Ok(outcomes)
    }

    fn put(&mut self, record: &'o Record, expect: &Expect) -> Result<RecordOutcome, Not> {
        let key = &record.key;
        if !self.there.contains(key.as_bytes()) {
            if matches!(expect, Expect::Digest(_)) {
                return Err(lost(Current::Record(key.clone(), None)));
            }
            self.wait(record);
            return Ok(RecordOutcome::Inserted);
        }
        let held = self.expected(key, expect)?;
        if let Held::Record(held) = &held
            && held.summed() == record.summed()
        {
            return Ok(RecordOutcome::Kept);
        }
        self.take_away(key, &held)?;
        self.wait(record);
        Ok(match held {
            Held::Nothing => RecordOutcome::Inserted,
            held => RecordOutcome::Replaced(held.digest().unwrap_or_default()),
        })
    }

    fn remove(&mut self, key: &Key, expect: &Expect) -> Result<RecordOutcome, Not> {
        let held = match self.there.contains(key.as_bytes()) {
            true => self.expected(key, expect)?,
            false if matches!(expect, Expect::Digest(_)) => {
                return Err(lost(Current::Record(key.clone(), None)));
            }
            false => return Ok(RecordOutcome::Kept),
        };
        self.take_away(key, &held)?;
        Ok(match held {
            Held::Nothing => RecordOutcome::Kept,
            held => RecordOutcome::Replaced(held.digest().unwrap_or_default()),
        })
    }

    fn clear(&mut self) -> Result<(), Not> {
        self.waiting.clear();
        self.there.clear();
        stage::clear(self.tx, self.tables, self.place, self.unit)?;
        self.known = Known::complete();
        if !matches!(self.digest, Sum::Unasked) {
            self.digest = Sum::Known(UnitDigest::default());
        }
        self.lenders.clear();
        Ok(())
    }

    /// Keeps a new record until it is loaded.
    fn wait(&mut self, record: &'o Record) {
        self.there.insert(record.key.as_bytes().clone());
        self.digest.change(|digest| digest.merge(&record.summed()));
        self.lend(record);
        self.waiting.push(record);
    }

    /// Takes what went out of the digest.
    fn count_out(&mut self, held: &Held) {
        match held {
            Held::Nothing => {}
            Held::Record(record) => {
                self.digest.change(|digest| digest.take(&record.summed()));
                self.lend(record);
            }
            Held::Damaged => self.digest.forget(),
        }
    }

    /// Notes a write that checkpoints may read as their sends.
    fn lend(&mut self, record: &Record) {
        if let (Sum::Known(_), Ok(View::Write(write))) = (&self.digest, record::view(record))
            && write.channel == TASKS
        {
            self.lenders.push(write.checkpoint);
        }
    }

    /// Returns the digest of the records now.
    pub(super) fn digest(&mut self, place: &Place) -> Result<UnitDigest, Not> {
        let lenders: Vec<&str> = self.lenders.iter().map(String::as_str).collect();
        match self.digest {
            Sum::Known(digest)
                if lenders.is_empty()
                    || !state::lend_sends(self.tx, place, self.unit, &lenders)? =>
            {
                Ok(digest)
            }
            _ => self.read_digest(place),
        }
    }

    /// Returns the digest of what is in a place, by reading it.
    pub(super) fn read_digest(&mut self, place: &Place) -> Result<UnitDigest, Not> {
        match state::contents(self.tx, (self.tables, place), self.unit)? {
            Contents::Absent => Ok(UnitDigest::default()),
            Contents::Digest(Some(digest)) => Ok(digest),
            Contents::Digest(None) => {
                let message = "a record of the unit cannot be read, so that its digest cannot be \
                               told; `restow assess` names it: restore it, or remove the unit";
                let error = Error::new(ErrorKind::Damaged, OPERATION, message);
                let error = error.with("unit", self.unit.to_string());
                Err(Not::Outcome(UnitOutcome::Failed(error)))
            }
        }
    }

    fn expected(&mut self, key: &Key, expect: &Expect) -> Result<Held, Not> {
        self.load()?;
        let held = state::held(self.tx, (self.tables, self.place), self.unit, key)?;
        let holds = match (expect, &held) {
            (Expect::Any, _) | (Expect::Absent, Held::Nothing) => true,
            (Expect::Absent, _) => false,
            (Expect::Digest(digest), held) => held.digest() == Some(*digest),
        };
        match holds {
            true => Ok(held),
            false => Err(lost(Current::Record(key.clone(), held.digest()))),
        }
    }

    /// Loads what waits.
    fn load(&mut self) -> Result<(), Not> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let records = std::mem::take(&mut self.waiting);
        let place = (self.tables, self.place);
        if state::learn(self.tx, place, self.unit, &records, &mut self.known)? {
            // Named by now, such a row is no longer a record of its own.
            self.digest.forget();
        }
        let known = std::mem::replace(&mut self.known, Known::partial());
        let loads = vec![Load { unit: self.unit, records, known }];
        let known = load(self.tx, self.tables, self.place, loads)?;
        self.known = known.into_iter().next().unwrap_or_else(Known::partial);
        Ok(())
    }

    /// Removes what is under a key, and what is kept beside it.
    fn take_away(&mut self, key: &Key, held: &Held) -> Result<(), Not> {
        self.load()?;
        self.there.remove(key.as_bytes());
        self.count_out(held);
        // A blob row that a checkpoint names by now is no longer under the key.
        if !matches!(held, Held::Nothing) {
            self.take_rows(key)?;
        }
        let sql = format!("DELETE FROM {} WHERE thread_id = $1 AND key = $2", self.place.residue);
        let (thread, bytes) = (self.unit.as_str(), &key.as_bytes()[..]);
        self.tx.execute_typed(&sql, &[(&thread as _, Type::TEXT), (&bytes as _, Type::BYTEA)])?;
        Ok(())
    }

    fn take_rows(&mut self, key: &Key) -> Result<(), Fail> {
        use KeyPart::{Int, Text};
        let place = self.place;
        let thread = self.unit.as_str();
        match (key.kind(), key.parts().as_slice()) {
            (CHECKPOINT, [Text(space), Text(id)]) => self.take_checkpoint(space, id)?,
            (WRITE, [Text(space), Text(id), Text(task), Int(index)]) => {
                let index = i32::try_from(*index).unwrap_or(i32::MAX);
                let sql = format!(
                    "DELETE FROM {} WHERE (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) \
                     = ($1, $2, $3, $4, $5)",
                    place.writes
                );
                let parameters = [
                    (&thread as _, Type::TEXT),
                    (space as _, Type::TEXT),
                    (id as _, Type::TEXT),
                    (task as _, Type::TEXT),
                    (&index as _, Type::INT4),
                ];
                self.tx.execute_typed(&sql, &parameters)?;
            }
            (UNIT, _) => {
                let own = format!("DELETE FROM {} WHERE thread_id = $1 AND key = $2", place.unit);
                let bytes = &key.as_bytes()[..];
                let parameters = [(&thread as _, Type::TEXT), (&bytes as _, Type::BYTEA)];
                let kept = self.tx.execute_typed(&own, &parameters)?;
                if kept == 0
                    && let [Text(layout), Text(_), Text(space), Text(channel), Text(version)] =
                        key.parts().as_slice()
                    && layout == LAYOUT
                {
                    self.take_blob(space, channel, version)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Removes a checkpoint with the blob rows that no other one names.
    fn take_checkpoint(&mut self, space: &str, id: &str) -> Result<(), Fail> {
        let place = self.place;
        let thread = self.unit.as_str();
        let row = "(r.thread_id, r.checkpoint_ns, r.checkpoint_id)";
        let condition = format!("{row} = ($1, $2, $3)");
        let space_of = "r.thread_id = $1 AND r.checkpoint_ns = $2";
        let rest = format!("{space_of} AND r.checkpoint_id <> $3");
        let mut others = vec![named(&place.checkpoints, &rest)];
        if *place == self.tables.direct {
            others.push(named(&self.tables.active.checkpoints, space_of));
        }
        let parameters =
            [(&thread as _, Type::TEXT), (&space as _, Type::TEXT), (&id as _, Type::TEXT)];
        let sql = format!(
            "DELETE FROM {} b USING ({} EXCEPT {}) n (t, s, c, v) \
             WHERE (b.thread_id, b.checkpoint_ns, b.channel, b.version) = (n.t, n.s, n.c, n.v)",
            place.blobs,
            named(&place.checkpoints, &condition),
            others.join(" EXCEPT ")
        );
        self.tx.execute_typed(&sql, &parameters)?;
        for table in [&place.checkpoints, &place.adjustment] {
            let sql = format!("DELETE FROM {table} r WHERE {condition}");
            self.tx.execute_typed(&sql, &parameters)?;
        }
        // What was known may have gone with it.
        self.known = Known::partial();
        Ok(())
    }

    fn take_blob(&mut self, space: &str, channel: &str, version: &str) -> Result<(), Fail> {
        let table = match *self.place == self.tables.active {
            true => &self.tables.active.blobs,
            false => &self.tables.staged.blobs,
        };
        let sql = format!(
            "DELETE FROM {table} WHERE (thread_id, checkpoint_ns, channel, version) \
             = ($1, $2, $3, $4)"
        );
        let thread = self.unit.as_str();
        let parameters = [
            (&thread as _, Type::TEXT),
            (&space as _, Type::TEXT),
            (&channel as _, Type::TEXT),
            (&version as _, Type::TEXT),
        ];
        self.tx.execute_typed(&sql, &parameters)?;
        self.known = Known::partial();
        Ok(())
    }
}

fn key_of(op: &Op) -> Option<&Key> {
    match op {
        Op::Put { record, .. } => Some(&record.key),
        Op::Remove { key, .. } => Some(key),
        Op::Clear => None,
    }
}
