//! Objects: bytes beside the units, each in a partition of its own, never written twice.

use restow_store::Result;
use restow_store::parts::Part;

use super::log::Listed;
use super::names;
use crate::engine::dynamodb::{Item, Place, Table, at, bytes, bytes_of, text};

/// How large an object is at most.
pub(super) const OBJECT_BYTES_MAX: usize = 300 << 10;
const DATA: &str = "data";

/// Bytes that are going to be written as objects of one stamp.
#[derive(Debug)]
pub(super) struct Objects {
    /// The stamp.
    pub(super) stamp: i64,
    full: Vec<Vec<u8>>,
    open: Vec<u8>,
}

impl Objects {
    /// Begins without any.
    pub(super) fn new(stamp: i64) -> Self {
        Self { stamp, full: Vec::new(), open: Vec::new() }
    }

    /// Returns how many there are.
    pub(super) fn count(&self) -> u64 {
        self.full.len() as u64 + u64::from(!self.open.is_empty())
    }

    /// Adds a part to the object that has room for it.
    pub(super) fn add(&mut self, mut part: Part) -> Listed {
        let stored = std::mem::take(&mut part.stored);
        if !self.open.is_empty() && self.open.len() + stored.len() > OBJECT_BYTES_MAX {
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
pub(super) fn cut(stamp: i64, data: &[u8]) -> Objects {
    let full = data.chunks(OBJECT_BYTES_MAX).map(<[u8]>::to_vec).collect();
    Objects { stamp, full, open: Vec::new() }
}

/// Reads an object; nothing where it is not there.
pub(super) fn get(table: &Table, place: &Place) -> Result<Option<Vec<u8>>> {
    let item = table.get(place)?;
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
