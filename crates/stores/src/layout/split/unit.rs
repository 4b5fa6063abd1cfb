//! A unit as it was at one moment: its head, the items of its records, where its parts are.

use std::collections::BTreeMap;

use restow_model::{Dialect, Key, KeyPart, UnitDigest, UnitId};
use restow_store::Result;

use super::item::{self, SPACE};
use super::log::{Directory, Parts};
use super::{names, splitter};
use crate::engine::dynamodb::{Item, Range, SORT, Table, number_of, text_of};
use crate::layout::dynamodb::head::{Head, moved_on, readable};
use crate::layout::langgraph::dialect;
use crate::layout::parts::rows::UnitRow;

/// How often a unit is looked at again because it was written to meanwhile.
const ATTEMPTS_MAX: usize = 16;

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
    /// What the unit is.
    pub(super) row: UnitRow,
    /// The items of its records by key; what has no key stands under its name.
    pub(super) items: BTreeMap<Vec<u8>, Item>,
    /// Where its parts are.
    pub(super) parts: Parts,
    /// Directories that cannot be read.
    pub(super) faults: Vec<String>,
}

/// Reads a unit's head.
pub(super) fn head(table: &Table, unit: &UnitId) -> Result<Option<Head>> {
    let item = table.get(&names::head(unit))?;
    item.map(|item| readable(unit, Head::of(unit, &item))).transpose()
}

/// Reads all items of a unit.
pub(super) fn items(table: &Table, unit: &UnitId) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    table.query_all(&names::partition(unit), &Range::All, false, |item| {
        items.push(item);
        Ok(true)
    })?;
    Ok(items)
}

/// Looks at a unit until it stands still meanwhile; nothing where it is not there.
pub(super) fn look(table: &Table, unit: &UnitId, which: Which) -> Result<Option<Seen>> {
    let (head, items) = standing(table, unit)?;
    Ok(seen(unit, &head.unwrap_or_default(), items, which))
}

/// Reads all items of a unit under a head that was the same before and after.
pub(super) fn standing(table: &Table, unit: &UnitId) -> Result<(Option<Head>, Vec<Item>)> {
    let mut before = head(table, unit)?;
    for _ in 0..ATTEMPTS_MAX {
        let items = items(table, unit)?;
        let after = head(table, unit)?;
        let etag = |head: &Option<Head>| head.as_ref().map(|head| head.etag.clone());
        if etag(&before) == etag(&after) {
            return Ok((after, items));
        }
        before = after;
    }
    Err(moved_on(unit))
}

/// Says whether an item of a record is to be seen.
pub(super) fn is_seen(head: &Head, item: &Item, name: &str) -> bool {
    let active = head.active.as_ref().map(|row| row.unit_no);
    match (number_of::<i64>(item, SPACE), names::is_record(name)) {
        (None, true) => !head.hides,
        (Some(space), true) => head.in_place && active == Some(space),
        (Some(space), false) => !head.in_place && active == Some(space),
        (None, false) => false,
    }
}

/// Sorts out the items of a unit, under its head.
pub(super) fn seen(unit: &UnitId, head: &Head, found: Vec<Item>, which: Which) -> Option<Seen> {
    let row = match which {
        Which::Active => head.active.clone(),
        Which::Staged => {
            let control = head.active.as_ref().and_then(|row| row.control.clone());
            Some(UnitRow { control, ..head.staged.as_ref()?.0.clone() })
        }
    };
    let space = row.as_ref().map(|row| row.unit_no);
    let (mut items, mut parts) = (BTreeMap::new(), Parts::new());
    let (mut faults, mut others, mut language) = (Vec::new(), UnitDigest::default(), Dialect::Any);
    for item in splitter::joined(found) {
        let name = text_of(&item, SORT).unwrap_or_default().to_owned();
        if name.starts_with("restow#log#") && space.is_some() && names::space_of(&name) == space {
            match Directory::of(&item) {
                Ok(found) => parts.extend(found.parts.into_iter().map(|l| (l.part.first, l))),
                Err(why) => faults.push(format!("item {name}: {why}")),
            }
            continue;
        }
        let is_wanted = match which {
            Which::Active => is_seen(head, &item, &name),
            Which::Staged => names::space_of(&name).is_some() && names::space_of(&name) == space,
        };
        if !is_wanted || name.starts_with("restow#log#") {
            continue;
        }
        if !item::is_own(&item)
            && let Ok((entry, payload)) = item::foreign(&item)
        {
            others.merge(&item::summed(&entry));
            if language == Dialect::Any && name.starts_with("checkpoint#") {
                language = dialect::of_json(&payload).unwrap_or_default();
            }
        }
        items.insert(key_or_name(&item, &name), item);
    }
    let mut row = match row {
        Some(row) => row,
        None if items.is_empty() => return None,
        None => UnitRow { version: 1, ..UnitRow::empty(0, unit.clone(), language) },
    };
    row.digest.merge(&others);
    let newest = items.keys().filter_map(|key| checkpoint_id(key)).max();
    row.newest = row.newest.max(newest);
    Some(Seen { etag: head.etag.clone(), row, items, parts, faults })
}

/// Returns where an item stands among its unit's: by the key of its record.
pub(super) fn key_or_name(item: &Item, name: &str) -> Vec<u8> {
    let key = item::key_of(item).unwrap_or_else(|| Key::of("unknown").text(name).build());
    key.as_bytes().to_vec()
}

fn checkpoint_id(key: &[u8]) -> Option<String> {
    let key = Key::from_bytes(key.to_vec().into()).ok()?;
    match (key.kind(), key.parts().into_iter().nth(1)) {
        ("checkpoint", Some(KeyPart::Text(id))) => Some(id),
        _ => None,
    }
}
