//! Counting distinct things in bounded memory: a sample by hash, halved whenever it is full.
//!
//! Invariant: at level L exactly the hashes whose L low bits are zero are kept, each with all its
//! occurrences: what is kept is a fair sample of the distinct things, however often they occur.

use std::collections::{HashMap, HashSet};

use super::Count;

const UNITS_HELD_MAX: usize = 1 << 17;
const PIECES_HELD_MAX: usize = 1 << 18;

fn kept(hash: u64, level: u32) -> bool {
    hash.trailing_zeros() >= level
}

/// Counts distinct hashes, exactly while there is room.
#[derive(Debug, Default)]
pub(super) struct Distinct {
    level: u32,
    held: HashSet<u64>,
}

impl Distinct {
    pub(super) fn add(&mut self, hash: u64) {
        if kept(hash, self.level) && self.held.insert(hash) && self.held.len() > UNITS_HELD_MAX {
            self.level += 1;
            let level = self.level;
            self.held.retain(|hash| kept(*hash, level));
        }
    }

    pub(super) fn count(&self) -> Count {
        Count { number: (self.held.len() as u64) << self.level, exact: self.level == 0 }
    }
}

/// Estimates which share of the bytes is left when every repetition is kept once.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    level: u32,
    held: HashMap<u64, (u64, u64)>,
}

impl Repeats {
    /// Notes a piece; true where it is in the sample and new.
    pub(super) fn add(&mut self, hash: u64, bytes: u64) -> bool {
        if !kept(hash, self.level) {
            return false;
        }
        let (_, times) = self.held.entry(hash).or_insert((bytes, 0));
        *times += 1;
        let new = *times == 1;
        if self.held.len() > PIECES_HELD_MAX {
            self.level += 1;
            let level = self.level;
            self.held.retain(|hash, _| kept(*hash, level));
        }
        new
    }

    pub(super) fn distinct_share(&self) -> f64 {
        let (mut once, mut all) = (0, 0);
        for (bytes, times) in self.held.values() {
            once += bytes;
            all += bytes * times;
        }
        if all == 0 { 1.0 } else { once as f64 / all as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use restow_model::Digest;

    fn hash(n: u64) -> u64 {
        Digest::of(&n.to_be_bytes()).short()
    }

    #[test]
    fn counts_are_exact_while_there_is_room_and_near_beyond() {
        let mut distinct = Distinct::default();
        (0..1000).chain(0..1000).for_each(|n| distinct.add(hash(n)));
        assert_eq!(distinct.count(), Count { number: 1000, exact: true });
        (0..1_000_000).for_each(|n| distinct.add(hash(n)));
        let count = distinct.count();
        assert!(!count.exact && (970_000..1_030_000).contains(&count.number), "{count:?}");
    }

    #[test]
    fn the_share_of_repetitions_survives_sampling() {
        let mut repeats = Repeats::default();
        // Every second piece stands four times: of five occurrences two are new.
        for n in 0..400_000 {
            let times = if n % 2 == 0 { 4 } else { 1 };
            (0..times).for_each(|_| {
                repeats.add(hash(n), 100);
            });
        }
        let share = repeats.distinct_share();
        assert!(repeats.level > 0 && (share - 0.4).abs() < 0.01, "{share}");
    }
}
