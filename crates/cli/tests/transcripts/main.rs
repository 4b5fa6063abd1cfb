//! The command line as a person sees it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends loudly")]

mod backup;
#[path = "../common/mod.rs"]
mod common;
mod help;
mod interrupt;
mod machine;
mod migrate;
mod migrate_hindered;
mod secrets;
mod table;
mod text;
