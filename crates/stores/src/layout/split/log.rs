//! Directories: where the parts of a unit's log are.
//!
//! Each commit adds one, named by its first element. Bytes of a directory, format 1: how many parts
//! it lists, then for each: number of the first element, count, raw length, name, and either 0 and
//! the part itself behind its length, or 1 and the object, the place in it and the length. Numbers
//! are varints. Of two parts with one first element the later, longer one counts.

use std::collections::BTreeMap;

use restow_model::{Digest, Malformed, read_varint, write_varint};
use restow_store::parts::Part;

use super::names;
use crate::engine::dynamodb::{Item, bytes, bytes_of, number, number_of};

const LIST: &str = "parts";
const STAMP: &str = "stamp";
const OBJECTS: &str = "objects";

/// A part as a directory lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// The part; its bytes are missing where they are in an object.
    pub(super) part: Part,
    /// The object that holds them: its stamp and number, the place in it and the length.
    pub(super) object: Option<(i64, u64, usize, usize)>,
}

/// A directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Directory {
    /// The stamp of the objects that were written with it.
    pub(super) stamp: i64,
    /// How many objects those are.
    pub(super) objects: u64,
    /// The parts, ascending.
    pub(super) parts: Vec<Listed>,
}

impl Directory {
    /// Puts the directory into its item.
    pub(super) fn fill(&self, item: &mut Item, space: i64) {
        let mut out = Vec::new();
        write_varint(&mut out, self.parts.len() as u64);
        for Listed { part, object } in &self.parts {
            for n in [part.first, part.count, part.raw_len as u64] {
                write_varint(&mut out, n);
            }
            out.extend_from_slice(part.name.as_bytes());
            match object {
                None => {
                    out.push(0);
                    write_varint(&mut out, part.stored.len() as u64);
                    out.extend_from_slice(&part.stored);
                }
                Some((_, number, at, len)) => {
                    out.push(1);
                    for n in [*number, *at as u64, *len as u64] {
                        write_varint(&mut out, n);
                    }
                }
            }
        }
        item.insert(super::item::SPACE.into(), number(space));
        item.insert(LIST.into(), bytes(out));
        item.insert(STAMP.into(), number(self.stamp));
        item.insert(OBJECTS.into(), number(self.objects));
    }

    /// Reads the directory of an item.
    pub(super) fn of(item: &Item) -> Result<Self, Malformed> {
        let bytes = bytes_of(item, LIST).ok_or(Malformed::new("directory without a list", 0))?;
        let stamp = number_of(item, STAMP).ok_or(Malformed::new("directory without a stamp", 0))?;
        let mut at = 0;
        let count = read_varint(bytes, &mut at)?;
        let mut parts = Vec::new();
        for _ in 0..count {
            parts.push(listed(bytes, &mut at, stamp)?);
        }
        Ok(Self { stamp, objects: number_of(item, OBJECTS).unwrap_or(0), parts })
    }
}

fn listed(bytes: &[u8], at: &mut usize, stamp: i64) -> Result<Listed, Malformed> {
    let first = read_varint(bytes, at)?;
    let count = read_varint(bytes, at)?;
    let raw_len = read_varint(bytes, at)? as usize;
    let name = take(bytes, at, 32)?;
    let name = Digest::from_slice(name).ok_or(Malformed::new("digest cut short", *at))?;
    let mut part = Part { first, count, name, raw_len, stored: Vec::new() };
    let object = match take(bytes, at, 1)? {
        [0] => {
            let len = read_varint(bytes, at)? as usize;
            part.stored = take(bytes, at, len)?.to_vec();
            None
        }
        _ => {
            let number = read_varint(bytes, at)?;
            let place = read_varint(bytes, at)? as usize;
            Some((stamp, number, place, read_varint(bytes, at)? as usize))
        }
    };
    Ok(Listed { part, object })
}

fn take<'b>(bytes: &'b [u8], at: &mut usize, len: usize) -> Result<&'b [u8], Malformed> {
    let end = at.checked_add(len).filter(|end| *end <= bytes.len());
    let taken = &bytes[*at..end.ok_or(Malformed::new("directory cut short", *at))?];
    *at += len;
    Ok(taken)
}

/// The parts of a log by their first elements.
pub(super) type Parts = BTreeMap<u64, Listed>;

/// Returns the part that holds an element.
pub(super) fn part_with(parts: &Parts, element: u64) -> Option<&Listed> {
    let (_, listed) = parts.range(..=element).next_back()?;
    (element < listed.part.first + listed.part.count).then_some(listed)
}

/// Returns the name of the item of a directory.
pub(super) fn name(space: i64, directory: &Directory) -> String {
    names::directory(space, directory.parts.first().map_or(0, |listed| listed.part.first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(first: u64, count: u64, stored: &[u8]) -> Listed {
        let (name, stored) = (Digest::of(stored), stored.to_vec());
        Listed { part: Part { first, count, name, raw_len: 9, stored }, object: None }
    }

    #[test]
    fn a_directory_is_stored_whole_and_cut_short_is_damage() {
        let mut far = listed(0, 7, b"");
        far.object = Some((5, 1, 100, 20));
        let directory = Directory { stamp: 5, objects: 2, parts: vec![far, listed(7, 3, b"abc")] };
        let mut item = Item::new();
        directory.fill(&mut item, 1);
        assert_eq!(Directory::of(&item), Ok(directory));
        let whole = bytes_of(&item, LIST).map(<[u8]>::to_vec).unwrap_or_default();
        for len in 0..whole.len() {
            item.insert(LIST.into(), bytes(&whole[..len]));
            assert!(Directory::of(&item).is_err(), "{len}");
        }
    }

    #[test]
    fn of_two_parts_the_longer_counts() {
        let mut parts = Parts::new();
        for part in [listed(0, 5, b"a"), listed(5, 2, b"b"), listed(5, 4, b"c")] {
            parts.insert(part.part.first, part);
        }
        assert_eq!(part_with(&parts, 8).map(|l| &l.part.stored[..]), Some(&b"c"[..]));
        assert_eq!(part_with(&parts, 9), None);
        assert_eq!(part_with(&parts, 4).map(|l| l.part.first), Some(0));
    }
}
