//! What to read of a unit, and how to walk a whole store.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use restow_model::{Key, Token};

/// Which records of a unit to read, in which order, and how much of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The unit itself, or a staged copy of it.
    pub view: View,
    /// The keys to read.
    pub keys: Keys,
    /// The order of the records.
    pub order: Order,
    /// How many records at most.
    pub limit: Option<usize>,
    /// How much of each record.
    pub content: Content,
}

impl Selection {
    /// Selects every record, whole, in key order.
    pub fn all() -> Self {
        Self::default()
    }

    /// Selects no record: frames say only whether the unit is there and what digest is kept.
    pub fn nothing() -> Self {
        Self { content: Content::Nothing, ..Self::default() }
    }

    /// Selects the records whose keys a prefix covers.
    pub fn prefix(prefix: &Key) -> Self {
        Self { keys: KeyRange::prefix(prefix).into(), ..Self::default() }
    }

    /// Selects the records of some keys, as far as they are there.
    pub fn keys(keys: BTreeSet<Key>) -> Self {
        Self { keys: Keys::Set(Arc::new(keys)), ..Self::default() }
    }

    /// Selects every record of a staged copy.
    pub fn staged(token: Token) -> Self {
        Self { view: View::Staged(token), ..Self::default() }
    }
}

/// The unit itself, or a staged copy of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// What readers of the store see.
    #[default]
    Active,
    /// What is being staged under a token.
    Staged(Token),
}

/// The keys of some records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// All in a range.
    Range(KeyRange),
    /// Just these.
    Set(Arc<BTreeSet<Key>>),
}

impl Default for Keys {
    fn default() -> Self {
        Self::Range(KeyRange::default())
    }
}

impl From<KeyRange> for Keys {
    fn from(range: KeyRange) -> Self {
        Self::Range(range)
    }
}

impl Keys {
    /// Says whether a key is one of them.
    pub fn contains(&self, key: &Key) -> bool {
        match self {
            Self::Range(range) => range.contains(key),
            Self::Set(keys) => keys.contains(key),
        }
    }

    /// Says whether an encoded key is that of one of them.
    pub fn covers(&self, key: &[u8]) -> bool {
        match self {
            Self::Range(range) => range.covers(key),
            Self::Set(keys) => keys.contains(key),
        }
    }

    /// Returns the smallest range that holds them all.
    pub fn span(&self) -> KeyRange {
        let keys = match self {
            Self::Range(range) => return range.clone(),
            Self::Set(keys) => keys,
        };
        match (keys.first(), keys.last()) {
            (Some(first), Some(last)) => {
                KeyRange { from: first.as_bytes().clone(), to: KeyRange::one(last).to }
            }
            _ => KeyRange { from: Bytes::new(), to: Some(Bytes::new()) },
        }
    }

    /// Lists ranges that hold them and no other key, ascending; each key of a set is one.
    pub fn ranges(&self) -> impl DoubleEndedIterator<Item = KeyRange> {
        let (range, keys) = match self {
            Self::Range(range) => (Some(range.clone()), None),
            Self::Set(keys) => (None, Some(keys.iter().map(KeyRange::one))),
        };
        range.into_iter().chain(keys.into_iter().flatten())
    }
}

/// A range of encoded keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRange {
    /// The first encoded key, inclusive; empty is the beginning.
    pub from: Bytes,
    /// The end, exclusive; `None` is the end of the unit.
    pub to: Option<Bytes>,
}

impl KeyRange {
    /// Covers all keys that a prefix covers.
    pub fn prefix(prefix: &Key) -> Self {
        Self { from: prefix.as_bytes().clone(), to: Some(prefix.after_prefix()) }
    }

    /// Covers one key.
    pub fn one(key: &Key) -> Self {
        Self { from: key.as_bytes().clone(), to: Some(Self::after(key).from) }
    }

    /// Covers all keys behind one.
    pub fn after(key: &Key) -> Self {
        // No key lies between a key and the same bytes followed by zero.
        Self { from: [&key.as_bytes()[..], &[0]].concat().into(), to: None }
    }

    /// Says whether a key lies in the range.
    pub fn contains(&self, key: &Key) -> bool {
        self.covers(key.as_bytes())
    }

    /// Says whether an encoded key lies in the range.
    pub fn covers(&self, key: &[u8]) -> bool {
        key >= &self.from[..] && self.to.as_ref().is_none_or(|to| key < &to[..])
    }
}

/// The order of records inside a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By key, ascending.
    #[default]
    Ascending,
    /// By key, descending: newest first, where keys grow with time.
    Descending,
}

/// How much of each record to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// Body, residue and every value.
    #[default]
    All,
    /// Body and residue; values only by name.
    Bodies,
    /// The same, and of every value it was made sure that its bytes are there and are those of its
    /// name; a record of which that cannot be said is damaged.
    Checked,
    /// No record at all.
    Nothing,
}

/// How a whole store is walked. A copier and a sweep take different ways on purpose: what one way
/// overlooks the other finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enumeration {
    /// Unit by unit, each whole and in key order.
    Units,
    /// As the engine stores it: a unit may begin and end several times, in any order.
    Storage,
}

/// A share of a store; the shares of one call together hold every record exactly once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The way of walking.
    pub by: Enumeration,
    /// Where it begins, in the store's own terms, inclusive; `None` is the beginning.
    pub from: Option<Bytes>,
    /// Where it ends, exclusive; `None` is the end.
    pub to: Option<Bytes>,
    /// About how many bytes it holds, where the store can tell cheaply.
    pub bytes_estimate: Option<u64>,
}

impl Segment {
    /// Makes the segment that holds everything.
    pub fn whole(by: Enumeration) -> Self {
        Self { by, from: None, to: None, bytes_estimate: None }
    }
}
