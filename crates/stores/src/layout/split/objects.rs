//! Objects: bytes beside the units, each in a partition of its own, never written twice.

use restow_store::Result;
use restow_store::parts::Part;

use super::log::Listed;
use super::names;
use crate::engine::dynamodb::{Item, Place, Range, Table, at, bytes, bytes_of, text};

const DATA: &str = "data";

/// Bytes that are going to be written as objects of one stamp.
#[derive(Debug)]
pub(super) struct Objects {
    /// The stamp.
    pub(super) stamp: i64,
    /// How large an object is at most, unless one part alone is larger.
    bytes_max: usize,
    full: Vec<Vec<u8>>,
    open: Vec<u8>,
}

impl Objects {
    /// Begins without any.
    pub(super) fn new(stamp: i64, bytes_max: usize) -> Self {
        Self { stamp, bytes_max, full: Vec::new(), open: Vec::new() }
    }

    /// Returns how many there are.
    pub(super) fn count(&self) -> u64 {
        self.full.len() as u64 + u64::from(!self.open.is_empty())
    }

    /// Adds a part to the object that has room for it.
    pub(super) fn add(&mut self, mut part: Part) -> Listed {
        let stored = std::mem::take(&mut part.stored);
        if !self.open.is_empty() && self.open.len() + stored.len() > self.bytes_max {
            self.full.push(std::mem::take(&mut self.open));
        }
        let place = (self.stamp, self.full.len() as u64, self.open.len(), stored.len());
        self.open.extend(stored);
        Listed { part, object: Some(place) }
    }

    /// Returns the items to write.
    pub(super) fn items(self, prefix: &str, partition: &str) -> Vec<Item> {
        let last = Some(self.open).filter(|open| !open.is_empty());
        let all = self.full.into_iter().chain(last).enumerate();
        let item = |(number, data): (usize, Vec<u8>)| {
            let mut item = at(&names::object(prefix, self.stamp, number as u64));
            item.insert(DATA.into(), bytes(data));
            item.insert("unit".into(), text(partition));
            item
        };
        all.map(item).collect()
    }
}

/// Cuts bytes that are too large for an item.
pub(super) fn cut(stamp: i64, data: &[u8], bytes_max: usize) -> Objects {
    let full = data.chunks(bytes_max).map(<[u8]>::to_vec).collect();
    Objects { full, ..Objects::new(stamp, bytes_max) }
}

/// Reads an object; nothing where it is not there.
pub(super) fn get(table: &Table, place: &Place) -> Result<Option<Vec<u8>>> {
    let mut item = table.get(place)?;
    if item.is_none() {
        // It may have been written while parts were called otherwise; a partition holds one.
        item = table.query(&place.0, &Range::All, false, None, Some(1))?.0.pop();
    }
    Ok(item.and_then(|item| bytes_of(&item, DATA).map(<[u8]>::to_vec)))
}

/// Returns a piece of an object, where the object is as long as that.
pub(super) fn piece(object: &[u8], at: usize, len: usize) -> Option<&[u8]> {
    object.get(at..at.checked_add(len)?)
}

/// Reads what was cut; `Err` names what is missing.
pub(super) fn joined(
    table: &Table,
    prefix: &str,
    stamp: i64,
    count: u64,
) -> Result<std::result::Result<Vec<u8>, String>> {
    let mut data = Vec::new();
    for number in 0..count {
        let place = names::object(prefix, stamp, number);
        match get(table, &place)? {
            Some(piece) => data.extend(piece),
            None => return Ok(Err(format!("its part {} is missing", place.0))),
        }
    }
    Ok(Ok(data))
}
