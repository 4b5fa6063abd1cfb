//! `parts+sqlite`: the compact layout in one SQLite file.
//!
//! Invariants:
//! - A unit's row, pages and parts change in one transaction; a reader sees one moment.
//! - What a copy reads from is opened so that nothing is written and nothing left behind.

mod damage;
mod edit;
mod log_rows;
mod read;
pub mod schema;
mod unit;
mod write;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use restow_model::{Record, UnitId};
use restow_store::feed::{FrameSender, Purpose, Stop, blocking, produce};
use restow_store::{
    Batch, Capabilities, Cursor, Enumeration, Error, ErrorKind, Etag, Frames, Purged, RegisterName,
    Result, Role, Segment, Selection, Stamp, Store, StoreInfo, StoreRecord, Swap, UnitOutcome,
    Unsupported, WithoutControl,
};
use rusqlite::{Connection, TransactionBehavior};

use crate::engine::sqlite::files::{Files, Moment};
use crate::engine::sqlite::source::Source;
use crate::engine::sqlite::{Database, registers};
use crate::layout::parts::query::NewestFirst;
use read::Reader;
use schema::Found;
use write::Writer;

/// How many bytes one unit may put in one apply.
pub(crate) const APPLY_BYTES_MAX: usize = 32 << 20;

/// A store of the compact layout in one SQLite file.
#[derive(Debug)]
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
            recognised(&Files::read(Source::open(path)?), true)?;
        }
        Self::of(path, Files::written(Database::open(path, create)?), true)
    }

    fn of(path: &Path, files: Files, may_be_empty: bool) -> Result<Self> {
        recognised(&files, may_be_empty)?;
        let capabilities = Capabilities {
            apply_bytes_max: APPLY_BYTES_MAX,
            keeps_digests: true,
            ..Capabilities::default()
        };
        let info = StoreInfo {
            address: format!("parts+sqlite:{}", path.display()),
            layout: "parts",
            engine: "sqlite",
            application: None,
            capabilities,
        };
        let writer =
            Writer::new().map_err(|torn| Error::new(ErrorKind::Failed, OPEN, torn.to_string()))?;
        Ok(Self { info, files, writer: Arc::new(Mutex::new(writer)) })
    }

    /// Runs a reader in one read transaction, and its frames as a stream.
    fn stream<F>(&self, purpose: Purpose, work: F) -> Frames
    where
        F: FnOnce(&mut Reader<'_>) -> Result<(), read::Ended> + Send + 'static,
    {
        let files = self.files.clone();
        produce(purpose, move |out: &FrameSender| -> Result<(), Stop> {
            let read = |moment: &Moment<'_>| {
                Reader::new(moment.connection, out).and_then(|mut reader| work(&mut reader))
            };
            let done = files.look("read units", read)?;
            done.map_err(|ended| ended.stop(|error| files.failed("read units", error)))
        })
    }

    /// Runs work on a connection that only reads.
    async fn look<T, F>(&self, operation: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let files = self.files.clone();
        blocking(operation, move || {
            let work = |moment: &Moment<'_>| work(moment.connection);
            files.look(operation, work)?.map_err(|error| files.failed(operation, error))
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
}

#[async_trait]
impl NewestFirst for PartsSqlite {
    async fn newest_units(&self, skip: usize, limit: usize) -> Result<Vec<(UnitId, String)>> {
        let work = move |connection: &Connection| unit::newest_first(connection, skip, limit);
        let rows = self.look("list units", work).await?;
        Ok(rows.into_iter().filter_map(|row| Some((row.unit, row.newest?))).collect())
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

    async fn prepare(&self, role: Role, _id: &str) -> Result<StoreRecord> {
        const OPERATION: &str = "prepare a parts file";
        if role != Role::CopyTarget {
            let message = "this store keeps no control records yet, so no migration may run on it";
            let error = Error::new(ErrorKind::Unsupported, OPERATION, message);
            return Err(error.with("store", self.info.address.clone()));
        }
        let made = |database: &Database, connection: &mut Connection| {
            let mut make = || {
                let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                schema::make(&tx)?;
                tx.commit()
            };
            make().map_err(|error| database.failed(OPERATION, error))
        };
        self.change(OPERATION, made).await?;
        Ok(StoreRecord { id: None, without_control: WithoutControl::Legacy })
    }

    async fn segments(&self, want: usize, by: Enumeration) -> Result<Vec<Segment>> {
        self.look("divide a parts file", move |connection| match by {
            Enumeration::Units => unit_segments(connection, want),
            Enumeration::Storage => page_segments(connection, want),
        })
        .await
    }

    async fn scan(&self, segment: Segment, from: Option<Cursor>) -> Result<Frames> {
        Ok(self.stream(Purpose::Scan, move |reader| match segment.by {
            Enumeration::Units => {
                let text = |bound: &Bytes| String::from_utf8_lossy(bound).into_owned();
                let (low, high) = (segment.from.as_ref().map(text), segment.to.as_ref().map(text));
                reader.scan(low.as_deref().unwrap_or(""), high.as_deref(), from.as_ref())
            }
            Enumeration::Storage => {
                let number = |bound: &Bytes| bound[..].try_into().ok().map(i64::from_be_bytes);
                let low = segment.from.as_ref().and_then(number).unwrap_or(i64::MIN);
                let high = segment.to.as_ref().and_then(number).unwrap_or(i64::MAX);
                reader.pages(low, high, from.as_ref())
            }
        }))
    }

    async fn read(&self, units: Vec<UnitId>, what: Selection) -> Result<Frames> {
        Ok(self.stream(Purpose::Read, move |reader| reader.units(&units, &what)))
    }

    async fn apply(&self, batch: Batch) -> Result<Vec<UnitOutcome>> {
        let writer = self.writer.clone();
        let work = move |database: &Database, connection: &mut Connection| {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            write::apply(database, connection, &mut writer, &batch)
        };
        self.change("write units", work).await
    }

    async fn purge(&self, unit: UnitId, exactly: Stamp) -> Result<Purged> {
        let work = move |database: &Database, connection: &mut Connection| {
            write::purge(connection, &unit, exactly)
                .map_err(|damage| damage.error("remove a unit", database, &unit))
        };
        self.change("remove a unit", work).await
    }

    async fn register_read(&self, name: RegisterName) -> Result<Option<(Etag, Bytes)>> {
        self.look("read a register", move |connection| registers::read(connection, &name.0)).await
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
fn recognised(files: &Files, may_be_empty: bool) -> Result<()> {
    let found = files
        .look(OPEN, |moment| schema::find(moment.connection))?
        .map_err(|error| files.failed(OPEN, error))?;
    let message = match found {
        Found::Ours => return Ok(()),
        Found::Empty if may_be_empty => return Ok(()),
        Found::Format(_) => "the file was written by a newer restow; use that",
        Found::Empty | Found::Other => "the file holds another database; name another file",
    };
    let error = Error::new(ErrorKind::Refused, OPEN, message);
    Err(error.with("file", files.path().display().to_string()))
}

/// Divides the units by name into shares of like number.
fn unit_segments(connection: &Connection, want: usize) -> rusqlite::Result<Vec<Segment>> {
    let sql = "SELECT unit FROM restow_unit WHERE token IS NULL ORDER BY unit LIMIT 1 OFFSET ?1";
    let count = "SELECT count(*) FROM restow_unit WHERE token IS NULL";
    let units: i64 = connection.query_row(count, [], |row| row.get(0))?;
    let shares = (want.max(1) as i64).min(units.max(1));
    let mut bounds = vec![None];
    for share in 1..shares {
        let at = units * share / shares;
        let unit: String = connection.prepare_cached(sql)?.query_row([at], |row| row.get(0))?;
        bounds.push(Some(Bytes::from(unit)));
    }
    Ok(divide(Enumeration::Units, bounds))
}

/// Divides the pages by row number.
fn page_segments(connection: &Connection, want: usize) -> rusqlite::Result<Vec<Segment>> {
    let sql = "SELECT coalesce(min(page_no), 0), coalesce(max(page_no), 0) FROM restow_page";
    let (low, high): (i64, i64) =
        connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let step = ((high - low) / (want.max(1) as i64)).max(1);
    let starts = (1..want.max(1) as i64).map(|n| low + n * step).take_while(|at| *at <= high);
    let bound = |at: i64| Some(Bytes::copy_from_slice(&at.to_be_bytes()));
    Ok(divide(Enumeration::Storage, std::iter::once(None).chain(starts.map(bound)).collect()))
}

/// Makes the segments that lie between bounds; the first is open below, the last above.
pub(crate) fn divide(by: Enumeration, bounds: Vec<Option<Bytes>>) -> Vec<Segment> {
    let ends = bounds.clone().into_iter().skip(1).chain([None]);
    let pairs = bounds.into_iter().zip(ends);
    pairs.map(|(from, to)| Segment { by, from, to, bytes_estimate: None }).collect()
}
