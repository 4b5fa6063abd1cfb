//! How operations are applied to one unit: all of them, or none.

use std::collections::BTreeSet;
use std::sync::Arc;

use restow_model::{Record, Token};

use super::MemoryOptions;
use super::state::{Records, Staged, State, Unit};
use crate::{
    Current, Error, ErrorKind, Expect, Guard, Op, RecordOutcome, Then, UnitOps, UnitOutcome,
    Unsupported, managed,
};

/// Applies operations to a unit, or says why not; only then is the state as it was.
pub(super) fn apply(
    state: &mut State,
    options: &MemoryOptions,
    check: impl Fn(&Record) -> Result<(), Unsupported>,
    ops: &UnitOps,
) -> UnitOutcome {
    let tried = managed::sensible(ops, &options.capabilities)
        .map_err(UnitOutcome::Failed)
        .and_then(|()| fits(options, check, ops))
        .and_then(|()| attempt(state, ops));
    match tried {
        Ok(outcome) | Err(outcome) => outcome,
    }
}

fn attempt(state: &mut State, ops: &UnitOps) -> Result<UnitOutcome, UnitOutcome> {
    let was = state.units.get(&ops.unit).cloned().unwrap_or_default();
    let mut unit = Unit::clone(&was);
    let store = state.store_record().map_err(UnitOutcome::Failed)?;
    let Ok(admitted) = managed::admit(&mut unit, store.as_ref(), ops);
    if let Some(outcome) = admitted {
        return Err(outcome);
    }

    let mut counter = state.counter;
    let to_copy = stage(&mut unit, ops);
    let (records, dialect) = match unit.staged.as_mut().filter(|_| to_copy) {
        Some(staged) => (&mut staged.records, &mut staged.dialect),
        None => (&mut unit.records, &mut unit.dialect),
    };
    let records = run(records, &ops.ops, &mut counter).map_err(UnitOutcome::Lost)?;
    *dialect = ops.dialect;
    match &ops.then {
        Then::Promote(_) => promote(&mut unit)?,
        Then::Discard(_) => unit.staged = None,
        Then::Tombstone => unit.records = Records::default(),
        Then::Keep | Then::Stage(_) | Then::Bump => {}
    }
    let after = managed::conclude(was.control.as_ref(), ops, unit.records.digest);
    let generation = after.generation();
    unit.control = after.control;
    unit.journal.extend(after.entry);
    unit.last_op = ops.op_id;

    state.counter = counter;
    state.units.insert(ops.unit.clone(), Arc::new(unit));
    Ok(UnitOutcome::Applied { generation, records })
}

/// Makes the staged copy ready, where there is to be one; returns whether operations go to it.
fn stage(unit: &mut Unit, ops: &UnitOps) -> bool {
    if managed::forgets_staged(unit.control.as_ref(), ops) {
        unit.staged = None;
    }
    match &ops.then {
        Then::Stage(token) => open(unit, ops, token.clone()),
        Then::Promote(_) | Then::Discard(_) => {}
        _ => return matches!(ops.guard, Guard::Staging(_)),
    }
    true
}

/// Makes the staged copy, unless it is there; the guard is the one to be checked on promotion.
fn open(unit: &mut Unit, ops: &UnitOps, token: Token) {
    let records = match unit.staged.take() {
        Some(staged) if staged.token == token => {
            // Who comes under the copy's own token says nothing new about the unit.
            if matches!(ops.guard, Guard::Staging(_)) {
                unit.staged = Some(staged);
                return;
            }
            staged.records
        }
        _ => Records::default(),
    };
    let guard = managed::guard_of_staged(ops).cloned();
    unit.staged = Some(Staged { token, guard, dialect: ops.dialect, records });
}

fn run(
    records: &mut Records,
    ops: &[Op],
    counter: &mut u64,
) -> Result<Vec<RecordOutcome>, Current> {
    let mut outcomes = Vec::with_capacity(ops.len());
    for op in ops {
        match op {
            Op::Put { record, expect } => {
                expected(records, &record.key, *expect)?;
                outcomes.push(records.put(record, counter));
            }
            Op::Remove { key, expect } => {
                expected(records, key, *expect)?;
                outcomes.push(records.remove(key));
            }
            Op::Clear => *records = Records::default(),
        }
    }
    Ok(outcomes)
}

fn expected(records: &Records, key: &restow_model::Key, expect: Expect) -> Result<(), Current> {
    let now = records.digest_of(key);
    let holds = match expect {
        Expect::Any => true,
        Expect::Absent => now.is_none(),
        Expect::Digest(digest) => now == Some(digest),
    };
    if holds { Ok(()) } else { Err(Current::Record(key.clone(), now)) }
}

/// Puts the staged copy in the unit's place.
fn promote(unit: &mut Unit) -> Result<(), UnitOutcome> {
    let Some(staged) = unit.staged.take() else {
        return Err(UnitOutcome::Lost(Current::Absent));
    };
    if let Some(guard) = &staged.guard {
        let Ok(missed) = managed::unmanaged(unit, guard);
        missed.map_or(Ok(()), |current| Err(UnitOutcome::Lost(current)))?;
    }
    unit.records = staged.records;
    unit.dialect = staged.dialect;
    Ok(())
}

/// Says whether one apply has room for the records, and whether each is whole and has a place.
fn fits(
    options: &MemoryOptions,
    check: impl Fn(&Record) -> Result<(), Unsupported>,
    ops: &UnitOps,
) -> Result<(), UnitOutcome> {
    let put = || {
        ops.ops.iter().filter_map(|op| match op {
            Op::Put { record, .. } => Some(record),
            _ => None,
        })
    };
    for record in put() {
        check(record).map_err(UnitOutcome::Unsupported)?;
        whole(record)?;
    }
    let capabilities = &options.capabilities;
    let bytes: usize = put().map(Record::weight).sum();
    // One record always fits: nothing smaller could be staged instead.
    let many = put().count() > capabilities.apply_records_max;
    let heavy = put().count() > 1 && bytes > capabilities.apply_bytes_max;
    if many || heavy { Err(UnitOutcome::TooLarge) } else { Ok(()) }
}

fn whole(record: &Record) -> Result<(), UnitOutcome> {
    let carried: BTreeSet<_> = record.values.iter().map(|v| v.name).collect();
    let mut missing = None;
    record.body.each_value(&mut |name| {
        if !carried.contains(&name) {
            missing = Some(name.digest);
        }
    });
    let Some(digest) = missing else { return Ok(()) };
    let error = Error::new(ErrorKind::Invalid, "apply", "a record lacks a value that it names");
    let error = error.with("record", record.key.to_string());
    Err(UnitOutcome::Failed(error.with("value", digest.to_string())))
}
