//! Applying batches: one transaction, a savepoint for each unit.

use restow_model::{Key, Record, Token, UnitDigest, UnitId};
use restow_store::failpoint::{self, Point};
use restow_store::feed::Stop;
use restow_store::{
    Batch, Capabilities, Current, Error, ErrorKind, Expect, Guard, Op, Purged, RecordOutcome,
    Result, Stamp, Then, UnitOps, UnitOutcome,
};
use rusqlite::{Connection, TransactionBehavior, params};

use super::large;
use super::put::{self, Contents, Held, Unput};
use super::shape;
use super::side::{ACTIVE, Place, STAGED, make_stage};
use super::units::Fail;

/// Why a unit's operations are not applied.
#[derive(Debug)]
enum Not {
    /// Says so itself.
    Outcome(UnitOutcome),
    /// SQLite failed.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Not {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Fail> for Not {
    fn from(fail: Fail) -> Self {
        match fail {
            Fail::Engine(error) => Self::Sqlite(error),
            Fail::Stop(Stop::Error(error)) => Self::Outcome(UnitOutcome::Failed(error)),
            Fail::Stop(Stop::Closed) => lost(Current::Absent),
        }
    }
}

impl From<Unput> for Not {
    fn from(unput: Unput) -> Self {
        match unput {
            Unput::Unsupported(why) => Self::Outcome(UnitOutcome::Unsupported(why)),
            Unput::Sqlite(error) => Self::Sqlite(error),
        }
    }
}

fn lost(current: Current) -> Not {
    Not::Outcome(UnitOutcome::Lost(current))
}

/// Says that what needs control records is not to be had here.
pub(super) fn no_control(operation: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported, operation, "this store keeps no control records yet")
}

fn unmanaged() -> Not {
    Not::Outcome(UnitOutcome::Failed(no_control("apply operations")))
}

/// Applies a batch; `failed` names the file in errors of SQLite's.
pub(super) fn apply(
    connection: &mut Connection,
    batch: &Batch,
    limits: &Capabilities,
    failed: &dyn Fn(rusqlite::Error) -> Error,
) -> Result<Vec<UnitOutcome>> {
    let mut tx =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let mut outcomes = Vec::with_capacity(batch.units.len());
    for ops in &batch.units {
        let savepoint = tx.savepoint().map_err(failed)?;
        match unit(&savepoint, ops, limits) {
            Ok(records) => {
                savepoint.commit().map_err(failed)?;
                outcomes.push(UnitOutcome::Applied { generation: None, records });
            }
            Err(not) => {
                // SQLite rolls a whole transaction back where it cannot go on (disk full).
                if savepoint.is_autocommit() {
                    return Err(match not {
                        Not::Sqlite(error) => failed(error),
                        Not::Outcome(_) => {
                            Error::new(ErrorKind::Failed, "apply operations", "SQLite gave up")
                        }
                    });
                }
                savepoint.finish().map_err(failed)?;
                outcomes.push(match not {
                    Not::Outcome(outcome) => outcome,
                    Not::Sqlite(error) => UnitOutcome::Failed(failed(error)),
                });
            }
        }
    }
    drop_empty_stage(&tx).map_err(failed)?;
    failpoint::pass(Point::BeforeCommit)?;
    tx.commit().map_err(failed)?;
    failpoint::pass(Point::Committed)?;
    Ok(outcomes)
}

fn unit(
    connection: &Connection,
    ops: &UnitOps,
    limits: &Capabilities,
) -> Result<Vec<RecordOutcome>, Not> {
    within(ops, limits)?;
    if ops.needs_control() {
        return Err(unmanaged());
    }
    if let Some(why) = ops.fault() {
        let error = Error::new(ErrorKind::Invalid, "apply operations", why);
        return Err(Not::Outcome(UnitOutcome::Failed(error)));
    }
    let unit = &ops.unit;
    guard(connection, unit, &ops.guard)?;
    let place = match (&ops.guard, &ops.then) {
        (_, Then::Bump | Then::Tombstone) => return Err(unmanaged()),
        (Guard::Staging(_), _) => &STAGED,
        (guard, Then::Stage(token)) => {
            stage(connection, unit, token, guard)?;
            &STAGED
        }
        _ => &ACTIVE,
    };
    let mut outcomes = Vec::with_capacity(ops.ops.len());
    for op in ops.ops.iter() {
        match op {
            Op::Put { record, expect } => {
                outcomes.push(put_one(connection, place, unit, record, expect)?);
            }
            Op::Remove { key, expect } => {
                let held = expected(connection, place, unit, key, expect)?;
                outcomes.push(match held {
                    Held::Nothing => RecordOutcome::Kept,
                    held => {
                        put::remove(connection, place, unit, key)?;
                        RecordOutcome::Replaced(held.digest().unwrap_or_default())
                    }
                });
            }
            Op::Clear => put::clear(connection, place, unit)?,
        }
    }
    match &ops.then {
        Then::Promote(_) => promote(connection, unit)?,
        Then::Discard(_) => discard(connection, unit)?,
        _ => {}
    }
    Ok(outcomes)
}

/// A single record is applied however large it is: nothing smaller could be staged.
fn within(ops: &UnitOps, limits: &Capabilities) -> Result<(), Not> {
    let puts = ops.ops.iter().filter_map(|op| match op {
        Op::Put { record, .. } => Some(record),
        _ => None,
    });
    let (count, bytes) = puts.fold((0, 0usize), |(count, bytes), record| {
        (count + 1, bytes.saturating_add(record.weight()))
    });
    match count > limits.apply_records_max || (count > 1 && bytes > limits.apply_bytes_max) {
        true => Err(Not::Outcome(UnitOutcome::TooLarge)),
        false => Ok(()),
    }
}

fn put_one(
    connection: &Connection,
    place: &'static Place,
    unit: &UnitId,
    record: &Record,
    expect: &Expect,
) -> Result<RecordOutcome, Not> {
    let held = expected(connection, place, unit, &record.key, expect)?;
    if let Held::Record(held) = &held
        && held.summed() == record.summed()
    {
        return Ok(RecordOutcome::Kept);
    }
    put::check(record).map_err(|why| Not::Outcome(UnitOutcome::Unsupported(why)))?;
    whole(record)?;
    put::put(connection, place, unit, record)?;
    Ok(match held {
        Held::Nothing => RecordOutcome::Inserted,
        held => RecordOutcome::Replaced(held.digest().unwrap_or_default()),
    })
}

fn whole(record: &Record) -> Result<(), Not> {
    let mut is_whole = true;
    record.body.each_value(&mut |name| is_whole &= record.value(&name).is_some());
    if is_whole {
        return Ok(());
    }
    let error = Error::new(ErrorKind::Invalid, "apply operations", "a record lacks a value");
    Err(Not::Outcome(UnitOutcome::Failed(error.with("record", record.key.to_string()))))
}

fn expected(
    connection: &Connection,
    place: &'static Place,
    unit: &UnitId,
    key: &Key,
    expect: &Expect,
) -> Result<Held, Not> {
    let held = put::held(connection, place, unit, key)?;
    let holds = match (expect, &held) {
        (Expect::Any, _) | (Expect::Absent, Held::Nothing) => true,
        (Expect::Absent, _) => false,
        (Expect::Digest(digest), held) => held.digest() == Some(*digest),
    };
    match holds {
        true => Ok(held),
        false => Err(lost(Current::Record(key.clone(), held.digest()))),
    }
}

fn guard(connection: &Connection, unit: &UnitId, guard: &Guard) -> Result<(), Not> {
    match guard {
        Guard::Unmanaged => Ok(()),
        Guard::Absent => match put::contents(connection, &ACTIVE, unit)? {
            Contents::Absent => Ok(()),
            Contents::Digest(digest) => Err(lost(Current::Unmanaged(digest))),
        },
        Guard::Exactly(Stamp::Content(seen)) => exactly(connection, unit, seen),
        Guard::Staging(token) => match put::staged(connection, unit)? {
            Some((held, _)) if held == token.as_str() => Ok(()),
            _ => Err(lost(Current::Absent)),
        },
        Guard::Exactly(Stamp::Control(_)) | Guard::LiveAt { .. } => Err(unmanaged()),
    }
}

fn exactly(connection: &Connection, unit: &UnitId, seen: &UnitDigest) -> Result<(), Not> {
    match put::contents(connection, &ACTIVE, unit)? {
        Contents::Digest(Some(digest)) if digest == *seen => Ok(()),
        Contents::Digest(digest) => Err(lost(Current::Unmanaged(digest))),
        Contents::Absent => Err(lost(Current::Absent)),
    }
}

/// Begins a staged copy, or goes on with it; one of another token is discarded.
fn stage(connection: &Connection, unit: &UnitId, token: &Token, guard: &Guard) -> Result<(), Not> {
    make_stage(connection)?;
    if put::staged(connection, unit)?.is_some_and(|(held, _)| held != token.as_str()) {
        put::clear(connection, &STAGED, unit)?;
    }
    let guard = match guard {
        Guard::Absent => vec![1],
        Guard::Exactly(Stamp::Content(digest)) => [&[2][..], &digest.to_bytes()].concat(),
        _ => vec![0],
    };
    let sql = "INSERT OR REPLACE INTO restow_stage VALUES (?1, ?2, ?3)";
    connection.prepare_cached(sql)?.execute(params![unit.as_str(), token.as_str(), guard])?;
    Ok(())
}

fn promote(connection: &Connection, unit: &UnitId) -> Result<(), Not> {
    let (_, held) = put::staged(connection, unit)?.ok_or_else(|| lost(Current::Absent))?;
    match held.split_first() {
        Some((1, _)) => guard(connection, unit, &Guard::Absent)?,
        Some((2, digest)) => {
            let digest = UnitDigest::from_slice(digest).unwrap_or_default();
            exactly(connection, unit, &digest)?;
        }
        _ => {}
    }
    put::clear(connection, &ACTIVE, unit)?;
    let moves = [
        (
            (ACTIVE.checkpoints, STAGED.checkpoints),
            "thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, \
             metadata",
            "thread_id, checkpoint_ns, checkpoint_id",
        ),
        (
            (ACTIVE.writes, STAGED.writes),
            "thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, \
             value",
            "thread_id, checkpoint_ns, checkpoint_id, task_id, idx",
        ),
        (
            (ACTIVE.residue, STAGED.residue),
            "thread_id, key, layout, format, record, bytes",
            "thread_id, key, layout",
        ),
        ((ACTIVE.unit, STAGED.unit), "thread_id, key, body, items", "thread_id, key"),
    ];
    for ((to, from), columns, order) in moves {
        let some = format!("SELECT 1 FROM {from} WHERE thread_id = ?1");
        if !connection.prepare_cached(&some)?.exists([unit.as_str()])? {
            continue;
        }
        if to == ACTIVE.residue {
            ACTIVE.make_residue(connection)?;
        } else if to == ACTIVE.unit {
            ACTIVE.make_unit(connection)?;
        }
        let large = match to {
            _ if to == ACTIVE.checkpoints => Some(("checkpoint", Some("metadata"))),
            _ if to == ACTIVE.writes => Some(("value", None)),
            _ => None,
        };
        large::move_rows(connection, (to, from), (columns, order), large, unit.as_str())?;
    }
    discard(connection, unit)
}

fn discard(connection: &Connection, unit: &UnitId) -> Result<(), Not> {
    put::clear(connection, &STAGED, unit)?;
    let sql = "DELETE FROM restow_stage WHERE thread_id = ?1";
    connection.prepare_cached(sql)?.execute([unit.as_str()])?;
    Ok(())
}

fn drop_empty_stage(connection: &Connection) -> rusqlite::Result<()> {
    if shape::exists(connection, "restow_stage")?
        && !connection.prepare("SELECT 1 FROM restow_stage LIMIT 1")?.exists([])?
    {
        for table in STAGED.tables().into_iter().chain(["restow_stage"]) {
            connection.execute(&format!("DROP TABLE IF EXISTS {table}"), [])?;
        }
    }
    Ok(())
}

/// Removes a unit and everything that belongs to it, if it is still as it was seen.
pub(super) fn purge(
    connection: &mut Connection,
    unit: &UnitId,
    exactly: &Stamp,
    failed: &dyn Fn(rusqlite::Error) -> Error,
) -> Result<Purged> {
    let Stamp::Content(seen) = exactly else {
        return Err(no_control("purge a unit"));
    };
    let tx =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let contents = put::contents(&tx, &ACTIVE, unit).map_err(|fail| match fail {
        Fail::Engine(error) => failed(error),
        Fail::Stop(_) => Error::new(ErrorKind::Failed, "purge a unit", "reading it stopped"),
    })?;
    let purged = match contents {
        Contents::Absent => Purged::Absent,
        Contents::Digest(Some(digest)) if digest == *seen => Purged::Removed(digest.records),
        Contents::Digest(_) => return Ok(Purged::Lost),
    };
    let remove = || -> rusqlite::Result<()> {
        put::clear(&tx, &ACTIVE, unit)?;
        put::clear(&tx, &STAGED, unit)?;
        if shape::exists(&tx, "restow_stage")? {
            tx.execute("DELETE FROM restow_stage WHERE thread_id = ?1", [unit.as_str()])?;
        }
        drop_empty_stage(&tx)
    };
    remove().map_err(failed)?;
    tx.commit().map_err(failed)?;
    Ok(purged)
}
