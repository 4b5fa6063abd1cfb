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
mod item;
mod items;
mod join;
mod log;
mod names;
mod objects;
mod options;
mod rows;
mod scan;
mod splitter;
mod sweep;
mod unit;
mod walk;
mod weigh;
mod work;

use restow_model::{Record, UnitId};
use restow_store::feed::FrameSender;
use restow_store::{
    Address, Content, Cursor, Environment, Error, Result, Segment, UnitOps, UnitPage, Unsupported,
};

use crate::engine::dynamodb::{Settings, Table};
use crate::layout::dynamodb::{Base, Committed, Layout, Threads, Want, info};
use crate::layout::parts::read::{Ended, Reader};
use crate::layout::parts::write;
use options::Options;
use rows::Rows;
use work::Work;

/// A table of threads whose large records are split.
pub type Split = Threads<Splitting>;

/// How threads are arranged in a table whose large records are split.
#[derive(Clone, Debug)]
pub struct Splitting {
    base: Base,
    options: Options,
}

impl Split {
    /// Opens a table to read it; nothing is changed in it.
    ///
    /// Blocks; call it on a thread that may, of a runtime.
    pub fn source(address: &Address, environment: &Environment) -> Result<Self> {
        Splitting::of(address, environment, false)
    }

    /// Opens a table to write to it; it is made when the store is prepared.
    ///
    /// Blocks; call it on a thread that may, of a runtime.
    pub fn target(address: &Address, environment: &Environment) -> Result<Self> {
        Splitting::of(address, environment, true)
    }
}

impl Splitting {
    fn of(address: &Address, environment: &Environment, is_written: bool) -> Result<Split> {
        let settings = Settings::parse_in(address, environment)?;
        let options = Options::of(environment)?;
        let info = info("split", &settings);
        let base = Base::new(info, Table::open(settings)?, is_written)?;
        Ok(Threads::new(Self { base, options }))
    }
}

impl Layout for Splitting {
    type Rows<'l> = Rows<'l>;
    type Work<'l> = Work<'l>;

    fn base(&self) -> &Base {
        &self.base
    }

    fn check(&self, record: &Record) -> Result<(), Unsupported> {
        write::check::<Work<'_>>(record)
    }

    fn refuses(&self, unit: &UnitId) -> Option<String> {
        let most = names::UNIT_BYTES_MAX;
        (unit.as_str().len() > most).then(|| format!("the unit's name is longer than {most} bytes"))
    }

    fn rows(&self, _: Want) -> Result<Rows<'_>> {
        Rows::new(self)
    }

    fn by_storage(
        rows: &mut Rows<'_>,
        reader: &mut Reader<'_>,
        out: &FrameSender,
        segment: &Segment,
        from: Option<&Cursor>,
        content: Content,
    ) -> Result<(), Ended<Error>> {
        scan::by_storage(rows, reader, out, segment, from, content)
    }

    fn list(&self) -> Result<UnitPage> {
        scan::list(self)
    }

    fn work(&self, unit: &UnitId, ops: Option<&UnitOps>) -> Result<Work<'_>> {
        Work::open(self, unit, ops)
    }

    fn stands_still(&self, work: &Work<'_>) -> Result<bool> {
        work.stands_still()
    }

    fn commit(&self, work: &mut Work<'_>) -> Result<Committed> {
        work.commit()
    }

    fn lost(&self, work: &mut Work<'_>) -> Vec<(i64, u64)> {
        std::mem::take(&mut work.written)
    }

    fn tidy(&self, unit: &UnitId, lost: &[(i64, u64)]) {
        sweep::tidy(self, unit, lost);
    }

    fn partition(&self, unit: &UnitId) -> String {
        names::partition(unit)
    }
}
