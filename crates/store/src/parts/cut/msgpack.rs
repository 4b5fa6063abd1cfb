//! Cutting msgpack: arrays at their items, maps at their entries, extension payloads within.
//!
//! LangGraph's extension payloads are themselves msgpack (langgraph-checkpoint 4.3.2,
//! `serde/jsonplus.py`); where one is not, it is cut by size.

use std::ops::Range;

use restow_model::Malformed;

use super::{Cutter, Kind};

/// The head of one msgpack item.
#[derive(Clone, Copy)]
struct Head {
    kind: Kind,
    /// Bytes of the head itself.
    len: usize,
    /// Bytes behind the head that belong to the item alone.
    payload: usize,
    /// Items behind the head that belong to it.
    items: usize,
}

fn head(bytes: &[u8], at: usize) -> Result<Head, Malformed> {
    let short = || Malformed::new("msgpack cut short", at);
    let first = *bytes.get(at).ok_or_else(short)?;
    let number = |len: usize| -> Result<usize, Malformed> {
        let raw = bytes.get(at + 1..at + 1 + len).ok_or_else(short)?;
        Ok(raw.iter().fold(0, |n, b| (n << 8) | usize::from(*b)))
    };
    let leaf = |len, payload| Ok(Head { kind: Kind::Leaf, len, payload, items: 0 });
    let list = |len, items| Ok(Head { kind: Kind::List, len, payload: 0, items });
    let map = |len, pairs: usize| Ok(Head { kind: Kind::Map, len, payload: 0, items: pairs * 2 });
    let extension = |len, payload| Ok(Head { kind: Kind::Extension, len, payload, items: 0 });
    match first {
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => leaf(1, 0),
        0x80..=0x8f => map(1, usize::from(first & 0x0f)),
        0x90..=0x9f => list(1, usize::from(first & 0x0f)),
        0xa0..=0xbf => leaf(1, usize::from(first & 0x1f)),
        0xc4 | 0xd9 => leaf(2, number(1)?),
        0xc5 | 0xda => leaf(3, number(2)?),
        0xc6 | 0xdb => leaf(5, number(4)?),
        0xcc | 0xd0 => leaf(1, 1),
        0xcd | 0xd1 => leaf(1, 2),
        0xca | 0xce | 0xd2 => leaf(1, 4),
        0xcb | 0xcf | 0xd3 => leaf(1, 8),
        0xc7 => extension(3, number(1)?),
        0xc8 => extension(4, number(2)?),
        0xc9 => extension(6, number(4)?),
        0xd4..=0xd8 => extension(2, 1 << (first - 0xd4)),
        0xdc => list(3, number(2)?),
        0xdd => list(5, number(4)?),
        0xde => map(3, number(2)?),
        0xdf => map(5, number(4)?),
        0xc1 => Err(Malformed::new("byte that msgpack does not use", at)),
    }
}

/// Returns the offset behind the item at `at`; extension payloads are not looked into.
pub fn skip(bytes: &[u8], mut at: usize) -> Result<usize, Malformed> {
    let mut left = 1usize;
    while left > 0 {
        let head = head(bytes, at)?;
        let end = at.saturating_add(head.len).saturating_add(head.payload);
        if end > bytes.len() {
            return Err(Malformed::new("msgpack cut short", at));
        }
        at = end;
        // Each item takes a byte, so more items than bytes are refused without counting them.
        if head.items > bytes.len() {
            return Err(Malformed::new("msgpack cut short", at));
        }
        left = left - 1 + head.items;
    }
    Ok(at)
}

pub(super) fn cut(cutter: &mut Cutter<'_>) -> Result<(), Malformed> {
    let end = skip(cutter.bytes, 0)?;
    if end != cutter.bytes.len() {
        return Err(Malformed::new("bytes behind the end of msgpack", end));
    }
    item(cutter, 0..end, 0)
}

fn item(cutter: &mut Cutter<'_>, span: Range<usize>, depth: usize) -> Result<(), Malformed> {
    let head = head(cutter.bytes, span.start)?;
    if !Cutter::opens(head.kind, span.len(), depth) {
        cutter.element(span);
        return Ok(());
    }
    let mut at = span.start + head.len;
    if head.kind == Kind::Extension {
        // The payload is one item, or nothing that can be cut.
        return match skip(&cutter.bytes[..span.end], at) {
            Ok(end) if end == span.end => item(cutter, at..end, depth + 1),
            _ => {
                cutter.element(span);
                Ok(())
            }
        };
    }
    for _ in 0..head.items {
        let end = skip(&cutter.bytes[..span.end], at)?;
        item(cutter, at..end, depth + 1)?;
        at = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::cut;
    use super::*;
    use restow_model::Form;

    fn text(text: &str) -> Vec<u8> {
        [&[0xda][..], &(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
    }

    fn list(items: &[Vec<u8>]) -> Vec<u8> {
        [&[0xdc][..], &(items.len() as u16).to_be_bytes(), &items.concat()].concat()
    }

    fn pieces(bytes: &[u8]) -> Vec<Vec<u8>> {
        cut(Form::Msgpack, bytes).into_iter().map(|p| bytes[p].to_vec()).collect()
    }

    fn messages(n: usize) -> Vec<Vec<u8>> {
        (0..n).map(|i| text(&format!("message {i} {}", "x".repeat(200)))).collect()
    }

    #[test]
    fn a_list_is_cut_at_its_items() {
        let items = messages(5);
        let cut = pieces(&list(&items));
        assert_eq!(cut[0], [0xdc, 0, 5]);
        assert_eq!(cut[1..], items);
    }

    #[test]
    fn a_list_in_a_map_in_an_extension_is_cut_at_its_items() {
        let items = messages(40);
        let map = [&[0x81][..], &text("messages"), &list(&items)].concat();
        let extension = [&[0xc8][..], &(map.len() as u16).to_be_bytes(), &[5], &map].concat();
        let cut = pieces(&extension);
        assert_eq!(cut[1..], items, "all but the heads");
        assert!(cut[0].len() < 32);
    }

    #[test]
    fn a_message_stays_whole() {
        let message = [&[0xc8][..], &600u16.to_be_bytes(), &[5], &[0xc0; 600]].concat();
        let cut = pieces(&list(&vec![message.clone(); 3]));
        assert_eq!(cut[1..], vec![message; 3]);
    }

    #[test]
    fn small_items_fall_into_step_behind_an_insertion() {
        let numbers =
            |from: u32| (from..2000).flat_map(|n| [&[0xce][..], &n.to_be_bytes()].concat());
        let whole = |from| [vec![0xdc, 7, 208], numbers(from).collect()].concat();
        let (long, short) = (pieces(&whole(0)), pieces(&whole(3)));
        let shared = short.iter().filter(|p| long.contains(p)).count();
        assert!(short.len() - shared <= 3, "{shared} of {} pieces are shared", short.len());
    }

    #[test]
    fn claims_that_the_bytes_cannot_keep_are_refused() {
        for bad in [&[0xdd, 0xff, 0xff, 0xff, 0xff][..], &[0x92, 1], &[0xc1], &[0xd9, 9, 1], &[]] {
            assert!(skip(bad, 0).is_err(), "{bad:?}");
        }
        let deep = [&[0x91].repeat(100_000)[..], &[0xc0]].concat();
        assert_eq!(skip(&deep, 0), Ok(deep.len()));
        assert_eq!(pieces(&deep).concat(), deep);
    }
}
