//! Parts: runs of elements, kept together, compressed, named by the digest of their raw bytes.
//!
//! Raw bytes of a part, format 1: the number of elements, the length of each, then the elements,
//! one after the other; numbers are varints.

use std::ops::Range;

use restow_model::{Digest, read_varint, write_varint};

use super::Torn;

/// A part is closed when its elements come to this size.
pub const PART_BYTES_TARGET: usize = 64 << 10;
/// No part is larger than this when it is read; more is damage.
pub const PART_BYTES_MAX: usize = 1 << 20;
/// The zstd level of everything that restow compresses.
pub const ZSTD_LEVEL: i32 = 3;

/// A part as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The number of its first element.
    pub first: u64,
    /// How many elements it holds.
    pub count: u64,
    /// The digest of its raw bytes, its name.
    pub name: Digest,
    /// How many raw bytes there are.
    pub raw_len: usize,
    /// The raw bytes, compressed by zstd.
    pub stored: Vec<u8>,
}

/// The elements of an opened part.
#[derive(Clone, Debug)]
pub struct Elements {
    first: u64,
    raw: Vec<u8>,
    /// Where each element begins in `raw`, and where the last one ends.
    bounds: Vec<u32>,
}

impl Elements {
    /// Returns the numbers of the elements.
    pub fn numbers(&self) -> Range<u64> {
        self.first..self.first + (self.bounds.len() as u64 - 1)
    }

    /// Returns the bytes of a run of elements, as far as the part holds it.
    pub fn run(&self, numbers: Range<u64>) -> &[u8] {
        let at = |n: u64| {
            let n = n.clamp(self.numbers().start, self.numbers().end) - self.first;
            self.bounds[n as usize] as usize
        };
        &self.raw[at(numbers.start)..at(numbers.end)]
    }

    /// Returns each element with its number.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.numbers().map(|n| (n, self.run(n..n + 1)))
    }

    /// Returns roughly how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        self.raw.len() + self.bounds.len() * 4
    }
}

/// Compresses and expands; keeps zstd's working memory from one part to the next.
pub struct Codec {
    /// Made when it is first needed: most codecs only expand.
    pack: Option<zstd::bulk::Compressor<'static>>,
    /// Where packed bytes are made before they are copied in their true size.
    packed: Vec<u8>,
    unpack: zstd::bulk::Decompressor<'static>,
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Codec")
    }
}

impl Codec {
    /// Makes a codec; fails only where the machine has no memory for it.
    pub fn new() -> Result<Self, Torn> {
        let broken = |e: std::io::Error| Torn::Unreadable(e.to_string());
        Ok(Self {
            pack: None,
            packed: Vec::new(),
            unpack: zstd::bulk::Decompressor::new().map_err(broken)?,
        })
    }

    /// Compresses raw bytes.
    pub fn pack(&mut self, raw: &[u8]) -> Result<Vec<u8>, Torn> {
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(raw.len()));
        let broken = |e: std::io::Error| Torn::Unreadable(e.to_string());
        let pack = match &mut self.pack {
            Some(pack) => pack,
            empty => empty.insert(zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(broken)?),
        };
        pack.compress_to_buffer(raw, &mut self.packed).map_err(broken)?;
        Ok(self.packed.to_vec())
    }

    /// Expands to exactly `raw_len` bytes of the name given, or says what is wrong.
    pub fn unpack(
        &mut self,
        stored: &[u8],
        raw_len: usize,
        name: &Digest,
    ) -> Result<Vec<u8>, String> {
        let raw = self
            .unpack
            .decompress(stored, raw_len)
            .map_err(|_| "what is stored cannot be expanded".to_owned())?;
        match raw.len() == raw_len && Digest::of(&raw) == *name {
            true => Ok(raw),
            false => Err("its bytes do not match its name".into()),
        }
    }
}

impl Part {
    /// Closes a run of elements into a part.
    pub fn seal(first: u64, lens: &[u32], bytes: &[u8], codec: &mut Codec) -> Result<Self, Torn> {
        let mut raw = Vec::with_capacity(bytes.len() + lens.len() * 2 + 8);
        write_varint(&mut raw, lens.len() as u64);
        lens.iter().for_each(|len| write_varint(&mut raw, u64::from(*len)));
        raw.extend_from_slice(bytes);
        Ok(Self {
            first,
            count: lens.len() as u64,
            name: Digest::of(&raw),
            raw_len: raw.len(),
            stored: codec.pack(&raw)?,
        })
    }

    /// Opens the part, checking its bytes against its name and its table.
    pub fn open(&self, codec: &mut Codec) -> Result<Elements, Torn> {
        let damaged = |why: String| Torn::Part { first: self.first, why };
        if self.raw_len > PART_BYTES_MAX {
            return Err(damaged(format!("it claims {} bytes", self.raw_len)));
        }
        let raw = codec.unpack(&self.stored, self.raw_len, &self.name).map_err(damaged)?;
        let table = || -> Option<Vec<u32>> {
            let mut at = 0;
            let count = read_varint(&raw, &mut at).ok().filter(|count| *count == self.count)?;
            let mut lens = Vec::with_capacity(count.min(PART_BYTES_MAX as u64) as usize);
            for _ in 0..count {
                lens.push(read_varint(&raw, &mut at).ok()?);
            }
            let mut bounds = vec![at as u32];
            for len in lens {
                at = at.checked_add(usize::try_from(len).ok()?).filter(|end| *end <= raw.len())?;
                bounds.push(at as u32);
            }
            (at == raw.len()).then_some(bounds)
        };
        let bounds = table().ok_or_else(|| damaged("its table does not fit its bytes".into()))?;
        Ok(Elements { first: self.first, raw, bounds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn codec() -> Codec {
        Codec::new().expect("memory for zstd")
    }

    proptest! {
        #[test]
        fn opens_to_the_elements_it_was_sealed_from(
            elements in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..20),
            first in 0u64..1000,
        ) {
            let lens: Vec<_> = elements.iter().map(|e| e.len() as u32).collect();
            let part = Part::seal(first, &lens, &elements.concat(), &mut codec()).expect("sealed");
            let opened = part.open(&mut codec()).expect("opened");
            let found: Vec<_> = opened.iter().map(|(_, e)| e.to_vec()).collect();
            prop_assert_eq!(found, elements);
        }

        #[test]
        fn a_changed_byte_is_found(at: usize, flip in 1u8.., what in 0u8..4) {
            let bytes = b"some elements of a part, long enough to be worth compressing, elements";
            let mut part = Part::seal(3, &[30, 40], bytes, &mut codec()).expect("sealed");
            match what {
                0 => { let at = at % part.stored.len(); part.stored[at] ^= flip; }
                1 => part.count += u64::from(flip),
                2 => part.raw_len += usize::from(flip),
                _ => { let len = part.stored.len(); part.stored.truncate(at % len); }
            }
            // zstd may ignore a bit of its own header; then the elements are still the same.
            if let Ok(opened) = part.open(&mut codec()) {
                prop_assert_eq!(opened.run(3..5), bytes);
            }
        }
    }
}
