//! Hash buckets: which share of a rollout, and which line of a sweep, a unit belongs to.

use crate::UnitId;

/// Number of buckets: basis points, so that a rollout's percentage has two decimals.
pub const BUCKETS: u16 = 10_000;

/// The bucket of a unit, below [`BUCKETS`]; the same in every process and language for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(u16);

impl Bucket {
    /// Returns the bucket of a unit under a salt (a migration's id): the first eight bytes of
    /// BLAKE3(salt, unit) as a big-endian number, modulo [`BUCKETS`].
    pub fn of(salt: &[u8], unit: &UnitId) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(salt);
        hasher.update(unit.as_str().as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        Self((u64::from_be_bytes(first) % u64::from(BUCKETS)) as u16)
    }

    /// Returns the number.
    pub fn get(self) -> u16 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_buckets() {
        let of = |salt: &str, unit: &str| Bucket::of(salt.as_bytes(), &UnitId::new(unit)).get();
        let golden = [of("", ""), of("", "thread-1"), of("m-1", "thread-1"), of("m-1", "größe")];
        assert_eq!(golden, [6438, 6998, 5480, 5222]);
    }

    #[test]
    fn units_spread_evenly() {
        let mut low = 0;
        for n in 0..10_000 {
            low += u32::from(Bucket::of(b"m", &UnitId::new(format!("unit-{n}"))).get() < 2500);
        }
        assert!((2300..2700).contains(&low), "{low} of 10,000 in a quarter of the buckets");
    }
}
