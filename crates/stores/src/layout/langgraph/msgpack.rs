//! msgpack by spans: items are walked and cut out, never built as objects.
//!
//! The format is that of <https://github.com/msgpack/msgpack/blob/master/spec.md>, as ormsgpack
//! (behind langgraph-checkpoint 4.3 `serde/jsonplus.py`) writes it: the shortest form of each head.
//! Nothing here recurses, so that no nesting exhausts the stack, and every length is checked
//! against the bytes that are there.

use restow_model::Malformed;

/// The head of an item: its kind, and how much follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Head {
    /// Nothing.
    Nil,
    /// True or false.
    Bool(bool),
    /// A negative integer, or one written as signed.
    Int(i64),
    /// An integer written as unsigned.
    Uint(u64),
    /// A 32-bit float.
    F32(f32),
    /// A 64-bit float.
    F64(f64),
    /// Text of so many bytes.
    Str(usize),
    /// So many bytes.
    Bin(usize),
    /// So many items.
    Array(usize),
    /// So many pairs.
    Map(usize),
    /// An extension of a code, with so many bytes.
    Ext(i8, usize),
}

/// Reads items one behind the other.
#[derive(Clone, Debug)]
pub struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

const SHORT: &str = "msgpack cut short";

impl<'b> Reader<'b> {
    /// Reads from the beginning.
    pub fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Returns how many bytes were read.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Returns what was not read yet.
    pub fn rest(&self) -> &'b [u8] {
        &self.bytes[self.at..]
    }

    /// Moves on by so many bytes, or to the end.
    pub fn advance(&mut self, len: usize) {
        self.at = self.at.saturating_add(len).min(self.bytes.len());
    }

    /// Goes back to where a reader of the same bytes was.
    pub fn rewind(&mut self, at: usize) {
        self.at = at.min(self.bytes.len());
    }

    /// Reads the head of an item; what it announces comes next.
    #[inline]
    pub fn head(&mut self) -> Result<Head, Malformed> {
        let start = self.at;
        let byte = *self.bytes.get(start).ok_or(Malformed::new(SHORT, start))?;
        self.at += 1;
        Ok(match byte {
            0x00..=0x7f => Head::Uint(u64::from(byte)),
            0x80..=0x8f => Head::Map(usize::from(byte & 15)),
            0x90..=0x9f => Head::Array(usize::from(byte & 15)),
            0xa0..=0xbf => Head::Str(usize::from(byte & 31)),
            0xc0 => Head::Nil,
            0xc1 => return Err(Malformed::new("unused msgpack byte c1", start)),
            0xc2 | 0xc3 => Head::Bool(byte == 0xc3),
            0xc4 => Head::Bin(self.length::<1>()?),
            0xc5 => Head::Bin(self.length::<2>()?),
            0xc6 => Head::Bin(self.length::<4>()?),
            0xc7 => self.ext::<1>()?,
            0xc8 => self.ext::<2>()?,
            0xc9 => self.ext::<4>()?,
            0xca => Head::F32(f32::from_be_bytes(self.array()?)),
            0xcb => Head::F64(f64::from_be_bytes(self.array()?)),
            0xcc => Head::Uint(u64::from(u8::from_be_bytes(self.array()?))),
            0xcd => Head::Uint(u64::from(u16::from_be_bytes(self.array()?))),
            0xce => Head::Uint(u64::from(u32::from_be_bytes(self.array()?))),
            0xcf => Head::Uint(u64::from_be_bytes(self.array()?)),
            0xd0 => Head::Int(i64::from(i8::from_be_bytes(self.array()?))),
            0xd1 => Head::Int(i64::from(i16::from_be_bytes(self.array()?))),
            0xd2 => Head::Int(i64::from(i32::from_be_bytes(self.array()?))),
            0xd3 => Head::Int(i64::from_be_bytes(self.array()?)),
            0xd4..=0xd8 => {
                let [code] = self.array()?;
                Head::Ext(i8::from_be_bytes([code]), 1 << (byte - 0xd4))
            }
            0xd9 => Head::Str(self.length::<1>()?),
            0xda => Head::Str(self.length::<2>()?),
            0xdb => Head::Str(self.length::<4>()?),
            0xdc => Head::Array(self.length::<2>()?),
            0xdd => Head::Array(self.length::<4>()?),
            0xde => Head::Map(self.length::<2>()?),
            0xdf => Head::Map(self.length::<4>()?),
            0xe0..=0xff => Head::Int(i64::from(i8::from_be_bytes([byte]))),
        })
    }

    /// Takes so many bytes.
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'b [u8], Malformed> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(Malformed::new(SHORT, self.at))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// Takes text of so many bytes.
    pub fn text(&mut self, len: usize) -> Result<&'b str, Malformed> {
        let start = self.at;
        let bytes = self.take(len)?;
        std::str::from_utf8(bytes).map_err(|_| Malformed::new("text not UTF-8", start))
    }

    /// Skips one whole item, whatever is nested in it.
    pub fn skip(&mut self) -> Result<(), Malformed> {
        let mut left = 1usize;
        while left > 0 {
            left -= 1;
            // Most heads are one byte, and so are most items.
            match self.bytes.get(self.at) {
                Some(0x00..=0x7f | 0xe0..=0xff) => self.at += 1,
                Some(byte @ 0xa0..=0xbf) => {
                    self.at += 1 + usize::from(byte & 31);
                    if self.at > self.bytes.len() {
                        return Err(Malformed::new(SHORT, self.bytes.len()));
                    }
                }
                _ => left += self.skip_head()?,
            }
            // Every item takes a byte at least: a larger count is a lie, told before it is walked.
            if left > self.bytes.len() - self.at {
                return Err(Malformed::new(SHORT, self.at));
            }
        }
        Ok(())
    }

    fn skip_head(&mut self) -> Result<usize, Malformed> {
        match self.head()? {
            Head::Str(len) | Head::Bin(len) | Head::Ext(_, len) => {
                self.take(len)?;
                Ok(0)
            }
            Head::Array(len) => Ok(len),
            Head::Map(len) => {
                len.checked_mul(2).ok_or(Malformed::new("msgpack map too large", self.at))
            }
            _ => Ok(0),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let start = self.at;
        self.take(N)?.try_into().map_err(|_| Malformed::new(SHORT, start))
    }

    fn length<const N: usize>(&mut self) -> Result<usize, Malformed> {
        let bytes: [u8; N] = self.array()?;
        Ok(bytes.iter().fold(0, |n, byte| (n << 8) | usize::from(*byte)))
    }

    fn ext<const N: usize>(&mut self) -> Result<Head, Malformed> {
        let len = self.length::<N>()?;
        let [code] = self.array()?;
        Ok(Head::Ext(i8::from_be_bytes([code]), len))
    }
}

/// Appends a head in its shortest form.
pub fn write_head(out: &mut Vec<u8>, head: Head) {
    match head {
        Head::Nil => out.push(0xc0),
        Head::Bool(yes) => out.push(0xc2 + u8::from(yes)),
        Head::Int(n) => write_int(out, n),
        Head::Uint(n) => write_uint(out, n),
        Head::F32(f) => {
            out.push(0xca);
            out.extend(f.to_be_bytes());
        }
        Head::F64(f) => {
            out.push(0xcb);
            out.extend(f.to_be_bytes());
        }
        Head::Str(len) if len < 32 => out.push(0xa0 | len as u8),
        Head::Str(len) => write_length(out, len, [Some(0xd9), Some(0xda), Some(0xdb)]),
        Head::Bin(len) => write_length(out, len, [Some(0xc4), Some(0xc5), Some(0xc6)]),
        Head::Array(len) if len < 16 => out.push(0x90 | len as u8),
        Head::Array(len) => write_length(out, len, [None, Some(0xdc), Some(0xdd)]),
        Head::Map(len) if len < 16 => out.push(0x80 | len as u8),
        Head::Map(len) => write_length(out, len, [None, Some(0xde), Some(0xdf)]),
        Head::Ext(code, len) => {
            match [1, 2, 4, 8, 16].iter().position(|n| *n == len) {
                Some(n) => out.push(0xd4 + n as u8),
                None => write_length(out, len, [Some(0xc7), Some(0xc8), Some(0xc9)]),
            }
            out.push(code as u8);
        }
    }
}

fn write_length(out: &mut Vec<u8>, len: usize, tags: [Option<u8>; 3]) {
    let len = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
    match (len, tags) {
        ([0, 0, 0, low], [Some(tag), ..]) => out.extend([tag, low]),
        ([0, 0, high, low], [_, Some(tag), _]) => out.extend([tag, high, low]),
        (_, [.., tag]) => {
            out.extend(tag);
            out.extend(len);
        }
    }
}

fn write_uint(out: &mut Vec<u8>, n: u64) {
    let bytes = n.to_be_bytes();
    match n {
        0..=0x7f => out.push(n as u8),
        0x80..=0xff => out.extend([0xcc, bytes[7]]),
        0x100..=0xffff => out.extend([0xcd, bytes[6], bytes[7]]),
        0x1_0000..=0xffff_ffff => {
            out.push(0xce);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(0xcf);
            out.extend(bytes);
        }
    }
}

fn write_int(out: &mut Vec<u8>, n: i64) {
    if let Ok(n) = u64::try_from(n) {
        return write_uint(out, n);
    }
    let bytes = n.to_be_bytes();
    match n {
        -0x20..=-1 => out.push(n as u8),
        -0x80..=-0x21 => out.extend([0xd0, bytes[7]]),
        -0x8000..=-0x81 => out.extend([0xd1, bytes[6], bytes[7]]),
        -0x8000_0000..=-0x8001 => {
            out.push(0xd2);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(0xd3);
            out.extend(bytes);
        }
    }
}

/// Appends text.
pub fn write_text(out: &mut Vec<u8>, text: &str) {
    write_head(out, Head::Str(text.len()));
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
#[path = "msgpack_tests.rs"]
mod tests;
