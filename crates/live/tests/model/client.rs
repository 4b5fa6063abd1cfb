//! Clients: writers, which help where they have to, and readers, which never change anything.

use crate::actor::{Ending, Phase, Role, Task, Writer};
use crate::coverage::Event;
use crate::machine::{Machine, Mirrors, State};
use crate::port::{Effect, Guard};
use crate::protocol::{Next, Plan, Seen};
use crate::state::{Entry, Generation, Patch, Records, Status, Store};
use restow_live::{Rule, Side, Step, protocol::Home};

impl Machine {
    fn writer(&self, index: usize) -> Writer {
        match self.actors[index].role {
            Role::Writer(writer) => writer,
            _ => Writer { keys: &[0], removes: false, retries: true },
        }
    }

    /// An actor's write at a store, decided on at a generation.
    fn write_plan(&self, state: &State, index: usize, at: Side, saw: Generation) -> Plan {
        let (writer, made) = (self.writer(index), state.actors[index].made);
        let op = index as u8 * 2 + made + 1;
        let record = if writer.removes { 0 } else { op };
        let patch = Patch { keys: writer.keys[usize::from(made)], records: [record; 2] };
        let has = |rule| self.rules.has(rule);
        let is_guarded = has(Rule::WritesAreGuarded) && has(Rule::HomeIsInTheStores);
        let guard = if is_guarded { Guard::LiveAt(saw) } else { Guard::Anyhow };
        Plan::new(Step::Write, at, guard, Effect::Write(op, patch, saw))
    }

    pub(crate) fn write_at_first(&self, state: &mut State, index: usize, at: Side, view: Store) {
        let is_home = view.is(Status::Live) && self.rules.has(Rule::AuthorityFirst);
        let writes = is_home || !self.rules.has(Rule::HomeIsInTheStores);
        state.actors[index].phase = match writes {
            true => Phase::Act(self.write_plan(state, index, at, view.generation())),
            false => Phase::Other(view),
        };
    }

    pub(crate) fn write_or_help(&self, state: &State, index: usize, seen: &Seen) -> Next {
        let protocol = self.protocol();
        match protocol.home(seen) {
            Home::At(at) => {
                let plan = self.write_plan(state, index, at, seen.at(at).generation());
                Next::Try(self.mirror_too_early(seen, &plan).unwrap_or(plan))
            }
            Home::Legacy(at) => Next::Try(protocol.adopt(at, seen)),
            Home::Sealed(_) if !self.rules.has(Rule::AnyoneHelps) => Next::Stuck,
            Home::Sealed(_) | Home::Unclear => Next::Again,
        }
    }

    pub(crate) fn help(&self, from: Side, seen: &Seen) -> Next {
        match self.protocol().finish(from, seen) {
            Next::Stop => Next::Again,
            next => next,
        }
    }

    /// With the rule removed, the mirror is written before the home.
    fn mirror_too_early(&self, seen: &Seen, write: &Plan) -> Option<Plan> {
        let Effect::Write(op, patch, saw) = write.apply.effect else { return None };
        let (home, replica) = (seen.at(write.at), seen.at(write.at.other()));
        let is_current = replica.is(Status::Copy) && replica.generation() == saw;
        if self.rules.has(Rule::AuthorityFirst) || !is_current {
            return None;
        }
        let mut early = Store { records: patch.onto(home.records), ..*home };
        let entry = Entry { seq: saw.seq + 1, op, keys: patch.keys };
        early.journal.push(entry);
        early.control.as_mut()?.generation.seq = entry.seq;
        self.protocol().mirror(write.at.other(), &early, replica)
    }

    /// A write is in the store: its mirror and its answer come next.
    pub(crate) fn wrote(&self, state: &mut State, index: usize, at: Side, wrote: Generation) {
        let waits = self.world.mirrors == Mirrors::Both && self.rules.has(Rule::MirrorBeforeAnswer);
        if !waits {
            state.truth.answer(wrote.seq);
        }
        match self.world.mirrors {
            Mirrors::None => self.written(state, index),
            _ => state.actors[index].look(Task::Mirror(at, wrote)),
        }
    }

    fn written(&self, state: &mut State, index: usize) {
        let actor = &mut state.actors[index];
        actor.made += 1;
        match usize::from(actor.made) < self.writer(index).keys.len() {
            true => actor.look(Task::Main),
            false => actor.end(Ending::Done),
        }
    }

    pub(crate) fn mirror(
        &self,
        state: &mut State,
        index: usize,
        at: Side,
        wrote: Generation,
        seen: &Seen,
    ) {
        let (home, replica) = (seen.at(at), seen.at(at.other()));
        if let Some(plan) = self.protocol().mirror(at.other(), home, replica) {
            return state.actors[index].phase = Phase::Act(plan);
        }
        let has_it = replica.is(Status::Live) || replica.generation() >= wrote;
        // Only the source is what a rollback goes back to; the target's copy may lag.
        let is_enough = self.world.mirrors != Mirrors::Both || at == Side::Source || has_it;
        if is_enough {
            state.truth.answer(wrote.seq);
            return self.written(state, index);
        }
        let is_sealed = home.is(Status::Sealed);
        let next = if is_sealed { self.help(at, seen) } else { Next::Again };
        self.follow(state, index, next);
    }

    pub(crate) fn read_at_first(&self, state: &mut State, index: usize, view: Store) {
        let is_home = view.is(Status::Live) || view.is_legacy();
        let is_body = view.is(Status::Sealed) && !self.rules.has(Rule::SealedBodyAfterBothLooks);
        match is_home || is_body {
            true => self.read(state, index, view.records),
            false => state.actors[index].phase = Phase::Other(view),
        }
    }

    pub(crate) fn read_home(&self, state: &mut State, index: usize, seen: &Seen) {
        let home = self.protocol().home(seen);
        if matches!(home, Home::Sealed(_)) {
            self.seen.happened(Event::SealedRead);
        }
        match home {
            Home::At(side) | Home::Legacy(side) | Home::Sealed(side) => {
                self.read(state, index, seen.at(side).records);
            }
            Home::Unclear => state.actors[index].phase = Phase::Look,
        }
    }

    fn read(&self, state: &mut State, index: usize, records: Records) {
        let floor = state.actors[index].floor.unwrap_or(0);
        state.truth.read(floor, records);
        state.actors[index].end(Ending::Done);
    }
}

/// Answers that are lost, and writes that come late.
impl Machine {
    pub(crate) fn lose_answer(&self, state: &mut State, index: usize) -> Option<()> {
        let Phase::Act(plan) = state.actors[index].phase else { return None };
        self.apply(state, &plan);
        self.miss_answer(state, index, &plan);
        Some(())
    }

    pub(crate) fn delay(&self, state: &mut State, index: usize) -> Option<()> {
        let Phase::Act(plan) = state.actors[index].phase else { return None };
        state.actors[index].in_flight = Some(plan);
        self.miss_answer(state, index, &plan);
        Some(())
    }

    pub(crate) fn deliver(&self, state: &mut State, index: usize) -> Option<()> {
        let plan = state.actors[index].in_flight.take()?;
        self.apply(state, &plan);
        Some(())
    }

    fn miss_answer(&self, state: &mut State, index: usize, plan: &Plan) {
        let Effect::Write(op, _, saw) = plan.apply.effect else { return };
        let actor = &mut state.actors[index];
        match self.rules.has(Rule::LostIsNotFailed) {
            true => actor.look(Task::ReadBack(plan.at, saw)),
            false => actor.end(Ending::Failed(op)),
        }
    }

    /// What became of a write whose answer is missing: made, not made, or nobody can say.
    pub(crate) fn read_back(
        &self,
        state: &mut State,
        index: usize,
        at: Side,
        saw: Generation,
        view: &Store,
    ) {
        let plan = self.write_plan(state, index, at, saw);
        let Effect::Write(op, ..) = plan.apply.effect else { return };
        let now = view.generation();
        if let Some(entry) = view.journal.find(op) {
            self.seen.happened(Event::FoundWrite);
            let wrote = Generation { seq: entry.seq, ..saw };
            return self.wrote(state, index, at, wrote);
        }
        let tells_all = now >= saw && view.journal.tells(saw.seq, now.seq);
        if !tells_all {
            self.seen.happened(Event::Indeterminate);
            return state.actors[index].end(Ending::Indeterminate);
        }
        // While the store is live at the term, a write that is under way may still be made there.
        if view.is(Status::Live) && now.term == saw.term {
            return state.actors[index].phase = Phase::Act(plan);
        }
        self.seen.happened(Event::UnmadeWrite);
        match self.writer(index).retries {
            true => state.actors[index].look(Task::Main),
            false => state.actors[index].end(Ending::Failed(op)),
        }
    }
}
