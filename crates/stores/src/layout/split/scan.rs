//! Walking a table as it is stored: shares that begin again where they were left.

use std::collections::HashMap;

use restow_model::{Dialect, UnitId};
use restow_store::feed::FrameSender;
use restow_store::{Content, Cursor, Error, Frame, Result, Segment, Selection, UnitPage};

use super::rows::Rows;
use super::unit::{self, Which, is_seen, key_or_name};
use super::{Splitting, item, names, splitter};
use crate::engine::dynamodb::{Item, PARTITION, Place, SORT, text_of};
use crate::layout::dynamodb::head::{Head, readable};
use crate::layout::dynamodb::{cursor_at, place_at, share_of};
use crate::layout::langgraph::dialect;
use crate::layout::parts::read::{Ended, Reader};
use crate::layout::parts::rows::UnitRow;

/// How many heads are read at once.
const HEADS_AT_ONCE: usize = 100;

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
        let table = &rows.split.base.table;
        let page = table.scan(share_of(segment), at.as_ref(), None);
        let (items, next) = page.map_err(Ended::Engine)?;
        let last = items.last().and_then(crate::engine::dynamodb::place_of);
        for (unit, items) in by_unit(items) {
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

/// Groups the items of a page by their units; what is restow's own beside them is left out.
fn by_unit(items: Vec<Item>) -> Vec<(UnitId, Vec<Item>)> {
    let mut groups: Vec<(UnitId, Vec<Item>)> = Vec::new();
    for item in items {
        let Some(unit) = text_of(&item, PARTITION).and_then(names::unit_of) else { continue };
        match groups.last_mut() {
            Some((last, group)) if *last == unit => group.push(item),
            _ => groups.push((unit, vec![item])),
        }
    }
    groups
}

/// Sends what a page holds of a unit.
fn piece(
    rows: &mut Rows<'_>,
    reader: &mut Reader<'_>,
    out: &FrameSender,
    name: &UnitId,
    items: Vec<Item>,
    what: &Selection,
) -> Result<(), Ended<Error>> {
    let head = unit::head(&rows.split.base.table, name).map_err(Ended::Engine)?;
    let head = head.unwrap_or_else(Head::default);
    let seen = |item: &Item| is_seen(&head, item, text_of(item, SORT).unwrap_or_default());
    let is_directory =
        |item: &Item| text_of(item, SORT).is_some_and(|name| name.starts_with("restow#log#"));
    let mut items: HashMap<Vec<u8>, Item> = items
        .into_iter()
        .filter(|item| seen(item) && !is_directory(item))
        .map(|item| (key_or_name(&item, text_of(&item, SORT).unwrap_or_default()), item))
        .collect();
    if items.is_empty() {
        return Ok(());
    }
    let is_split = items.values().any(splitter::is_piece);
    let row = match &head.active {
        None if !is_split => Some(UnitRow::empty(-1, name.clone(), language(items.values()))),
        // Values, or a checkpoint that was split, may need what lies elsewhere in the unit.
        _ => rows.unit_of(name, &head.etag).map_err(Ended::Engine)?,
    };
    let Some(row) = row else { return Ok(()) };
    if is_split {
        let (_, seen) = rows.at_hand(row.unit_no).map_err(Ended::Engine)?;
        items.retain(|key, item| !splitter::is_piece(item) || seen.items.contains_key(key));
        for (key, item) in items.iter_mut().filter(|(_, item)| splitter::is_piece(item)) {
            item.clone_from(seen.items.get(key).unwrap_or(&Item::new()));
        }
    }
    let Some(control) = reader.begin(&row)? else { return Ok(()) };
    let mut keys: Vec<_> = items.keys().cloned().collect();
    keys.sort();
    for (n, key) in keys.into_iter().enumerate() {
        let Some(item) = items.remove(&key) else { continue };
        let page = rows.page(n as i64, &key, &item).map_err(Ended::Engine)?;
        reader.page(rows, &row, &page, what)?;
    }
    out.send(Frame::End { unit: name.clone(), control, digest: None })?;
    Ok(())
}

fn language<'i>(items: impl Iterator<Item = &'i Item>) -> Dialect {
    let told = items.filter_map(|item| {
        let (_, payload) = item::foreign(item).ok()?;
        dialect::of_json(&payload)
    });
    told.take(1).next().unwrap_or_default()
}

/// Lists all units with their control records, by name.
pub(super) fn list(split: &Splitting) -> Result<UnitPage> {
    let mut rows = Rows::new(split)?;
    let all: Vec<UnitId> = rows.names()?.keys().cloned().collect();
    let mut page = UnitPage::new();
    for some in all.chunks(HEADS_AT_ONCE) {
        let places: Vec<Place> = some.iter().map(names::head).collect();
        let mut heads = HashMap::new();
        for item in split.base.table.get_many(&places)? {
            if let Some((partition, _)) = crate::engine::dynamodb::place_of(&item) {
                heads.insert(partition, item);
            }
        }
        for name in some {
            let head = heads.get(&names::partition(name));
            let head = head.map(|item| readable(name, Head::of(name, item)));
            match head {
                Some(Ok(head)) => match &head.active {
                    Some(row) => page.push((name.clone(), row.control())),
                    // Others may have written since.
                    None => {
                        if unit::look(&split.base.table, name, Which::Active)?.is_some() {
                            page.push((name.clone(), Ok(None)));
                        }
                    }
                },
                Some(Err(error)) => page.push((name.clone(), Err(error))),
                None => page.push((name.clone(), Ok(None))),
            }
        }
    }
    Ok(page)
}
