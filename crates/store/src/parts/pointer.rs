//! Pointers: which literal bytes and which runs of elements make a value.
//!
//! A pointer of depth 0 spells the value. One of depth n spells, in the same way, the pieces of
//! the pointer of depth n − 1, so that a long pointer is itself kept in elements, most of them
//! shared with the pointer before it: a persistent tree.
//!
//! Encoding, format 1: the depth, then the pieces up to the end. A piece is a varint, of which the
//! lowest bit says what it is: 0, that many literal bytes follow; 1, a run of that many elements,
//! whose first number follows as its zigzag difference from the end of the run before. A literal
//! of no bytes starts a group: the run behind it counts from zero, whatever came before.

use restow_model::{Malformed, read_varint, write_varint};

/// A pointer deeper than this is damage.
pub const DEPTH_MAX: u8 = 8;

/// One piece of what a pointer spells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes too few to be an element.
    Literal(Vec<u8>),
    /// A run of elements.
    Run {
        /// The number of the first.
        first: u64,
        /// How many.
        count: u64,
    },
}

/// Says how a value is put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pointer {
    /// How many times what is spelled has to be read as pieces again.
    pub depth: u8,
    /// The pieces.
    pub pieces: Vec<Piece>,
}

impl Pointer {
    /// Appends a piece, joining it with the one before where both are of a kind and adjacent.
    pub fn push(&mut self, piece: Piece) {
        push(&mut self.pieces, piece);
    }

    /// Returns the bytes to store.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![self.depth];
        encode(&self.pieces, &mut out);
        out
    }

    /// Takes stored bytes back.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let depth = *bytes.first().ok_or(Malformed::new("pointer without a depth", 0))?;
        if depth > DEPTH_MAX {
            return Err(Malformed::new("pointer too deep", 0));
        }
        Ok(Self { depth, pieces: decode(&bytes[1..])? })
    }
}

fn push(pieces: &mut Vec<Piece>, piece: Piece) {
    match (pieces.last_mut(), piece) {
        (Some(Piece::Literal(last)), Piece::Literal(bytes)) => last.extend(bytes),
        (Some(Piece::Run { first, count }), Piece::Run { first: next, count: more })
            if *first + *count == next =>
        {
            *count += more;
        }
        (_, piece) => pieces.push(piece),
    }
}

/// Appends the encoding of pieces.
pub(super) fn encode(pieces: &[Piece], out: &mut Vec<u8>) {
    let mut end = 0u64;
    for piece in pieces {
        match piece {
            Piece::Literal(bytes) => {
                write_varint(out, (bytes.len() as u64) << 1);
                out.extend_from_slice(bytes);
            }
            Piece::Run { first, count } => {
                write_varint(out, (count << 1) | 1);
                let step = first.wrapping_sub(end) as i64;
                write_varint(out, ((step << 1) ^ (step >> 63)) as u64);
                end = first + count;
            }
        }
    }
}

/// Replaces `out` by the encoding of a group: pieces that may stand behind any others.
pub(super) fn encode_group(pieces: &[Piece], out: &mut Vec<u8>) {
    out.clear();
    out.push(0);
    encode(pieces, out);
}

/// Reads pieces up to the end of `bytes`.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Piece>, Malformed> {
    let (mut at, mut end) = (0, 0u64);
    let mut pieces = Vec::new();
    while at < bytes.len() {
        let start = at;
        let head = read_varint(bytes, &mut at)?;
        if head & 1 == 0 {
            let len = usize::try_from(head >> 1).unwrap_or(usize::MAX);
            let stop = at.checked_add(len).filter(|stop| *stop <= bytes.len());
            let stop = stop.ok_or(Malformed::new("literal cut short", start))?;
            match stop == at {
                true => end = 0,
                false => pieces.push(Piece::Literal(bytes[at..stop].to_vec())),
            }
            at = stop;
        } else {
            let zigzag = read_varint(bytes, &mut at)?;
            let step = ((zigzag >> 1) as i64) ^ -((zigzag & 1) as i64);
            let first = end.wrapping_add(step as u64);
            let stop = first.checked_add(head >> 1);
            end = stop.ok_or(Malformed::new("run out of range", start))?;
            pieces.push(Piece::Run { first, count: head >> 1 });
        }
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn piece() -> impl Strategy<Value = Piece> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 1..20).prop_map(Piece::Literal),
            (0u64..1 << 40, 1u64..1 << 30).prop_map(|(first, count)| Piece::Run { first, count }),
        ]
    }

    proptest! {
        #[test]
        fn is_stored_whole(
            depth in 0..=DEPTH_MAX,
            pieces in prop::collection::vec(piece(), 0..20),
        ) {
            let pointer = Pointer { depth, pieces };
            prop_assert_eq!(Pointer::from_bytes(&pointer.to_bytes()), Ok(pointer));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Pointer::from_bytes(&bytes);
        }
    }

    /// Golden bytes of format 1. A change here needs a new format number and a decision record.
    #[test]
    fn golden_bytes_of_format_1() {
        let mut pointer = Pointer::default();
        pointer.push(Piece::Literal(b"\xdc\0".to_vec()));
        pointer.push(Piece::Literal(b"\x03".to_vec()));
        pointer.push(Piece::Run { first: 7, count: 2 });
        pointer.push(Piece::Run { first: 9, count: 1 });
        pointer.push(Piece::Run { first: 0, count: 1 });
        assert_eq!(pointer.to_bytes(), b"\0\x06\xdc\0\x03\x07\x0e\x03\x13");
        assert_eq!(pointer.pieces.len(), 3);
    }
}
