//! The canonical encoding of bodies: one sequence of bytes for one body, on every store for ever.
//!
//! A tag byte, then: integers and the coefficient of decimals as their decimal spelling behind a
//! length; floats as eight bytes, big-endian; text and bytes behind a length; lists as a count and
//! the items; maps as a count and key, item in turn, keys ascending (text by length, then bytes);
//! values as their length and digest. Lengths and counts are varints in their shortest form.

use bytes::Bytes;

use crate::body::{Map, key_order};
use crate::{
    Body, Decimal, Digest, Float, Integer, Malformed, ValueRef, read_varint, write_varint,
};

/// The version of this encoding; it is part of every record's digest.
pub const FORMAT: u8 = 1;

/// How deep lists and maps may lie in each other; deeper input is refused, never recursed into.
pub const DEPTH_MAX: usize = 128;

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const DECIMAL: u8 = 4;
const FLOAT: u8 = 5;
const TEXT: u8 = 6;
const BYTES: u8 = 7;
const LIST: u8 = 8;
const MAP: u8 = 9;
const VALUE: u8 = 10;

/// Appends the encoding of a body.
pub fn encode(body: &Body, out: &mut Vec<u8>) {
    match body {
        Body::Null => out.push(NULL),
        Body::Bool(false) => out.push(FALSE),
        Body::Bool(true) => out.push(TRUE),
        Body::Int(n) => counted(out, INT, n.as_str().as_bytes()),
        Body::Decimal(d) => {
            counted(out, DECIMAL, d.coefficient.as_str().as_bytes());
            out.extend(d.exponent.to_be_bytes());
        }
        Body::Float(f) => {
            out.push(FLOAT);
            out.extend(f.to_bits().to_be_bytes());
        }
        Body::Text(t) => counted(out, TEXT, t.as_bytes()),
        Body::Bytes(b) => counted(out, BYTES, b),
        Body::List(items) => {
            out.push(LIST);
            write_varint(out, items.len() as u64);
            items.iter().for_each(|item| encode(item, out));
        }
        Body::Map(map) => {
            out.push(MAP);
            write_varint(out, map.len() as u64);
            for (key, item) in map.iter() {
                encode(key, out);
                encode(item, out);
            }
        }
        Body::Value(v) => {
            out.push(VALUE);
            write_varint(out, v.len);
            out.extend(v.digest.as_bytes());
        }
    }
}

/// Reads a body that fills `bytes`; refuses whatever [`encode`] would not have written.
pub fn decode(bytes: &[u8]) -> Result<Body, Malformed> {
    let mut at = 0;
    let body = item(bytes, &mut at, 0)?;
    match at == bytes.len() {
        true => Ok(body),
        false => Err(Malformed::new("bytes behind the end of a body", at)),
    }
}

/// What [`key_order`] compares keys by, unless both are text.
pub(crate) fn key_rank(key: &Body) -> Vec<u8> {
    let mut rank = Vec::new();
    encode(key, &mut rank);
    rank
}

fn counted(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    write_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn item(bytes: &[u8], at: &mut usize, depth: usize) -> Result<Body, Malformed> {
    let start = *at;
    if depth > DEPTH_MAX {
        return Err(Malformed::new("body nested too deep", start));
    }
    let tag = take(bytes, at, 1)?[0];
    Ok(match tag {
        NULL => Body::Null,
        FALSE => Body::Bool(false),
        TRUE => Body::Bool(true),
        INT => Body::Int(integer(bytes, at)?),
        DECIMAL => {
            let coefficient = integer(bytes, at)?;
            Body::Decimal(Decimal { coefficient, exponent: i32::from_be_bytes(array(bytes, at)?) })
        }
        FLOAT => {
            let bits = u64::from_be_bytes(array(bytes, at)?);
            let float = Float::new(f64::from_bits(bits));
            if float.to_bits() != bits {
                return Err(Malformed::new("NaN not normalised", start));
            }
            Body::Float(float)
        }
        TEXT => Body::text(text(bytes, at)?),
        BYTES => Body::Bytes(Bytes::copy_from_slice(run(bytes, at)?)),
        LIST => {
            let count = read_varint(bytes, at)?;
            let mut items = Vec::with_capacity(count.min(1024) as usize);
            for _ in 0..count {
                items.push(item(bytes, at, depth + 1)?);
            }
            Body::List(items)
        }
        MAP => Body::Map(map(bytes, at, depth)?),
        VALUE => {
            let len = read_varint(bytes, at)?;
            Body::Value(ValueRef { len, digest: Digest::from_bytes(array(bytes, at)?) })
        }
        _ => return Err(Malformed::new("unknown tag in a body", start)),
    })
}

fn map(bytes: &[u8], at: &mut usize, depth: usize) -> Result<Map, Malformed> {
    let count = read_varint(bytes, at)?;
    let mut pairs: Vec<(Body, Body)> = Vec::with_capacity(count.min(1024) as usize);
    for _ in 0..count {
        let start = *at;
        let key = item(bytes, at, depth + 1)?;
        if pairs.last().is_some_and(|(last, _)| key_order(last, &key).is_ge()) {
            return Err(Malformed::new("map keys out of order", start));
        }
        pairs.push((key, item(bytes, at, depth + 1)?));
    }
    Ok(Map::from_pairs(pairs))
}

fn take<'b>(bytes: &'b [u8], at: &mut usize, len: usize) -> Result<&'b [u8], Malformed> {
    let end = at.checked_add(len).filter(|end| *end <= bytes.len());
    let end = end.ok_or(Malformed::new("body cut short", *at))?;
    let taken = &bytes[*at..end];
    *at = end;
    Ok(taken)
}

fn array<const N: usize>(bytes: &[u8], at: &mut usize) -> Result<[u8; N], Malformed> {
    let start = *at;
    take(bytes, at, N)?.try_into().map_err(|_| Malformed::new("body cut short", start))
}

fn run<'b>(bytes: &'b [u8], at: &mut usize) -> Result<&'b [u8], Malformed> {
    let len = read_varint(bytes, at)?;
    take(bytes, at, usize::try_from(len).unwrap_or(usize::MAX))
}

fn text<'b>(bytes: &'b [u8], at: &mut usize) -> Result<&'b str, Malformed> {
    let start = *at;
    std::str::from_utf8(run(bytes, at)?).map_err(|_| Malformed::new("text not UTF-8", start))
}

fn integer(bytes: &[u8], at: &mut usize) -> Result<Integer, Malformed> {
    let start = *at;
    Integer::parse(text(bytes, at)?).ok_or(Malformed::new("not an integer", start))
}

#[cfg(test)]
#[path = "canonical_tests.rs"]
mod tests;
