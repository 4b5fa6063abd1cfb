//! The work on whole stores: assess one, copy one into another, verify that both hold the same,
//! back one up.
//!
//! Invariants:
//! - No database library and no layout: stores and ledgers are only known by their ports.
//! - No ambient time: a [`restow_store::Clock`] is handed in.
//! - Memory grows neither with the stores nor with their units: each worker holds at most a batch
//!   and one large record.

pub mod assess;
pub mod backup;
pub mod copy;
mod decide;
mod filter;
mod join;
mod limits;
mod look;
mod progress;
mod stop;
pub mod verify;

pub use assess::{AssessOptions, Assessment, assess};
pub use copy::{CopyOptions, CopyReport, Extra, OnUnsupported, Outcome, Planned, Units, copy};
pub use decide::Relation;
pub use filter::UnitFilter;
pub use progress::{Phase, Progress, Snapshot};
pub use stop::Stop;
pub use verify::{Finding, SweepReport, VerifyOptions, What, verify};
