//! Ledgers: the account of migrations, kept where it outlives a process.

#[cfg(feature = "sqlite")]
pub mod sqlite;
