//! Cutting a value into pieces at the boundaries of its elements, or by size.
//!
//! Invariant: the pieces, one after the other, are the value. A payload that is not what its form
//! says is cut by size: cutting never fails and never changes a byte.

mod json;
pub mod msgpack;

use std::ops::Range;

use restow_model::Form;

/// An element up to this size stays whole, whatever is in it.
const WHOLE_BYTES_MAX: usize = 4 << 10;
/// No piece is larger; longer text and bytes are cut at multiples of this.
pub const PIECE_BYTES_MAX: usize = 16 << 10;
/// An element below this size is no piece of its own; it joins its neighbours.
const SMALL_BYTES_MAX: usize = 64;
/// Neighbours are joined up to about this size, to an element whose bytes say so.
const GROUP_BYTES_MIN: usize = 256;
const GROUP_BYTES_MAX: usize = 1 << 10;
/// A list is cut into its elements, and a map into its entries, from this size on.
const LIST_BYTES_MIN: usize = 256;
const MAP_BYTES_MIN: usize = 1 << 10;
/// Deeper values are not looked into.
const DEPTH_MAX: usize = 32;

/// Cuts a value; the ranges are ascending, not empty, and cover it.
pub fn cut(form: Form, bytes: &[u8]) -> Vec<Range<usize>> {
    let mut cutter = Cutter { bytes, end: 0, pieces: Vec::new() };
    let understood = match form {
        Form::Raw => None,
        Form::Msgpack => msgpack::cut(&mut cutter).ok(),
        Form::Json => json::cut(&mut cutter).ok(),
    };
    if understood.is_none() {
        cutter.end = 0;
        cutter.pieces.clear();
    }
    cutter.finish();
    cutter.pieces
}

/// Collects pieces from left to right.
struct Cutter<'b> {
    bytes: &'b [u8],
    /// Where the last piece ends; what follows up to the next piece is filler.
    end: usize,
    pieces: Vec<Range<usize>>,
}

impl Cutter<'_> {
    /// Says whether an element is to be looked into rather than kept whole.
    fn opens(kind: Kind, len: usize, depth: usize) -> bool {
        let from = match kind {
            Kind::List => LIST_BYTES_MIN,
            Kind::Map => MAP_BYTES_MIN,
            Kind::Leaf => return false,
            Kind::Extension => WHOLE_BYTES_MAX + 1,
        };
        depth < DEPTH_MAX && len >= from
    }

    /// Takes an element that is not looked into.
    fn element(&mut self, element: Range<usize>) {
        if element.len() >= SMALL_BYTES_MAX {
            self.piece(self.end..element.start);
            self.piece(element);
            return;
        }
        // Where a group ends depends on the bytes of its last element alone, so that groups fall
        // into step again behind an insertion.
        let group = element.end - self.end;
        let hash = self.bytes[element.clone()].iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
            (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        if group >= GROUP_BYTES_MAX || (group >= GROUP_BYTES_MIN && (hash >> 32) % 8 == 0) {
            self.piece(self.end..element.end);
        }
    }

    fn piece(&mut self, mut piece: Range<usize>) {
        self.end = piece.end;
        while piece.len() > PIECE_BYTES_MAX {
            let at = piece.start + PIECE_BYTES_MAX;
            self.pieces.push(piece.start..at);
            piece.start = at;
        }
        if !piece.is_empty() {
            self.pieces.push(piece);
        }
    }

    fn finish(&mut self) {
        self.piece(self.end..self.bytes.len());
    }
}

/// What an element is, as far as cutting goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    List,
    Map,
    Leaf,
    Extension,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_are_the_value(
            form in 0u8..3,
            bytes in prop::collection::vec(any::<u8>(), 0..3000),
        ) {
            let form = Form::from_code(form).expect("a form");
            let pieces = cut(form, &bytes);
            prop_assert!(pieces.iter().all(|p| !p.is_empty()));
            let ends: Vec<_> = pieces.iter().map(|p| p.end).collect();
            let starts: Vec<_> = pieces.iter().map(|p| p.start).collect();
            prop_assert_eq!(ends.last().copied().unwrap_or(0), bytes.len());
            prop_assert_eq!(&starts[starts.len().min(1)..], &ends[..ends.len().saturating_sub(1)]);
            prop_assert_eq!(starts.first().copied().unwrap_or(0), 0);
        }
    }

    #[test]
    fn a_value_is_cut_by_size_where_nothing_else_is_known() {
        let bytes = vec![7; PIECE_BYTES_MAX * 2 + 1];
        let lens: Vec<_> = cut(Form::Raw, &bytes).iter().map(|p| p.len()).collect();
        assert_eq!(lens, [PIECE_BYTES_MAX, PIECE_BYTES_MAX, 1]);
        assert_eq!(cut(Form::Raw, &[]), []);
    }
}
