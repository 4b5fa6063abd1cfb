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
//! - A server that was there once is waited for, within bounds; one that never was is not.

pub mod alone;
mod connect;
mod conninfo;
pub mod control;
pub mod copy_in;
pub mod error;
pub mod journal;
mod passfile;
pub mod pieces;
pub mod registers;
mod service;
pub mod settings;
mod tls;
mod transaction;
mod trust;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{BlockingRetryable as _, ExponentialBuilder};
use postgres::Client;
use restow_store::feed::{Stop, blocking};
use restow_store::{Error, ErrorKind, Result};

pub use settings::Settings;
pub use transaction::Transaction;

/// How many idle connections are kept for the next transaction.
const IDLE_MAX: usize = 8;

/// Why work in a transaction stopped.
pub type Fail = super::fail::Fail<postgres::Error>;

impl From<postgres::Error> for Fail {
    fn from(error: postgres::Error) -> Self {
        Self::Engine(error)
    }
}

/// A server and a database on it, with connections that are made when they are needed.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    settings: Settings,
    idle: Mutex<Vec<Client>>,
    was_there: AtomicBool,
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
        let (idle, was_there) = (Mutex::new(Vec::new()), AtomicBool::new(false));
        Self(Arc::new(Inner { settings, idle, was_there }))
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
        self.0.settings.failed(operation, error)
    }

    fn transaction<T, F>(&self, operation: &'static str, is_read: bool, work: F) -> Result<T, Stop>
    where
        F: FnOnce(&mut Transaction<'_>) -> Result<T, Fail>,
    {
        let mut work = work;
        while let Some(client) = self.idle() {
            match self.attempt(client, operation, is_read, work) {
                Begun::Ended(result) => return result,
                // A server or a pooler may have ended it meanwhile; nothing was done yet.
                Begun::Not(_, unused) => work = unused,
            }
        }
        match self.attempt(self.connect(operation)?, operation, is_read, work) {
            Begun::Ended(result) => result,
            Begun::Not(error, _) => Err(self.failed(operation, error).into()),
        }
    }

    fn attempt<T, F>(
        &self,
        mut client: Client,
        operation: &'static str,
        is_read: bool,
        work: F,
    ) -> Begun<T, F>
    where
        F: FnOnce(&mut Transaction<'_>) -> Result<T, Fail>,
    {
        let settings = self.0.settings.begin_with(is_read);
        let mut tx = match Transaction::begin(&mut client, is_read, settings) {
            Ok(tx) => tx,
            Err(error) => return Begun::Not(error, work),
        };
        let done = work(&mut tx);
        let ended = match (&done, is_read) {
            (Ok(_), false) => tx.commit(),
            _ => tx.rollback(),
        };
        if ended.is_ok() && !matches!(done, Err(Fail::Engine(_))) {
            self.give_back(client);
        }
        Begun::Ended(match (done, ended) {
            (Err(Fail::Stop(stop)), _) => Err(stop),
            (Err(Fail::Engine(error)), _) => Err(self.stopped(operation, is_read, error)),
            (Ok(_), Err(error)) => Err(self.stopped(operation, is_read, error)),
            (Ok(value), Ok(())) => Ok(value),
        })
    }

    fn stopped(&self, operation: &'static str, is_read: bool, error: postgres::Error) -> Stop {
        let user = self.0.settings.config.get_user().unwrap_or("CURRENT_USER");
        let grant = error::grant(&error, is_read, user);
        let error = self.failed(operation, error);
        Stop::Error(match grant {
            Some(grant) => error.with("statement", grant),
            None => error,
        })
    }

    fn idle(&self) -> Option<Client> {
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| idle.pop()).find(|client| !client.is_closed())
    }

    fn connection(&self, operation: &'static str) -> Result<Client> {
        self.idle().map_or_else(|| self.connect(operation), Ok)
    }

    fn connect(&self, operation: &'static str) -> Result<Client> {
        let settings = &self.0.settings;
        let connect = || settings.connect(operation);
        let connected = match self.0.was_there.load(Ordering::Relaxed) {
            false => connect(),
            true => connect.retry(pauses(settings.wait)).when(Error::is_retryable).call(),
        };
        self.0.was_there.fetch_or(connected.is_ok(), Ordering::Relaxed);
        connected
    }

    fn give_back(&self, client: Client) {
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(client);
        }
    }
}

/// What became of work: done or failed, or never begun and still to be had.
enum Begun<T, F> {
    Ended(Result<T, Stop>),
    Not(postgres::Error, F),
}

/// Pauses between attempts to reach a server, which together last so long.
fn pauses(wait: Duration) -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(2))
        .with_factor(1.5)
        .without_max_times()
        .with_total_delay(Some(wait))
}
