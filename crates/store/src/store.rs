//! The store: an engine opened with a layout.

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use restow_model::{Key, Record, UnitId};

use crate::{
    Batch, Content, Cursor, Enumeration, Etag, Frame, Frames, Purged, RegisterName, Result, Role,
    Segment, Selection, Stamp, StoreInfo, StoreRecord, Swap, Told, UnitOutcome, Units,
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
/// and residue included. Every point below is a case of the suite in `conformance`, beside which
/// [`crate::memory`] is the reference. What [`crate::Capabilities`] say that a store cannot do is
/// refused with [`crate::ErrorKind::Unsupported`].
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
    /// - The target of a copy has no id, and no register is written; the stores of a migration
    ///   keep their record in the register [`RegisterName::store`].
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
    /// - By [`Enumeration::Storage`] a unit may come in pieces; a unit without records has none,
    ///   and the end of a piece tells no digest.
    /// - Damage is a frame, and the rest of the share follows it.
    /// - Staged copies are not part of any share.
    /// - `content` bounds what is read of each record, as it does for [`Store::read`].
    /// - A retired store can still be scanned, so that it can be purged.
    async fn scan(
        &self,
        segment: Segment,
        from: Option<Cursor>,
        content: Content,
    ) -> Result<Frames>;

    /// Reads units, in the order given.
    ///
    /// - A unit that is not there has no frame.
    /// - `Selection` bounds keys, order, number and content of the records.
    /// - A staged copy is seen only under its token.
    /// - Where digests are kept, a unit's end tells the sum over all its records, whatever part of
    ///   them was selected; under a control record it always does, also of the staged copy.
    /// - A retired store refuses to be read ([`crate::ErrorKind::Retired`]), at once or by what
    ///   ends the frames: otherwise a purged unit reads as one that never was.
    async fn read(&self, units: Vec<UnitId>, what: Selection) -> Result<Frames>;

    /// Lists the units that are there, ascending, each with its control record.
    ///
    /// - A unit that was removed is there while its control record is; a staged copy alone is not.
    /// - A retired store can still be listed.
    /// - It need not be of one moment: what comes or goes meanwhile may be listed or not.
    /// - A control record that cannot be read is told with its unit; the rest follows.
    /// - Without a way of its own a store is walked, records and all, but for their values.
    async fn units(&self) -> Result<Units> {
        let frames = self.scan(Segment::whole(Enumeration::Units), None, Content::Bodies).await?;
        Ok(Box::pin(frames.filter_map(|frame| async {
            match frame {
                Ok(Frame::Begin { unit, control, .. }) => Some(Ok((unit, Ok(control)))),
                Ok(_) => None,
                Err(error) => Some(Err(error)),
            }
        })))
    }

    /// Applies operations; one outcome a unit, in the order given.
    ///
    /// Of any unit:
    /// - Each unit is all or nothing; one that fails does not stop the others.
    /// - When it returns, what was applied survives the death of the process.
    /// - A guard that does not hold is `Lost`, and nothing of the unit is changed.
    /// - What [`crate::UnitOps::fault`] says makes no sense is `Failed` (`Invalid`).
    /// - Operations run in order, each on what those before it left.
    /// - A put record carries every value that its body names; otherwise the unit is `Failed`
    ///   (`Invalid`), and the error names the record.
    /// - The last operation of a unit, repeated under its id, does nothing more: `AlreadyApplied`,
    ///   or `Applied` where a store without control records keeps no ids. One that the journal
    ///   tells is recognised also behind later ones, and before its guard is looked at.
    /// - More than the capabilities allow is `TooLarge`, counted by [`Record::weight`]; a single
    ///   record always fits.
    ///
    /// Of a unit without control record:
    /// - Without records it is not there, and has no content to be `Exactly` at; a staged copy does
    ///   not make it be there.
    /// - A staged copy is invisible until it is promoted; then it is the unit, and what the unit
    ///   held before is gone. The guard given with [`crate::Then::Stage`] is checked again.
    /// - A store that takes part in a migration refuses [`crate::Guard::Unmanaged`], unless the
    ///   unit gets its first control record by it.
    ///
    /// Of a unit with a control record:
    /// - The control record given stands afterwards, in the same step as what `Keep`, `Stage`,
    ///   `Promote` or `Discard` does; its digest and operation id are the store's to fill in. One
    ///   that was made for another store is refused.
    /// - It says `Staging` just while there is a staged copy of that token. A first control record
    ///   and a staging under another token begin without what was staged before.
    /// - Its generation and digest are those of the visible records, also beside a staged copy.
    /// - `Bump` and `Tombstone` are writes at home: `Lost` unless the unit is live, even where the
    ///   guard holds. Each raises the seq by one, keeps the digest by difference (without reading
    ///   the unit) and leaves a journal entry. A `Bump` that leaves records ends a tombstone.
    /// - `LiveAt` holds only where the journal tells every write behind the seq given: otherwise an
    ///   operation that comes late would not be recognised.
    ///
    /// A retired store refuses every apply ([`crate::ErrorKind::Retired`]), and finds out in the
    /// same transaction.
    async fn apply(&self, batch: Batch) -> Result<Vec<UnitOutcome>>;

    /// Tells the control record of a unit and its writes behind a seq, at one moment.
    ///
    /// - It tells all of them, or says that it cannot.
    /// - The journal stays when the unit's home changes; what came from elsewhere is a gap in it.
    /// - A retired store refuses ([`crate::ErrorKind::Retired`]).
    async fn journal(&self, unit: UnitId, after: u64) -> Result<Told>;

    /// Forgets the journal entries of a unit up to a seq.
    ///
    /// - It may be done at any time, twice, and to a unit that is not there.
    /// - Nothing else changes, the control record least of all.
    /// - A retired store refuses ([`crate::ErrorKind::Retired`]).
    async fn trim(&self, unit: UnitId, upto: u64) -> Result<()>;

    /// Removes a unit and all that belongs to it, if it is still as it was seen.
    ///
    /// - Control record, journal and staged copy go with the records.
    /// - A unit that is not as it was seen stays; one that is not there is told.
    /// - Only a retired store lets a control record go, and a store that takes part in a migration
    ///   lets nothing go before; they refuse ([`crate::ErrorKind::Refused`]).
    async fn purge(&self, unit: UnitId, exactly: Stamp) -> Result<Purged>;

    /// Ends the store's part in a migration: control records, journals and the store's record go,
    /// and the units stay as units of a store that was never in one.
    ///
    /// - Whoever asks for it has made sure that every unit lives here, and that nobody routes any
    ///   more. A unit that was removed leaves nothing.
    /// - It may be done twice, and to a store that takes part in none.
    /// - A retired store refuses ([`crate::ErrorKind::Retired`]).
    async fn release(&self) -> Result<()>;

    /// Lets the engine put itself in order after much was written, such as its statistics.
    ///
    /// - Nothing that can be read changes.
    async fn optimize(&self) -> Result<()> {
        Ok(())
    }

    /// Reads a register; `None` where it was never written.
    async fn register_read(&self, name: RegisterName) -> Result<Option<(Etag, Bytes)>>;

    /// Changes a register from a known version, or from absent, to new bytes.
    ///
    /// - A version is never given twice, not even to the same bytes.
    /// - Of several that swap from one version exactly one wins; the others are told what is there.
    async fn register_swap(
        &self,
        name: RegisterName,
        was: Option<Etag>,
        now: Bytes,
    ) -> Result<Swap>;
}
