//! What is done to whole stores: completing, forcing, trimming, and the clients of before.

use crate::actor::Ending;
use crate::machine::{Machine, State};
use crate::port::{Effect, Guard};
use crate::protocol::{Mover, Next, Plan, Seen, exactly};
use crate::state::{Control, Generation, NOTHING, Patch, Status, Store, WithoutControl};
use restow_live::{Rule, Side, Step};

impl Machine {
    /// The next step of completing: the source is closed, left by what is there, retired, purged.
    pub(crate) fn close(&self, mover: Mover, seen: &Seen) -> Next {
        let (source, target) = (&seen.source, &seen.target);
        let closes = |step, effect| Next::Try(Plan::new(step, Side::Source, Guard::Anyhow, effect));
        let is_open = matches!(source.without, WithoutControl::Legacy | WithoutControl::Empty);
        if source.without != WithoutControl::Retired {
            if is_open && self.rules.has(Rule::CloseBeforeRetiring) {
                return closes(Step::Close, Effect::Close);
            }
            let is_there = |store: &Store| store.control.is_some() || store.records != NOTHING;
            let next = match is_there(source) || is_there(target) {
                true => self.protocol().advance(mover, seen),
                false => Next::Stop,
            };
            if next != Next::Stop || self.rules.has(Rule::RetiredSaysSo) {
                return if next == Next::Stop {
                    closes(Step::Retire, Effect::Retire)
                } else {
                    next
                };
            }
        }
        match source.control {
            Some(_) => {
                let guard = exactly(source);
                Next::Try(Plan::new(Step::Purge, Side::Source, guard, Effect::Remove))
            }
            None => Next::Stop,
        }
    }

    /// The target is lost; what the source's replica holds is what is left.
    pub(crate) fn force(&self, state: &mut State, index: usize) {
        state.actors[index].end(Ending::Done);
        let Some(was) = state.source.control.filter(|_| state.target.is(Status::Live)) else {
            return;
        };
        let term = state.target.generation().term.max(was.generation.term) + 1;
        let generation = Generation { term, ..was.generation };
        state.source.control = Some(Control { status: Status::Live, generation, ..was });
        state.target = Store::new(WithoutControl::Retired, NOTHING);
        state.truth.cut(generation.seq, term);
        self.seen.applied(Step::Force);
    }

    pub(crate) fn trim(&self, state: &mut State, index: usize, at: Side) {
        self.apply(state, &Plan::new(Step::Trim, at, Guard::Anyhow, Effect::Forget));
        state.actors[index].end(Ending::Done);
    }

    pub(crate) fn write_unaware(&self, state: &mut State, index: usize, key: u8) {
        let patch = Patch { keys: 1 << key, records: [index as u8 * 2 + 1; 2] };
        state.source.records = patch.onto(state.source.records);
        let source = state.source;
        state.truth.wrote_unaware(&source);
        state.actors[index].end(Ending::Done);
    }
}
