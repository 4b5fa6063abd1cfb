//! What stands beside a unit: its control record, the digest of its staged copy, its journal.

use restow_model::{Control, Digest, Generation, Token, UnitDigest, UnitId};
use restow_store::managed::{self, Beside, Held, Noted};
use restow_store::{Current, Guard, Purged, Stamp, StoreRecord, Told, UnitOps};
use rusqlite::Connection;

use super::apply::{Not, refused};
use super::put::{self, Contents};
use super::side::{ACTIVE, STAGED};
use super::stage;
use super::units::Fail;
use crate::engine::sqlite::{control, journal, registers};

/// A unit as it is found before it is changed.
pub(super) struct Look<'c> {
    connection: &'c Connection,
    unit: &'c UnitId,
    /// The control record.
    pub(super) control: Option<Control>,
    /// The digest of the copy that is staged beside it.
    pub(super) staged: UnitDigest,
}

impl<'c> Look<'c> {
    /// Looks at a unit.
    pub(super) fn of(
        connection: &'c Connection,
        unit: &'c UnitId,
        store: Option<&StoreRecord>,
    ) -> Result<Self, Not> {
        let beside = beside(connection, unit, store)?;
        let held = beside.as_ref().map(|beside| beside.control(unit)).transpose();
        let staged = beside.and_then(|beside| beside.staged()).unwrap_or_default();
        Ok(Self { connection, unit, control: held.map_err(refused)?, staged })
    }

    /// Returns the digest of the visible records, where a control record is to tell it.
    pub(super) fn visible(&self, ops: &UnitOps) -> Result<UnitDigest, Fail> {
        match (&self.control, &ops.control) {
            (Some(control), _) => Ok(control.digest),
            (None, Some(_)) if ops.guard != Guard::Absent => {
                Ok(put::sum(self.connection, &ACTIVE, self.unit)?.0)
            }
            (None, _) => Ok(UnitDigest::default()),
        }
    }

    /// Returns the digest of the copy of a token; that of nothing where it begins anew.
    pub(super) fn staged_under(&self, token: &Token) -> UnitDigest {
        let is_it = self.control.as_ref().and_then(Control::staged) == Some(token);
        if is_it { self.staged } else { UnitDigest::default() }
    }

    /// Keeps what stands beside the unit from now on; returns its generation.
    pub(super) fn settle(
        &self,
        ops: &UnitOps,
        visible: UnitDigest,
        staged: Option<UnitDigest>,
    ) -> Result<Option<Generation>, Not> {
        let after = managed::conclude(self.control.as_ref(), ops, visible);
        if let Some(now) = &after.control {
            control::save(self.connection, self.unit, &Beside::of(now, staged))?;
        }
        if let Some(entry) = &after.entry {
            journal::push(self.connection, self.unit, entry)?;
        }
        Ok(after.generation())
    }
}

impl Held for Look<'_> {
    type Error = Fail;

    fn control(&self) -> Option<&Control> {
        self.control.as_ref()
    }

    fn last_op(&self) -> Option<Digest> {
        None
    }

    fn content(&mut self) -> Result<Current, Fail> {
        Ok(match put::contents(self.connection, &ACTIVE, self.unit)? {
            Contents::Absent => Current::Absent,
            Contents::Digest(digest) => Current::Unmanaged(digest),
        })
    }

    fn staged(&mut self) -> Result<Option<Token>, Fail> {
        Ok(put::staged(self.connection, self.unit)?.map(|(token, _)| Token::new(token)))
    }

    fn noted(&mut self, op_id: Option<Digest>, after: u64) -> Result<Noted, Fail> {
        Ok(journal::noted(self.connection, self.unit, op_id, after)?)
    }
}

/// Says whether the store was prepared for a migration, so that control records may be there.
fn takes_part(store: Option<&StoreRecord>) -> bool {
    store.is_some_and(|store| store.id.is_some())
}

fn beside(
    connection: &Connection,
    unit: &UnitId,
    store: Option<&StoreRecord>,
) -> rusqlite::Result<Option<Beside>> {
    match takes_part(store) {
        true => control::read(connection, unit),
        false => Ok(None),
    }
}

/// Refuses to read from a store that is retired.
pub(super) fn not_retired(connection: &Connection, operation: &'static str) -> Result<(), Fail> {
    Ok(managed::not_retired(registers::store(connection)?.as_ref(), operation)?)
}

/// Tells a unit's control record and its writes behind a seq.
pub(super) fn journal(connection: &Connection, unit: &UnitId, after: u64) -> Result<Told, Fail> {
    let store = registers::store(connection)?;
    managed::not_retired(store.as_ref(), "read a journal")?;
    let Some(beside) = beside(connection, unit, store.as_ref())? else {
        return Ok(Told { control: None, entries: None });
    };
    let entries = journal::entries(connection, unit, after)?;
    Ok(managed::told(unit, Some(beside.control(unit)?), after, entries)?)
}

/// Forgets a unit's journal up to a seq.
pub(super) fn trim(connection: &Connection, unit: &UnitId, upto: u64) -> Result<(), Fail> {
    let store = registers::store(connection)?;
    managed::not_retired(store.as_ref(), "trim a journal")?;
    if takes_part(store.as_ref()) {
        journal::trim(connection, unit, upto)?;
    }
    Ok(())
}

/// Removes a unit and everything that belongs to it, if it is still as it was seen.
pub(super) fn purge(
    connection: &Connection,
    unit: &UnitId,
    exactly: &Stamp,
) -> Result<Purged, Fail> {
    let store = registers::store(connection)?;
    managed::lets_purge(store.as_ref(), exactly)?;
    let held = beside(connection, unit, store.as_ref())?;
    let held = held.map(|beside| beside.control(unit)).transpose()?;
    let records = match (exactly, held) {
        (Stamp::Control(seen), Some(held)) if **seen == held => held.digest.records,
        (_, Some(_)) => return Ok(Purged::Lost),
        (_, None) => match (exactly, put::contents(connection, &ACTIVE, unit)?) {
            (_, Contents::Absent) => return Ok(Purged::Absent),
            (Stamp::Content(seen), Contents::Digest(Some(digest))) if digest == *seen => {
                digest.records
            }
            _ => return Ok(Purged::Lost),
        },
    };
    put::clear(connection, &ACTIVE, unit)?;
    put::clear(connection, &STAGED, unit)?;
    stage::discard(connection, unit)?;
    stage::drop_empty(connection)?;
    if takes_part(store.as_ref()) {
        control::remove(connection, unit)?;
    }
    Ok(Purged::Removed(records))
}
