//! LangGraph on PostgreSQL: the tables of langgraph-checkpoint-postgres 3.2.0, at version 9.
//!
//! A checkpoint is a row of JSON; values that JSON cannot say exactly, and all that are no
//! primitives, are blob rows shared by every checkpoint with the same version of the channel.

pub mod row;
pub mod schema;
pub mod shape;
pub mod tables;
