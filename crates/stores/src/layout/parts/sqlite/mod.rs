//! `parts+sqlite`: the compact layout in one SQLite file.
//!
//! Invariants:
//! - A unit's row, pages and parts change in one transaction; a reader sees one moment.
//! - What a copy reads from is opened so that nothing is written and nothing left behind.

mod rows;
pub mod schema;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use restow_model::{Record, UnitId};
use restow_store::failpoint::Point;
use restow_store::feed::{FrameSender, Purpose, Stop, blocking, produce};
use restow_store::{
    Batch, Content, Cursor, Enumeration, Error, ErrorKind, Etag, Frames, Purged, RegisterName,
    Result, Role, Segment, Selection, Stamp, Store, StoreInfo, StoreRecord, Swap, Told,
    UnitOutcome, Units, Unsupported, failpoint, units_in_pages,
};
use rusqlite::{Connection, TransactionBehavior};

use crate::engine::sqlite::files::{Files, Moment};
use crate::engine::sqlite::source::Source;
use crate::engine::sqlite::{Database, Fail, failed, look_before, registers};
use crate::layout::parts::beside::{self, newest_units};
use crate::layout::parts::query::{LeadsTo, NewestFirst};
use crate::layout::parts::read::{Ended, Reader};
use crate::layout::parts::segments::{list, segments};
use crate::layout::parts::write::{self, Logs, Writer};
use rows::Rows;
use schema::Found;

/// A store of the compact layout in one SQLite file.
#[derive(Clone, Debug)]
pub struct PartsSqlite {
    info: StoreInfo,
    files: Files,
    writer: Arc<Mutex<Writer>>,
}

impl PartsSqlite {
    /// Opens a file to read it; nothing is written and nothing left behind.
    ///
    /// Blocks; call it on a thread that may.
    pub fn source(path: &Path) -> Result<Self> {
        Self::of(path, Files::read(Source::open(path)?), false)
    }

    /// Opens a file to write to it, making it where `create` says so; refuses a database of
    /// something else.
    ///
    /// Blocks; call it on a thread that may.
    pub fn target(path: &Path, create: bool) -> Result<Self> {
        // Looked at before it is opened to be written to: that alone would change another's file.
        if std::fs::metadata(path).is_ok_and(|about| about.len() > 0) {
            let found = look_before(path, |connection| {
                schema::find(connection).map_err(|error| failed(OPEN, path, error))
            })?;
            recognised(found, path, true)?;
        }
        Self::of(path, Files::written(Database::open(path, create)?), true)
    }

    fn of(path: &Path, files: Files, may_be_empty: bool) -> Result<Self> {
        let found = files.look(OPEN, |moment| schema::find(moment.connection))?;
        recognised(found.map_err(|error| files.failed(OPEN, error))?, path, may_be_empty)?;
        let info = StoreInfo {
            address: format!("parts+sqlite:{}", path.display()),
            layout: "parts",
            engine: "sqlite",
            application: None,
            capabilities: write::capabilities(),
        };
        let writer = Writer::new(&Logs::default())
            .map_err(|torn| Error::new(ErrorKind::Failed, OPEN, torn.to_string()))?;
        Ok(Self { info, files, writer: Arc::new(Mutex::new(writer)) })
    }

    /// Runs a reader in one read transaction, and its frames as a stream.
    fn stream<F>(&self, purpose: Purpose, work: F) -> Frames
    where
        F: FnOnce(&mut Rows<'_>, &mut Reader<'_>) -> Result<(), Ended<rusqlite::Error>>
            + Send
            + 'static,
    {
        let files = self.files.clone();
        produce(purpose, move |out: &FrameSender| -> Result<(), Stop> {
            let read = |moment: &Moment<'_>| {
                let mut rows = Rows::new(moment.connection).map_err(Ended::Engine)?;
                work(&mut rows, &mut Reader::new(out)?)
            };
            let done = files.look("read units", read)?;
            done.map_err(|ended| ended.stop(|error| files.failed("read units", error).into()))
        })
    }

    /// Runs work on a connection that only reads.
    async fn look<T, F>(&self, operation: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Rows<'_>) -> Result<T, Ended<rusqlite::Error>> + Send + 'static,
    {
        let files = self.files.clone();
        blocking(operation, move || {
            let work = |moment: &Moment<'_>| {
                work(&mut Rows::new(moment.connection).map_err(Ended::Engine)?)
            };
            let failed = |error| files.failed(operation, error).into();
            let done = files.look(operation, work)?;
            done.map_err(|ended| ended.stop(failed).error(operation))
        })
        .await
    }

    /// Runs work on the connection that writes.
    async fn change<T, F>(&self, operation: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Database, &mut Connection) -> Result<T> + Send + 'static,
    {
        let database = self.files.database()?.clone();
        let this = database.clone();
        database.run(operation, move |connection| work(&this, connection)).await
    }

    /// Runs work in one transaction that writes.
    async fn transact<T, F>(&self, operation: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Fail> + Send + 'static,
    {
        self.change(operation, move |database, connection| {
            let run = || -> Result<T, Fail> {
                let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let done = work(&tx)?;
                tx.commit()?;
                Ok(done)
            };
            run().map_err(|fail| fail.error(operation, |error| database.failed(operation, error)))
        })
        .await
    }
}

#[async_trait]
impl NewestFirst for PartsSqlite {
    async fn newest_units(&self, skip: usize, limit: usize) -> Result<Vec<(UnitId, String)>> {
        self.look("list units", move |rows| newest_units(rows, skip, limit)).await
    }

    async fn read_on(&self, unit: UnitId, what: Selection, on: LeadsTo) -> Result<Frames> {
        Ok(self.stream(Purpose::Read, move |rows, reader| reader.unit_on(rows, unit, &what, on)))
    }
}

#[async_trait]
impl Store for PartsSqlite {
    fn info(&self) -> &StoreInfo {
        &self.info
    }

    fn check(&self, _record: &Record) -> Result<(), Unsupported> {
        Ok(())
    }

    async fn prepare(&self, role: Role, id: &str) -> Result<StoreRecord> {
        let id = id.to_owned();
        self.transact("prepare a parts file", move |tx| {
            schema::make(tx)?;
            if role != Role::CopyTarget {
                schema::make_control(tx)?;
            }
            registers::prepare(tx, role, &id)
        })
        .await
    }

    async fn segments(&self, want: usize, by: Enumeration) -> Result<Vec<Segment>> {
        let work = move |rows: &mut Rows<'_>| segments(rows, want, by).map_err(Ended::Engine);
        self.look("divide a parts file", work).await
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
                let list =
                    move |rows: &mut Rows<'_>| list(rows, behind.as_ref()).map_err(Ended::Engine);
                this.look("list units", list).await
            }
        }))
    }

    async fn apply(&self, batch: Batch) -> Result<Vec<UnitOutcome>> {
        let writer = self.writer.clone();
        let work = move |database: &Database, connection: &mut Connection| {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            apply(database, connection, &mut writer, &batch)
        };
        self.change("write units", work).await
    }

    async fn journal(&self, unit: UnitId, after: u64) -> Result<Told> {
        self.look("read a journal", move |rows| beside::journal(rows, &unit, after)).await
    }

    async fn trim(&self, unit: UnitId, upto: u64) -> Result<()> {
        self.transact("trim a journal", move |tx| {
            beside::trim(&mut Rows::new(tx)?, &unit, upto).map_err(Ended::fail)
        })
        .await
    }

    async fn release(&self) -> Result<()> {
        self.transact("release a store", |tx| {
            if registers::release(tx)? {
                schema::clear_control(tx)?;
            }
            Ok(())
        })
        .await
    }

    async fn purge(&self, unit: UnitId, exactly: Stamp) -> Result<Purged> {
        self.transact("remove a unit", move |tx| {
            beside::purge(&mut Rows::new(tx)?, &unit, &exactly).map_err(Ended::fail)
        })
        .await
    }

    async fn optimize(&self) -> Result<()> {
        Ok(())
    }

    async fn register_read(&self, name: RegisterName) -> Result<Option<(Etag, Bytes)>> {
        self.look("read a register", move |rows| {
            registers::read(rows.connection, &name.0).map_err(Ended::Engine)
        })
        .await
    }

    async fn register_swap(
        &self,
        name: RegisterName,
        was: Option<Etag>,
        now: Bytes,
    ) -> Result<Swap> {
        registers::swap(self.files.database()?, name, was, now).await
    }
}

const OPEN: &str = "open a parts file";

/// Refuses a file that is not of this layout, or of a format that this version does not know.
fn recognised(found: Found, path: &Path, may_be_empty: bool) -> Result<()> {
    let message = match found {
        Found::Ours => return Ok(()),
        Found::Empty if may_be_empty => return Ok(()),
        Found::Format(_) => "the file was written by a newer restow; use that",
        Found::Empty | Found::Other => "the file holds another database; name another file",
    };
    let error = Error::new(ErrorKind::Refused, OPEN, message);
    Err(error.with("file", path.display().to_string()))
}

/// Applies a batch: one transaction, one savepoint a unit.
fn apply(
    database: &Database,
    connection: &mut Connection,
    writer: &mut Writer,
    batch: &Batch,
) -> Result<Vec<UnitOutcome>> {
    writer.rolled_back();
    let failed = |error| database.failed(write::OPERATION, error);
    let mut tx =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let has_control = schema::has_control(&tx).map_err(failed)?;
    let mut outcomes = Vec::with_capacity(batch.units.len());
    for ops in &batch.units {
        let savepoint = tx.savepoint().map_err(failed)?;
        let outcome =
            match write::apply(&mut Rows { connection: &savepoint, has_control }, writer, ops) {
                Ok(outcome) => {
                    savepoint.commit().map_err(failed)?;
                    outcome
                }
                Err(stop) => {
                    drop(savepoint);
                    let file = ("file", database.path().display().to_string());
                    let failed = |error| failed(error).with("unit", ops.unit.to_string());
                    stop.outcome(&ops.unit, file, failed)?
                }
            };
        outcomes.push(outcome);
    }
    failpoint::pass(Point::BeforeCommit)?;
    tx.commit().map_err(failed)?;
    writer.committed();
    failpoint::pass(Point::Committed)?;
    Ok(outcomes)
}
