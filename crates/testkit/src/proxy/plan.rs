//! What goes wrong: a plan, and what it says of each request.

use std::time::Duration;

use crate::generate::random::Random;

/// What goes wrong, how often in a thousand requests.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Makes the history: what happens to a request follows from this and from its number.
    pub seed: u64,
    /// Requests refused for their rate, with a reason, before anything was done.
    pub throttled: u32,
    /// Requests refused because the right to make them is missing.
    pub denied: u32,
    /// Requests answered with a server's error, before anything was done.
    pub broken: u32,
    /// Requests closed without an answer, before anything was done.
    pub closed: u32,
    /// Requests closed without an answer, although everything was done.
    pub dropped: u32,
    /// Batches of which a part is left out, and told to be unprocessed.
    pub unprocessed: u32,
    /// Reads that need not be consistent and are told what they were told before.
    pub stale: u32,
    /// Requests that wait before they are sent on.
    pub delayed: u32,
    /// The longest wait.
    pub delay_max: Duration,
    /// What becomes of the conditions of requests to object storage.
    pub conditions: Conditions,
}

/// What becomes of `If-Match` and `If-None-Match`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Conditions {
    /// The server keeps them.
    #[default]
    Kept,
    /// They are taken away, as by a server that does not know them.
    Ignored,
    /// Of objects whose path holds a text, `If-None-Match` is looked up first and written
    /// afterwards, as by a server that does not do both at once.
    Raced {
        /// How many requests look before the first of them writes.
        many: usize,
        /// The text.
        of: String,
    },
}

/// What happens to one request.
#[derive(Debug)]
pub(super) struct Fate {
    pub(super) delay: Duration,
    pub(super) before: Option<Before>,
    pub(super) unprocessed: bool,
    pub(super) stale: bool,
    pub(super) dropped: bool,
    /// Draws what else the fate leaves open.
    pub(super) random: Random,
}

/// What happens instead of sending a request on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Denied,
    Throttled,
    Broken,
    Closed,
}

impl Plan {
    /// Draws every number in any case, so that one rate does not shift what another hits.
    pub(super) fn fate(&self, number: u64) -> Fate {
        let mut random = Random::part(self.seed, number);
        let mut hits = |in_a_thousand: u32| random.below(1000) < u64::from(in_a_thousand);
        let (throttled, broken, closed) =
            (hits(self.throttled), hits(self.broken), hits(self.closed));
        let (dropped, unprocessed, stale, delayed) =
            (hits(self.dropped), hits(self.unprocessed), hits(self.stale), hits(self.delayed));
        let denied = hits(self.denied);
        let before = match (denied, throttled, broken, closed) {
            (true, ..) => Some(Before::Denied),
            (_, true, ..) => Some(Before::Throttled),
            (_, _, true, _) => Some(Before::Broken),
            (.., true) => Some(Before::Closed),
            _ => None,
        };
        let share = random.fraction();
        let delay = if delayed { self.delay_max.mul_f64(share) } else { Duration::ZERO };
        Fate { delay, before, unprocessed, stale, dropped, random }
    }
}

#[cfg(test)]
mod tests {
    use super::Plan;

    #[test]
    fn a_seed_tells_the_same_again_and_one_rate_does_not_shift_another() {
        let rare = Plan { seed: 7, dropped: 100, ..Plan::default() };
        let both = Plan { throttled: 300, ..rare.clone() };
        let dropped = |plan: &Plan| -> Vec<u64> {
            (0..1000).filter(|&number| plan.fate(number).dropped).collect()
        };
        assert_eq!(dropped(&rare), dropped(&both));
        assert!((50..200).contains(&dropped(&rare).len()), "{}", dropped(&rare).len());
        assert_ne!(dropped(&rare), dropped(&Plan { seed: 8, ..rare.clone() }));
        assert!((0..1000).all(|number| rare.fate(number).before.is_none()));
    }
}
