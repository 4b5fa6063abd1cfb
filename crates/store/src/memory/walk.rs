//! How a memory store becomes frames: a plan of steps, each made a frame when it is asked for.
//!
//! With a snapshot every step sees one moment; without, each sees the store as it then is, so that
//! a writer may come between a unit's records, as on an engine without snapshots.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, future, stream};
use restow_model::{Key, UnitId, read_varint, write_varint};

use super::state::{State, Stored, Unit};
use super::{MemoryOptions, MemoryStore};
use crate::{
    Content, Cursor, Enumeration, Error, ErrorKind, Frame, Frames, Order, Result, Segment,
    Selection, View, fault_of,
};

/// What the steps of a plan look at.
pub(super) enum Seen {
    AtOnce(Arc<State>),
    AsItGoes(MemoryStore),
}

/// One step of a plan.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Begin(UnitId),
    Record(UnitId, Key),
    /// A unit ends, with its digest or without.
    End(UnitId, bool),
    Mark(Cursor),
}

/// Follows a plan.
pub(super) fn frames(seen: Seen, plan: Vec<Step>, what: Selection) -> Frames {
    Box::pin(stream::iter(plan).filter_map(move |step| {
        let state = match &seen {
            Seen::AtOnce(state) => Arc::clone(state),
            Seen::AsItGoes(store) => store.snapshot(),
        };
        future::ready(frame(&state, step, &what).map(Ok))
    }))
}

/// Plans to read units, those that are there.
pub(super) fn read(
    state: &State,
    options: &MemoryOptions,
    units: &[UnitId],
    what: &Selection,
) -> Vec<Step> {
    let mut plan = Vec::new();
    for id in units {
        let Some(unit) = state.units.get(id) else { continue };
        let records = match &what.view {
            View::Active if unit.is_there() => &unit.records,
            View::Active => continue,
            View::Staged(token) => match unit.staged_as(token) {
                Some(staged) => &staged.records,
                None => continue,
            },
        };
        let mut keys: Vec<&Key> = match what.content {
            Content::Nothing => Vec::new(),
            _ => records.by_key.keys().filter(|k| what.keys.contains(k)).collect(),
        };
        if what.order == Order::Descending {
            keys.reverse();
        }
        keys.truncate(what.limit.unwrap_or(usize::MAX));
        plan.push(Step::Begin(id.clone()));
        plan.extend(keys.into_iter().map(|key| Step::Record(id.clone(), key.clone())));
        plan.push(Step::End(id.clone(), claims(options, unit)));
    }
    plan
}

/// Plans to walk a share, or what is left of it behind a cursor.
pub(super) fn scan(
    state: &State,
    options: &MemoryOptions,
    segment: &Segment,
    from: Option<&Cursor>,
) -> Result<Vec<Step>> {
    match segment.by {
        Enumeration::Units => scan_units(state, options, segment, from),
        Enumeration::Storage => Ok(scan_rows(state, options, segment, from)),
    }
}

fn scan_units(
    state: &State,
    options: &MemoryOptions,
    segment: &Segment,
    from: Option<&Cursor>,
) -> Result<Vec<Step>> {
    let from = from.map(place).transpose()?;
    let mut plan = Vec::new();
    for (id, unit) in &state.units {
        if !unit.is_there() || !holds(segment, id.as_str().as_bytes()) {
            continue;
        }
        let after = match &from {
            Some((reached, None)) if id <= reached => continue,
            Some((reached, Some(_))) if id < reached => continue,
            Some((reached, Some(key))) if id == reached => Some(key),
            _ => None,
        };
        let keys: Vec<_> =
            unit.records.by_key.keys().filter(|k| after.is_none_or(|a| *k > a)).collect();
        plan.push(Step::Begin(id.clone()));
        for (n, key) in keys.iter().enumerate() {
            plan.push(Step::Record(id.clone(), (*key).clone()));
            if (n + 1) % options.records_per_mark == 0 {
                plan.push(Step::Mark(cursor(id, Some(key))));
            }
        }
        plan.push(Step::End(id.clone(), claims(options, unit)));
        plan.push(Step::Mark(cursor(id, None)));
    }
    Ok(plan)
}

/// In the order in which records came: neighbours of one unit make a piece of it.
fn scan_rows(
    state: &State,
    options: &MemoryOptions,
    segment: &Segment,
    from: Option<&Cursor>,
) -> Vec<Step> {
    let mut rows = rows(state);
    rows.retain(|(row, ..)| {
        let row = row.to_be_bytes();
        holds(segment, &row) && from.is_none_or(|f| row[..] > f.0[..])
    });
    let mut plan = Vec::new();
    let one_unit = |a: &Row<'_>, b: &Row<'_>| a.1 == b.1;
    for piece in rows.chunk_by(one_unit).flat_map(|piece| piece.chunks(options.records_per_mark)) {
        let (last, id, _) = &piece[piece.len() - 1];
        plan.push(Step::Begin((*id).clone()));
        plan.extend(
            piece.iter().map(|(_, id, s)| Step::Record((*id).clone(), s.record.key.clone())),
        );
        plan.push(Step::End((*id).clone(), false));
        plan.push(Step::Mark(Cursor(last.to_be_bytes().to_vec().into())));
    }
    plan
}

type Row<'s> = (u64, &'s UnitId, &'s Stored);

fn rows(state: &State) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for (id, unit) in &state.units {
        rows.extend(unit.records.by_key.values().map(|stored| (stored.row, id, &**stored)));
    }
    rows.sort_unstable_by_key(|(row, ..)| *row);
    rows
}

/// Divides what is there into shares of about the same weight.
pub(super) fn segments(state: &State, want: usize, by: Enumeration) -> Vec<Segment> {
    let places: Vec<(Bytes, usize)> = match by {
        Enumeration::Units => {
            let there = state.units.iter().filter(|(_, unit)| unit.is_there());
            there.map(|(id, unit)| (bytes_of(id), unit.records.weight())).collect()
        }
        Enumeration::Storage => {
            let place = |row: u64| Bytes::from(row.to_be_bytes().to_vec());
            rows(state).iter().map(|(row, _, s)| (place(*row), s.record.weight())).collect()
        }
    };
    let total: usize = places.iter().map(|(_, weight)| weight).sum();
    let share = (total / want.max(1)).max(1);
    let mut segments = vec![Segment::whole(by)];
    let mut weight = 0;
    for (place, more) in places {
        if weight >= share && segments.len() < want {
            let open = segments.len() - 1;
            segments[open].to = Some(place.clone());
            segments[open].bytes_estimate = Some(weight as u64);
            segments.push(Segment { from: Some(place), ..Segment::whole(by) });
            weight = 0;
        }
        weight += more;
    }
    let last = segments.len() - 1;
    segments[last].bytes_estimate = Some(weight as u64);
    segments
}

fn frame(state: &State, step: Step, what: &Selection) -> Option<Frame> {
    let unit = |id| state.units.get(id);
    Some(match step {
        Step::Begin(id) => {
            let (unit, staged) = (unit(&id), &what.view);
            let dialect = unit.map(|u| match staged {
                View::Active => u.dialect,
                View::Staged(token) => u.staged_as(token).map_or(u.dialect, |s| s.dialect),
            });
            let control = unit.and_then(|u| u.control.clone());
            Frame::Begin { unit: id, dialect: dialect.unwrap_or_default(), control }
        }
        Step::Record(id, key) => record_frame(&id, stored(unit(&id)?, &key, what)?, what),
        Step::End(id, claim) => {
            let unit = unit(&id);
            let digest = unit.filter(|_| claim).and_then(|u| kept_digest(u, what));
            let control = unit.and_then(|u| u.control.clone());
            Frame::End { unit: id, control, digest }
        }
        Step::Mark(cursor) => Frame::Mark(cursor),
    })
}

fn stored<'u>(unit: &'u Unit, key: &Key, what: &Selection) -> Option<&'u Stored> {
    let records = match &what.view {
        View::Active => &unit.records,
        View::Staged(token) => &unit.staged_as(token)?.records,
    };
    records.by_key.get(key).map(|stored| &**stored)
}

fn record_frame(id: &UnitId, stored: &Stored, what: &Selection) -> Frame {
    if let Some(why) = &stored.damage {
        let place = format!("record {}", stored.record.key);
        return Frame::Damaged { unit: Some(id.clone()), place, why: why.clone() };
    }
    let mut record = stored.record.clone();
    if what.content == Content::Checked
        && let Some(why) = fault_of(&record)
    {
        let place = format!("record {}", record.key);
        return Frame::Damaged { unit: Some(id.clone()), place, why };
    }
    if what.content != Content::All {
        record.values.clear();
    }
    Frame::Record(record)
}

/// Says whether a unit's end tells its digest.
fn claims(options: &MemoryOptions, unit: &Unit) -> bool {
    options.capabilities.keeps_digests || unit.control.is_some()
}

fn kept_digest(unit: &Unit, what: &Selection) -> Option<restow_model::UnitDigest> {
    match &what.view {
        View::Active => Some(unit.records.digest),
        View::Staged(token) => unit.staged_as(token).map(|s| s.records.digest),
    }
}

fn holds(segment: &Segment, place: &[u8]) -> bool {
    let behind = segment.from.as_ref().is_none_or(|from| place >= &from[..]);
    behind && segment.to.as_ref().is_none_or(|to| place < &to[..])
}

fn bytes_of(id: &UnitId) -> Bytes {
    Bytes::copy_from_slice(id.as_str().as_bytes())
}

/// A cursor behind a unit, or behind one of its records: the unit behind its length, then the key.
fn cursor(id: &UnitId, key: Option<&Key>) -> Cursor {
    let mut bytes = Vec::new();
    write_varint(&mut bytes, id.as_str().len() as u64);
    bytes.extend_from_slice(id.as_str().as_bytes());
    key.iter().for_each(|k| bytes.extend_from_slice(k.as_bytes()));
    Cursor(bytes.into())
}

fn place(cursor: &Cursor) -> Result<(UnitId, Option<Key>)> {
    let read = || {
        let mut at = 0;
        let len = read_varint(&cursor.0, &mut at).ok()? as usize;
        let id = std::str::from_utf8(cursor.0.get(at..at.checked_add(len)?)?).ok()?;
        let key = cursor.0.slice(at + len..);
        let key = match key.is_empty() {
            true => None,
            false => Some(Key::from_bytes(key).ok()?),
        };
        Some((UnitId::new(id), key))
    };
    read().ok_or(Error::new(ErrorKind::Invalid, "scan", "the cursor is not one of this store"))
}
