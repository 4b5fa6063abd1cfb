//! The port between restow and storage: what a store, a ledger and a query face have to do.
//!
//! Invariants:
//! - No database library, no layout: adapters live in `restow-stores`.
//! - Only [`restow_model::Record`]s cross between stores.
//! - Damage in stored data is a [`Frame`], never a panic and never the end of a stream.

pub mod address;
pub mod batch;
pub mod buffer;
pub mod capabilities;
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod environment;
pub mod error;
pub mod failpoint;
pub mod feed;
pub mod frame;
pub mod items;
pub mod journal;
pub mod ledger;
pub mod ledger_memory;
pub mod managed;
pub mod memory;
pub mod parts;
pub mod query;
pub mod register;
pub mod selection;
pub mod sound;
pub mod store;
pub mod wrap;

pub use address::Address;
pub use batch::{
    Batch, Current, Expect, Guard, Op, Purged, RecordOutcome, Stamp, Then, UnitOps, UnitOutcome,
};
pub use capabilities::{Capabilities, StoreInfo};
pub use clock::Clock;
pub use environment::Environment;
pub use error::{Error, ErrorKind, Result};
pub use frame::{Cursor, Frame, Frames, UnitHead, UnitPage, Units, fault_of, units_in_pages};
pub use journal::{Entry, Journal, Told, entries_between};
pub use register::{Etag, RegisterName, Role, StoreRecord, Swap, WithoutControl};
pub use selection::{Content, Enumeration, KeyRange, Keys, Order, Segment, Selection, View};
pub use store::{Store, Unsupported};
