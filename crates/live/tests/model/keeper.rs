//! What is done to whole stores: completing, forcing, trimming, and the clients of before.

use crate::actor::Ending;
use crate::machine::{Machine, State};
use crate::port::{Effect, Guard};
use crate::protocol::{Next, Plan, Seen, exactly};
use crate::state::{Control, Generation, NOTHING, Patch, Status, Store, WithoutControl};
use restow_live::{Rule, Side, Step};

impl Machine {
    /// The next step of completing: the source is retired, then purged.
    pub(crate) fn close(&self, seen: &Seen) -> Next {
        let (source, target) = (&seen.source, &seen.target);
        let is_moved = target.is(Status::Live) && !source.is(Status::Live);
        if source.control.is_none() || !is_moved {
            return Next::Stop;
        }
        let is_retired = source.without == WithoutControl::Retired;
        Next::Try(match is_retired || !self.rules.has(Rule::RetiredSaysSo) {
            true => Plan::new(Step::Purge, Side::Source, exactly(source), Effect::Remove),
            false => Plan::new(Step::Retire, Side::Source, Guard::Anyhow, Effect::Retire),
        })
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
