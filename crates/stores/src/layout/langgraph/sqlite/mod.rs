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
mod changes;
mod checkpoint;
mod control;
mod describe;
mod large;
mod put;
mod query;
mod reading;
pub mod residue;
mod row;
mod scan;
mod segments;
pub mod shape;
mod side;
mod stage;
mod store;
mod units;
mod write;

use std::path::Path;
use std::sync::Arc;

use restow_store::feed::{Purpose, Stop, blocking, produce};
use restow_store::{Address, Capabilities, Error, Frames, Result, StoreInfo};
use rusqlite::{Connection, TransactionBehavior};

use crate::engine::sqlite::files::{Files, Moment};
use crate::engine::sqlite::source::Source;
use crate::engine::sqlite::{Database, look_before};

pub use describe::Description;
use reading::Reading;
use side::ACTIVE;
use units::Fail;

/// LangGraph's checkpoints in an SQLite file.
#[derive(Clone, Debug)]
pub struct LangGraphSqlite {
    info: Arc<StoreInfo>,
    files: Files,
}

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
        Ok(Self { info: info(path), files: Files::read(source) })
    }

    /// Opens a file to write to; makes it where `create` says so. Its tables are made when the
    /// store is prepared.
    ///
    /// Blocks the thread. Refuses a file whose tables only look like LangGraph's.
    pub fn target(path: &Path, create: bool) -> Result<Self> {
        let named = |e: Error| e.with("file", path.display().to_string());
        // Looked at before it is opened to be written to: that alone would change another's file.
        if std::fs::metadata(path).is_ok_and(|about| about.len() > 0) {
            look_before(path, |connection| {
                let shape = shape::recognise(connection).map_err(named)?;
                if shape.is_none() && shape::is_another_s(connection).map_err(named)? {
                    let message = "the file holds another database; name a new file";
                    let kind = restow_store::ErrorKind::Refused;
                    return Err(named(Error::new(kind, "open a database", message)));
                }
                Ok(())
            })?;
        }
        let database = Database::open(path, create)?;
        shape::recognise(&database.lock()).map_err(named)?;
        Ok(Self { info: info(path), files: Files::written(database) })
    }

    /// Reads inside one transaction, on this thread.
    fn read_blocking<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Moment<'_>) -> Result<T, Fail>,
    ) -> Result<T, Stop> {
        self.files.look(operation, work)?.map_err(|fail| match fail {
            Fail::Stop(stop) => stop,
            Fail::Engine(error) => self.files.failed(operation, error).into(),
        })
    }

    /// Reads inside one transaction, on a thread that may block.
    async fn reading<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Fail> + Send + 'static,
    ) -> Result<T> {
        let this = self.clone();
        blocking(operation, move || {
            let done = this.read_blocking(operation, |moment| work(moment.connection));
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

    /// Answers a question of the application's from inside one transaction.
    async fn asking<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut Reading<'_>) -> Result<T, Fail> + Send + 'static,
    ) -> Result<T> {
        self.reading(operation, move |connection| {
            control::not_retired(connection, operation)?;
            work(&mut Reading::new(connection, &ACTIVE)?)
        })
        .await
    }

    /// Changes the file inside one transaction, on a thread that may block.
    async fn writing<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Fail> + Send + 'static,
    ) -> Result<T> {
        let database = self.files.database()?.clone();
        blocking(operation, move || {
            let mut connection = database.lock();
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
            this.read_blocking(operation, |moment| {
                work(moment.connection, sender, &|| moment.check())
            })
        })
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
            live: true,
            ..Capabilities::default()
        },
    })
}
