//! The file behind a store: one that restow writes, or one that is only read.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use restow_store::{Error, ErrorKind, Result};
use rusqlite::Connection;

use crate::engine::sqlite::source::{Opened, Source};
use crate::engine::sqlite::{Database, failed};

/// The file behind a store.
///
/// Field order matters: the last connection to close has to be one that writes, because only that
/// one folds the write-ahead log back into the file.
#[derive(Clone, Debug)]
pub(super) struct Files {
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

impl Handle {
    /// Returns the connection.
    fn connection(&self) -> &Connection {
        match self {
            Self::Plain(connection) => connection,
            Self::Watched(opened) => opened.connection(),
        }
    }
}

impl Files {
    pub(super) fn written(database: Database) -> Self {
        Self { waiting: Arc::default(), kind: Kind::Written(database) }
    }

    pub(super) fn read(source: Source) -> Self {
        Self { waiting: Arc::default(), kind: Kind::Read(source) }
    }

    pub(super) fn path(&self) -> &Path {
        match &self.kind {
            Kind::Written(database) => database.path(),
            Kind::Read(source) => source.path(),
        }
    }

    /// Turns an SQLite error into the port's, naming the file.
    pub(super) fn failed(&self, operation: &'static str, error: rusqlite::Error) -> Error {
        failed(operation, self.path(), error)
    }

    /// Returns the file as one that may be written to.
    pub(super) fn database(&self) -> Result<&Database> {
        match &self.kind {
            Kind::Written(database) => Ok(database),
            Kind::Read(_) => {
                let message = "the file was opened to be read only";
                let error = Error::new(ErrorKind::Refused, "write to a parts file", message);
                Err(error.with("file", self.path().display().to_string()))
            }
        }
    }

    /// Runs work in one read transaction, on a thread that may block.
    pub(super) fn look<T, E>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<Result<T, E>> {
        let handle = self.handle()?;
        let failed = |error| self.failed(operation, error);
        let snapshot = handle.connection().unchecked_transaction().map_err(failed)?;
        let done = work(&snapshot);
        snapshot.finish().map_err(failed)?;
        if let Handle::Watched(opened) = &handle {
            opened.check()?;
        }
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
        Ok(done)
    }

    /// Takes a connection that waits, or opens one; a file that has changed since is opened anew.
    fn handle(&self) -> Result<Handle> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match (waiting, &self.kind) {
            (Some(Handle::Watched(opened)), Kind::Read(source)) => {
                let unchanged = opened.check().is_ok();
                let opened = if unchanged { opened } else { source.connect()? };
                Ok(Handle::Watched(opened))
            }
            (Some(handle), _) => Ok(handle),
            (None, Kind::Read(source)) => Ok(Handle::Watched(source.connect()?)),
            (None, Kind::Written(database)) => Ok(Handle::Plain(database.reader()?)),
        }
    }
}
