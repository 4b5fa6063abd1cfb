//! The machine that is checked: two stores, the truth about them, and actors that take turns.

use restow_live::{Rule, Rules, Side, Step};
use stateright::{Model, Property};

use crate::actor::{Actor, Ending, Phase, Role, Spec, Task};
use crate::coverage::{Coverage, Event};
use crate::port::{Effect, Outcome};
use crate::properties;
use crate::protocol::{Plan, Protocol};
use crate::state::{Patch, Store};
use crate::truth::Truth;

/// How far terms rise: a move, an abort, and a move behind it.
const TERM_MAX: u8 = 5;

/// Whether and when a write's mirror is brought up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mirrors {
    None,
    /// Policy one: after the answer.
    One,
    /// Policy both: before the answer.
    Both,
}

/// What the world may do to the actors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    /// An actor may stop for good at any step.
    pub(crate) crashes: bool,
    /// A write's answer may be lost, and a write may come late.
    pub(crate) loses_answers: bool,
    /// Records are read one by one rather than in a snapshot.
    pub(crate) reads_in_pieces: bool,
    /// One batch or lap may be stored other than it was sent.
    pub(crate) damages: bool,
    /// A mover may give up a move that is sealed.
    pub(crate) aborts: bool,
    /// The unit is larger than what may be promoted under a seal.
    pub(crate) is_large: bool,
    pub(crate) mirrors: Mirrors,
}

/// A configuration to check: how it begins, who acts, what may happen, and which rules hold.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) name: &'static str,
    pub(crate) source: Store,
    pub(crate) target: Store,
    pub(crate) truth: Truth,
    pub(crate) actors: Vec<Spec>,
    pub(crate) world: World,
    pub(crate) rules: Rules,
    pub(crate) seen: Coverage,
}

/// Everything that changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) source: Store,
    pub(crate) target: Store,
    pub(crate) truth: Truth,
    pub(crate) actors: Vec<Actor>,
    pub(crate) damaged: bool,
}

impl State {
    pub(crate) fn at(&self, side: Side) -> &Store {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    fn at_mut(&mut self, side: Side) -> &mut Store {
        match side {
            Side::Source => &mut self.source,
            Side::Target => &mut self.target,
        }
    }
}

/// One turn of one actor, by its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Turn {
    /// It takes its step: half a look, a look, or an apply.
    Step(usize),
    /// It stops for good.
    Crash(usize),
    /// Its write reaches the store, and the answer is lost.
    LoseAnswer(usize),
    /// Its write stays under way, and it waits no longer.
    Delay(usize),
    /// The write that was under way reaches the store.
    Deliver(usize),
    /// It gives the sealed move up.
    Abort(usize),
    /// What it applies is stored damaged.
    Damage(usize),
}

impl Machine {
    pub(crate) fn protocol(&self) -> Protocol {
        Protocol { rules: self.rules, is_large: self.world.is_large }
    }

    /// Applies a plan at its store, and tells the truth of it.
    pub(crate) fn apply(&self, state: &mut State, plan: &Plan) -> Outcome {
        let (before, other) = (*state.at(plan.at), *state.at(plan.at.other()));
        let outcome = state.at_mut(plan.at).apply(plan.at, &plan.apply, self.rules);
        if outcome == Outcome::Applied {
            let after = *state.at(plan.at);
            state.truth.observe(plan, &before, &after, &other);
            self.seen.applied(plan.step);
            if plan.step == Step::Stage && before.staging().is_some() {
                self.seen.happened(Event::StagedAnew);
            }
        }
        outcome
    }

    /// Whether the actor has to wait until others are gone.
    fn waits(&self, state: &State, index: usize) -> bool {
        let all = |wanted: fn(&Role) -> bool, holds: fn(&Actor) -> bool| {
            let mut pairs = self.actors.iter().zip(&state.actors);
            pairs.all(|(spec, actor)| !wanted(&spec.role) || holds(actor))
        };
        let idle = |actor: &Actor| {
            actor.is_over() || (actor.phase == Phase::Look && actor.task == Task::Main)
        };
        let (rule, is_drained) = match self.actors[index].role {
            Role::Unaware { .. } => return false,
            Role::Forcer => (Rule::DrainBeforeForcing, all(|role| *role != Role::Forcer, idle)),
            _ => (
                Rule::AdoptBehindBarrier,
                all(|role| matches!(role, Role::Unaware { .. }), Actor::is_over),
            ),
        };
        self.rules.has(rule) && !is_drained
    }

    fn turns(&self, state: &State, index: usize, turns: &mut Vec<Turn>) {
        let actor = &state.actors[index];
        if actor.in_flight.is_some() {
            turns.push(Turn::Deliver(index));
        }
        if actor.is_over() || self.waits(state, index) {
            return;
        }
        turns.push(Turn::Step(index));
        if self.world.crashes {
            turns.push(Turn::Crash(index));
        }
        match actor.phase {
            Phase::Act(plan) if plan.step == Step::Write && self.world.loses_answers => {
                turns.push(Turn::LoseAnswer(index));
                if actor.in_flight.is_none() {
                    turns.push(Turn::Delay(index));
                }
            }
            Phase::Act(plan) if self.world.damages && !state.damaged && stages_records(&plan) => {
                turns.push(Turn::Damage(index));
            }
            Phase::Other(_) if self.world.aborts => turns.push(Turn::Abort(index)),
            _ => {}
        }
    }

    fn damage(&self, state: &mut State, index: usize) -> Option<()> {
        let Phase::Act(mut plan) = state.actors[index].phase else { return None };
        let Effect::Stage(patch, control) = plan.apply.effect else { return None };
        let records = patch.records.map(|record| record ^ 0x40);
        plan.apply.effect = Effect::Stage(Patch { records, ..patch }, control);
        state.actors[index].phase = Phase::Act(plan);
        state.damaged = true;
        self.step(state, index);
        Some(())
    }
}

fn stages_records(plan: &Plan) -> bool {
    matches!(plan.apply.effect, Effect::Stage(patch, _) if patch.keys != 0)
}

impl Model for Machine {
    type State = State;
    type Action = Turn;

    fn init_states(&self) -> Vec<State> {
        let actors = vec![Actor::default(); self.actors.len()];
        let (source, target, truth) = (self.source, self.target, self.truth.clone());
        vec![State { source, target, truth, actors, damaged: false }]
    }

    fn actions(&self, state: &State, turns: &mut Vec<Turn>) {
        for index in 0..self.actors.len() {
            self.turns(state, index, turns);
        }
    }

    fn next_state(&self, last: &State, turn: Turn) -> Option<State> {
        let mut state = last.clone();
        match turn {
            Turn::Step(index) => self.step(&mut state, index),
            Turn::Crash(index) => state.actors[index].end(Ending::Crashed),
            Turn::LoseAnswer(index) => self.lose_answer(&mut state, index)?,
            Turn::Delay(index) => self.delay(&mut state, index)?,
            Turn::Deliver(index) => self.deliver(&mut state, index)?,
            Turn::Abort(index) => self.abort(&mut state, index)?,
            Turn::Damage(index) => self.damage(&mut state, index)?,
        }
        Some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        let terms = [state.source, state.target].map(|store| store.generation().term);
        terms.into_iter().all(|term| term <= TERM_MAX)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}
