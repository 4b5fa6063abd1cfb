//! What only a row of PostgreSQL can say about a checkpoint, format 1.
//!
//! A sequence of sections, each a tag, a length (varint) and bytes; tags ascend:
//! - 1: flags, one byte: bit 0 the parent is `''` and not NULL, bit 1 `channel_values` is missing,
//!   bit 2 it is null, bit 3 `channel_versions` is missing, bit 4 the metadata is null;
//! - 2: the column `type`;
//! - 3: channels that stand elsewhere than in the canonical row: for each, how many channels were
//!   passed since the last one listed (varint), a byte, then what the byte asks for. Its bits 0–1:
//!   nothing inline, the value, `true`, another JSON text (counted); bits 2–3: no blob row, the
//!   value, the value under another tag (counted), a row of a tag (counted) with NULL or, by bit 4,
//!   with bytes (counted); bit 5: the version is there, and null;
//! - 4, 5: the text of the checkpoint and of the metadata, where canonical JSON does not give it
//!   back;
//! - 6: pending sends were read from the parent's writes; a body, what stood in their place: the
//!   version of their channel, or null.
//!
//! An empty sequence is never stored: the row is the canonical one.

use bytes::Bytes;
use restow_model::{Body, Record, Residue, canonical, read_varint, write_varint};

use super::shape::{Inline, Row, Shape};

/// The name under which this layout's residue travels.
pub const LAYOUT: &str = "langgraph+postgres";
/// The format that is written.
pub const FORMAT: u8 = 1;

const FLAGS: u8 = 1;
const TAG: u8 = 2;
const CHANNELS: u8 = 3;
const CHECKPOINT: u8 = 4;
const METADATA: u8 = 5;
const SENDS: u8 = 6;

/// The parent is the empty text.
pub(super) const PARENT_EMPTY: u8 = 1;
/// There is no `channel_values`.
pub(super) const NO_VALUES: u8 = 2;
/// `channel_values` is null.
pub(super) const NULL_VALUES: u8 = 4;
/// There is no `channel_versions`.
pub(super) const NO_VERSIONS: u8 = 8;
/// The metadata is null.
pub(super) const NULL_METADATA: u8 = 16;

const FLAGS_MAX: u8 = 31;

/// The difference between a row and the canonical one of its record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) flags: u8,
    /// `type`.
    pub(super) tag: Option<Box<str>>,
    /// Channels by their number, ascending.
    pub(super) channels: Vec<(usize, Shape)>,
    pub(super) checkpoint: Option<Box<str>>,
    pub(super) metadata: Option<Box<str>>,
    /// What stood where the parent's sends were read; none where none were.
    pub(super) sends: Option<Body>,
}

impl Difference {
    /// Says whether a flag is set.
    pub(super) fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Adds the difference to the record, where there is one.
    pub(super) fn attach(&self, record: &mut Record) {
        let bytes = self.encode();
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
    /// where it cannot be read, or where the record has changed since.
    pub(super) fn of(record: &Record) -> Option<Self> {
        // Only then is the record's digest worth its while.
        record.residue.iter().find(|r| &*r.layout == LAYOUT)?;
        let residue = record.residue_of(LAYOUT).filter(|r| r.format == FORMAT)?;
        // One that would be written otherwise could not be read from any row.
        Self::decode(&residue.bytes).filter(|this| this.encode() == residue.bytes)
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut section = |tag: u8, content: &[u8]| {
            bytes.push(tag);
            counted(&mut bytes, content);
        };
        if self.flags != 0 {
            section(FLAGS, &[self.flags]);
        }
        if let Some(tag) = &self.tag {
            section(TAG, tag.as_bytes());
        }
        if !self.channels.is_empty() {
            section(CHANNELS, &shapes_bytes(&self.channels));
        }
        if let Some(text) = &self.checkpoint {
            section(CHECKPOINT, text.as_bytes());
        }
        if let Some(text) = &self.metadata {
            section(METADATA, text.as_bytes());
        }
        if let Some(sends) = &self.sends {
            let mut body = Vec::new();
            canonical::encode(sends, &mut body);
            section(SENDS, &body);
        }
        bytes
    }

    fn decode(bytes: &Bytes) -> Option<Self> {
        let mut this = Self::default();
        let mut input = Input { bytes, at: 0 };
        let mut last = 0;
        while !input.is_spent() {
            let tag = input.byte()?;
            if tag <= last {
                return None;
            }
            last = tag;
            let content = input.counted()?;
            match tag {
                FLAGS => this.flags = *content.first().filter(|flags| **flags <= FLAGS_MAX)?,
                TAG => this.tag = Some(text(&content)?),
                CHANNELS => this.channels = shapes_of(&content)?,
                CHECKPOINT => this.checkpoint = Some(text(&content)?),
                METADATA => this.metadata = Some(text(&content)?),
                SENDS => this.sends = Some(canonical::decode(&content).ok()?),
                _ => return None,
            }
        }
        Some(this)
    }
}

fn counted(out: &mut Vec<u8>, content: &[u8]) {
    write_varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

fn text(bytes: &[u8]) -> Option<Box<str>> {
    std::str::from_utf8(bytes).ok().map(Into::into)
}

fn shapes_bytes(channels: &[(usize, Shape)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut next = 0;
    for (number, shape) in channels {
        write_varint(&mut out, (number - next) as u64);
        next = number + 1;
        let inline = match shape.inline {
            Inline::Absent => 0,
            Inline::Value => 1,
            Inline::True => 2,
            Inline::Other(_) => 3,
        };
        let row = match shape.row {
            Row::Absent => 0,
            Row::Value(None) => 1,
            Row::Value(Some(_)) => 2,
            Row::Cells(_, None) => 3,
            Row::Cells(_, Some(_)) => 7,
        };
        out.push(inline | row << 2 | u8::from(shape.has_null_version) << 5);
        if let Inline::Other(text) = &shape.inline {
            counted(&mut out, text.as_bytes());
        }
        if let Row::Value(Some(tag)) | Row::Cells(tag, _) = &shape.row {
            counted(&mut out, tag.as_bytes());
        }
        if let Row::Cells(_, Some(bytes)) = &shape.row {
            counted(&mut out, bytes);
        }
    }
    out
}

fn shapes_of(bytes: &Bytes) -> Option<Vec<(usize, Shape)>> {
    let mut input = Input { bytes, at: 0 };
    let (mut shapes, mut next) = (Vec::new(), 0usize);
    while !input.is_spent() {
        let number = next.checked_add(input.number()?)?;
        next = number.checked_add(1)?;
        let byte = input.byte()?;
        let inline = match byte & 3 {
            0 => Inline::Absent,
            1 => Inline::Value,
            2 => Inline::True,
            _ => Inline::Other(text(&input.counted()?)?),
        };
        let row = match byte >> 2 & 7 {
            0 => Row::Absent,
            1 => Row::Value(None),
            2 => Row::Value(Some(text(&input.counted()?)?)),
            3 => Row::Cells(text(&input.counted()?)?, None),
            7 => Row::Cells(text(&input.counted()?)?, Some(input.counted()?)),
            _ => return None,
        };
        let has_null_version = match byte >> 5 {
            0 => false,
            1 => true,
            _ => return None,
        };
        shapes.push((number, Shape { inline, row, has_null_version }));
    }
    Some(shapes)
}

struct Input<'b> {
    bytes: &'b Bytes,
    at: usize,
}

impl Input<'_> {
    fn is_spent(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn number(&mut self) -> Option<usize> {
        usize::try_from(read_varint(self.bytes, &mut self.at).ok()?).ok()
    }

    fn counted(&mut self) -> Option<Bytes> {
        let len = self.number()?;
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len())?;
        let content = self.bytes.slice(self.at..end);
        self.at = end;
        Some(content)
    }
}
