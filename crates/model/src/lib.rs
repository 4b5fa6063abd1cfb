//! The pure values of restow: what a unit, a record, a digest and a control record *are*.
//!
//! Invariants:
//! - No I/O, no async, no clock, no randomness, no database library.
//! - Everything that is stored or compared has one canonical encoding ([`canonical`]), versioned
//!   by [`canonical::FORMAT`]; golden bytes of every released version stay readable.

pub mod body;
pub mod bucket;
pub mod canonical;
pub mod control;
pub mod digest;
pub mod key;
pub mod number;
pub mod record;
pub mod unit;
pub mod value;
mod varint;

pub use body::{Body, Map};
pub use bucket::{BUCKETS, Bucket};
pub use control::{Control, Generation, HomeState, Progress, Token};
pub use digest::{Digest, Digesting, Sum, UnitDigest};
pub use key::{Key, KeyBuilder, KeyPart};
pub use number::{Decimal, Float, Integer};
pub use record::{Record, Residue};
pub use unit::{Dialect, UnitId};
pub use value::{Form, Value, ValueRef};
pub use varint::{read_varint, varint_len, write_varint};

/// A sequence of bytes that is not what it claims to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub struct Malformed {
    /// What was found or missing, in lower case.
    pub what: &'static str,
    /// Offset of the first byte that could not be read, from the start of the input.
    pub at: usize,
}

impl Malformed {
    /// Names a fault at an offset.
    pub fn new(what: &'static str, at: usize) -> Self {
        Self { what, at }
    }
}
