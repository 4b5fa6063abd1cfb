//! The payload of a checkpoint: one msgpack map of `checkpoint` and `metadata`.
//!
//! Values are cut out and spliced in as they stand. Metadata is read entry by entry: one that a
//! body cannot say is kept as it stands, as entries of a checkpoint's head are.

use bytes::Bytes;
use restow_model::{Body, Map, Record};

use super::versions;
use crate::layout::langgraph::items::{self, Unread, body_order};
use crate::layout::langgraph::memo::Memo;
use crate::layout::langgraph::msgpack::{Head, Reader, write_head, write_text};
use crate::layout::langgraph::order::{OrderLog, Orders, arranged};
use crate::layout::langgraph::packed::{self, Opened};
use crate::layout::langgraph::record::{Channel, as_raw_entry, channel_map, raw_entry};

const CHECKPOINT: &str = "checkpoint";
const METADATA: &str = "metadata";

/// A payload, opened.
#[derive(Debug)]
pub(super) struct Payload {
    /// The checkpoint's entries that are no channels.
    pub(super) head: Map,
    /// The channels, versions as the other savers write them.
    pub(super) channels: Vec<Channel>,
    /// The metadata.
    pub(super) metadata: Body,
    /// The orders of the maps, where they differ from the canonical ones and tell it all.
    pub(super) orders: Option<(Vec<u8>, Vec<u8>)>,
}

/// Opens a payload; says what is wrong with it.
pub(super) fn open(payload: &Bytes) -> Result<Payload, String> {
    let wrong = |why: &str| format!("the payload is not one of the saver's: {why}");
    let malformed = |why| wrong(&format!("{why}"));
    let mut reader = Reader::new(payload);
    let Head::Map(2) = reader.head().map_err(malformed)? else {
        return Err(wrong("it is no map of two entries"));
    };
    let (mut checkpoint, mut metadata) = (None, None);
    for _ in 0..2 {
        let Head::Str(len) = reader.head().map_err(malformed)? else {
            return Err(wrong("an entry has no name"));
        };
        let name = reader.text(len).map_err(malformed)?;
        let start = reader.at();
        reader.skip().map_err(malformed)?;
        let slice = payload.slice(start..reader.at());
        match name {
            CHECKPOINT => checkpoint = Some(slice),
            METADATA => metadata = Some(slice),
            _ => return Err(wrong("it has an entry that nobody knows")),
        }
    }
    let (Some(checkpoint), Some(metadata)) = (checkpoint, metadata) else {
        return Err(wrong("it lacks the checkpoint or the metadata"));
    };
    if !reader.rest().is_empty() {
        return Err(wrong("bytes follow its end"));
    }
    let mut log = OrderLog::default();
    let read = read_metadata(&metadata, &mut log).map_err(malformed)?;
    let Opened::Checkpoint(opened) =
        packed::open(&checkpoint, &mut Memo::default()).map_err(malformed)?
    else {
        return Err(wrong("the checkpoint is of an unknown shape"));
    };
    let orders = opened.orders.encode().zip(log.encode());
    let mut channels = opened.channels;
    let head = versions::widened(opened.head, &mut channels);
    let record = record_of(&channels);
    let is_told = |orders: &(Vec<u8>, Vec<u8>)| {
        let again = pack(&record, &head, &channel_map(&channels), &read, orders);
        again.is_ok_and(|again| again == payload[..])
    };
    let orders = orders.filter(|(a, b)| !a.is_empty() || !b.is_empty()).filter(is_told);
    Ok(Payload { head, channels, metadata: read, orders })
}

/// Makes a record that has the values of channels.
fn record_of(channels: &[Channel]) -> Record {
    let values = channels.iter().filter_map(|channel| channel.value.clone()).collect();
    let key = crate::layout::langgraph::record::checkpoint_key("", "");
    Record { values, ..Record::new(key, Body::Null) }
}

/// Packs a payload, its versions as integers; says what the saver could not read.
pub(super) fn pack(
    record: &Record,
    head: &Map,
    channels: &Map,
    metadata: &Body,
    (orders, of_metadata): &(Vec<u8>, Vec<u8>),
) -> Result<Vec<u8>, String> {
    let (head, channels) = versions::narrowed(head, channels)?;
    let mut out = Vec::with_capacity(record.weight() + 256);
    write_head(&mut out, Head::Map(2));
    write_text(&mut out, CHECKPOINT);
    let splice = packed::pack(&head, &channels, &mut Orders::new(orders))?;
    let names = splice.names(&channels).ok_or("a channel's value is missing")?;
    for piece in splice.pieces(record, &names).ok_or("a value is missing")? {
        out.extend_from_slice(&piece);
    }
    write_text(&mut out, METADATA);
    write_metadata(metadata, &mut Orders::new(of_metadata), &mut out)?;
    Ok(out)
}

/// Says what of a checkpoint the saver could not read, without its values.
pub(super) fn check(head: &Map, channels: &Map, metadata: &Body) -> Result<(), String> {
    let (head, channels) = versions::narrowed(head, channels)?;
    packed::pack(&head, &channels, &mut Orders::none())?;
    Ok(write_metadata(metadata, &mut Orders::none(), &mut Vec::new())?)
}

fn read_metadata(slice: &[u8], log: &mut OrderLog) -> Result<Body, restow_model::Malformed> {
    let mut reader = Reader::new(slice);
    let Head::Map(len) = reader.head()? else {
        return entry(&mut Reader::new(slice), log);
    };
    let slot = log.open();
    let mut pairs = Vec::with_capacity(len.min(64));
    for _ in 0..len {
        let name = entry(&mut reader, log)?;
        pairs.push((name, entry(&mut reader, log)?));
    }
    log.close(slot, len, |a, b| body_order(&pairs[a].0, &pairs[b].0));
    Ok(Body::Map(Map::from_pairs(pairs)))
}

/// Reads one item, as it stands where a body cannot say it.
fn entry(reader: &mut Reader<'_>, log: &mut OrderLog) -> Result<Body, restow_model::Malformed> {
    let (start, counted, rest) = (reader.at(), log.len(), reader.rest());
    match items::read(reader, log) {
        Ok(body) if as_raw_entry(&body).is_none() => return Ok(body),
        Err(Unread::Malformed(why)) => return Err(why),
        _ => {}
    }
    log.truncate(counted);
    reader.rewind(start);
    reader.skip()?;
    Ok(raw_entry(&rest[..reader.at() - start]))
}

fn write_metadata(
    metadata: &Body,
    orders: &mut Orders<'_>,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    let Some(map) = metadata.as_map() else {
        return Err("metadata that is no map does not fit the saver's payload");
    };
    write_head(out, Head::Map(map.len()));
    let pairs: Vec<&(Body, Body)> = map.iter().collect();
    for at in arranged(orders, pairs.len()) {
        for body in [&pairs[at].0, &pairs[at].1] {
            match as_raw_entry(body) {
                Some(raw) => out.extend_from_slice(raw),
                None => items::write(body, orders, out)?,
            }
        }
    }
    Ok(())
}
