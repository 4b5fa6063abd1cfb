//! How operations are applied to one unit: all of them, or none.

use std::collections::BTreeSet;
use std::sync::Arc;

use restow_model::{HomeState, Record};

use super::state::{Records, Staged, State, Unit};
use super::{JournalEntry, MemoryOptions};
use crate::{
    Current, Error, ErrorKind, Expect, Guard, Op, RecordOutcome, Stamp, Then, UnitOps, UnitOutcome,
    Unsupported, WithoutControl,
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
    if ops.op_id.is_some_and(|id| was.knows(id)) {
        return Ok(UnitOutcome::AlreadyApplied);
    }
    was.holds(&ops.guard).map_err(UnitOutcome::Lost)?;

    let mut unit = Unit::clone(&was);
    let mut counter = state.counter;
    if let Then::Stage(token) = &ops.then {
        stage(&mut unit, ops, token.clone());
    }
    let to_copy = matches!(ops.guard, Guard::Staging(_)) || matches!(ops.then, Then::Stage(_));
    let (records, dialect) = match unit.staged.as_mut().filter(|_| to_copy) {
        Some(staged) => (&mut staged.records, &mut staged.dialect),
        None => (&mut unit.records, &mut unit.dialect),
    };
    let records = run(records, &ops.ops, &mut counter).map_err(UnitOutcome::Lost)?;
    *dialect = ops.dialect;
    conclude(&mut unit, ops, to_copy)?;
    unit.last_op = ops.op_id;

    let generation = unit.control.as_ref().map(|c| c.generation);
    state.counter = counter;
    state.units.insert(ops.unit.clone(), Arc::new(unit));
    Ok(UnitOutcome::Applied { generation, records })
}

/// Makes the staged copy, unless it is there; the guard is the one to be checked on promotion.
fn stage(unit: &mut Unit, ops: &UnitOps, token: restow_model::Token) {
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
    unit.staged = Some(Staged { token, guard: ops.guard.clone(), dialect: ops.dialect, records });
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

/// Brings the unit's control record, journal and staged copy to where `then` wants them.
fn conclude(unit: &mut Unit, ops: &UnitOps, to_copy: bool) -> Result<(), UnitOutcome> {
    match &ops.then {
        Then::Keep if unit.control.is_some() && !to_copy && !ops.ops.is_empty() => {
            return Err(invalid("records of a unit with a control record change its generation"));
        }
        Then::Keep | Then::Stage(_) => {}
        Then::Bump => write_at_home(unit, ops)?,
        Then::Tombstone => {
            unit.records = Records::default();
            write_at_home(unit, ops)?;
            unit.control.iter_mut().for_each(|c| c.tombstone = true);
        }
        Then::Set(control) => {
            let op_id = ops.op_id.unwrap_or(control.op_id);
            unit.control = Some(restow_model::Control { op_id, ..(**control).clone() });
        }
        Then::Promote(_) => promote(unit)?,
        Then::Discard(_) => unit.staged = None,
    }
    if let Some(control) = &mut unit.control {
        control.digest = unit.records.digest;
    }
    Ok(())
}

/// Adds one to the chain of writes; only the authority may.
fn write_at_home(unit: &mut Unit, ops: &UnitOps) -> Result<(), UnitOutcome> {
    let Some(control) = &mut unit.control else {
        return Err(invalid("a unit without a control record has no generation to raise"));
    };
    if control.state != HomeState::Live {
        return Err(UnitOutcome::Lost(Current::Managed(Box::new(control.clone()))));
    }
    control.generation.seq += 1;
    control.op_id = ops.op_id.unwrap_or_default();
    control.tombstone &= unit.records.by_key.is_empty();
    let (generation, op_id) = (control.generation, ops.op_id);
    unit.journal.extend(ops.journal.clone().map(|keys| JournalEntry { generation, op_id, keys }));
    Ok(())
}

/// Puts the staged copy in the unit's place; `Guard::Staging` has seen that there is one.
fn promote(unit: &mut Unit) -> Result<(), UnitOutcome> {
    let Some(staged) = unit.staged.take() else {
        return Err(UnitOutcome::Lost(Current::Absent));
    };
    unit.holds(&staged.guard).map_err(UnitOutcome::Lost)?;
    let open = unit.control.as_ref().is_none_or(|control| {
        matches!(&control.state, HomeState::Staging { token, .. } if *token == staged.token)
    });
    if !open {
        return Err(UnitOutcome::Lost(unit.current()));
    }
    unit.records = staged.records;
    unit.dialect = staged.dialect;
    Ok(())
}

/// Says whether the store may do such a thing at all, and whether it means anything.
fn may(state: &State, options: &MemoryOptions, ops: &UnitOps) -> Result<(), UnitOutcome> {
    use {Guard as G, Then as T};
    let refused = |why| Err(failed(ErrorKind::Refused, why));
    let unsupported = |why| Err(failed(ErrorKind::Unsupported, why));

    let live = matches!(ops.guard, G::LiveAt(_) | G::After(_) | G::Exactly(Stamp::Generation(_)))
        || matches!(ops.then, T::Bump | T::Set(_) | T::Tombstone)
        || ops.journal.is_some();
    if live && !options.capabilities.live {
        return unsupported("the store keeps no control records");
    }
    let staging = matches!(ops.guard, G::Staging(_))
        || matches!(ops.then, T::Stage(_) | T::Promote(_) | T::Discard(_));
    if staging && !options.capabilities.staging {
        return unsupported("the store stages no units");
    }

    let store = state.store_record().map_err(UnitOutcome::Failed)?;
    if store.as_ref().is_some_and(|s| s.without_control == WithoutControl::Retired) {
        return refused("the store is retired");
    }
    if ops.guard == G::Unmanaged && store.is_some_and(|s| s.id.is_some()) {
        return refused("the store takes part in a migration");
    }

    match (&ops.guard, &ops.then) {
        (G::Staging(held), T::Stage(named) | T::Promote(named) | T::Discard(named))
            if held != named =>
        {
            Err(invalid("guard and outcome name different staged copies"))
        }
        (G::Staging(_), T::Bump | T::Tombstone) => {
            Err(invalid("what goes to a staged copy is no write of the unit"))
        }
        (guard, T::Promote(_) | T::Discard(_)) if !matches!(guard, G::Staging(_)) => {
            Err(invalid("a staged copy is only promoted or discarded under its token"))
        }
        (_, then) if ops.journal.is_some() && !matches!(then, T::Bump | T::Tombstone) => {
            Err(invalid("a journal entry belongs to a write of the unit"))
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

fn invalid(why: &str) -> UnitOutcome {
    failed(ErrorKind::Invalid, why)
}

fn failed(kind: ErrorKind, why: &str) -> UnitOutcome {
    UnitOutcome::Failed(Error::new(kind, "apply", why))
}
