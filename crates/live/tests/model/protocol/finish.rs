//! A sealed unit: whoever meets it finishes the move within one lap, or aborts it.

use restow_live::Step;

use super::plan::live;
use super::{LAP_MAX, Next, Plan, Protocol, Seen, exactly, is_fenced};
use crate::port::Effect;
use crate::rules::Rule;
use crate::state::{Control, Generation, Patch, Progress, Records, Side, Status, Store};

impl Protocol {
    /// The next step for whoever finds the unit sealed at `from`.
    pub(crate) fn finish(self, from: Side, seen: &Seen) -> Next {
        let (source, target) = (seen.at(from), seen.at(from.other()));
        let (sealed, held) = (source.generation(), target.generation());
        if target.is(Status::Live) {
            return Next::Stop;
        }
        if is_fenced(target, sealed.term) {
            return Next::Try(self.reopen(from, source));
        }
        if held.term > sealed.term {
            return Next::Again;
        }
        if target.staging().is_none() && !self.has(Rule::FenceRaisesTerm) {
            return Next::Try(self.reopen(from, source));
        }
        let Some((seq, records)) = self.ready(target) else {
            return self.abort(from, seen);
        };
        if seq == sealed.seq || !self.has(Rule::LastLapFirst) {
            let is_same = records == source.records || seq != sealed.seq;
            return match is_same || !self.has(Rule::CheckBeforeActivate) {
                true => Next::Try(self.activate(from, source, target)),
                false => self.abort(from, seen),
            };
        }
        let last_lap = self.last_lap(from, seq, source, target);
        last_lap.map_or_else(|| self.abort(from, seen), Next::Try)
    }

    /// What the target could be activated with, and up to which seq it holds it.
    fn ready(self, target: &Store) -> Option<(u8, Records)> {
        let Some(staging) = target.staging() else {
            return Some((target.generation().seq, target.records));
        };
        match staging.progress {
            Progress::Verified => Some((staging.base, target.staged?)),
            Progress::Claimed(_) if !self.has(Rule::VerifyBeforeSeal) => {
                Some((staging.base, target.staged?))
            }
            _ => None,
        }
    }

    /// Replays what is left under the seal; nothing where that is more than a lap.
    fn last_lap(self, from: Side, held: u8, source: &Store, target: &Store) -> Option<Plan> {
        let sealed = source.generation().seq;
        let patch = self.replay(source, held).filter(|_| sealed.saturating_sub(held) <= LAP_MAX)?;
        if target.staging().is_some() {
            let position = (Some(sealed), Progress::Verified);
            return Plan::restage(Step::LastLap, from.other(), patch, position, target);
        }
        let plan = Plan::mirror(from.other(), patch, source, target);
        Some(Plan { step: Step::LastLap, ..plan })
    }

    fn activate(self, from: Side, source: &Store, target: &Store) -> Plan {
        let raises = u8::from(self.has(Rule::ActivationRaisesTerm));
        let control = live(from.other(), source, raises);
        if target.staged.is_none() {
            return Plan::control(Step::Activate, from.other(), target, control);
        }
        let in_one_step = self.has(Rule::OneStepActivation);
        let effect = Effect::Promote(in_one_step.then_some(control));
        Plan::new(Step::Activate, from.other(), exactly(target), effect)
    }

    /// The first step of an abort: nobody may activate the target any more.
    pub(crate) fn abort(self, from: Side, seen: &Seen) -> Next {
        let (source, target) = (seen.at(from), seen.at(from.other()));
        if !self.has(Rule::AnyoneAborts) {
            return Next::Stuck;
        }
        Next::Try(match self.has(Rule::FenceBeforeReopen) {
            true => self.fence(from, source, target),
            false => self.reopen(from, source),
        })
    }

    /// The target keeps the records that it shows, under a term that no activation will have.
    fn fence(self, from: Side, source: &Store, target: &Store) -> Plan {
        let held = target.generation();
        let raises = self.has(Rule::FenceRaisesTerm);
        let term = if raises { source.generation().term + 1 } else { held.term };
        let control = Control {
            status: Status::Copy,
            generation: Generation { term, ..held },
            epoch: target.control.map_or(0, |control| control.epoch),
            store: from.other(),
        };
        let effect = Effect::Set(Patch::default(), control);
        Plan::new(Step::Fence, from.other(), exactly(target), effect)
    }

    fn reopen(self, from: Side, source: &Store) -> Plan {
        let raises = if self.has(Rule::ReopenRaisesTerm) { 2 } else { 0 };
        Plan::control(Step::Reopen, from, source, live(from, source, raises))
    }
}
