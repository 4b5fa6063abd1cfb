//! Plans: what the control record is to be after a step. The step holds only while the control
//! record is exactly the one that was seen.

use restow_model::{Generation, UnitDigest};

use super::Mover;
use crate::view::{Filled, Staging, Standing, Status, View};
use crate::{Side, Step};

/// A step to try: where, and what the unit's control record is to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The step.
    pub step: Step,
    /// The store.
    pub at: Side,
    /// The control record that is to stand afterwards; its digest is the store's to know.
    pub now: Standing,
}

fn plan(step: Step, at: Side, status: Status, generation: Generation, epoch: u64) -> Plan {
    Plan { step, at, now: Standing { status, generation, epoch, digest: UnitDigest::default() } }
}

pub(super) fn adopt(at: Side, seq: u64, epoch: u64) -> Plan {
    plan(Step::Adopt, at, Status::Live, Generation { term: 1, seq }, epoch)
}

/// Opens an empty staged copy in the target; the records that it shows stay as they are.
pub(super) fn stage(mover: Mover, home: &Standing, target: &View) -> Plan {
    let staging = Staging { base: home.generation.seq, progress: Filled::Partly };
    let to = mover.from.other();
    plan(Step::Stage, to, Status::Staging(staging), target.generation(), mover.epoch)
}

/// A staged copy that a step adds to.
pub(super) struct Copy {
    at: Side,
    control: Standing,
    pub(super) staging: Staging,
}

impl Copy {
    pub(super) fn of(at: Side, target: &View) -> Option<Self> {
        Some(Self { at, control: target.control?, staging: target.staging()? })
    }

    /// A step that leaves the base where it is.
    pub(super) fn on(&self, step: Step, progress: Filled) -> Plan {
        self.at(step, self.staging.base, progress)
    }

    /// A step that moves the base.
    pub(super) fn at(&self, step: Step, base: u64, progress: Filled) -> Plan {
        let status = Status::Staging(Staging { base, progress });
        plan(step, self.at, status, self.control.generation, self.control.epoch)
    }
}

/// Replays to the visible records of a replica.
pub(super) fn mirror(at: Side, home: Standing) -> Plan {
    plan(Step::Mirror, at, Status::Copy, home.generation, home.epoch)
}

/// Makes a copy that is good a replica.
pub(super) fn publish(home: &Standing, copy: &Copy) -> Plan {
    let generation = Generation { seq: copy.staging.base, ..home.generation };
    plan(Step::Publish, copy.at, Status::Copy, generation, copy.control.epoch)
}

/// Leaves a home as it is, under a later epoch.
pub(super) fn mark(at: Side, home: &Standing, epoch: u64) -> Plan {
    plan(Step::Mark, at, Status::Live, home.generation, epoch)
}

pub(super) fn seal(mover: Mover, home: &Standing) -> Plan {
    plan(Step::Seal, mover.from, Status::Sealed, home.generation, mover.epoch)
}

/// The control record of a home that takes over from what was the authority.
pub(super) fn live(step: Step, at: Side, was: &Standing, raises: u64) -> Plan {
    let Generation { term, seq } = was.generation;
    plan(step, at, Status::Live, Generation { term: term + raises, seq }, was.epoch)
}

pub(super) fn fence(at: Side, target: &View, term: u64) -> Plan {
    let epoch = target.control.map_or(0, |control| control.epoch);
    let generation = Generation { term, ..target.generation() };
    plan(Step::Fence, at, Status::Copy, generation, epoch)
}
