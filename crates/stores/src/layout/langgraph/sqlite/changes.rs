//! The operations of one unit, in order, each on what those before it left.

use restow_model::{Key, Record, UnitDigest, UnitId};
use restow_store::{
    Current, Error, ErrorKind, Expect, Op, RecordOutcome, Then, UnitOps, UnitOutcome,
};
use rusqlite::Connection;

use super::apply::{Not, lost};
use super::put::{self, Held};
use super::residue::LAYOUT;
use super::side::Place;
use super::units::Fail;

/// Changes to the records of one place.
pub(super) struct Changes<'c> {
    pub(super) connection: &'c Connection,
    pub(super) place: &'static Place,
    pub(super) unit: &'c UnitId,
    /// The digest of the records, kept by difference, as far as anybody asks for it.
    pub(super) digest: UnitDigest,
    /// Whether a row went whose part in the digest nobody knows.
    pub(super) is_unknown: bool,
}

impl Changes<'_> {
    /// Does all of it.
    pub(super) fn all(&mut self, ops: &UnitOps) -> Result<Vec<RecordOutcome>, Not> {
        let mut outcomes = Vec::with_capacity(ops.ops.len());
        for op in ops.ops.iter() {
            match op {
                Op::Put { record, expect } => outcomes.push(self.put(record, expect)?),
                Op::Remove { key, expect } => outcomes.push(self.remove(key, expect)?),
                Op::Clear => self.clear()?,
            }
        }
        if ops.then == Then::Tombstone {
            self.clear()?;
        }
        Ok(outcomes)
    }

    /// Returns the digest of the records. Where a row went that was damaged, all that is left to be
    /// read is read.
    pub(super) fn digest(&self) -> Result<UnitDigest, Fail> {
        match self.is_unknown {
            true => Ok(put::sum(self.connection, self.place, self.unit)?.0),
            false => Ok(self.digest),
        }
    }

    fn clear(&mut self) -> rusqlite::Result<()> {
        (self.digest, self.is_unknown) = (UnitDigest::default(), false);
        put::clear(self.connection, self.place, self.unit)
    }

    fn put(&mut self, record: &Record, expect: &Expect) -> Result<RecordOutcome, Not> {
        let held = self.expected(&record.key, expect)?;
        if let Held::Record(held) = &held
            && held.summed() == record.summed()
        {
            return Ok(RecordOutcome::Kept);
        }
        put::check(record).map_err(|why| Not::Outcome(UnitOutcome::Unsupported(why)))?;
        whole(record)?;
        put::put(self.connection, self.place, self.unit, record)?;
        self.digest.merge(&as_kept(record));
        self.forget(&held);
        Ok(match held {
            Held::Nothing => RecordOutcome::Inserted,
            held => RecordOutcome::Replaced(held.digest().unwrap_or_default()),
        })
    }

    fn remove(&mut self, key: &Key, expect: &Expect) -> Result<RecordOutcome, Not> {
        let held = self.expected(key, expect)?;
        if matches!(held, Held::Nothing) {
            return Ok(RecordOutcome::Kept);
        }
        put::remove(self.connection, self.place, self.unit, key)?;
        self.forget(&held);
        Ok(RecordOutcome::Replaced(held.digest().unwrap_or_default()))
    }

    /// Takes what was there out of the digest.
    fn forget(&mut self, held: &Held) {
        match held {
            Held::Nothing => {}
            Held::Record(record) => self.digest.take(&record.summed()),
            Held::Damaged => self.is_unknown = true,
        }
    }

    fn expected(&self, key: &Key, expect: &Expect) -> Result<Held, Not> {
        let held = put::held(self.connection, self.place, self.unit, key)?;
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
}

/// Returns what a record is summed to when it is read back: this layout's own residue does not
/// outlive the body that it was made for.
fn as_kept(record: &Record) -> UnitDigest {
    let mut sum = record.summed();
    let digest = record.digest();
    let stale = record.residue.iter().filter(|r| &*r.layout == LAYOUT && r.record != digest);
    stale.for_each(|residue| sum.residues.remove(&residue.digest(&record.key)));
    sum
}

fn whole(record: &Record) -> Result<(), Not> {
    let mut is_whole = true;
    record.body.each_value(&mut |name| is_whole &= record.value(&name).is_some());
    if is_whole {
        return Ok(());
    }
    let error = Error::new(ErrorKind::Invalid, "apply operations", "a record lacks a value");
    Err(Not::Outcome(UnitOutcome::Failed(error.with("record", record.key.to_string()))))
}
