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
use restow_model::{Record, UnitId};
use restow_store::feed::{FrameSender, Purpose, Stop, produce};
use restow_store::{
    Batch, Capabilities, Content, Cursor, Enumeration, Error, ErrorKind, Etag, Frames, Purged,
    RegisterName, Result, Role, Segment, Selection, Stamp, Store, StoreInfo, StoreRecord, Swap,
    Told, UnitOutcome, Units, Unsupported, units_in_pages,
};

use crate::engine::fail::Fail as EngineFail;
use crate::engine::postgres::{Fail, Server, Transaction, registers};
use crate::layout::parts::beside::{self, newest_units};
use crate::layout::parts::query::{LeadsTo, NewestFirst};
use crate::layout::parts::read::{Ended, Reader};
use crate::layout::parts::segments::{list, segments};
use crate::layout::parts::write;
use apply::Writers;
use schema::{Found, Tables};
use snapshot::Snapshot;
use work::Work;

const OPEN: &str = "open a parts store";

/// A store of the compact layout in a PostgreSQL database.
#[derive(Clone, Debug)]
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
                let mut rows = Snapshot::new(tx, &tables);
                let reader = Reader::new(out).map_err(Ended::Torn);
                reader.and_then(|mut reader| work(&mut rows, &mut reader)).map_err(failed)
            })
        })
    }

    /// Reads in one transaction; what `T` is by default where the tables are not there yet.
    async fn look<T, F>(&self, operation: &'static str, work: F) -> Result<T>
    where
        T: Default + Send + 'static,
        F: FnOnce(&mut Snapshot<'_, '_>) -> Result<T, Ended<Fail>> + Send + 'static,
    {
        let (tables, is_made) = (self.tables.clone(), self.is_made.clone());
        let read = move |server: &Server| {
            server.read(operation, |tx| match there(&is_made, &tables, tx)? {
                true => work(&mut Snapshot::new(tx, &tables)).map_err(failed),
                false => Ok(T::default()),
            })
        };
        self.server.run(operation, read).await
    }

    /// Changes one unit otherwise than by operations.
    async fn change<T, F>(&self, operation: &'static str, unit: UnitId, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Work<'_, '_>, &UnitId) -> Result<T, Ended<Fail>> + Send + 'static,
    {
        self.to_be_written()?;
        let tables = self.tables.clone();
        let change = move |server: &Server| {
            server.write(operation, |tx| {
                let mut rows = Work::begin(tx, &tables, &[&unit])?;
                rows.open(&unit);
                let done = work(&mut rows, &unit).map_err(failed)?;
                rows.keep()?;
                rows.finish().map(|()| done)
            })
        };
        self.server.run(operation, change).await
    }
}

/// Returns why reading stopped.
fn failed(ended: Ended<Fail>) -> Fail {
    match ended.fail() {
        EngineFail::Engine(fail) => fail,
        EngineFail::Stop(stop) => stop.into(),
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
        self.look("list units", move |rows| newest_units(rows, skip, limit)).await
    }

    async fn read_on(&self, unit: UnitId, what: Selection, on: LeadsTo) -> Result<Frames> {
        Ok(self.stream(Purpose::Read, move |rows, reader| reader.unit_on(rows, unit, &what, on)))
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

    async fn prepare(&self, role: Role, id: &str) -> Result<StoreRecord> {
        const OPERATION: &str = "prepare a store";
        self.make().await?;
        let (tables, id) = (self.tables.clone(), id.to_owned());
        let work = move |server: &Server| {
            server.write(OPERATION, |tx| {
                if role != Role::CopyTarget && registers::store(tx, &tables.register)?.is_none() {
                    tables.make_control(tx)?;
                }
                registers::prepare(tx, &tables.register, role, &id)
            })
        };
        self.server.run(OPERATION, work).await
    }

    async fn segments(&self, want: usize, by: Enumeration) -> Result<Vec<Segment>> {
        let work =
            move |rows: &mut Snapshot<'_, '_>| segments(rows, want, by).map_err(Ended::Engine);
        self.look("divide a store", work).await
    }

    async fn scan(
        &self,
        segment: Segment,
        from: Option<Cursor>,
        content: Content,
    ) -> Result<Frames> {
        Ok(self.stream(Purpose::Scan, move |rows, reader| {
            reader.scan(rows, &segment, from.as_ref(), content)
        }))
    }

    async fn read(&self, units: Vec<UnitId>, what: Selection) -> Result<Frames> {
        Ok(self.stream(Purpose::Read, move |rows, reader| reader.units(rows, &units, &what)))
    }

    async fn units(&self) -> Result<Units> {
        let this = self.clone();
        Ok(units_in_pages(None, move |behind: Option<UnitId>| {
            let this = this.clone();
            async move {
                let list = move |rows: &mut Snapshot<'_, '_>| {
                    list(rows, behind.as_ref()).map_err(Ended::Engine)
                };
                this.look("list units", list).await
            }
        }))
    }

    async fn apply(&self, batch: Batch) -> Result<Vec<UnitOutcome>> {
        self.to_be_written()?;
        let (tables, writers) = (self.tables.clone(), self.writers.clone());
        let work = move |server: &Server| apply::apply(server, &tables, &writers, &batch.units);
        self.server.run(write::OPERATION, work).await
    }

    async fn journal(&self, unit: UnitId, after: u64) -> Result<Told> {
        let read = move |rows: &mut Snapshot<'_, '_>| beside::journal(rows, &unit, after).map(Some);
        let told = self.look("read a journal", read).await?;
        Ok(told.unwrap_or(Told { control: None, entries: None }))
    }

    async fn trim(&self, unit: UnitId, upto: u64) -> Result<()> {
        self.change("trim a journal", unit, move |work, unit| beside::trim(work, unit, upto)).await
    }

    async fn release(&self) -> Result<()> {
        const OPERATION: &str = "release a store";
        self.to_be_written()?;
        let tables = self.tables.clone();
        let work = move |server: &Server| {
            server.write(OPERATION, |tx| match registers::release(tx, &tables.register)? {
                true => Ok(tables.clear_control(tx)?),
                false => Ok(()),
            })
        };
        self.server.run(OPERATION, work).await
    }

    async fn purge(&self, unit: UnitId, exactly: Stamp) -> Result<Purged> {
        self.change("remove a unit", unit, move |work, unit| beside::purge(work, unit, &exactly))
            .await
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
        let read = move |rows: &mut Snapshot<'_, '_>| {
            let held = registers::read(rows.tx, &table, &name.0);
            held.map_err(|error| Ended::Engine(error.into()))
        };
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
