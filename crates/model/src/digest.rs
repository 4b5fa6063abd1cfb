//! Digests of values and records, and sums of digests.
//!
//! A unit's and a bucket's digest are sums modulo 2^256, so that order, layout and enumeration do
//! not matter, a change is a subtraction and an addition, and a sweep needs no memory per unit.
//! Sums, not XOR: a record that appears twice must not cancel itself.

use std::fmt;

/// A BLAKE3 digest of 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Digests raw bytes, without a domain: the name of values and parts.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Takes the bytes of a stored digest.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Takes the bytes of a stored digest, where there are 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Returns the 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the first eight bytes as a number, for tables in memory.
    pub fn short(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(first)
    }
}

/// A digest of bytes that come one run after the other.
#[derive(Clone, Debug, Default)]
pub struct Digesting(blake3::Hasher);

impl Digesting {
    /// Adds the next run.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the digest of all runs: that of their bytes at once.
    pub fn finish(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

impl fmt::Display for Digest {
    /// Shows all 64 hexadecimal digits, or as many as the precision says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(64);
        for byte in &self.0[..digits.min(64) / 2] {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:.12}")
    }
}

/// A sum of digests modulo 2^256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Sum([u64; 4]);

impl Sum {
    /// Adds a digest.
    pub fn add(&mut self, digest: &Digest) {
        self.merge(&Self::words(digest));
    }

    /// Takes a digest away that was added before.
    pub fn remove(&mut self, digest: &Digest) {
        let mut borrow = false;
        for (mine, other) in self.0.iter_mut().zip(Self::words(digest).0) {
            let (n, a) = mine.overflowing_sub(other);
            let (n, b) = n.overflowing_sub(u64::from(borrow));
            (*mine, borrow) = (n, a || b);
        }
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Sum) {
        let mut carry = false;
        for (mine, other) in self.0.iter_mut().zip(other.0) {
            let (n, a) = mine.overflowing_add(other);
            let (n, b) = n.overflowing_add(u64::from(carry));
            (*mine, carry) = (n, a || b);
        }
    }

    /// Returns the 32 bytes to store, least significant first.
    pub fn to_bytes(self) -> [u8; 32] {
        let mut out = [0; 32];
        for (chunk, word) in out.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        out
    }

    /// Takes stored bytes back.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self::words(&Digest(*bytes))
    }

    fn words(digest: &Digest) -> Self {
        let mut words = [0; 4];
        for (word, chunk) in words.iter_mut().zip(digest.0.chunks_exact(8)) {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(chunk);
            *word = u64::from_le_bytes(bytes);
        }
        Self(words)
    }
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.12}", Digest(self.to_bytes()))
    }
}

/// The digest of a unit, or of any set of records: how many, and the sums of their digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct UnitDigest {
    /// Number of records.
    pub records: u64,
    /// Sum of the records' digests.
    pub bodies: Sum,
    /// Sum of the digests of their residues.
    pub residues: Sum,
}

impl UnitDigest {
    /// Number of bytes of [`UnitDigest::to_bytes`].
    pub const LEN: usize = 72;

    /// Takes a set of records away that was added before.
    pub fn take(&mut self, other: &UnitDigest) {
        self.records = self.records.wrapping_sub(other.records);
        self.bodies.remove(&Digest(other.bodies.to_bytes()));
        self.residues.remove(&Digest(other.residues.to_bytes()));
    }

    /// Adds another set of records.
    pub fn merge(&mut self, other: &UnitDigest) {
        self.records = self.records.wrapping_add(other.records);
        self.bodies.merge(&other.bodies);
        self.residues.merge(&other.residues);
    }

    /// Returns the bytes to store: count, big-endian, and the two sums.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..8].copy_from_slice(&self.records.to_be_bytes());
        out[8..40].copy_from_slice(&self.bodies.to_bytes());
        out[40..].copy_from_slice(&self.residues.to_bytes());
        out
    }

    /// Takes stored bytes back, where there are as many as there have to be.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::LEN] = bytes.try_into().ok()?;
        let (count, sums) = bytes.split_first_chunk::<8>()?;
        let (bodies, residues) = sums.split_first_chunk::<32>()?;
        Some(Self {
            records: u64::from_be_bytes(*count),
            bodies: Sum::from_bytes(bodies),
            residues: Sum::from_bytes(residues.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_sum_does_not_know_the_order(
            mut bytes in prop::collection::vec(any::<[u8; 32]>(), 0..8),
        ) {
            let sum = |bytes: &[[u8; 32]]| {
                let mut sum = Sum::default();
                bytes.iter().for_each(|b| sum.add(&Digest(*b)));
                sum
            };
            let forward = sum(&bytes);
            bytes.reverse();
            prop_assert_eq!(forward, sum(&bytes));
            let mut rest = forward;
            bytes.iter().for_each(|b| rest.remove(&Digest(*b)));
            prop_assert_eq!(rest, Sum::default());
            prop_assert_eq!(Sum::from_bytes(&forward.to_bytes()), forward);
        }

        #[test]
        fn a_unit_s_digest_is_stored_whole(records: u64, a: [u8; 32], b: [u8; 32]) {
            let digest = UnitDigest {
                records,
                bodies: Sum::from_bytes(&a),
                residues: Sum::from_bytes(&b),
            };
            prop_assert_eq!(UnitDigest::from_slice(&digest.to_bytes()), Some(digest));
        }
    }

    #[test]
    fn a_record_twice_does_not_cancel() {
        let mut sum = Sum::default();
        sum.add(&Digest::of(b"a"));
        let once = sum;
        sum.add(&Digest::of(b"a"));
        assert_ne!(sum, once);
        assert_ne!(sum, Sum::default());
    }
}
