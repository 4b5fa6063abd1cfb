//! Applying batches: one transaction, a savepoint for each unit.

use restow_model::UnitDigest;
use restow_store::failpoint::{self, Point};
use restow_store::feed::Stop;
use restow_store::{
    Batch, Capabilities, Current, Error, ErrorKind, Guard, Op, Result, StoreRecord, Then, UnitOps,
    UnitOutcome, managed,
};
use rusqlite::{Connection, TransactionBehavior};

use super::changes::Changes;
use super::control::Look;
use super::put::Unput;
use super::side::{ACTIVE, STAGED};
use super::stage;
use super::units::Fail;
use crate::engine::sqlite::registers;

const OPERATION: &str = "apply operations";

/// Why a unit's operations are not applied.
#[derive(Debug)]
pub(super) enum Not {
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

pub(super) fn lost(current: Current) -> Not {
    Not::Outcome(UnitOutcome::Lost(current))
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
    let store = registers::store(&tx).map_err(|fail| fail.error(OPERATION, failed))?;
    let mut outcomes = Vec::with_capacity(batch.units.len());
    for ops in &batch.units {
        let savepoint = tx.savepoint().map_err(failed)?;
        match unit(&savepoint, ops, limits, store.as_ref()) {
            Ok(outcome) => {
                savepoint.commit().map_err(failed)?;
                outcomes.push(outcome);
            }
            Err(not) => {
                // SQLite rolls a whole transaction back where it cannot go on (disk full).
                if savepoint.is_autocommit() {
                    return Err(match not {
                        Not::Sqlite(error) => failed(error),
                        Not::Outcome(_) => {
                            Error::new(ErrorKind::Failed, OPERATION, "SQLite gave up")
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
    stage::drop_empty(&tx).map_err(failed)?;
    failpoint::pass(Point::BeforeCommit)?;
    tx.commit().map_err(failed)?;
    failpoint::pass(Point::Committed)?;
    Ok(outcomes)
}

fn unit(
    connection: &Connection,
    ops: &UnitOps,
    limits: &Capabilities,
    store: Option<&StoreRecord>,
) -> Result<UnitOutcome, Not> {
    within(ops, limits)?;
    managed::sensible(ops, limits).map_err(refused)?;
    let unit = &ops.unit;
    let mut held = Look::of(connection, unit, store)?;
    if let Some(outcome) = managed::admit(&mut held, store, ops)? {
        return Err(Not::Outcome(outcome));
    }
    if managed::forgets_staged(held.control.as_ref(), ops) {
        stage::discard(connection, unit)?;
    }
    let visible = held.visible(ops)?;
    let (place, digest) = match (&ops.guard, &ops.then) {
        (Guard::Staging(_), _) => (&STAGED, held.staged),
        (_, Then::Stage(token)) => {
            stage::begin(connection, ops, token)?;
            (&STAGED, held.staged_under(token))
        }
        (_, Then::Promote(_) | Then::Discard(_)) => (&STAGED, held.staged),
        _ => (&ACTIVE, visible),
    };
    let is_managed = held.control.is_some() || ops.control.is_some();
    let mut changes = Changes { connection, place, unit, digest, is_unknown: false };
    let records = changes.all(ops)?;
    let changed = if is_managed { changes.digest()? } else { UnitDigest::default() };
    match &ops.then {
        Then::Promote(_) => stage::promote(connection, unit)?,
        Then::Discard(_) => stage::discard(connection, unit)?,
        _ => {}
    }
    let (visible, staged) = match &ops.then {
        Then::Promote(_) => (changed, None),
        _ if *place == STAGED => (visible, Some(changed)),
        _ => (changed, Some(held.staged)),
    };
    let generation = held.settle(ops, visible, staged)?;
    Ok(UnitOutcome::Applied { generation, records })
}

pub(super) fn refused(error: Error) -> Not {
    Not::Outcome(UnitOutcome::Failed(error))
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
