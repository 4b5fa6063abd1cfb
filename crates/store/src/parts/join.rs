//! Joining: a value put together from its parts, with every check.

use std::collections::BTreeMap;

use bytes::Bytes;
use restow_model::{Digest, ValueRef};

use super::part::{Codec, Elements};
use super::pointer::{self, Piece};
use super::{Part, Pointer, Torn};

/// How many bytes of opened parts a joiner keeps.
const CACHE_BYTES_MAX: usize = 3 << 20;
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
    uses: u64,
}

impl Joiner {
    /// Makes a joiner without parts.
    pub fn new() -> Result<Self, Torn> {
        Ok(Self { codec: Codec::new()?, cache: BTreeMap::new(), weight: 0, uses: 0 })
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
        let expected = usize::try_from(name.len).unwrap_or(usize::MAX);
        let torn = |found: usize| Torn::Value { expected: name.len, found: found as u64 };
        let mut pieces = std::borrow::Cow::Borrowed(&pointer.pieces);
        for _ in 0..pointer.depth {
            let mut spelled = Vec::new();
            self.spell(&pieces, SPELLING_BYTES_MAX, &mut spelled, parts)?;
            pieces = std::borrow::Cow::Owned(pointer::decode(&spelled)?);
        }
        // The name's length is a claim until the bytes are there; do not allocate on its word.
        let mut value = Vec::with_capacity(expected.min(32 << 20));
        self.spell(&pieces, expected, &mut value, parts)?;
        match value.len() == expected && Digest::of(&value) == name.digest {
            true => Ok(value.into()),
            false => Err(torn(value.len())),
        }
    }

    fn spell(
        &mut self,
        pieces: &[Piece],
        limit: usize,
        out: &mut Vec<u8>,
        parts: &mut dyn Fetch,
    ) -> Result<(), Torn> {
        let over = |found: usize| Torn::Value { expected: limit as u64, found: found as u64 };
        for piece in pieces {
            match piece {
                Piece::Literal(bytes) => out.extend_from_slice(bytes),
                Piece::Run { first, count } => {
                    let (mut at, end) = (*first, first + count);
                    while at < end {
                        let elements = self.elements(at, parts)?;
                        let bytes = elements.run(at..end);
                        if out.len() + bytes.len() > limit {
                            return Err(over(out.len() + bytes.len()));
                        }
                        out.extend_from_slice(bytes);
                        at = elements.numbers().end;
                    }
                }
            }
        }
        if out.len() > limit { Err(over(out.len())) } else { Ok(()) }
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
        while self.weight > CACHE_BYTES_MAX {
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
