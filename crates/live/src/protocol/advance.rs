//! A move, up to the seal: adopt, stage, copy, lap, verify, seal.

use restow_store::WithoutControl;

use super::{Goal, Home, Mover, Next, Plan, Protocol, is_sound, plan};
use crate::view::{Filled, Seen, Standing, Status, View};
use crate::{Rule, Side, Step};

impl Protocol {
    /// Decides on the next step of a move.
    pub fn advance(self, mover: Mover, seen: &Seen) -> Next {
        let (source, target) = (seen.at(mover.from), seen.at(mover.from.other()));
        match (self.home(seen), source.control) {
            (Home::At(at), Some(home)) if at == mover.from => {
                self.prepare(mover, &home, source, target)
            }
            // Where it stays as well: what has no control record cannot be marked.
            (Home::Legacy(at), _) if at == mover.from || mover.goal == Goal::LastHome => {
                Next::Try(self.adopt(at, seen))
            }
            (Home::At(at), _) if mover.goal == Goal::LastHome => self.mark(mover, at, target),
            (Home::Sealed(from), _) => self.finish(from, seen),
            (Home::Unclear, _) => Next::Again,
            _ => Next::Stop,
        }
    }

    /// The unit is where it is to stay.
    fn mark(self, mover: Mover, at: Side, home: &View) -> Next {
        match home.control {
            Some(home) if home.epoch < mover.epoch && self.has(Rule::MarkBeforeRetiring) => {
                Next::Try(plan::mark(at, &home, mover.epoch))
            }
            _ => Next::Stop,
        }
    }

    /// The next step towards the seal: the source is live.
    fn prepare(self, mover: Mover, home: &Standing, source: &View, target: &View) -> Next {
        let is_stale = mover.epoch < home.epoch && self.has(Rule::EpochOnlyRises);
        if is_stale || target.without == WithoutControl::Retired {
            return Next::Stop;
        }
        if target.is(Status::Live) || target.generation() > home.generation {
            return Next::Again;
        }
        let (to, tells) = (mover.from.other(), self.tells(source));
        let Some(copy) = plan::Copy::of(to, target) else {
            return self.catch_up(mover, home, source, target);
        };
        let lap = || match tells {
            // A lap may be stored wrongly like any batch, so what was verified is so no longer.
            true => copy.at(Step::Lap, home.generation.seq, Filled::Claimed(home.digest)),
            false => plan::stage(mover, home, target),
        };
        Next::Try(match copy.staging.progress {
            Filled::Partly => copy.on(Step::CopyBatch, Filled::Partly),
            Filled::Wholly => lap(),
            Filled::Claimed(_) if !self.has(Rule::VerifyBeforeSeal) => {
                self.ready_for(mover, home, &copy, target)
            }
            Filled::Claimed(digest) if target.staged == Some(digest) => {
                copy.on(Step::Verify, Filled::Verified)
            }
            Filled::Claimed(_) => return Next::Alarm,
            Filled::Verified if mover.goal != Goal::Replica && self.is_long(source) => lap(),
            Filled::Verified => self.ready_for(mover, home, &copy, target),
        })
    }

    /// What to do with a copy that is good: let it be a replica, or seal its source.
    ///
    /// Activating a copy may move every record of it, and its writers wait meanwhile; a replica
    /// stands where the home's records are to be.
    fn ready_for(self, mover: Mover, home: &Standing, copy: &plan::Copy, target: &View) -> Plan {
        let is_large = target.staged.is_some_and(|copy| copy.records > self.promoted_records_max);
        match mover.goal == Goal::Replica || is_large {
            true => plan::publish(home, copy),
            false => plan::seal(mover, home),
        }
    }

    /// Whether more than one lap is left behind what the target holds.
    fn is_long(self, source: &View) -> bool {
        source.behind.records > self.lap_records_max && self.has(Rule::SmallLapBeforeSeal)
    }

    /// The next step where the target holds a replica, or nothing: replay, stage anew, or seal.
    fn catch_up(self, mover: Mover, home: &Standing, source: &View, target: &View) -> Next {
        if target.generation().seq == home.generation.seq {
            return match mover.goal {
                _ if !is_sound(home, target) => Next::Alarm,
                Goal::Replica if target.generation() == home.generation => Next::Stop,
                Goal::Replica => Next::Try(plan::mirror(mover.from.other(), *home)),
                Goal::Home | Goal::LastHome => Next::Try(plan::seal(mover, home)),
            };
        }
        // Behind an abort it is replayed to first, so that what it holds is compared.
        let is_near = target.generation().term == home.generation.term && !self.is_long(source);
        Next::Try(match self.tells(source) {
            true if is_near && mover.goal != Goal::Replica => plan::seal(mover, home),
            true => plan::mirror(mover.from.other(), *home),
            false => plan::stage(mover, home, target),
        })
    }
}
