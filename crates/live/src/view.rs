//! What a look at a store tells of a unit, as far as decisions rest on it.

use restow_model::{Control, Generation, HomeState, Progress, UnitDigest};
use restow_store::WithoutControl;

use crate::Side;

/// Where the last batch leads: no key lies behind it.
pub(crate) const END: &[u8] = &[0xff];

/// What a store is for a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The home.
    Live,
    /// A replica.
    Copy,
    /// Was the home; no more writes.
    Sealed,
    /// A staged copy is being filled beside the visible records.
    Staging(Staging),
}

/// A staged copy: how far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Staging {
    /// What the copy holds was read from the home at this seq or later; laps begin behind it.
    pub base: u64,
    /// How far it has come.
    pub progress: Filled,
}

/// How full a staged copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// Batches are left.
    Partly,
    /// All batches are copied.
    Wholly,
    /// A lap has made it what the home was at the base, which had this digest.
    Claimed(UnitDigest),
    /// It was read back, and had the digest that was claimed.
    Verified,
}

/// A unit's control record, as far as decisions rest on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What the store is for the unit.
    pub status: Status,
    /// Where the visible records stand in the chain of writes.
    pub generation: Generation,
    /// The epoch of the configuration that moved the unit last.
    pub epoch: u64,
    /// The digest of the visible records.
    pub digest: UnitDigest,
}

impl Standing {
    /// Takes what decisions rest on from a control record.
    pub fn of(control: &Control) -> Self {
        let status = match &control.state {
            HomeState::Live => Status::Live,
            HomeState::Copy => Status::Copy,
            HomeState::Sealed => Status::Sealed,
            HomeState::Staging { base, progress, .. } => {
                let progress = match progress {
                    Progress::Copying(place) if **place == *END => Filled::Wholly,
                    Progress::Copying(_) => Filled::Partly,
                    Progress::Claimed(digest) => Filled::Claimed(*digest),
                    Progress::Verified => Filled::Verified,
                };
                Status::Staging(Staging { base: *base, progress })
            }
        };
        let Control { generation, epoch, digest, .. } = *control;
        Self { status, generation, epoch, digest }
    }
}

/// What a store's journal tells of the writes behind the seq that the other store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// Whether it tells all of them.
    pub is_told: bool,
    /// How many records they put or removed, as far as it tells.
    pub records: u64,
}

impl Behind {
    /// What somebody knows who has not asked.
    pub const UNKNOWN: Self = Self { is_told: false, records: u64::MAX };
}

/// What a look at one store tells of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// How to read the unit where it has no control record.
    pub without: WithoutControl,
    /// Its control record.
    pub control: Option<Standing>,
    /// Whether it has visible records.
    pub has_records: bool,
    /// The digest of the staged copy, where there is one.
    pub staged: Option<UnitDigest>,
    /// What the journal tells.
    pub behind: Behind,
}

impl View {
    /// A store that has nothing of the unit.
    pub fn nothing(without: WithoutControl) -> Self {
        let behind = Behind::UNKNOWN;
        Self { without, control: None, has_records: false, staged: None, behind }
    }

    /// Returns the generation of the visible records; a unit that is not there is the empty one.
    pub fn generation(&self) -> Generation {
        self.control.map(|control| control.generation).unwrap_or_default()
    }

    /// Says whether the control record has a status.
    pub fn is(&self, status: Status) -> bool {
        self.control.is_some_and(|control| control.status == status)
    }

    /// Returns the staged copy that stands beside the visible records.
    pub fn staging(&self) -> Option<Staging> {
        match self.control?.status {
            Status::Staging(staging) => Some(staging),
            _ => None,
        }
    }

    /// Returns the seq up to which a move would not have to copy again.
    pub fn held(&self) -> u64 {
        self.staging().map_or(self.generation().seq, |staging| staging.base)
    }

    /// Says whether this is a replica of a home's last write; what was the home before is one.
    pub fn is_replica_of(&self, home: &Self) -> bool {
        let is_replica = self.is(Status::Copy) || self.is(Status::Sealed);
        is_replica && self.generation().seq == home.generation().seq
    }

    /// Says whether the unit lives here although no control record says so.
    pub fn is_legacy(&self) -> bool {
        let lives_here = match self.without {
            WithoutControl::Legacy => true,
            WithoutControl::Closed => self.has_records,
            WithoutControl::Empty | WithoutControl::Retired => false,
        };
        lives_here && self.control.is_none()
    }

    /// Says whether the unit is not here, and cannot begin here.
    pub fn is_closed(&self) -> bool {
        let is_closed = matches!(self.without, WithoutControl::Closed | WithoutControl::Retired);
        is_closed && self.control.is_none() && !self.is_legacy()
    }
}

/// What was seen of both stores, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// What the source told.
    pub source: View,
    /// What the target told.
    pub target: View,
}

impl Seen {
    /// Joins what was seen of a store and of the other one.
    pub fn new(first: Side, view: View, other: View) -> Self {
        match first {
            Side::Source => Self { source: view, target: other },
            Side::Target => Self { source: other, target: view },
        }
    }

    /// Returns what one store told.
    pub fn at(&self, side: Side) -> &View {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }
}
