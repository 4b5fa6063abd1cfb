//! What is written: operations on units under a guard, and what became of each.

use std::sync::Arc;

use restow_model::{Control, Dialect, Digest, Generation, Key, Record, Token, UnitDigest, UnitId};

use crate::{Error, Unsupported};

/// Operations on several units; each unit is atomic alone, none depends on another.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// What to do, unit by unit; no unit twice.
    pub units: Vec<UnitOps>,
}

/// What to do with one unit, all or nothing.
#[derive(Clone, Debug)]
pub struct UnitOps {
    /// The unit.
    pub unit: UnitId,
    /// The language of its payloads.
    pub dialect: Dialect,
    /// What must hold for the operations to be applied.
    pub guard: Guard,
    /// The operations, in order; shared, so that a retry costs nothing.
    pub ops: Arc<[Op]>,
    /// What becomes of the unit's state afterwards.
    pub then: Then,
    /// The control record that stands afterwards; `None` leaves it to `then`.
    pub control: Option<Box<Control>>,
    /// Names the operation, so that a repetition is recognised and a lost answer can be read back.
    pub op_id: Option<Digest>,
}

impl UnitOps {
    /// Makes operations without control record and operation id.
    pub fn new(unit: UnitId, dialect: Dialect, guard: Guard, ops: Vec<Op>, then: Then) -> Self {
        Self { unit, dialect, guard, ops: ops.into(), then, control: None, op_id: None }
    }
}

/// What must hold, checked in the same transaction as the write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The unit has no control record. What a copy writes under, outside of a migration; inside of
    /// one, what a unit is adopted under.
    Unmanaged,
    /// The unit is not there: no record, no control record.
    Absent,
    /// The unit is exactly as it was seen.
    Exactly(Stamp),
    /// The unit has no control record, and a staged copy of this token; the operations go to it.
    Staging(Token),
    /// This store is the authority under a term, and the journal tells every write behind a seq.
    LiveAt {
        /// The term that was seen.
        term: u64,
        /// The seq that was seen.
        since: u64,
    },
}

/// How a unit was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// By its whole control record, where it has one.
    Control(Box<Control>),
    /// By the digest of its records, where it has none.
    Content(UnitDigest),
}

/// One operation on a unit.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Writes a record, whole.
    Put {
        /// The record, with all values that its body names.
        record: Record,
        /// What must be there now.
        expect: Expect,
    },
    /// Removes a record; one that is not there is no error unless a digest is expected.
    Remove {
        /// The record's key.
        key: Key,
        /// What must be there now.
        expect: Expect,
    },
    /// Removes every record.
    Clear,
}

impl Op {
    /// Writes a record over whatever is there.
    pub fn put(record: Record) -> Self {
        Self::Put { record, expect: Expect::Any }
    }
}

/// What must be there under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Anything or nothing.
    Any,
    /// Nothing.
    Absent,
    /// A record of this digest.
    Digest(Digest),
}

/// What becomes of a unit's state when its operations are applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing else.
    Keep,
    /// A write: the seq rises by one, and the journal tells what was put and removed.
    Bump,
    /// The operations go to a staged copy of this token, made if it is not there; one of another
    /// token is discarded. Without control record, the guard is checked again on promotion.
    Stage(Token),
    /// The staged copy, with the operations, becomes the unit, in one step.
    Promote(Token),
    /// The staged copy is removed.
    Discard(Token),
    /// A write: the records go, and the control record says so.
    Tombstone,
}

/// What became of one unit of a batch.
#[derive(Debug)]
pub enum UnitOutcome {
    /// Everything was applied.
    Applied {
        /// The unit's generation now, where it has a control record.
        generation: Option<Generation>,
        /// What became of each record, in the order of the operations; `Clear` has no entry.
        records: Vec<RecordOutcome>,
    },
    /// The same operation id was applied before; nothing was done.
    AlreadyApplied {
        /// The seq that the operation made, under the unit's term now, where it has a control
        /// record.
        generation: Option<Generation>,
    },
    /// The guard or an expectation did not hold; nothing was done.
    Lost(Current),
    /// Nobody can say whether it was applied; read it back.
    Indeterminate,
    /// The unit's operations exceed what one apply may hold; nothing was done. Stage them.
    TooLarge,
    /// The layout cannot hold a record; nothing was done.
    Unsupported(Unsupported),
    /// Something else went wrong with this unit; nothing was done to it, the others went on.
    Failed(Error),
}

impl UnitOutcome {
    /// Says whether the operations are in the store.
    pub fn is_applied(&self) -> bool {
        matches!(self, Self::Applied { .. } | Self::AlreadyApplied { .. })
    }
}

/// What was there instead of what the guard or an expectation asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Current {
    /// No such unit, or no such staged copy.
    Absent,
    /// A unit with this control record.
    Managed(Box<Control>),
    /// A unit without a control record; its digest, where the store had to know it.
    Unmanaged(Option<UnitDigest>),
    /// A record other than expected; its digest, where there is one.
    Record(Key, Option<Digest>),
}

/// What became of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordOutcome {
    /// It was not there before.
    Inserted,
    /// It replaced a record of this digest, or removed it.
    Replaced(Digest),
    /// It was there just so, or there was nothing to remove.
    Kept,
}

/// What a purge removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purged {
    /// The unit, with so many records.
    Removed(u64),
    /// Nothing: the unit is not there.
    Absent,
    /// Nothing: the unit is not as it was seen.
    Lost,
}
