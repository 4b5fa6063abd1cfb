//! Pages: runs of a unit's records in key order, each with the pointers to its values.
//!
//! Raw bytes of a page, format 1: the number of records, then for each: how many bytes of the key
//! it shares with the record before, the rest of the key, the canonical body, its pointers (form
//! and bytes, one for each value in the order in which the body names them first), its residues.
//! Numbers are varints; bytes stand behind their length.

use bytes::Bytes;
use restow_model::{
    Body, Digest, Form, Key, Malformed, Record, Residue, UnitDigest, ValueRef, canonical,
    read_varint, write_varint,
};

/// A page is closed at about this size.
pub const PAGE_BYTES_TARGET: usize = 128 << 10;
/// A page that is written to again is divided into pages of about this size.
pub const PAGE_BYTES_EDITED: usize = 4 << 10;
/// No page is larger when it is read, unless it holds one record; more is damage.
pub const PAGE_BYTES_MAX: usize = 1 << 30;

/// A record as a page holds it: values by pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The record's key.
    pub key: Key,
    /// The record's body, encoded.
    pub body: Bytes,
    /// Where its values are, in the order in which the body names them first.
    pub pointers: Vec<(Form, Vec<u8>)>,
    /// The record's residues.
    pub residue: Vec<Residue>,
}

impl Entry {
    /// Returns the digest of the record.
    pub fn digest(&self) -> Digest {
        Record::digest_of(&self.key, &self.body)
    }

    /// Returns the record's contribution to its unit's digest.
    pub fn summed(&self) -> UnitDigest {
        let mut sum = UnitDigest { records: 1, ..UnitDigest::default() };
        sum.bodies.add(&self.digest());
        self.residue.iter().for_each(|r| sum.residues.add(&r.digest(&self.key)));
        sum
    }

    /// Returns roughly how many bytes the entry takes in a page.
    pub fn weight(&self) -> usize {
        let pointers: usize = self.pointers.iter().map(|(_, p)| p.len() + 4).sum();
        let residue: usize = self.residue.iter().map(|r| r.bytes.len() + 24).sum();
        self.key.as_bytes().len() + self.body.len() + pointers + residue + 8
    }

    /// Returns the record without its values, and their names in the order of the pointers.
    pub fn record(&self) -> Result<(Record, Vec<ValueRef>), Malformed> {
        let body = canonical::decode(&self.body)?;
        let names = value_names(&body);
        if names.len() != self.pointers.len() {
            return Err(Malformed::new("another number of pointers than of values", 0));
        }
        let residue = self.residue.clone();
        Ok((Record { residue, ..Record::new(self.key.clone(), body) }, names))
    }
}

/// Returns the values that a body names, each once, in canonical order.
pub fn value_names(body: &Body) -> Vec<ValueRef> {
    let mut names = Vec::new();
    body.each_value(&mut |name| {
        if !names.contains(&name) {
            names.push(name);
        }
    });
    names
}

/// Writes entries, which ascend by key, as the raw bytes of a page.
pub fn encode(entries: &[Entry]) -> Vec<u8> {
    let weight: usize = entries.iter().map(Entry::weight).sum();
    let mut out = Vec::with_capacity(weight + 16);
    write_varint(&mut out, entries.len() as u64);
    let mut last: &[u8] = &[];
    for entry in entries {
        let key = &entry.key.as_bytes()[..];
        let shared = key.iter().zip(last).take_while(|(a, b)| a == b).count();
        write_varint(&mut out, shared as u64);
        counted(&mut out, &key[shared..]);
        counted(&mut out, &entry.body);
        write_varint(&mut out, entry.pointers.len() as u64);
        for (form, pointer) in &entry.pointers {
            out.push(form.code());
            counted(&mut out, pointer);
        }
        write_varint(&mut out, entry.residue.len() as u64);
        let digest = (!entry.residue.is_empty()).then(|| entry.digest());
        for residue in &entry.residue {
            counted(&mut out, residue.layout.as_bytes());
            out.push(residue.format);
            // Ordinarily the residue belongs to the body beside it, and 32 bytes are saved.
            match Some(residue.record) == digest {
                true => out.push(1),
                false => {
                    out.push(0);
                    out.extend_from_slice(residue.record.as_bytes());
                }
            }
            counted(&mut out, &residue.bytes);
        }
        last = key;
    }
    out
}

/// Reads the raw bytes of a page, whole.
pub fn decode(raw: &Bytes) -> Result<Vec<Entry>, Malformed> {
    decode_some(raw, |_| true)
}

/// Reads those entries of a page whose encoded keys are wanted; the others are only passed.
pub fn decode_some(raw: &Bytes, wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<Entry>, Malformed> {
    let mut at = 0;
    let count = read_varint(raw, &mut at)?;
    let mut entries: Vec<Entry> = Vec::new();
    let mut key = Vec::with_capacity(256);
    for n in 0..count {
        let start = at;
        let shared = read_varint(raw, &mut at)? as usize;
        let rest = run(raw, &mut at)?;
        let ascends = key.get(shared..).ok_or(Malformed::new("key shares too much", start))?;
        if n > 0 && *rest <= *ascends {
            return Err(Malformed::new("records out of order", start));
        }
        key.truncate(shared);
        key.extend_from_slice(rest);
        match wanted(&key) {
            true => entries.push(entry(raw, &mut at, Bytes::copy_from_slice(&key))?),
            false => pass(raw, &mut at)?,
        }
    }
    match at == raw.len() {
        true => Ok(entries),
        false => Err(Malformed::new("bytes behind the end of a page", at)),
    }
}

/// Passes what stands behind a key.
fn pass(raw: &[u8], at: &mut usize) -> Result<(), Malformed> {
    run(raw, at)?;
    for _ in 0..read_varint(raw, at)? {
        take(raw, at, 1)?;
        run(raw, at)?;
    }
    for _ in 0..read_varint(raw, at)? {
        run(raw, at)?;
        let mark = take(raw, at, 2)?[1];
        take(raw, at, if mark == 0 { 32 } else { 0 })?;
        run(raw, at)?;
    }
    Ok(())
}

fn entry(raw: &Bytes, at: &mut usize, key: Bytes) -> Result<Entry, Malformed> {
    let key = Key::from_bytes(key)?;
    let body = raw.slice_ref(run(raw, at)?);
    let mut pointers = Vec::new();
    for _ in 0..read_varint(raw, at)? {
        let code = take(raw, at, 1)?[0];
        let form = Form::from_code(code).ok_or(Malformed::new("unknown form", *at))?;
        pointers.push((form, run(raw, at)?.to_vec()));
    }
    let mut residue = Vec::new();
    let mut digest = None;
    for _ in 0..read_varint(raw, at)? {
        let layout = std::str::from_utf8(run(raw, at)?);
        let layout = layout.map_err(|_| Malformed::new("layout not UTF-8", *at))?.into();
        let format = take(raw, at, 1)?[0];
        let record = match take(raw, at, 1)?[0] {
            1 => *digest.get_or_insert_with(|| Record::digest_of(&key, &body)),
            0 => {
                let bytes = take(raw, at, 32)?;
                Digest::from_slice(bytes).ok_or(Malformed::new("digest cut short", *at))?
            }
            _ => return Err(Malformed::new("unknown mark of a residue", *at)),
        };
        residue.push(Residue { layout, format, record, bytes: raw.slice_ref(run(raw, at)?) });
    }
    Ok(Entry { key, body, pointers, residue })
}

fn counted(out: &mut Vec<u8>, bytes: &[u8]) {
    write_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn take<'r>(raw: &'r [u8], at: &mut usize, len: usize) -> Result<&'r [u8], Malformed> {
    let end = at.checked_add(len).filter(|end| *end <= raw.len());
    let end = end.ok_or(Malformed::new("page cut short", *at))?;
    let taken = &raw[*at..end];
    *at = end;
    Ok(taken)
}

fn run<'r>(raw: &'r [u8], at: &mut usize) -> Result<&'r [u8], Malformed> {
    let len = read_varint(raw, at)?;
    take(raw, at, usize::try_from(len).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry() -> impl Strategy<Value = Entry> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..12);
        let residue = ("[a-z+]{1,8}", any::<u8>(), any::<bool>(), bytes());
        let pointers = prop::collection::vec((0u8..3, bytes()), 0..3);
        (any::<i64>(), "[a-z]{0,5}", pointers, prop::collection::vec(residue, 0..3)).prop_map(
            |(n, text, pointers, residue)| {
                let key = Key::of("k").int(n).build();
                let mut body = Vec::new();
                canonical::encode(&Body::text(text), &mut body);
                let digest = Record::digest_of(&key, &body);
                let residue = residue.into_iter().map(|(layout, format, own, bytes)| Residue {
                    layout: layout.into(),
                    format,
                    record: if own { digest } else { Digest::of(&bytes) },
                    bytes: bytes.into(),
                });
                let form = |code| Form::from_code(code).expect("a form");
                let pointers = pointers.into_iter().map(|(code, p)| (form(code), p)).collect();
                Entry { residue: residue.collect(), key, body: body.into(), pointers }
            },
        )
    }

    proptest! {
        #[test]
        fn is_stored_whole(mut entries in prop::collection::vec(entry(), 0..8)) {
            entries.sort_by(|a, b| a.key.cmp(&b.key));
            entries.dedup_by(|a, b| a.key == b.key);
            let raw = encode(&entries).into();
            let some = decode_some(&raw, |key| key.last().is_some_and(|b| b % 2 == 0));
            prop_assert_eq!(decode(&raw), Ok(entries.clone()));
            entries.retain(|e| e.key.as_bytes().last().is_some_and(|b| b % 2 == 0));
            prop_assert_eq!(some, Ok(entries));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&bytes.into());
        }
    }

    /// Golden bytes of format 1. A change here needs a new format number and a decision record.
    #[test]
    fn golden_bytes_of_format_1() {
        let entry = |n: i64, own: bool| {
            let key = Key::of("k").int(n).build();
            let body = Bytes::from_static(&[0]);
            let record = if own { Record::digest_of(&key, &body) } else { Digest::default() };
            let bytes = Bytes::from_static(b"r");
            let residue = vec![Residue { layout: "l".into(), format: 1, record, bytes }];
            Entry { key, body, pointers: vec![(Form::Msgpack, vec![0, 9])], residue }
        };
        let raw = encode(&[entry(1, true), entry(2, false)]);
        let hex: String = raw.iter().map(|b| format!("{b:02x}")).collect();
        let golden = "02000c026b00158000000000000001010001010200090101 6c0101 0172 0b0102 0100 \
                      0101020009 0101 6c 01 00";
        let golden: String =
            golden.split_whitespace().collect::<String>() + &"00".repeat(32) + "0172";
        assert_eq!(hex, golden);
    }
}
