//! Schedules: who takes which step when, as a test of the real code can follow it.

use restow_live::{Side, Step};
use std::fmt;

use crate::actor::{Phase, Role};
use crate::machine::{Machine, State, Turn};
use crate::protocol::Plan;

/// One turn of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) actor: &'static str,
    pub(crate) step: Step,
    pub(crate) at: Side,
    pub(crate) how: How,
}

/// How a turn goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Done,
    /// The guard does not hold.
    Lost,
    /// The actor decides to give the move up.
    GivesUp,
    Crashes,
    AnswerLost,
    /// The apply stays under way.
    Delayed,
    /// The apply that was under way arrives.
    Arrives,
    Damaged,
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { actor, step, at, how } = self;
        let how = match how {
            How::Done => "",
            How::Lost => ", lost",
            How::GivesUp => ", gives up",
            How::Crashes => ", crashes before it",
            How::AnswerLost => ", its answer is lost",
            How::Delayed => ", delayed",
            How::Arrives => ", arrives",
            How::Damaged => ", stored damaged",
        };
        write!(f, "{actor}: {step} at {at}{how}", at = at.name())
    }
}

/// The schedule of a way through the states, each with the turn that is taken there.
pub(crate) fn schedule(machine: &Machine, states: &[(State, Option<Turn>)]) -> Vec<Move> {
    let step = |pair: &[(State, Option<Turn>)]| match pair {
        [(was, Some(turn)), (now, _)] => Some(one(machine, was, *turn, now)),
        _ => None,
    };
    states.windows(2).filter_map(step).collect()
}

fn one(machine: &Machine, was: &State, turn: Turn, now: &State) -> Move {
    let (index, how) = match turn {
        Turn::Step(index) => (index, How::Done),
        Turn::Crash(index) => (index, How::Crashes),
        Turn::LoseAnswer(index) => (index, How::AnswerLost),
        Turn::Delay(index) => (index, How::Delayed),
        Turn::Deliver(index) => (index, How::Arrives),
        Turn::Abort(index) => (index, How::GivesUp),
        Turn::Damage(index) => (index, How::Damaged),
    };
    let (spec, actor) = (&machine.actors[index], &was.actors[index]);
    let first = machine.first(index, actor.task);
    let planned = |plan: Plan| (plan.step, plan.at);
    let (step, at) = match (spec.role, actor.phase) {
        (Role::Forcer, _) => (Step::Force, Side::Source),
        (Role::Trimmer(at), _) => (Step::Trim, at),
        (Role::Unaware { .. }, _) => (Step::Write, Side::Source),
        (_, _) if how == How::Arrives => actor.in_flight.map_or((Step::Write, first), planned),
        (_, Phase::Act(plan)) => planned(plan),
        (_, Phase::Other(_) | Phase::OtherHalf(..)) => (Step::Look, first.other()),
        _ => (Step::Look, first),
    };
    let is_lost = how == How::Done && step != Step::Look && was.at(at) == now.at(at);
    Move { actor: spec.name, step, at, how: if is_lost { How::Lost } else { how } }
}
