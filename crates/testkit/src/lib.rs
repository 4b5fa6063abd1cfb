//! What tests and benches need and the product does not: generators, damage, a command line's
//! environment, measuring. Never published.
//!
//! A test that cannot have what it needs ends loudly, so this crate panics and prints.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout, clippy::print_stderr)]
// It stands outside the product: its own programs read the environment and the clock.
#![allow(clippy::disallowed_methods)]

pub mod bench;
#[cfg(unix)]
pub mod chaos;
pub mod cli;
#[cfg(unix)]
pub mod cluster;
pub mod damage;
pub mod generate;
pub mod measure;
pub mod official;
pub mod postgres;
pub mod proxy;
pub mod reading;
pub mod servers;
