//! The log of a unit's elements: what is new is appended, what is there is pointed at.
//!
//! Invariants:
//! - Elements are numbered from zero, without gaps, in the order in which they were first seen.
//! - Memory is bounded: what the log has forgotten is stored again, which costs space and nothing
//!   else.
//! - A pointer's size does not grow with the value: what exceeds [`POINTER_BYTES_MAX`] becomes
//!   elements itself, cut where its own bytes say, so that an edit changes a few of them.

use std::collections::HashMap;
use std::ops::Range;

use restow_model::{Digest, Value};

use super::part::{Elements, PART_BYTES_TARGET};
use super::pointer::{self, DEPTH_MAX, Piece};
use super::{Pointer, cut};

/// A piece below this size is spelled in the pointer.
const LITERAL_BYTES_MAX: usize = 40;
/// A part that is handed out with this size is closed: an application that adds a little again and
/// again would pay more for writing a longer one again than it saves.
pub const TAIL_BYTES_MAX: usize = 8 << 10;
/// A pointer is kept at about this size.
pub const POINTER_BYTES_MAX: usize = 400;
/// Pieces of a long pointer are grouped into elements of about this many.
const GROUP_PIECES: Range<usize> = 8..64;
/// How many elements a log remembers, in each of two generations.
const REMEMBERED_MAX: usize = 64 << 10;
/// How many pointers it remembers, in each of two generations.
const POINTERS_MAX: usize = 2 << 10;
/// How many bytes of earlier values it keeps to compare with, in all and of one.
const EARLIER_BYTES_MAX: usize = 2 << 20;
const EARLIER_VALUE_BYTES_MAX: usize = 512 << 10;

/// A unit's log, as its writer sees it.
#[derive(Debug)]
pub struct Log {
    next: u64,
    open: Open,
    known: Recent<[u8; 16], u64>,
    pointers: Recent<Digest, Pointer>,
    earlier: HashMap<u64, Earlier>,
    earlier_bytes: usize,
}

/// Elements by number, each with its place in a value.
type Placed = Vec<(u64, Range<usize>)>;

/// The elements behind the last closed part.
#[derive(Debug, Default)]
struct Open {
    first: u64,
    lens: Vec<u32>,
    bytes: Vec<u8>,
    /// Whether there is anything that was not handed out.
    has_more: bool,
}

/// Where a log puts runs of elements that are complete.
pub trait Sink {
    /// Why it cannot take one.
    type Error;

    /// Takes a run: the number of its first element, the length of each, their bytes.
    fn take(&mut self, first: u64, lens: &[u32], bytes: &[u8]) -> Result<(), Self::Error>;
}

/// A value that stood in the same place before, to compare with instead of hashing.
#[derive(Debug, Default)]
struct Earlier {
    bytes: Vec<u8>,
    elements: Placed,
}

impl Log {
    /// Opens a log whose elements below `next` are stored already.
    pub fn new(next: u64) -> Self {
        Self {
            next,
            open: Open { first: next, ..Open::default() },
            known: Recent::new(REMEMBERED_MAX),
            pointers: Recent::new(POINTERS_MAX),
            earlier: HashMap::new(),
            earlier_bytes: 0,
        }
    }

    /// Returns the number of the next element.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Learns the elements of a stored part, so that they are pointed at again.
    pub fn learn(&mut self, part: &Elements) {
        part.iter().for_each(|(number, bytes)| self.known.insert(name(bytes), number));
    }

    /// Takes the last stored part back in, to be written again, longer, in place of itself.
    pub fn reopen(&mut self, part: &Elements) {
        self.open = Open { first: part.numbers().start, ..Open::default() };
        for (_, bytes) in part.iter() {
            self.open.lens.push(bytes.len() as u32);
            self.open.bytes.extend_from_slice(bytes);
        }
    }

    /// Adds a value; `place` tells values apart that are not successors of each other.
    ///
    /// When the sink fails, the log is not what is stored any more and has to be dropped.
    pub fn put<S: Sink>(
        &mut self,
        value: &Value,
        place: u64,
        sink: &mut S,
    ) -> Result<Pointer, S::Error> {
        if let Some(pointer) = self.pointers.get(&value.name.digest) {
            return Ok(pointer);
        }
        let mut earlier = self.earlier.remove(&place).unwrap_or_default();
        self.earlier_bytes -= earlier.bytes.len();
        let (pointer, elements) = self.pieces(value, &earlier, sink)?;
        let pointer = self.shorten(pointer, sink)?;
        let len = value.bytes.len();
        if !elements.is_empty() && len <= EARLIER_VALUE_BYTES_MAX {
            if self.earlier_bytes + len > EARLIER_BYTES_MAX {
                self.earlier.clear();
                self.earlier_bytes = 0;
            }
            earlier.bytes.clear();
            earlier.bytes.extend_from_slice(&value.bytes);
            earlier.elements = elements;
            self.earlier_bytes += len;
            self.earlier.insert(place, earlier);
        }
        self.pointers.insert(value.name.digest, pointer.clone());
        Ok(pointer)
    }

    /// Hands out the open run as it stands, if it has grown: a short one stays open, and comes
    /// again, longer.
    pub fn flush<S: Sink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        if !self.open.has_more {
            return Ok(());
        }
        sink.take(self.open.first, &self.open.lens, &self.open.bytes)?;
        self.open.has_more = false;
        if self.open.bytes.len() >= TAIL_BYTES_MAX {
            self.close();
        }
        Ok(())
    }

    fn close(&mut self) {
        self.open = Open { first: self.next, ..Open::default() };
    }

    fn pieces<S: Sink>(
        &mut self,
        value: &Value,
        earlier: &Earlier,
        sink: &mut S,
    ) -> Result<(Pointer, Placed), S::Error> {
        let mut pointer = Pointer::default();
        let mut elements = Vec::new();
        let mut likely = 0;
        for range in cut::cut(value.form, &value.bytes) {
            let bytes = &value.bytes[range.clone()];
            if bytes.len() < LITERAL_BYTES_MAX {
                pointer.push(Piece::Literal(bytes.to_vec()));
                continue;
            }
            let same = |at: usize| {
                let (number, range) = earlier.elements.get(at)?;
                (earlier.bytes[range.clone()] == *bytes).then_some(*number)
            };
            // Usually the element that stood here before, or its successor.
            let found = (likely..likely + 2).find_map(|at| Some((at, same(at)?)));
            let number = match found {
                Some((at, number)) => {
                    likely = at + 1;
                    number
                }
                None => {
                    let number = self.element(bytes, sink)?;
                    let ahead = earlier.elements.iter().skip(likely).take(64);
                    let step = ahead.take_while(|(n, _)| *n != number).count();
                    likely += if step < 64 { step + 1 } else { 1 };
                    number
                }
            };
            pointer.push(Piece::Run { first: number, count: 1 });
            elements.push((number, range));
        }
        Ok((pointer, elements))
    }

    /// Returns the number of an element, appending it where it is not known.
    fn element<S: Sink>(&mut self, bytes: &[u8], sink: &mut S) -> Result<u64, S::Error> {
        let name = name(bytes);
        if let Some(number) = self.known.get(&name) {
            return Ok(number);
        }
        if !self.open.lens.is_empty() && self.open.bytes.len() + bytes.len() > PART_BYTES_TARGET {
            self.flush(sink)?;
            self.close();
        }
        let number = self.next;
        self.open.lens.push(bytes.len() as u32);
        self.open.bytes.extend_from_slice(bytes);
        self.open.has_more = true;
        self.next += 1;
        self.known.insert(name, number);
        Ok(number)
    }

    /// Moves the pieces of a long pointer into elements, level by level.
    fn shorten<S: Sink>(
        &mut self,
        mut pointer: Pointer,
        sink: &mut S,
    ) -> Result<Pointer, S::Error> {
        let mut encoded = Vec::new();
        while pointer.depth < DEPTH_MAX {
            encoded.clear();
            pointer::encode(&pointer.pieces, &mut encoded);
            if encoded.len() <= POINTER_BYTES_MAX || pointer.pieces.len() < GROUP_PIECES.start {
                break;
            }
            let mut above = Pointer { depth: pointer.depth + 1, pieces: Vec::new() };
            for group in groups(&pointer.pieces) {
                pointer::encode_group(group, &mut encoded);
                let first = self.element(&encoded, sink)?;
                above.push(Piece::Run { first, count: 1 });
            }
            pointer = above;
        }
        Ok(pointer)
    }
}

/// Divides pieces where a piece's own numbers say so; a change moves only the borders around it.
fn groups(pieces: &[Piece]) -> impl Iterator<Item = &[Piece]> {
    let mut rest = pieces;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let ends = |piece: &Piece| match piece {
            Piece::Run { first, count } => {
                let mixed = (first ^ count.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                mixed >> 60 == 0
            }
            Piece::Literal(_) => false,
        };
        let window = rest.len().min(GROUP_PIECES.end);
        let from = GROUP_PIECES.start.min(window);
        let end = rest[from..window].iter().position(ends).map_or(window, |n| from + n + 1);
        let (group, behind) = rest.split_at(end);
        rest = behind;
        Some(group)
    })
}

fn name(bytes: &[u8]) -> [u8; 16] {
    let mut name = [0; 16];
    name.copy_from_slice(&Digest::of(bytes).as_bytes()[..16]);
    name
}

/// A table of bounded size that forgets what was not asked for longest.
#[derive(Debug)]
struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    max: usize,
}

impl<K: std::hash::Hash + Eq + Copy, V: Clone> Recent<K, V> {
    fn new(max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), max }
    }

    fn get(&mut self, key: &K) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let value = self.old.remove(key)?;
        self.insert(*key, value.clone());
        Some(value)
    }

    fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
