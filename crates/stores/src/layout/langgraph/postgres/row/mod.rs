//! Rows ⇄ records of LangGraph on PostgreSQL; pure, nothing here speaks with a server.
//!
//! A record has one canonical row: JSON as `jsonb` prints it, primitives that JSON says exactly
//! inline, every other value a blob row of the tag `msgpack` under its channel's version. What a
//! stored row says differently travels as residue ([`residue`]). What the tables cannot be given
//! as the record says it (a second value under one version, NaN in metadata) goes into an
//! [`Adjustment`], which stays beside the row and is undone on reading.

mod adjust;
mod blob;
mod build;
mod check;
pub mod jsonb;
mod known;
mod nearest;
mod open;
mod plan;
pub mod residue;
mod sends;
mod shape;
mod write;

pub use adjust::{Adjustment, row_digest};
pub use blob::{BlobRow, StoredBlob, unreferenced, unreferenced_row};
pub use build::{CheckpointRow, checkpoint_row};
pub use check::check;
pub use known::{Content, Known};
pub use open::{CheckpointCells, Opened};
pub(super) use sends::TASKS;
pub use write::{WriteRow, write_record, write_row};

/// The bytes that a cell may hold: PostgreSQL allocates at most 1 GiB for a whole row.
pub const CELL_BYTES_MAX: usize = (1 << 30) - (1 << 16);
/// The bytes that a JSON text may hold: `jsonb` counts 28 bits for what lies in one object.
pub const JSON_BYTES_MAX: usize = (1 << 28) - (1 << 12);

/// The entry of a checkpoint that holds values of channels.
const VALUES: &str = "channel_values";
/// The entry of a checkpoint that holds versions of channels.
const VERSIONS: &str = "channel_versions";
/// The entry of a checkpoint that holds which versions each node has seen.
const SEEN: &str = "versions_seen";

#[cfg(test)]
mod tests;
