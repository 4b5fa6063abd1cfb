//! The protocol: from what was seen of both stores to the one step to try next.
//!
//! These are pure decisions, and the model checks them as they stand. Whoever makes one keeps
//! nothing: a step that is lost, or whose answer is lost, is followed by another look.

mod advance;
mod finish;
mod plan;

pub use plan::Plan;

use restow_store::WithoutControl;

use crate::view::{Seen, Standing, Status, View};
use crate::{Rule, Rules, Side};

/// How many records the last lap may replay, and so how many anybody who helps replays.
pub const LAP_RECORDS_MAX: u64 = 256;

/// What to do after a look at both stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try a step.
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

/// Where a unit lives, as far as a look at both stores tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// Here.
    At(Side),
    /// Here, but no control record says so yet; also where a new unit is to begin.
    Legacy(Side),
    /// Sealed here; the other store is to be the home, or this one again.
    Sealed(Side),
    /// The looks do not fit together.
    Unclear,
}

/// Who moves a unit, and whither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mover {
    /// The store to move the unit away from.
    pub from: Side,
    /// The epoch of the configuration that wants it.
    pub epoch: u64,
    /// What the other store is to be for the unit.
    pub goal: Goal,
}

/// What a mover wants the other store to be for the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Goal {
    /// A replica; the unit stays where it lives.
    Replica,
    /// The home.
    Home,
    /// The home for good: no mover of an older epoch takes the unit away again.
    LastHome,
}

/// The decisions, under the rules that hold.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// The rules; all of them, outside of tests.
    pub rules: Rules,
    /// How many records the last lap may replay.
    pub lap_records_max: u64,
    /// How many records a staged copy may have that is promoted while its source is sealed.
    pub promoted_records_max: u64,
}

impl Default for Protocol {
    fn default() -> Self {
        let (lap_records_max, promoted_records_max) = (LAP_RECORDS_MAX, LAP_RECORDS_MAX);
        Self { rules: Rules::default(), lap_records_max, promoted_records_max }
    }
}

impl Protocol {
    fn has(self, rule: Rule) -> bool {
        self.rules.has(rule)
    }

    /// Tells where the unit lives.
    pub fn home(self, seen: &Seen) -> Home {
        let find = |wanted: fn(&View) -> bool| {
            Side::BOTH.into_iter().filter(move |side| wanted(seen.at(*side)))
        };
        let mut live = find(|store| store.is(Status::Live));
        match (live.next(), live.next()) {
            (Some(side), None) => return Home::At(side),
            (Some(_), Some(_)) => return Home::Unclear,
            _ => {}
        }
        let begins =
            |side: &Side| seen.at(*side).control.is_none() && seen.at(side.other()).is_closed();
        let legacy = find(View::is_legacy).next();
        if let Some(side) = legacy.or_else(|| Side::BOTH.into_iter().find(begins)) {
            return Home::Legacy(side);
        }
        let sealed = find(|store| store.is(Status::Sealed));
        let newest = sealed.max_by_key(|side| seen.at(*side).generation());
        match newest {
            Some(side) if self.is_last(seen.at(side), seen.at(side.other())) => Home::Sealed(side),
            _ => Home::Unclear,
        }
    }

    /// Says whether a sealed store is still the authority, as far as a look at the other one tells.
    fn is_last(self, sealed: &View, other: &View) -> bool {
        let term = sealed.generation().term;
        // What a retired store held is not told, and its units live in the other store.
        let is_open = other.without != WithoutControl::Retired;
        let is_behind = is_open && other.generation().term <= term;
        is_behind || is_fenced(other, term) || !self.has(Rule::SealedIsLast)
    }

    /// Decides on a unit's first control record at the store where it lives.
    ///
    /// Where the other store takes no new units, no mover may ever take it there.
    pub fn adopt(self, at: Side, seen: &Seen) -> Plan {
        let counts = seen.at(at).has_records && self.has(Rule::AdoptionCounts);
        let stays = seen.at(at.other()).is_closed() && self.has(Rule::MarkBeforeRetiring);
        plan::adopt(at, u64::from(counts), if stays { u64::MAX } else { 0 })
    }

    /// Decides how to bring a replica up to its home; nothing where there is nothing to do, or
    /// where only a mover can do it.
    pub fn mirror(self, at: Side, home: &View, replica: &View) -> Option<Plan> {
        let is_replica = replica.staging().is_none() && !replica.is(Status::Live);
        let standing = home.control.filter(|control| control.status == Status::Live)?;
        let is_behind = replica.generation() < standing.generation;
        let goes = is_replica && (is_behind || !self.has(Rule::CopiesGoForward));
        let is_told = !is_behind || self.tells(home);
        (goes && is_told).then(|| plan::mirror(at, standing))
    }

    /// Decides to copy a unit anew, where a replay has no room.
    pub fn stage(self, mover: Mover, home: &Standing, target: &View) -> Plan {
        plan::stage(mover, home, target)
    }

    /// Says whether a home's journal tells all that has to be replayed.
    fn tells(self, home: &View) -> bool {
        home.behind.is_told || !self.has(Rule::JournalWithoutGap)
    }
}

/// Says whether nobody can activate a store any more for a source that is sealed at a term.
fn is_fenced(target: &View, sealed: u64) -> bool {
    target.is(Status::Copy) && target.generation().term == sealed + 1
}

/// Says whether what stands in a store is a replica or a copy that equals the home's records.
fn is_sound(home: &Standing, target: &View) -> bool {
    let held = target.control.map(|control| control.digest).unwrap_or_default();
    held == home.digest
}
