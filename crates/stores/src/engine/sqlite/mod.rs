//! SQLite: connections, transactions and errors.
//!
//! Sources are opened by [`source`], which never writes and leaves nothing behind; files that
//! restow writes are opened here.

pub mod control;
pub mod files;
pub mod journal;
pub mod registers;
pub mod source;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use restow_store::feed::blocking;
use restow_store::{Error, ErrorKind, Result};
use rusqlite::{Connection, ErrorCode, OpenFlags};

/// Why work on a file stopped.
pub type Fail = super::fail::Fail<rusqlite::Error>;

impl From<rusqlite::Error> for Fail {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(error)
    }
}

/// How many statements a connection keeps prepared.
const STATEMENTS_MAX: usize = 64;

/// How long a statement waits for another process's lock before it gives up.
pub const BUSY_WAIT: Duration = Duration::from_secs(10);

/// Turns an SQLite error into the port's, by its primary code.
pub fn failed(operation: &'static str, path: &Path, error: rusqlite::Error) -> Error {
    let (kind, message) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            ErrorKind::Unavailable,
            "the file is locked by another process; try again when it is free",
        ),
        Some(ErrorCode::DiskFull) => {
            (ErrorKind::Failed, "the disk is full; free some room and run it again")
        }
        Some(ErrorCode::ReadOnly) => {
            (ErrorKind::Credentials, "the file or its folder may not be written to")
        }
        Some(ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
            (ErrorKind::Credentials, "the file may not be opened")
        }
        Some(ErrorCode::NotADatabase) => (ErrorKind::Damaged, "the file is not an SQLite database"),
        Some(ErrorCode::DatabaseCorrupt) => (ErrorKind::Damaged, "the database file is damaged"),
        Some(ErrorCode::CannotOpen) => (ErrorKind::NotFound, "the file cannot be opened"),
        Some(ErrorCode::SystemIoFailure) => {
            (ErrorKind::Failed, "reading or writing the file failed")
        }
        Some(ErrorCode::OutOfMemory | ErrorCode::TooBig) => {
            (ErrorKind::Unsupported, "a value is larger than SQLite can hold")
        }
        _ => (ErrorKind::Failed, "SQLite refused a statement"),
    };
    Error::new(kind, operation, message).with("file", path.display().to_string()).because(error)
}

/// A file that restow writes: one connection, used by one thread at a time.
#[derive(Clone, Debug)]
pub struct Database {
    path: Arc<PathBuf>,
    connection: Arc<Mutex<Connection>>,
}

impl Database {
    /// Opens a file for reading and writing; makes it where `create` says so.
    ///
    /// Journal mode WAL and full synchronisation: what was committed survives loss of power.
    pub fn open(path: &Path, create: bool) -> Result<Self> {
        let connection = connect(path, create).map_err(|e| failed("open a database", path, e))?;
        Ok(Self { path: Arc::new(path.into()), connection: Arc::new(Mutex::new(connection)) })
    }

    /// Returns the file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Turns an SQLite error into the port's, naming this file.
    pub fn failed(&self, operation: &'static str, error: rusqlite::Error) -> Error {
        failed(operation, &self.path, error)
    }

    /// Takes the connection, for a thread that may block.
    pub fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic inside a transaction rolled it back; the connection itself stays sound.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs work on the connection, on a thread that may block.
    pub async fn run<T, F>(&self, operation: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    {
        let this = self.clone();
        blocking(operation, move || work(&mut this.lock())).await
    }

    /// Opens another connection to the same file that only reads.
    pub fn reader(&self) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let connection = Connection::open_with_flags(&*self.path, flags)?;
            connection.busy_timeout(BUSY_WAIT)?;
            Ok(connection)
        };
        open().map_err(|e| self.failed("open a database", e))
    }
}

/// Looks at a file before it is opened to be written to, which alone would change another's.
///
/// Blocks; call it on a thread that may.
pub fn look_before<T>(path: &Path, look: impl Fn(&Connection) -> Result<T>) -> Result<T> {
    let untouched = || {
        let opened = source::Source::open(path)?.connect()?;
        let looked = look(opened.connection());
        opened.check().and(looked)
    };
    match untouched() {
        // Somebody writes it and has its log open: this is one more reader of it.
        Err(error) if error.is_retryable() => {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let open = || {
                let connection = Connection::open_with_flags(path, flags)?;
                connection.busy_timeout(BUSY_WAIT)?;
                Ok(connection)
            };
            look(&open().map_err(|error| failed("open a database", path, error))?)
        }
        looked => looked,
    }
}

/// Takes back what a process that died in the middle of a transaction left in a file that is to be
/// written to, as every writer does when it opens it; nothing else is changed.
///
/// Blocks; call it on a thread that may.
pub fn roll_back(path: &Path) -> Result<()> {
    let mut journal = path.as_os_str().to_owned();
    journal.push("-journal");
    if !path.exists() || !std::fs::metadata(journal).is_ok_and(|about| about.len() > 0) {
        return Ok(());
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_WAIT)?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
    };
    open().map_err(|error| failed("open a database", path, error))
}

/// Makes a file whole in itself, on the disk and without a log beside it, once nobody else uses it.
///
/// Blocks; call it on a thread that may.
pub fn close(path: &Path) -> Result<()> {
    const OPERATION: &str = "close a database";
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let close = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_WAIT)?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(()))
    };
    close().map_err(|error| failed(OPERATION, path, error))?;
    let synced = std::fs::File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|error| {
        let message = "the file cannot be brought to the disk";
        let error_of = Error::new(ErrorKind::Failed, OPERATION, message);
        error_of.with("file", path.display().to_string()).because(error)
    })
}

fn connect(path: &Path, create: bool) -> rusqlite::Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.busy_timeout(BUSY_WAIT)?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    // The WAL is joined with the first reading; who never joined it leaves it behind at its end.
    connection.pragma_query_value(None, "schema_version", |_| Ok(()))?;
    Ok(connection)
}
