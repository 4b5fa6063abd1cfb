//! PostgreSQL: connections, transactions, bulk loading and errors.
//!
//! Everything blocks its thread: work runs where [`restow_store::feed`] puts what may block, as
//! with SQLite.
//!
//! Invariants:
//! - Whatever is sent belongs to an explicit transaction, and nothing outlives it: no session
//!   setting, no named statement, no session lock. So a pooler in transaction mode can stand
//!   between.
//! - A connection that failed is never used again.

pub mod copy_in;
pub mod error;
pub mod registers;
pub mod settings;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use postgres::{Client, IsolationLevel, Transaction};
use restow_store::feed::{Closed, Stop, blocking};
use restow_store::{Error, ErrorKind, Result};

pub use settings::Settings;

/// How many idle connections are kept for the next transaction.
const IDLE_MAX: usize = 8;

/// Rows are looked up by key, whatever the server believes about tables that were never analysed.
const READ_PLAN: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; \
                         SET LOCAL enable_mergejoin = off; SET LOCAL jit = off";

/// Why work in a transaction stopped.
#[derive(Debug)]
pub enum Fail {
    /// PostgreSQL or the connection failed.
    Postgres(postgres::Error),
    /// The stream is closed, or it failed otherwise.
    Stop(Stop),
}

impl From<postgres::Error> for Fail {
    fn from(error: postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<Stop> for Fail {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<Closed> for Fail {
    fn from(closed: Closed) -> Self {
        Self::Stop(closed.into())
    }
}

impl From<Error> for Fail {
    fn from(error: Error) -> Self {
        Self::Stop(error.into())
    }
}

/// A server and a database on it, with connections that are made when they are needed.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    settings: Settings,
    idle: Mutex<Vec<Client>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let idle = std::mem::take(self.idle.get_mut().unwrap_or_else(PoisonError::into_inner));
        if !idle.is_empty() {
            // Closing a connection blocks, and the last owner may be a task that must not.
            std::thread::spawn(move || drop(idle));
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.0.settings.shown())
    }
}

impl Server {
    /// Names a server; nothing is connected yet.
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(Inner { settings, idle: Mutex::new(Vec::new()) }))
    }

    /// Returns how the server is reached.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Reads inside one transaction that sees one moment of the database.
    ///
    /// Blocks the thread.
    pub fn read<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, Fail>,
    ) -> Result<T, Stop> {
        self.transaction(operation, true, work)
    }

    /// Writes inside one transaction, which is committed when the work returns `Ok`.
    ///
    /// Blocks the thread. An error of kind `Unavailable` leaves open whether it was committed.
    pub fn write<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, Fail>,
    ) -> Result<T, Stop> {
        self.transaction(operation, false, work)
    }

    /// Runs work that blocks on a thread that may.
    pub async fn run<T, F>(&self, operation: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Server) -> Result<T, Stop> + Send + 'static,
    {
        let this = self.clone();
        blocking(operation, move || {
            work(&this).map_err(|stop| match stop {
                Stop::Error(error) => error,
                Stop::Closed => Error::new(ErrorKind::Failed, operation, "nobody waits for it"),
            })
        })
        .await
    }

    /// Turns an error of PostgreSQL's into the port's, naming this server.
    pub fn failed(&self, operation: &'static str, error: postgres::Error) -> Error {
        error::failed(operation, error).with("server", self.0.settings.shown())
    }

    fn transaction<T>(
        &self,
        operation: &'static str,
        is_read: bool,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, Fail>,
    ) -> Result<T, Stop> {
        let failed = |error| Stop::Error(self.failed(operation, error));
        let mut client = self.connection(operation)?;
        let level = match is_read {
            true => IsolationLevel::RepeatableRead,
            false => IsolationLevel::ReadCommitted,
        };
        let mut tx = client
            .build_transaction()
            .isolation_level(level)
            .read_only(is_read)
            .start()
            .map_err(failed)?;
        tx.batch_execute(READ_PLAN).map_err(failed)?;
        let done = work(&mut tx);
        let ended = match (&done, is_read) {
            (Ok(_), false) => tx.commit(),
            _ => tx.rollback(),
        };
        match (done, ended) {
            (Ok(_), Err(error)) => Err(failed(error)),
            (Err(Fail::Postgres(error)), _) => Err(failed(error)),
            (Err(Fail::Stop(stop)), ended) => {
                if ended.is_ok() {
                    self.give_back(client);
                }
                Err(stop)
            }
            (Ok(value), Ok(())) => {
                self.give_back(client);
                Ok(value)
            }
        }
    }

    fn connection(&self, operation: &'static str) -> Result<Client> {
        let idle = |inner: &Inner| {
            inner.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
        };
        while let Some(client) = idle(&self.0) {
            if !client.is_closed() {
                return Ok(client);
            }
        }
        self.0.settings.connect(operation)
    }

    fn give_back(&self, client: Client) {
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(client);
        }
    }
}
