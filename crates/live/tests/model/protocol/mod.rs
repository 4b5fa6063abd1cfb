//! The protocol: from what was seen of both stores to the one step to try next.
//!
//! These are pure decisions. Whoever makes one keeps nothing: a step that is lost, or whose answer
//! is lost, is followed by another look.

mod advance;
mod finish;
mod plan;

pub(crate) use plan::{Plan, exactly};

use restow_live::Step;

use crate::port::{Apply, Guard};
use crate::rules::{Rule, Rules};
use crate::state::{BOTH_KEYS, Control, Generation, NOTHING, Patch, Side, Status, Store};

/// How many entries the last lap may replay, and so how many anybody who helps replays.
pub(crate) const LAP_MAX: u8 = 1;

/// What to do after a look at both stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Try(Plan),
    /// What was seen does not fit together, or is too old: look again.
    Again,
    /// Nothing is left to do here.
    Stop,
    /// The target does not hold what was sent to it: somebody has to look at it.
    Alarm,
    /// The unit cannot be written, and nobody may change that; only where a rule is removed.
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
}

/// Whether nobody can activate a store any more for a source that is sealed at a term.
fn is_fenced(target: &Store, sealed: u8) -> bool {
    target.is(Status::Copy) && target.generation().term == sealed + 1
}

/// Where the unit lives, as far as both looks tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    At(Side),
    /// Here, but no control record says so yet.
    Legacy(Side),
    /// Sealed here; the other store is to be the home, or this one again.
    Sealed(Side),
    Unclear,
}

/// A mover: moves the unit away from `from`, for a configuration of `epoch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mover {
    pub(crate) from: Side,
    pub(crate) epoch: u8,
    pub(crate) token: u8,
}

/// The decisions, under the rules that hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    pub(crate) rules: Rules,
}

impl Protocol {
    fn has(self, rule: Rule) -> bool {
        self.rules.has(rule)
    }

    /// Tells where the unit lives.
    pub(crate) fn home(self, seen: &Seen) -> Home {
        let find = |wanted: fn(&Store) -> bool| {
            Side::BOTH.into_iter().filter(move |side| wanted(seen.at(*side)))
        };
        let mut live = find(|store| store.is(Status::Live));
        match (live.next(), live.next()) {
            (Some(side), None) => return Home::At(side),
            (Some(_), Some(_)) => return Home::Unclear,
            _ => {}
        }
        if let Some(side) = find(Store::is_legacy).next() {
            return Home::Legacy(side);
        }
        let sealed = find(|store| store.is(Status::Sealed));
        let newest = sealed.max_by_key(|side| seen.at(*side).generation());
        match newest {
            Some(side) if self.is_last(seen.at(side), seen.at(side.other())) => Home::Sealed(side),
            _ => Home::Unclear,
        }
    }

    /// Whether a sealed store is still the authority, as far as a look at the other one tells.
    fn is_last(self, sealed: &Store, other: &Store) -> bool {
        let term = sealed.generation().term;
        let is_behind = other.generation().term <= term;
        is_behind || is_fenced(other, term) || !self.has(Rule::SealedIsLast)
    }

    /// Whether what a store says was written for another store.
    pub(crate) fn is_foreign(self, side: Side, store: &Store) -> bool {
        let foreign = store.control.is_some_and(|control| control.store != side);
        foreign && self.has(Rule::RecordIsOfThisStore)
    }

    /// Gives a unit its first control record.
    pub(crate) fn adopt(self, side: Side, seen: &Store) -> Plan {
        let counts = seen.records != NOTHING && self.has(Rule::AdoptionCounts);
        let generation = Generation { term: 1, seq: u8::from(counts) };
        let control = Control { status: Status::Live, generation, epoch: 0, store: side };
        Plan::control(Step::Adopt, side, seen, control)
    }

    /// What changed at a home behind a seq; nothing where its journal does not tell all of it.
    pub(crate) fn replay(self, home: &Store, from: u8) -> Option<Patch> {
        let tells = home.journal.tells(from, home.generation().seq);
        let patch = Patch { keys: home.journal.keys_since(from), records: home.records };
        (tells || !self.has(Rule::JournalWithoutGap)).then_some(patch)
    }

    /// Brings a replica up to its home; nothing where there is nothing to do, or where only a
    /// mover can do it.
    pub(crate) fn mirror(self, at: Side, home: &Store, replica: &Store) -> Option<Plan> {
        let is_replica = replica.staging().is_none() && !replica.is(Status::Live);
        if !home.is(Status::Live) || !is_replica {
            return None;
        }
        let is_behind = replica.generation() < home.generation();
        if !is_behind && self.has(Rule::CopiesGoForward) {
            return None;
        }
        let patch = match is_behind {
            true => self.replay(home, replica.generation().seq)?,
            false => Patch { keys: BOTH_KEYS, records: home.records },
        };
        let plan = Plan::mirror(at, patch, home, replica);
        let is_conditional = self.has(Rule::MirrorIsConditional);
        let guard = if is_conditional { plan.apply.guard } else { Guard::Anyhow };
        Some(Plan { apply: Apply { guard, ..plan.apply }, ..plan })
    }
}
