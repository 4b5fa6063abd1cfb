//! Opening a ledger's file: its lock, its format, and looking at it without leaving a trace.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use restow_store::{Error, ErrorKind, Result};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::FORMAT;
use crate::engine::sqlite::{BUSY_WAIT, Database, failed};

const TABLES: &str = include_str!("tables.sql");
const OPERATION: &str = "open a ledger";

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

fn not_opened(path: &Path, error: std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            ErrorKind::Credentials
        }
        _ => ErrorKind::Failed,
    };
    let message = "its lock cannot be made; choose another place with --ledger";
    Error::new(kind, OPERATION, message).with("file", path.display().to_string()).because(error)
}

/// Takes the one lock of a ledger; the kernel gives it back when the process dies.
pub(super) fn lock(ledger: &Path) -> Result<File> {
    let path = beside(ledger, ".lock");
    let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = open.map_err(|e| not_opened(&path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let message = "another restow process holds it; wait for that one, or stop it";
            Err(Error::new(ErrorKind::Refused, OPERATION, message)
                .with("ledger", ledger.display().to_string())
                .with("held by", "another attempt"))
        }
        Err(TryLockError::Error(error)) => Err(not_opened(&path, error)),
    }
}

/// Tells a ledger from every other: where it is, and when its lock was made.
pub(super) fn place(ledger: &Path, lock: &File) -> Vec<u8> {
    let path = std::fs::canonicalize(ledger).unwrap_or_else(|_| ledger.into());
    let made = lock.metadata().and_then(|about| about.modified()).ok();
    let made = made.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    [path.as_os_str().as_encoded_bytes(), &made.as_nanos().to_be_bytes()].concat()
}

/// Opens the file for its one writer, making its tables where it is new.
pub(super) fn write(path: &Path) -> Result<Database> {
    let database = Database::open(path, true)?;
    let format = {
        let mut connection = database.lock();
        make(&mut connection).map_err(|e| database.failed(OPERATION, e))?
    };
    check(path, format)?;
    Ok(database)
}

fn make(connection: &mut Connection) -> rusqlite::Result<Option<i64>> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let format = format(&tx)?;
    if format.is_some() {
        return Ok(format);
    }
    tx.execute_batch(TABLES)?;
    tx.pragma_update(None, "user_version", FORMAT)?;
    tx.commit()?;
    Ok(Some(FORMAT))
}

/// Returns the format that a file says it has; `None` where it is empty.
fn format(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'";
    let tables: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name IN ('migration', 'watermark')";
    let ours: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    Ok(match (version, tables, ours) {
        (0, 0, _) => None,
        (_, _, 2) => Some(version),
        // Some other application's file.
        _ => Some(0),
    })
}

fn check(path: &Path, format: Option<i64>) -> Result<()> {
    let refused = |kind, message| {
        Err(Error::new(kind, OPERATION, message).with("file", path.display().to_string()))
    };
    match format {
        Some(FORMAT) => Ok(()),
        Some(newer) if newer > FORMAT => {
            let message = "a newer restow wrote it; use that version";
            let error = Error::new(ErrorKind::Refused, OPERATION, message);
            Err(error.with("file", path.display().to_string()).with("format", newer.to_string()))
        }
        _ => refused(ErrorKind::Invalid, "the file is not a ledger; choose another with --ledger"),
    }
}

/// The file, for whoever only looks.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    path: Arc<PathBuf>,
    connection: Arc<Mutex<Connection>>,
}

impl Reader {
    /// Opens a file without a lock; `None` where there is none, or nothing in it yet.
    pub(super) fn open(path: &Path) -> Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let connection = connect(path).map_err(|e| failed(OPERATION, path, e))?;
        let format = format(&connection).map_err(|e| failed(OPERATION, path, e))?;
        if format.is_none() {
            return Ok(None);
        }
        check(path, format)?;
        let connection = Arc::new(Mutex::new(connection));
        Ok(Some(Self { path: Arc::new(path.into()), connection }))
    }

    /// Runs work on the connection; the thread may block.
    pub(super) fn run<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        work(&connection).map_err(|e| failed(operation, &self.path, e))
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // Without a WAL nobody writes: opened as immutable, SQLite makes no files beside it.
    let quiet = !beside(path, "-wal").exists();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match (quiet, path.to_str()) {
        (true, Some(text)) => {
            let uri = format!("file:{}?immutable=1", escaped(text));
            Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)?
        }
        _ => Connection::open_with_flags(path, flags)?,
    };
    connection.busy_timeout(BUSY_WAIT)?;
    Ok(connection)
}

fn escaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        match c {
            '%' => out.push_str("%25"),
            '?' => out.push_str("%3f"),
            '#' => out.push_str("%23"),
            c => out.push(c),
        }
    }
    out
}
