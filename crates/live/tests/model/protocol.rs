//! The protocol: from what was seen of both stores to the one step to try next.
//!
//! These are pure decisions. Whoever makes one keeps nothing: a step that is lost, or whose answer
//! is lost, is followed by another look.

use restow_live::Step;

use crate::port::{Apply, Effect, Guard};
use crate::rules::{Rule, Rules};
use crate::state::{
    BOTH_KEYS, Control, Generation, Patch, Progress, Records, Side, Staging, Status, Store,
    WithoutControl,
};

/// How many entries the last lap may replay, and so how many anybody who helps replays.
pub(crate) const LAP_MAX: u8 = 1;

/// How many batches a staging takes: one a record.
const BATCHES: u8 = 2;

/// A step to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Plan {
    pub(crate) step: Step,
    pub(crate) at: Side,
    pub(crate) apply: Apply,
}

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
    /// Tells where the unit lives.
    pub(crate) fn home(&self, seen: &Seen) -> Home {
        for side in Side::BOTH {
            if seen.at(side).is(Status::Live) {
                return Home::At(side);
            }
        }
        if let Some(side) = Side::BOTH.into_iter().find(|side| seen.at(*side).is_legacy()) {
            return Home::Legacy(side);
        }
        let sealed = Side::BOTH.into_iter().filter(|side| seen.at(*side).is(Status::Sealed));
        let newest = sealed.max_by_key(|side| seen.at(*side).generation());
        newest.map_or(Home::Unclear, Home::Sealed)
    }

    /// Whether what a store says was written for another store.
    pub(crate) fn is_foreign(&self, side: Side, store: &Store) -> bool {
        let foreign = store.control.is_some_and(|control| control.store != side);
        foreign && self.rules.has(Rule::RecordIsOfThisStore)
    }

    /// Gives a unit its first control record.
    pub(crate) fn adopt(&self, side: Side, seen: &Store) -> Plan {
        let is_there = seen.records != [0, 0];
        let counts = is_there && self.rules.has(Rule::AdoptionCounts);
        let generation = Generation { term: 1, seq: u8::from(counts) };
        let control = Control { status: Status::Live, generation, epoch: 0, store: side };
        let effect = Effect::Set(Patch::default(), control);
        plan(Step::Adopt, side, exactly(seen), effect)
    }

    /// The next step of a move.
    pub(crate) fn advance(&self, mover: Mover, seen: &Seen) -> Next {
        let (source, target) = (seen.at(mover.from), seen.at(mover.from.other()));
        if source.is_legacy() {
            return Next::Try(self.adopt(mover.from, source));
        }
        match source.control {
            Some(home) if home.status == Status::Live => self.prepare(mover, home, source, target),
            Some(home) if home.status == Status::Sealed => self.finish(mover.from, seen),
            _ => Next::Stop,
        }
    }

    /// The next step towards the seal: the source is live.
    fn prepare(&self, mover: Mover, home: Control, source: &Store, target: &Store) -> Next {
        if mover.epoch < home.epoch && self.rules.has(Rule::EpochOnlyRises) {
            return Next::Stop;
        }
        let is_retired = target.without == WithoutControl::Retired;
        if is_retired || target.is(Status::Live) || target.generation() > home.generation {
            return if is_retired { Next::Stop } else { Next::Again };
        }
        let Some(staging) = target.staging() else {
            return self.catch_up(mover, home, source, target);
        };
        match staging.progress {
            Progress::Copied(batch) if batch < BATCHES => {
                self.copy_batch(mover, batch, source, target)
            }
            Progress::Copied(_) => self.lap(mover, Step::Lap, source, target),
            Progress::Claimed(digest) => {
                if !self.rules.has(Rule::VerifyBeforeSeal) {
                    return seal(mover, home, source, self.rules);
                }
                let is_sound = target.staged == Some(digest);
                if is_sound { self.verified(mover, target) } else { Next::Alarm }
            }
            Progress::Verified => {
                let left = home.generation.seq.saturating_sub(staging.base);
                if left > LAP_MAX && self.rules.has(Rule::SmallLapBeforeSeal) {
                    self.lap(mover, Step::Lap, source, target)
                } else {
                    seal(mover, home, source, self.rules)
                }
            }
        }
    }

    /// The next step where the target holds a replica, or nothing: replay, or stage anew.
    fn catch_up(&self, mover: Mover, home: Control, source: &Store, target: &Store) -> Next {
        if target.generation().seq == home.generation.seq {
            let is_sound = target.records == source.records;
            return if is_sound { seal(mover, home, source, self.rules) } else { Next::Alarm };
        }
        match self.replay(source, target.generation().seq) {
            Some(patch) => Next::Try(mirror(mover.from.other(), patch, source, target)),
            None => Next::Try(stage(mover, source, target)),
        }
    }

    fn copy_batch(&self, mover: Mover, batch: u8, source: &Store, target: &Store) -> Next {
        let patch = Patch { keys: 1 << batch, records: source.records };
        let progress = Progress::Copied(batch + 1);
        let at_last = batch + 1 == BATCHES && !self.rules.has(Rule::BaseBeforeCopy);
        let base = at_last.then(|| source.generation().seq);
        Next::Try(restage(Step::CopyBatch, mover, patch, base, progress, target))
    }

    /// Replays to the staged copy; a gap in the journal means to stage anew.
    fn lap(&self, mover: Mover, step: Step, source: &Store, target: &Store) -> Next {
        let Some(staging) = target.staging() else { return Next::Again };
        let Some(patch) = self.replay(source, staging.base) else {
            return Next::Try(stage(mover, source, target));
        };
        // A lap may be stored wrongly like any batch, so what was verified is so no longer.
        let progress = Progress::Claimed(source.records);
        let base = Some(source.generation().seq);
        Next::Try(restage(step, mover, patch, base, progress, target))
    }

    fn verified(&self, mover: Mover, target: &Store) -> Next {
        let patch = Patch::default();
        Next::Try(restage(Step::Verify, mover, patch, None, Progress::Verified, target))
    }

    /// The next step for whoever finds the unit sealed at `from`: finish the move, or abort it.
    pub(crate) fn finish(&self, from: Side, seen: &Seen) -> Next {
        let (source, target) = (seen.at(from), seen.at(from.other()));
        let (sealed, held) = (source.generation(), target.generation());
        if target.is(Status::Live) {
            return Next::Stop;
        }
        if held.term > sealed.term {
            let is_older = target.is(Status::Sealed);
            return if is_older { Next::Again } else { Next::Try(self.reopen(from, source)) };
        }
        let staging = target.staging();
        if staging.is_none() && !self.rules.has(Rule::FenceRaisesTerm) {
            return Next::Try(self.reopen(from, source));
        }
        let (seq, records) = match staging {
            None => (held.seq, target.records),
            Some(Staging { base, progress, .. }) => {
                let is_ready = match progress {
                    Progress::Copied(_) => false,
                    Progress::Claimed(_) => !self.rules.has(Rule::VerifyBeforeSeal),
                    Progress::Verified => true,
                };
                match target.staged.filter(|_| is_ready) {
                    Some(staged) => (base, staged),
                    None => return self.abort(from, seen),
                }
            }
        };
        if seq == sealed.seq || !self.rules.has(Rule::LastLapFirst) {
            let is_checked = self.is_sound(seq == sealed.seq, records, source.records);
            return if is_checked {
                Next::Try(self.activate(from, source, target))
            } else {
                self.abort(from, seen)
            };
        }
        let is_small = sealed.seq.saturating_sub(seq) <= LAP_MAX;
        match self.replay(source, seq).filter(|_| is_small) {
            Some(patch) if staging.is_some() => {
                let base = Some(sealed.seq);
                let step = Step::LastLap;
                let progress = Progress::Verified;
                let nobody = Mover { from, epoch: 0, token: 0 };
                Next::Try(restage(step, nobody, patch, base, progress, target))
            }
            Some(patch) => {
                let mirror = mirror(from.other(), patch, source, target);
                Next::Try(Plan { step: Step::LastLap, ..mirror })
            }
            None => self.abort(from, seen),
        }
    }

    fn is_sound(&self, has_all: bool, held: Records, sealed: Records) -> bool {
        !has_all || held == sealed || !self.rules.has(Rule::CheckBeforeActivate)
    }

    /// The first step of an abort: nobody may activate the target any more.
    pub(crate) fn abort(&self, from: Side, seen: &Seen) -> Next {
        let (source, target) = (seen.at(from), seen.at(from.other()));
        if !self.rules.has(Rule::AnyoneAborts) {
            return Next::Stuck;
        }
        if !self.rules.has(Rule::FenceBeforeReopen) {
            return Next::Try(self.reopen(from, source));
        }
        Next::Try(self.fence(from, source, target))
    }

    /// The target keeps the records that it shows, under a term that no activation will have.
    fn fence(&self, from: Side, source: &Store, target: &Store) -> Plan {
        let raised = source.generation().term + 1;
        let term =
            if self.rules.has(Rule::FenceRaisesTerm) { raised } else { target.generation().term };
        let control = Control {
            status: Status::Copy,
            generation: Generation { term, ..target.generation() },
            epoch: target.control.map_or(0, |control| control.epoch),
            store: from.other(),
        };
        let effect = Effect::Set(Patch::default(), control);
        plan(Step::Fence, from.other(), exactly(target), effect)
    }

    fn reopen(&self, from: Side, source: &Store) -> Plan {
        let raises = if self.rules.has(Rule::ReopenRaisesTerm) { 2 } else { 0 };
        let effect = Effect::Set(Patch::default(), live(from, source, raises));
        plan(Step::Reopen, from, exactly(source), effect)
    }

    fn activate(&self, from: Side, source: &Store, target: &Store) -> Plan {
        let raises = u8::from(self.rules.has(Rule::ActivationRaisesTerm));
        let control = live(from.other(), source, raises);
        let one_step = self.rules.has(Rule::OneStepActivation);
        let effect = match target.staged {
            Some(_) => Effect::Promote(Some(control).filter(|_| one_step)),
            None => Effect::Set(Patch::default(), control),
        };
        plan(Step::Activate, from.other(), exactly(target), effect)
    }

    /// What changed at a home behind a seq; nothing where its journal does not tell all of it.
    pub(crate) fn replay(&self, home: &Store, from: u8) -> Option<Patch> {
        let tells = home.journal.tells(from, home.generation().seq);
        let patch = Patch { keys: home.journal.keys_since(from), records: home.records };
        (tells || !self.rules.has(Rule::JournalWithoutGap)).then_some(patch)
    }

    /// Brings the mirror of a write up to its home; nothing where there is nothing to do, or where
    /// only a mover can do it.
    pub(crate) fn mirror(&self, at: Side, home: &Store, replica: &Store) -> Option<Plan> {
        let is_replica = replica.staging().is_none() && !replica.is(Status::Live);
        if !home.is(Status::Live) || !is_replica {
            return None;
        }
        let is_behind = replica.generation() < home.generation();
        if !is_behind && self.rules.has(Rule::CopiesGoForward) {
            return None;
        }
        let patch = match is_behind {
            true => self.replay(home, replica.generation().seq)?,
            false => Patch { keys: BOTH_KEYS, records: home.records },
        };
        let plan = mirror(at, patch, home, replica);
        let guard = match self.rules.has(Rule::MirrorIsConditional) {
            true => plan.apply.guard,
            false => Guard::Anyhow,
        };
        Some(Plan { apply: Apply { guard, ..plan.apply }, ..plan })
    }
}

fn plan(step: Step, at: Side, guard: Guard, effect: Effect) -> Plan {
    Plan { step, at, apply: Apply { guard, effect } }
}

pub(crate) fn exactly(seen: &Store) -> Guard {
    Guard::Exactly(seen.control, seen.records)
}

/// Opens an empty staged copy in the target; the records that it shows stay as they are.
fn stage(mover: Mover, source: &Store, target: &Store) -> Plan {
    let base = source.generation().seq;
    let staging = Staging { token: mover.token, base, progress: Progress::Copied(0) };
    let control = Control {
        status: Status::Staging(staging),
        generation: target.generation(),
        epoch: mover.epoch,
        store: mover.from.other(),
    };
    let effect = Effect::Stage(Patch::default(), control);
    plan(Step::Stage, mover.from.other(), exactly(target), effect)
}

/// Adds to the staged copy and says how far it has come.
fn restage(
    step: Step,
    mover: Mover,
    patch: Patch,
    base: Option<u8>,
    progress: Progress,
    target: &Store,
) -> Plan {
    let control = target.control.map(|control| match control.status {
        Status::Staging(was) => {
            let staging = Staging { base: base.unwrap_or(was.base), progress, ..was };
            Control { status: Status::Staging(staging), ..control }
        }
        _ => control,
    });
    let control = control.expect("a staged copy has a control record");
    plan(step, mover.from.other(), exactly(target), Effect::Stage(patch, control))
}

fn seal(mover: Mover, home: Control, source: &Store, rules: Rules) -> Next {
    let control = Control { status: Status::Sealed, epoch: mover.epoch, ..home };
    let guard = if rules.has(Rule::SealIsExact) { exactly(source) } else { Guard::Anyhow };
    Next::Try(plan(Step::Seal, mover.from, guard, Effect::Set(Patch::default(), control)))
}

/// Replays to the visible records of a replica.
fn mirror(at: Side, patch: Patch, home: &Store, replica: &Store) -> Plan {
    let control = Control {
        status: Status::Copy,
        generation: home.generation(),
        epoch: home.control.map_or(0, |control| control.epoch),
        store: at,
    };
    plan(Step::Mirror, at, exactly(replica), Effect::Set(patch, control))
}

/// The control record of a home that takes over what `was` the authority.
fn live(at: Side, was: &Store, raises: u8) -> Control {
    let Generation { term, seq } = was.generation();
    Control {
        status: Status::Live,
        generation: Generation { term: term + raises, seq },
        epoch: was.control.map_or(0, |control| control.epoch),
        store: at,
    }
}
