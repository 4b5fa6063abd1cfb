//! The code's decisions on the model's stores: what was seen becomes the code's views, and the
//! step decided on becomes one conditional apply.

use restow_live::protocol::{self as code, Goal, Home};
use restow_live::view::{Behind, Filled, Seen as Views, Standing, Status as Told, View};
use restow_live::{Rule, Rules, Side, Step};
use restow_model::{Generation as Place, UnitDigest};
use restow_store::WithoutControl as Without;

use crate::port::{Apply, Effect, Guard};
use crate::state::{
    BOTH_KEYS, Control, Generation, NOTHING, Patch, Progress, Records, Staging, Status, Store,
    WithoutControl,
};

/// How many entries the last lap may replay, and so how many anybody who helps replays.
pub(crate) const LAP_MAX: u8 = 1;

/// How many batches a staging takes: one a record.
const BATCHES: u8 = 2;

/// A mover, with the name of its stagings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mover {
    pub(crate) from: Side,
    pub(crate) epoch: u8,
    pub(crate) token: u8,
    pub(crate) goal: Goal,
}

/// A step to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Plan {
    pub(crate) step: Step,
    pub(crate) at: Side,
    pub(crate) apply: Apply,
}

impl Plan {
    pub(crate) fn new(step: Step, at: Side, guard: Guard, effect: Effect) -> Self {
        Self { step, at, apply: Apply { guard, effect } }
    }
}

/// What to do after a look at both stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Try(Plan),
    Again,
    Stop,
    Alarm,
    Stuck,
}

/// What was seen of both stores, one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) source: Store,
    pub(crate) target: Store,
}

impl Seen {
    pub(crate) fn new(first: Side, view: Store, other: Store) -> Self {
        match first {
            Side::Source => Self { source: view, target: other },
            Side::Target => Self { source: other, target: view },
        }
    }

    pub(crate) fn at(&self, side: Side) -> &Store {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    fn views(&self) -> Views {
        let source = view(&self.source, &self.target);
        Views { source, target: view(&self.target, &self.source) }
    }
}

/// The code's decisions, under the rules that hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    pub(crate) rules: Rules,
    /// Whether the unit is larger than what may be promoted under a seal.
    pub(crate) is_large: bool,
}

impl Protocol {
    fn has(self, rule: Rule) -> bool {
        self.rules.has(rule)
    }

    fn code(self) -> code::Protocol {
        let promoted_records_max = if self.is_large { 0 } else { u64::MAX };
        let lap_records_max = LAP_MAX.into();
        code::Protocol { rules: self.rules, lap_records_max, promoted_records_max }
    }

    pub(crate) fn home(self, seen: &Seen) -> Home {
        self.code().home(&seen.views())
    }

    pub(crate) fn advance(self, mover: Mover, seen: &Seen) -> Next {
        let who = code::Mover { from: mover.from, epoch: mover.epoch.into(), goal: mover.goal };
        self.next(self.code().advance(who, &seen.views()), mover.token, seen)
    }

    pub(crate) fn finish(self, from: Side, seen: &Seen) -> Next {
        self.next(self.code().finish(from, &seen.views()), 0, seen)
    }

    pub(crate) fn abort(self, from: Side, seen: &Seen) -> Next {
        self.next(self.code().abort(from, &seen.views()), 0, seen)
    }

    pub(crate) fn adopt(self, at: Side, seen: &Seen) -> Plan {
        self.plan(self.code().adopt(at, &seen.views()), 0, seen)
    }

    pub(crate) fn mirror(self, at: Side, home: &Store, replica: &Store) -> Option<Plan> {
        let seen = Seen::new(at, *replica, *home);
        let views = seen.views();
        let plan = self.code().mirror(at, views.at(at.other()), views.at(at))?;
        Some(self.plan(plan, 0, &seen))
    }

    /// Whether what a store says was written for another store.
    pub(crate) fn is_foreign(self, side: Side, store: &Store) -> bool {
        let foreign = store.control.is_some_and(|control| control.store != side);
        foreign && self.has(Rule::RecordIsOfThisStore)
    }

    fn next(self, next: code::Next, token: u8, seen: &Seen) -> Next {
        match next {
            code::Next::Try(plan) => Next::Try(self.plan(plan, token, seen)),
            code::Next::Again => Next::Again,
            code::Next::Stop => Next::Stop,
            code::Next::Alarm => Next::Alarm,
            code::Next::Stuck => Next::Stuck,
        }
    }

    /// Makes the one conditional apply that a step is.
    fn plan(self, plan: code::Plan, token: u8, seen: &Seen) -> Plan {
        let (store, other) = (seen.at(plan.at), seen.at(plan.at.other()));
        let control = control(&plan, token, store);
        let replay = |held: u8| Patch { keys: other.journal.keys_since(held), ..whole(other) };
        let is_guarded = match plan.step {
            Step::Seal => self.has(Rule::SealIsExact),
            Step::Mirror => self.has(Rule::MirrorIsConditional),
            _ => true,
        };
        let guard = if is_guarded { exactly(store) } else { Guard::Anyhow };
        let effect = match plan.step {
            Step::Publish => Effect::Promote(Some(control)),
            Step::Activate if store.staged.is_some() => {
                Effect::Promote(self.has(Rule::OneStepActivation).then_some(control))
            }
            Step::Stage | Step::Verify => Effect::Stage(Patch::default(), control),
            Step::CopyBatch => self.copy_batch(store, other, control),
            Step::Lap => Effect::Stage(replay(held(store)), control),
            Step::LastLap if store.staging().is_some() => {
                Effect::Stage(replay(held(store)), control)
            }
            Step::Mirror if store.generation() >= other.generation() => {
                Effect::Set(whole(other), control)
            }
            Step::Mirror | Step::LastLap => Effect::Set(replay(held(store)), control),
            _ => Effect::Set(Patch::default(), control),
        };
        Plan::new(plan.step, plan.at, guard, effect)
    }

    /// One batch more; without the rule, the base is noted only now.
    fn copy_batch(self, store: &Store, other: &Store, control: Control) -> Effect {
        let Some(Staging { token, base, progress: Progress::Copied(batch) }) = store.staging()
        else {
            return Effect::Stage(Patch::default(), control);
        };
        let is_late = batch + 1 == BATCHES && !self.has(Rule::BaseBeforeCopy);
        let base = if is_late { other.generation().seq } else { base };
        let staging = Staging { token, base, progress: Progress::Copied(batch + 1) };
        let control = Control { status: Status::Staging(staging), ..control };
        Effect::Stage(Patch { keys: 1 << batch, ..whole(other) }, control)
    }
}

fn whole(store: &Store) -> Patch {
    Patch { keys: BOTH_KEYS, records: store.records }
}

pub(crate) fn exactly(seen: &Store) -> Guard {
    Guard::Exactly(seen.control, seen.records)
}

/// The seq up to which a move would not have to copy again.
fn held(store: &Store) -> u8 {
    store.staging().map_or(store.generation().seq, |staging| staging.base)
}

/// What a store tells the code, to whoever has seen the other one.
fn view(store: &Store, other: &Store) -> View {
    let (from, to) = (held(other), store.generation().seq);
    let behind = match from <= to && store.journal.tells(from, to) {
        true => Behind { is_told: true, records: (to - from).into() },
        false => Behind::UNKNOWN,
    };
    View {
        without: match store.without {
            WithoutControl::Legacy => Without::Legacy,
            WithoutControl::Empty => Without::Empty,
            WithoutControl::Closed => Without::Closed,
            WithoutControl::Retired => Without::Retired,
        },
        control: store.control.map(|control| standing(&control, store.records)),
        has_records: store.records != NOTHING,
        staged: store.staged.map(digest),
        behind,
    }
}

fn standing(control: &Control, records: Records) -> Standing {
    let status = match control.status {
        Status::Live => Told::Live,
        Status::Copy => Told::Copy,
        Status::Sealed => Told::Sealed,
        Status::Staging(Staging { base, progress, .. }) => {
            let progress = match progress {
                Progress::Copied(batch) if batch < BATCHES => Filled::Partly,
                Progress::Copied(_) => Filled::Wholly,
                Progress::Claimed(records) => Filled::Claimed(digest(records)),
                Progress::Verified => Filled::Verified,
            };
            Told::Staging(restow_live::view::Staging { base: base.into(), progress })
        }
    };
    let Generation { term, seq } = control.generation;
    let generation = Place { term: term.into(), seq: seq.into() };
    Standing { status, generation, epoch: control.epoch.into(), digest: digest(records) }
}

/// The control record that a plan leaves at its store.
fn control(plan: &code::Plan, token: u8, store: &Store) -> Control {
    let status = match plan.now.status {
        Told::Live => Status::Live,
        Told::Copy => Status::Copy,
        Told::Sealed => Status::Sealed,
        Told::Staging(restow_live::view::Staging { base, progress }) => {
            let progress = match progress {
                Filled::Partly => Progress::Copied(0),
                Filled::Wholly => Progress::Copied(BATCHES),
                Filled::Claimed(digest) => Progress::Claimed(records(digest)),
                Filled::Verified => Progress::Verified,
            };
            let opens = plan.step == Step::Stage;
            let token = store.staging().filter(|_| !opens).map_or(token, |was| was.token);
            Status::Staging(Staging { token, base: base as u8, progress })
        }
    };
    let Place { term, seq } = plan.now.generation;
    let generation = Generation { term: term as u8, seq: seq as u8 };
    Control { status, generation, epoch: plan.now.epoch as u8, store: plan.at }
}

/// Two records stand for their digest: equal digests are equal records.
fn digest([one, two]: Records) -> UnitDigest {
    UnitDigest { records: u64::from(one) << 8 | u64::from(two), ..UnitDigest::default() }
}

fn records(digest: UnitDigest) -> Records {
    [(digest.records >> 8) as u8, digest.records as u8]
}
