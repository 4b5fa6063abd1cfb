//! Plans: the one conditional apply that a step is.

use restow_live::Step;

use super::Mover;
use crate::port::{Apply, Effect, Guard};
use crate::state::{Control, Generation, Patch, Progress, Side, Staging, Status, Store};

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

    /// Changes the control record alone, if it is still as it was seen.
    pub(crate) fn control(step: Step, at: Side, seen: &Store, control: Control) -> Self {
        Self::new(step, at, exactly(seen), Effect::Set(Patch::default(), control))
    }

    /// Opens an empty staged copy in the target; the records that it shows stay as they are.
    pub(crate) fn stage(mover: Mover, source: &Store, target: &Store) -> Self {
        let base = source.generation().seq;
        let staging = Staging { token: mover.token, base, progress: Progress::Copied(0) };
        let control = Control {
            status: Status::Staging(staging),
            generation: target.generation(),
            epoch: mover.epoch,
            store: mover.from.other(),
        };
        let effect = Effect::Stage(Patch::default(), control);
        Self::new(Step::Stage, mover.from.other(), exactly(target), effect)
    }

    /// Adds to a staged copy, and says how far it has come; nothing where there is none.
    pub(crate) fn restage(
        step: Step,
        at: Side,
        patch: Patch,
        (base, progress): (Option<u8>, Progress),
        target: &Store,
    ) -> Option<Self> {
        let was = target.staging()?;
        let staging = Staging { base: base.unwrap_or(was.base), progress, ..was };
        let control = Control { status: Status::Staging(staging), ..target.control? };
        Some(Self::new(step, at, exactly(target), Effect::Stage(patch, control)))
    }

    /// Replays to the visible records of a replica.
    pub(crate) fn mirror(at: Side, patch: Patch, home: &Store, replica: &Store) -> Self {
        let control = Control {
            status: Status::Copy,
            generation: home.generation(),
            epoch: home.control.map_or(0, |control| control.epoch),
            store: at,
        };
        Self::new(Step::Mirror, at, exactly(replica), Effect::Set(patch, control))
    }
}

pub(crate) fn exactly(seen: &Store) -> Guard {
    Guard::Exactly(seen.control, seen.records)
}

/// The control record of a home that takes over from what was the authority.
pub(super) fn live(at: Side, was: &Store, raises: u8) -> Control {
    let Generation { term, seq } = was.generation();
    Control {
        status: Status::Live,
        generation: Generation { term: term + raises, seq },
        epoch: was.control.map_or(0, |control| control.epoch),
        store: at,
    }
}
