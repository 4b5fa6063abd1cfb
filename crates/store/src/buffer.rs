//! Buffers for values: small ones from the heap, large ones straight from the system.
//!
//! A general allocator keeps large blocks for later, in every thread's share of it; a process that
//! passes values of 16 MB through several threads then holds many times what it uses. Large buffers
//! are mapped, and go back the moment their last reader drops them.

use std::io;
use std::ops::{Deref, DerefMut};

use bytes::Bytes;
use memmap2::MmapMut;

/// Buffers from this size on are mapped.
const MAPPED_BYTES_MIN: usize = 1 << 20;

/// A buffer of zeros, to be filled and then frozen.
#[derive(Debug)]
pub struct Buffer(Kind);

#[derive(Debug)]
enum Kind {
    Heap(Vec<u8>),
    Mapped(MmapMut),
}

impl Buffer {
    /// Makes a buffer; fails where the system has no room for it.
    pub fn zeroed(len: usize) -> io::Result<Self> {
        Ok(Self(match len >= MAPPED_BYTES_MIN {
            true => Kind::Mapped(MmapMut::map_anon(len)?),
            false => Kind::Heap(vec![0; len]),
        }))
    }

    /// Makes the bytes immutable and shared.
    pub fn freeze(self) -> Bytes {
        match self.0 {
            Kind::Heap(bytes) => bytes.into(),
            Kind::Mapped(map) => Bytes::from_owner(map),
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Kind::Heap(bytes) => bytes,
            Kind::Mapped(map) => map,
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Kind::Heap(bytes) => bytes,
            Kind::Mapped(map) => map,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_buffers_hold_what_is_put_in() {
        for len in [0, 5, MAPPED_BYTES_MIN - 1, MAPPED_BYTES_MIN, MAPPED_BYTES_MIN * 3 + 1] {
            let mut buffer = Buffer::zeroed(len).expect("room");
            assert!(buffer.iter().all(|b| *b == 0));
            buffer.fill(7);
            let bytes = buffer.freeze();
            assert_eq!((bytes.len(), bytes.iter().all(|b| *b == 7)), (len, true));
        }
    }
}
