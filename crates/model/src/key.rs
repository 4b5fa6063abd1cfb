//! Keys: order-preserving tuples, so that a prefix or a range of a unit's records can be read.
//!
//! Encoding: the kind and each element in turn. Text is `02`, its UTF-8 bytes with `00` written
//! `00 FF`, then `00`; an integer is `15` and eight bytes, big-endian, sign bit flipped; bytes are
//! `01` escaped as text is. Comparing encodings compares tuples element by element.

use std::borrow::Borrow;
use std::fmt;

use bytes::Bytes;

use crate::Malformed;

const BYTES: u8 = 0x01;
const TEXT: u8 = 0x02;
const INT: u8 = 0x15;

/// One element of a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyPart {
    /// Opaque bytes.
    Bytes(Vec<u8>),
    /// Text, ordered by its UTF-8 bytes.
    Text(String),
    /// A signed integer.
    Int(i64),
}

/// The key of a record inside its unit: a kind, then the elements of that kind.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Bytes);

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl Key {
    /// Starts a key of a kind (`checkpoint`, `write`, …).
    pub fn of(kind: &str) -> KeyBuilder {
        KeyBuilder(Vec::with_capacity(64)).text(kind)
    }

    /// Takes an encoded key back, checking that it is one.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, Malformed> {
        let mut at = 0;
        match next_part(&bytes, &mut at)? {
            Some(KeyPart::Text(_)) => {}
            _ => return Err(Malformed::new("key without a kind", 0)),
        }
        while next_part(&bytes, &mut at)?.is_some() {}
        Ok(Self(bytes))
    }

    /// Returns the encoding; comparing encodings compares keys.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// Returns the kind, the first element.
    pub fn kind(&self) -> &str {
        let end = self.0.iter().skip(1).position(|b| *b == 0).map_or(self.0.len(), |n| n + 1);
        std::str::from_utf8(&self.0[1..end]).unwrap_or("?")
    }

    /// Returns the elements behind the kind.
    pub fn parts(&self) -> Vec<KeyPart> {
        let mut at = 0;
        let mut parts = Vec::new();
        // A key was checked when it was made, so this ends at its end.
        while let Ok(Some(part)) = next_part(&self.0, &mut at) {
            parts.push(part);
        }
        parts.drain(..1.min(parts.len()));
        parts
    }

    /// Returns the encoding without the last element: what neighbours under one parent share.
    pub fn stem(&self) -> &[u8] {
        let (mut at, mut last) = (0, 0);
        while at < self.0.len() {
            last = at;
            at += match self.0[at] {
                INT => 9,
                _ => text_len(&self.0[at..]),
            };
        }
        &self.0[..last]
    }

    /// Says whether this key, taken as a prefix, covers another.
    pub fn covers(&self, other: &Key) -> bool {
        other.0.starts_with(&self.0)
    }

    /// Returns the first possible encoding behind all keys that this one covers.
    pub fn after_prefix(&self) -> Bytes {
        // Tags are below FF, so appending it sorts behind every continuation.
        [&self.0[..], &[0xff]].concat().into()
    }
}

/// Builds a key element by element.
#[derive(Clone, Debug)]
pub struct KeyBuilder(Vec<u8>);

impl KeyBuilder {
    /// Appends text.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        self.escaped(TEXT, text.as_bytes())
    }

    /// Appends bytes.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        self.escaped(BYTES, bytes)
    }

    /// Appends an integer.
    #[must_use]
    pub fn int(mut self, n: i64) -> Self {
        self.0.push(INT);
        self.0.extend(((n as u64) ^ (1 << 63)).to_be_bytes());
        self
    }

    /// Finishes the key.
    pub fn build(self) -> Key {
        Key(self.0.into())
    }

    fn escaped(mut self, tag: u8, bytes: &[u8]) -> Self {
        self.0.push(tag);
        for byte in bytes {
            self.0.push(*byte);
            if *byte == 0 {
                self.0.push(0xff);
            }
        }
        self.0.push(0);
        self
    }
}

fn next_part(bytes: &[u8], at: &mut usize) -> Result<Option<KeyPart>, Malformed> {
    let start = *at;
    let Some(tag) = bytes.get(start) else { return Ok(None) };
    match *tag {
        INT => {
            let end = start + 9;
            let raw = bytes.get(start + 1..end).ok_or(Malformed::new("key cut short", start))?;
            *at = end;
            let raw = raw.try_into().map_err(|_| Malformed::new("key cut short", start))?;
            Ok(Some(KeyPart::Int((u64::from_be_bytes(raw) ^ (1 << 63)) as i64)))
        }
        TEXT => {
            let raw = unescape(bytes, at)?;
            let text = String::from_utf8(raw);
            text.map(|t| Some(KeyPart::Text(t))).map_err(|_| Malformed::new("key not UTF-8", start))
        }
        BYTES => Ok(Some(KeyPart::Bytes(unescape(bytes, at)?))),
        _ => Err(Malformed::new("unknown key element", start)),
    }
}

/// Returns how many bytes an escaped element takes, its tag included.
fn text_len(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(zero) = bytes.get(at..).and_then(|rest| rest.iter().position(|b| *b == 0)) {
        at += zero + 1;
        if bytes.get(at) != Some(&0xff) {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

fn unescape(bytes: &[u8], at: &mut usize) -> Result<Vec<u8>, Malformed> {
    let start = *at;
    *at += 1;
    let mut out = Vec::new();
    loop {
        let byte = *bytes.get(*at).ok_or(Malformed::new("key cut short", start))?;
        *at += 1;
        if byte == 0 {
            if bytes.get(*at) != Some(&0xff) {
                return Ok(out);
            }
            *at += 1;
        }
        out.push(byte);
    }
}

impl fmt::Display for Key {
    /// Shows the key as `kind(element, element)`, text quoted only where it must be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.kind())?;
        for (n, part) in self.parts().iter().enumerate() {
            if n > 0 {
                f.write_str(", ")?;
            }
            match part {
                KeyPart::Text(t) if t.is_empty() || t.contains(|c: char| c.is_control()) => {
                    write!(f, "{t:?}")?;
                }
                KeyPart::Text(t) => f.write_str(t)?,
                KeyPart::Int(n) => write!(f, "{n}")?,
                KeyPart::Bytes(b) => write!(f, "{} bytes", b.len())?,
            }
        }
        f.write_str(")")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(kind: &str, parts: &[KeyPart]) -> Key {
        let mut key = Key::of(kind);
        for part in parts {
            key = match part {
                KeyPart::Bytes(b) => key.bytes(b),
                KeyPart::Text(t) => key.text(t),
                KeyPart::Int(n) => key.int(*n),
            };
        }
        key.build()
    }

    fn part() -> impl Strategy<Value = KeyPart> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..4).prop_map(KeyPart::Bytes),
            "[\0a-b]{0,4}".prop_map(KeyPart::Text),
            any::<i64>().prop_map(KeyPart::Int),
        ]
    }

    proptest! {
        #[test]
        fn encodings_order_as_tuples_do(
            a in prop::collection::vec(part(), 0..4),
            b in prop::collection::vec(part(), 0..4),
        ) {
            let (x, y) = (key("k", &a), key("k", &b));
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            let stem = a.split_last().map_or(Bytes::new(), |(_, s)| key("k", s).as_bytes().clone());
            prop_assert_eq!(x.stem(), &stem[..]);
            prop_assert_eq!(x.parts(), a);
            prop_assert_eq!(Key::from_bytes(x.as_bytes().clone()), Ok(x.clone()));
            prop_assert!(x.as_bytes() < &x.after_prefix());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(key) = Key::from_bytes(bytes.into()) {
                let _ = key.to_string();
            }
        }
    }

    #[test]
    fn golden_bytes() {
        let key = Key::of("write").text("a\0").int(-3).bytes(b"\0").build();
        let golden = b"\x02write\0\x02a\0\xff\0\x15\x7f\xff\xff\xff\xff\xff\xff\xfd\x01\0\xff\0";
        assert_eq!(&key.as_bytes()[..], golden);
        assert_eq!(key.to_string(), "write(\"a\\0\", -3, 1 bytes)");
        assert_eq!(key.kind(), "write");
    }
}
