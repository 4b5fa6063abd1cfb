//! The schema: LangGraph's four tables at version 9, and restow's own beside them.
//!
//! Invariants:
//! - [`up`] leaves what LangGraph's own `setup()` would leave, from whatever version it starts.
//! - Whoever runs it at the same time, restow or LangGraph, the tables end up whole.
//! - Nothing is changed before it is known that all of it may be changed.
//! - [`down`] removes nothing unless it is told the database's name.

mod down;
pub mod expected;
pub mod found;
mod index;
mod preflight;
mod status;
mod up;
mod verify;

use restow_store::{Address, Environment, Error, ErrorKind, Result};

use crate::engine::postgres::{Server, Settings};

pub use down::down;
pub use status::{Size, Status, status};
pub(super) use up::up_for;
pub use up::{Up, up, up_blocking};
pub use verify::{Verified, verify};

/// Names the server of an address that leads to LangGraph's tables.
pub fn server(address: &Address, environment: &Environment) -> Result<Server> {
    match (address.layout.as_deref(), address.engine.as_deref()) {
        (Some("langgraph"), Some("postgres")) => {
            Ok(Server::new(Settings::parse_in(address, environment)?))
        }
        _ => {
            let message = "only LangGraph's tables in PostgreSQL have a schema of their own; every \
                           other store makes what it needs when it is copied into";
            let error = Error::new(ErrorKind::Unsupported, "find a schema", message);
            Err(error.with("address", address.to_string()).with("known", ADDRESS))
        }
    }
}

/// What has such a schema.
const ADDRESS: &str = "langgraph+postgres://USER@HOST/DATABASE";
