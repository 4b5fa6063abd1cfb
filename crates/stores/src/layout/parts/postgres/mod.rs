//! `parts+postgres`: the compact layout in a schema of its own in a PostgreSQL database.
//!
//! Invariants:
//! - A unit's row, pages and parts change in one transaction; a reader sees one moment.
//! - Several processes, and several workers of one, write different units at once, and one unit
//!   one after the other.
//! - Nothing outlives a transaction, so that a pooler may stand between.

mod ahead;
mod apply;
mod columns;
mod schema;
mod send;
mod snapshot;
mod work;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use postgres::Transaction;
use restow_model::{Record, UnitId};
use restow_store::feed::{FrameSender, Purpose, Stop, produce};
use restow_store::{
    Batch, Capabilities, Cursor, Enumeration, Error, ErrorKind, Etag, Frames, Purged, RegisterName,
    Result, Role, Segment, Selection, Stamp, Store, StoreInfo, StoreRecord, Swap, Told,
    UnitOutcome, Unsupported,
};

use crate::engine::postgres::{Fail, Server, registers};
use crate::layout::parts::query::NewestFirst;
use crate::layout::parts::read::{Ended, Reader};
use crate::layout::parts::rows::ReadRows;
use crate::layout::parts::segments::segments;
use crate::layout::parts::write;
use apply::Writers;
use schema::{Found, Tables};
use snapshot::Snapshot;
use work::Work;

const OPEN: &str = "open a parts store";

/// A store of the compact layout in a PostgreSQL database.
#[derive(Debug)]
pub struct PartsPostgres {
    info: StoreInfo,
    server: Server,
    tables: Arc<Tables>,
    writers: Writers,
    /// Whether the tables are known to be there.
    is_made: Arc<AtomicBool>,
    is_written: bool,
}

impl PartsPostgres {
    /// Opens a store to read it; nothing is changed in the database.
    ///
    /// Blocks; call it on a thread that may.
    pub fn source(server: Server) -> Result<Self> {
        Self::of(server, false)
    }

    /// Opens a store to write to it; refuses a schema of something else. The schema and its tables
    /// are made when the store is prepared.
    ///
    /// Blocks; call it on a thread that may.
    pub fn target(server: Server) -> Result<Self> {
        Self::of(server, true)
    }

    fn of(server: Server, is_written: bool) -> Result<Self> {
        let tables = Arc::new(Tables::of(server.settings().schema()));
        let info = StoreInfo {
            address: format!("parts+postgres:{}", server.settings().shown()),
            layout: "parts",
            engine: "postgres",
            application: None,
            capabilities: Capabilities { parallel_applies: true, ..write::capabilities() },
        };
        let (writers, is_made) = (Writers::default(), Arc::default());
        let this = Self { info, server, tables, writers, is_made, is_written };
        let found = this.server.read(OPEN, |tx| Ok(this.tables.find(tx)?)).map_err(error)?;
        match (found, is_written) {
            (Found::Empty, true) => {}
            (Found::Empty, false) => {
                let message = "there is no parts store in this schema; check database and schema";
                return Err(this.refused(ErrorKind::NotFound, message));
            }
            _ => this.recognised(found)?,
        }
        Ok(this)
    }

    /// Refuses a schema that is not of this layout, or of a format that this version does not know.
    fn recognised(&self, found: Found) -> Result<()> {
        let message = match found {
            Found::Ours => {
                self.is_made.store(true, Ordering::Release);
                return Ok(());
            }
            Found::Format => "the store was written by a newer restow; use that",
            Found::Empty | Found::Other => "the schema holds something else; name another schema",
        };
        Err(self.refused(ErrorKind::Refused, message))
    }

    fn refused(&self, kind: ErrorKind, message: &str) -> Error {
        Error::new(kind, OPEN, message)
            .with("server", self.server.settings().shown())
            .with("schema", &*self.tables.schema)
    }

    /// Refuses to write to a store that was opened to be read.
    fn to_be_written(&self) -> Result<()> {
        if self.is_written {
            return Ok(());
        }
        let message = "the store was opened to be read only";
        let error = Error::new(ErrorKind::Refused, "write to a store", message);
        Err(error.with("server", self.server.settings().shown()))
    }

    /// Makes schema and tables where they are missing.
    async fn make(&self) -> Result<()> {
        self.to_be_written()?;
        if self.is_made.load(Ordering::Acquire) {
            return Ok(());
        }
        let tables = self.tables.clone();
        let work = move |server: &Server| {
            server.write("make the tables of a store", |tx| Ok(tables.make(tx)?))
        };
        let found = self.server.run("make the tables of a store", work).await?;
        self.recognised(found)
    }

    /// Runs a reader in one read transaction, and its frames as a stream.
    fn stream<F>(&self, purpose: Purpose, work: F) -> Frames
    where
        F: FnOnce(&mut Snapshot<'_, '_>, &mut Reader<'_>) -> Result<(), Ended<Fail>>
            + Send
            + 'static,
    {
        let (server, tables, is_made) =
            (self.server.clone(), self.tables.clone(), self.is_made.clone());
        produce(purpose, move |out: &FrameSender| {
            server.read("read units", |tx| {
                if !there(&is_made, &tables, tx)? {
                    return Ok(());
                }
                let reader = Reader::new(out).map_err(Ended::Torn);
                let done = reader.and_then(|mut r| work(&mut Snapshot::new(tx, &tables), &mut r));
                done.map_err(|ended| match ended {
                    Ended::Engine(fail) => fail,
                    ended => Fail::Stop(ended.stop(|_| Stop::Closed)),
                })
            })
        })
    }

    /// Reads in one transaction; what `T` is by default where the tables are not there yet.
    async fn look<T, F>(&self, operation: &'static str, work: F) -> Result<T>
    where
        T: Default + Send + 'static,
        F: FnOnce(&mut Snapshot<'_, '_>) -> Result<T, Fail> + Send + 'static,
    {
        let (tables, is_made) = (self.tables.clone(), self.is_made.clone());
        let read = move |server: &Server| {
            server.read(operation, |tx| match there(&is_made, &tables, tx)? {
                true => work(&mut Snapshot::new(tx, &tables)),
                false => Ok(T::default()),
            })
        };
        self.server.run(operation, read).await
    }
}

/// Says whether the tables are there.
fn there(is_made: &AtomicBool, tables: &Tables, tx: &mut Transaction<'_>) -> Result<bool, Fail> {
    if !is_made.load(Ordering::Acquire) && tables.find(tx)? == Found::Ours {
        is_made.store(true, Ordering::Release);
    }
    Ok(is_made.load(Ordering::Acquire))
}

fn error(stop: Stop) -> Error {
    match stop {
        Stop::Error(error) => error,
        Stop::Closed => Error::new(ErrorKind::Failed, OPEN, "nobody waits for it"),
    }
}

#[async_trait]
impl NewestFirst for PartsPostgres {
    async fn newest_units(&self, skip: usize, limit: usize) -> Result<Vec<(UnitId, String)>> {
        self.look("list units", move |rows| rows.newest_units(skip, limit)).await
    }
}

#[async_trait]
impl Store for PartsPostgres {
    fn info(&self) -> &StoreInfo {
        &self.info
    }

    fn check(&self, record: &Record) -> Result<(), Unsupported> {
        write::check::<Work<'_, '_>>(record)
    }

    async fn prepare(&self, role: Role, _id: &str) -> Result<StoreRecord> {
        let record = write::role(role, &self.info.address)?;
        self.make().await?;
        Ok(record)
    }

    async fn segments(&self, want: usize, by: Enumeration) -> Result<Vec<Segment>> {
        self.look("divide a store", move |rows| segments(rows, want, by)).await
    }

    async fn scan(&self, segment: Segment, from: Option<Cursor>) -> Result<Frames> {
        Ok(self
            .stream(Purpose::Scan, move |rows, reader| reader.scan(rows, &segment, from.as_ref())))
    }

    async fn read(&self, units: Vec<UnitId>, what: Selection) -> Result<Frames> {
        Ok(self.stream(Purpose::Read, move |rows, reader| reader.units(rows, &units, &what)))
    }

    async fn apply(&self, batch: Batch) -> Result<Vec<UnitOutcome>> {
        self.to_be_written()?;
        let (tables, writers) = (self.tables.clone(), self.writers.clone());
        let work = move |server: &Server| apply::apply(server, &tables, &writers, &batch.units);
        self.server.run(write::OPERATION, work).await
    }

    async fn journal(&self, _unit: UnitId, _after: u64) -> Result<Told> {
        write::no_control("read a journal", &self.info.address)
    }

    async fn trim(&self, _unit: UnitId, _upto: u64) -> Result<()> {
        write::no_control("trim a journal", &self.info.address)
    }

    async fn purge(&self, unit: UnitId, exactly: Stamp) -> Result<Purged> {
        if matches!(exactly, Stamp::Control(_)) {
            return write::no_control("remove a unit", &self.info.address);
        }
        const OPERATION: &str = "remove a unit";
        self.to_be_written()?;
        let tables = self.tables.clone();
        let work = move |server: &Server| {
            server.write(OPERATION, |tx| {
                let mut work = Work::begin(tx, &tables, &[&unit])?;
                work.open(&unit);
                let purged = write::purge(&mut work, &unit, &exactly)?;
                work.keep()?;
                work.finish().map(|()| purged)
            })
        };
        self.server.run(OPERATION, work).await
    }

    async fn optimize(&self) -> Result<()> {
        const OPERATION: &str = "gather statistics";
        self.to_be_written()?;
        let Tables { unit, page, part, .. } = &*self.tables;
        let sql = format!("ANALYZE {unit}, {page}, {part}");
        let work = move |server: &Server| server.write(OPERATION, |tx| Ok(tx.batch_execute(&sql)?));
        self.server.run(OPERATION, work).await
    }

    async fn register_read(&self, name: RegisterName) -> Result<Option<(Etag, Bytes)>> {
        let table = self.tables.register.clone();
        let read =
            move |rows: &mut Snapshot<'_, '_>| Ok(registers::read(rows.tx, &table, &name.0)?);
        self.look("read a register", read).await
    }

    async fn register_swap(
        &self,
        name: RegisterName,
        was: Option<Etag>,
        now: Bytes,
    ) -> Result<Swap> {
        self.make().await?;
        registers::swap(&self.server, self.tables.register.clone(), name, was, now).await
    }
}
