//! Actors: each looks, decides and tries one step, and begins again.

use restow_live::Step;

use crate::machine::{Machine, Mirrors, State};
use crate::port::{Apply, Effect, Guard, Outcome};
use crate::protocol::{Home, Mover, Next, Plan, Seen};
use crate::rules::Rule;
use crate::state::{Generation, NOTHING, Patch, Records, Side, Status, Store};

/// What an actor is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Makes writes: of these keys each, the last one a removal where `removes` says so.
    Writer { keys: [u8; 2], count: u8, removes: bool },
    Reader,
    Mover(Mover),
    /// Completes the migration: retires the source, then purges it.
    Closer,
    /// Makes the source's replica the home, because the target is lost.
    Forcer,
    /// Forgets the journal of a store.
    Trimmer(Side),
    /// Writes to the source and knows nothing of control records.
    Unaware { key: u8 },
}

/// An actor as a configuration names it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    /// The store that it looks at first; for clients, the hint of the percentage.
    pub(crate) first: Side,
}

/// Where an actor stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Actor {
    pub(crate) task: Task,
    pub(crate) phase: Phase,
    /// How many writes it has made.
    pub(crate) made: u8,
    /// The last seq when its read began.
    floor: Option<u8>,
    /// A write that it waits for no longer, and that may still arrive.
    pub(crate) in_flight: Option<Plan>,
}

/// What an actor is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Task {
    Main,
    /// Finding out what became of a write at a store, decided on at a generation.
    ReadBack(Side, Generation),
    /// Bringing the mirror up to a write that the home at a side made.
    Mirror(Side, Generation),
}

/// How far its turn has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    Look,
    /// Has seen the control record and one record of the first store.
    Half(Store),
    /// Has seen the first store.
    Other(Store),
    /// Has seen the first store, and the control record and one record of the other.
    OtherHalf(Store, Store),
    /// Has decided.
    Act(Plan),
    Over(Ending),
}

/// How an actor ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ending {
    Done,
    Crashed,
    /// Found what it must not touch.
    Refused,
    /// Found that a store does not hold what was sent to it.
    Alarmed,
    /// Said that a write has failed.
    Failed(u8),
    /// Said that nobody can tell whether a write was made.
    Indeterminate,
    /// Could not write, and nobody could change that.
    Stuck,
}

impl Default for Actor {
    fn default() -> Self {
        Self { task: Task::Main, phase: Phase::Look, made: 0, floor: None, in_flight: None }
    }
}

impl Actor {
    pub(crate) fn end(&mut self, ending: Ending) {
        *self = Self { phase: Phase::Over(ending), in_flight: self.in_flight, ..Self::default() };
    }

    pub(crate) fn look(&mut self, task: Task) {
        (self.task, self.phase) = (task, Phase::Look);
    }
}

impl Machine {
    /// The actor's own turn.
    pub(crate) fn step(&self, state: &mut State, index: usize) -> Option<()> {
        let spec = &self.actors[index];
        match spec.role {
            Role::Forcer => self.force(state, index),
            Role::Trimmer(side) => self.trim(state, index, side),
            Role::Unaware { key } => self.write_unaware(state, index, key),
            _ => self.turn(state, index),
        }
        Some(())
    }

    /// The store that an actor looks at first.
    pub(crate) fn first(&self, index: usize, task: Task) -> Side {
        match (task, self.actors[index].role) {
            (Task::ReadBack(side, _) | Task::Mirror(side, _), _) => side,
            (Task::Main, Role::Mover(mover)) if self.rules.has(Rule::TargetFirst) => {
                mover.from.other()
            }
            (Task::Main, _) => self.actors[index].first,
        }
    }

    fn turn(&self, state: &mut State, index: usize) {
        let actor = &mut state.actors[index];
        let first = self.first(index, actor.task);
        if actor.phase == Phase::Look && self.actors[index].role == Role::Reader {
            actor.floor = actor.floor.or(Some(state.truth.last_seq()));
        }
        let pieces = self.world.reads_in_pieces;
        match state.actors[index].phase {
            Phase::Look if pieces => state.actors[index].phase = Phase::Half(*state.at(first)),
            Phase::Look => self.saw_first(state, index, first, *state.at(first)),
            Phase::Half(began) => match self.join(&began, state.at(first)) {
                Some(view) => self.saw_first(state, index, first, view),
                None => state.actors[index].phase = Phase::Look,
            },
            Phase::Other(view) if pieces => {
                state.actors[index].phase = Phase::OtherHalf(view, *state.at(first.other()));
            }
            Phase::Other(view) => {
                let other = *state.at(first.other());
                self.saw_both(state, index, first, view, other);
            }
            Phase::OtherHalf(view, began) => match self.join(&began, state.at(first.other())) {
                Some(other) => self.saw_both(state, index, first, view, other),
                None => state.actors[index].phase = Phase::Other(view),
            },
            Phase::Act(plan) => self.act(state, index, &plan),
            Phase::Over(_) => {}
        }
    }

    /// Two halves of a read are one if the control record is the same at both ends.
    fn join(&self, began: &Store, ended: &Store) -> Option<Store> {
        let is_one = began.control == ended.control || !self.rules.has(Rule::ReadOneGeneration);
        let records = [began.records[0], ended.records[1]];
        is_one.then_some(Store { records, ..*ended })
    }

    fn saw_first(&self, state: &mut State, index: usize, side: Side, view: Store) {
        let next = match (self.actors[index].role, state.actors[index].task) {
            (_, Task::ReadBack(at, saw)) => return self.read_back(state, index, at, saw, &view),
            (_, Task::Mirror(..)) => None,
            (Role::Writer { .. }, _) => self.write_at_first(state, index, side, &view),
            (Role::Reader, _) => return self.read_at_first(state, index, side, view),
            _ => None,
        };
        state.actors[index].phase = next.unwrap_or(Phase::Other(view));
    }

    fn saw_both(&self, state: &mut State, index: usize, first: Side, view: Store, other: Store) {
        let seen = Seen::new(first, view, other);
        if let Task::Mirror(home, generation) = state.actors[index].task {
            return self.mirror(state, index, home, generation, &seen);
        }
        let protocol = self.protocol();
        if Side::BOTH.into_iter().any(|side| protocol.is_foreign(side, seen.at(side))) {
            return state.actors[index].end(Ending::Refused);
        }
        let next = match self.actors[index].role {
            Role::Writer { .. } => self.write_or_help(state, index, &seen),
            Role::Reader => return self.read_home(state, index, &seen),
            Role::Mover(mover) => protocol.advance(mover, &seen),
            _ => self.close(&seen),
        };
        self.follow(state, index, next);
    }

    fn follow(&self, state: &mut State, index: usize, next: Next) {
        let actor = &mut state.actors[index];
        match next {
            Next::Try(plan) => actor.phase = Phase::Act(plan),
            Next::Again => actor.phase = Phase::Look,
            Next::Stop => actor.end(Ending::Done),
            Next::Alarm => actor.end(Ending::Alarmed),
            Next::Stuck => actor.end(Ending::Stuck),
        }
    }

    fn act(&self, state: &mut State, index: usize, plan: &Plan) {
        let outcome = self.apply(state, plan);
        if plan.step != Step::Write {
            return state.actors[index].phase = Phase::Look;
        }
        match outcome {
            Outcome::Applied => {
                let generation =
                    Generation { seq: state.truth.last_seq(), ..state.at(plan.at).generation() };
                self.wrote(state, index, plan.at, generation);
            }
            Outcome::Known(generation) => self.wrote(state, index, plan.at, generation),
            // A write that may be under way was not refused: its fate is looked up again.
            Outcome::Lost => state.actors[index].phase = Phase::Look,
        }
    }

    /// A mover gives up a move whose source it sees sealed.
    pub(crate) fn abort(&self, state: &mut State, index: usize) -> Option<()> {
        let (spec, actor) = (&self.actors[index], &state.actors[index]);
        let (Role::Mover(mover), Phase::Other(view)) = (spec.role, actor.phase) else {
            return None;
        };
        let first = self.first(index, actor.task);
        let seen = Seen::new(first, view, *state.at(first.other()));
        let is_sealed = seen.at(mover.from).is(Status::Sealed);
        let Next::Try(plan) = self.protocol().finish(mover.from, &seen) else { return None };
        let ends = matches!(plan.step, Step::LastLap | Step::Activate);
        if !is_sealed || !ends {
            return None;
        }
        let next = self.protocol().abort(mover.from, &seen);
        self.follow(state, index, next);
        Some(())
    }
}

/// Clients: writers and readers.
impl Machine {
    fn write_plan(&self, state: &State, index: usize, at: Side, seen: Generation) -> Plan {
        let made = state.actors[index].made;
        let op = index as u8 * 2 + made + 1;
        let (keys, record) = match self.actors[index].role {
            Role::Writer { keys, count, removes } if removes && made + 1 == count => {
                (keys[usize::from(made)], 0)
            }
            Role::Writer { keys, .. } => (keys[usize::from(made)], op),
            _ => (0, 0),
        };
        let patch = Patch { keys, records: [record; 2] };
        let is_guarded =
            self.rules.has(Rule::WritesAreGuarded) && self.rules.has(Rule::HomeIsInTheStores);
        let guard = if is_guarded { Guard::LiveAt(seen) } else { Guard::Anyhow };
        let apply = Apply { guard, effect: Effect::Write(op, patch, seen) };
        Plan { step: Step::Write, at, apply }
    }

    fn write_at_first(&self, state: &State, index: usize, at: Side, view: &Store) -> Option<Phase> {
        if self.protocol().is_foreign(at, view) {
            return Some(Phase::Over(Ending::Refused));
        }
        let is_home = view.is(Status::Live) && self.rules.has(Rule::AuthorityFirst);
        let by_hint = !self.rules.has(Rule::HomeIsInTheStores);
        let writes = is_home || by_hint;
        writes.then(|| Phase::Act(self.write_plan(state, index, at, view.generation())))
    }

    fn write_or_help(&self, state: &State, index: usize, seen: &Seen) -> Next {
        let protocol = self.protocol();
        match protocol.home(seen) {
            Home::At(at) => {
                let plan = self.write_plan(state, index, at, seen.at(at).generation());
                Next::Try(self.mirror_too_early(seen, &plan).unwrap_or(plan))
            }
            Home::Legacy(at) => Next::Try(protocol.adopt(at, seen.at(at))),
            Home::Sealed(_) if !self.rules.has(Rule::AnyoneHelps) => Next::Stuck,
            Home::Sealed(from) => match protocol.finish(from, seen) {
                Next::Stop => Next::Again,
                next => next,
            },
            Home::Unclear => Next::Again,
        }
    }

    /// With the rule removed, the mirror is written before the home.
    fn mirror_too_early(&self, seen: &Seen, write: &Plan) -> Option<Plan> {
        let Effect::Write(_, patch, saw) = write.apply.effect else { return None };
        let (home, replica) = (seen.at(write.at), seen.at(write.at.other()));
        let is_current = replica.is(Status::Copy) && replica.generation() == saw;
        if self.rules.has(Rule::AuthorityFirst) || !is_current {
            return None;
        }
        let mut early = *home;
        early.control = home.control.map(|mut control| {
            control.generation.seq += 1;
            control
        });
        early.records = patch.onto(home.records);
        early.journal.push(crate::state::Entry { seq: saw.seq + 1, op: 0, keys: patch.keys });
        self.protocol().mirror(write.at.other(), &early, replica)
    }

    /// A write is in the store: its mirror and its answer come next.
    fn wrote(&self, state: &mut State, index: usize, at: Side, generation: Generation) {
        let waits = self.world.mirrors == Mirrors::Both && self.rules.has(Rule::MirrorBeforeAnswer);
        if !waits {
            state.truth.answer(generation.seq);
        }
        match self.world.mirrors {
            Mirrors::None => self.answered(state, index),
            _ => state.actors[index].look(Task::Mirror(at, generation)),
        }
    }

    fn answered(&self, state: &mut State, index: usize) {
        let actor = &mut state.actors[index];
        actor.made += 1;
        match self.actors[index].role {
            Role::Writer { count, .. } if actor.made < count => actor.look(Task::Main),
            _ => actor.end(Ending::Done),
        }
    }

    fn mirror(&self, state: &mut State, index: usize, at: Side, wrote: Generation, seen: &Seen) {
        let (home, replica) = (seen.at(at), seen.at(at.other()));
        if let Some(plan) = self.protocol().mirror(at.other(), home, replica) {
            return state.actors[index].phase = Phase::Act(plan);
        }
        let has_it = replica.is(Status::Live) || replica.generation() >= wrote;
        // Only the source is what a rollback goes back to; the target's copy may lag.
        let is_enough = self.world.mirrors != Mirrors::Both || at == Side::Source || has_it;
        if is_enough {
            state.truth.answer(wrote.seq);
            return self.answered(state, index);
        }
        let next = match home.is(Status::Sealed) {
            true => self.protocol().finish(at, seen),
            false => Next::Again,
        };
        let next = if next == Next::Stop { Next::Again } else { next };
        self.follow(state, index, next);
    }

    fn read_at_first(&self, state: &mut State, index: usize, side: Side, view: Store) {
        let is_home = view.is(Status::Live) || view.is_legacy();
        let is_body = view.is(Status::Sealed) && !self.rules.has(Rule::SealedBodyAfterBothLooks);
        if self.protocol().is_foreign(side, &view) {
            return state.actors[index].end(Ending::Refused);
        }
        match is_home || is_body {
            true => self.read(state, index, view.records),
            false => state.actors[index].phase = Phase::Other(view),
        }
    }

    fn read_home(&self, state: &mut State, index: usize, seen: &Seen) {
        match self.protocol().home(seen) {
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
    fn read_back(&self, state: &mut State, i: usize, at: Side, saw: Generation, view: &Store) {
        let plan = self.write_plan(state, i, at, saw);
        let Effect::Write(op, ..) = plan.apply.effect else { return };
        if let Some(entry) = view.journal.find(op) {
            return self.wrote(state, i, at, Generation { seq: entry.seq, ..saw });
        }
        let now = view.generation();
        let tells_all = view.journal.tells(saw.seq, now.seq) && now >= saw;
        if !tells_all {
            return state.actors[i].end(Ending::Indeterminate);
        }
        match view.is(Status::Live) && now.term == saw.term {
            true => state.actors[i].phase = Phase::Act(plan),
            false => state.actors[i].look(Task::Main),
        }
    }
}

/// What is done once, to a whole store.
impl Machine {
    /// The next step of completing: the source is retired, then purged.
    fn close(&self, seen: &Seen) -> Next {
        let (source, target) = (&seen.source, &seen.target);
        let is_safe = target.is(Status::Live) && !source.is(Status::Live);
        let is_retired = source.without == crate::state::WithoutControl::Retired;
        let guard = crate::protocol::exactly(source);
        let try_it = |step, guard, effect| {
            Next::Try(Plan { step, at: Side::Source, apply: Apply { guard, effect } })
        };
        let silent = !self.rules.has(Rule::RetiredSaysSo);
        match source.control {
            Some(_) if is_safe && (is_retired || silent) => {
                try_it(Step::Purge, guard, Effect::Remove)
            }
            Some(_) if is_safe => try_it(Step::Retire, Guard::Anyhow, Effect::Retire),
            _ => Next::Stop,
        }
    }

    fn force(&self, state: &mut State, index: usize) {
        let term = state.target.generation().term.max(state.source.generation().term) + 1;
        let Some(was) = state.source.control.filter(|_| state.target.is(Status::Live)) else {
            return state.actors[index].end(Ending::Done);
        };
        let generation = Generation { term, ..was.generation };
        let control = crate::state::Control { status: Status::Live, generation, ..was };
        state.source.control = Some(control);
        state.target = Store::new(crate::state::WithoutControl::Retired, NOTHING);
        state.truth.cut(generation.seq, term);
        state.actors[index].end(Ending::Done);
        self.seen.mark(Step::Force);
    }

    fn trim(&self, state: &mut State, index: usize, at: Side) {
        let apply = Apply { guard: Guard::Anyhow, effect: Effect::Forget };
        self.apply(state, &Plan { step: Step::Trim, at, apply });
        state.actors[index].end(Ending::Done);
    }

    fn write_unaware(&self, state: &mut State, index: usize, key: u8) {
        let record = index as u8 * 2 + 1;
        let patch = Patch { keys: 1 << key, records: [record; 2] };
        state.source.records = patch.onto(state.source.records);
        let source = state.source;
        state.truth.wrote_unaware(&source);
        state.actors[index].end(Ending::Done);
    }
}
