//! Layouts: how an application arranges its state in an engine.

#[cfg(feature = "dynamodb")]
pub mod dynamodb;
pub mod langgraph;
pub mod parts;
#[cfg(feature = "dynamodb")]
pub mod split;
