//! The port as the protocol needs it: one conditional apply at one store, all or nothing.

use crate::state::{
    BOTH_KEYS, Control, Entry, Generation, Journal, NOTHING, Patch, Progress, Status, Store,
    WithoutControl,
};
use restow_live::{Rule, Rules, Side};

/// What must hold, in the same transaction as the effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Guard {
    /// The control record is the one seen. The records are compared only where a rule is removed.
    Exactly(Option<Control>, [u8; 2]),
    /// The store is live at a term, and its journal tells every write since the seq seen.
    LiveAt(Generation),
    /// Nothing; only where a rule is removed.
    Anyhow,
}

/// What becomes of the unit in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Effect {
    /// The visible records and the control record change; a staged copy goes.
    Set(Patch, Control),
    /// An empty staged copy is opened, or one is added to.
    Stage(Patch, Control),
    /// The staged copy becomes the unit; without control record only where a rule is removed.
    Promote(Option<Control>),
    /// One write more in the chain: by which operation, of what, behind which generation.
    Write(u8, Patch, Generation),
    /// The unit goes, control record and all.
    Remove,
    /// No unit begins at the store any more.
    Close,
    /// The store's part is over.
    Retire,
    /// The journal is forgotten.
    Forget,
}

/// A conditional apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Apply {
    pub(crate) guard: Guard,
    pub(crate) effect: Effect,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Applied,
    /// The journal knows the operation, as the write of this generation's seq.
    Known(Generation),
    Lost,
}

impl Store {
    /// Applies, or changes nothing.
    pub(crate) fn apply(&mut self, side: Side, apply: &Apply, rules: Rules) -> Outcome {
        let retired = self.without == WithoutControl::Retired && rules.has(Rule::RetiredSaysSo);
        if retired && apply.effect != Effect::Remove {
            return Outcome::Lost;
        }
        let begins = apply.guard == Guard::Exactly(None, NOTHING);
        if self.without == WithoutControl::Closed && begins {
            return Outcome::Lost;
        }
        if let Some(known) =
            self.knows(&apply.effect).filter(|_| rules.has(Rule::OperationsAreKnown))
        {
            return Outcome::Known(known);
        }
        if !self.holds(&apply.guard, rules) {
            return Outcome::Lost;
        }
        self.take_effect(side, &apply.effect, rules);
        Outcome::Applied
    }

    fn knows(&self, effect: &Effect) -> Option<Generation> {
        let Effect::Write(op, ..) = effect else { return None };
        let entry = self.journal.find(*op)?;
        Some(Generation { term: self.generation().term, seq: entry.seq })
    }

    fn holds(&self, guard: &Guard, rules: Rules) -> bool {
        match guard {
            Guard::Exactly(seen, records) => match (self.control, seen) {
                _ if !rules.has(Rule::GuardSeesControl) => self.records == *records,
                (Some(now), Some(seen)) if !rules.has(Rule::GuardSeesState) => {
                    now.generation == seen.generation
                }
                (Some(now), Some(seen)) if !rules.has(Rule::GuardSeesPosition) => {
                    blind_to_position(now) == blind_to_position(*seen)
                }
                (now, seen) => now == *seen,
            },
            Guard::LiveAt(seen) => {
                let now = self.generation();
                let reaches = self.journal.tells(seen.seq, now.seq);
                self.is(Status::Live)
                    && now.term == seen.term
                    && (reaches || !rules.has(Rule::WriteSaysWhatItSaw))
            }
            Guard::Anyhow => true,
        }
    }

    fn take_effect(&mut self, side: Side, effect: &Effect, rules: Rules) {
        match *effect {
            Effect::Set(patch, control) => {
                self.records = patch.onto(self.records);
                self.control = Some(control);
                self.staged = None;
            }
            Effect::Stage(patch, control) => {
                let opened = matches!(control.status, Status::Staging(s)
                    if s.progress == Progress::Copied(0));
                let held = if opened { NOTHING } else { self.staged.unwrap_or(NOTHING) };
                self.staged = Some(patch.onto(held));
                self.control = Some(control);
            }
            Effect::Promote(control) => {
                self.records = self.staged.take().unwrap_or(self.records);
                self.control = control.or(self.control);
            }
            Effect::Write(op, patch, seen) => self.write(side, op, patch, seen, rules),
            Effect::Remove => {
                *self = Self::new(self.without, NOTHING);
            }
            Effect::Close => self.without = WithoutControl::Closed,
            Effect::Retire => {
                if rules.has(Rule::RetiredSaysSo) {
                    self.without = WithoutControl::Retired;
                }
            }
            Effect::Forget => self.journal = Journal::default(),
        }
    }

    fn write(&mut self, side: Side, op: u8, patch: Patch, seen: Generation, rules: Rules) {
        let was = if self.is(Status::Live) { self.generation() } else { seen };
        let generation = Generation { term: was.term.max(1), seq: was.seq + 1 };
        let epoch = self.control.map_or(0, |control| control.epoch);
        self.control = Some(Control { status: Status::Live, generation, epoch, store: side });
        self.records = patch.onto(self.records);
        self.journal.push(Entry { seq: generation.seq, op, keys: patch.keys });
        let removed = patch == Patch { keys: BOTH_KEYS, records: NOTHING };
        if removed && !rules.has(Rule::TombstonesStay) {
            *self = Self::new(self.without, NOTHING);
        }
    }
}

/// The control record as a guard on the token alone sees it.
fn blind_to_position(mut control: Control) -> Control {
    if let Status::Staging(staging) = &mut control.status {
        staging.base = 0;
        staging.progress = Progress::Verified;
    }
    control
}
