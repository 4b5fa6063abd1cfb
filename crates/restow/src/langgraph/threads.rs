//! What a saver stands on.

use async_trait::async_trait;
use restow_model::{Dialect, Key, Record, UnitId};
use restow_store::query::langgraph::LangGraphQuery;
use restow_store::{
    Batch, Current, Error, ErrorKind, Frames, Guard, Op, Result, Selection, Then, UnitOps,
    UnitOutcome, Unsupported,
};
use restow_stores::registry::Opened;

/// The threads of a store, or of the stores of a migration.
#[async_trait]
pub trait Threads: Send + Sync + 'static {
    /// Returns who answers LangGraph's questions.
    fn query(&self) -> &dyn LangGraphQuery;

    /// Says whether a record can be held, without I/O.
    fn check(&self, record: &Record) -> Result<(), Unsupported>;

    /// Reads records of a thread.
    async fn read(&self, thread: &UnitId, what: Selection) -> Result<Frames>;

    /// Applies operations to a thread, all or nothing.
    async fn write(&self, thread: &UnitId, ops: Vec<Op>) -> Result<Written>;

    /// Removes a thread: its bytes, wherever they lie.
    async fn erase(&self, thread: &UnitId) -> Result<()>;
}

/// What became of operations on a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// They were applied.
    Done,
    /// Nothing was done: under this key was not what was expected.
    Unexpected(Key),
    /// Nothing was done: they exceed what may be applied at once.
    TooLarge,
}

/// A store of which no migration is open.
#[async_trait]
impl Threads for Opened {
    fn query(&self) -> &dyn LangGraphQuery {
        &*self.langgraph
    }

    fn check(&self, record: &Record) -> Result<(), Unsupported> {
        self.store.check(record)
    }

    async fn read(&self, thread: &UnitId, what: Selection) -> Result<Frames> {
        self.store.read(vec![thread.clone()], what).await
    }

    async fn write(&self, thread: &UnitId, ops: Vec<Op>) -> Result<Written> {
        let unit = thread.clone();
        let ops = UnitOps::new(unit, Dialect::Python, Guard::Unmanaged, ops, Then::Keep);
        let outcomes = self.store.apply(Batch { units: vec![ops] }).await?;
        let outcome = outcomes.into_iter().next().unwrap_or(UnitOutcome::Indeterminate);
        written(outcome).map_err(|error| error.with("thread", thread.to_string()))
    }

    async fn erase(&self, thread: &UnitId) -> Result<()> {
        match self.write(thread, vec![Op::Clear]).await? {
            Written::Done => Ok(()),
            Written::TooLarge | Written::Unexpected(_) => Err(refused(thread)),
        }
    }
}

/// Says that what cannot be divided exceeds what the store takes.
pub(super) fn refused(thread: &UnitId) -> Error {
    let message = "the store takes no operation of this size";
    let error = Error::new(ErrorKind::Unsupported, "write a thread", message);
    error.with("thread", thread.to_string())
}

/// What is said of a write whose answer was lost.
pub(super) const UNKNOWN: &str =
    "nobody can say whether it was written; writing it again does no harm";

fn written(outcome: UnitOutcome) -> Result<Written> {
    let fail = |kind, message: &str| Err(Error::new(kind, "write a thread", message));
    match outcome {
        UnitOutcome::Applied { .. } | UnitOutcome::AlreadyApplied { .. } => Ok(Written::Done),
        UnitOutcome::Lost(Current::Record(key, _)) => Ok(Written::Unexpected(key)),
        UnitOutcome::Lost(_) => fail(
            ErrorKind::Refused,
            "the thread takes part in a migration; write to it through that migration",
        ),
        UnitOutcome::Indeterminate => fail(ErrorKind::Unavailable, UNKNOWN),
        UnitOutcome::TooLarge => Ok(Written::TooLarge),
        UnitOutcome::Unsupported(Unsupported { key, why }) => {
            let error = Error::new(ErrorKind::Unsupported, "write a thread", why);
            Err(error.with("record", key.to_string()))
        }
        UnitOutcome::Failed(error) => Err(error),
    }
}
