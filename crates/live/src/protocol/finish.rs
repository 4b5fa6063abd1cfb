//! A sealed unit: whoever meets it finishes the move within one lap, or aborts it.

use restow_model::UnitDigest;

use super::{Next, Plan, Protocol, is_fenced, plan};
use crate::view::{Filled, Seen, Standing, Status, View};
use crate::{Rule, Side, Step};

impl Protocol {
    /// Decides on the next step for whoever finds the unit sealed at `from`.
    pub fn finish(self, from: Side, seen: &Seen) -> Next {
        let (source, target) = (seen.at(from), seen.at(from.other()));
        let Some(sealed) = source.control else { return Next::Again };
        let (seq, term) = (sealed.generation.seq, sealed.generation.term);
        if target.is(Status::Live) {
            return Next::Stop;
        }
        if is_fenced(target, term) {
            return Next::Try(self.reopen(from, &sealed));
        }
        if target.generation().term > term {
            return Next::Again;
        }
        if target.staging().is_none() && !self.has(Rule::FenceRaisesTerm) {
            return Next::Try(self.reopen(from, &sealed));
        }
        let Some(digest) = self.ready(target) else {
            return self.abort(from, seen);
        };
        if target.held() == seq || !self.has(Rule::LastLapFirst) {
            let is_same = digest == sealed.digest || target.held() != seq;
            return match is_same || !self.has(Rule::CheckBeforeActivate) {
                true => Next::Try(self.activate(from, &sealed)),
                false => self.abort(from, seen),
            };
        }
        match self.tells(source) && source.behind.records <= self.lap_records_max {
            true => Next::Try(last_lap(from.other(), &sealed, target)),
            false => self.abort(from, seen),
        }
    }

    /// What the target could be activated with: a verified copy, or a replica.
    fn ready(self, target: &View) -> Option<UnitDigest> {
        let Some(staging) = target.staging() else {
            return Some(target.control.map(|control| control.digest).unwrap_or_default());
        };
        match staging.progress {
            Filled::Verified => target.staged,
            Filled::Claimed(_) if !self.has(Rule::VerifyBeforeSeal) => target.staged,
            _ => None,
        }
    }

    fn activate(self, from: Side, sealed: &Standing) -> Plan {
        let raises = u64::from(self.has(Rule::ActivationRaisesTerm));
        plan::live(Step::Activate, from.other(), sealed, raises)
    }

    /// Decides on the first step of an abort: nobody may activate the target any more.
    pub fn abort(self, from: Side, seen: &Seen) -> Next {
        let Some(sealed) = seen.at(from).control else { return Next::Again };
        if !self.has(Rule::AnyoneAborts) {
            return Next::Stuck;
        }
        Next::Try(match self.has(Rule::FenceBeforeReopen) {
            true => self.fence(from.other(), &sealed, seen.at(from.other())),
            false => self.reopen(from, &sealed),
        })
    }

    /// The target keeps the records that it shows, under a term that no activation will have.
    fn fence(self, at: Side, sealed: &Standing, target: &View) -> Plan {
        let raises = self.has(Rule::FenceRaisesTerm);
        let held = target.generation().term;
        plan::fence(at, target, if raises { sealed.generation.term + 1 } else { held })
    }

    fn reopen(self, from: Side, sealed: &Standing) -> Plan {
        let raises = if self.has(Rule::ReopenRaisesTerm) { 2 } else { 0 };
        plan::live(Step::Reopen, from, sealed, raises)
    }
}

/// Replays what is left under the seal.
fn last_lap(to: Side, sealed: &Standing, target: &View) -> Plan {
    let staged = plan::Copy::of(to, target);
    match staged {
        Some(copy) => copy.at(Step::LastLap, sealed.generation.seq, Filled::Verified),
        None => Plan { step: Step::LastLap, ..plan::mirror(to, *sealed) },
    }
}
