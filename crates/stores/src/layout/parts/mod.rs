//! The compact layout: any application's records, in pages, with large values as parts.
//!
//! A unit's records lie in *pages*, runs of records in key order, each compressed and named by its
//! digest; their values lie in the parts of the unit's log (`restow_store::parts`). The formats are
//! described in `docs/formats.md`. The mechanism is one for all engines; an engine's folder holds
//! its tables, and how rows are found and changed in them.

pub(in crate::layout) mod beside;
pub(in crate::layout) mod damage;
mod edit;
mod log;
pub mod page;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod query;
pub(in crate::layout) mod read;
pub(in crate::layout) mod rows;
mod segments;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub(in crate::layout) mod write;
