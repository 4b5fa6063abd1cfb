//! Stores around stores: each adds one behaviour and passes the rest on.
//!
//! Invariants:
//! - A wrapper passes the whole conformance suite, as what it wraps does.
//! - Every method is written out, so that a new one of the port cannot slip past a wrapper.

pub mod fault;
pub mod meter;
pub mod retry;
pub mod throttle;

mod resume;

#[cfg(all(test, feature = "conformance"))]
mod conforms;
#[cfg(test)]
mod tests;

pub use fault::{Fault, FaultPlan};
pub use meter::{Counts, Meter, Tally};
pub use retry::Retry;
pub use throttle::{Rate, Throttle};
