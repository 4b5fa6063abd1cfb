//! `split+dynamodb`: LangGraph's threads as one item a record, with large records in parts.
//!
//! The table (`threadId`, `recordId`) is the one that known applications use; what they wrote is
//! read as it is, and small records that they can read are written as they would. Everything else
//! follows the compact layout: a record is a page of its own, values lie in the unit's log.
//!
//! Invariants:
//! - A unit changes by one transaction, which changes its head; a reader sees it at one moment.
//! - Objects are written before what names them, and removed after it.

mod clean;
mod commit;
mod head;
mod item;
mod items;
mod join;
mod log;
mod names;
mod numbers;
mod objects;
mod options;
mod registers;
mod release;
mod rows;
mod scan;
mod splitter;
mod store;
mod sweep;
mod unit;
mod walk;
mod weigh;
mod work;

use restow_store::{
    Address, Capabilities, Environment, Error, ErrorKind, Result, StoreInfo, UnitOps, UnitOutcome,
};

use crate::engine::dynamodb::{Consumed, Settings, Table};
use crate::layout::parts::write::{self, Logs, Writer};
use commit::Committed;
use numbers::Numbers;
use options::Options;
use work::Work;

/// How often a unit begins again because others wrote it at the same time.
const ATTEMPTS_MAX: usize = 20;
/// How many records one transaction has room for, beside what belongs to the unit.
const RECORDS_MAX: usize = 80;
/// How many units are written at once.
const WRITERS_MAX: usize = 8;

/// A table of threads.
#[derive(Clone, Debug)]
pub struct Split {
    info: StoreInfo,
    table: Table,
    options: Options,
    numbers: Numbers,
    logs: Logs,
    is_written: bool,
}

impl Split {
    /// Opens a table to read it; nothing is changed in it.
    ///
    /// Blocks; call it on a thread that may, of a runtime.
    pub fn source(address: &Address, environment: &Environment) -> Result<Self> {
        Self::of(address, environment, false)
    }

    /// Opens a table to write to it; it is made when the store is prepared.
    ///
    /// Blocks; call it on a thread that may, of a runtime.
    pub fn target(address: &Address, environment: &Environment) -> Result<Self> {
        Self::of(address, environment, true)
    }

    fn of(address: &Address, environment: &Environment, is_written: bool) -> Result<Self> {
        let settings = Settings::parse_in(address, environment)?;
        let options = Options::of(environment)?;
        let info = StoreInfo {
            address: format!("split+dynamodb:{}", settings.shown()),
            layout: "split",
            engine: "dynamodb",
            application: Some("LangGraph"),
            capabilities: Capabilities {
                apply_records_max: RECORDS_MAX,
                parallel_applies: true,
                ..write::capabilities()
            },
        };
        let table = Table::open(settings)?;
        let (numbers, logs) = (Numbers::default(), Logs::default());
        let this = Self { info, table, options, numbers, logs, is_written };
        if !is_written {
            // A table that is not there is told before anything is read.
            registers::store(&this.table)?;
        }
        Ok(this)
    }

    /// Returns what the store's requests consumed so far.
    pub fn consumed(&self) -> Consumed {
        self.table.consumed()
    }

    /// Refuses to write to a store that was opened to be read.
    fn to_be_written(&self) -> Result<()> {
        if self.is_written {
            return Ok(());
        }
        let message = "the store was opened to be read only";
        let error = Error::new(ErrorKind::Refused, "write to a store", message);
        Err(error.with("table", self.table.settings().shown()))
    }

    /// Applies operations, of several units at once.
    fn apply(&self, units: &[UnitOps]) -> Result<Vec<UnitOutcome>> {
        self.to_be_written()?;
        let share = units.len().div_ceil(WRITERS_MAX).max(1);
        let run = |share: &[UnitOps]| -> Result<Vec<UnitOutcome>> {
            let mut writer = Writer::new(&self.logs).map_err(|torn| {
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
        let puts = ops.ops.iter().filter(|op| matches!(op, restow_store::Op::Put { .. }));
        if puts.count() > RECORDS_MAX {
            return Ok(UnitOutcome::TooLarge);
        }
        if ops.unit.as_str().len() > names::UNIT_BYTES_MAX {
            let message = format!("the unit's name is longer than {} bytes", names::UNIT_BYTES_MAX);
            let error = Error::new(ErrorKind::Unsupported, write::OPERATION, message);
            return Ok(UnitOutcome::Failed(error.with("unit", ops.unit.to_string())));
        }
        let mut lost = Vec::new();
        for attempt in 0..ATTEMPTS_MAX {
            writer.rolled_back();
            let mut work = Work::open(self, &ops.unit, Some(ops))?;
            let outcome = match write::apply(&mut work, writer, ops) {
                Ok(outcome) => outcome,
                Err(stop) => {
                    let place = ("table", self.table.settings().shown());
                    let outcome = stop.outcome(&ops.unit, place, |error| error)?;
                    // What was seen one item after the other may never have been so.
                    match work.stands_still()? {
                        true => return Ok(outcome),
                        false => continue,
                    }
                }
            };
            match work.commit()? {
                Committed::Done => {
                    writer.committed();
                    if attempt > 0 {
                        sweep::tidy(self, &ops.unit, &lost);
                    }
                    return Ok(outcome);
                }
                Committed::TooLarge => return Ok(UnitOutcome::TooLarge),
                Committed::Unknown => return Ok(UnitOutcome::Indeterminate),
                Committed::Lost => lost.append(&mut work.written),
            }
        }
        sweep::tidy(self, &ops.unit, &lost);
        let message = "others write the unit all the time; try again";
        let error = Error::new(ErrorKind::Unavailable, write::OPERATION, message);
        Ok(UnitOutcome::Failed(error.with("unit", ops.unit.to_string())))
    }

    /// Changes one unit otherwise than by operations.
    fn change<T>(
        &self,
        unit: &restow_model::UnitId,
        work: impl Fn(&mut Work<'_>) -> Result<T>,
    ) -> Result<T> {
        self.to_be_written()?;
        for _ in 0..ATTEMPTS_MAX {
            let mut rows = Work::open(self, unit, None)?;
            let done = match work(&mut rows) {
                Err(_) if !rows.stands_still()? => continue,
                done => done?,
            };
            match rows.commit()? {
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
