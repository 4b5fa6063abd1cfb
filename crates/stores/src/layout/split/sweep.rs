//! Tidying up behind commits: what a head names as garbage, and what notes tell of.
//!
//! Only what can never be seen again is taken away: numbers of spaces and objects are never given
//! twice, and a transaction takes the note of its objects with it, so that it cannot succeed any
//! more once that note has become one of what can go.

use std::collections::BTreeSet;

use restow_model::{UnitId, read_varint, write_varint};
use restow_store::{Error, Result};

use super::item::{OBJECTS, SPACE};
use super::log::Directory;
use super::walk::points_at;
use super::work::objects_of;
use super::{Splitting, names, splitter, unit as units};
use crate::engine::dynamodb::{
    Check, Item, Place, SORT, Table, Transacted, Write, at, bytes_of, number_of, place_of, text_of,
};
use crate::layout::dynamodb::head::{ETAG, Head};

/// What a note that objects are about to be written says of the head that was seen.
pub(super) const SEEN: &str = "seen";

/// Writes a list of objects: stamps, and how many there are of each.
pub(super) fn list(objects: &[(i64, u64)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (stamp, count) in objects {
        write_varint(&mut out, *stamp as u64);
        write_varint(&mut out, *count);
    }
    out
}

pub(super) fn listed(item: &Item) -> Vec<(i64, u64)> {
    let bytes = bytes_of(item, OBJECTS).unwrap_or_default();
    let (mut at, mut objects) = (0, Vec::new());
    while let (Ok(stamp), Ok(count)) = (read_varint(bytes, &mut at), read_varint(bytes, &mut at)) {
        objects.push((stamp as i64, count));
    }
    objects
}

/// What of a unit can go.
#[derive(Default)]
pub(super) struct Garbage {
    /// Objects, by stamp and count.
    objects: Vec<(i64, u64)>,
    /// Items in places where nothing else is ever written.
    items: Vec<Place>,
    /// Items in whose place others may be written meanwhile.
    shared: Vec<(Place, Check)>,
    /// Notes of objects that were about to be written, and are not needed any more.
    intents: Vec<Item>,
}

impl Garbage {
    /// Names everything that can go.
    pub(super) fn names(&self) -> Vec<String> {
        let names = self.items.iter().chain(self.shared.iter().map(|(place, _)| place));
        let names = names.map(|(_, name)| name.clone());
        let intents = self.intents.iter().filter_map(|item| text_of(item, SORT));
        let objects = self.objects.iter().filter(|(_, count)| *count > 0);
        let objects = objects.map(|(stamp, count)| format!("{count} parts of commit {stamp:x}"));
        names.chain(intents.map(str::to_owned)).chain(objects).collect()
    }
}

/// Whose notes of objects that are about to be written are taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notes {
    /// Those of writers whose commit cannot succeed any more.
    Late,
    /// Everybody's: whoever is still about to commit begins again.
    All,
}

/// Tidies up a unit; what fails is left to the next writer.
pub(super) fn tidy(split: &Splitting, of: &UnitId, lost: &[(i64, u64)]) {
    if let Err(error) = unit(split, of, Notes::Late, lost) {
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
/// the notes were read: then it is older than the head, not newer. `lost` are objects of commits
/// that lost to another: their notes may be gone already, taken by one who did not see them all.
pub(super) fn unit(
    split: &Splitting,
    unit: &UnitId,
    notes: Notes,
    lost: &[(i64, u64)],
) -> Result<()> {
    let table = &split.base.table;
    let (head, items) = units::standing(table, unit)?;
    let found = head.clone().unwrap_or_default();
    let named: BTreeSet<i64> = items.iter().filter_map(points_at).map(|(stamp, _)| stamp).collect();
    let mut garbage = gather(&found, items, notes);
    // A commit whose answer was lost may have been there all the same.
    garbage.objects.extend(lost.iter().filter(|(stamp, _)| !named.contains(stamp)));
    for intent in std::mem::take(&mut garbage.intents) {
        if let Some(dead) = give_up(table, &intent)? {
            garbage.objects.extend(listed(&intent));
            garbage.items.push(dead);
        }
    }
    let objects: BTreeSet<Place> = garbage
        .objects
        .iter()
        .flat_map(|(stamp, count)| {
            (0..*count).map(|number| names::object(&split.options.prefix, *stamp, number))
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
        let etag = format!("{:x}", split.base.number()?);
        table.put_if(Head { etag, ..next }.item(at(&names::head(unit))), &check)?;
    }
    Ok(())
}

/// Takes a note from whoever is to commit what it tells of; returns the note that it became.
///
/// Nothing where the commit was faster. One that comes later fails and begins again.
fn give_up(table: &Table, intent: &Item) -> Result<Option<Place>> {
    let Some(place) = place_of(intent) else { return Ok(None) };
    let Some(dead) = names::given_up(&place.1) else { return Ok(None) };
    let dead: Place = (place.0.clone(), dead);
    let seen = text_of(intent, SEEN).unwrap_or_default().to_owned();
    let mut note = at(&dead);
    note.extend(intent.get(OBJECTS).map(|objects| (OBJECTS.to_owned(), objects.clone())));
    let writes = [Write::Delete(place, Check::Is(SEEN, seen)), Write::Put(note, Check::Any)];
    Ok((table.transact(&writes)? == Transacted::Done).then_some(dead))
}

/// Finds what of a unit can go.
pub(super) fn gather(head: &Head, items: Vec<Item>, notes: Notes) -> Garbage {
    let mut garbage = Garbage::default();
    let first = items.iter().filter(|item| splitter::is_first(item));
    let split: BTreeSet<_> =
        first.filter_map(|item| Some(text_of(item, SORT)?.to_owned())).collect();
    for item in items {
        let Some(place) = place_of(&item) else { continue };
        let name = &*place.1;
        let space = number_of::<i64>(&item, SPACE);
        let is_left = space.is_some_and(|space| head.garbage.contains(&space));
        if names::is_intent(name) {
            if notes == Notes::All || text_of(&item, SEEN) != Some(&head.etag) {
                garbage.intents.push(item);
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
