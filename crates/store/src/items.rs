//! What a store that keeps large records in parts tells of them, and tidies up, beside the port.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use restow_model::UnitId;

use crate::Result;

/// How many things of a kind are named.
pub const NAMED_MAX: usize = 20;

/// The upper bounds by which sizes are counted, in bytes: the sixth is DynamoDB's item limit.
const SIZE_BOUNDS: [u64; 9] =
    [1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 409_600, 1 << 20, 16 << 20, u64::MAX];

/// Returns the upper bound under which a size is counted.
pub fn size_bound(bytes: u64) -> u64 {
    SIZE_BOUNDS.into_iter().find(|bound| bytes <= *bound).unwrap_or(u64::MAX)
}

/// A store that keeps large records in parts, item by item.
#[async_trait]
pub trait Items: Debug + Send + Sync + 'static {
    /// Weighs every item, in one walk; nothing is changed.
    async fn weigh(&self) -> Result<Weights>;

    /// Finds what nothing points at and, where it is told to, removes it.
    ///
    /// - What a committed pointer names is never removed, whoever writes meanwhile; a writer that
    ///   has not committed yet may have to begin again.
    /// - It may be stopped at any moment and be done again.
    async fn clean(&self, how: Clean) -> Result<Cleaned>;

    /// Finds records in parts that fit an item and, where it is told to, writes them whole.
    ///
    /// - A record that was changed meanwhile stays as it is.
    async fn join(&self, is_dry: bool) -> Result<Joined>;
}

/// What a table's items weigh.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    /// How many items there are.
    pub items: u64,
    /// Their bytes, counted as the engine does.
    pub bytes: u64,
    /// By upper bounds: how many items are not larger, but larger than the bound before.
    pub sizes: BTreeMap<u64, u64>,
    /// The partitions with the most bytes, the heaviest first.
    pub heaviest: Vec<Heavy>,
    /// How many checkpoints another program split, and how many of these are whole.
    pub splits: (u64, u64),
    /// Parts that nothing points at.
    pub orphans: Named,
    /// Pointers to parts that are not there.
    pub dangling: Named,
    /// How many items carry a moment at which they expire.
    pub expiring: u64,
    /// The attribute by which the engine expires items, where that is switched on.
    pub expires_by: Option<String>,
}

/// Things that were counted, with the names of the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first of them.
    pub first: Vec<String>,
}

impl Named {
    /// Counts one more.
    pub fn add(&mut self, name: impl Into<String>, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
        if self.first.len() < NAMED_MAX {
            self.first.push(name.into());
        }
    }
}

/// A partition and its weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heavy {
    /// The unit.
    pub unit: UnitId,
    /// How many items it has.
    pub items: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// How to clean.
#[derive(Clone, Copy, Debug)]
pub struct Clean {
    /// The time, since 1970.
    pub now: Duration,
    /// What tells its age stays until it is older than this.
    pub older_than: Duration,
    /// Whether nothing is to be removed.
    pub is_dry: bool,
}

/// What was found that nothing points at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// How many items were looked at.
    pub items: u64,
    /// Parts of values that no record names.
    pub parts: Named,
    /// Another program's parts of checkpoints that are not there.
    pub split_parts: Named,
    /// Notes of writers that did not come to their end, and what else they left in units.
    pub left: Named,
    /// What is too young to be removed.
    pub young: u64,
}

/// What became of records in parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// How many records are whole already.
    pub whole: u64,
    /// Those that were written whole, or would be.
    pub joined: Named,
    /// Those that do not fit, or that the known applications could not read, with the reason.
    pub kept: Named,
}
