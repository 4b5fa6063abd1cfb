//! Moves: forward on first access or by a sweep, and back. One function.

use restow_store::{Error, ErrorKind, Result};

use crate::hand::{Done, Hand, is_live};
use crate::look::Looks;
use crate::protocol::{Goal, Home, Mover, Next, Plan};
use crate::view::Status;
use crate::{Side, Step};

/// How a move ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// The unit lives at the store that it was to move to.
    There,
    /// A later epoch has moved the unit, or its counterpart is retired: it stays.
    Stays,
    /// The unit stays, and the other store holds a replica of it.
    Copied,
}

/// So many looks may fail to fit together, or steps be lost, before others are let go first.
const TRIES: u32 = 200;

impl Hand<'_> {
    /// Moves the unit away from a store, to its end.
    ///
    /// A unit that is not there begins at the other store from now on.
    /// Whatever it was interrupted by, and whoever else moves or writes the unit meanwhile, it may
    /// be called again. Where the move cannot be made, the unit is not left sealed by it.
    pub(crate) async fn move_from(&self, mover: Mover) -> Result<Moved> {
        let (mut tries, mut protocol) = (0, self.protocol);
        loop {
            // The target first: then what is read of the source is newer than all it holds.
            let looks = self.look_at_both(mover.from.other()).await?;
            if let Home::Sealed(from) = self.protocol.home(&looks.seen())
                && from != mover.from
            {
                self.help(from, &looks).await?;
                continue;
            }
            let done = match protocol.advance(mover, &looks.seen()) {
                Next::Try(plan) => match self.act(&plan, &looks).await {
                    Ok(done) => {
                        if done == Done::TooLarge {
                            // No replica can follow such writes; a staged copy can, in pieces.
                            protocol.promoted_records_max = u64::MAX;
                        }
                        self.settle(&plan, &looks, mover, done).await?
                    }
                    Err(error) => return Err(self.leave_writable(mover, error).await),
                },
                Next::Again => Done::Lost,
                Next::Stop => return Ok(self.ended(mover, &looks)),
                Next::Alarm => return Err(self.differs(&looks)),
                Next::Stuck => return Err(self.changes("move a unit")),
            };
            tries = if done == Done::Lost { tries + 1 } else { 0 };
            if tries == TRIES {
                return Err(self.changes("move a unit"));
            }
            self.pause(tries).await;
        }
    }

    /// What a step's end means for the move.
    async fn settle(&self, plan: &Plan, looks: &Looks, mover: Mover, done: Done) -> Result<Done> {
        match (done, plan.step) {
            (Done::Differs, _) => Err(self.differs(looks)),
            // What a replay has no room for is copied in batches.
            (Done::TooLarge, Step::Mirror) => {
                let home = looks.at(mover.from).view.control;
                let Some(home) = home else { return Ok(Done::Lost) };
                let target = &looks.at(plan.at).view;
                let stage = self.protocol.stage(mover, &home, target);
                self.act(&stage, looks).await
            }
            (Done::TooLarge, Step::LastLap) => {
                self.abort(plan.at.other(), looks).await?;
                Ok(Done::Taken)
            }
            (Done::TooLarge, _) => {
                let message = "a batch exceeds what the store applies at once";
                let error = Error::new(ErrorKind::Failed, "move a unit", message);
                Err(error.with("unit", self.unit.as_str()))
            }
            (done, _) => Ok(done),
        }
    }

    /// A target that is full, busy or refuses a record must not cost the application its unit.
    async fn leave_writable(&self, mover: Mover, error: Error) -> Error {
        let Ok(looks) = self.look_at_both(mover.from).await else { return error };
        if let Home::Sealed(from) = self.protocol.home(&looks.seen()) {
            // Whoever writes next tries the same again where this fails as well.
            drop(self.abort(from, &looks).await);
            if let Ok(looks) = self.look_at_both(from).await {
                drop(self.help(from, &looks).await);
            }
        }
        error
    }

    fn ended(&self, mover: Mover, looks: &Looks) -> Moved {
        let (home, other) = (looks.at(mover.from), looks.at(mover.from.other()));
        let is_replica = other.view.is(Status::Copy) && is_live(home);
        match mover.goal {
            _ if is_live(other) => Moved::There,
            Goal::Replica if is_replica && home.view.generation() == other.view.generation() => {
                Moved::Copied
            }
            _ => Moved::Stays,
        }
    }

    fn differs(&self, looks: &Looks) -> Error {
        let message = "the store does not hold what was sent to it; the unit stays where it is, \
                       check the store before it is moved again";
        let at = Side::BOTH.into_iter().find(|side| !looks.at(*side).view.is(Status::Live));
        let at = at.unwrap_or(Side::Target);
        let error = Error::new(ErrorKind::Damaged, "move a unit", message);
        let error = error.with("unit", self.unit.as_str());
        error.with("store", &self.pair.store(at).info().address)
    }
}
