//! Walking a table as it is stored: shares that begin again where they were left.

use std::collections::HashMap;

use bytes::Bytes;
use restow_model::{Dialect, UnitId, read_varint, write_varint};
use restow_store::feed::FrameSender;
use restow_store::{
    Content, Cursor, Enumeration, Error, ErrorKind, Frame, Result, Segment, Selection,
};

use super::head::Head;
use super::rows::Rows;
use super::unit::{self, is_seen, key_or_name};
use super::{item, names, splitter};
use crate::engine::dynamodb::{Item, PARTITION, Place, SORT, Table, text_of};
use crate::layout::langgraph::dialect;
use crate::layout::parts::read::{Ended, Reader};
use crate::layout::parts::rows::UnitRow;

/// DynamoDB divides a table into no more shares.
const SHARES_MAX: usize = 1_000_000;

/// Divides a table into shares, as DynamoDB does.
///
/// What fits one answer is one share.
pub(super) fn segments(table: &Table, want: usize, by: Enumeration) -> Result<Vec<Segment>> {
    let is_small = want <= 1 || table.scan((0, 1), None, Some(&[PARTITION]))?.1.is_none();
    Ok(shares(if is_small { 1 } else { want }, by))
}

fn shares(want: usize, by: Enumeration) -> Vec<Segment> {
    // Names lie in no order: in theirs, there is only the whole.
    let shares = match by {
        Enumeration::Units => 1,
        Enumeration::Storage => want.clamp(1, SHARES_MAX) as u32,
    };
    let share = |n: u32| {
        let from = [n.to_be_bytes(), shares.to_be_bytes()].concat();
        let from = (shares > 1).then(|| Bytes::from(from));
        Segment { from, ..Segment::whole(by) }
    };
    (0..shares).map(share).collect()
}

fn share(segment: &Segment) -> (u32, u32) {
    let number = |bytes: &[u8]| bytes.try_into().ok().map(u32::from_be_bytes);
    let read = |from: &Bytes| Some((number(from.get(..4)?)?, number(from.get(4..)?)?));
    segment.from.as_ref().and_then(read).unwrap_or((0, 1))
}

fn cursor(place: &Place) -> Cursor {
    let mut out = Vec::new();
    write_varint(&mut out, place.0.len() as u64);
    out.extend_from_slice(place.0.as_bytes());
    out.extend_from_slice(place.1.as_bytes());
    Cursor(out.into())
}

fn place(cursor: &Cursor) -> Option<Place> {
    let mut at = 0;
    let len = read_varint(&cursor.0, &mut at).ok()? as usize;
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    Some((text(cursor.0.get(at..at.checked_add(len)?)?)?, text(cursor.0.get(at + len..)?)?))
}

/// Walks a share as it is stored.
pub(super) fn by_storage(
    rows: &mut Rows<'_>,
    reader: &mut Reader<'_>,
    out: &FrameSender,
    segment: &Segment,
    from: Option<&Cursor>,
    content: Content,
) -> Result<(), Ended<Error>> {
    let unknown = || Error::new(ErrorKind::Invalid, "scan", "the cursor is not one of this store");
    let mut at = from.map(|cursor| place(cursor).ok_or_else(unknown)).transpose()?;
    let what = Selection { content, ..Selection::all() };
    loop {
        let table = &rows.split.table;
        let page = table.scan(share(segment), at.as_ref(), None);
        let (items, next) = page.map_err(Ended::Engine)?;
        let last = items.last().and_then(crate::engine::dynamodb::place_of);
        for (unit, items) in by_unit(items) {
            piece(rows, reader, out, &unit, items, &what)?;
        }
        if let Some(last) = next.as_ref().or(last.as_ref()) {
            out.send(Frame::Mark(cursor(last)))?;
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
    let head = unit::head(&rows.split.table, name).map_err(Ended::Engine)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_cursors_are_read_back() {
        let shares = shares(3, Enumeration::Storage);
        let numbers: Vec<_> = shares.iter().map(share).collect();
        assert_eq!(numbers, [(0, 3), (1, 3), (2, 3)]);
        assert_eq!(share(&super::shares(1, Enumeration::Storage)[0]), (0, 1));
        let at = ("thread".to_owned(), "checkpoint##1".to_owned());
        assert_eq!(place(&cursor(&at)), Some(at));
        assert_eq!(place(&Cursor(Bytes::from_static(&[9, 1]))), None);
    }
}
