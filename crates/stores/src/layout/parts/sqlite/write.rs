//! Applying operations: one transaction a batch, one savepoint a unit.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use restow_model::{Dialect, Key, Record, Token, UnitId, canonical};
use restow_store::failpoint::{self, Point};
use restow_store::parts::part::Codec;
use restow_store::parts::{Log, Torn};
use restow_store::{
    Batch, Current, Error, ErrorKind, Expect, Guard, Op, Purged, RecordOutcome, Result, Stamp,
    Then, UnitOps, UnitOutcome,
};
use rusqlite::{Connection, TransactionBehavior};

use super::damage::Damage;
use super::edit::PageEditor;
use super::log_rows::PartSink;
use super::unit::{self, UnitRow};
use super::{APPLY_BYTES_MAX, log_rows};
use crate::engine::sqlite::Database;
use crate::layout::parts::page::{Entry, value_names};

/// How many logs stay open from one apply to the next.
const LOGS_MAX: usize = 4;

/// What a writer keeps between applies: the logs of units that are being staged or written to.
#[derive(Debug)]
pub(super) struct Writer {
    pages: Codec,
    parts: Codec,
    /// Logs by unit number, with the version of the row that they belong to.
    logs: HashMap<i64, (i64, Log)>,
}

impl Writer {
    /// Makes a writer that keeps nothing yet.
    pub(super) fn new() -> Result<Self, Torn> {
        Ok(Self { pages: Codec::new()?, parts: Codec::new()?, logs: HashMap::new() })
    }
}

/// Why a unit's operations are not applied.
enum Stop {
    Outcome(UnitOutcome),
    Damage(Damage),
}

impl<T: Into<Damage>> From<T> for Stop {
    fn from(damage: T) -> Self {
        Self::Damage(damage.into())
    }
}

/// Applies a batch.
pub(super) fn apply(
    database: &Database,
    connection: &mut Connection,
    writer: &mut Writer,
    batch: &Batch,
) -> Result<Vec<UnitOutcome>> {
    const OPERATION: &str = "write units";
    let failed = |error| database.failed(OPERATION, error);
    let mut tx =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let mut outcomes = Vec::with_capacity(batch.units.len());
    for ops in &batch.units {
        let savepoint = tx.savepoint().map_err(failed)?;
        let outcome = match apply_unit(&savepoint, writer, ops) {
            Ok(outcome) => {
                savepoint.commit().map_err(failed)?;
                outcome
            }
            Err(stop) => {
                // The savepoint is rolled back; logs that ran ahead of it are forgotten.
                writer.logs.clear();
                drop(savepoint);
                match stop {
                    Stop::Outcome(outcome) => outcome,
                    Stop::Damage(damage @ Damage::Sqlite(_)) => {
                        return Err(damage.error(OPERATION, database, &ops.unit));
                    }
                    Stop::Damage(damage) => {
                        UnitOutcome::Failed(damage.error(OPERATION, database, &ops.unit))
                    }
                }
            }
        };
        outcomes.push(outcome);
    }
    failpoint::pass(Point::BeforeCommit)?;
    tx.commit().map_err(failed)?;
    failpoint::pass(Point::Committed)?;
    Ok(outcomes)
}

/// Removes a unit that is still as it was seen.
pub(super) fn purge(
    connection: &mut Connection,
    unit: &UnitId,
    stamp: Stamp,
) -> Result<Purged, Damage> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let Some(row) = unit::find(&tx, unit, None)? else { return Ok(Purged::Absent) };
    if stamp != Stamp::Content(row.digest) {
        return Ok(Purged::Lost);
    }
    if let Some((staged, ..)) = unit::staged(&tx, unit)? {
        unit::remove(&tx, staged)?;
    }
    unit::remove(&tx, row.unit_no)?;
    tx.commit()?;
    Ok(Purged::Removed(row.digest.records))
}

fn apply_unit(tx: &Connection, writer: &mut Writer, ops: &UnitOps) -> Result<UnitOutcome, Stop> {
    if !ops.stages_soundly() {
        let message = "a staged copy is promoted and discarded under its own token only";
        return Ok(failed(ErrorKind::Invalid, message, ops));
    }
    let weight: usize = ops.ops.iter().map(weight).sum();
    if weight > APPLY_BYTES_MAX && ops.ops.len() > 1 {
        return Ok(UnitOutcome::TooLarge);
    }
    let active = unit::find(tx, &ops.unit, None)?;
    if ops.op_id.is_some() && active.as_ref().is_some_and(|row| row.op_id == ops.op_id) {
        return Ok(UnitOutcome::AlreadyApplied);
    }
    check_guard(ops, active.as_ref())?;
    let row = match (&ops.guard, &ops.then) {
        (Guard::Staging(token), _) => staged_row(tx, &ops.unit, token)?,
        (_, Then::Stage(token)) => stage_row(tx, ops, token)?,
        _ => match active.clone() {
            Some(row) => row,
            None => unit::insert(tx, &ops.unit, ops.dialect, None)?,
        },
    };
    let (row, records) = write_records(tx, writer, row, ops)?;
    match &ops.then {
        Then::Keep | Then::Stage(_) if row.digest.records > 0 || is_staged(ops) => {}
        // A unit without records is not there.
        Then::Keep | Then::Stage(_) => unit::remove(tx, row.unit_no)?,
        Then::Promote(token) => promote(tx, ops, token, active.as_ref(), &row)?,
        Then::Discard(_) => unit::remove(tx, row.unit_no)?,
        Then::Bump | Then::Set(_) | Then::Tombstone => return Err(unmanaged(ops)),
    }
    Ok(UnitOutcome::Applied { generation: None, records })
}

fn is_staged(ops: &UnitOps) -> bool {
    matches!(ops.guard, Guard::Staging(_)) || matches!(ops.then, Then::Stage(_))
}

fn weight(op: &Op) -> usize {
    match op {
        Op::Put { record, .. } => record.weight(),
        Op::Remove { .. } | Op::Clear => 0,
    }
}

fn failed(kind: ErrorKind, message: &str, ops: &UnitOps) -> UnitOutcome {
    let error = Error::new(kind, "write units", message);
    UnitOutcome::Failed(error.with("unit", ops.unit.to_string()))
}

fn unmanaged(ops: &UnitOps) -> Stop {
    let message = "this store keeps no control records";
    Stop::Outcome(failed(ErrorKind::Unsupported, message, ops))
}

fn lost(current: Current) -> Stop {
    Stop::Outcome(UnitOutcome::Lost(current))
}

fn current(active: Option<&UnitRow>) -> Current {
    active.map_or(Current::Absent, |row| Current::Unmanaged(Some(row.digest)))
}

fn check_guard(ops: &UnitOps, active: Option<&UnitRow>) -> Result<(), Stop> {
    let holds = match &ops.guard {
        Guard::Unmanaged | Guard::Staging(_) => true,
        Guard::Absent => active.is_none(),
        Guard::Exactly(Stamp::Content(digest)) => active.is_some_and(|row| row.digest == *digest),
        Guard::Exactly(Stamp::Generation(_)) | Guard::LiveAt(_) | Guard::After(_) => {
            return Err(unmanaged(ops));
        }
    };
    if holds { Ok(()) } else { Err(lost(current(active))) }
}

fn staged_row(tx: &Connection, unit: &UnitId, token: &Token) -> Result<UnitRow, Stop> {
    unit::find(tx, unit, Some(token.as_str()))?.ok_or_else(|| lost(Current::Absent))
}

/// Returns the row of the staged copy of a token; one of another token is discarded.
fn stage_row(tx: &Connection, ops: &UnitOps, token: &Token) -> Result<UnitRow, Stop> {
    match unit::staged(tx, &ops.unit)? {
        Some((_, held, _)) if held == token.as_str() => staged_row(tx, &ops.unit, token),
        other => {
            if let Some((unit_no, ..)) = other {
                unit::remove(tx, unit_no)?;
            }
            let guard = guard_bytes(&ops.guard);
            Ok(unit::insert(tx, &ops.unit, ops.dialect, Some((token.as_str(), &guard)))?)
        }
    }
}

/// What a staging has to find again when it is promoted: anything, nothing, or just this.
fn guard_bytes(guard: &Guard) -> Vec<u8> {
    match guard {
        Guard::Absent => vec![1],
        Guard::Exactly(Stamp::Content(digest)) => [&[2][..], &digest.to_bytes()].concat(),
        _ => vec![0],
    }
}

fn promote(
    tx: &Connection,
    ops: &UnitOps,
    token: &Token,
    active: Option<&UnitRow>,
    row: &UnitRow,
) -> Result<(), Stop> {
    let staged = unit::staged(tx, &ops.unit)?.filter(|(_, held, _)| held == token.as_str());
    let (_, _, guard) = staged.ok_or_else(|| lost(Current::Absent))?;
    let found = active.map(|row| row.digest);
    let holds = match guard.split_first() {
        Some((1, [])) => found.is_none(),
        Some((2, digest)) => found.is_some_and(|found| found.to_bytes()[..] == *digest),
        _ => true,
    };
    if !holds {
        return Err(lost(current(active)));
    }
    if let Some(old) = active {
        unit::remove(tx, old.unit_no)?;
    }
    match row.digest.records {
        0 => unit::remove(tx, row.unit_no)?,
        _ => unit::promote(tx, row.unit_no)?,
    }
    Ok(())
}

/// Writes the operations into the pages and the log of a row, and saves the row.
fn write_records(
    tx: &Connection,
    writer: &mut Writer,
    mut row: UnitRow,
    ops: &UnitOps,
) -> Result<(UnitRow, Vec<RecordOutcome>), Stop> {
    let held = writer.logs.remove(&row.unit_no).filter(|(version, _)| *version == row.version);
    let mut log = match held {
        Some((_, log)) => log,
        None => log_rows::load(tx, row.unit_no, row.next, &mut writer.parts)?,
    };
    let mut pages = PageEditor::new(tx, row.unit_no, row.digest, &mut writer.pages);
    let mut sink = PartSink { connection: tx, unit_no: row.unit_no, codec: &mut writer.parts };
    let mut outcomes = Vec::with_capacity(ops.ops.len());
    for op in ops.ops.iter() {
        match op {
            Op::Clear => {
                pages.clear();
                unit::clear(tx, row.unit_no)?;
                log = Log::new(0);
            }
            Op::Remove { key, expect } => {
                expected(&mut pages, key, *expect)?;
                let removed = pages.remove(key)?;
                outcomes.push(removed.map_or(RecordOutcome::Kept, RecordOutcome::Replaced));
            }
            Op::Put { record, expect } => {
                expected(&mut pages, &record.key, *expect)?;
                let digest = record.digest();
                row.newest = row.newest.max(newest(&record.key));
                let replaced = pages.put(entry(record, &mut log, &mut sink)?)?;
                outcomes.push(match replaced {
                    None => RecordOutcome::Inserted,
                    Some(old) if old == digest => RecordOutcome::Kept,
                    Some(old) => RecordOutcome::Replaced(old),
                });
            }
        }
    }
    pages.finish()?;
    row.digest = pages.digest;
    log.flush(&mut sink)?;
    row.next = log.next();
    row.version += 1;
    row.op_id = ops.op_id.or(row.op_id);
    if ops.dialect != Dialect::Any {
        row.dialect = ops.dialect;
    }
    unit::save(tx, &row)?;
    // A whole unit in one apply is not written to again soon; a staged one is.
    if is_staged(ops) {
        if writer.logs.len() >= LOGS_MAX {
            writer.logs.clear();
        }
        writer.logs.insert(row.unit_no, (row.version, log));
    }
    Ok((row, outcomes))
}

fn expected(pages: &mut PageEditor<'_>, key: &Key, expect: Expect) -> Result<(), Stop> {
    let wanted = match expect {
        Expect::Any => return Ok(()),
        Expect::Absent => None,
        Expect::Digest(digest) => Some(digest),
    };
    let found = pages.digest_at(key)?;
    if found == wanted { Ok(()) } else { Err(lost(Current::Record(key.clone(), found))) }
}

/// Turns a record into an entry, its values going to the log.
fn entry(record: &Record, log: &mut Log, sink: &mut PartSink<'_>) -> Result<Entry, Stop> {
    let mut body = Vec::with_capacity(1024);
    canonical::encode(&record.body, &mut body);
    let names = value_names(&record.body);
    let mut pointers = Vec::with_capacity(names.len());
    let mut place = place(&record.key);
    for name in names {
        let value = record.value(&name).ok_or_else(|| {
            let message = "a record came without a value that its body names";
            let error = Error::new(ErrorKind::Invalid, "write units", message);
            Stop::Outcome(UnitOutcome::Failed(error.with("record", record.key.to_string())))
        })?;
        pointers.push((value.form, log.put(value, place, sink)?.to_bytes()));
        place = place.wrapping_add(1);
    }
    let residue = record.residue.clone();
    Ok(Entry { key: record.key.clone(), body: body.into(), pointers, residue })
}

/// Tells apart values that are not successors of each other: by all of the key but its end.
fn place(key: &Key) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.stem().hash(&mut hasher);
    hasher.finish()
}

/// Returns what orders units in lists across units: a checkpoint's id.
fn newest(key: &Key) -> Option<String> {
    match (key.kind(), key.parts().into_iter().nth(1)) {
        ("checkpoint", Some(restow_model::KeyPart::Text(id))) => Some(id),
        _ => None,
    }
}
