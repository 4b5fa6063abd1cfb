//! Actors: each looks, decides and tries one step, and begins again.

use crate::coverage::Event;
use crate::machine::{Machine, State};
use crate::port::Outcome;
use crate::protocol::{Mover, Next, Plan, Seen};
use crate::state::{Generation, Store, WithoutControl};
use restow_live::{Rule, Side, Step, protocol::Home};

/// What an actor is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Writer(Writer),
    Reader,
    Mover(Mover),
    /// Completes the migration: moves what is left, retires the source, then purges it.
    Closer(Mover),
    /// Makes the source's replica the home, because the target is lost.
    Forcer,
    /// Forgets the journal of a store.
    Trimmer(Side),
    /// Writes to the source and knows nothing of control records.
    Unaware {
        key: u8,
    },
}

/// Makes one write after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Writer {
    /// The keys of each write.
    pub(crate) keys: &'static [u8],
    /// Whether it removes records rather than put them.
    pub(crate) removes: bool,
    /// Whether it tries again what was certainly not made, or says that it failed.
    pub(crate) retries: bool,
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
    pub(crate) floor: Option<u8>,
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
    /// Finishing or giving up the move of a unit that was seen sealed at a side.
    Help(Side),
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
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over(_))
    }

    pub(crate) fn end(&mut self, ending: Ending) {
        *self = Self { phase: Phase::Over(ending), in_flight: self.in_flight, ..Self::default() };
    }

    pub(crate) fn look(&mut self, task: Task) {
        (self.task, self.phase) = (task, Phase::Look);
    }
}

impl Machine {
    /// The actor's own turn.
    pub(crate) fn step(&self, state: &mut State, index: usize) {
        match self.actors[index].role {
            Role::Forcer => self.force(state, index),
            Role::Trimmer(side) => self.trim(state, index, side),
            Role::Unaware { key } => self.write_unaware(state, index, key),
            _ => self.turn(state, index),
        }
    }

    /// The store that an actor looks at first.
    pub(crate) fn first(&self, index: usize, task: Task) -> Side {
        match (task, self.actors[index].role) {
            (Task::ReadBack(side, _), _) => side,
            // A replica could go back only if both the order and the comparison were missing.
            (Task::Mirror(side, _), _) if !self.rules.has(Rule::CopiesGoForward) => side,
            // What is read of the home is then newer than all that the other store holds.
            (Task::Mirror(side, _) | Task::Help(side), _) => side.other(),
            (Task::Main, Role::Mover(mover) | Role::Closer(mover))
                if self.rules.has(Rule::TargetFirst) =>
            {
                mover.from.other()
            }
            (Task::Main, _) => self.actors[index].first,
        }
    }

    fn turn(&self, state: &mut State, index: usize) {
        let first = self.first(index, state.actors[index].task);
        let (store, other) = (*state.at(first), *state.at(first.other()));
        let in_pieces = self.world.reads_in_pieces;
        let phase = state.actors[index].phase;
        if phase == Phase::Look && self.actors[index].role == Role::Reader {
            let last = state.truth.last_seq();
            state.actors[index].floor.get_or_insert(last);
        }
        match phase {
            Phase::Look if in_pieces => state.actors[index].phase = Phase::Half(store),
            Phase::Look => self.saw_first(state, index, first, store),
            Phase::Half(began) => match self.join(&began, &store) {
                Some(view) => self.saw_first(state, index, first, view),
                None => state.actors[index].phase = Phase::Look,
            },
            Phase::Other(view) if in_pieces => {
                state.actors[index].phase = Phase::OtherHalf(view, other);
            }
            Phase::Other(view) => self.saw_both(state, index, Seen::new(first, view, other)),
            Phase::OtherHalf(view, began) => match self.join(&began, &other) {
                Some(other) => self.saw_both(state, index, Seen::new(first, view, other)),
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

    /// One look may be enough for a client.
    fn saw_first(&self, state: &mut State, index: usize, side: Side, view: Store) {
        if self.protocol().is_foreign(side, &view) {
            return state.actors[index].end(Ending::Refused);
        }
        match (state.actors[index].task, self.actors[index].role) {
            (Task::ReadBack(at, saw), _) => self.read_back(state, index, at, saw, &view),
            (Task::Main, Role::Writer(_)) => self.write_at_first(state, index, side, view),
            (Task::Main, Role::Reader) => self.read_at_first(state, index, view),
            _ => state.actors[index].phase = Phase::Other(view),
        }
    }

    fn saw_both(&self, state: &mut State, index: usize, seen: Seen) {
        let protocol = self.protocol();
        if Side::BOTH.into_iter().any(|side| protocol.is_foreign(side, seen.at(side))) {
            return state.actors[index].end(Ending::Refused);
        }
        if let Task::Mirror(home, generation) = state.actors[index].task {
            return self.mirror(state, index, home, generation, &seen);
        }
        if let Some(from) = self.sees_sealed(state, index, &seen) {
            let is_newer = self.first(index, state.actors[index].task) == from.other();
            return match is_newer {
                true => {
                    state.actors[index].task = Task::Main;
                    let next = self.help(from, &seen);
                    self.follow(state, index, next);
                }
                false => state.actors[index].look(Task::Help(from)),
            };
        }
        if let Task::Help(_) = state.actors[index].task {
            return state.actors[index].look(Task::Main);
        }
        let next = match self.actors[index].role {
            Role::Reader => return self.read_home(state, index, &seen),
            Role::Writer(_) => self.write_or_help(state, index, &seen),
            Role::Mover(mover) => protocol.advance(mover, &seen),
            Role::Closer(mover) => self.close(mover, &seen),
            _ => Next::Stop,
        };
        self.follow(state, index, next);
    }

    /// Where the unit is sealed, for whoever is to help.
    fn sees_sealed(&self, state: &State, index: usize, seen: &Seen) -> Option<Side> {
        let helps = match self.actors[index].role {
            Role::Writer(_) => self.rules.has(Rule::AnyoneHelps),
            Role::Mover(_) | Role::Closer(_) => true,
            _ => false,
        };
        let Home::Sealed(from) = self.protocol().home(seen) else { return None };
        let is_other = matches!(state.actors[index].task, Task::Help(of) if of != from);
        (helps && !is_other).then_some(from)
    }

    pub(crate) fn follow(&self, state: &mut State, index: usize, next: Next) {
        let actor = &mut state.actors[index];
        match next {
            Next::Try(plan) => actor.phase = Phase::Act(plan),
            Next::Again => actor.phase = Phase::Look,
            Next::Stop => actor.end(Ending::Done),
            Next::Stuck => actor.end(Ending::Stuck),
            Next::Alarm => {
                self.seen.happened(Event::Alarm);
                actor.end(Ending::Alarmed);
            }
        }
    }

    fn act(&self, state: &mut State, index: usize, plan: &Plan) {
        let outcome = self.apply(state, plan);
        self.note(state, index, plan, outcome);
        if plan.step != Step::Write {
            return state.actors[index].phase = Phase::Look;
        }
        match outcome {
            Outcome::Applied => {
                let now = state.at(plan.at).generation();
                let wrote = Generation { seq: state.truth.last_seq(), ..now };
                self.wrote(state, index, plan.at, wrote);
            }
            Outcome::Known(generation) => self.wrote(state, index, plan.at, generation),
            // A write that may be under way was not refused: its fate is looked up again.
            Outcome::Lost => state.actors[index].phase = Phase::Look,
        }
    }

    fn note(&self, state: &State, index: usize, plan: &Plan, outcome: Outcome) {
        let is_mover = matches!(self.actors[index].role, Role::Mover(_) | Role::Closer(_));
        let event = match (outcome, plan.step) {
            (Outcome::Known(_), _) => Event::KnownWrite,
            (Outcome::Applied, Step::Activate) if !is_mover => Event::HelpedToActivate,
            (Outcome::Applied, Step::Reopen) if !is_mover => Event::HelpedToAbort,
            (Outcome::Lost, Step::Write | Step::Mirror)
                if state.at(plan.at).without == WithoutControl::Retired =>
            {
                Event::RetiredRefused
            }
            _ => return,
        };
        self.seen.happened(event);
    }

    /// A mover gives up a move that it sees sealed, and could finish.
    pub(crate) fn abort(&self, state: &mut State, index: usize) -> Option<()> {
        let actor = &state.actors[index];
        let (Role::Mover(_), Phase::Other(view)) = (self.actors[index].role, actor.phase) else {
            return None;
        };
        let first = self.first(index, actor.task);
        let seen = Seen::new(first, view, *state.at(first.other()));
        let Home::Sealed(from) = self.protocol().home(&seen) else { return None };
        let Next::Try(plan) = self.protocol().finish(from, &seen) else { return None };
        if !matches!(plan.step, Step::LastLap | Step::Activate) {
            return None;
        }
        let next = self.protocol().abort(from, &seen);
        self.follow(state, index, next);
        Some(())
    }
}
