//! What people hand over by mistake or by bad luck: each is told by name, nothing is lost, and the
//! source is as it was.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends loudly")]

#[path = "../common/mod.rs"]
mod common;
mod files;
mod room;
mod servers;
mod sizes;
mod tables;
mod targets;
