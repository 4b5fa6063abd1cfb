//! Where a scan of LangGraph's tables is, as bytes: cursors and bounds of segments.
//!
//! First byte 1 or 2:
//! - by units: `01`, the thread id's length (varint) and bytes, then the last key sent, or nothing
//!   where the whole unit was; a segment's bound is the thread id alone;
//! - by storage: `02`, the table's number, a place in it, big-endian; what they count is the
//!   engine's.

use bytes::Bytes;
use restow_model::{Key, read_varint, write_varint};
use restow_store::{Enumeration, Error, ErrorKind, Result};

/// Where a scan is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Spot {
    /// In a unit, behind a key; without one behind the unit.
    Unit(Box<str>, Option<Key>),
    /// At a place of a table.
    Stored(u8, u64),
}

impl Spot {
    /// Returns the bytes of a cursor or bound.
    pub(super) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(64);
        match self {
            Self::Unit(unit, key) => {
                out.push(1);
                write_varint(&mut out, unit.len() as u64);
                out.extend_from_slice(unit.as_bytes());
                out.extend_from_slice(key.as_ref().map_or(&[][..], |key| key.as_bytes()));
            }
            Self::Stored(table, place) => {
                out.extend([2, *table]);
                out.extend(place.to_be_bytes());
            }
        }
        out.into()
    }

    /// Takes the bytes of a cursor or bound back.
    pub(super) fn decode(bytes: &Bytes, by: Enumeration) -> Result<Self> {
        let spot = match (by, bytes.first()) {
            (Enumeration::Units, Some(1)) => Self::unit(bytes),
            (Enumeration::Storage, Some(2)) => Self::stored(bytes),
            _ => None,
        };
        spot.ok_or_else(|| {
            let message = "the cursor is not one of this store and this way of walking";
            Error::new(ErrorKind::Invalid, "scan a store", message)
        })
    }

    fn unit(bytes: &Bytes) -> Option<Self> {
        let mut at = 1;
        let len = usize::try_from(read_varint(bytes, &mut at).ok()?).ok()?;
        let end = at.checked_add(len)?;
        let unit = std::str::from_utf8(bytes.get(at..end)?).ok()?;
        let key = match end == bytes.len() {
            true => None,
            false => Some(Key::from_bytes(bytes.slice(end..)).ok()?),
        };
        Some(Self::Unit(unit.into(), key))
    }

    fn stored(bytes: &Bytes) -> Option<Self> {
        let place: [u8; 8] = bytes.get(2..)?.try_into().ok()?;
        Some(Self::Stored(*bytes.get(1)?, u64::from_be_bytes(place)))
    }
}
