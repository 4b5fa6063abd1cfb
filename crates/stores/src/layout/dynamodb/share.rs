//! Shares of a table as DynamoDB divides it, and places in them.

use bytes::Bytes;
use restow_model::{read_varint, write_varint};
use restow_store::{Cursor, Enumeration, Error, ErrorKind, Result, Segment};

use crate::engine::dynamodb::{Place, Table};

/// DynamoDB divides a table into no more shares.
const SHARES_MAX: usize = 1_000_000;

/// Divides a table into shares, as DynamoDB does.
///
/// What fits one answer is one share.
pub(super) fn segments(table: &Table, want: usize, by: Enumeration) -> Result<Vec<Segment>> {
    let partition = table.keys().partition;
    let is_small = want <= 1 || table.scan((0, 1), None, Some(&[partition]))?.1.is_none();
    Ok(shares_of(if is_small { 1 } else { want }, by))
}

/// Divides a table into so many shares.
fn shares_of(want: usize, by: Enumeration) -> Vec<Segment> {
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

/// Returns which share of how many a segment is.
pub(in crate::layout) fn share_of(segment: &Segment) -> (u32, u32) {
    let number = |bytes: &[u8]| bytes.try_into().ok().map(u32::from_be_bytes);
    let read = |from: &Bytes| Some((number(from.get(..4)?)?, number(from.get(4..)?)?));
    segment.from.as_ref().and_then(read).unwrap_or((0, 1))
}

/// Makes a place in a table a cursor.
pub(in crate::layout) fn cursor_at(place: &Place) -> Cursor {
    let mut out = Vec::new();
    write_varint(&mut out, place.0.len() as u64);
    out.extend_from_slice(place.0.as_bytes());
    out.extend_from_slice(place.1.as_bytes());
    Cursor(out.into())
}

/// Takes the place of a cursor back.
pub(in crate::layout) fn place_at(cursor: &Cursor) -> Result<Place> {
    read(cursor).ok_or_else(|| {
        Error::new(ErrorKind::Invalid, "scan", "the cursor is not one of this store")
    })
}

fn read(cursor: &Cursor) -> Option<Place> {
    let mut at = 0;
    let len = read_varint(&cursor.0, &mut at).ok()? as usize;
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    Some((text(cursor.0.get(at..at.checked_add(len)?)?)?, text(cursor.0.get(at + len..)?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_cursors_are_read_back() {
        let shares = shares_of(3, Enumeration::Storage);
        let numbers: Vec<_> = shares.iter().map(share_of).collect();
        assert_eq!(numbers, [(0, 3), (1, 3), (2, 3)]);
        assert_eq!(share_of(&shares_of(1, Enumeration::Storage)[0]), (0, 1));
        let at = ("thread".to_owned(), "checkpoint##1".to_owned());
        assert_eq!(place_at(&cursor_at(&at)).ok(), Some(at));
        assert!(place_at(&Cursor(Bytes::from_static(&[9, 1]))).is_err());
    }
}
