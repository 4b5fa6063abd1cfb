//! A move, up to the seal: adopt, stage, copy, lap, verify, seal.

use restow_live::Step;

use super::{Home, LAP_MAX, Mover, Next, Plan, Protocol, Seen, exactly};
use crate::port::{Effect, Guard};
use crate::rules::Rule;
use crate::state::{Control, Patch, Progress, Staging, Status, Store, WithoutControl};

/// How many batches a staging takes: one a record.
const BATCHES: u8 = 2;

impl Protocol {
    /// The next step of a move.
    pub(crate) fn advance(self, mover: Mover, seen: &Seen) -> Next {
        let (source, target) = (seen.at(mover.from), seen.at(mover.from.other()));
        match (self.home(seen), source.control) {
            (Home::At(at), Some(home)) if at == mover.from => {
                self.prepare(mover, home, source, target)
            }
            (Home::Legacy(at), _) if at == mover.from => Next::Try(self.adopt(at, source)),
            (Home::Sealed(from), _) => self.finish(from, seen),
            (Home::Unclear, _) => Next::Again,
            _ => Next::Stop,
        }
    }

    /// The next step towards the seal: the source is live.
    fn prepare(self, mover: Mover, home: Control, source: &Store, target: &Store) -> Next {
        let is_stale = mover.epoch < home.epoch && self.has(Rule::EpochOnlyRises);
        if is_stale || target.without == WithoutControl::Retired {
            return Next::Stop;
        }
        if target.is(Status::Live) || target.generation() > home.generation {
            return Next::Again;
        }
        let Some(staging) = target.staging() else {
            return self.catch_up(mover, home, source, target);
        };
        match staging.progress {
            Progress::Copied(batch) if batch < BATCHES => {
                self.copy_batch(mover, batch, source, target)
            }
            Progress::Copied(_) => self.lap(mover, staging, source, target),
            Progress::Claimed(_) if !self.has(Rule::VerifyBeforeSeal) => {
                self.seal(mover, home, source)
            }
            Progress::Claimed(digest) if target.staged == Some(digest) => {
                let position = (None, Progress::Verified);
                self.add(Step::Verify, mover, Patch::default(), position, target)
            }
            Progress::Claimed(_) => Next::Alarm,
            Progress::Verified => {
                let left = home.generation.seq.saturating_sub(staging.base);
                match left > LAP_MAX && self.has(Rule::SmallLapBeforeSeal) {
                    true => self.lap(mover, staging, source, target),
                    false => self.seal(mover, home, source),
                }
            }
        }
    }

    /// The next step where the target holds a replica, or nothing: replay, or stage anew.
    fn catch_up(self, mover: Mover, home: Control, source: &Store, target: &Store) -> Next {
        let held = target.generation().seq;
        if held == home.generation.seq {
            let is_sound = target.records == source.records;
            return if is_sound { self.seal(mover, home, source) } else { Next::Alarm };
        }
        Next::Try(match self.replay(source, held) {
            Some(patch) => Plan::mirror(mover.from.other(), patch, source, target),
            None => Plan::stage(mover, source, target),
        })
    }

    fn copy_batch(self, mover: Mover, batch: u8, source: &Store, target: &Store) -> Next {
        let patch = Patch { keys: 1 << batch, records: source.records };
        let at_last = batch + 1 == BATCHES && !self.has(Rule::BaseBeforeCopy);
        let base = at_last.then(|| source.generation().seq);
        let position = (base, Progress::Copied(batch + 1));
        self.add(Step::CopyBatch, mover, patch, position, target)
    }

    /// Replays to the staged copy; a gap in the journal means to stage anew.
    fn lap(self, mover: Mover, staging: Staging, source: &Store, target: &Store) -> Next {
        let Some(patch) = self.replay(source, staging.base) else {
            return Next::Try(Plan::stage(mover, source, target));
        };
        // A lap may be stored wrongly like any batch, so what was verified is so no longer.
        let position = (Some(source.generation().seq), Progress::Claimed(source.records));
        self.add(Step::Lap, mover, patch, position, target)
    }

    fn add(
        self,
        step: Step,
        mover: Mover,
        patch: Patch,
        position: (Option<u8>, Progress),
        target: &Store,
    ) -> Next {
        let plan = Plan::restage(step, mover.from.other(), patch, position, target);
        plan.map_or(Next::Again, Next::Try)
    }

    fn seal(self, mover: Mover, home: Control, source: &Store) -> Next {
        let control = Control { status: Status::Sealed, epoch: mover.epoch, ..home };
        let is_exact = self.has(Rule::SealIsExact);
        let guard = if is_exact { exactly(source) } else { Guard::Anyhow };
        let effect = Effect::Set(Patch::default(), control);
        Next::Try(Plan::new(Step::Seal, mover.from, guard, effect))
    }
}
