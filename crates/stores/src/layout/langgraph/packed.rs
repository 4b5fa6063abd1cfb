//! A checkpoint packed as one msgpack map, as langgraph-checkpoint 4.3 writes it: values are cut
//! out and spliced in as they stand.
//!
//! The canonical form: `v`, `ts`, `id`, `channel_values`, `channel_versions`, `versions_seen`,
//! `updated_channels`, then the rest; both channel maps always there; other maps sorted; the
//! shortest heads. A [`Splice`] is a packed checkpoint without its values; comparing two splices
//! compares two blobs without touching a value.

use std::cmp::Ordering;

use bytes::Bytes;
use restow_model::{Body, Form, Malformed, Map, Record, Value, ValueRef};

use super::items::{self, Unread, text_order};
use super::memo::Memo;
use super::msgpack::{Head, Reader, write_head, write_text};
use super::order::{OrderLog, Orders, arranged};
use super::record::{Channel, as_raw_entry, raw_entry};

const VALUES: &str = "channel_values";
const VERSIONS: &str = "channel_versions";
const FIRST: [&str; 7] = ["v", "ts", "id", VALUES, VERSIONS, "versions_seen", "updated_channels"];

/// A packed checkpoint, opened.
#[derive(Debug)]
pub struct Packed {
    /// The entries that are no channels.
    pub head: Map,
    /// The channels, in canonical order, each once.
    pub channels: Vec<Channel>,
    /// The order of the maps.
    pub orders: OrderLog,
    /// The blob without its values.
    pub splice: Splice,
}

/// Bytes with gaps for the values of channels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Splice {
    /// The bytes between the values.
    pub own: Vec<u8>,
    /// Where in `own` a value stands, ascending, and of which channel in canonical order.
    pub cuts: Vec<(usize, usize)>,
}

/// What a blob turned out to be.
#[derive(Debug)]
pub enum Opened {
    /// A checkpoint.
    Checkpoint(Packed),
    /// One msgpack item, of another shape.
    Other,
}

/// Opens a packed checkpoint; values become slices of the blob.
pub fn open(blob: &Bytes, memo: &mut Memo) -> Result<Opened, Malformed> {
    let mut opening = Opening { reader: Reader::new(blob), ..Opening::default() };
    match opening.entries(memo) {
        Ok(()) => Ok(Opened::Checkpoint(opening.finish(blob, memo))),
        Err(Unread::Malformed(why)) => Err(why),
        Err(Unread::Foreign) => {
            // Not a checkpoint; but is it msgpack at all?
            Reader::new(blob).skip()?;
            Ok(Opened::Other)
        }
    }
}

impl Default for Reader<'_> {
    fn default() -> Self {
        Reader::new(&[])
    }
}

/// A checkpoint while it is opened. Names are those of the channel maps, in the order they came.
#[derive(Default)]
struct Opening<'b> {
    reader: Reader<'b>,
    log: OrderLog,
    head: Vec<(Body, Body)>,
    values: Vec<(&'b str, usize, usize)>,
    versions: Vec<(&'b str, Body)>,
}

impl<'b> Opening<'b> {
    fn entries(&mut self, memo: &Memo) -> Result<(), Unread> {
        let Head::Map(len) = self.reader.head()? else { return Err(Unread::Foreign) };
        let slot = self.log.open();
        let mut names = Vec::with_capacity(len.min(16));
        for _ in 0..len {
            let name = self.name()?;
            match name {
                VALUES => self.values(memo)?,
                VERSIONS => self.versions()?,
                _ => {
                    let entry = self.entry()?;
                    self.head.push((Body::text(name), entry));
                }
            }
            names.push(name);
        }
        self.log.close(slot, len, |a, b| first_order(names[a], names[b]));
        Ok(())
    }

    fn name(&mut self) -> Result<&'b str, Unread> {
        match self.reader.head()? {
            Head::Str(len) => Ok(self.reader.text(len)?),
            _ => Err(Unread::Foreign),
        }
    }

    fn map(&mut self) -> Result<usize, Unread> {
        match self.reader.head()? {
            Head::Map(len) => Ok(len),
            _ => Err(Unread::Foreign),
        }
    }

    fn values(&mut self, memo: &Memo) -> Result<(), Unread> {
        let len = self.map()?;
        let slot = self.log.open();
        // Of a map twice the last stays, as in Python.
        self.values.clear();
        for _ in 0..len {
            let name = self.name()?;
            let start = self.reader.at();
            match memo.span(name, self.reader.rest()) {
                Some(len) => self.reader.advance(len),
                None => self.reader.skip()?,
            }
            self.values.push((name, start, self.reader.at()));
        }
        let values = &self.values;
        self.log.close(slot, len, |a, b| text_order(values[a].0, values[b].0));
        Ok(())
    }

    fn versions(&mut self) -> Result<(), Unread> {
        let len = self.map()?;
        let slot = self.log.open();
        self.versions.clear();
        for _ in 0..len {
            let name = self.name()?;
            let version = items::read(&mut self.reader, &mut self.log)?;
            self.versions.push((name, version));
        }
        let versions = &self.versions;
        self.log.close(slot, len, |a, b| text_order(versions[a].0, versions[b].0));
        Ok(())
    }

    fn entry(&mut self) -> Result<Body, Malformed> {
        let (start, counted) = (self.reader.at(), self.log.len());
        let read = items::read(&mut self.reader, &mut self.log);
        match read {
            Ok(body) if as_raw_entry(&body).is_none() => return Ok(body),
            Err(Unread::Malformed(why)) => return Err(why),
            _ => {}
        }
        self.log.truncate(counted);
        self.reader.rewind(start);
        let rest = self.reader.rest();
        self.reader.skip()?;
        Ok(raw_entry(&rest[..self.reader.at() - start]))
    }

    fn finish(mut self, blob: &Bytes, memo: &mut Memo) -> Packed {
        // Stable: of a name twice the last one stays.
        let last = |entries: &mut Vec<(&'b str, usize, usize)>| {
            entries.reverse();
            entries.sort_by(|a, b| text_order(a.0, b.0));
            entries.dedup_by(|later, kept| later.0 == kept.0);
        };
        last(&mut self.values);
        self.versions.reverse();
        self.versions.sort_by(|a, b| text_order(a.0, b.0));
        self.versions.dedup_by(|later, kept| later.0 == kept.0);

        let mut channels = Vec::with_capacity(self.versions.len() + 1);
        let mut cuts = Vec::with_capacity(self.values.len());
        let mut versions = self.versions.into_iter().peekable();
        let mut values = self.values.into_iter().peekable();
        loop {
            let order = match (versions.peek(), values.peek()) {
                (Some(version), Some(value)) => text_order(version.0, value.0),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            let version = if order.is_le() { versions.next() } else { None };
            let value = if order.is_ge() { values.next() } else { None };
            let name = version.as_ref().map(|v| v.0).or(value.map(|v| v.0)).unwrap_or("");
            let value = value.map(|(name, start, end)| {
                cuts.push((start, end, channels.len()));
                memo.value(name, Form::Msgpack, blob.slice(start..end))
            });
            let version = version.map_or(Body::Null, |v| v.1);
            channels.push(Channel { name: name.into(), version, value, tag: None });
        }
        cuts.sort_unstable();
        let splice = Splice::cut(blob, &cuts);
        Packed { head: Map::from_pairs(self.head), channels, orders: self.log, splice }
    }
}

fn first_order(a: &str, b: &str) -> Ordering {
    let rank = |name: &str| FIRST.iter().position(|f| *f == name).unwrap_or(FIRST.len());
    rank(a).cmp(&rank(b)).then_with(|| text_order(a, b))
}

/// Packs a checkpoint, maps in the orders given; says what msgpack cannot hold.
pub fn pack(head: &Map, channels: &Map, orders: &mut Orders<'_>) -> Result<Splice, &'static str> {
    let mut out = Splice::default();
    let mut entries: Vec<(&str, Option<&Body>)> = vec![(VALUES, None), (VERSIONS, None)];
    for (name, entry) in head.iter() {
        let name = name.as_text().ok_or("an entry's name is no text")?;
        if [VALUES, VERSIONS].contains(&name) {
            return Err("an entry has the name of the channels");
        }
        entries.push((name, Some(entry)));
    }
    entries.sort_by(|a, b| first_order(a.0, b.0));
    write_head(&mut out.own, Head::Map(entries.len()));
    for at in arranged(orders, entries.len()) {
        let (name, entry) = entries[at];
        write_text(&mut out.own, name);
        match entry {
            None if name == VALUES => values(channels, orders, &mut out),
            None => versions(channels, orders, &mut out.own)?,
            Some(entry) => match as_raw_entry(entry) {
                Some(raw) if !is_kept_raw(raw) => return Err("a raw entry need not be raw"),
                Some(raw) => out.own.extend_from_slice(raw),
                None => items::write(entry, orders, &mut out.own)?,
            },
        }
    }
    Ok(out)
}

/// Says whether a reader of these bytes would keep them as they stand.
fn is_kept_raw(raw: &[u8]) -> bool {
    let mut reader = Reader::new(raw);
    let read = items::read(&mut reader, &mut OrderLog::default());
    let is_foreign = match read {
        Ok(body) => as_raw_entry(&body).is_some(),
        Err(Unread::Foreign) => true,
        Err(Unread::Malformed(_)) => false,
    };
    let mut whole = Reader::new(raw);
    is_foreign && whole.skip().is_ok() && whole.rest().is_empty()
}

fn values(channels: &Map, orders: &mut Orders<'_>, out: &mut Splice) {
    let held = |(n, (name, channel)): (usize, &(Body, Body))| {
        channel.as_list()?.get(1)?.as_value()?;
        Some((n, name.as_text()?.to_owned()))
    };
    let held: Vec<(usize, String)> = channels.iter().enumerate().filter_map(held).collect();
    write_head(&mut out.own, Head::Map(held.len()));
    for at in arranged(orders, held.len()) {
        write_text(&mut out.own, &held[at].1);
        out.cuts.push((out.own.len(), held[at].0));
    }
}

fn versions(
    channels: &Map,
    orders: &mut Orders<'_>,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    let version = |(name, channel): &'_ (Body, Body)| -> Option<(String, Body)> {
        let version = channel.as_list()?.first()?;
        (*version != Body::Null).then(|| Some((name.as_text()?.to_owned(), version.clone())))?
    };
    let held: Vec<(String, Body)> = channels.iter().filter_map(version).collect();
    write_head(out, Head::Map(held.len()));
    for at in arranged(orders, held.len()) {
        write_text(out, &held[at].0);
        items::write(&held[at].1, orders, out)?;
    }
    Ok(())
}

impl Splice {
    fn cut(blob: &[u8], cuts: &[(usize, usize, usize)]) -> Self {
        let held: usize = cuts.iter().map(|(start, end, _)| end - start).sum();
        let mut out = Self {
            own: Vec::with_capacity(blob.len() - held),
            cuts: Vec::with_capacity(cuts.len()),
        };
        let mut from = 0;
        for (start, end, channel) in cuts {
            out.own.extend_from_slice(&blob[from..*start]);
            out.cuts.push((out.own.len(), *channel));
            from = *end;
        }
        out.own.extend_from_slice(&blob[from..]);
        out
    }

    /// Names the value of each cut; `None` where a channel has none.
    pub fn names(&self, channels: &Map) -> Option<Vec<(usize, ValueRef)>> {
        let channels: Vec<&(Body, Body)> = channels.iter().collect();
        let name = |(at, n): &(usize, usize)| {
            Some((*at, channels.get(*n)?.1.as_list()?.get(1)?.as_value()?))
        };
        self.cuts.iter().map(name).collect()
    }

    /// Lists the pieces of the whole blob in turn; `None` where the record lacks a value.
    pub fn pieces(mut self, record: &Record, names: &[(usize, ValueRef)]) -> Option<Vec<Bytes>> {
        let own = Bytes::from(std::mem::take(&mut self.own));
        let mut pieces = Vec::with_capacity(names.len() * 2 + 1);
        let mut from = 0;
        for (at, name) in names {
            if *at < from || *at > own.len() {
                return None;
            }
            pieces.push(own.slice(from..*at));
            pieces.push(record.value(name).map(|v: &Value| v.bytes.clone())?);
            from = *at;
        }
        pieces.push(own.slice(from..));
        Some(pieces)
    }
}

#[cfg(test)]
#[path = "packed_tests.rs"]
mod tests;
