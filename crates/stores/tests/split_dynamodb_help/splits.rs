//! Checkpoints as the known splitter stores them, item by item.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use restow_model::Digest;
use restow_stores::engine::dynamodb::{Item, PARTITION, SORT, number, text};
use serde_json::{Value, json};
use sha2::Digest as _;

/// How a checkpoint was split.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub(crate) strategy: &'static str,
    pub(crate) prefix: &'static str,
    /// Whether the parts behind a `content_level` record are counted from one.
    pub(crate) from_one: bool,
    pub(crate) chunk: usize,
}

pub(crate) const MESSAGES: How =
    How { strategy: "message_level", prefix: "split", from_one: true, chunk: 50_000 };
pub(crate) const CONTENT: How =
    How { strategy: "content_level", prefix: "split", from_one: false, chunk: 50_000 };

pub(crate) const METADATA: &str = r#"{"source":"loop","step":7,"parents":{}}"#;

/// A checkpoint with so many messages in one channel, and some in another.
pub(crate) fn checkpoint(id: &str, messages: u64, bytes: usize) -> Value {
    let message = |n: u64| {
        let noise = Digest::of(&n.to_be_bytes()).to_string().repeat(bytes / 64 + 1);
        json!({ "id": n, "content": format!("é [\"{}\"]", &noise[..bytes]) })
    };
    let list = |from: u64, to: u64| (from..to).map(message).collect::<Vec<_>>();
    json!({
        "v": 4, "id": id, "ts": "2026-01-01",
        "channel_values": {
            "agent": { "messages": list(0, messages), "turn": 1.50 },
            "none": { "messages": [] },
            "planner": { "messages": list(1000, 1003), "plan": null },
            "plain": [1, 2],
        },
        "channel_versions": { "agent": 2, "planner": 1 }, "versions_seen": {},
    })
}

fn sum(text: &str) -> String {
    let sum: String = sha2::Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect();
    sum[..16].to_owned()
}

fn map(entries: &[(&str, AttributeValue)]) -> AttributeValue {
    let entries = entries.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    AttributeValue::M(entries.collect::<HashMap<_, _>>())
}

struct About<'a> {
    name: &'a str,
    how: How,
    total: usize,
    size: usize,
}

impl About<'_> {
    fn item(
        &self,
        thread: &str,
        at: Option<usize>,
        number_of: usize,
        bytes: usize,
        sum: Option<String>,
    ) -> Item {
        let How { strategy, prefix, .. } = self.how;
        let name = match at {
            None => self.name.to_owned(),
            Some(at) => format!("{prefix}#{}#part#{at:04}", self.name),
        };
        let mut about = vec![
            ("originalRecordId", text(self.name)),
            ("totalParts", number(self.total)),
            ("partNumber", number(number_of)),
            ("strategy", text(strategy)),
            ("splitTimestamp", text("2025-09-12T00:00:00.000Z")),
            ("originalSize", number(self.size)),
            ("partSize", number(bytes)),
        ];
        about.extend(sum.map(|sum| ("checksum", text(sum))));
        Item::from([
            (PARTITION.to_owned(), text(thread)),
            (SORT.to_owned(), text(name)),
            ("isSplit".to_owned(), AttributeValue::Bool(true)),
            ("splitMetadata".to_owned(), map(&about)),
        ])
    }
}

/// Splits a checkpoint; its own item is the first.
pub(crate) fn split(thread: &str, name: &str, checkpoint: &Value, how: How) -> Vec<Item> {
    match how.strategy {
        "message_level" => by_messages(thread, name, checkpoint, how),
        _ => by_content(thread, name, checkpoint, how),
    }
}

fn by_messages(thread: &str, name: &str, checkpoint: &Value, how: How) -> Vec<Item> {
    let mut first = checkpoint.clone();
    let mut parts = Vec::new();
    for (channel, value) in first["channel_values"].as_object_mut().expect("channels") {
        let Some(messages) = value.get("messages").and_then(Value::as_array) else { continue };
        let (all, mut lists, mut size) = (messages.len(), Vec::<Vec<Value>>::new(), usize::MAX);
        for message in messages {
            let len = message.to_string().len();
            if size.saturating_add(len) > how.chunk {
                lists.push(Vec::new());
                size = 0;
            }
            size += len;
            lists.last_mut().expect("a list").push(message.clone());
        }
        parts.extend(lists.into_iter().map(|list| (channel.clone(), Value::from(list), all)));
        value["messages"] = json!([]);
    }
    let first = first.to_string();
    let whole = format!("{first}{METADATA}");
    let about = About { name, how, total: parts.len() + 1, size: whole.len() };
    let mut item = about.item(thread, None, 0, whole.len(), Some(sum(&whole)));
    item.insert("checkpoint".into(), text(first));
    item.insert("metadata".into(), text(METADATA));
    let mut items = vec![item];
    for (n, (channel, list, all)) in parts.into_iter().enumerate() {
        let list = list.to_string();
        let mut item = about.item(thread, Some(n + 1), n + 1, list.len(), None);
        let of = map(&[("totalMessages", number(all)), ("channelVersion", text("2"))]);
        let data = map(&[
            ("channelName", text(channel)),
            ("startMessageIndex", number(0)),
            ("endMessageIndex", number(0)),
            ("messagesData", text(list)),
            ("checkpointMetadata", of),
        ]);
        item.insert("messageSplitData".into(), data);
        items.push(item);
    }
    items
}

fn by_content(thread: &str, name: &str, checkpoint: &Value, how: How) -> Vec<Item> {
    let whole = format!(r#"{{"checkpoint":{checkpoint},"metadata":{METADATA}}}"#);
    let base64 = base64::engine::general_purpose::STANDARD.encode(&whole);
    let chunks: Vec<_> = base64.as_bytes().chunks(how.chunk).map(String::from_utf8_lossy).collect();
    let about = About { name, how, total: chunks.len(), size: whole.len() };
    let item = |(n, chunk): (usize, &std::borrow::Cow<'_, str>)| {
        let at = (n > 0).then_some(if how.from_one { n } else { n + 1 });
        let mut item = about.item(thread, at, n + 1, chunk.len(), Some(sum(chunk)));
        let data = map(&[("chunkData", text(&**chunk)), ("encoding", text("base64"))]);
        item.insert("contentSplitData".into(), data);
        item
    };
    chunks.iter().enumerate().map(item).collect()
}

/// Stores all maps of an item as Dynamoose does: empty.
pub(crate) fn emptied(item: &mut Item) {
    for value in item.values_mut().filter(|value| value.is_m()) {
        *value = map(&[]);
    }
}

/// Changes an entry of one of an item's maps.
pub(crate) fn change(item: &mut Item, name: &str, entry: &str, value: AttributeValue) {
    if let Some(AttributeValue::M(map)) = item.get_mut(name) {
        map.insert(entry.to_owned(), value);
    }
}
