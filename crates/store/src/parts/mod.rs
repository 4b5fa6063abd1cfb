//! Parts: large values as small pointers to immutable, verified pieces.
//!
//! A value is *cut* into pieces at the boundaries of its elements ([`cut`]); equal pieces of one
//! unit are kept once, as numbered elements of the unit's log ([`log`]); elements lie together in
//! compressed *parts* named by the digest of their raw bytes ([`part`]); a [`mod@pointer`] says
//! which runs of elements make the value, and *join* puts it together again with every check.
//!
//! A list that grows by one message adds that message, and a pointer of constant size. A list that
//! is edited adds a few nodes of a tree behind the pointer, never a copy of the pointer.
//!
//! Invariants:
//! - A part's raw bytes match its name, a value's joined bytes match the digest in the body that
//!   names it, or the reader gets an error that says which part or value does not.
//! - Parts are shared inside a unit only: a unit can be removed alone.
//! - Payloads are cut and spliced as byte ranges, never decoded into objects.

pub mod cut;
pub mod join;
pub mod log;
pub mod part;
pub mod pointer;

pub use join::{Fetch, Joiner};
pub use log::{Log, Sink, TAIL_BYTES_MAX};
pub use part::Part;
pub use pointer::Pointer;

use restow_model::Malformed;

/// Why a value could not be put together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Torn {
    /// A part that a pointer needs is not there.
    #[error("the part with element {element} is missing")]
    Missing {
        /// The first element that no part holds.
        element: u64,
    },
    /// A part's bytes are not what its name says.
    #[error("the part from element {first} on is damaged: {why}")]
    Part {
        /// The first element of the part.
        first: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A pointer cannot be read.
    #[error("a pointer is damaged: {0}")]
    Pointer(#[from] Malformed),
    /// The joined bytes are not the value that was asked for.
    #[error("a value of {expected} bytes was joined from its parts to {found}, or to other bytes")]
    Value {
        /// How many bytes its name says.
        expected: u64,
        /// How many bytes came out.
        found: u64,
    },
    /// The parts could not be read at all.
    #[error("the parts cannot be read: {0}")]
    Unreadable(String),
}
