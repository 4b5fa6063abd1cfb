//! The journal: what each write of a unit put and removed, so that it can be replayed elsewhere.

use restow_model::{Control, Digest, Key};

use crate::{Op, Then, UnitOps};

/// The account of one write: under these keys its replay reads what is there by then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Journal {
    /// Whether every record of before was removed first.
    pub cleared: bool,
    /// Keys that were put.
    pub put: Vec<Key>,
    /// Keys that were removed.
    pub removed: Vec<Key>,
}

/// A journal entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The seq that the write made.
    pub seq: u64,
    /// The write's operation id.
    pub op_id: Option<Digest>,
    /// The keys.
    pub keys: Journal,
}

/// What a store tells of a unit's writes, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The unit's control record.
    pub control: Option<Control>,
    /// The entries of all writes behind the seq asked for, oldest first; `None` where there is no
    /// control record, where an entry is missing, or where the unit has not come to that seq.
    pub entries: Option<Vec<Entry>>,
}

impl Journal {
    /// Returns the account of a write.
    pub fn of(ops: &UnitOps) -> Self {
        let mut keys = Self::default();
        for op in ops.ops.iter() {
            match op {
                Op::Put { record, .. } => keys.put.push(record.key.clone()),
                Op::Remove { key, .. } => keys.removed.push(key.clone()),
                Op::Clear => keys = Self { cleared: true, ..Self::default() },
            }
        }
        match ops.then {
            Then::Tombstone => Self { cleared: true, ..Self::default() },
            _ => keys,
        }
    }
}

/// Returns the entries of a journal that lie behind a seq, if they tell every write up to another.
pub fn entries_between(journal: &[Entry], after: u64, to: u64) -> Option<&[Entry]> {
    let first = journal.partition_point(|entry| entry.seq <= after);
    let entries = &journal[first..];
    let tells = after.checked_add(entries.len() as u64) == Some(to)
        && entries.iter().zip(after..).all(|(entry, before)| entry.seq == before + 1);
    tells.then_some(entries)
}
