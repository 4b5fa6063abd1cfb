//! Items ⇄ records.
//!
//! A record is an item that the official saver reads, which refers to its payload. What such an
//! item cannot say (residues, versions that are no integers) stands beside it in the attribute
//! `restow`: the record's page without its values. The saver overwrites items whole, so what it
//! changes loses the attribute, and an item without one is read as the saver means it.

use bytes::Bytes;
use restow_model::{
    Digest, Key, Record, Residue, UnitDigest, UnitId, Value, read_varint, write_varint,
};
use restow_store::parts::part::Codec;

use super::names::{self, KEYS};
use super::payload::{self, Payload};
use super::vault::{Place as Stored, Vault};
use crate::engine::dynamodb::{Item, bytes as blob, bytes_of, number, number_of, text, text_of};
use crate::layout::dynamodb::single::{entry_of, literal, packed};
use crate::layout::langgraph::beside;
use crate::layout::langgraph::record::{
    self, CHECKPOINT, PayloadView, View, WRITE, checkpoint_key, write_key,
};
use crate::layout::parts::page::{self, Entry};

/// The name under which this layout's residue travels, and its format: the orders of the maps of a
/// checkpoint and of its metadata, each behind its length.
const RESIDUE: (&str, u8) = ("langgraph+dynamodb", 1);
/// The record's page without its values: its length (varint), its digest, zstd.
const PAGE: &str = "restow";
/// What a record adds to its unit's digest.
const SUM: &str = "restow_sum";
/// The namespace of a write, of which its partition's name does not tell where it begins.
const NAMESPACE: &str = "restow_ns";
/// The key of a record that no saver knows, or that is in a space of its own.
const KEY: &str = "restow_key";
/// A page is kept in its item up to this size.
const PAGE_BYTES_MAX: usize = 256 << 10;

/// Returns the key of an item; `namespace` is that of its partition, where it holds writes.
pub(super) fn key_of(item: &Item, namespace: Option<&str>) -> Option<Key> {
    if let Some(key) = bytes_of(item, KEY) {
        return Key::from_bytes(key.to_vec().into()).ok();
    }
    let Some(namespace) = namespace else {
        return Some(checkpoint_key(text_of(item, "ns")?, text_of(item, "id")?));
    };
    let (task, index) = (text_of(item, "task_id")?, number_of(item, "idx")?);
    Some(write_key(namespace, text_of(item, "checkpoint_id")?, task, index))
}

/// Returns the namespace of a write's item, where the item tells.
pub(super) fn namespace_of(item: &Item) -> Option<&str> {
    text_of(item, NAMESPACE)
}

/// Returns what an item's record adds to its unit's digest, where the item tells.
pub(super) fn sum_of(item: &Item) -> Option<UnitDigest> {
    UnitDigest::from_slice(bytes_of(item, SUM)?)
}

/// Returns where an item's payload is.
pub(super) fn payload_of(item: &Item) -> Result<Stored, String> {
    let (place, key) = (text_of(item, "ref_loc"), text_of(item, "ref_key"));
    let (Some(place), Some(key)) = (place, key) else {
        return Err("it does not say where its payload is".into());
    };
    let key = key.to_owned();
    match place {
        "DYNAMODB" => Ok(Stored::Table(key)),
        "S3" => Ok(Stored::Object(key)),
        other => Err(format!("its payload is in {other:?}, which nobody knows")),
    }
}

/// Says whether an item has expired, and only waits to be removed.
pub(super) fn is_expired(item: &Item, now: i64) -> bool {
    number_of::<i64>(item, "ttl").is_some_and(|ttl| ttl <= now)
}

/// Reads the entry of an item; says what is wrong with it.
pub(super) fn entry(
    item: &Item,
    key: &Key,
    payload: Option<Bytes>,
    codec: &mut Codec,
) -> Result<Entry, String> {
    let missing = || match payload_of(item) {
        Ok(Stored::Object(key)) => {
            format!("its payload is the object {key:?}, and objects are not read by this version")
        }
        Ok(Stored::Table(key)) => format!(
            "it points to the payload {key:?}, which is missing: the saver was stopped between \
             the two, or the payload was too large for it"
        ),
        Err(why) => why,
    };
    let payload = payload.ok_or_else(missing)?;
    let payload = match text_of(item, "compression") {
        None => payload,
        Some("gzip") => super::vault::expanded(&payload)?,
        Some(other) => return Err(format!("its payload is compressed by {other:?}")),
    };
    match bytes_of(item, PAGE) {
        None => plain(item, key, &payload).map(|record| entry_of(&record)),
        Some(page) => own(page, key, &payload, codec),
    }
}

/// Reads an item as the official saver means it.
fn plain(item: &Item, key: &Key, payload: &Bytes) -> Result<Record, String> {
    let tag = text_of(item, "type").ok_or("it does not say how its payload is written")?;
    match key.kind() {
        CHECKPOINT if tag == "msgpack" => {
            let Payload { head, channels, metadata, orders } = payload::open(payload)?;
            let opened = record::Payload::Open { head, channels };
            let parent = text_of(item, "parent_checkpoint_id");
            let record = record::checkpoint(key.clone(), parent, metadata, opened);
            Ok(with_orders(record, orders))
        }
        CHECKPOINT => {
            Err(format!("its payload is written as {tag:?}, which only its writer opens"))
        }
        WRITE => {
            let channel = text_of(item, "channel").ok_or("it has no channel")?;
            let path = text_of(item, "task_path").unwrap_or_default();
            Ok(record::write(key.clone(), channel, Some(tag), payload.clone(), path))
        }
        _ => Err("it is a record that no saver knows, and has no page".into()),
    }
}

fn with_orders(mut record: Record, orders: Option<(Vec<u8>, Vec<u8>)>) -> Record {
    if let Some((orders, of_metadata)) = orders {
        let mut bytes = Vec::new();
        for orders in [orders, of_metadata] {
            write_varint(&mut bytes, orders.len() as u64);
            bytes.extend(orders);
        }
        let (layout, format) = (RESIDUE.0.into(), RESIDUE.1);
        let digest = record.digest();
        record.residue.push(Residue { layout, format, record: digest, bytes: bytes.into() });
    }
    record
}

fn orders_of(record: &Record) -> (Vec<u8>, Vec<u8>) {
    let residue = record.residue_of(RESIDUE.0).filter(|residue| residue.format == RESIDUE.1);
    let read = |bytes: &Bytes| {
        let mut at = 0;
        let mut run = || {
            let len = usize::try_from(read_varint(bytes, &mut at).ok()?).ok()?;
            let run = bytes.get(at..at.checked_add(len)?)?.to_vec();
            at += len;
            Some(run)
        };
        run().zip(run())
    };
    residue.and_then(|residue| read(&residue.bytes)).unwrap_or_default()
}

/// Puts the values of a payload into the page that stands beside it.
fn own(page: &[u8], key: &Key, payload: &Bytes, codec: &mut Codec) -> Result<Entry, String> {
    let torn = "what stands beside it cannot be read";
    let mut at = 0;
    let raw_len = read_varint(page, &mut at).map_err(|_| torn)? as usize;
    let digest = page.get(at..at + 32).and_then(Digest::from_slice).ok_or(torn)?;
    let raw = codec.unpack(&page[at + 32..], raw_len, &digest)?;
    let entries = page::decode(&raw.into()).map_err(|malformed| malformed.to_string())?;
    let mut entry = entries.into_iter().next().filter(|entry| entry.key == *key).ok_or(torn)?;
    let (_, names) = entry.record().map_err(|malformed| malformed.to_string())?;
    let values: Vec<Value> = match key.kind() {
        CHECKPOINT => {
            let channels = payload::open(payload)?.channels;
            channels.into_iter().filter_map(|channel| channel.value).collect()
        }
        WRITE => vec![Value::new(restow_model::Form::Raw, payload.clone())],
        _ => beside::values(payload).ok_or(torn)?,
    };
    for (name, (_, pointer)) in names.iter().zip(&mut entry.pointers) {
        let value = values.iter().find(|value| value.name == *name);
        let value = value.ok_or("its payload is not the one that it was written with")?;
        *pointer = literal(&value.bytes);
    }
    Ok(entry)
}

/// An item that is to be stored, and the payload that it refers to.
pub(super) struct Built {
    pub(super) item: Item,
    pub(super) payload: (Stored, Vec<u8>),
}

/// Makes the item of a record, in its place; says why none can be made.
pub(super) fn build(
    vault: &Vault<'_>,
    unit: &UnitId,
    record: &Record,
    number_of_payload: (i64, usize),
    codec: &mut Codec,
) -> Result<Built, String> {
    let key = &record.key;
    let (mut item, payload) = attributes(unit, record)?;
    let names = names::payload(unit, key, number_of_payload);
    let packed_payload = vault.packed(payload.clone(), names)?;
    let (place, name) = match &packed_payload.place {
        Stored::Table(name) => ("DYNAMODB", name),
        Stored::Object(name) => ("S3", name),
    };
    item.insert("ref_loc".into(), text(place));
    item.insert("ref_key".into(), text(name));
    if packed_payload.is_compressed {
        item.insert("compression".into(), text("gzip"));
    }
    let sum = record.summed();
    item.insert(SUM.into(), blob(&sum.to_bytes()[..]));
    let is_told = plain(&item, key, &payload.into()).is_ok_and(|read| read.summed() == sum);
    if !is_told {
        let mut entry = entry_of(record);
        entry.pointers.iter_mut().for_each(|(_, pointer)| pointer.clear());
        let (raw_len, digest, data) = packed(&[entry], codec)?;
        if data.len() > PAGE_BYTES_MAX {
            let why = "what only other layouts can say of it is larger than an item has room for";
            return Err(why.into());
        }
        let mut page = Vec::with_capacity(data.len() + 40);
        write_varint(&mut page, raw_len as u64);
        page.extend_from_slice(digest.as_bytes());
        page.extend(data);
        item.insert(PAGE.into(), blob(page));
    }
    Ok(Built { item, payload: (packed_payload.place, packed_payload.bytes) })
}

/// Makes the attributes and the payload of a record.
fn attributes(unit: &UnitId, record: &Record) -> Result<(Item, Vec<u8>), String> {
    let mut item = KEYS.at(&names::place(unit, &record.key));
    let mut add = |name: &str, value: &str| drop(item.insert(name.into(), text(value)));
    let payload = match record::view(record).map_err(|unsupported| unsupported.why)? {
        View::Checkpoint(view) => {
            let PayloadView::Open { head, channels } = view.payload else {
                return Err(OPAQUE.into());
            };
            add("id", &view.id);
            add("ns", &view.namespace);
            add("type", "msgpack");
            view.parent.into_iter().for_each(|parent| add("parent_checkpoint_id", parent));
            payload::pack(record, head, channels, view.metadata, &orders_of(record))?
        }
        View::Write(view) => {
            let value = record.value(&view.value).ok_or("a value is missing")?;
            add("task_id", &view.task);
            add("channel", view.channel);
            add("checkpoint_id", &view.checkpoint);
            add("type", view.tag.unwrap_or("null"));
            add(NAMESPACE, &view.namespace);
            if !view.path.is_empty() {
                add("task_path", view.path);
            }
            item.insert("idx".into(), number(view.index));
            value.bytes.to_vec()
        }
        View::Unit(record) => {
            item.insert(KEY.into(), blob(&record.key.as_bytes()[..]));
            beside::encode(record).1
        }
    };
    Ok((item, payload))
}

const OPAQUE: &str = "its payload is not ours to open, and the saver keeps checkpoint and metadata \
                      in one msgpack";

/// Says why the layout cannot hold a record, values or not.
pub(super) fn refuses(record: &Record) -> Option<String> {
    if let Some(why) = names::refuses(&record.key) {
        return Some(why.to_owned());
    }
    match record::view(record) {
        Err(unsupported) => Some(unsupported.why),
        Ok(View::Checkpoint(view)) => match view.payload {
            PayloadView::Opaque { .. } => Some(OPAQUE.to_owned()),
            PayloadView::Open { head, channels } => match record::sealed_channel(channels) {
                Some((name, tag)) => Some(format!(
                    "channel {name:?} is sealed under {tag:?}, which the saver cannot keep \
                     inside a checkpoint"
                )),
                None => payload::check(head, channels, view.metadata).err(),
            },
        },
        Ok(View::Write(_) | View::Unit(_)) => None,
    }
}

/// Moves an item into a space of its own.
pub(super) fn spaced(mut item: Item, unit: &UnitId, space: i64, key: &Key) -> Item {
    item.extend(KEYS.at(&names::spaced(unit, space, key)));
    item.insert(KEY.into(), blob(&key.as_bytes()[..]));
    item
}

/// Moves an item from a space of its own to where the official saver looks for it.
pub(super) fn in_place(mut item: Item, unit: &UnitId, key: &Key) -> Item {
    item.extend(KEYS.at(&names::place(unit, key)));
    if matches!(key.kind(), CHECKPOINT | WRITE) {
        item.remove(KEY);
    }
    item
}
