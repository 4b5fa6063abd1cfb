//! What stands beside a unit's records: its control record and its journal.

use restow_model::{Control, Digest, Token, UnitId};
use restow_store::managed::{self, Held, Noted};
use restow_store::{Current, Purged, Result, Stamp, StoreRecord, Told};

use super::read::Ended;
use super::rows::{ReadRows, UnitRow, WriteRows};
use super::write::{Stop, engine, refused};

/// Reads what the store says of itself.
pub(in crate::layout) fn store<R: WriteRows>(
    rows: &mut R,
) -> Result<Option<StoreRecord>, Stop<R::Error>> {
    let bytes = rows.store().map_err(engine)?;
    managed::store_record(bytes.as_deref()).map_err(refused)
}

/// A unit as it is found before it is changed.
pub(in crate::layout) struct Look<'l, R> {
    pub(in crate::layout) rows: &'l mut R,
    pub(in crate::layout) unit: &'l UnitId,
    pub(in crate::layout) active: Option<&'l UnitRow>,
    pub(in crate::layout) control: Option<Control>,
}

impl<R: WriteRows> Held for Look<'_, R> {
    type Error = R::Error;

    fn control(&self) -> Option<&Control> {
        self.control.as_ref()
    }

    fn last_op(&self) -> Option<Digest> {
        self.active?.op_id
    }

    fn content(&mut self) -> Result<Current, R::Error> {
        Ok(current(self.active))
    }

    fn staged(&mut self) -> Result<Option<Token>, R::Error> {
        Ok(self.rows.staged(self.unit)?.map(|(_, staging)| Token::new(staging.token)))
    }

    fn noted(&mut self, op_id: Option<Digest>, after: u64) -> Result<Noted, R::Error> {
        self.rows.noted(self.unit, op_id, after)
    }
}

/// Says what a unit without control record holds.
pub(in crate::layout) fn current(active: Option<&UnitRow>) -> Current {
    active.map_or(Current::Absent, |row| Current::Unmanaged(Some(row.digest)))
}

/// Lists units, those with the newest checkpoints first, where the store is not retired.
pub(in crate::layout) fn newest_units<R: ReadRows>(
    rows: &mut R,
    skip: usize,
    limit: usize,
) -> Result<Vec<(UnitId, String)>, Ended<R::Error>> {
    not_retired(rows, "list units")?;
    rows.newest_units(skip, limit).map_err(Ended::Engine)
}

/// Refuses to read from a store that is retired.
pub(in crate::layout) fn not_retired<R: ReadRows>(
    rows: &mut R,
    operation: &'static str,
) -> Result<(), Ended<R::Error>> {
    let bytes = rows.store().map_err(Ended::Engine)?;
    let store = managed::store_record(bytes.as_deref())?;
    Ok(managed::not_retired(store.as_ref(), operation)?)
}

/// Tells a unit's control record and its writes behind a seq.
pub(in crate::layout) fn journal<R: ReadRows>(
    rows: &mut R,
    unit: &UnitId,
    after: u64,
) -> Result<Told, Ended<R::Error>> {
    let row = rows.units(std::slice::from_ref(unit), None).map_err(Ended::Engine)?.pop();
    not_retired(rows, "read a journal")?;
    let control = row.as_ref().map_or(Ok(None), UnitRow::control)?;
    let entries = match &control {
        Some(_) => rows.entries(unit, after).map_err(Ended::Engine)?,
        None => Vec::new(),
    };
    Ok(managed::told(unit, control, after, entries)?)
}

/// Forgets a unit's journal up to a seq.
pub(in crate::layout) fn trim<R: WriteRows>(
    rows: &mut R,
    unit: &UnitId,
    upto: u64,
) -> Result<(), Ended<R::Error>> {
    let bytes = rows.store().map_err(Ended::Engine)?;
    managed::not_retired(managed::store_record(bytes.as_deref())?.as_ref(), "trim a journal")?;
    rows.forget(unit, upto).map_err(Ended::Engine)
}

/// Removes a unit that is still as it was seen, and all that belongs to it.
pub(in crate::layout) fn purge<R: WriteRows>(
    rows: &mut R,
    unit: &UnitId,
    stamp: &Stamp,
) -> Result<Purged, Ended<R::Error>> {
    let bytes = rows.store().map_err(Ended::Engine)?;
    managed::lets_purge(managed::store_record(bytes.as_deref())?.as_ref(), stamp)?;
    let Some(row) = rows.unit(unit).map_err(Ended::Engine)? else { return Ok(Purged::Absent) };
    let is_seen = match (stamp, row.control()?) {
        (Stamp::Control(seen), Some(control)) => **seen == control,
        (Stamp::Content(seen), None) => row.digest == *seen,
        _ => false,
    };
    if !is_seen {
        return Ok(Purged::Lost);
    }
    let remove = |rows: &mut R| {
        if let Some((staged, _)) = rows.staged(unit)? {
            rows.remove_unit(staged.unit_no)?;
        }
        rows.remove_unit(row.unit_no)?;
        rows.forget(unit, u64::MAX)
    };
    remove(rows).map_err(Ended::Engine)?;
    Ok(Purged::Removed(row.digest.records))
}
