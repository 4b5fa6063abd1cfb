//! The adapters: engines, layouts on them, the ledger, and the one list that opens an address.
//!
//! Invariants:
//! - An engine knows connections, transactions and errors, and no layout.
//! - A layout turns rows into records and back; a missing file is an unsupported pair.

pub mod engine;
pub mod layout;
pub mod ledger;
pub mod registry;
