//! Numbers without a width: integers and decimals of any size, floats with every bit pattern.

use std::fmt;

/// An integer of any size, in its one decimal spelling (`-12`; never `+1`, `007` or `-0`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Integer(Box<str>);

impl Integer {
    /// Takes a decimal spelling; returns `None` where it is not the one spelling of an integer.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let padded = digits.len() > 1 && digits.starts_with('0');
        (plain && !padded && text != "-0").then(|| Self(text.into()))
    }

    /// Returns the spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the number where it fits 64 bits.
    pub fn to_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }
}

impl From<i64> for Integer {
    fn from(n: i64) -> Self {
        Self(n.to_string().into())
    }
}

impl From<u64> for Integer {
    fn from(n: u64) -> Self {
        Self(n.to_string().into())
    }
}

impl fmt::Display for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A decimal number: a coefficient and a power of ten, scale kept (`1.10` is not `1.1`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    /// The digits, as an integer.
    pub coefficient: Integer,
    /// The power of ten that the coefficient is multiplied by.
    pub exponent: i32,
}

/// A 64-bit float compared by its bits, so that −0.0 differs from 0.0; all NaNs are one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Float(u64);

impl Float {
    /// Wraps a float; every NaN becomes the quiet one.
    pub fn new(f: f64) -> Self {
        Self(if f.is_nan() { f64::NAN.to_bits() & !(1 << 63) } else { f.to_bits() })
    }

    /// Returns the float.
    pub fn get(self) -> f64 {
        f64::from_bits(self.0)
    }

    /// Returns the bits, NaN normalised.
    pub fn to_bits(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for Float {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_has_one_spelling() {
        for good in ["0", "-1", "10", "123456789012345678901234567890"] {
            assert_eq!(Integer::parse(good).map(|i| i.to_string()).as_deref(), Some(good));
        }
        for bad in ["", "-", "-0", "007", "+1", "1.0", "1e3", "0x1", " 1"] {
            assert_eq!(Integer::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn floats_are_compared_by_their_bits() {
        assert_ne!(Float::new(0.0), Float::new(-0.0));
        assert_eq!(Float::new(f64::NAN), Float::new(-f64::NAN));
    }
}
