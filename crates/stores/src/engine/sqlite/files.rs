//! The file behind a store: one that restow writes, or one that is only read.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use restow_store::{Error, ErrorKind, Result};
use rusqlite::Connection;

use super::source::{Opened, Source};
use super::{Database, STATEMENTS_MAX, failed};

/// How many connections wait to be used again.
const WAITING_MAX: usize = 8;
/// SQLite's cache of a connection that reads: minus so many KiB; the system keeps the rest.
const CACHE: i64 = -768;

/// The file behind a store, with connections that read it.
///
/// Field order matters: the last connection to close has to be one that writes, because only that
/// one folds the write-ahead log back into the file.
#[derive(Clone, Debug)]
pub struct Files {
    /// Connections that read, waiting to be used again.
    waiting: Arc<Mutex<Vec<Handle>>>,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Written(Database),
    Read(Source),
}

/// A connection that reads.
#[derive(Debug)]
enum Handle {
    /// Of a file that restow writes.
    Plain(Connection),
    /// Of a file that is only read.
    Watched(Opened),
}

/// One moment of a file.
pub struct Moment<'f> {
    /// A connection inside one read transaction.
    pub connection: &'f Connection,
    handle: &'f Handle,
}

impl Moment<'_> {
    /// Says whether everything that was read so far is of one moment; see [`Opened::check`].
    pub fn check(&self) -> Result<()> {
        match self.handle {
            Handle::Plain(_) => Ok(()),
            Handle::Watched(opened) => opened.check(),
        }
    }
}

impl Files {
    /// Takes a file that restow writes.
    pub fn written(database: Database) -> Self {
        Self { waiting: Arc::default(), kind: Kind::Written(database) }
    }

    /// Takes a file that is only read.
    pub fn read(source: Source) -> Self {
        Self { waiting: Arc::default(), kind: Kind::Read(source) }
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        match &self.kind {
            Kind::Written(database) => database.path(),
            Kind::Read(source) => source.path(),
        }
    }

    /// Turns an SQLite error into the port's, naming the file.
    pub fn failed(&self, operation: &'static str, error: rusqlite::Error) -> Error {
        failed(operation, self.path(), error)
    }

    /// Returns the file as one that may be written to, or refuses.
    pub fn database(&self) -> Result<&Database> {
        match &self.kind {
            Kind::Written(database) => Ok(database),
            Kind::Read(_) => {
                let message = "the file was opened to be read only";
                let error = Error::new(ErrorKind::Refused, "write to a store", message);
                Err(error.with("file", self.path().display().to_string()))
            }
        }
    }

    /// Runs work in one read transaction. Blocks the thread.
    ///
    /// A file that changed below its reader makes the work fail in any way, or not at all; that it
    /// changed is what the caller is told then.
    pub fn look<T, E>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Moment<'_>) -> Result<T, E>,
    ) -> Result<Result<T, E>> {
        let handle = self.handle()?;
        let connection = match &handle {
            Handle::Plain(connection) => connection,
            Handle::Watched(opened) => opened.connection(),
        };
        let failed = |error| self.failed(operation, error);
        let snapshot = connection.unchecked_transaction().map_err(failed)?;
        let done = work(&Moment { connection: &snapshot, handle: &handle });
        let finished = snapshot.finish();
        if let Handle::Watched(opened) = &handle {
            opened.check()?;
        }
        finished.map_err(failed)?;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < WAITING_MAX {
            waiting.push(handle);
        }
        Ok(done)
    }

    /// Takes a connection that waits, or opens one; a file that has changed since is opened anew.
    fn handle(&self) -> Result<Handle> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let handle = match (waiting, &self.kind) {
            (Some(Handle::Watched(opened)), Kind::Read(_)) if opened.check().is_ok() => {
                return Ok(Handle::Watched(opened));
            }
            (Some(Handle::Plain(connection)), _) => return Ok(Handle::Plain(connection)),
            (_, Kind::Read(source)) => Handle::Watched(source.connect()?),
            (_, Kind::Written(database)) => Handle::Plain(database.reader()?),
        };
        let connection = match &handle {
            Handle::Plain(connection) => connection,
            Handle::Watched(opened) => opened.connection(),
        };
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        let sized = connection.pragma_update(None, "cache_size", CACHE);
        sized.map_err(|error| self.failed("open a database", error))?;
        Ok(handle)
    }
}
