//! Engines: how bytes are kept. They know connections, transactions and errors, and no layout.

#[cfg(feature = "dynamodb")]
pub mod dynamodb;
pub mod fail;
#[cfg(feature = "object")]
pub mod object;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;
