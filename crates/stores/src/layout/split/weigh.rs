//! Weighing a table, item by item.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use restow_model::UnitId;
use restow_store::Result;
use restow_store::items::{Heavy, Weights, size_bound};

use super::unit::{self, is_seen};
use super::walk::{self, Found};
use super::{Splitting, names, objects, splitter};
use crate::engine::dynamodb::{Item, PARTITION, SORT, item_size, text_of};

/// How many partitions are named.
const HEAVIEST_NAMED: usize = 10;
/// The moment at which an item expires.
const EXPIRES: &str = "ttl";

/// Weighs every item of a table.
pub(super) fn weigh(split: &Splitting) -> Result<Weights> {
    let table = &split.base.table;
    let mut tally = Tally::default();
    let found = walk::walk(table, None, |item| tally.item(item))?;
    tally.partition();
    let mut weights = tally.weights;
    let heaviest = tally.heaviest.into_sorted_vec().into_iter();
    weights.heaviest = heaviest.map(|Reverse((_, heavy))| heavy.0).collect();
    weights.expires_by = table.expires_by()?;
    found.orphans(table, |unit, place, bytes| {
        weights.orphans.add(format!("{unit}: {}", place.0), bytes);
        Ok(())
    })?;
    dangling(split, &found, &mut weights)?;
    Ok(weights)
}

/// Names objects that are pointed at and are not there.
fn dangling(split: &Splitting, found: &Found, weights: &mut Weights) -> Result<()> {
    let there = |stamp| found.written.get(stamp).map_or(0, |written| written.objects.len() as u64);
    for (stamp, (count, partition)) in &found.named {
        let Some(unit) = names::unit_of(partition).filter(|_| there(stamp) < *count) else {
            continue;
        };
        // Others may have written since.
        let (head, items) = unit::standing(&split.base.table, &unit)?;
        let head = head.unwrap_or_default();
        let is_needed = |item: &Item| {
            let name = text_of(item, SORT).unwrap_or_default();
            let space = names::space_of(name);
            let is_log = space.is_some() && space == head.active.as_ref().map(|row| row.unit_no);
            is_log || is_seen(&head, item, name)
        };
        let points = |item: &&Item| walk::points_at(item).is_some_and(|(s, _)| s == *stamp);
        if !items.iter().filter(points).any(is_needed) {
            continue;
        }
        for number in 0..*count {
            let place = names::object(&split.options.prefix, *stamp, number);
            if objects::get(&split.base.table, &place)?.is_none() {
                weights.dangling.add(format!("{unit}: {}", place.0), 0);
            }
        }
    }
    Ok(())
}

/// A partition, ordered by its bytes.
#[derive(Debug, PartialEq, Eq)]
struct ByWeight(Heavy);

impl PartialOrd for ByWeight {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByWeight {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0.bytes, &self.0.unit).cmp(&(other.0.bytes, &other.0.unit))
    }
}

#[derive(Default)]
struct Tally {
    weights: Weights,
    heaviest: BinaryHeap<Reverse<(u64, ByWeight)>>,
    /// The partition that is walked through: an engine hands them out one after the other.
    open: Option<Heavy>,
    /// What another program split there.
    pieces: Vec<Item>,
}

impl Tally {
    fn item(&mut self, item: &Item) {
        let bytes = item_size(item) as u64;
        self.weights.items += 1;
        self.weights.bytes += bytes;
        self.weights.expiring += u64::from(item.contains_key(EXPIRES));
        *self.weights.sizes.entry(size_bound(bytes)).or_default() += 1;
        let partition = text_of(item, PARTITION).unwrap_or_default();
        let Some(unit) = names::unit_of(partition) else { return };
        if self.open.as_ref().is_none_or(|open| open.unit != unit) {
            self.partition();
            self.open = Some(Heavy { unit, items: 0, bytes: 0 });
        }
        if let Some(open) = &mut self.open {
            open.items += 1;
            open.bytes += bytes;
        }
        let is_note = text_of(item, SORT).is_some_and(names::is_dead);
        if is_note || splitter::is_piece(item) {
            self.pieces.push(item.clone());
        }
    }

    /// Ends a partition.
    fn partition(&mut self) {
        if let Some(heavy) = self.open.take() {
            self.heaviest.push(Reverse((heavy.bytes, ByWeight(heavy))));
            if self.heaviest.len() > HEAVIEST_NAMED {
                self.heaviest.pop();
            }
        }
        for item in splitter::joined(std::mem::take(&mut self.pieces)) {
            let name = text_of(&item, SORT).unwrap_or_default();
            if splitter::is_first(&item) {
                self.weights.splits.0 += 1;
                self.weights.splits.1 += u64::from(splitter::fault(&item).is_none());
            } else if splitter::part_of(name).is_some() {
                let unit = text_of(&item, PARTITION).and_then(names::unit_of);
                let unit = unit.unwrap_or_else(|| UnitId::new(""));
                self.weights.orphans.add(format!("{unit}: {name}"), item_size(&item) as u64);
            }
        }
    }
}
