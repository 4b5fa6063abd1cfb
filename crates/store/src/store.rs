//! The store: an engine opened with a layout.

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use restow_model::{Key, Record, UnitId};

use crate::{
    Batch, Cursor, Enumeration, Etag, Frames, Purged, RegisterName, Result, Role, Segment,
    Selection, Stamp, StoreInfo, StoreRecord, Swap, UnitOutcome,
};

/// A record that a layout cannot hold, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}, record {key}")]
pub struct Unsupported {
    /// The record.
    pub key: Key,
    /// What the layout cannot do with it, in lower case.
    pub why: String,
}

/// An engine opened with a layout.
///
/// Law, and a conformance case on every store: a record that was applied reads back equal, values
/// and residue included. Every point below is a case of the suite in [`crate::conformance`].
#[async_trait]
pub trait Store: Debug + Send + Sync + 'static {
    /// Says what the store is and can do, without I/O.
    fn info(&self) -> &StoreInfo;

    /// Says whether the layout can hold a record, without I/O.
    fn check(&self, record: &Record) -> Result<(), Unsupported>;

    /// Makes the store ready for a role.
    ///
    /// - Twice, or by several at once, it does what once does.
    /// - Never called on the source of a copy; a store that was never prepared is only read.
    /// - `id` names the store where it has no record yet; it keeps the record that it has.
    async fn prepare(&self, role: Role, id: &str) -> Result<StoreRecord>;

    /// Divides the store into about `want` shares of like weight.
    ///
    /// - Together the shares hold every record exactly once.
    /// - An empty store has one share, or none.
    async fn segments(&self, want: usize, by: Enumeration) -> Result<Vec<Segment>>;

    /// Walks a share: whole units, in bulk.
    ///
    /// - By [`Enumeration::Units`], units ascend, and the records of a unit ascend by key.
    /// - A `Mark` follows every unit at the latest; from its cursor a scan delivers the rest,
    ///   also from the middle of a unit, whose `Begin` is then repeated.
    /// - Damage is a frame, and the rest of the share follows it.
    async fn scan(&self, segment: Segment, from: Option<Cursor>) -> Result<Frames>;

    /// Reads units, in the order given.
    ///
    /// - A unit that is not there has no frame.
    /// - `Selection` bounds keys, order, number and content of the records.
    /// - A staged copy is seen only under its token.
    async fn read(&self, units: Vec<UnitId>, what: Selection) -> Result<Frames>;

    /// Applies operations; one outcome a unit, in the order given.
    ///
    /// - Each unit is all or nothing; one that fails does not stop the others.
    /// - When it returns, what was applied survives the death of the process.
    /// - A guard that does not hold is `Lost`, and nothing of the unit is changed.
    /// - A staged copy is invisible until it is promoted, and then visible whole.
    async fn apply(&self, batch: Batch) -> Result<Vec<UnitOutcome>>;

    /// Removes a unit and all that belongs to it, if it is still as it was seen.
    async fn purge(&self, unit: UnitId, exactly: Stamp) -> Result<Purged>;

    /// Reads a register.
    async fn register_read(&self, name: RegisterName) -> Result<Option<(Etag, Bytes)>>;

    /// Changes a register from a known version, or from absent, to new bytes.
    async fn register_swap(
        &self,
        name: RegisterName,
        was: Option<Etag>,
        now: Bytes,
    ) -> Result<Swap>;
}
