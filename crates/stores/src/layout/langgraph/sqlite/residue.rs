//! What only a row of SQLite can say about a record, format 1.
//!
//! A sequence of sections, each a tag, a length (varint) and bytes; tags ascend:
//! - 1: storage classes, one byte: bit 0 payload is TEXT, bit 1 payload is NULL, bit 2 metadata is
//!   TEXT, bit 3 the parent is `''` and not NULL;
//! - 2: the order of the maps of a packed checkpoint;
//! - 3: a packed checkpoint without its values, where orders do not give it back: a count, then for
//!   each value where it stands (from the last one on) and its channel's number, then the bytes;
//! - 4: the order of the metadata's objects;
//! - 5: the metadata as it stands, where orders do not give it back.
//!
//! An empty sequence is never stored: the row is the canonical one.

use bytes::Bytes;
use restow_model::{Record, Residue, read_varint, write_varint};

use super::super::packed::Splice;

/// The name under which this layout's residue travels.
pub const LAYOUT: &str = "langgraph+sqlite";
/// The format that is written.
pub const FORMAT: u8 = 1;

const CLASSES: u8 = 1;
const BLOB_ORDER: u8 = 2;
const BLOB: u8 = 3;
const METADATA_ORDER: u8 = 4;
const METADATA: u8 = 5;

/// The payload is TEXT.
pub const PAYLOAD_TEXT: u8 = 1;
/// The payload is NULL.
pub const PAYLOAD_NULL: u8 = 2;
/// The metadata is TEXT.
pub const METADATA_TEXT: u8 = 4;
/// The parent is the empty text.
pub const PARENT_EMPTY: u8 = 8;

/// The difference between a row and the canonical one of its record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Storage classes that are not the usual ones.
    pub classes: u8,
    /// Orders of the maps of the packed checkpoint.
    pub blob_order: Vec<u8>,
    /// The packed checkpoint without its values.
    pub blob: Option<Splice>,
    /// Orders of the metadata's objects.
    pub metadata_order: Vec<u8>,
    /// The metadata as it stands.
    pub metadata: Option<Bytes>,
}

impl Difference {
    /// Adds the difference to the record, where there is one.
    pub fn attach(&self, record: &mut Record) {
        let mut bytes = Vec::new();
        let mut section = |tag: u8, content: &[u8]| {
            bytes.push(tag);
            write_varint(&mut bytes, content.len() as u64);
            bytes.extend_from_slice(content);
        };
        if self.classes != 0 {
            section(CLASSES, &[self.classes]);
        }
        if !self.blob_order.is_empty() {
            section(BLOB_ORDER, &self.blob_order);
        }
        if let Some(splice) = &self.blob {
            section(BLOB, &splice_bytes(splice));
        }
        if !self.metadata_order.is_empty() {
            section(METADATA_ORDER, &self.metadata_order);
        }
        if let Some(metadata) = &self.metadata {
            section(METADATA, metadata);
        }
        if !bytes.is_empty() {
            record.residue.push(Residue {
                layout: LAYOUT.into(),
                format: FORMAT,
                record: record.digest(),
                bytes: bytes.into(),
            });
        }
    }

    /// Takes the difference of a record; none where there is no residue of this layout and format,
    /// or where the record has changed since.
    pub fn of(record: &Record) -> Self {
        let residue = record.residue_of(LAYOUT).filter(|r| r.format == FORMAT);
        residue.and_then(|r| Self::decode(&r.bytes)).unwrap_or_default()
    }

    fn decode(bytes: &Bytes) -> Option<Self> {
        let mut this = Self::default();
        let (mut at, mut last) = (0, 0);
        while at < bytes.len() {
            let tag = bytes[at];
            at += 1;
            let len = usize::try_from(read_varint(bytes, &mut at).ok()?).ok()?;
            let end = at.checked_add(len).filter(|end| *end <= bytes.len())?;
            let content = bytes.slice(at..end);
            at = end;
            if tag <= last {
                return None;
            }
            last = tag;
            match (tag, &content[..]) {
                (CLASSES, [classes]) => this.classes = *classes,
                (BLOB_ORDER, orders) => this.blob_order = orders.to_vec(),
                (BLOB, splice) => this.blob = Some(splice_of(splice)?),
                (METADATA_ORDER, orders) => this.metadata_order = orders.to_vec(),
                (METADATA, _) => this.metadata = Some(content),
                _ => return None,
            }
        }
        Some(this)
    }

    /// Says whether this layout's residue of a record is one that a row can say.
    pub fn is_told_by_row(record: &Record) -> bool {
        let own = record.residue_of(LAYOUT);
        own.is_some_and(|r| r.format == FORMAT && Self::decode(&r.bytes).is_some())
            && record.key.kind() != super::super::record::UNIT
    }

    /// Says whether a storage class applies.
    pub fn is(&self, class: u8) -> bool {
        self.classes & class != 0
    }
}

fn splice_bytes(splice: &Splice) -> Vec<u8> {
    let mut out = Vec::with_capacity(splice.own.len() + splice.cuts.len() * 3 + 2);
    write_varint(&mut out, splice.cuts.len() as u64);
    let mut last = 0;
    for (at, channel) in &splice.cuts {
        write_varint(&mut out, (at - last) as u64);
        write_varint(&mut out, *channel as u64);
        last = *at;
    }
    out.extend_from_slice(&splice.own);
    out
}

fn splice_of(bytes: &[u8]) -> Option<Splice> {
    let mut at = 0;
    let mut number = || usize::try_from(read_varint(bytes, &mut at).ok()?).ok();
    let count = number()?;
    let mut cuts = Vec::with_capacity(count.min(bytes.len()));
    let mut place = 0usize;
    for _ in 0..count {
        place = place.checked_add(number()?)?;
        cuts.push((place, number()?));
    }
    let own = bytes.get(at..)?.to_vec();
    (place <= own.len()).then_some(Splice { own, cuts })
}
