//! The unit whose frames are coming in.

use restow_model::{Control, Dialect, Record, Token, UnitDigest, UnitId};
use restow_store::ledger::Failure;
use restow_store::{Cursor, Op, Unsupported};

use crate::join::Join;
use crate::look::{bytes_of, heft_of};

/// How many records that have no place at the target a sentence names.
const UNSUPPORTED_NAMED_MAX: usize = 5;

/// A unit between its first frame and its last.
pub(super) struct Current {
    pub(super) unit: UnitId,
    pub(super) dialect: Dialect,
    pub(super) control: Option<Control>,
    /// The sum of all records so far, those of earlier attempts included.
    pub(super) sum: UnitDigest,
    pub(super) bytes: u64,
    /// Records that are not written yet, with their weights.
    pub(super) records: Vec<Record>,
    pub(super) heft: usize,
    pub(super) weight: usize,
    /// The last mark inside the unit, and the sum at it.
    pub(super) mark: Option<(Cursor, UnitDigest)>,
    pub(super) mode: Mode,
    faults: Vec<(&'static str, String)>,
    unsupported: u64,
}

/// What is done with the records of a unit.
pub(super) enum Mode {
    /// They are gathered: the unit may be small.
    Gather,
    /// They go to a staged copy.
    Stage(Staging),
    /// They are compared with what the target holds.
    Compare(Box<Join>),
    /// They are read over: the unit has a fault, which is reported.
    Drop(Option<Token>),
    /// They are read over: the unit is not asked for.
    Skip,
}

/// A staged copy under way.
#[derive(Clone, Debug)]
pub(super) struct Staging {
    pub(super) token: Token,
    /// Whether a part was staged from another reading of the source.
    pub(super) resumed: bool,
}

/// A unit that was read whole and is small enough to be written at once.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    pub(super) unit: UnitId,
    pub(super) dialect: Dialect,
    pub(super) ops: std::sync::Arc<[Op]>,
    pub(super) sum: UnitDigest,
    /// What was written of it, or would be.
    pub(super) written: Written,
    pub(super) heft: usize,
}

/// How much was written of a unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

impl Written {
    /// Counts what operations put.
    pub(super) fn of(ops: &[Op]) -> Self {
        let mut written = Self { records: 0, bytes: 0 };
        for op in ops {
            if let Op::Put { record, .. } = op {
                written.records += 1;
                written.bytes += bytes_of(record);
            }
        }
        written
    }
}

impl Current {
    pub(super) fn new(
        unit: UnitId,
        dialect: Dialect,
        control: Option<Control>,
        mode: Mode,
    ) -> Self {
        Self {
            unit,
            dialect,
            control,
            sum: UnitDigest::default(),
            bytes: 0,
            records: Vec::new(),
            heft: 0,
            weight: 0,
            mark: None,
            mode,
            faults: Vec::new(),
            unsupported: 0,
        }
    }

    pub(super) fn push(&mut self, record: Record) {
        self.sum.merge(&record.summed());
        self.bytes += bytes_of(&record);
        self.heft += heft_of(&record);
        self.weight += record.weight();
        self.records.push(record);
    }

    /// Takes the records that are not written yet.
    pub(super) fn take_records(&mut self) -> Vec<Record> {
        (self.heft, self.weight) = (0, 0);
        std::mem::take(&mut self.records)
    }

    /// Notes what is wrong with the unit: from here on it is read over.
    pub(super) fn fault(&mut self, what: &'static str, why: impl Into<String>) {
        self.take_records();
        self.faults.push((what, why.into()));
        let token = match &self.mode {
            Mode::Stage(staging) => Some(staging.token.clone()),
            Mode::Drop(token) => token.clone(),
            _ => None,
        };
        self.mode = Mode::Drop(token);
    }

    /// Notes a record that the target cannot hold.
    pub(super) fn unsupported(&mut self, found: &Unsupported) {
        self.unsupported += 1;
        if self.unsupported as usize <= UNSUPPORTED_NAMED_MAX {
            self.fault("unsupported", found.to_string());
        }
    }

    /// Says whether records of the unit that have no place at the target are still counted.
    pub(super) fn counts_unsupported(&self) -> bool {
        self.unsupported > 0
    }

    /// Returns the report of what was wrong, where anything was.
    pub(super) fn failure(&mut self) -> Option<Failure> {
        let (what, _) = *self.faults.first()?;
        let mut why: Vec<String> = self.faults.drain(..).map(|(_, why)| why).collect();
        let more = self.unsupported.saturating_sub(UNSUPPORTED_NAMED_MAX as u64);
        if more > 0 {
            why.push(format!("and {more} records more"));
        }
        why.truncate(UNSUPPORTED_NAMED_MAX * 2);
        let why = why.join("; ").into();
        Some(Failure { unit: Some(self.unit.clone()), what: what.into(), why })
    }

    /// Turns the unit into what is written at once.
    pub(super) fn into_whole(mut self) -> Whole {
        let heft = self.heft;
        let ops: Vec<Op> = self.take_records().into_iter().map(Op::put).collect();
        Whole {
            unit: self.unit,
            dialect: self.dialect,
            ops: ops.into(),
            sum: self.sum,
            written: Written { records: self.sum.records, bytes: self.bytes },
            heft,
        }
    }
}
