//! LangGraph's checkpoints and pending writes; a unit is a thread.
//!
//! Formats as of langgraph-checkpoint 4.3.2. What every engine shares stands here: records
//! ([`record`]), payloads as byte ranges ([`msgpack`], [`packed`]), metadata ([`json`]).

pub mod beside;
pub mod dialect;
#[cfg(feature = "dynamodb")]
pub mod dynamodb;
pub mod items;
pub mod json;
pub mod json_text;
pub mod memo;
pub mod msgpack;
pub mod order;
pub mod packed;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod record;
mod spot;
#[cfg(feature = "sqlite")]
pub mod sqlite;
