//! A unit as it was at one moment: its head, and the items of the records that are wanted.

use std::collections::{BTreeMap, BTreeSet};

use restow_model::{Dialect, Key, KeyPart, UnitId};
use restow_store::{Content, Error, ErrorKind, KeyRange, Keys, Order, Result};

use super::names::{self, KEYS};
use super::{Saver, item};
use crate::engine::dynamodb::{Item, Range, Table, text_of};
use crate::layout::dynamodb::Want;
use crate::layout::dynamodb::head::{Head, moved_on, readable};
use crate::layout::langgraph::record::{CHECKPOINT, UNIT, WRITE};
use crate::layout::parts::rows::UnitRow;

/// How often a unit is looked at again because it was written to meanwhile.
const ATTEMPTS_MAX: usize = 16;
/// How many partitions are read at once.
const READERS_MAX: usize = 8;
/// How many items are asked for first where only the newest is wanted.
const NEWEST: i32 = 4;

/// Items of records by key.
pub(super) type Items = BTreeMap<Vec<u8>, Item>;
/// Checkpoints by namespace and id.
pub(super) type Checkpoints = BTreeSet<(String, String)>;

/// Which records of a unit to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Those that readers see.
    Active,
    /// Those of the staged copy.
    Staged,
}

/// A unit at one moment.
#[derive(Debug)]
pub(super) struct Seen {
    /// The head's mark then; empty where there was no head.
    pub(super) etag: String,
    /// What the unit is; without control record its digest is not known.
    pub(super) row: UnitRow,
    /// The items that are wanted.
    pub(super) items: Items,
}

/// Reads a unit's head.
pub(super) fn head(table: &Table, unit: &UnitId) -> Result<Option<Head>> {
    let item = table.get(&names::head(unit))?;
    item.map(|item| readable(unit, Head::of(unit, &item))).transpose()
}

/// Looks at a unit until it stands still meanwhile; nothing where it is not there.
pub(super) fn look(
    layout: &Saver,
    unit: &UnitId,
    which: Which,
    want: &Want,
) -> Result<Option<Seen>> {
    let table = &layout.base.table;
    let mut before = head(table, unit)?;
    for _ in 0..ATTEMPTS_MAX {
        let seen = at(layout, unit, before.as_ref(), which, want)?;
        let after = head(table, unit)?;
        let etag = |head: &Option<Head>| head.as_ref().map(|head| head.etag.clone());
        if etag(&before) == etag(&after) {
            return Ok(seen);
        }
        before = after;
    }
    Err(moved_on(unit))
}

fn at(
    layout: &Saver,
    unit: &UnitId,
    head: Option<&Head>,
    which: Which,
    want: &Want,
) -> Result<Option<Seen>> {
    let etag = head.map_or_else(String::new, |head| head.etag.clone());
    let active = head.and_then(|head| head.active.clone());
    let row = match which {
        Which::Active => active,
        Which::Staged => {
            let control = active.and_then(|row| row.control);
            let staged = head.and_then(|head| head.staged.clone());
            staged.map(|(row, _)| UnitRow { control, ..row })
        }
    };
    let now = layout.base.table.now();
    let mut found = Found { layout, unit, now, items: Items::new() };
    if let Some(number) = space_of(head, which) {
        let Some(row) = row else { return Ok(None) };
        if want.what.content != Content::Nothing {
            found.space(number, &want.what.keys)?;
        }
        return Ok(Some(Seen { etag, row, items: found.items }));
    }
    let orphans = orphans(head);
    if want.what.content != Content::Nothing {
        found.in_place(want, &orphans)?;
    }
    let row = match row {
        Some(row) if row.control.is_some() => row,
        row if !found.items.is_empty() || found.is_there(&orphans)? => {
            let empty = || UnitRow::empty(0, unit.clone(), Dialect::Python);
            UnitRow { version: 1, ..row.unwrap_or_else(empty) }
        }
        _ => return Ok(None),
    };
    Ok(Some(Seen { etag, row, items: found.items }))
}

/// Says whether the records that are to be seen are in place, and nothing else is.
pub(super) fn is_settled(head: &Head) -> bool {
    !head.hides && (head.active.is_none() || head.in_place)
}

/// Returns the space that records are in; nothing where they are in place.
pub(super) fn space_of(head: Option<&Head>, which: Which) -> Option<i64> {
    let head = head?;
    match which {
        Which::Active if is_settled(head) => None,
        // What was removed, and is only to be tidied up, is in no space.
        Which::Active => Some(head.active.as_ref().map_or(0, |row| row.unit_no)),
        Which::Staged => Some(head.staged.as_ref().map_or(0, |(row, _)| row.unit_no)),
    }
}

/// Returns the checkpoints that are not there and have writes.
pub(super) fn orphans(head: Option<&Head>) -> Checkpoints {
    let pairs = head.into_iter().flat_map(|head| &head.orphans);
    pairs.filter_map(|pair| pair.rsplit_once('#').map(|(a, b)| (a.into(), b.into()))).collect()
}

/// Reads all items of a unit that are in place.
pub(super) fn all_in_place(layout: &Saver, unit: &UnitId, head: Option<&Head>) -> Result<Items> {
    let now = layout.base.table.now();
    let mut found = Found { layout, unit, now, items: Items::new() };
    found.in_place(&Want::default(), &orphans(head))?;
    Ok(found.items)
}

/// Reads the items of a space.
pub(super) fn all_in_space(layout: &Saver, unit: &UnitId, number: i64) -> Result<Items> {
    let now = layout.base.table.now();
    let mut found = Found { layout, unit, now, items: Items::new() };
    found.space(number, &Keys::default())?;
    Ok(found.items)
}

/// Gathers items.
struct Found<'f> {
    layout: &'f Saver,
    unit: &'f UnitId,
    now: i64,
    items: Items,
}

impl Found<'_> {
    fn table(&self) -> &Table {
        &self.layout.base.table
    }

    fn add(&mut self, item: Item, namespace: Option<&str>, keys: &Keys) {
        // What cannot be told by a key stands under its name, and is told as damage.
        let name = text_of(&item, KEYS.sort).unwrap_or_default();
        let key = item::key_of(&item, namespace);
        let key = key.unwrap_or_else(|| Key::of("unknown").text(name).build());
        if keys.contains(&key) && !item::is_expired(&item, self.now) {
            self.items.insert(key.as_bytes().to_vec(), item);
        }
    }

    fn space(&mut self, number: i64, keys: &Keys) -> Result<()> {
        let range = Range::Prefix(names::space(number));
        let mut found = Vec::new();
        self.table().query_all(&names::own(self.unit), &range, false, |item| {
            found.push(item);
            Ok(true)
        })?;
        found.into_iter().for_each(|item| self.add(item, None, keys));
        Ok(())
    }

    /// Finds what is wanted where the official saver looks for it.
    fn in_place(&mut self, want: &Want, orphans: &Checkpoints) -> Result<()> {
        match &want.what.keys {
            Keys::Set(keys) => {
                let places: Vec<_> = keys.iter().map(|key| names::place(self.unit, key)).collect();
                for item in self.table().get_many(&places)? {
                    let place = KEYS.place_of(&item);
                    let key = keys.iter().find(|k| Some(names::place(self.unit, k)) == place);
                    let key = key.filter(|_| !item::is_expired(&item, self.now));
                    key.map(|key| self.items.insert(key.as_bytes().to_vec(), item));
                }
                return Ok(());
            }
            Keys::Range(range) => {
                let newest = want.what.order == Order::Descending && want.what.limit == Some(1);
                self.range(range, newest, orphans)?;
            }
        }
        let Some(on) = want.on else { return Ok(()) };
        let last = match want.what.order {
            Order::Descending => self.items.last_key_value(),
            Order::Ascending => self.items.first_key_value(),
        };
        let last = last.and_then(|(key, _)| Key::from_bytes(key.clone().into()).ok());
        match last.and_then(|last| on(&last)) {
            Some(prefix) => self.range(&KeyRange::prefix(&prefix), false, orphans),
            None => Ok(()),
        }
    }

    fn range(&mut self, range: &KeyRange, newest: bool, orphans: &Checkpoints) -> Result<()> {
        let keys = Keys::Range(range.clone());
        if meets(range, CHECKPOINT) {
            match prefix(range, CHECKPOINT).as_slice() {
                [namespace, ..] => self.namespace(namespace, newest, &keys)?,
                [] => self.checkpoints(&keys)?,
            }
        }
        if meets(range, UNIT) {
            let range = Range::Prefix(names::UNIT_RECORDS.to_owned());
            self.partition(&names::own(self.unit), &range, None, &keys)?;
        }
        if meets(range, WRITE) {
            match prefix(range, WRITE).as_slice() {
                [namespace, id] => {
                    let at = (namespace.clone(), id.clone());
                    self.writes(&[at].into(), &keys)?;
                }
                _ => {
                    let mut all = self.ids()?;
                    all.extend(orphans.iter().cloned());
                    self.writes(&all, &keys)?;
                }
            }
        }
        Ok(())
    }

    fn partition(
        &mut self,
        partition: &str,
        range: &Range,
        namespace: Option<&str>,
        keys: &Keys,
    ) -> Result<()> {
        let mut found = Vec::new();
        self.table().query_all(partition, range, false, |item| {
            found.push(item);
            Ok(true)
        })?;
        found.into_iter().for_each(|item| self.add(item, namespace, keys));
        Ok(())
    }

    fn checkpoints(&mut self, keys: &Keys) -> Result<()> {
        self.partition(&names::checkpoints(self.unit), &Range::All, None, keys)
    }

    /// Finds the checkpoints of a namespace, or only the newest of them.
    fn namespace(&mut self, namespace: &str, newest: bool, keys: &Keys) -> Result<()> {
        let (partition, range) =
            (names::checkpoints(self.unit), Range::Prefix(format!("{namespace}#")));
        let (mut from, mut limit) = (None, newest.then_some(NEWEST));
        loop {
            let page = self.table().query(&partition, &range, newest, from.as_ref(), limit)?;
            page.0.into_iter().for_each(|item| self.add(item, None, keys));
            limit = limit.map(|limit| limit.saturating_mul(8));
            from = match page.1 {
                Some(next) if !newest || self.items.is_empty() => Some(next),
                _ => return Ok(()),
            };
        }
    }

    /// Lists the checkpoints of the unit.
    fn ids(&self) -> Result<Checkpoints> {
        let mut ids = Checkpoints::new();
        let partition = names::checkpoints(self.unit);
        self.table().query_all(&partition, &Range::All, false, |item| {
            let id = item::key_of(&item, None).and_then(|key| names::checkpoint_of(&key));
            ids.extend(id);
            Ok(true)
        })?;
        Ok(ids)
    }

    /// Finds the writes of checkpoints.
    fn writes(&mut self, of: &Checkpoints, keys: &Keys) -> Result<()> {
        let of: Vec<_> = of.iter().collect();
        for some in of.chunks(READERS_MAX) {
            let read = |(namespace, id): &(String, String)| {
                let mut found = Vec::new();
                let partition = names::writes(self.unit, (namespace, id));
                self.table().query_all(&partition, &Range::All, false, |item| {
                    found.push(item);
                    Ok(true)
                })?;
                Ok(found)
            };
            let all = std::thread::scope(|scope| {
                let started: Vec<_> =
                    some.iter().map(|at| scope.spawn(|| -> Result<_> { read(at) })).collect();
                started.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
            });
            for ((namespace, _), found) in some.iter().zip(all) {
                let stopped = |_| {
                    let message = "the work stopped unexpectedly; this is a defect of restow";
                    Error::new(ErrorKind::Failed, "read a unit", message)
                };
                for item in found.map_err(stopped)?? {
                    // Two threads with a # in their names may share a partition.
                    let is_ours = item::namespace_of(&item).is_none_or(|own| own == namespace);
                    if is_ours {
                        self.add(item, Some(namespace), keys);
                    }
                }
            }
        }
        Ok(())
    }

    /// Says whether anything of the unit is in place.
    fn is_there(&self, orphans: &Checkpoints) -> Result<bool> {
        let any = |partition: &str, range: &Range| -> Result<bool> {
            let (mut from, mut limit) = (None, Some(1));
            loop {
                let page = self.table().query(partition, range, false, from.as_ref(), limit)?;
                if page.0.iter().any(|item| !item::is_expired(item, self.now)) {
                    return Ok(true);
                }
                limit = None;
                from = match page.1 {
                    None => return Ok(false),
                    next => next,
                };
            }
        };
        if any(&names::checkpoints(self.unit), &Range::All)? {
            return Ok(true);
        }
        for (namespace, id) in orphans {
            if any(&names::writes(self.unit, (namespace, id)), &Range::All)? {
                return Ok(true);
            }
        }
        any(&names::own(self.unit), &Range::Prefix(names::UNIT_RECORDS.to_owned()))
    }
}

/// Says whether a range may hold keys of a kind.
fn meets(range: &KeyRange, kind: &str) -> bool {
    let kind = Key::of(kind).build();
    let begins_before = range.to.as_ref().is_none_or(|to| to > kind.as_bytes());
    begins_before && range.from < kind.after_prefix()
}

/// Returns what all keys of a range begin with behind their kind: up to two texts.
fn prefix(range: &KeyRange, kind: &str) -> Vec<String> {
    let cut = range.from.slice(..range.from.len().saturating_sub(1));
    let key = [range.from.clone(), cut].into_iter().find_map(|bytes| Key::from_bytes(bytes).ok());
    let Some((key, to)) = key.filter(|key| key.kind() == kind).zip(range.to.as_ref()) else {
        return Vec::new();
    };
    let texts = key.parts().into_iter().map_while(|part| match part {
        KeyPart::Text(text) => Some(text),
        _ => None,
    });
    let (mut fixed, mut stem) = (Vec::new(), Key::of(kind));
    for text in texts.take(2) {
        stem = stem.text(&text);
        if *to > stem.clone().build().after_prefix() {
            break;
        }
        fixed.push(text);
    }
    fixed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::langgraph::record::{checkpoint_key, write_key};

    #[test]
    fn ranges_tell_which_partitions_they_meet() {
        let all = KeyRange::default();
        assert!(meets(&all, CHECKPOINT) && meets(&all, WRITE) && meets(&all, UNIT));
        assert!(prefix(&all, WRITE).is_empty());
        let of_checkpoint = KeyRange::prefix(&Key::of(WRITE).text("n").text("1").build());
        assert!(!meets(&of_checkpoint, CHECKPOINT));
        assert_eq!(prefix(&of_checkpoint, WRITE), ["n", "1"]);
        let one = KeyRange::one(&write_key("n", "1", "t", 0));
        assert_eq!(prefix(&one, WRITE), ["n", "1"]);
        let namespace = KeyRange::prefix(&Key::of(CHECKPOINT).text("n").build());
        assert_eq!(prefix(&namespace, CHECKPOINT), ["n"]);
        let after = KeyRange::after(&checkpoint_key("n", "1"));
        assert!(meets(&after, CHECKPOINT) && meets(&after, WRITE));
        assert!(prefix(&after, CHECKPOINT).is_empty());
    }
}
