//! Tidying up behind commits: what a head names as garbage, and what notes tell of.
//!
//! Only what can never be seen again is taken away: numbers of spaces and objects are never given
//! twice, and a note's transaction cannot succeed any more once the head is another.

use std::collections::BTreeSet;

use restow_model::{UnitId, read_varint, write_varint};
use restow_store::{Error, Result};

use super::head::{ETAG, Head};
use super::item::SPACE;
use super::log::Directory;
use super::work::objects_of;
use super::{Split, names, splitter, unit as units};
use crate::engine::dynamodb::{Check, Item, Place, Range, SORT, bytes_of, number_of, text_of};

/// Writes a list of objects: stamps, and how many there are of each.
pub(super) fn list(objects: &[(i64, u64)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (stamp, count) in objects {
        write_varint(&mut out, *stamp as u64);
        write_varint(&mut out, *count);
    }
    out
}

fn listed(item: &Item) -> Vec<(i64, u64)> {
    let bytes = bytes_of(item, "objects").unwrap_or_default();
    let (mut at, mut objects) = (0, Vec::new());
    while let (Ok(stamp), Ok(count)) = (read_varint(bytes, &mut at), read_varint(bytes, &mut at)) {
        objects.push((stamp as i64, count));
    }
    objects
}

/// What of a unit can go.
#[derive(Default)]
struct Garbage {
    objects: Vec<(i64, u64)>,
    /// Items in places where nothing else is ever written.
    items: Vec<Place>,
    /// Items in whose place others may be written meanwhile.
    shared: Vec<(Place, Check)>,
}

/// Tidies up a unit; what fails is left to the next writer.
pub(super) fn tidy(split: &Split, of: &UnitId, lost: &[(i64, u64)]) {
    if let Err(error) = unit(split, of, lost) {
        left(of, &error);
    }
}

/// Says that garbage is left.
pub(super) fn left(unit: &UnitId, error: &Error) {
    tracing::warn!(%unit, %error, "garbage is left to the next writer");
}

/// Tidies up a unit; its head tells what is garbage.
///
/// A note tells of a transaction that cannot succeed any more only where the head stood still while
/// the notes were read: then it is older than the head, not newer. `lost` are objects of commits that
/// lost to another: their notes may be gone already, taken by one who did not see them all.
fn unit(split: &Split, unit: &UnitId, lost: &[(i64, u64)]) -> Result<()> {
    let table = &split.table;
    let (head, items) = units::standing(table, unit)?;
    let found = head.clone().unwrap_or_default();
    let named: BTreeSet<i64> = items.iter().filter_map(stamp_of).collect();
    let mut garbage = gather(&found, items);
    // A commit whose answer was lost may have been there all the same.
    garbage.objects.extend(lost.iter().filter(|(stamp, _)| !named.contains(stamp)));
    let objects: BTreeSet<Place> = garbage
        .objects
        .iter()
        .flat_map(|(stamp, count)| {
            (0..*count).map(|number| names::object(&split.prefix, *stamp, number))
        })
        .collect();
    // First of all, while there is something that still tells of them.
    table.delete_all(&objects.into_iter().collect::<Vec<_>>())?;
    for (place, check) in &garbage.shared {
        table.delete_if(place, check)?;
    }
    table.delete_all(&garbage.items)?;
    let Some(was) = head else { return Ok(()) };
    let check = Check::Is(ETAG, was.etag.clone());
    let next = Head { garbage: Vec::new(), hides: false, ..was.clone() };
    // Where another is faster the rest is his.
    if next.is_spent() {
        table.delete_if(&names::head(unit), &check)?;
    } else if !was.garbage.is_empty() || was.hides {
        let etag = format!("{:x}", split.numbers.next(table)?);
        table.put_if(Head { etag, ..next }.item(unit), &check)?;
    }
    Ok(())
}

/// Returns the stamp of the objects that an item points at.
fn stamp_of(item: &Item) -> Option<i64> {
    let directory = || Directory::of(item).ok().map(|directory| directory.stamp);
    objects_of(item).map(|(stamp, _)| stamp).or_else(directory)
}

fn gather(head: &Head, items: Vec<Item>) -> Garbage {
    let mut garbage = Garbage::default();
    let first = items.iter().filter(|item| splitter::is_first(item));
    let split: BTreeSet<_> =
        first.filter_map(|item| Some(text_of(item, SORT)?.to_owned())).collect();
    for item in items {
        let Some(place) = crate::engine::dynamodb::place_of(&item) else { continue };
        let name = &*place.1;
        let space = number_of::<i64>(&item, SPACE);
        let is_left = space.is_some_and(|space| head.garbage.contains(&space));
        if names::is_intent(name) {
            if text_of(&item, "seen") != Some(&head.etag) {
                garbage.objects.extend(listed(&item));
                garbage.items.push(place);
            }
        } else if names::is_dead(name) {
            garbage.objects.extend(listed(&item));
            // Another may have split the record since.
            let is_left =
                |part: &&String| splitter::part_of(part).is_some_and(|(of, _)| !split.contains(of));
            let parts = splitter::parts(&item).iter().filter(is_left);
            let parts = parts.map(|part| ((place.0.clone(), part.clone()), Check::Without(SPACE)));
            garbage.shared.extend(parts);
            garbage.items.push(place);
        } else if is_left {
            garbage.objects.extend(objects_of(&item));
            if let Ok(directory) = Directory::of(&item) {
                garbage.objects.push((directory.stamp, directory.objects));
            }
            match (names::is_record(name), space) {
                (true, Some(space)) => garbage.shared.push((place, Check::Counts(SPACE, space))),
                _ => garbage.items.push(place),
            }
        } else if head.hides && space.is_none() && names::is_record(name) {
            garbage.shared.push((place, Check::Without(SPACE)));
        }
    }
    garbage
}

/// Forgets journal entries of a unit, up to a seq.
pub(super) fn forget(split: &Split, unit: &UnitId, upto: u64) -> Result<()> {
    let partition = names::partition(unit);
    let range = Range::Between(names::entry(0), names::entry(upto));
    let mut gone = Vec::new();
    split.table.query_all(&partition, &range, false, |item| {
        gone.extend(text_of(&item, SORT).map(|name| (partition.clone(), name.to_owned())));
        Ok(true)
    })?;
    split.table.delete_all(&gone)
}
