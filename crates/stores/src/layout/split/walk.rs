//! One walk over all items of a table: what points at which objects, and which objects there are.
//!
//! Memory grows with the number of commits that wrote objects, by some dozen bytes for each.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use restow_model::UnitId;
use restow_store::Result;

use super::item::{self, OBJECTS, STAMP};
use super::{names, splitter, sweep, unit};
use crate::engine::dynamodb::{
    Item, PARTITION, Place, SORT, Table, item_size, number_of, place_of, text_of,
};

/// The objects of one commit.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// The partition of the unit that they were written for.
    pub(super) unit: String,
    /// Where they are.
    pub(super) objects: Vec<Place>,
}

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// How many items there are.
    pub(super) items: u64,
    /// By stamp: how many objects a unit's items point at, and the unit's partition.
    pub(super) named: HashMap<i64, (u64, String)>,
    /// The objects that are there, by stamp.
    pub(super) written: BTreeMap<i64, Written>,
    /// Units that have something to tidy up.
    pub(super) untidy: BTreeSet<UnitId>,
}

/// Returns the stamp and the number of the objects that an item points at.
pub(super) fn points_at(item: &Item) -> Option<(i64, u64)> {
    let count = number_of(item, OBJECTS).filter(|count| *count > 0)?;
    Some((number_of(item, STAMP)?, count))
}

/// Walks a table; `each` sees every item.
pub(super) fn walk(
    table: &Table,
    attributes: Option<&[&str]>,
    mut each: impl FnMut(&Item),
) -> Result<Found> {
    let (mut found, mut from) = (Found::default(), None);
    loop {
        let (items, next) = table.scan((0, 1), from.as_ref(), attributes)?;
        for item in &items {
            found.items += 1;
            found.note(item);
            each(item);
        }
        from = match next {
            None => return Ok(found),
            next => next,
        };
    }
}

impl Found {
    fn note(&mut self, item: &Item) {
        let Some(place) = place_of(item) else { return };
        let Some(unit) = names::unit_of(&place.0) else {
            if let Some(stamp) = names::stamp_of(&place.0) {
                let written = self.written.entry(stamp).or_default();
                written.unit = text_of(item, "unit").unwrap_or_default().to_owned();
                written.objects.push(place);
            }
            return;
        };
        if let Some((stamp, count)) = points_at(item) {
            self.named.insert(stamp, (count, place.0));
            return;
        }
        let is_note = names::is_intent(&place.1) || names::is_dead(&place.1);
        let is_part = splitter::part_of(&place.1).is_some() && !item::is_own(item);
        let is_garbage = item.contains_key("garbage") || item.contains_key("hides");
        if is_note || is_part || (place.1 == names::HEAD && is_garbage) {
            self.untidy.insert(unit);
        }
    }

    /// Hands out the objects that nothing points at, each with its unit and its bytes.
    ///
    /// A unit is looked at again for them, after the walk: a number is never given twice, and a
    /// commit takes away the note of its objects. So what nothing tells of then never will be.
    pub(super) fn orphans(
        &self,
        table: &Table,
        mut each: impl FnMut(&UnitId, &Place, u64) -> Result<()>,
    ) -> Result<()> {
        let mut units: BTreeMap<UnitId, Vec<&Written>> = BTreeMap::new();
        for (stamp, written) in &self.written {
            if !self.named.contains_key(stamp)
                && let Some(unit) = names::unit_of(&written.unit)
            {
                units.entry(unit).or_default().push(written);
            }
        }
        for (unit, written) in units {
            let told = told(&unit::standing(table, &unit)?.1);
            let objects = written.iter().flat_map(|written| &written.objects);
            let is_told =
                |place: &&Place| names::stamp_of(&place.0).is_none_or(|s| told.contains(&s));
            for place in objects.filter(|place| !is_told(place)) {
                // It may be gone by now.
                if let Some(item) = table.get(place)? {
                    each(&unit, place, item_size(&item) as u64)?;
                }
            }
        }
        Ok(())
    }
}

/// Returns the stamps of all objects that some items of a unit tell of.
fn told(items: &[Item]) -> BTreeSet<i64> {
    let mut stamps: BTreeSet<i64> = items.iter().filter_map(points_at).map(|(s, _)| s).collect();
    let is_note = |item: &&Item| {
        let name = text_of(item, SORT).unwrap_or_default();
        names::is_intent(name) || names::is_dead(name)
    };
    let notes = items.iter().filter(is_note);
    stamps.extend(notes.flat_map(sweep::listed).map(|(stamp, _)| stamp));
    stamps
}

/// The attributes that say who points at what.
pub(super) const ATTRIBUTES: [&str; 9] =
    [PARTITION, SORT, item::SPACE, STAMP, OBJECTS, "unit", "garbage", "hides", "isSplit"];
