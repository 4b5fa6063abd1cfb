//! A hand on one unit: looks, tries steps, and keeps nothing from one to the next.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use restow_model::{Control, Dialect, Digest, Token, UnitId};
use restow_store::{
    Batch, Clock, Error, ErrorKind, Guard, Op, Result, Stamp, Then, UnitOps, UnitOutcome,
};

use crate::look::{Look, Looks};
use crate::protocol::{Home, Next, Plan, Protocol};
use crate::view::Status;
use crate::watch::Watch;
use crate::{Pair, Side, Step};

/// How much one batch or lap moves at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// About how many bytes of records.
    pub bytes: usize,
    /// How many records a batch has.
    pub batch_records: usize,
    /// How many records a lap has, unless one write had more.
    pub lap_records: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 4 << 20, batch_records: 4096, lap_records: 4096 }
    }
}

/// Names operations; no name twice, whoever makes them.
#[derive(Debug)]
pub struct OperationIds {
    seed: Digest,
    next: AtomicU64,
}

impl OperationIds {
    /// Names operations after a seed, which nobody else may have.
    pub fn new(seed: &[u8]) -> Self {
        Self { seed: Digest::of(seed), next: AtomicU64::new(0) }
    }

    /// Returns the next name.
    pub fn next(&self) -> Digest {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut bytes = self.seed.as_bytes().to_vec();
        bytes.extend_from_slice(&number.to_be_bytes());
        Digest::of(&bytes)
    }
}

/// What a hand works with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hand<'a> {
    pub(crate) pair: &'a Pair,
    pub(crate) unit: &'a UnitId,
    pub(crate) protocol: Protocol,
    pub(crate) limits: Limits,
    pub(crate) watch: &'a dyn Watch,
    pub(crate) ids: &'a OperationIds,
    pub(crate) clock: &'a dyn Clock,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// It was taken, by us or before us.
    Taken,
    /// What was seen is no longer so, or nobody knows: look again.
    Lost,
    /// It needs more room than one apply has.
    TooLarge,
    /// What was read back is not what was sent.
    Differs,
}

impl Hand<'_> {
    /// Tries a step that was decided on from looks.
    pub(crate) async fn act(&self, plan: &Plan, looks: &Looks) -> Result<Done> {
        match plan.step {
            Step::CopyBatch => self.copy_batch(plan, looks).await,
            Step::Lap | Step::LastLap | Step::Mirror => self.replay(plan, looks).await,
            Step::Verify => self.verify(plan, looks).await,
            _ => self.change_control(plan, looks, looks.dialect(plan.at)).await,
        }
    }

    /// Gives a unit its first control record; one that is not there yet gets a dialect by it.
    pub(crate) async fn adopt(&self, plan: &Plan, looks: &Looks, dialect: Dialect) -> Result<Done> {
        let is_there = looks.at(plan.at).view.has_records;
        let dialect = if is_there { looks.at(plan.at).dialect } else { dialect };
        self.change_control(plan, looks, dialect).await
    }

    /// Changes the control record, and what hangs on it, without moving records.
    async fn change_control(&self, plan: &Plan, looks: &Looks, dialect: Dialect) -> Result<Done> {
        let (here, there) = (looks.at(plan.at), looks.at(plan.at.other()));
        let staged = here.control.as_ref().and_then(Control::staged);
        let token = self.token(staged, plan.step);
        let tombstone = match plan.step {
            Step::Activate => is_tombstone(there),
            // A replica as of an earlier write is what the unit was before it was removed.
            Step::Publish => is_tombstone(there) && plan.now.generation == there.view.generation(),
            Step::Adopt => false,
            _ => is_tombstone(here),
        };
        let control = self.pair.control(plan.at, &plan.now, &token, tombstone);
        let (ops, then) = match (plan.step, staged) {
            (Step::Stage, _) => (vec![Op::Clear], Then::Stage(token)),
            (Step::Activate | Step::Publish, Some(held)) => (vec![], Then::Promote(held.clone())),
            (Step::Fence, Some(held)) => (vec![], Then::Discard(held.clone())),
            _ => (vec![], Then::Keep),
        };
        let ops = UnitOps::new(self.unit.clone(), dialect, self.exactly(plan, here), ops, then);
        let ops = UnitOps { control: Some(Box::new(control)), ..ops };
        self.watch.before(plan.step, plan.at, self.unit).await;
        self.apply(plan.at, ops).await
    }

    /// The name of a staged copy: the one that is there, or a new one for a new copy.
    pub(crate) fn token(&self, staged: Option<&Token>, step: Step) -> Token {
        match staged {
            Some(held) if step != Step::Stage => held.clone(),
            _ => Token::new(format!("{:.16}", self.ids.next())),
        }
    }

    /// The guard that a step stands under: the unit is exactly as it was seen.
    pub(crate) fn exactly(&self, plan: &Plan, seen: &Look) -> Guard {
        match &seen.control {
            Some(control) => Guard::Exactly(Stamp::Control(Box::new(control.clone()))),
            None if plan.step == Step::Adopt && seen.view.has_records => Guard::Unmanaged,
            None => Guard::Absent,
        }
    }

    /// Applies operations under a name of their own.
    pub(crate) async fn apply(&self, at: Side, ops: UnitOps) -> Result<Done> {
        self.apply_as(at, ops, self.ids.next()).await
    }

    /// Applies operations under a name.
    pub(crate) async fn apply_as(&self, at: Side, ops: UnitOps, op_id: Digest) -> Result<Done> {
        match self.send(at, UnitOps { op_id: Some(op_id), ..ops }).await? {
            UnitOutcome::Applied { .. } | UnitOutcome::AlreadyApplied { .. } => Ok(Done::Taken),
            UnitOutcome::Lost(_) | UnitOutcome::Indeterminate => Ok(Done::Lost),
            UnitOutcome::TooLarge => Ok(Done::TooLarge),
            UnitOutcome::Failed(error) if error.kind() == ErrorKind::Retired => {
                self.pair.says(at).await?;
                Ok(Done::Lost)
            }
            UnitOutcome::Failed(error) => Err(error.with("unit", self.unit.as_str())),
            UnitOutcome::Unsupported(why) => {
                let message = "the store cannot hold a record";
                let error = Error::new(ErrorKind::Unsupported, "move a unit", message);
                Err(error.with("unit", self.unit.as_str()).because(why))
            }
        }
    }

    /// Sends operations; whatever the store says of them.
    pub(crate) async fn send(&self, at: Side, ops: UnitOps) -> Result<UnitOutcome> {
        let mut outcomes = self.pair.store(at).apply(Batch { units: vec![ops] }).await?;
        outcomes.pop().ok_or_else(|| {
            Error::new(ErrorKind::Failed, "apply operations", "the store gave no outcome")
        })
    }

    /// Lets others go first, longer each time.
    pub(crate) async fn pause(&self, tries: u32) {
        match tries {
            0 => {}
            1..4 => tokio::task::yield_now().await,
            _ => self.clock.sleep(Duration::from_millis(tries.min(50).into())).await,
        }
    }

    /// Says that a unit changes faster than it can be looked at.
    pub(crate) fn changes(&self, operation: &'static str) -> Error {
        let message = "the unit changes faster than it can be looked at; try again";
        let error = Error::new(ErrorKind::Unavailable, operation, message);
        error.with("unit", self.unit.as_str())
    }

    /// Takes the next step for a unit that was seen sealed: finishes its move, or aborts it.
    ///
    /// The sealed store is looked at last, so that what is read of it is newer than all that the
    /// other one holds.
    pub(crate) async fn help(&self, from: Side, looks: &Looks) -> Result<()> {
        let again;
        let looks = match looks.first() == from.other() {
            true => looks,
            false => {
                again = self.look_at_both(from.other()).await?;
                &again
            }
        };
        if self.protocol.home(&looks.seen()) != Home::Sealed(from) {
            return Ok(());
        }
        let Next::Try(plan) = self.protocol.finish(from, &looks.seen()) else { return Ok(()) };
        match self.act(&plan, looks).await? {
            Done::TooLarge | Done::Differs => self.abort(from, looks).await,
            Done::Taken | Done::Lost => Ok(()),
        }
    }

    /// Takes the first step of giving a sealed move up.
    pub(crate) async fn abort(&self, from: Side, looks: &Looks) -> Result<()> {
        if let Next::Try(plan) = self.protocol.abort(from, &looks.seen()) {
            self.act(&plan, looks).await?;
        }
        Ok(())
    }
}

/// Says whether what a store holds of a unit is that it was removed.
pub(crate) fn is_tombstone(look: &Look) -> bool {
    look.control.as_ref().is_some_and(|control| control.tombstone)
}

/// Says whether a store is the unit's home.
pub(crate) fn is_live(look: &Look) -> bool {
    look.view.is(Status::Live)
}
