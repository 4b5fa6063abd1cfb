//! Adjustments: what a row had to be given differently from its record, undone on reading.
//!
//! Format 1: a byte, 1, and a body, which is a map with those of the entries `versions` (channel →
//! its version in the record), `head` (entries of the checkpoint as the record has them),
//! `metadata` (as the record has it) and `sends` (null: none are read from the parent's writes)
//! that say something. It holds as long as the row is the one that it was made with.

use bytes::Bytes;
use restow_model::{Body, Map, canonical, write_varint};

use super::SEEN;

const FORMAT: u8 = 1;
/// The entry of the versions seen whose keys are a node and a channel.
const BUMPS: &str = "__snapshot_bumps__";

/// An adjustment to store beside its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjustment {
    /// The digest of the row that it holds for.
    pub row_digest: [u8; 32],
    /// The layout's bytes.
    pub bytes: Bytes,
}

/// Returns the digest of a row's texts of checkpoint and metadata.
pub fn row_digest(checkpoint: &str, metadata: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let mut len = Vec::with_capacity(5);
    write_varint(&mut len, checkpoint.len() as u64);
    for piece in [&len[..], checkpoint.as_bytes(), metadata.as_bytes()] {
        hasher.update(piece);
    }
    *hasher.finalize().as_bytes()
}

/// What an adjustment says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Versions of channels in the record.
    pub(super) versions: Vec<(Box<str>, Box<str>)>,
    /// Entries of the checkpoint in the record.
    pub(super) head: Vec<(Body, Body)>,
    /// The record's metadata.
    pub(super) metadata: Option<Body>,
    /// No sends are read from the parent's writes.
    pub(super) is_without_sends: bool,
}

impl Changes {
    /// Returns the adjustment of a row, where there is anything to undo.
    pub(super) fn encode(self, checkpoint: &str, metadata: &str) -> Option<Adjustment> {
        let mut entries = Vec::new();
        if !self.versions.is_empty() {
            let pair = |(channel, version)| (Body::Text(channel), Body::Text(version));
            let versions = self.versions.into_iter().map(pair).collect();
            entries.push((Body::text("versions"), Body::Map(Map::from_pairs(versions))));
        }
        if !self.head.is_empty() {
            entries.push((Body::text("head"), Body::Map(Map::from_pairs(self.head))));
        }
        if let Some(metadata) = self.metadata {
            entries.push((Body::text("metadata"), metadata));
        }
        if self.is_without_sends {
            entries.push((Body::text("sends"), Body::Null));
        }
        if entries.is_empty() {
            return None;
        }
        let mut bytes = vec![FORMAT];
        canonical::encode(&Body::Map(Map::from_pairs(entries)), &mut bytes);
        Some(Adjustment { row_digest: row_digest(checkpoint, metadata), bytes: bytes.into() })
    }

    /// Reads the bytes of an adjustment; nothing where they are none of this format.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (format, body) = bytes.split_first()?;
        if *format != FORMAT {
            return None;
        }
        let Body::Map(body) = canonical::decode(body).ok()? else { return None };
        let mut this = Self::default();
        for (name, entry) in body.into_pairs() {
            match (name.as_text()?, entry) {
                ("versions", Body::Map(versions)) => {
                    for (channel, version) in versions.into_pairs() {
                        let (Body::Text(channel), Body::Text(version)) = (channel, version) else {
                            return None;
                        };
                        this.versions.push((channel, version));
                    }
                }
                ("head", Body::Map(head)) => this.head = head.into_pairs(),
                ("metadata", metadata) => this.metadata = Some(metadata),
                ("sends", Body::Null) => this.is_without_sends = true,
                _ => return None,
            }
        }
        Some(this)
    }

    /// Undoes the changes of a checkpoint's head; `swapped` are the versions that stand for others.
    pub(super) fn undo_head(&self, head: Vec<(Body, Body)>, swapped: &[Swap]) -> Vec<(Body, Body)> {
        let mut head = head;
        for (name, entry) in &mut head {
            if !swapped.is_empty() && name.as_text() == Some(SEEN) {
                *entry = replace_seen(entry, swapped, Swap::back);
            }
        }
        // Of a name twice the last one stays.
        head.extend(self.head.iter().cloned());
        head
    }
}

/// A version that stands for another of the same channel.
#[derive(Clone, Debug)]
pub(super) struct Swap {
    pub(super) channel: Box<str>,
    /// That of the record.
    pub(super) version: Box<str>,
    /// That of the row.
    pub(super) stored: Box<str>,
}

impl Swap {
    /// Leads from the record's version to the row's.
    pub(super) fn forth(&self) -> (&str, &str) {
        (&self.version, &self.stored)
    }

    /// Leads from the row's version to the record's.
    pub(super) fn back(&self) -> (&str, &str) {
        (&self.stored, &self.version)
    }
}

/// Replaces versions of channels inside what nodes have seen.
pub(super) fn replace_seen(
    seen: &Body,
    swaps: &[Swap],
    direction: impl Fn(&Swap) -> (&str, &str),
) -> Body {
    let Body::Map(nodes) = seen else { return seen.clone() };
    let replaced = |key: &Body, version: &Body, is_bump: bool| -> Body {
        let (Body::Text(key), Body::Text(held)) = (key, version) else { return version.clone() };
        let of_node = key.split_once(['|', ':']).filter(|_| is_bump).map(|(_, channel)| channel);
        let swap = swaps.iter().find(|swap| {
            let is_channel = *swap.channel == **key || Some(&*swap.channel) == of_node;
            is_channel && direction(swap).0 == &**held
        });
        swap.map_or_else(|| version.clone(), |swap| Body::text(direction(swap).1))
    };
    let node = |(name, versions): &(Body, Body)| {
        let is_bump = name.as_text() == Some(BUMPS);
        let versions = match versions {
            Body::Map(versions) => {
                let pair = |(k, v): &(Body, Body)| (k.clone(), replaced(k, v, is_bump));
                Body::Map(Map::from_pairs(versions.iter().map(pair).collect()))
            }
            other => other.clone(),
        };
        (name.clone(), versions)
    };
    Body::Map(Map::from_pairs(nodes.iter().map(node).collect()))
}
