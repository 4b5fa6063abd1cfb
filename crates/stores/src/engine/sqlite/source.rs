//! Opening a file that must never be written to, and leaving nothing behind in its folder.
//!
//! A plain read-only open of a WAL database leaves `-wal` and `-shm` behind and writes read marks.
//! What lies beside the file decides instead (SQLite 3.54, `os_unix.c` and `wal.c`):
//! - no `-wal`, or no frame in it: `immutable=1`; [`Opened::check`] tells afterwards whether the
//!   file changed;
//! - `-wal` and `-shm`: `readonly_shm=1` joins a living application's snapshot, or reads a crashed
//!   one's WAL through an index in memory;
//! - `-wal` alone: VFS `unix-none` with `locking_mode=EXCLUSIVE` keeps the index in memory; a probe
//!   that takes real locks goes first, and [`Opened::check`] afterwards.
//!
//! Invariants:
//! - No file is written, made or removed; no checkpoint happens when a connection closes.
//! - Each connection looks anew at what lies beside the file: reading again after a change works.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use restow_store::{Error, ErrorKind, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{BUSY_WAIT, failed};

const OPEN: &str = "open a database";
/// How long the probe waits for a lock: an application that closes its file holds one for a moment.
const PROBE_WAIT: Duration = Duration::from_secs(3);
static PROBE: Mutex<()> = Mutex::new(());
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// How many bytes of a WAL lie before its first frame.
const WAL_HEADER: u64 = 32;

/// A file that is only read.
#[derive(Clone, Debug)]
pub struct Source {
    path: Arc<PathBuf>,
    // Kept open: closing any handle of a file drops the locks that SQLite holds on it.
    file: Arc<Mutex<File>>,
}

/// A connection that only reads, and how the file was when it was opened.
#[derive(Debug)]
pub struct Opened {
    connection: Connection,
    source: Source,
    seen: Option<Seen>,
}

/// How the file was; compared where SQLite itself does not watch.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    size: u64,
    modified: Option<SystemTime>,
    counter: [u8; 4],
    wal: Option<(u64, Option<SystemTime>)>,
    is_shared: bool,
}

impl Source {
    /// Opens a file after looking at it: it has to be there, whole, an SQLite database and free.
    ///
    /// Blocks the thread.
    pub fn open(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).map_err(|e| unreadable(path, e))?;
        let about = fs::metadata(&path).map_err(|e| unreadable(&path, e))?;
        if !about.is_file() {
            return Err(refused(
                ErrorKind::Invalid,
                &path,
                "this is no file; name the file itself",
            ));
        }
        let mut file = File::open(&path).map_err(|e| unreadable(&path, e))?;
        let mut magic = [0; 16];
        if about.len() == 0 {
            let message = "the file is empty; name the file that the application writes";
            return Err(refused(ErrorKind::Invalid, &path, message));
        }
        if file.read_exact(&mut magic).is_err() || magic != *MAGIC {
            let message = "the file is not an SQLite database, or is encrypted; check the path";
            return Err(refused(ErrorKind::Invalid, &path, message));
        }
        let source = Self { path: Arc::new(path), file: Arc::new(Mutex::new(file)) };
        source.connect()?;
        Ok(source)
    }

    /// Returns the file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens another connection, for one stream.
    ///
    /// Blocks the thread.
    pub fn connect(&self) -> Result<Opened> {
        let seen = self.look()?;
        let journal = fs::metadata(self.beside("-journal")).is_ok_and(|m| m.len() > 0);
        if seen.wal.is_none() && !journal {
            self.ends_with_a_page(seen.size)?;
        }
        let (query, watched) = match (&seen.wal, seen.is_shared) {
            // SQLite's own locks and snapshots watch these.
            (None, _) if journal => ("mode=ro", false),
            (Some(_), true) => ("mode=ro&readonly_shm=1", false),
            (Some(_), false) => ("mode=ro&vfs=unix-none", true),
            (None, _) => ("immutable=1", true),
        };
        if watched {
            self.probe()?;
        }
        let is_alone = seen.wal.is_some() && !seen.is_shared;
        let connection = self.connect_as(query, is_alone).and_then(|connection| {
            let schema = "SELECT count(*) FROM sqlite_schema";
            connection.query_row(schema, [], |_| Ok(()))?;
            Ok(connection)
        });
        let connection = connection.map_err(|e| self.explain(e, journal))?;
        Ok(Opened { connection, source: self.clone(), seen: watched.then_some(seen) })
    }

    fn connect_as(&self, query: &str, is_alone: bool) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(uri(&self.path, query), flags)?;
        connection.busy_timeout(BUSY_WAIT)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        if is_alone {
            connection.pragma_update_and_check(None, "locking_mode", "exclusive", |_| Ok(()))?;
        }
        Ok(connection)
    }

    /// Asks for a shared lock without ever coming to the WAL: an exclusive connection that only
    /// reads stops before it would make a file.
    fn probe(&self) -> Result<()> {
        // Two probes of one process would take each other for another application.
        let _one = PROBE.lock().unwrap_or_else(PoisonError::into_inner);
        let probe = self.connect_as("mode=ro", true).and_then(|connection| {
            connection.busy_timeout(PROBE_WAIT)?;
            connection.query_row("PRAGMA schema_version", [], |_| Ok(()))
        });
        match probe {
            Err(e) if is_locked(&e) => Err(failed(OPEN, &self.path, e)),
            _ => Ok(()),
        }
    }

    fn explain(&self, error: rusqlite::Error, journal: bool) -> Error {
        let (kind, message) = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt) => {
                (ErrorKind::Damaged, "the file is cut short or damaged; restore it from a backup")
            }
            Some(ErrorCode::ReadOnly) if journal => (
                ErrorKind::Refused,
                "its application stopped in the middle of a transaction; open it with the \
                 application once, or copy the file together with its -journal and open the copy",
            ),
            Some(ErrorCode::NotADatabase) => {
                (ErrorKind::Invalid, "the file is not an SQLite database, or is encrypted")
            }
            _ => return failed(OPEN, &self.path, error),
        };
        refused(kind, &self.path, message).because(error)
    }

    fn look(&self) -> Result<Seen> {
        let about = fs::metadata(&*self.path).map_err(|e| unreadable(&self.path, e))?;
        let mut counter = [0; 4];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // A file cut below its header is told by its size.
        if file.seek(SeekFrom::Start(24)).is_ok() && file.read_exact(&mut counter).is_err() {
            counter = [0; 4];
        }
        let wal = fs::metadata(self.beside("-wal")).ok();
        Ok(Seen {
            size: about.len(),
            modified: about.modified().ok(),
            counter,
            is_shared: wal.is_some() && self.beside("-shm").exists(),
            // A WAL without a frame says nothing, and a file system that cannot be written may keep
            // one. With its header alone, as who dies early leaves it, `readonly_shm` never opens.
            wal: wal.filter(|m| m.len() > WAL_HEADER).map(|m| (m.len(), m.modified().ok())),
        })
    }

    /// Refuses a file that ends inside a page: SQLite reads zeros there, and calls it sound.
    fn ends_with_a_page(&self, size: u64) -> Result<()> {
        let mut field = [0; 2];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let read = file.seek(SeekFrom::Start(16)).and_then(|_| file.read_exact(&mut field));
        let page = match u64::from(u16::from_be_bytes(field)) {
            1 => 65_536,
            size => size,
        };
        if read.is_err() || page == 0 || !size.is_multiple_of(page) {
            let message = "the file is cut short; restore it from a backup";
            return Err(refused(ErrorKind::Damaged, &self.path, message));
        }
        Ok(())
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(ending);
        name.into()
    }
}

impl Opened {
    /// Returns the connection.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Says whether everything that was read so far is of one moment.
    ///
    /// Where the file changed below a connection that SQLite does not protect, this is an error of
    /// kind [`ErrorKind::Unavailable`]: what was read since the last check is void, and reading it
    /// again through a new connection is right.
    pub fn check(&self) -> Result<()> {
        match &self.seen {
            Some(seen) if self.source.look()? != *seen => {
                let message = "the file was changed while it was read; it has to be read again";
                Err(refused(ErrorKind::Unavailable, &self.source.path, message))
            }
            _ => Ok(()),
        }
    }
}

fn is_locked(error: &rusqlite::Error) -> bool {
    let locked = [Some(ErrorCode::DatabaseBusy), Some(ErrorCode::DatabaseLocked)];
    locked.contains(&error.sqlite_error_code())
}

fn refused(kind: ErrorKind, path: &Path, message: &str) -> Error {
    Error::new(kind, OPEN, message).with("file", path.display().to_string())
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    let (kind, message) = match error.kind() {
        std::io::ErrorKind::NotFound => (ErrorKind::NotFound, "there is no such file"),
        std::io::ErrorKind::PermissionDenied => {
            (ErrorKind::Credentials, "the file may not be read; check its permissions")
        }
        _ => (ErrorKind::Failed, "the file cannot be read"),
    };
    refused(kind, path, message).because(error)
}

/// Writes a path as a URI that SQLite reads; bytes that mean something in a URI are escaped.
fn uri(path: &Path, query: &str) -> String {
    let mut uri = String::from("file://");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                uri.push(char::from(*byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    format!("{uri}?{query}")
}
