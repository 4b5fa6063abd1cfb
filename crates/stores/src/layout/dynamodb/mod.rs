//! What layouts of threads in DynamoDB share: a unit that one item, its head, commits.
//!
//! A layout says what its items are called and what they hold. Shared is what stands around them:
//! heads, journals, registers, numbers that are never given twice, pages of one record, and the
//! port's methods over the mechanism of `parts`.
#![allow(private_bounds, reason = "what layouts share stays among them")]

pub(in crate::layout) mod head;
pub(in crate::layout) mod journal;
pub(in crate::layout) mod numbers;
pub(in crate::layout) mod registers;
mod release;
mod share;
pub(in crate::layout) mod single;
mod store;
mod turns;

use std::fmt::Debug;
use std::sync::Arc;

use restow_model::{Record, UnitId};
use restow_store::feed::FrameSender;
use restow_store::{
    Content, Cursor, Error, ErrorKind, Op, Result, Segment, Selection, StoreInfo, UnitOps,
    UnitOutcome, UnitPage, Unsupported,
};

use crate::engine::dynamodb::{Consumed, Settings, Table};
use crate::layout::parts::query::LeadsTo;
use crate::layout::parts::read::{Ended, Reader};
use crate::layout::parts::rows::{ReadRows, WriteRows};
use crate::layout::parts::write::{self, Logs, Writer};
use numbers::Numbers;
use turns::Turns;

pub(in crate::layout) use share::{cursor_at, place_at, share_of};

/// How often a unit begins again because others wrote it at the same time.
const ATTEMPTS_MAX: usize = 20;
/// How many records one transaction has room for, beside what belongs to the unit.
pub(in crate::layout) const RECORDS_MAX: usize = 80;
/// How many units are written at once.
const WRITERS_MAX: usize = 8;

/// What every layout's store is made of.
#[derive(Clone, Debug)]
pub(in crate::layout) struct Base {
    pub(in crate::layout) info: StoreInfo,
    pub(in crate::layout) table: Table,
    pub(in crate::layout) numbers: Numbers,
    logs: Logs,
    turns: Turns,
    is_written: bool,
}

impl Base {
    /// Takes a table to be read, or to be written to.
    ///
    /// A table that is only read has to be there; one that is written to is made when the store is
    /// prepared.
    pub(in crate::layout) fn new(info: StoreInfo, table: Table, is_written: bool) -> Result<Self> {
        let (numbers, logs, turns) = (Numbers::default(), Logs::default(), Turns::default());
        let this = Self { info, table, numbers, logs, turns, is_written };
        if !is_written {
            registers::store(&this.table)?;
        }
        Ok(this)
    }

    /// Returns a number that nobody else has, or will have.
    pub(in crate::layout) fn number(&self) -> Result<i64> {
        self.numbers.next(&self.table)
    }

    /// Refuses to write to a store that was opened to be read.
    pub(in crate::layout) fn to_be_written(&self) -> Result<()> {
        if self.is_written {
            return Ok(());
        }
        let message = "the store was opened to be read only";
        let error = Error::new(ErrorKind::Refused, "write to a store", message);
        Err(error.with("table", self.table.settings().shown()))
    }
}

/// Says what a store of a layout is.
pub(in crate::layout) fn info(layout: &'static str, settings: &Settings) -> StoreInfo {
    StoreInfo {
        address: format!("{layout}+dynamodb:{}", settings.shown()),
        layout,
        engine: "dynamodb",
        application: Some("LangGraph"),
        capabilities: restow_store::Capabilities {
            apply_records_max: RECORDS_MAX,
            parallel_applies: true,
            ..write::capabilities()
        },
    }
}

/// What is going to be read of units, so that all of it can be looked at in one moment.
#[derive(Clone, Debug, Default)]
pub(in crate::layout) struct Want {
    /// Which records.
    pub(in crate::layout) what: Selection,
    /// What the last one of them leads to.
    pub(in crate::layout) on: Option<LeadsTo>,
}

impl Want {
    /// Wants to know whether units are there, and no record.
    pub(in crate::layout) fn nothing() -> Self {
        Self { what: Selection::nothing(), on: None }
    }
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::layout) enum Committed {
    /// It is there.
    Done,
    /// Another was faster; nothing is changed, and beginning again is right.
    Lost,
    /// More than one transaction holds; nothing is changed.
    TooLarge,
    /// Nobody can say.
    Unknown,
}

/// How an application arranges its threads in a table.
pub(in crate::layout) trait Layout:
    Debug + Send + Sync + Sized + 'static
{
    /// The rows that are read.
    type Rows<'l>: ReadRows<Error = Error>;
    /// The rows of a unit that is changed.
    type Work<'l>: WriteRows<Error = Error>;

    /// Returns what the store is made of.
    fn base(&self) -> &Base;

    /// Says whether the layout can hold a record.
    fn check(&self, record: &Record) -> Result<(), Unsupported>;

    /// Says why the layout can hold nothing under a unit's name, where it cannot.
    fn refuses(&self, unit: &UnitId) -> Option<String>;

    /// Reads the table.
    fn rows(&self, want: Want) -> Result<Self::Rows<'_>>;

    /// Walks a share of the table as it is stored.
    fn by_storage(
        rows: &mut Self::Rows<'_>,
        reader: &mut Reader<'_>,
        out: &FrameSender,
        segment: &Segment,
        from: Option<&Cursor>,
        content: Content,
    ) -> Result<(), Ended<Error>>;

    /// Lists all units with their control records, by name.
    fn list(&self) -> Result<UnitPage>;

    /// Looks at a unit that is going to be changed.
    fn work(&self, unit: &UnitId, ops: Option<&UnitOps>) -> Result<Self::Work<'_>>;

    /// Says whether a unit is still as it was looked at.
    fn stands_still(&self, work: &Self::Work<'_>) -> Result<bool>;

    /// Makes everything that was gathered visible at once.
    fn commit(&self, work: &mut Self::Work<'_>) -> Result<Committed>;

    /// Takes what a commit wrote that lost to another.
    fn lost(&self, _work: &mut Self::Work<'_>) -> Vec<(i64, u64)> {
        Vec::new()
    }

    /// Takes away what commits left that lost to another, and what else nothing needs.
    fn tidy(&self, _unit: &UnitId, _lost: &[(i64, u64)]) {}

    /// Returns the partition of a unit's head and journal.
    fn partition(&self, unit: &UnitId) -> String;
}

/// A table of threads, in an application's layout.
#[derive(Debug)]
pub struct Threads<L>(Arc<L>);

impl<L> Clone for Threads<L> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<L: Layout> Threads<L> {
    /// Makes a store of a layout.
    pub(in crate::layout) fn new(layout: L) -> Self {
        Self(Arc::new(layout))
    }

    /// Returns the layout.
    pub(in crate::layout) fn layout(&self) -> &L {
        &self.0
    }

    /// Returns what the store's requests consumed so far.
    pub fn consumed(&self) -> Consumed {
        self.0.base().table.consumed()
    }

    /// Applies operations, of several units at once.
    fn apply(&self, units: &[UnitOps]) -> Result<Vec<UnitOutcome>> {
        self.0.base().to_be_written()?;
        let share = units.len().div_ceil(WRITERS_MAX).max(1);
        let run = |share: &[UnitOps]| -> Result<Vec<UnitOutcome>> {
            let mut writer = Writer::new(&self.0.base().logs).map_err(|torn| {
                Error::new(ErrorKind::Failed, write::OPERATION, torn.to_string())
            })?;
            share.iter().map(|ops| self.one(&mut writer, ops)).collect()
        };
        if units.len() == 1 {
            return run(units);
        }
        let shares = std::thread::scope(|scope| {
            let started: Vec<_> =
                units.chunks(share).map(|share| scope.spawn(move || run(share))).collect();
            started.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
        });
        let mut outcomes = Vec::with_capacity(units.len());
        for share in shares {
            let stopped = |_| {
                let message = "the work stopped unexpectedly; this is a defect of restow";
                Error::new(ErrorKind::Failed, write::OPERATION, message)
            };
            outcomes.extend(share.map_err(stopped)??);
        }
        Ok(outcomes)
    }

    /// Applies the operations of one unit, again while others write it at the same time.
    fn one(&self, writer: &mut Writer, ops: &UnitOps) -> Result<UnitOutcome> {
        let puts = ops.ops.iter().filter(|op| matches!(op, Op::Put { .. }));
        if puts.count() > RECORDS_MAX {
            return Ok(UnitOutcome::TooLarge);
        }
        let failed = |kind, message: &str| {
            let error = Error::new(kind, write::OPERATION, message);
            Ok(UnitOutcome::Failed(error.with("unit", ops.unit.to_string())))
        };
        if let Some(why) = self.0.refuses(&ops.unit) {
            return failed(ErrorKind::Unsupported, &why);
        }
        for op in ops.ops.iter() {
            if let Op::Put { record, .. } = op
                && let Err(unsupported) = self.0.check(record)
            {
                return Ok(UnitOutcome::Unsupported(unsupported));
            }
        }
        let _turn = self.0.base().turns.of(&ops.unit);
        let mut lost = Vec::new();
        for attempt in 0..ATTEMPTS_MAX {
            writer.rolled_back();
            let mut work = self.0.work(&ops.unit, Some(ops))?;
            let outcome = match write::apply(&mut work, writer, ops) {
                Ok(outcome) => outcome,
                Err(stop) => {
                    let place = ("table", self.0.base().table.settings().shown());
                    let outcome = stop.outcome(&ops.unit, place, |error| error)?;
                    // What was seen one item after the other may never have been so.
                    match self.0.stands_still(&work)? {
                        true => return Ok(outcome),
                        false => continue,
                    }
                }
            };
            match self.0.commit(&mut work)? {
                Committed::Done => {
                    writer.committed();
                    if attempt > 0 {
                        self.0.tidy(&ops.unit, &lost);
                    }
                    return Ok(outcome);
                }
                Committed::TooLarge => return Ok(UnitOutcome::TooLarge),
                Committed::Unknown => return Ok(UnitOutcome::Indeterminate),
                Committed::Lost => lost.append(&mut self.0.lost(&mut work)),
            }
        }
        self.0.tidy(&ops.unit, &lost);
        failed(ErrorKind::Unavailable, "others write the unit all the time; try again")
    }

    /// Changes one unit otherwise than by operations.
    fn change<T>(
        &self,
        unit: &UnitId,
        change: impl Fn(&mut L::Work<'_>) -> Result<T>,
    ) -> Result<T> {
        self.0.base().to_be_written()?;
        let _turn = self.0.base().turns.of(unit);
        for _ in 0..ATTEMPTS_MAX {
            let mut work = self.0.work(unit, None)?;
            let done = match change(&mut work) {
                Err(_) if !self.0.stands_still(&work)? => continue,
                done => done?,
            };
            match self.0.commit(&mut work)? {
                Committed::Done => return Ok(done),
                Committed::Lost => {}
                Committed::TooLarge | Committed::Unknown => break,
            }
        }
        let message = "nobody can say whether the unit was changed; look at it, and try again";
        let error = Error::new(ErrorKind::Unavailable, "change a unit", message);
        Err(error.with("unit", unit.to_string()))
    }
}
