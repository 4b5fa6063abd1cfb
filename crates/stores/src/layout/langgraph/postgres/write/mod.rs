//! Applying batches: units that are not there yet all at once, every other unit by itself.
//!
//! Invariants:
//! - A unit is changed in one transaction under its lock, and a transaction that changes several
//!   takes their locks in one order.
//! - A lost answer to a commit is `Indeterminate`, never an error and never a success.

mod changes;
mod held;
mod load;
mod stage;
mod state;
mod unit;

use std::sync::{Mutex, PoisonError};

use postgres::error::SqlState;
use postgres::types::Type;
use restow_model::{Dialect, UnitId};
use restow_store::failpoint::{self, Point};
use restow_store::feed::Stop;
use restow_store::managed::{self, Held};
use restow_store::{
    Batch, Current, Error, ErrorKind, Guard, Op, Purged, RecordOutcome, RegisterName, Stamp, Then,
    UnitOps, UnitOutcome, Unsupported,
};

use super::LangGraphPostgres;
use super::row::Known;
use super::schema::expected::VERSION;
use super::shape::Shape;
use crate::engine::postgres::alone::code;
use crate::engine::postgres::{Fail, Transaction, control, journal, registers};
use held::Look;
use unit::Done;

pub(super) use state::staged;

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

fn lost(current: Current) -> Not {
    Not::Outcome(UnitOutcome::Lost(current))
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
    // One unit alone is probably there, unless whoever writes it knows better.
    let may_be_new = units.len() > 1 || units.iter().any(|ops| ops.guard == Guard::Absent);
    if may_be_new
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
    if let Err(error) = managed::sensible(ops, &this.info.capabilities) {
        return Some(UnitOutcome::Failed(error));
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
    let Some(loads) = state::only_new(units) else { return Ok(None) };
    let mut is_done = false;
    let done = this.server.write(OPERATION, |tx| {
        lock(tx, this, units.iter().map(|ops| &ops.unit))?;
        if state::is_any_there(tx, &this.tables, units)? {
            return Ok(false);
        }
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
        (None, Ok(Done { generation, records, known })) => {
            if let Some((token, known)) = known {
                this.stagings.keep(&ops.unit, &token, known);
            }
            match failpoint::pass(Point::Committed) {
                Ok(()) => UnitOutcome::Applied { generation, records },
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

/// Removes a unit and everything that belongs to it, if it is still as it was seen.
pub(super) fn purge(
    this: &LangGraphPostgres,
    unit: &UnitId,
    exactly: &Stamp,
) -> Result<Purged, Stop> {
    let tables = &*this.tables;
    this.server.write("purge a unit", |tx| {
        lock(tx, this, [unit])?;
        let mut look = Look::at(tx, tables, unit)?;
        managed::lets_purge(look.store.as_ref(), exactly)?;
        let purged = match (exactly, &look.control) {
            (Stamp::Control(seen), Some(control)) if **seen == *control => {
                Purged::Removed(control.digest.records)
            }
            (_, Some(_)) => return Ok(Purged::Lost),
            (stamp, None) => match (look.content()?, stamp) {
                (Current::Absent, _) => return Ok(Purged::Absent),
                (Current::Unmanaged(Some(digest)), Stamp::Content(seen)) if digest == *seen => {
                    Purged::Removed(digest.records)
                }
                _ => return Ok(Purged::Lost),
            },
        };
        let is_live = look.takes_part();
        let Look { staged, .. } = look;
        if let Some(staged) = staged {
            stage::discard(tx, tables, unit, &staged)?;
        }
        stage::clear(tx, tables, &tables.active, unit)?;
        if is_live {
            control::remove(tx, &tables.control, unit)?;
            journal::trim(tx, &tables.journal, unit, u64::MAX)?;
        }
        Ok(purged)
    })
}

/// Forgets a unit's journal up to a seq.
pub(super) fn trim(this: &LangGraphPostgres, unit: &UnitId, upto: u64) -> Result<(), Stop> {
    const OPERATION: &str = "trim a journal";
    this.server.write(OPERATION, |tx| {
        lock(tx, this, [unit])?;
        let look = Look::at(tx, &this.tables, unit)?;
        managed::not_retired(look.store.as_ref(), OPERATION)?;
        if look.takes_part() {
            journal::trim(look.tx, &this.tables.journal, unit, upto)?;
        }
        Ok(())
    })
}

/// Ends the store's part in migrations.
pub(super) fn release(this: &LangGraphPostgres) -> Result<(), Stop> {
    let tables = &*this.tables;
    this.server.write("release a store", |tx| {
        if registers::release(tx, &tables.register)? {
            let (control, journal) = (&tables.control, &tables.journal);
            tx.batch_execute(&format!("DELETE FROM {control}; DELETE FROM {journal}"))?;
        }
        Ok(())
    })
}

/// Takes the locks of units, which every writer of restow's takes, in one order, and holds what the
/// store says of itself as it is: whoever retires it waits for all who write.
fn lock<'u>(
    tx: &mut Transaction<'_>,
    this: &LangGraphPostgres,
    units: impl IntoIterator<Item = &'u UnitId>,
) -> Result<(), Fail> {
    let units: Vec<&str> = units.into_iter().map(UnitId::as_str).collect();
    let sql = "WITH store AS MATERIALIZED ( \
               SELECT pg_advisory_xact_lock_shared(hashtextextended($3, 0)) \
               ) SELECT pg_advisory_xact_lock(h) FROM store, ( \
               SELECT DISTINCT hashtextextended($2 || chr(31) || u, 0) AS h \
               FROM unnest($1::text[]) u ORDER BY 1) s";
    let store = registers::lock_name(&this.tables.register, &RegisterName::store());
    let parameters = [
        (&units as _, Type::TEXT_ARRAY),
        (&this.tables.side as _, Type::TEXT),
        (&store as _, Type::TEXT),
    ];
    tx.query_typed(sql, &parameters)?;
    Ok(())
}
