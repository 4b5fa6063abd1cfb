//! What the known splitter wrote: a checkpoint in several items, put together as one.
//!
//! The parts of `checkpoint#…` are `{prefix}#checkpoint#…#part#{NNNN}` in the same partition.
//! `message_level` takes the messages of channels out of the checkpoint, part by part;
//! `content_level` cuts the base64 of everything, the checkpoint's own item being the first part.
//!
//! Invariant: what is not whole is damage that says what is still there, and never shorter data.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use sha2::Digest as _;

use super::{item, names};
use crate::engine::dynamodb::{Item, SORT, number_of, text, text_of};

/// Attributes that an item has in memory alone: what is wrong with it, and which items its parts
/// were.
const FAULT: &str = "restow#fault";
const PARTS: &str = "restow#parts";
const ABOUT: &str = "splitMetadata";
/// How many hexadecimal digits of a SHA-256 the splitter keeps.
const CHECKSUM_DIGITS: usize = 16;

type Object<'t> = BTreeMap<String, &'t RawValue>;

/// Says whether an item is a checkpoint that was split, or a part of one.
pub(super) fn is_piece(item: &Item) -> bool {
    !item::is_own(item) && (is_first(item) || part_of(name(item)).is_some())
}

/// Returns what is wrong with an item that was put together.
pub(super) fn fault(item: &Item) -> Option<&str> {
    text_of(item, FAULT)
}

/// Returns the names of the items that a checkpoint was put together from, beside its own.
pub(super) fn parts(item: &Item) -> &[String] {
    item.get(PARTS).and_then(|value| value.as_ss().ok()).map_or(&[], Vec::as_slice)
}

/// Puts split checkpoints among a unit's items together; parts that belong to none stay.
pub(super) fn joined(items: Vec<Item>) -> Vec<Item> {
    if !items.iter().any(is_piece) {
        return items;
    }
    let mut parts: BTreeMap<String, Vec<Part>> = BTreeMap::new();
    let (mut rest, mut first, mut gone) = (Vec::new(), Vec::new(), BTreeSet::new());
    for item in items {
        match part_of(name(&item)) {
            _ if item::is_own(&item) => rest.push(item),
            None if is_first(&item) => first.push(item),
            Some((whole, number)) => {
                parts.entry(whole.to_owned()).or_default().push(Part { number, item });
            }
            None => {
                if names::is_dead(name(&item)) {
                    gone.extend(self::parts(&item).iter().cloned());
                }
                rest.push(item);
            }
        }
    }
    for mut item in first {
        let mut own = parts.remove(name(&item)).unwrap_or_default();
        own.sort_by_key(|part| part.number);
        match whole(&item, &own) {
            Ok((checkpoint, metadata)) => {
                item.insert(item::CHECKPOINT.into(), text(checkpoint));
                item.insert(item::METADATA.into(), text(metadata));
            }
            Err(why) => drop(item.insert(FAULT.into(), text(why))),
        }
        note(&mut item, own.iter().map(|part| name(&part.item).to_owned()).collect());
        rest.push(item);
    }
    for (whole, parts) in parts {
        let orphan = |mut item: Item| {
            let why = format!("it is a part of {whole}, which is not there or was not split");
            item.insert(FAULT.into(), text(why));
            item
        };
        // Those that a commit left to be tidied up are nobody's any more.
        let left = parts.into_iter().map(|part| part.item).filter(|i| !gone.contains(name(i)));
        rest.extend(left.map(orphan));
    }
    rest
}

/// Returns those of a unit's items that are parts of no checkpoint.
pub(super) fn orphans(items: &[Item]) -> Vec<Item> {
    let wanted = items.iter().filter(|item| is_piece(item) || names::is_dead(name(item)));
    let joined = joined(wanted.cloned().collect()).into_iter();
    joined.filter(|item| part_of(name(item)).is_some()).collect()
}

/// Where a part says when it was written.
pub(super) const SPLIT_AT: &str = "splitMetadata.splitTimestamp";

/// Returns when an item was split, as it says.
pub(super) fn split_at(item: &Item) -> Option<&str> {
    text_of(map(item, ABOUT)?, "splitTimestamp")
}

/// Notes in an item which items are the parts of a checkpoint.
pub(super) fn note(item: &mut Item, names: Vec<String>) {
    if !names.is_empty() {
        item.insert(PARTS.into(), AttributeValue::Ss(names));
    }
}

/// Returns the checkpoint that a part belongs to, and the part's number, by its name.
pub(super) fn part_of(name: &str) -> Option<(&str, u64)> {
    let (whole, number) = name.rsplit_once("#part#")?;
    let (_prefix, whole) = whole.split_once('#')?;
    let is_number = number.len() >= 4 && number.bytes().all(|b| b.is_ascii_digit());
    let is_part = is_number && whole.starts_with("checkpoint#") && names::is_record(name);
    is_part.then(|| Some((whole, number.parse().ok()?)))?
}

fn name(item: &Item) -> &str {
    text_of(item, SORT).unwrap_or_default()
}

/// Says whether an item is a checkpoint that was split.
pub(super) fn is_first(item: &Item) -> bool {
    let says = item.contains_key("isSplit") || item.contains_key(ABOUT);
    says && !item::is_own(item) && name(item).starts_with("checkpoint#")
}

struct Part {
    /// Its number, as its name tells.
    number: u64,
    item: Item,
}

impl Part {
    fn shown(&self) -> String {
        format!("part {:04}", self.number)
    }
}

fn map<'i>(item: &'i Item, name: &str) -> Option<&'i Item> {
    item.get(name)?.as_m().ok().filter(|map| !map.is_empty())
}

/// Puts a checkpoint together: its JSON, and its metadata's.
fn whole(first: &Item, parts: &[Part]) -> Result<(String, String), String> {
    let Some(about) = map(first, ABOUT) else {
        let empty = |part: &&Part| map(&part.item, ABOUT).is_none();
        return Err(format!(
            "it was split, and what says how was stored empty, as were {} of its {} parts: the \
             state is lost, save what other checkpoints of the thread hold",
            parts.iter().filter(empty).count(),
            parts.len()
        ));
    };
    let total: u64 = number_of(about, "totalParts").ok_or("it was split, nobody says how often")?;
    match text_of(about, "strategy") {
        Some("message_level") => Messages::read(first, about, parts, total)?.joined(first),
        Some("content_level") => contents(first, about, parts, total),
        _ => Err("it was split in a way that this version does not know".into()),
    }
}

/// Says what is wrong with the bytes of a part, by what is noted of them.
fn torn(about: &Item, bytes: &str) -> Option<String> {
    let size: Option<usize> = number_of(about, "partSize");
    if let Some(size) = size.filter(|size| *size != bytes.len()) {
        return Some(format!("is cut: it has {} of {size} bytes", bytes.len()));
    }
    let sum = text_of(about, "checksum")?;
    let found = sha2::Sha256::digest(bytes);
    let found: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
    (found[..CHECKSUM_DIGITS] != *sum).then(|| "has another checksum than is noted".into())
}

/// Checks what a part says of itself; returns what is noted of it.
fn noted<'p>(
    part: &'p Part,
    data: &str,
    numbers: &[u64],
    whole: &Item,
) -> Result<&'p Item, String> {
    let (Some(about), Some(_)) = (map(&part.item, ABOUT), map(&part.item, data)) else {
        return Err("was stored empty".into());
    };
    let says: Option<u64> = number_of(about, "partNumber");
    if says.is_none_or(|says| !numbers.contains(&says)) {
        let says = says.map_or("none".into(), |says| says.to_string());
        return Err(format!("is misnumbered: it says {says}"));
    }
    let same = ["originalRecordId", "strategy", "splitTimestamp"].iter();
    let is_same = same.copied().all(|name| text_of(about, name) == text_of(whole, name));
    match is_same && number_of::<u64>(about, "totalParts") == number_of(whole, "totalParts") {
        true => Ok(about),
        false => Err("belongs to another split".into()),
    }
}

/// Finds the part of a number; what is wrong is told.
fn found(parts: &[Part], number: u64) -> Result<&Part, String> {
    let mut same = parts.iter().filter(|part| part.number == number);
    match (same.next(), same.next()) {
        (None, _) => Err(format!("part {number:04} is missing")),
        (Some(part), None) => Ok(part),
        (Some(part), Some(_)) => Err(format!("{} is there twice", part.shown())),
    }
}

/// Names what is beyond the last part.
fn beyond(parts: &[Part], last: u64, faults: &mut Vec<String>) {
    let more = parts.iter().filter(|part| part.number > last);
    faults.extend(more.map(|part| format!("{} is one too many", part.shown())));
}

fn damaged(faults: &[String], there: u64, total: u64, what: &str) -> String {
    format!("it was split, and {}; {there} of {total} parts are there, {what}", faults.join(", "))
}

/// Messages that were taken out of a checkpoint.
#[derive(Default)]
struct Messages<'p> {
    /// By channel: the lists in order, how many messages they hold, and how many it should be.
    channels: BTreeMap<&'p str, (Vec<&'p str>, u64, u64)>,
}

impl<'p> Messages<'p> {
    fn read(first: &Item, about: &Item, parts: &'p [Part], total: u64) -> Result<Self, String> {
        let (mut this, mut faults, mut there) = (Self::default(), Vec::new(), 0);
        let own = [item::CHECKPOINT, item::METADATA].map(|name| text_of(first, name));
        let own = own.map(Option::unwrap_or_default).concat();
        match torn(about, &own) {
            Some(why) => faults.push(format!("its own item {why}")),
            None => there += 1,
        }
        for number in 1..total {
            let read = found(parts, number).and_then(|part| {
                let list = list(part, about).map_err(|why| format!("{} {why}", part.shown()))?;
                there += 1;
                Ok(list)
            });
            match read {
                Ok((channel, list, count, all)) => {
                    let held = this.channels.entry(channel).or_default();
                    held.2 = all;
                    // Behind a gap nobody knows which messages they are.
                    if faults.is_empty() {
                        held.1 += count;
                    }
                    held.0.push(list);
                }
                Err(why) => faults.push(why),
            }
        }
        beyond(parts, total.max(1) - 1, &mut faults);
        for (channel, (_, count, all)) in &this.channels {
            if faults.is_empty() && count != all {
                faults.push(format!("channel {channel} has {count} of {all} messages"));
            }
        }
        match faults.is_empty() {
            true => Ok(this),
            false => Err(damaged(&faults, there, total, &this.shown())),
        }
    }

    /// Says which messages are known, for a person.
    fn shown(&self) -> String {
        let shown = self.channels.iter().map(|(channel, (_, count, all))| match count {
            0 => format!("no message of {all} of channel {channel} for certain"),
            1 => format!("message 0 of {all} of channel {channel}"),
            _ => format!("messages 0–{} of {all} of channel {channel}", count - 1),
        });
        match self.channels.is_empty() {
            true => "no message".into(),
            false => shown.collect::<Vec<_>>().join(", "),
        }
    }

    /// Puts the messages back where they were.
    fn joined(self, first: &Item) -> Result<(String, String), String> {
        let whole = text_of(first, item::CHECKPOINT).ok_or("it has no checkpoint")?;
        let metadata = text_of(first, item::METADATA).ok_or("it has no metadata")?;
        let mut places: Vec<(usize, usize, String)> = Vec::new();
        for (channel, (lists, ..)) in self.channels {
            let found = messages(whole, channel).filter(|raw| list_of(raw).is_some_and(|n| n == 0));
            let raw = found.ok_or_else(|| {
                format!("it was split, and has no place for the messages of channel {channel}")
            })?;
            let at = raw.as_ptr() as usize - whole.as_ptr() as usize;
            let inner = lists.iter().map(|list| list.trim());
            let inner = inner.filter_map(|list| list.strip_prefix('[')?.strip_suffix(']'));
            let inner: Vec<_> = inner.collect();
            places.push((at, raw.len(), format!("[{}]", inner.join(","))));
        }
        places.sort_by_key(|(at, ..)| *at);
        let (mut checkpoint, mut done) = (String::new(), 0);
        for (at, len, list) in places {
            checkpoint.push_str(&whole[done..at]);
            checkpoint.push_str(&list);
            done = at + len;
        }
        checkpoint.push_str(&whole[done..]);
        Ok((checkpoint, metadata.to_owned()))
    }
}

/// Reads the messages of a part: channel, list, how many, how many the channel should have.
fn list<'p>(part: &'p Part, whole: &Item) -> Result<(&'p str, &'p str, u64, u64), String> {
    let about = noted(part, "messageSplitData", &[part.number], whole)?;
    let data = map(&part.item, "messageSplitData").ok_or("was stored empty")?;
    let (channel, list) = (text_of(data, "channelName"), text_of(data, "messagesData"));
    let (channel, list) = channel.zip(list).ok_or("was stored empty")?;
    if let Some(why) = torn(about, list) {
        return Err(why);
    }
    let all = map(data, "checkpointMetadata").and_then(|map| number_of(map, "totalMessages"));
    let count = list_of(list).ok_or("is cut: its messages are no list")?;
    Ok((channel, list, count, all.ok_or("does not say how many messages there are")?))
}

/// Returns how many entries a list has.
fn list_of(json: &str) -> Option<u64> {
    serde_json::from_str::<Vec<&RawValue>>(json).ok().map(|list| list.len() as u64)
}

/// Finds the messages of a channel in the JSON of a checkpoint.
fn messages<'t>(checkpoint: &'t str, channel: &str) -> Option<&'t str> {
    let object = |json: &'t str| serde_json::from_str::<Object<'t>>(json).ok();
    let channels = object(object(checkpoint)?.get("channel_values")?.get())?;
    Some(object(channels.get(channel)?.get())?.get("messages")?.get())
}

/// Puts together what was cut as base64.
fn contents(
    first: &Item,
    about: &Item,
    parts: &[Part],
    total: u64,
) -> Result<(String, String), String> {
    let (mut faults, mut base64, mut there) = (Vec::new(), String::new(), 0);
    // Some writers count the parts behind the first from one, and some from two.
    let says = |part: &Part| number_of::<u64>(map(&part.item, ABOUT)?, "partNumber");
    let from_one = parts.iter().any(|p| p.number == 1 || says(p) == Some(p.number + 1));
    let shift = u64::from(!from_one);
    for number in 0..total {
        let read = match number {
            0 => chunk(first, about).map_err(|why| format!("its own item {why}")),
            _ => found(parts, number + shift).and_then(|part| {
                let read = noted(part, "contentSplitData", &[part.number, number + 1], about);
                let read = read.and_then(|about| chunk(&part.item, about));
                read.map_err(|why| format!("{} {why}", part.shown()))
            }),
        };
        match read {
            Ok(chunk) => {
                there += 1;
                if faults.is_empty() {
                    base64.push_str(chunk);
                }
            }
            Err(why) => faults.push(why),
        }
    }
    beyond(parts, (total + shift).max(1) - 1, &mut faults);
    let size: Option<usize> = number_of(about, "originalSize");
    if faults.is_empty() {
        match STANDARD.decode(&base64).ok().and_then(|bytes| String::from_utf8(bytes).ok()) {
            Some(json) if size.is_none_or(|size| size == json.len()) => return content(&json),
            _ => faults.push("its parts do not make what was cut".into()),
        }
    }
    let all = size.map_or("an unknown number of".into(), |size| size.to_string());
    let what = format!("the first {} of {all} bytes", base64.len() / 4 * 3);
    Err(damaged(&faults, there, total, &what))
}

/// Returns the base64 of a part.
fn chunk<'i>(item: &'i Item, about: &Item) -> Result<&'i str, String> {
    let data = map(item, "contentSplitData").and_then(|data| text_of(data, "chunkData"));
    let data = data.ok_or("was stored empty")?;
    torn(about, data).map_or(Ok(data), Err)
}

/// Takes checkpoint and metadata, as they stand, out of what was cut.
fn content(json: &str) -> Result<(String, String), String> {
    let object: Object<'_> = serde_json::from_str(json)
        .map_err(|_| "it was split, and its parts make no JSON".to_owned())?;
    let text = |name: &str| {
        let found = object.get(name).map(|raw| raw.get().to_owned());
        found.ok_or_else(|| format!("it was split, and its parts hold no {name}"))
    };
    Ok((text(item::CHECKPOINT)?, text(item::METADATA)?))
}
