//! Reproducible randomness: splitmix64, and what LangGraph draws from its own.

/// A stream of numbers that a seed determines.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts the stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Starts the stream of one part (a thread) of what a seed determines.
    pub fn part(seed: u64, part: u64) -> Self {
        let mut mixed = Self(seed ^ part.wrapping_mul(0xd6e8_feb8_6659_fd93));
        Self(mixed.next())
    }

    /// Gives the next number.
    // Endless, so not an iterator.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Gives a number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        // The high product is uniform enough: ends are tiny beside 2^64.
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// Gives a number from `from` up to and including `to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// Says yes once in `of` times.
    pub fn once_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    /// Gives a fraction of `[0, 1)` with 53 bits, as Python's `random()` does.
    pub fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Gives a UUID of version 4.
    pub fn uuid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        hyphenated((high & !0xf000) | 0x4000, (low & !(3 << 62)) | (2 << 62))
    }

    /// Gives a UUID of no version, as LangGraph makes task ids from a hash.
    pub fn task_id(&mut self) -> String {
        hyphenated(self.next(), self.next())
    }
}

/// Writes 128 bits as a UUID.
pub(super) fn hyphenated(high: u64, low: u64) -> String {
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_determines_the_stream() {
        let take = |mut r: Random| [r.next(), r.next(), r.next()];
        assert_eq!(take(Random::new(7)), take(Random::new(7)));
        assert_ne!(take(Random::part(7, 0)), take(Random::part(7, 1)));
        assert_eq!(Random::new(1234567).next(), 6_457_827_717_110_365_317);
    }

    #[test]
    fn a_uuid_tells_its_version() {
        let uuid = Random::new(1).uuid();
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"));
        assert!("89ab".contains(&uuid[19..20]), "{uuid}");
    }
}
