//! Items of records ⇄ pages of one record.
//!
//! An item that restow wrote holds its record as a page (`docs/formats.md`), in itself or in
//! objects. What the known applications can read stands in their attributes too, and the page
//! leaves it out. An item without a page was written by such an application.

use restow_model::{Body, Digest, Form, Key, Record, Residue, UnitDigest, Value};
use restow_store::parts::Pointer;
use restow_store::parts::part::Codec;
use restow_store::parts::pointer::Piece;

use super::{names, splitter};
use crate::engine::dynamodb::{Item, SORT, bytes, bytes_of, number, number_of, text, text_of};
use crate::layout::dynamodb::single::{entry_of, literal, packed};
use crate::layout::langgraph::order::{OrderLog, Orders};
use crate::layout::langgraph::record::{self, Payload, PayloadView, View};
use crate::layout::langgraph::{json, json_text};
use crate::layout::parts::page::{self, Entry};
use crate::layout::parts::rows::NewPage;

/// The name under which this layout's residue travels, and its format: the metadata as it stands.
const RESIDUE: (&str, u8) = ("split+dynamodb", 1);
/// Which space an item of restow's belongs to.
pub(super) const SPACE: &str = "space";
const KEY: &str = "key";
const PAGE: &str = "page";
const RAW_LEN: &str = "pageLength";
const DIGEST: &str = "pageDigest";
/// The stamp of the objects that hold a page, and how many they are.
pub(super) const STAMP: &str = "stamp";
pub(super) const OBJECTS: &str = "objects";
/// What the known applications call their attributes.
pub(super) const CHECKPOINT: &str = "checkpoint";
pub(super) const METADATA: &str = "metadata";
const PARENT: &str = "parentCheckpointId";
pub(super) const VALUE: &str = "value";

/// Where the bytes of a page are.
pub(super) enum Bytes {
    /// In its item.
    Here(Vec<u8>),
    /// In so many objects of a stamp.
    Objects(i64, u64),
}

/// Says whether an item was written by restow.
pub(super) fn is_own(item: &Item) -> bool {
    item.contains_key(SPACE)
}

/// Returns the key of the record of an item; nothing where it has none.
pub(super) fn key_of(item: &Item) -> Option<Key> {
    if let Some(key) = bytes_of(item, KEY) {
        return Key::from_bytes(key.to_vec().into()).ok();
    }
    let name = text_of(item, SORT)?;
    // What the item says of itself tells more than its name.
    let task = text_of(item, "taskId").filter(|task| task.contains('#'));
    let (Some(task), Some(index)) = (task, number_of::<i64>(item, "writeIdx")) else {
        return names::parse(name);
    };
    let rest = name.strip_suffix(&format!("#{task}#{index}"))?.strip_prefix("write#")?;
    let (namespace, id) = rest.rsplit_once('#')?;
    Some(record::write_key(namespace, id, task, index))
}

/// Adds a page to an item; `whole` says that its values are in it.
pub(super) fn put_page(
    item: &mut Item,
    space: i64,
    page: &NewPage,
    data: &Bytes,
    codec: &mut Codec,
) -> Result<(), String> {
    item.insert(SPACE.into(), number(space));
    item.insert(KEY.into(), bytes(&page.first.as_bytes()[..]));
    let (mut raw_len, mut digest) = (page.raw_len, page.digest);
    match data {
        Bytes::Here(data) => {
            let data = match known(item, page, codec)? {
                Some(raw) => {
                    (raw_len, digest) = (raw.len(), Digest::of(&raw));
                    codec.pack(&raw).map_err(|torn| torn.to_string())?
                }
                None => data.clone(),
            };
            item.insert(PAGE.into(), bytes(data));
        }
        Bytes::Objects(stamp, count) => {
            item.insert(STAMP.into(), number(stamp));
            item.insert(OBJECTS.into(), number(count));
        }
    }
    item.insert(RAW_LEN.into(), number(raw_len));
    item.insert(DIGEST.into(), bytes(&digest.as_bytes()[..]));
    Ok(())
}

/// Says whether the known applications can read a record, as far as its kind tells.
pub(super) fn is_known(record: &Record) -> bool {
    let tag = match record::view(record) {
        Ok(View::Checkpoint(view)) => match view.payload {
            PayloadView::Opaque { tag, .. } => tag,
            PayloadView::Open { .. } => None,
        },
        Ok(View::Write(view)) => view.tag,
        _ => None,
    };
    let is_text = |value: &Value| std::str::from_utf8(&value.bytes).is_ok();
    tag == Some("json")
        && names::parse(&names::record(&record.key)).is_some()
        && matches!(&record.values[..], [value] if is_text(value))
}

/// Writes what the known applications can read into their attributes; returns the raw page without
/// it, or nothing where they could not read it.
fn known(item: &mut Item, page: &NewPage, codec: &mut Codec) -> Result<Option<Vec<u8>>, String> {
    let raw = codec.unpack(&page.data, page.raw_len, &page.digest)?;
    let Ok(mut entries) = page::decode(&raw.into()) else { return Ok(None) };
    let Some(entry) = entries.first_mut() else { return Ok(None) };
    let [(form, pointer)] = &mut entry.pointers[..] else { return Ok(None) };
    let Ok(Pointer { depth: 0, pieces }) = Pointer::from_bytes(pointer) else { return Ok(None) };
    let payload = match <[Piece; 1]>::try_from(pieces) {
        Ok([Piece::Literal(payload)]) => payload,
        _ => return Ok(None),
    };
    let value = Value::new(*form, payload.into());
    pointer.clear();
    let Ok((mut record, _)) = entry.record() else { return Ok(None) };
    record.values = vec![value];
    match attributes(&record) {
        Some(attributes) if is_known(&record) => {
            item.extend(attributes);
            Ok(Some(page::encode(&entries)))
        }
        _ => Ok(None),
    }
}

fn attributes(record: &Record) -> Option<Item> {
    let payload = std::str::from_utf8(&record.values.first()?.bytes).ok()?;
    match record::view(record).ok()? {
        View::Checkpoint(view) => {
            let mut metadata = String::new();
            let residue = record.residue_of(RESIDUE.0).filter(|r| r.format == RESIDUE.1);
            match residue.and_then(|r| std::str::from_utf8(&r.bytes).ok()) {
                Some(raw) => metadata.push_str(raw),
                None => json_text::write(view.metadata, &mut Orders::none(), &mut metadata).ok()?,
            }
            let ts = time_of(payload);
            let mut item =
                Item::from([(CHECKPOINT.into(), text(payload)), (METADATA.into(), text(metadata))]);
            item.extend(view.parent.map(|parent| (PARENT.into(), text(parent))));
            item.extend(ts.map(|ts| ("checkpointTs".into(), text(ts))));
            Some(item)
        }
        View::Write(view) => Some(Item::from([
            ("taskId".into(), text(view.task)),
            ("channel".into(), text(view.channel)),
            (VALUE.into(), text(payload)),
            ("writeIdx".into(), number(view.index)),
        ])),
        View::Unit(_) => None,
    }
}

/// Returns a checkpoint's own time.
fn time_of(payload: &str) -> Option<String> {
    let body = json::read(payload.as_bytes(), &mut OrderLog::default()).ok()?;
    body.get("ts")?.as_text().map(str::to_owned)
}

/// Returns the page that an item holds; `Err` says what is wrong with it.
pub(super) fn page_of(
    item: &Item,
    codec: &mut Codec,
    objects: impl FnOnce(i64, u64) -> Result<Vec<u8>, String>,
) -> Result<(usize, Digest, Vec<u8>), String> {
    if !is_own(item) {
        let (entry, _) = foreign(item)?;
        return packed(&[entry], codec);
    }
    let raw_len = number_of::<usize>(item, RAW_LEN).ok_or("its page has no length")?;
    let digest = bytes_of(item, DIGEST).and_then(Digest::from_slice);
    let digest = digest.ok_or("its page has no digest")?;
    let data = match (bytes_of(item, PAGE), number_of(item, STAMP), number_of(item, OBJECTS)) {
        (Some(data), _, _) => data.to_vec(),
        (None, Some(stamp), Some(count)) => objects(stamp, count)?,
        _ => return Err("its page is missing".into()),
    };
    let Some(payload) = text_of(item, CHECKPOINT).or_else(|| text_of(item, VALUE)) else {
        return Ok((raw_len, digest, data));
    };
    let raw = codec.unpack(&data, raw_len, &digest)?;
    let mut entries = page::decode(&raw.into()).map_err(|malformed| malformed.to_string())?;
    for (_, pointer) in entries.iter_mut().flat_map(|entry| &mut entry.pointers) {
        if pointer.is_empty() {
            *pointer = literal(payload.as_bytes());
        }
    }
    packed(&entries, codec)
}

/// Reads an item that a known application wrote: its record's entry and its payload.
pub(super) fn foreign(item: &Item) -> Result<(Entry, Vec<u8>), String> {
    let name = text_of(item, SORT).unwrap_or_default();
    if let Some(why) = splitter::fault(item) {
        return Err(why.to_owned());
    }
    let key = key_of(item).ok_or("it has the name of no record")?;
    let record = if name.starts_with("checkpoint#") {
        let payload = text_of(item, CHECKPOINT).ok_or("it has no checkpoint")?;
        let raw = text_of(item, METADATA).ok_or("it has no metadata")?;
        let metadata = json::read(raw.as_bytes(), &mut OrderLog::default());
        let metadata = metadata.unwrap_or_else(|_| Body::Bytes(raw.to_owned().into()));
        let value = Value::new(Form::Json, payload.to_owned().into());
        let payload = Payload::Opaque { tag: Some("json".into()), value };
        let parent = text_of(item, PARENT);
        with_metadata(record::checkpoint(key, parent, metadata, payload), raw)
    } else {
        let value = text_of(item, VALUE).ok_or("it has no value")?.to_owned();
        let channel = text_of(item, "channel").ok_or("it has no channel")?;
        record::write(key, channel, Some("json"), value.into(), "")
    };
    let payload = record.values.first().map(|value| value.bytes.to_vec()).unwrap_or_default();
    Ok((entry_of(&record), payload))
}

/// Keeps the metadata as it stands, where it would be written otherwise.
fn with_metadata(mut record: Record, raw: &str) -> Record {
    let mut again = String::new();
    let same = record.body.get(METADATA).is_some_and(|metadata| {
        json_text::write(metadata, &mut Orders::none(), &mut again).is_ok() && again == raw
    });
    if !same {
        let (layout, format) = (RESIDUE.0.into(), RESIDUE.1);
        let bytes = raw.to_owned().into();
        record.residue.push(Residue { layout, format, record: record.digest(), bytes });
    }
    record
}

/// Returns what a page of one record adds to its unit's digest.
pub(super) fn summed(entry: &Entry) -> UnitDigest {
    entry.summed()
}
