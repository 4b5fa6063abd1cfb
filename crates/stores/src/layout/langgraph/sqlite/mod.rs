//! LangGraph on SQLite: the files of langgraph-checkpoint-sqlite (Python) and its JavaScript twin.
//!
//! Rows keep their bytes: a record's value is a slice of the row, and what a canonical row would
//! say differently travels as residue ([`residue`]). The newest shape, that of version 3.1.2, is
//! written; older ones are read.
//!
//! Invariants:
//! - A source is opened by [`Source`], which never writes; a target through [`Database`].
//! - Every stream has a connection and one read transaction of its own.
//! - A unit is changed in one transaction, together with what is kept beside it.

mod apply;
mod checkpoint;
mod describe;
mod put;
mod query;
mod reading;
pub mod residue;
mod row;
mod scan;
mod segments;
pub mod shape;
mod side;
mod store;
mod units;
mod write;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use restow_store::feed::{Purpose, Stop, blocking, produce};
use restow_store::{Address, Capabilities, Error, Frames, Result, StoreInfo};
use rusqlite::Connection;

use crate::engine::sqlite::source::{Opened, Source};
use crate::engine::sqlite::{Database, failed};

pub use describe::Description;
use units::Fail;

/// LangGraph's checkpoints in an SQLite file.
#[derive(Clone, Debug)]
pub struct LangGraphSqlite {
    info: Arc<StoreInfo>,
    file: File,
}

/// The file, and what may be done with it.
#[derive(Clone, Debug)]
enum File {
    /// It is only read.
    Source(Source),
    /// It is written, too; connections that wait for the next reader are kept.
    ///
    /// Their order matters: only a connection that writes, closed last, folds the WAL back into
    /// the file.
    Target(Arc<Mutex<Vec<Connection>>>, Database),
}

/// A connection for one reader.
enum Reader {
    Source(Opened),
    Target(Option<Connection>, Arc<Mutex<Vec<Connection>>>),
}

const READERS_MAX: usize = 8;

impl LangGraphSqlite {
    /// Opens a file that is only read and leaves nothing behind in its folder.
    ///
    /// Blocks the thread. Refuses a file that does not hold LangGraph's tables.
    pub fn source(path: &Path) -> Result<Self> {
        let source = Source::open(path)?;
        let opened = source.connect()?;
        let shape = shape::recognise(opened.connection())
            .map_err(|e| e.with("file", path.display().to_string()))?;
        if shape.is_none() {
            let message = "the file is an SQLite database, and holds no tables of LangGraph's";
            let kind = restow_store::ErrorKind::Invalid;
            let error = Error::new(kind, "open a database", message);
            return Err(error.with("file", path.display().to_string()));
        }
        Ok(Self { info: info(path), file: File::Source(source) })
    }

    /// Opens a file to write to; makes it where `create` says so. Its tables are made when the
    /// store is prepared.
    ///
    /// Blocks the thread. Refuses a file whose tables only look like LangGraph's.
    pub fn target(path: &Path, create: bool) -> Result<Self> {
        let named = |e: Error| e.with("file", path.display().to_string());
        // Looked at before it is opened to be written to: that alone would change another's file.
        if std::fs::metadata(path).is_ok_and(|about| about.len() > 0) {
            shape::recognise(Source::open(path)?.connect()?.connection()).map_err(named)?;
        }
        let database = Database::open(path, create)?;
        shape::recognise(&database.lock()).map_err(named)?;
        Ok(Self { info: info(path), file: File::Target(Arc::default(), database) })
    }

    fn path(&self) -> &Path {
        match &self.file {
            File::Source(source) => source.path(),
            File::Target(_, database) => database.path(),
        }
    }

    fn reader(&self) -> Result<Reader> {
        match &self.file {
            File::Source(source) => Ok(Reader::Source(source.connect()?)),
            File::Target(idle, database) => {
                let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let connection = kept.map_or_else(|| database.reader(), Ok)?;
                connection.set_prepared_statement_cache_capacity(64);
                Ok(Reader::Target(Some(connection), Arc::clone(idle)))
            }
        }
    }

    /// Reads inside one transaction, on this thread.
    fn read_blocking<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection, &dyn Fn() -> Result<()>) -> Result<T, Fail>,
    ) -> Result<T, Stop> {
        let reader = self.reader()?;
        let check = || reader.check();
        let result = reader.connection(|connection| {
            connection.execute_batch("BEGIN")?;
            let result = work(connection, &check);
            connection.execute_batch("COMMIT")?;
            result
        });
        match result {
            Ok(done) => {
                reader.check()?;
                Ok(done)
            }
            Err(Fail::Stop(stop)) => Err(stop),
            Err(Fail::Sqlite(error)) => {
                // A file that changed below its reader fails in any way; that it changed matters.
                reader.check()?;
                Err(failed(operation, self.path(), error).into())
            }
        }
    }

    /// Reads inside one transaction, on a thread that may block.
    async fn reading<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Fail> + Send + 'static,
    ) -> Result<T> {
        let this = self.clone();
        blocking(operation, move || {
            let done = this.read_blocking(operation, |connection, _| work(connection));
            done.map_err(|stop| match stop {
                Stop::Error(error) => error,
                Stop::Closed => {
                    let kind = restow_store::ErrorKind::Failed;
                    Error::new(kind, operation, "nobody waits for it")
                }
            })
        })
        .await
    }

    /// Streams frames from inside one transaction.
    fn stream(
        &self,
        purpose: Purpose,
        operation: &'static str,
        work: impl FnOnce(
            &Connection,
            &restow_store::feed::FrameSender,
            &dyn Fn() -> Result<()>,
        ) -> Result<(), Fail>
        + Send
        + 'static,
    ) -> Frames {
        let this = self.clone();
        produce(purpose, move |sender| {
            this.read_blocking(operation, |connection, check| work(connection, sender, check))
        })
    }
}

impl Reader {
    fn connection<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Fail>) -> Result<T, Fail> {
        match self {
            Self::Source(opened) => work(opened.connection()),
            Self::Target(Some(connection), _) => work(connection),
            Self::Target(None, _) => Err(Fail::Sqlite(rusqlite::Error::InvalidQuery)),
        }
    }

    fn check(&self) -> Result<()> {
        match self {
            Self::Source(opened) => opened.check(),
            Self::Target(..) => Ok(()),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Self::Target(connection, idle) = self
            && let Some(connection) = connection.take().filter(Connection::is_autocommit)
        {
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < READERS_MAX {
                idle.push(connection);
            }
        }
    }
}

fn info(path: &Path) -> Arc<StoreInfo> {
    let address = Address {
        layout: Some("langgraph".into()),
        engine: Some("sqlite".into()),
        place: path.display().to_string().into(),
    };
    Arc::new(StoreInfo {
        address: address.to_string(),
        layout: "langgraph",
        engine: "sqlite",
        application: Some("LangGraph"),
        capabilities: Capabilities {
            apply_bytes_max: 32 << 20,
            staging: true,
            snapshot_reads: true,
            keeps_digests: false,
            live: false,
            ..Capabilities::default()
        },
    })
}
