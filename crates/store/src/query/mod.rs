//! Query faces: what an application asks of its state, implemented in each layout with its own
//! indexes. A registry returns a store and its query face together.

pub mod langgraph;
