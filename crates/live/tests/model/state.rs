//! What a store holds of the one unit of the model. No step of the protocol takes two units.

use restow_live::Side;

/// The unit's two records, each told by the operation that put it; 0 is a record that is not there.
///
/// They stand for their digest as well: equal digests are equal records.
pub(crate) type Records = [u8; 2];

pub(crate) const NOTHING: Records = [0, 0];

/// Both records, as a set of keys.
pub(crate) const BOTH_KEYS: u8 = 0b11;

/// Records to put, or to remove where they are 0, under the keys of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Patch {
    pub(crate) keys: u8,
    pub(crate) records: Records,
}

impl Patch {
    pub(crate) fn onto(self, mut records: Records) -> Records {
        for (key, record) in records.iter_mut().enumerate() {
            if self.keys & (1 << key) != 0 {
                *record = self.records[key];
            }
        }
        records
    }
}

/// A place in the one chain of a unit's writes: transfers of authority, then writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Generation {
    pub(crate) term: u8,
    pub(crate) seq: u8,
}

/// What a store is for the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Status {
    Live,
    Copy,
    Sealed,
    Staging(Staging),
}

/// A staged copy: how far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Staging {
    /// Who opened it.
    pub(crate) token: u8,
    /// What the copy holds was read from the home at this seq or later; the laps begin behind it.
    pub(crate) base: u8,
    pub(crate) progress: Progress,
}

/// How far a staged copy has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Progress {
    /// So many batches are copied; a batch is one record.
    Copied(u8),
    /// A lap has made it what the home was at `base`, which had this digest.
    Claimed(Records),
    /// It was read back, and has the digest that was claimed.
    Verified,
}

/// The control record of the unit in one store. Its generation is that of the visible records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Control {
    pub(crate) status: Status,
    pub(crate) generation: Generation,
    pub(crate) epoch: u8,
    /// The store that wrote it; another one's in a store that was cloned or restored.
    pub(crate) store: Side,
}

/// A journal entry: the write that made a seq, and the keys that it put or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) seq: u8,
    pub(crate) op: u8,
    pub(crate) keys: u8,
}

/// The journal of a store: the entries of the writes that were made there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Journal([Option<Entry>; 4]);

impl Journal {
    pub(crate) fn push(&mut self, entry: Entry) {
        self.0.rotate_left(1);
        self.0[3] = Some(entry);
    }

    pub(crate) fn find(&self, op: u8) -> Option<Entry> {
        self.entries().find(|entry| entry.op == op)
    }

    /// Whether it tells every write behind `from` up to `to`.
    pub(crate) fn tells(&self, from: u8, to: u8) -> bool {
        (from + 1..=to).all(|seq| self.entries().any(|entry| entry.seq == seq))
    }

    /// The keys written behind a seq, as far as it tells.
    pub(crate) fn keys_since(&self, from: u8) -> u8 {
        self.entries().filter(|e| e.seq > from).fold(0, |keys, entry| keys | entry.keys)
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        self.0.iter().flatten().copied()
    }
}

/// How to read the unit where a store has no control record of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum WithoutControl {
    Legacy,
    Empty,
    Closed,
    Retired,
}

/// One store: what it says of itself, and what it holds of the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Store {
    pub(crate) without: WithoutControl,
    pub(crate) control: Option<Control>,
    pub(crate) records: Records,
    pub(crate) staged: Option<Records>,
    pub(crate) journal: Journal,
}

impl Store {
    pub(crate) fn new(without: WithoutControl, records: Records) -> Self {
        Self { without, control: None, records, staged: None, journal: Journal::default() }
    }

    /// The generation of the visible records; a unit that is not there is the empty one.
    pub(crate) fn generation(&self) -> Generation {
        self.control.map(|control| control.generation).unwrap_or_default()
    }

    pub(crate) fn is(&self, status: Status) -> bool {
        self.control.is_some_and(|control| control.status == status)
    }

    pub(crate) fn staging(&self) -> Option<Staging> {
        match self.control?.status {
            Status::Staging(staging) => Some(staging),
            _ => None,
        }
    }

    /// Whether the unit lives here although no control record says so.
    pub(crate) fn is_legacy(&self) -> bool {
        let lives_here = match self.without {
            WithoutControl::Legacy => true,
            WithoutControl::Closed => self.records != NOTHING,
            WithoutControl::Empty | WithoutControl::Retired => false,
        };
        lives_here && self.control.is_none()
    }
}
