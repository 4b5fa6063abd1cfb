//! Joining: a value put together from its parts, with every check.

use std::collections::BTreeMap;

use bytes::Bytes;
use restow_model::{Digest, Digesting, ValueRef};

use super::part::{Codec, Elements};
use super::pointer::{self, Piece};
use super::{Part, Pointer, Torn};
use crate::buffer::Buffer;

/// How many bytes of opened parts a joiner keeps.
const CACHE_BYTES_MAX: usize = 3 << 20;
/// How many while it puts together a value that they would not hold anyway.
const PASSING_BYTES_MAX: usize = 512 << 10;
/// How long the spelling of a pointer may be before it is taken for damage.
const SPELLING_BYTES_MAX: usize = 256 << 20;

/// Where a joiner gets parts from.
pub trait Fetch {
    /// Returns the part that holds an element of a unit's log; `None` where there is none.
    fn part_with(&mut self, element: u64) -> Result<Option<Part>, Torn>;
}

/// Puts values of one unit together; keeps the parts that it opened last.
#[derive(Debug)]
pub struct Joiner {
    codec: Codec,
    /// Opened parts by their first element, each with the moment of its last use.
    cache: BTreeMap<u64, (Elements, u64)>,
    weight: usize,
    weight_max: usize,
    uses: u64,
}

impl Joiner {
    /// Makes a joiner without parts.
    pub fn new() -> Result<Self, Torn> {
        let (codec, cache) = (Codec::new()?, BTreeMap::new());
        Ok(Self { codec, cache, weight: 0, weight_max: CACHE_BYTES_MAX, uses: 0 })
    }

    /// Forgets all parts: the next value belongs to another unit.
    pub fn clear(&mut self) {
        self.cache.clear();
        self.weight = 0;
    }

    /// Returns the codec, for bytes that are stored beside the parts.
    pub fn codec(&mut self) -> &mut Codec {
        &mut self.codec
    }

    /// Puts a value together and checks its length and digest.
    pub fn join(
        &mut self,
        pointer: &Pointer,
        name: &ValueRef,
        parts: &mut dyn Fetch,
    ) -> Result<Bytes, Torn> {
        let torn = |found: usize| Torn::Value { expected: name.len, found: found as u64 };
        let expected = usize::try_from(name.len).map_err(|_| torn(0))?;
        let mut value = Buffer::zeroed(expected).map_err(|e| Torn::Unreadable(e.to_string()))?;
        let mut len = 0;
        self.value(pointer, name, parts, &mut |bytes| {
            let place = value.get_mut(len..).and_then(|rest| rest.get_mut(..bytes.len()));
            len += bytes.len();
            place.map(|place| place.copy_from_slice(bytes)).is_some()
        })?;
        match len == expected && Digest::of(&value) == name.digest {
            true => Ok(value.freeze()),
            false => Err(torn(len)),
        }
    }

    /// Checks length and digest of a value without putting it together.
    pub fn check(
        &mut self,
        pointer: &Pointer,
        name: &ValueRef,
        parts: &mut dyn Fetch,
    ) -> Result<(), Torn> {
        let (mut digest, mut len) = (Digesting::default(), 0);
        self.value(pointer, name, parts, &mut |bytes| {
            digest.add(bytes);
            len += bytes.len() as u64;
            len <= name.len
        })?;
        match len == name.len && digest.finish() == name.digest {
            true => Ok(()),
            false => Err(Torn::Value { expected: name.len, found: len }),
        }
    }

    /// Hands out a value run by run, until `put` has no more room.
    fn value(
        &mut self,
        pointer: &Pointer,
        name: &ValueRef,
        parts: &mut dyn Fetch,
        put: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), Torn> {
        self.weight_max = match name.len > CACHE_BYTES_MAX as u64 {
            true => PASSING_BYTES_MAX,
            false => CACHE_BYTES_MAX,
        };
        let mut pieces = std::borrow::Cow::Borrowed(&pointer.pieces);
        for _ in 0..pointer.depth {
            let mut spelled = Vec::new();
            self.spell(&pieces, parts, &mut |bytes| {
                spelled.extend_from_slice(bytes);
                spelled.len() <= SPELLING_BYTES_MAX
            })?;
            pieces = std::borrow::Cow::Owned(pointer::decode(&spelled)?);
        }
        self.spell(&pieces, parts, put)
    }

    /// Hands out what pieces spell, run by run, until `put` has no more room.
    fn spell(
        &mut self,
        pieces: &[Piece],
        parts: &mut dyn Fetch,
        put: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), Torn> {
        for piece in pieces {
            match piece {
                Piece::Literal(bytes) => {
                    if !put(bytes) {
                        return Ok(());
                    }
                }
                Piece::Run { first, count } => {
                    let (mut at, end) = (*first, first + count);
                    while at < end {
                        let elements = self.elements(at, parts)?;
                        if !put(elements.run(at..end)) {
                            return Ok(());
                        }
                        at = elements.numbers().end;
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the opened part that holds an element.
    fn elements(&mut self, element: u64, parts: &mut dyn Fetch) -> Result<&Elements, Torn> {
        self.uses += 1;
        let holds = |e: &Elements| e.numbers().contains(&element);
        let cached = self.cache.range(..=element).next_back().filter(|(_, (e, _))| holds(e));
        let first = match cached.map(|(first, _)| *first) {
            Some(first) => first,
            None => {
                let part = parts.part_with(element)?.ok_or(Torn::Missing { element })?;
                let elements = part.open(&mut self.codec)?;
                if !holds(&elements) {
                    return Err(Torn::Missing { element });
                }
                self.keep(elements)
            }
        };
        let entry = self.cache.get_mut(&first).ok_or(Torn::Missing { element })?;
        entry.1 = self.uses;
        Ok(&entry.0)
    }

    fn keep(&mut self, elements: Elements) -> u64 {
        self.weight += elements.weight();
        while self.weight > self.weight_max {
            let oldest = self.cache.iter().min_by_key(|(_, (_, used))| *used).map(|(n, _)| *n);
            let Some((gone, _)) = oldest.and_then(|first| self.cache.remove(&first)) else { break };
            self.weight -= gone.weight();
        }
        let first = elements.numbers().start;
        if let Some((old, _)) = self.cache.insert(first, (elements, self.uses)) {
            self.weight -= old.weight();
        }
        first
    }
}
