//! Layouts: how an application arranges its state in an engine.

pub mod langgraph;
pub mod parts;
#[cfg(feature = "dynamodb")]
pub mod split;
