//! Writes: at the home, once, and known afterwards.

use std::sync::Arc;

use restow_model::{Dialect, Digest, Generation, Key};
use restow_store::{Current, Error, ErrorKind, Guard, Op, Result, Then, UnitOps, UnitOutcome};

use crate::hand::{Hand, is_live};
use crate::look::Look;
use crate::protocol::Home;
use crate::view::Status;
use crate::{Side, Step};

/// So many times a write is tried where others are faster, or a unit is on its way.
const TRIES: u32 = 400;

/// So many looks wait for a copy that is being staged: some five seconds.
const STAGED_TRIES: u32 = 200;

/// A write, as it is made and repeated.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) dialect: Dialect,
    pub(crate) ops: Arc<[Op]>,
    /// A write of records, or the removal of all of them.
    pub(crate) then: Then,
    pub(crate) op_id: Digest,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    /// It is in the store, as the write of this generation.
    Made(Side, Generation),
    /// An expectation did not hold; the key, and the digest of what is there. Nothing was written.
    Conflict(Key, Option<Digest>),
    /// It exceeds what the store applies at once. Nothing was written; divide it.
    TooLarge,
    /// Nobody can say whether it was made: its answer was lost, and so was the account of it.
    Indeterminate,
}

/// How an attempt at the home went.
enum Tried {
    Over(Written),
    /// It was not made: look again.
    Lost,
    /// Its answer is missing.
    Missing(Option<Error>),
}

impl Hand<'_> {
    /// Writes at the unit's home, wherever that is by then; `first` is the store to look at first.
    pub(crate) async fn write(&self, first: Side, write: &Write) -> Result<Written> {
        for tries in 0..TRIES {
            self.pause(tries / 4).await;
            let Some((at, saw)) = self.find_home(first, write.dialect).await? else { continue };
            match self.try_write(at, saw, write).await? {
                Tried::Over(written) => return Ok(written),
                Tried::Lost => {}
                Tried::Missing(cause) => {
                    if let Some(written) = self.read_back(at, saw, write, cause).await? {
                        return Ok(written);
                    }
                }
            }
        }
        Err(self.changes("write a unit"))
    }

    /// Finds the store that is live, and its generation; where the unit is on its way, or has no
    /// control record yet, takes the next step and finds nothing.
    async fn find_home(&self, first: Side, dialect: Dialect) -> Result<Option<(Side, Generation)>> {
        let found = |at, look: &Look| Ok(Some((at, look.view.generation())));
        let look = match self.look(first, None).await {
            Ok(look) if is_live(&look) => return found(first, &look),
            // The home may be the other one: at most one store is live.
            Err(error) if error.is_retryable() => {
                return match self.look(first.other(), None).await {
                    Ok(other) if is_live(&other) => found(first.other(), &other),
                    _ => Err(error),
                };
            }
            look => look?,
        };
        let looks = self.look_at_other(first, look).await?;
        match self.protocol.home(&looks.seen()) {
            Home::At(at) => return found(at, looks.at(at)),
            Home::Legacy(at) => {
                let plan = self.protocol.adopt(at, &looks.seen());
                self.adopt(&plan, &looks, dialect).await?;
            }
            Home::Sealed(from) => self.help(from, &looks).await?,
            Home::Unclear => {}
        }
        Ok(None)
    }

    async fn try_write(&self, at: Side, saw: Generation, write: &Write) -> Result<Tried> {
        let guard = Guard::LiveAt { term: saw.term, since: saw.seq };
        let ops = UnitOps {
            unit: self.unit.clone(),
            dialect: write.dialect,
            guard,
            ops: Arc::clone(&write.ops),
            then: write.then.clone(),
            control: None,
            op_id: Some(write.op_id),
        };
        self.watch.before(Step::Write, at, self.unit).await;
        let outcome = match self.send(at, ops).await {
            Ok(outcome) => outcome,
            Err(error) if error.kind() == ErrorKind::Retired => return Ok(Tried::Lost),
            Err(error) if error.is_retryable() => return Ok(Tried::Missing(Some(error))),
            Err(error) => return Err(error),
        };
        let made = |generation: Option<Generation>| {
            Tried::Over(Written::Made(at, generation.unwrap_or(saw)))
        };
        Ok(match outcome {
            UnitOutcome::Applied { generation, .. } => made(generation),
            UnitOutcome::AlreadyApplied { generation } => made(generation),
            UnitOutcome::Lost(Current::Record(key, is)) => Tried::Over(Written::Conflict(key, is)),
            UnitOutcome::Lost(_) => Tried::Lost,
            UnitOutcome::Indeterminate => Tried::Missing(None),
            UnitOutcome::TooLarge => Tried::Over(Written::TooLarge),
            UnitOutcome::Unsupported(why) => {
                let error = self.refused("the store cannot hold a record", ErrorKind::Unsupported);
                return Err(error.because(why));
            }
            UnitOutcome::Failed(error) if error.kind() == ErrorKind::Retired => Tried::Lost,
            UnitOutcome::Failed(error) if error.is_retryable() => Tried::Missing(Some(error)),
            UnitOutcome::Failed(error) => return Err(error),
        })
    }

    /// Finds out what became of a write whose answer is missing; nothing where it was not made.
    async fn read_back(
        &self,
        at: Side,
        saw: Generation,
        write: &Write,
        mut cause: Option<Error>,
    ) -> Result<Option<Written>> {
        for tries in 0..TRIES {
            self.pause(tries / 4).await;
            let look = match self.look(at, Some(saw.seq)).await {
                Ok(look) => look,
                Err(error) if error.is_retryable() => {
                    cause = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Some(entries) = &look.entries else { return Ok(Some(Written::Indeterminate)) };
            if let Some(entry) = entries.iter().find(|entry| entry.op_id == Some(write.op_id)) {
                let generation = Generation { seq: entry.seq, ..saw };
                return Ok(Some(Written::Made(at, generation)));
            }
            let now = look.view.generation();
            if !(look.view.is(Status::Live) && now.term == saw.term) {
                // It was never made, and will never be: the term does not come back.
                return Ok(None);
            }
            // It may still be under way, so it is sent again under its name.
            if let Tried::Over(written) = self.try_write(at, saw, write).await? {
                return Ok(Some(written));
            }
        }
        match cause {
            Some(error) => {
                let message = "the store did not answer a write, and nobody can say yet whether \
                               it was made; repeat it under the same operation id";
                let lost = Error::new(ErrorKind::Unavailable, "write a unit", message);
                Err(lost.with("unit", self.unit.as_str()).because(error))
            }
            None => Ok(Some(Written::Indeterminate)),
        }
    }

    /// Brings the other store's replica up to a write; says whether it holds it now.
    ///
    /// A replica that only a mover can mend, and a copy that is being staged, are left alone. Where
    /// it `must` hold it, a move that is in the way is finished first, and a copy that is being
    /// staged is waited for, for a while: whoever stages it may be gone.
    pub(crate) async fn mirror(&self, at: Side, wrote: Generation, must: bool) -> Result<bool> {
        for tries in 0..TRIES {
            self.pause(tries / 4).await;
            let looks = self.look_at_both(at.other()).await?;
            let (home, replica) = (&looks.at(at).view, &looks.at(at.other()).view);
            if let Some(plan) = self.protocol.mirror(at.other(), home, replica) {
                self.act(&plan, &looks).await?;
                continue;
            }
            if replica.is(Status::Live) || replica.generation() >= wrote {
                return Ok(true);
            }
            let is_staged = replica.staging().is_some() && tries < STAGED_TRIES;
            match home.is(Status::Sealed) {
                true if must => self.help(at, &looks).await?,
                false if must && is_staged => {}
                _ => return Ok(false),
            }
        }
        Err(self.changes("mirror a unit"))
    }

    /// Brings the other store's replica up to what the home holds by now; says whether it is.
    pub(crate) async fn mirror_now(&self, first: Side) -> Result<bool> {
        let looks = self.look_at_both(first).await?;
        match self.protocol.home(&looks.seen()) {
            Home::At(at) => self.mirror(at, looks.at(at).view.generation(), false).await,
            _ => Ok(false),
        }
    }

    fn refused(&self, message: &str, kind: ErrorKind) -> Error {
        Error::new(kind, "write a unit", message).with("unit", self.unit.as_str())
    }
}
