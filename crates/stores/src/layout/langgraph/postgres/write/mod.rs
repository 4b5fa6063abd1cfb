//! Applying batches: units that are not there yet all at once, every other unit by itself.
//!
//! Invariants:
//! - A unit is changed in one transaction under its lock, and a transaction that changes several
//!   takes their locks in one order.
//! - A lost answer to a commit is `Indeterminate`, never an error and never a success.

mod load;
mod stage;
mod state;
mod unit;

use std::sync::{Mutex, PoisonError};

use postgres::Transaction;
use postgres::error::SqlState;
use postgres::types::Type;
use restow_model::{Dialect, UnitId};
use restow_store::failpoint::{self, Point};
use restow_store::feed::Stop;
use restow_store::{
    Batch, Error, ErrorKind, Op, Purged, RecordOutcome, Stamp, Then, UnitOps, UnitOutcome,
    Unsupported,
};

use super::LangGraphPostgres;
use super::row::Known;
use super::schema::expected::VERSION;
use super::shape::Shape;
use crate::engine::postgres::Fail;
use crate::engine::postgres::alone::code;

pub(super) use state::staged;

/// Why what a migration needs is refused.
const NO_CONTROL: &str = "this store keeps no control records yet";
const OPERATION: &str = "apply operations";
/// How often a unit is begun again because others wrote it at the same time.
const ATTEMPTS_MAX: usize = 10;
/// How many staged copies are remembered from one apply to the next.
const STAGINGS_MAX: usize = 16;

/// What restow's tables are like where it may write.
pub(super) const PREPARED: Shape = Shape { version: VERSION, has_path: true, has_side: true };

/// What is known of the versions of units that are being staged, from one apply to the next.
#[derive(Debug, Default)]
pub(super) struct Stagings(Mutex<Vec<(UnitId, String, Known)>>);

impl Stagings {
    fn take(&self, unit: &UnitId, token: &str) -> Option<Known> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = held.iter().position(|(u, t, _)| u == unit && t == token)?;
        Some(held.swap_remove(at).2)
    }

    fn keep(&self, unit: &UnitId, token: &str, known: Known) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= STAGINGS_MAX {
            // Another look at what is staged finds it again.
            held.remove(0);
        }
        held.push((unit.clone(), token.to_owned(), known));
    }
}

/// Why a unit's operations are not applied.
#[derive(Debug)]
enum Not {
    /// Says so itself.
    Outcome(UnitOutcome),
    /// PostgreSQL failed.
    Fail(Fail),
}

impl<F: Into<Fail>> From<F> for Not {
    fn from(fail: F) -> Self {
        Self::Fail(fail.into())
    }
}

/// Applies a batch.
pub(super) fn apply(this: &LangGraphPostgres, batch: &Batch) -> Result<Vec<UnitOutcome>, Stop> {
    let mut outcomes: Vec<Option<UnitOutcome>> =
        batch.units.iter().map(|ops| refused(this, ops)).collect();
    let open: Vec<usize> = (0..outcomes.len()).filter(|n| outcomes[*n].is_none()).collect();
    let units: Vec<&UnitOps> = open.iter().map(|n| &batch.units[*n]).collect();
    if units.len() > 1
        && units.iter().all(|ops| ops.then == Then::Keep)
        && let Some(done) = together(this, &units)?
    {
        for (n, outcome) in open.into_iter().zip(done) {
            outcomes[n] = Some(outcome);
        }
    }
    let each = outcomes.into_iter().zip(&batch.units);
    Ok(each.map(|(done, ops)| done.unwrap_or_else(|| alone(this, ops))).collect())
}

/// Refuses what needs no look at the database to be refused.
fn refused(this: &LangGraphPostgres, ops: &UnitOps) -> Option<UnitOutcome> {
    let failed = |kind, message: &str| {
        let error = Error::new(kind, OPERATION, message).with("unit", ops.unit.to_string());
        Some(UnitOutcome::Failed(error))
    };
    if ops.needs_control() {
        return failed(ErrorKind::Unsupported, NO_CONTROL);
    }
    if let Some(why) = ops.fault() {
        return failed(ErrorKind::Invalid, why);
    }
    let (mut count, mut bytes, mut first) = (0, 0usize, None);
    for op in ops.ops.iter() {
        let Op::Put { record, .. } = op else { continue };
        count += 1;
        bytes = bytes.saturating_add(record.weight());
        first = first.or(Some(&record.key));
        let mut is_whole = true;
        record.body.each_value(&mut |name| is_whole &= record.value(&name).is_some());
        if !is_whole {
            let message = "a record lacks a value that its body names";
            let error = Error::new(ErrorKind::Invalid, OPERATION, message);
            let error = error.with("unit", ops.unit.to_string());
            return Some(UnitOutcome::Failed(error.with("record", record.key.to_string())));
        }
        if let Err(why) = super::row::check(record) {
            return Some(UnitOutcome::Unsupported(why));
        }
    }
    let limits = &this.info.capabilities;
    if count > limits.apply_records_max || (count > 1 && bytes > limits.apply_bytes_max) {
        return Some(UnitOutcome::TooLarge);
    }
    let why = match ops.dialect {
        Dialect::JavaScript => "LangGraph for JavaScript keeps other rows in PostgreSQL",
        _ if ops.unit.as_str().contains('\0') => "the thread's id holds NUL",
        _ => return None,
    };
    let key = first?.clone();
    Some(UnitOutcome::Unsupported(Unsupported { key, why: why.into() }))
}

/// Applies units that are not there yet, each with one COPY a table; `None` where some unit needs
/// a closer look, and nothing was done.
fn together(
    this: &LangGraphPostgres,
    units: &[&UnitOps],
) -> Result<Option<Vec<UnitOutcome>>, Stop> {
    let mut is_done = false;
    let done = this.server.write(OPERATION, |tx| {
        lock(tx, this, units.iter().map(|ops| &ops.unit))?;
        let Some(loads) = state::fresh(tx, &this.tables, units)? else { return Ok(false) };
        load::load(tx, &this.tables, &this.tables.active, loads)?;
        failpoint::pass(Point::BeforeCommit)?;
        is_done = true;
        Ok(true)
    });
    match done {
        Ok(false) => Ok(None),
        Ok(true) => {
            failpoint::pass(Point::Committed)?;
            Ok(Some(units.iter().map(|ops| inserted(ops)).collect()))
        }
        Err(Stop::Error(error)) if error.is_retryable() && is_done => {
            Ok(Some(units.iter().map(|_| UnitOutcome::Indeterminate).collect()))
        }
        // One of them; which, each tells by itself.
        Err(Stop::Error(error)) if !error.is_retryable() => Ok(None),
        Err(stop) => Err(stop),
    }
}

fn inserted(ops: &UnitOps) -> UnitOutcome {
    let puts = ops.ops.iter().filter(|op| matches!(op, Op::Put { .. }));
    let records = puts.map(|_| RecordOutcome::Inserted).collect();
    UnitOutcome::Applied { generation: None, records }
}

/// Applies one unit in a transaction of its own, again where an application wrote the same rows
/// meanwhile: it takes no locks of restow's.
fn alone(this: &LangGraphPostgres, ops: &UnitOps) -> UnitOutcome {
    for _ in 1..ATTEMPTS_MAX {
        match attempt(this, ops) {
            UnitOutcome::Failed(error) if code(&error) == Some(&SqlState::UNIQUE_VIOLATION) => {}
            outcome => return outcome,
        }
    }
    attempt(this, ops)
}

fn attempt(this: &LangGraphPostgres, ops: &UnitOps) -> UnitOutcome {
    let (mut not, mut is_done) = (None, false);
    let done = this.server.write(OPERATION, |tx| {
        lock(tx, this, [&ops.unit])?;
        let done = match unit::apply(tx, this, ops) {
            Ok(done) => done,
            Err(Not::Fail(fail)) => return Err(fail),
            Err(Not::Outcome(outcome)) => {
                not = Some(outcome);
                // What was done so far is rolled back.
                return Err(Stop::Closed.into());
            }
        };
        failpoint::pass(Point::BeforeCommit)?;
        is_done = true;
        Ok(done)
    });
    match (not, done) {
        (Some(outcome), _) => outcome,
        (None, Ok((records, known))) => {
            if let Some((token, known)) = known {
                this.stagings.keep(&ops.unit, &token, known);
            }
            match failpoint::pass(Point::Committed) {
                Ok(()) => UnitOutcome::Applied { generation: None, records },
                Err(error) => UnitOutcome::Failed(error),
            }
        }
        (None, Err(Stop::Error(error))) if error.is_retryable() && is_done => {
            UnitOutcome::Indeterminate
        }
        (None, Err(Stop::Error(error))) => UnitOutcome::Failed(error),
        (None, Err(Stop::Closed)) => UnitOutcome::Indeterminate,
    }
}

/// Says that what needs control records is not to be had here.
pub(super) fn no_control(operation: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported, operation, NO_CONTROL)
}

/// Removes a unit and everything that belongs to it, if it is still as it was seen.
pub(super) fn purge(
    this: &LangGraphPostgres,
    unit: &UnitId,
    exactly: &Stamp,
) -> Result<Purged, Stop> {
    let Stamp::Content(seen) = exactly else {
        return Err(no_control("purge a unit").into());
    };
    this.server.write("purge a unit", |tx| {
        lock(tx, this, [unit])?;
        let purged = match state::contents(tx, &this.tables, unit)? {
            super::read::Contents::Absent => return Ok(Purged::Absent),
            super::read::Contents::Digest(Some(digest)) if digest == *seen => {
                Purged::Removed(digest.records)
            }
            super::read::Contents::Digest(_) => return Ok(Purged::Lost),
        };
        if let Some(staged) = staged(tx, &this.tables, unit, PREPARED)? {
            stage::discard(tx, &this.tables, unit, &staged)?;
        }
        stage::clear(tx, &this.tables, &this.tables.active, unit)?;
        Ok(purged)
    })
}

/// Takes the locks of units, which every writer of restow's takes, in one order.
fn lock<'u>(
    tx: &mut Transaction<'_>,
    this: &LangGraphPostgres,
    units: impl IntoIterator<Item = &'u UnitId>,
) -> Result<(), Fail> {
    let units: Vec<&str> = units.into_iter().map(UnitId::as_str).collect();
    let sql = "SELECT pg_advisory_xact_lock(h) FROM ( \
               SELECT DISTINCT hashtextextended($2 || chr(31) || u, 0) AS h \
               FROM unnest($1::text[]) u ORDER BY 1) s";
    let parameters = [(&units as _, Type::TEXT_ARRAY), (&this.tables.side as _, Type::TEXT)];
    tx.query_typed(sql, &parameters)?;
    Ok(())
}
