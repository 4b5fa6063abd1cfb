//! Generators of LangGraph SQLite files: rows as langgraph-checkpoint-sqlite 3.1.2 and LangGraph's
//! loop write them, quickly, of any size, and determined by a seed.
//!
//! - A thread depends on the seed and its number alone, and its first turns not on how many follow:
//!   so twice the turns is the same store, grown.
//! - Tables, tags, msgpack forms, ids, versions, parents, task paths and metadata are the official
//!   ones. Official software reads each file, writes the same bytes again for each value, and
//!   continues each thread (`tests/generated.rs`).
//! - Text is drawn from a list of words by frequency, with numbers, names and some letters outside
//!   ASCII: never filler, never noise. By zstd 3 a checkpoint alone shrinks to 1/3.4, the messages
//!   of a store, each once and in pieces of 64 KB, to 1/3.9 (agent) and 1/3.2 (chat), a whole file,
//!   which repeats its messages, to 1/28 and 1/11.
//! - Of what LangGraph can write these are missing: fan-out, errors, forks, nested sub-graphs,
//!   delta channels and values other than text, numbers, bytes and messages. The examples hold
//!   them.
//! - Every function panics where the file exists or cannot be written.

mod agent;
mod chat;
mod file;
mod graph;
mod message;
mod moment;
mod pack;
pub mod random;
mod shapes;
mod text;

use std::fmt;

pub use agent::agent;
pub use chat::{chat, edits, long_thread, window};
pub use file::mark_write_ahead;
pub use random::Random;
pub use shapes::{doubling, large_values, tiny};

/// What a generator wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Rows of `checkpoints`.
    pub checkpoints: u64,
    /// Rows of `writes`.
    pub writes: u64,
    /// Bytes of checkpoints and of values.
    pub payload: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { checkpoints, writes, payload, bytes } = self;
        let megabytes = |bytes: &u64| *bytes as f64 / 1e6;
        write!(f, "{checkpoints} checkpoints, {writes} writes, ")?;
        write!(f, "{:.1} MB of payload, {:.1} MB", megabytes(payload), megabytes(bytes))
    }
}
