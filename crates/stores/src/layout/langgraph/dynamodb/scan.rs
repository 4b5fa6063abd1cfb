//! Walking a table as it is stored: shares that begin again where they were left.

use std::collections::{BTreeMap, HashMap, HashSet};

use restow_model::{Dialect, Key, UnitId};
use restow_store::feed::FrameSender;
use restow_store::{Content, Cursor, Error, Frame, Result, Segment, Selection, UnitPage};

use super::names::{self, KEYS, Partition};
use super::rows::Rows;
use super::unit::{self, Which, is_settled, orphans, space_of};
use super::{Saver, item};
use crate::engine::dynamodb::{Item, Place, text_of};
use crate::layout::dynamodb::head::{Head, readable};
use crate::layout::dynamodb::{Want, cursor_at, place_at, share_of};
use crate::layout::langgraph::record::{WRITE, checkpoint_key};
use crate::layout::parts::read::{Ended, Reader};
use crate::layout::parts::rows::UnitRow;

/// How many heads are read at once.
const HEADS_AT_ONCE: usize = 100;
/// How many records are read at once.
const RECORDS_AT_ONCE: usize = 24;

/// Walks a share as it is stored.
pub(super) fn by_storage(
    rows: &mut Rows<'_>,
    reader: &mut Reader<'_>,
    out: &FrameSender,
    segment: &Segment,
    from: Option<&Cursor>,
    content: Content,
) -> Result<(), Ended<Error>> {
    let mut at = from.map(place_at).transpose()?;
    let what = Selection { content, ..Selection::all() };
    loop {
        let table = &rows.saver.base.table;
        let page = table.scan(share_of(segment), at.as_ref(), None);
        let (items, next) = page.map_err(Ended::Engine)?;
        let last = items.last().and_then(|item| KEYS.place_of(item));
        for (unit, items) in by_unit(rows.saver, items).map_err(Ended::Engine)? {
            piece(rows, reader, out, &unit, items, &what)?;
        }
        if let Some(last) = next.as_ref().or(last.as_ref()) {
            out.send(Frame::Mark(cursor_at(last)))?;
        }
        at = match next {
            None => return Ok(()),
            next => next,
        };
    }
}

type Keyed = Vec<(Option<Key>, Item)>;

/// Groups the items of a page by their units, each with its key.
fn by_unit(saver: &Saver, items: Vec<Item>) -> Result<BTreeMap<UnitId, Keyed>> {
    let mut groups: BTreeMap<UnitId, Keyed> = BTreeMap::new();
    for found in items {
        let (Some(partition), Some(name)) =
            (text_of(&found, KEYS.partition), text_of(&found, KEYS.sort))
        else {
            continue;
        };
        let (unit, key) = match names::partition_of(partition) {
            Partition::Checkpoints(unit) => (unit, item::key_of(&found, None)),
            Partition::Own(unit) if names::is_record(name) => (unit, item::key_of(&found, None)),
            Partition::Writes(rest) => {
                let (unit, namespace) = thread_of(saver, rest, &found)?;
                (unit, item::key_of(&found, Some(&namespace)))
            }
            Partition::Own(_) | Partition::Other => continue,
        };
        groups.entry(unit).or_default().push((key, found));
    }
    Ok(groups)
}

/// Takes the name of a partition of writes apart: the thread, and the namespace.
///
/// Both may have a `#` in them. Then the checkpoint tells; without one the namespace has none.
fn thread_of(saver: &Saver, rest: &str, found: &Item) -> Result<(UnitId, String)> {
    let id = text_of(found, "checkpoint_id").unwrap_or_default();
    let rest = rest.strip_suffix(&format!("#{id}")).unwrap_or(rest);
    if let Some(namespace) = item::namespace_of(found) {
        let thread = rest.strip_suffix(&format!("#{namespace}")).unwrap_or(rest);
        return Ok((UnitId::new(thread), namespace.to_owned()));
    }
    let candidates: Vec<(UnitId, String)> = rest
        .match_indices('#')
        .map(|(at, _)| (UnitId::new(&rest[..at]), rest[at + 1..].to_owned()))
        .collect();
    let place =
        |(unit, namespace): &(UnitId, String)| names::place(unit, &checkpoint_key(namespace, id));
    if candidates.len() > 1 {
        let places: Vec<Place> = candidates.iter().map(place).collect();
        let there: HashSet<_> =
            saver.base.table.get_many(&places)?.iter().filter_map(|i| KEYS.place_of(i)).collect();
        if let Some(found) = candidates.iter().find(|at| there.contains(&place(at))) {
            return Ok(found.clone());
        }
    }
    let last = candidates.into_iter().next_back();
    Ok(last.unwrap_or_else(|| (UnitId::new(rest), String::new())))
}

/// Sends what a page holds of a unit.
fn piece(
    rows: &mut Rows<'_>,
    reader: &mut Reader<'_>,
    out: &FrameSender,
    name: &UnitId,
    items: Keyed,
    what: &Selection,
) -> Result<(), Ended<Error>> {
    let head = unit::head(&rows.saver.base.table, name).map_err(Ended::Engine)?;
    let now = rows.saver.base.table.now();
    let seen = |found: &Item| is_seen(head.as_ref(), found) && !item::is_expired(found, now);
    let items: Keyed = items.into_iter().filter(|(_, found)| seen(found)).collect();
    let unreached = unreached(rows.saver, name, head.as_ref(), &items).map_err(Ended::Engine)?;
    if items.is_empty() {
        return Ok(());
    }
    let active = head.and_then(|head| head.active);
    let row = active.unwrap_or_else(|| UnitRow::empty(-1, name.clone(), Dialect::Python));
    let Some(control) = reader.begin(&row)? else { return Ok(()) };
    let mut sound: Vec<(Vec<u8>, Item)> = Vec::with_capacity(items.len());
    for (key, found) in items {
        let place = KEYS.place_of(&found).unwrap_or_default();
        if unreached.contains(&place) {
            let why = "no reader of its thread finds it: the checkpoint that it was written for is \
                       not there";
            let (unit, place) = (Some(name.clone()), format!("item {} {}", place.0, place.1));
            out.send(Frame::Damaged { unit, place, why: why.into() })?;
            continue;
        }
        let key = key.unwrap_or_else(|| Key::of("unknown").text(&place.1).build());
        sound.push((key.as_bytes().to_vec(), found));
    }
    sound.sort_by(|a, b| a.0.cmp(&b.0));
    for some in sound.chunks(RECORDS_AT_ONCE) {
        let some: Vec<(&[u8], &Item)> = some.iter().map(|(key, item)| (&key[..], item)).collect();
        for page in rows.pages_of(&some).map_err(Ended::Engine)? {
            reader.page(rows, &row, &page, what)?;
        }
    }
    out.send(Frame::End { unit: name.clone(), control, digest: None })?;
    Ok(())
}

/// Says whether an item is where the unit's records are to be seen.
fn is_seen(head: Option<&Head>, found: &Item) -> bool {
    let name = text_of(found, KEYS.sort).unwrap_or_default();
    match space_of(head, Which::Active) {
        Some(number) => name.starts_with(&names::space(number)),
        None => !names::is_spaced(name),
    }
}

/// Returns where writes are whose checkpoint is not there, and of which no head tells.
fn unreached(
    saver: &Saver,
    unit: &UnitId,
    head: Option<&Head>,
    items: &Keyed,
) -> Result<HashSet<Place>> {
    if head.is_some_and(|head| !is_settled(head)) {
        return Ok(HashSet::new());
    }
    let told = orphans(head);
    let mut places: HashMap<Place, Vec<Place>> = HashMap::new();
    for (key, found) in items {
        let Some(key) = key.as_ref().filter(|key| key.kind() == WRITE) else { continue };
        let Some((namespace, id)) = names::checkpoint_of(key) else { continue };
        let checkpoint = names::place(unit, &checkpoint_key(&namespace, &id));
        if !told.contains(&(namespace, id)) {
            places.entry(checkpoint).or_default().extend(KEYS.place_of(found));
        }
    }
    let wanted: Vec<Place> = places.keys().cloned().collect();
    for found in saver.base.table.get_many(&wanted)? {
        KEYS.place_of(&found).map(|place| places.remove(&place));
    }
    Ok(places.into_values().flatten().collect())
}

/// Lists all units with their control records, by name.
pub(super) fn list(saver: &Saver) -> Result<UnitPage> {
    let mut rows = Rows::new(saver, Want::nothing())?;
    let all: Vec<UnitId> = rows.names()?.keys().cloned().collect();
    let mut page = UnitPage::new();
    for some in all.chunks(HEADS_AT_ONCE) {
        let places: Vec<Place> = some.iter().map(names::head).collect();
        let heads = saver.base.table.get_many(&places)?.into_iter();
        let heads: HashMap<_, _> =
            heads.filter_map(|item| Some((KEYS.place_of(&item)?, item))).collect();
        for name in some {
            let head = heads.get(&names::head(name));
            let head = head.map(|item| readable(name, Head::of(name, item))).transpose();
            match head.map(|head| head.and_then(|head| head.active)) {
                Ok(Some(row)) if row.control.is_some() => page.push((name.clone(), row.control())),
                // The official saver may have written, or removed, what there is.
                Ok(_) => {
                    if unit::look(saver, name, Which::Active, &Want::nothing())?.is_some() {
                        page.push((name.clone(), Ok(None)));
                    }
                }
                Err(error) => page.push((name.clone(), Err(error))),
            }
        }
    }
    Ok(page)
}
