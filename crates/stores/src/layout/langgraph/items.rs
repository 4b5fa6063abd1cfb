//! msgpack items as bodies, and back.
//!
//! What a body cannot say as msgpack does (extension objects, text that is not UTF-8, 32-bit
//! floats inside keys, nesting beyond [`DEPTH_MAX`]) is reported as foreign, so that the caller
//! keeps the item as it stands.

use std::cmp::Ordering;

use bytes::Bytes;
use restow_model::{Body, Float, Malformed, Map, canonical};

use super::msgpack::{Head, Reader, write_head, write_text};
use super::order::{OrderLog, Orders, arranged};

/// How deep an item may be nested to be read as a body; a record's body nests a little deeper.
pub const DEPTH_MAX: usize = canonical::DEPTH_MAX - 28;

/// Why an item was not read as a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is no msgpack.
    Malformed(Malformed),
    /// It is msgpack, and says what a body cannot.
    Foreign,
}

impl From<Malformed> for Unread {
    fn from(why: Malformed) -> Self {
        Self::Malformed(why)
    }
}

/// Reads one item as a body; `log` takes the order of its maps.
pub fn read(reader: &mut Reader<'_>, log: &mut OrderLog) -> Result<Body, Unread> {
    item(reader, log, 0)
}

fn item(reader: &mut Reader<'_>, log: &mut OrderLog, depth: usize) -> Result<Body, Unread> {
    if depth > DEPTH_MAX {
        return Err(Unread::Foreign);
    }
    Ok(match reader.head()? {
        Head::Nil => Body::Null,
        Head::Bool(yes) => Body::Bool(yes),
        Head::Int(n) => Body::Int(n.into()),
        Head::Uint(n) => Body::Int(n.into()),
        Head::F32(f) => Body::Float(Float::new(f64::from(f))),
        Head::F64(f) => Body::Float(Float::new(f)),
        Head::Str(len) => {
            let bytes = reader.take(len)?;
            Body::text(std::str::from_utf8(bytes).map_err(|_| Unread::Foreign)?)
        }
        Head::Bin(len) => Body::Bytes(Bytes::copy_from_slice(reader.take(len)?)),
        Head::Array(len) => {
            let mut items = Vec::with_capacity(len.min(reader.rest().len()).min(1024));
            for _ in 0..len {
                items.push(item(reader, log, depth + 1)?);
            }
            Body::List(items)
        }
        Head::Map(len) => Body::Map(map(reader, log, len, depth)?),
        Head::Ext(..) => return Err(Unread::Foreign),
    })
}

fn map(
    reader: &mut Reader<'_>,
    log: &mut OrderLog,
    len: usize,
    depth: usize,
) -> Result<Map, Unread> {
    let slot = log.open();
    let mut pairs = Vec::with_capacity(len.min(reader.rest().len()).min(1024));
    for _ in 0..len {
        let key = item(reader, log, depth + 1)?;
        pairs.push((key, item(reader, log, depth + 1)?));
    }
    log.close(slot, len, |a, b| body_order(&pairs[a].0, &pairs[b].0));
    Ok(Map::from_pairs(pairs))
}

/// Compares two map keys as [`Map`] orders them.
pub fn body_order(a: &Body, b: &Body) -> Ordering {
    if let (Body::Text(a), Body::Text(b)) = (a, b) {
        return text_order(a, b);
    }
    let encoded = |body: &Body| {
        let mut out = Vec::new();
        canonical::encode(body, &mut out);
        out
    };
    encoded(a).cmp(&encoded(b))
}

/// Compares two text keys as [`Map`] orders them.
pub fn text_order(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Appends a body as one item, maps in the orders given; says what msgpack cannot hold.
pub fn write(body: &Body, orders: &mut Orders<'_>, out: &mut Vec<u8>) -> Result<(), &'static str> {
    match body {
        Body::Null => write_head(out, Head::Nil),
        Body::Bool(yes) => write_head(out, Head::Bool(*yes)),
        Body::Int(n) => match (n.to_i64(), n.as_str().parse()) {
            (Some(n), _) => write_head(out, Head::Int(n)),
            (None, Ok(n)) => write_head(out, Head::Uint(n)),
            _ => return Err("an integer beyond 64 bits does not fit msgpack"),
        },
        Body::Float(f) => write_head(out, Head::F64(f.get())),
        Body::Text(text) => write_text(out, text),
        Body::Bytes(bytes) => {
            write_head(out, Head::Bin(bytes.len()));
            out.extend_from_slice(bytes);
        }
        Body::List(items) => {
            write_head(out, Head::Array(items.len()));
            for item in items {
                write(item, orders, out)?;
            }
        }
        Body::Map(map) => {
            write_head(out, Head::Map(map.len()));
            let pairs: Vec<&(Body, Body)> = map.iter().collect();
            for at in arranged(orders, pairs.len()) {
                write(&pairs[at].0, orders, out)?;
                write(&pairs[at].1, orders, out)?;
            }
        }
        Body::Decimal(_) => return Err("a decimal number does not fit msgpack"),
        Body::Value(_) => return Err("a value stands where none belongs"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(bytes: &[u8]) -> Result<(Body, bool), Unread> {
        let mut log = OrderLog::default();
        let body = read(&mut Reader::new(bytes), &mut log)?;
        let mut out = Vec::new();
        let orders = log.encode().unwrap_or_default();
        write(&body, &mut Orders::new(&orders), &mut out).expect("came from msgpack");
        Ok((body, out == bytes))
    }

    #[test]
    fn the_order_of_maps_is_kept_apart() {
        let (body, same) =
            round(b"\x82\xa1b\x82\x02\xc0\x01\xc0\xa1a\xcb\x80\0\0\0\0\0\0\0").unwrap();
        assert!(same);
        assert_eq!(body.get("a"), Some(&Body::Float(Float::new(-0.0))));
        let (_, same) = round(b"\x82\xa1a\x01\xa1a\x02").unwrap();
        assert!(!same, "a key twice");
        let (_, same) = round(b"\xcc\x01").unwrap();
        assert!(!same, "not the shortest form");
    }

    #[test]
    fn what_a_body_cannot_say_is_foreign() {
        assert_eq!(round(b"\x91\xd4\x00\x01"), Err(Unread::Foreign));
        assert_eq!(round(b"\xa1\xff"), Err(Unread::Foreign));
        assert_eq!(round(&[0x91; 200]), Err(Unread::Foreign));
        assert!(matches!(round(b"\x92\x01"), Err(Unread::Malformed(_))));
    }

    #[test]
    fn unsigned_integers_keep_all_their_bits() {
        assert_eq!(round(b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff").map(|r| r.1), Ok(true));
        assert_eq!(round(b"\xd3\x80\0\0\0\0\0\0\0").map(|r| r.1), Ok(true));
    }
}
