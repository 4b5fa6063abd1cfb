//! Msgpack as ormsgpack writes it: each item in its shortest form.

use bytes::Bytes;

/// What a channel without a value of its own holds (`branch:to:…`).
pub(super) const NIL: &[u8] = b"\xc0";

/// Packs items one behind the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Packer(Vec<u8>);

impl Packer {
    /// Starts with room for `bytes`.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Returns the packed bytes.
    pub(super) fn finish(self) -> Bytes {
        self.0.into()
    }

    /// Begins a map of `n` pairs.
    pub(super) fn map(&mut self, n: usize) -> &mut Self {
        match n {
            0..=15 => self.0.push(0x80 | n as u8),
            16..=0xffff => self.head(0xde, 2, n),
            _ => self.head(0xdf, 4, n),
        }
        self
    }

    /// Begins a list of `n` items.
    pub(super) fn list(&mut self, n: usize) -> &mut Self {
        match n {
            0..=15 => self.0.push(0x90 | n as u8),
            16..=0xffff => self.head(0xdc, 2, n),
            _ => self.head(0xdd, 4, n),
        }
        self
    }

    /// Packs a text.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        match text.len() {
            n @ 0..=31 => self.0.push(0xa0 | n as u8),
            n @ 32..=0xff => self.head(0xd9, 1, n),
            n @ 0x100..=0xffff => self.head(0xda, 2, n),
            n => self.head(0xdb, 4, n),
        }
        self.raw(text.as_bytes())
    }

    /// Packs bytes.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        match bytes.len() {
            n @ 0..=0xff => self.head(0xc4, 1, n),
            n @ 0x100..=0xffff => self.head(0xc5, 2, n),
            n => self.head(0xc6, 4, n),
        }
        self.raw(bytes)
    }

    /// Packs an extension.
    pub(super) fn extension(&mut self, code: u8, payload: &[u8]) -> &mut Self {
        match payload.len() {
            n @ (1 | 2 | 4 | 8 | 16) => self.0.push(0xd4 + n.trailing_zeros() as u8),
            n @ 0..=0xff => self.head(0xc7, 1, n),
            n @ 0x100..=0xffff => self.head(0xc8, 2, n),
            n => self.head(0xc9, 4, n),
        }
        self.0.push(code);
        self.raw(payload)
    }

    /// Packs a number that is not negative.
    pub(super) fn number(&mut self, n: u64) -> &mut Self {
        match n {
            0..=0x7f => self.0.push(n as u8),
            0x80..=0xff => self.head(0xcc, 1, n as usize),
            0x100..=0xffff => self.head(0xcd, 2, n as usize),
            0x1_0000..=0xffff_ffff => self.head(0xce, 4, n as usize),
            _ => self.head(0xcf, 8, n as usize),
        }
        self
    }

    /// Packs nothing.
    pub(super) fn nil(&mut self) -> &mut Self {
        self.raw(NIL)
    }

    /// Appends what is packed already.
    pub(super) fn raw(&mut self, packed: &[u8]) -> &mut Self {
        self.0.extend_from_slice(packed);
        self
    }

    fn head(&mut self, tag: u8, width: usize, n: usize) {
        self.0.push(tag);
        self.0.extend_from_slice(&(n as u64).to_be_bytes()[8 - width..]);
    }
}

/// Packs one text.
pub(super) fn text(text: &str) -> Bytes {
    let mut out = Packer::with_capacity(text.len() + 5);
    out.text(text);
    out.finish()
}

/// Packs one number.
pub(super) fn number(n: u64) -> Bytes {
    let mut out = Packer::default();
    out.number(n);
    out.finish()
}

/// Packs a list of packed items.
pub(super) fn list(items: &[Bytes]) -> Bytes {
    let mut out = Packer::with_capacity(items.iter().map(Bytes::len).sum::<usize>() + 5);
    out.list(items.len());
    items.iter().for_each(|item| {
        out.raw(item);
    });
    out.finish()
}

/// Packs a map from names to packed values.
pub(super) fn map(pairs: &[(&str, Bytes)]) -> Bytes {
    let mut out = Packer::with_capacity(pairs.iter().map(|(n, v)| n.len() + v.len() + 8).sum());
    out.map(pairs.len());
    for (name, value) in pairs {
        out.text(name).raw(value);
    }
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_takes_its_shortest_form() {
        let mut out = Packer::default();
        out.map(1).text("a").list(16).number(127).number(128).number(256).number(65536);
        assert_eq!(out.finish(), &b"\x81\xa1a\xdc\0\x10\x7f\xcc\x80\xcd\x01\0\xce\0\x01\0\0"[..]);
        let mut out = Packer::default();
        out.extension(5, b"abcd").extension(5, b"abc").bytes(b"x").nil();
        assert_eq!(out.finish(), &b"\xd6\x05abcd\xc7\x03\x05abc\xc4\x01x\xc0"[..]);
        assert_eq!(&text(&"x".repeat(32))[..2], b"\xd9\x20");
    }
}
