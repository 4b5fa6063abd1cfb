//! The ledger in SQLite: one file, tables that people can read.
//!
//! Invariants:
//! - One process writes: the kernel's lock on `<ledger>.lock` is held as long as the object lives,
//!   and the kernel gives it back when the process dies.
//! - Every method is one transaction; a commit survives loss of power.
//! - Passes rise; a unit counts as seen in a pass when that pass or a later one named it.
//! - No secret comes in: addresses are handed over masked.

mod open;
mod read;
mod write;

use std::fs::File;
use std::path::Path;

use async_trait::async_trait;
use restow_model::{Token, UnitId};
use restow_store::feed::blocking;
use restow_store::ledger::{
    Ledger, MigrationId, PassId, SegmentProgress, Step, Summary, Watermark,
};
use restow_store::{Error, ErrorKind, Result, Segment};
use rusqlite::Connection;

use crate::engine::sqlite::Database;

/// The version of the ledger's tables, kept in `PRAGMA user_version`.
pub const FORMAT: i64 = 1;

/// A ledger in an SQLite file.
#[derive(Debug)]
pub struct SqliteLedger {
    at: At,
    /// What tells the file from every other ledger.
    place: Vec<u8>,
    /// Held, never read: the kernel's lock goes with it.
    _lock: Option<File>,
}

#[derive(Clone, Debug)]
enum At {
    /// The file, for its one writer.
    Write(Database),
    /// The file, for whoever only looks.
    Read(open::Reader),
}

impl SqliteLedger {
    /// Opens a ledger for an attempt, making it where there is none.
    ///
    /// Refused while another process holds it, with the context `held by`.
    pub async fn open(path: &Path) -> Result<Self> {
        let path = path.to_path_buf();
        blocking("open a ledger", move || {
            let lock = open::lock(&path)?;
            let database = open::write(&path)?;
            let place = open::place(&path, &lock);
            Ok(Self { at: At::Write(database), place, _lock: Some(lock) })
        })
        .await
    }

    /// Opens a ledger that is only looked at, without a lock; `None` where there is no file.
    pub async fn read_only(path: &Path) -> Result<Option<Self>> {
        let path = path.to_path_buf();
        blocking("open a ledger", move || {
            let reader = open::Reader::open(&path)?;
            Ok(reader.map(|reader| Self { at: At::Read(reader), place: Vec::new(), _lock: None }))
        })
        .await
    }

    async fn write<T, F>(&self, operation: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let At::Write(database) = &self.at else {
            let message = "the ledger was opened to be looked at only";
            return Err(Error::new(ErrorKind::Refused, operation, message));
        };
        let this = database.clone();
        let work = move |connection: &mut Connection| {
            work(connection).map_err(|e| this.failed(operation, e))
        };
        database.run(operation, work).await
    }

    async fn read<T, F>(&self, operation: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        match &self.at {
            At::Write(database) => {
                let this = database.clone();
                let work = move |connection: &mut Connection| {
                    work(connection).map_err(|e| this.failed(operation, e))
                };
                database.run(operation, work).await
            }
            At::Read(reader) => {
                let reader = reader.clone();
                blocking(operation, move || reader.run(operation, work)).await
            }
        }
    }
}

fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn open(&self, source: &str, target: &str, now_ms: u64) -> Result<MigrationId> {
        let (from, to) = (source.to_owned(), target.to_owned());
        let find = move |c: &Connection| read::migration(c, &from, &to);
        if let Some(found) = self.read("find a migration", find).await? {
            return Ok(found);
        }
        if let At::Read(_) = self.at {
            let message = "the ledger has no migration of these two stores";
            let error = Error::new(ErrorKind::NotFound, "find a migration", message);
            return Err(error.with("source", source).with("target", target));
        }
        let id = MigrationId::begun(&self.place, source, target, now_ms);
        let (source, target) = (source.to_owned(), target.to_owned());
        self.write("begin a migration", move |c| {
            write::migration(c, id, &source, &target, number(now_ms))
        })
        .await
    }

    async fn begin(&self, migration: MigrationId, now_ms: u64) -> Result<i64> {
        self.write("begin an attempt", move |c| write::begin(c, migration, number(now_ms))).await
    }

    async fn end(&self, attempt: i64, outcome: &str, now_ms: u64) -> Result<()> {
        let outcome = outcome.to_owned();
        self.write("end an attempt", move |c| write::end(c, attempt, &outcome, number(now_ms)))
            .await
    }

    async fn interrupted(
        &self,
        migration: MigrationId,
    ) -> Result<Option<(PassId, Vec<SegmentProgress>)>> {
        self.read("find an interrupted pass", move |c| read::interrupted(c, migration)).await
    }

    async fn begin_pass(&self, migration: MigrationId, segments: &[Segment]) -> Result<PassId> {
        let segments = segments.to_vec();
        self.write("begin a pass", move |c| write::begin_pass(c, migration, &segments)).await
    }

    async fn end_pass(&self, pass: PassId) -> Result<()> {
        self.write("end a pass", move |c| write::end_pass(c, pass)).await
    }

    async fn save(&self, pass: PassId, step: Step) -> Result<()> {
        self.write("save progress", move |c| write::save(c, pass, &step)).await
    }

    async fn watermarks(
        &self,
        migration: MigrationId,
        units: &[UnitId],
    ) -> Result<Vec<Option<Watermark>>> {
        let units = units.to_vec();
        self.read("read watermarks", move |c| read::watermarks(c, migration, &units)).await
    }

    async fn marked(
        &self,
        migration: MigrationId,
        after: Option<&UnitId>,
        limit: usize,
    ) -> Result<Vec<(UnitId, Watermark)>> {
        let after = after.cloned();
        let list = move |c: &Connection| read::marked(c, migration, after.as_ref(), limit);
        self.read("list units with a watermark", list).await
    }

    async fn unseen(
        &self,
        pass: PassId,
        after: Option<&UnitId>,
        limit: usize,
    ) -> Result<Vec<(UnitId, Watermark)>> {
        let after = after.cloned();
        self.read("list unseen units", move |c| read::unseen(c, pass, after.as_ref(), limit)).await
    }

    async fn stagings(&self, migration: MigrationId) -> Result<Vec<(UnitId, Token)>> {
        self.read("list stagings", move |c| read::stagings(c, migration)).await
    }

    async fn audit(&self, migration: MigrationId, line: &str, now_ms: u64) -> Result<()> {
        let line = line.to_owned();
        self.write("add to the audit log", move |c| {
            write::audit(c, migration, &line, number(now_ms))
        })
        .await
    }

    async fn summaries(&self) -> Result<Vec<Summary>> {
        self.read("list migrations", read::summaries).await
    }
}

#[cfg(test)]
mod tests;
