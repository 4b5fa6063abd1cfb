//! LangGraph on DynamoDB: the table of langgraph-checkpoint-aws 1.2, as its saver reads and writes
//! it.
//!
//! A record is an item that refers to a payload; what only restow knows stands in attributes and
//! partitions that the saver looks for nowhere. `docs/layouts/langgraph-dynamodb.md` tells the
//! whole.
//!
//! Invariants:
//! - A payload is written before what refers to it, and removed after.
//! - A unit changes by one transaction, which changes its head.

mod commit;
mod item;
mod names;
mod payload;
mod rows;
mod scan;
mod settle;
mod unit;
mod vault;
mod versions;
mod work;

use restow_model::{Record, UnitId};
use restow_store::feed::FrameSender;
use restow_store::{
    Address, Capabilities, Content, Cursor, Environment, Error, Result, Segment, StoreInfo,
    UnitOps, UnitPage, Unsupported,
};

use crate::engine::dynamodb::{Settings, Table};
use crate::layout::dynamodb::{Base, Committed, Layout, Threads, Want, info};
use crate::layout::parts::read::{Ended, Reader};
pub use names::KEYS;
use rows::Rows;
use vault::Vault;
use work::Work;

/// From here on it is tried whether a record fits: less does in any case.
const SURE_BYTES_MAX: usize = 300 << 10;

/// A table of the official saver's threads.
pub type LangGraphDynamoDb = Threads<Saver>;

/// How the official saver arranges threads in a table.
#[derive(Debug)]
pub struct Saver {
    base: Base,
}

impl LangGraphDynamoDb {
    /// Opens a table to read it; nothing is changed in it.
    ///
    /// Blocks; call it on a thread that may, of a runtime.
    pub fn source(address: &Address, environment: &Environment) -> Result<Self> {
        Saver::of(address, environment, false)
    }

    /// Opens a table to write to it; it is made when the store is prepared.
    ///
    /// Blocks; call it on a thread that may, of a runtime.
    pub fn target(address: &Address, environment: &Environment) -> Result<Self> {
        Saver::of(address, environment, true)
    }
}

impl Saver {
    fn of(
        address: &Address,
        environment: &Environment,
        is_written: bool,
    ) -> Result<LangGraphDynamoDb> {
        let settings = Settings::parse_in(address, environment)?;
        let info = info("langgraph", &settings);
        // What the official saver writes is summed by reading it.
        let capabilities = Capabilities { keeps_digests: false, ..info.capabilities };
        let info = StoreInfo { capabilities, ..info };
        let base = Base::new(info, Table::open_as(settings, KEYS)?, is_written)?;
        Ok(Threads::new(Self { base }))
    }

    /// Tries whether a large record fits.
    fn fits(&self, record: &Record) -> Result<(), String> {
        let is_whole = {
            let mut is_whole = true;
            record.body.each_value(&mut |name| is_whole &= record.value(&name).is_some());
            is_whole
        };
        // Without its values nobody knows what it is compressed to.
        if !is_whole || record.weight() <= SURE_BYTES_MAX {
            return Ok(());
        }
        let codec = restow_store::parts::part::Codec::new();
        let mut codec = codec.map_err(|torn| torn.to_string())?;
        let vault = Vault::new(&self.base.table);
        item::build(&vault, &UnitId::new(""), record, (0, 0), &mut codec).map(drop)
    }
}

impl Layout for Saver {
    type Rows<'l> = Rows<'l>;
    type Work<'l> = Work<'l>;

    fn base(&self) -> &Base {
        &self.base
    }

    fn check(&self, record: &Record) -> Result<(), Unsupported> {
        let why = item::refuses(record).or_else(|| self.fits(record).err());
        why.map_or(Ok(()), |why| Err(Unsupported { key: record.key.clone(), why }))
    }

    fn refuses(&self, unit: &UnitId) -> Option<String> {
        let most = names::NAME_BYTES_MAX;
        (unit.as_str().len() > most).then(|| format!("the unit's name is longer than {most} bytes"))
    }

    fn rows(&self, want: Want) -> Result<Rows<'_>> {
        Rows::new(self, want)
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

    fn partition(&self, unit: &UnitId) -> String {
        names::own(unit)
    }
}
