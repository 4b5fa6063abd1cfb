//! A move, up to the seal: adopt, stage, copy, lap, verify, seal.

use restow_store::WithoutControl;

use super::{Home, Mover, Next, Protocol, is_sound, plan};
use crate::view::{Filled, Seen, Standing, Status, View};
use crate::{Rule, Step};

impl Protocol {
    /// Decides on the next step of a move.
    pub fn advance(self, mover: Mover, seen: &Seen) -> Next {
        let (source, target) = (seen.at(mover.from), seen.at(mover.from.other()));
        match (self.home(seen), source.control) {
            (Home::At(at), Some(home)) if at == mover.from => {
                self.prepare(mover, &home, source, target)
            }
            (Home::Legacy(at), _) if at == mover.from => Next::Try(self.adopt(at, source)),
            (Home::Sealed(from), _) => self.finish(from, seen),
            (Home::Unclear, _) => Next::Again,
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
            Filled::Claimed(_) if !self.has(Rule::VerifyBeforeSeal) => plan::seal(mover, home),
            Filled::Claimed(digest) if target.staged == Some(digest) => {
                copy.on(Step::Verify, Filled::Verified)
            }
            Filled::Claimed(_) => return Next::Alarm,
            Filled::Verified if self.is_long(source) => lap(),
            Filled::Verified => plan::seal(mover, home),
        })
    }

    /// Whether more than one lap is left behind what the target holds.
    fn is_long(self, source: &View) -> bool {
        source.behind.records > self.lap_records_max && self.has(Rule::SmallLapBeforeSeal)
    }

    /// The next step where the target holds a replica, or nothing: replay, or stage anew.
    fn catch_up(self, mover: Mover, home: &Standing, source: &View, target: &View) -> Next {
        if target.generation().seq == home.generation.seq {
            let sealed = plan::seal(mover, home);
            return if is_sound(home, target) { Next::Try(sealed) } else { Next::Alarm };
        }
        Next::Try(match self.tells(source) {
            true => plan::mirror(mover.from.other(), *home),
            false => plan::stage(mover, home, target),
        })
    }
}
