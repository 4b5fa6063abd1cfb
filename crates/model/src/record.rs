//! Records: one logical item of a unit, the same whatever the layout.

use std::sync::OnceLock;

use bytes::Bytes;

use crate::canonical::{self, FORMAT};
use crate::{Body, Digest, Key, UnitDigest, Value, ValueRef, write_varint};

/// A record: kind and key, body, the values that the body names, and residue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Kind and place inside the unit.
    pub key: Key,
    /// The typed content.
    pub body: Body,
    /// The values that the body names, each once; empty where they were not asked for.
    pub values: Vec<Value>,
    /// What only other layouts can say about the record; at most one entry a layout.
    pub residue: Vec<Residue>,
}

/// What only one layout can say about a record: opaque to every other, which keeps it beside.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Residue {
    /// The layout that wrote it, and alone reads it (`langgraph+sqlite`).
    pub layout: Box<str>,
    /// The layout's own format number.
    pub format: u8,
    /// The digest of the record that it belongs to; with another body it is ignored, and reported.
    pub record: Digest,
    /// The layout's bytes.
    pub bytes: Bytes,
}

impl Record {
    /// Makes a record without values and residue.
    pub fn new(key: Key, body: Body) -> Self {
        Self { key, body, values: Vec::new(), residue: Vec::new() }
    }

    /// Returns the digest of key and body; through the body it covers every value's bytes.
    pub fn digest(&self) -> Digest {
        let mut body = Vec::with_capacity(1024);
        canonical::encode(&self.body, &mut body);
        Self::digest_of(&self.key, &body)
    }

    /// Returns the digest of a key and an encoded body.
    pub fn digest_of(key: &Key, body: &[u8]) -> Digest {
        let mut len = Vec::with_capacity(4);
        write_varint(&mut len, key.as_bytes().len() as u64);
        digest_in_domain(&RECORD, RECORD_DOMAIN, &[&len, key.as_bytes(), body])
    }

    /// Returns the value of a name, where the record carries it.
    pub fn value(&self, name: &ValueRef) -> Option<&Value> {
        self.values.iter().find(|v| v.name == *name)
    }

    /// Returns the residue of a layout that still belongs to this body.
    pub fn residue_of(&self, layout: &str) -> Option<&Residue> {
        let found = self.residue.iter().find(|r| &*r.layout == layout)?;
        (found.record == self.digest()).then_some(found)
    }

    /// Returns the record's contribution to its unit's digest.
    pub fn summed(&self) -> UnitDigest {
        let mut sum = UnitDigest { records: 1, ..UnitDigest::default() };
        sum.bodies.add(&self.digest());
        self.residue.iter().for_each(|r| sum.residues.add(&r.digest(&self.key)));
        sum
    }

    /// Returns roughly how many bytes the record holds in memory.
    pub fn weight(&self) -> usize {
        let values: usize = self.values.iter().map(|v| v.bytes.len() + 64).sum();
        let residue: usize = self.residue.iter().map(|r| r.bytes.len() + 64).sum();
        // A body is small beside its values; four kilobytes is its ordinary upper end.
        values + residue + self.key.as_bytes().len() + 4096
    }
}

impl Residue {
    /// Returns the digest of the residue, bound to the record's key.
    pub fn digest(&self, key: &Key) -> Digest {
        let mut bytes = Vec::with_capacity(256);
        for piece in [key.as_bytes(), self.layout.as_bytes(), &self.bytes] {
            write_varint(&mut bytes, piece.len() as u64);
            bytes.extend_from_slice(piece);
        }
        bytes.push(self.format);
        bytes.extend_from_slice(self.record.as_bytes());
        digest_in_domain(&RESIDUE, RESIDUE_DOMAIN, &[&bytes])
    }
}

const RECORD_DOMAIN: &str = "restow record";
const RESIDUE_DOMAIN: &str = "restow residue";
static RECORD: OnceLock<blake3::Hasher> = OnceLock::new();
static RESIDUE: OnceLock<blake3::Hasher> = OnceLock::new();

fn digest_in_domain(start: &OnceLock<blake3::Hasher>, domain: &str, pieces: &[&[u8]]) -> Digest {
    let start = start.get_or_init(|| {
        let mut hasher = blake3::Hasher::new_derive_key(domain);
        hasher.update(&[FORMAT]);
        hasher
    });
    let mut hasher = start.clone();
    for piece in pieces {
        hasher.update(piece);
    }
    Digest::from_bytes(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Form;

    fn record() -> Record {
        let value = Value::new(Form::Msgpack, Bytes::from_static(b"\x93\x01\x02\x03"));
        let key = Key::of("write").text("").text("1ef").text("task").int(0).build();
        let body = Body::List(vec![Body::text("messages"), Body::Value(value.name)]);
        let mut record = Record { values: vec![value], ..Record::new(key, body) };
        let residue = Residue {
            layout: "langgraph+sqlite".into(),
            format: 1,
            record: record.digest(),
            bytes: Bytes::from_static(b"r"),
        };
        record.residue.push(residue);
        record
    }

    #[test]
    fn residue_of_a_changed_body_is_ignored() {
        let mut record = record();
        assert!(record.residue_of("langgraph+sqlite").is_some());
        assert!(record.residue_of("langgraph+postgres").is_none());
        record.body = Body::Null;
        assert!(record.residue_of("langgraph+sqlite").is_none());
    }

    #[test]
    fn key_body_value_and_residue_all_count() {
        let base = record();
        let mut changed = vec![base.clone(); 4];
        changed[0].key = Key::of("write").text("").text("1ef").text("task").int(1).build();
        changed[1].body = Body::Null;
        changed[2].residue[0].bytes = Bytes::from_static(b"s");
        changed[3].residue.clear();
        for (n, other) in changed.iter().enumerate() {
            assert_ne!(other.summed(), base.summed(), "change {n}");
        }
    }

    /// Golden digests of format 1. A change here needs a new format number and a decision record.
    #[test]
    fn golden_digests_of_format_1() {
        let record = record();
        let lines = [record.digest(), record.residue[0].digest(&record.key)];
        let lines = lines.map(|d| d.to_string()).join("\n");
        assert_eq!(lines, include_str!("golden/record_1.txt").trim());
    }
}
