//! How operations are applied to one unit: all of them, or none.

use std::collections::BTreeSet;
use std::sync::Arc;

use restow_model::{Control, HomeState, Record, Token};

use super::MemoryOptions;
use super::state::{Records, Staged, State, Unit};
use crate::{
    Current, Entry, Error, ErrorKind, Expect, Guard, Journal, Op, RecordOutcome, Then, UnitOps,
    UnitOutcome, Unsupported,
};

/// Applies operations to a unit, or says why not; only then is the state as it was.
pub(super) fn apply(
    state: &mut State,
    options: &MemoryOptions,
    check: impl Fn(&Record) -> Result<(), Unsupported>,
    ops: &UnitOps,
) -> UnitOutcome {
    let tried = may(state, options, ops)
        .and_then(|()| fits(options, check, ops))
        .and_then(|()| attempt(state, ops));
    match tried {
        Ok(outcome) | Err(outcome) => outcome,
    }
}

fn attempt(state: &mut State, ops: &UnitOps) -> Result<UnitOutcome, UnitOutcome> {
    let was = state.units.get(&ops.unit).cloned().unwrap_or_default();
    if let Some(generation) = ops.op_id.and_then(|id| was.known(id)) {
        return Ok(UnitOutcome::AlreadyApplied { generation });
    }
    was.holds(&ops.guard).map_err(UnitOutcome::Lost)?;

    let mut unit = Unit::clone(&was);
    let mut counter = state.counter;
    let to_copy = stage(&mut unit, ops);
    let (records, dialect) = match unit.staged.as_mut().filter(|_| to_copy) {
        Some(staged) => (&mut staged.records, &mut staged.dialect),
        None => (&mut unit.records, &mut unit.dialect),
    };
    let records = run(records, &ops.ops, &mut counter).map_err(UnitOutcome::Lost)?;
    *dialect = ops.dialect;
    conclude(&mut unit, ops)?;
    unit.last_op = ops.op_id;

    let generation = unit.control.as_ref().map(|c| c.generation);
    state.counter = counter;
    state.units.insert(ops.unit.clone(), Arc::new(unit));
    Ok(UnitOutcome::Applied { generation, records })
}

/// Makes the staged copy ready, where there is to be one; returns whether operations go to it.
fn stage(unit: &mut Unit, ops: &UnitOps) -> bool {
    // A first control record knows of no copy that was staged without it.
    if unit.control.is_none() && ops.control.is_some() {
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
    let guard = ops.control.is_none().then(|| ops.guard.clone());
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

/// Brings the unit's control record, journal and staged copy to where the operations want them.
fn conclude(unit: &mut Unit, ops: &UnitOps) -> Result<(), UnitOutcome> {
    match &ops.then {
        Then::Keep | Then::Stage(_) => {}
        Then::Bump => write_at_home(unit, ops)?,
        Then::Tombstone => {
            unit.records = Records::default();
            write_at_home(unit, ops)?;
            unit.control.iter_mut().for_each(|c| c.tombstone = true);
        }
        Then::Promote(_) => promote(unit)?,
        Then::Discard(_) => unit.staged = None,
    }
    if let Some(control) = &ops.control {
        let op_id = ops.op_id.unwrap_or(control.op_id);
        unit.control = Some(Control { op_id, ..(**control).clone() });
    }
    if let Some(control) = &mut unit.control {
        control.digest = unit.records.digest;
    }
    Ok(())
}

/// Adds one to the chain of writes; only the authority may.
fn write_at_home(unit: &mut Unit, ops: &UnitOps) -> Result<(), UnitOutcome> {
    let lost = UnitOutcome::Lost(unit.current());
    let home = unit.control.as_mut().filter(|control| control.state == HomeState::Live);
    let Some(control) = home else { return Err(lost) };
    control.generation.seq += 1;
    control.op_id = ops.op_id.unwrap_or_default();
    control.tombstone &= unit.records.by_key.is_empty();
    let (seq, op_id) = (control.generation.seq, ops.op_id);
    unit.journal.push(Entry { seq, op_id, keys: Journal::of(ops) });
    Ok(())
}

/// Puts the staged copy in the unit's place.
fn promote(unit: &mut Unit) -> Result<(), UnitOutcome> {
    let Some(staged) = unit.staged.take() else {
        return Err(UnitOutcome::Lost(Current::Absent));
    };
    if let Some(guard) = &staged.guard {
        unit.holds(guard).map_err(UnitOutcome::Lost)?;
    }
    unit.records = staged.records;
    unit.dialect = staged.dialect;
    Ok(())
}

/// Says whether the store may do such a thing at all, and whether it means anything.
fn may(state: &State, options: &MemoryOptions, ops: &UnitOps) -> Result<(), UnitOutcome> {
    use {Guard as G, Then as T};
    if ops.needs_control() && !options.capabilities.live {
        return Err(failed(ErrorKind::Unsupported, "the store keeps no control records"));
    }
    let staging = matches!(ops.guard, G::Staging(_))
        || matches!(ops.then, T::Stage(_) | T::Promote(_) | T::Discard(_));
    if staging && !options.capabilities.staging {
        return Err(failed(ErrorKind::Unsupported, "the store stages no units"));
    }
    if let Some(why) = ops.fault() {
        return Err(failed(ErrorKind::Invalid, why));
    }

    let store = state.not_retired("apply").map_err(UnitOutcome::Failed)?;
    let id = store.and_then(|store| store.id);
    match &ops.control {
        Some(control) if Some(&control.store) != id.as_ref() => {
            Err(failed(ErrorKind::Refused, "the control record is one of another store"))
        }
        None if ops.guard == G::Unmanaged && id.is_some() => {
            Err(failed(ErrorKind::Refused, "the store takes part in a migration"))
        }
        _ => Ok(()),
    }
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

fn failed(kind: ErrorKind, why: &str) -> UnitOutcome {
    UnitOutcome::Failed(Error::new(kind, "apply", why))
}
