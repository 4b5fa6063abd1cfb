//! LangGraph's checkpointer, as every language's binding offers it.
//!
//! A binding serialises what its application gives and hands it over as a tag and bytes, as
//! LangGraph's own serializers name them; everything else is done here.
//!
//! Invariant: a value is handed over once. A channel that did not change since the checkpoint
//! before is named, and its bytes are found again here.

mod follow;
mod given;
mod history;
mod keep;
mod manage;
mod merge;
mod moving;
mod recent;
mod saver;
mod threads;
mod told;
mod typed;

#[cfg(test)]
mod tests;

pub use given::{CheckpointPut, Place, Stored, WritesPut};
pub use history::ChannelHistory;
pub use manage::Prune;
pub use moving::MovingThreads;
pub use saver::{CheckpointQuery, Saver, Tuples};
pub use threads::{Threads, Written};
pub use told::{Payload, PendingWrite, Tuple};
pub use typed::Typed;
