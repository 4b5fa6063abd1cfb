//! LangGraph checkpoints.
