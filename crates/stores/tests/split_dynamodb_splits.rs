//! Checkpoints that the known splitter split: whole ones are read, all others are named.
#![allow(clippy::expect_used, reason = "a test ends loudly where it cannot go on")]

mod split_dynamodb_help;

use futures::TryStreamExt;
use restow_store::{Content, Enumeration, Frame, Guard, Op, Store, Then};
use restow_stores::engine::dynamodb::{Item, SORT, number, text};

use split_dynamodb_help::splits::*;
use split_dynamodb_help::*;

const NAME: &str = "checkpoint##1ef";

/// Every way in which a checkpoint was split.
fn ways() -> Vec<How> {
    let mut ways = Vec::new();
    for prefix in ["split", "parts-of"] {
        ways.push(How { prefix, ..MESSAGES });
        ways.extend([true, false].map(|from_one| How { prefix, from_one, ..CONTENT }));
    }
    // Everything in the checkpoint's own item.
    ways.push(How { chunk: 10_000_000, ..CONTENT });
    ways
}

async fn scanned(place: &Place) -> Vec<Frame> {
    let store = place.source().await;
    let mut all = Vec::new();
    for segment in store.segments(1, Enumeration::Storage).await.expect("segments") {
        let frames = store.scan(segment, None, Content::All).await.expect("frames");
        all.extend(frames.try_collect::<Vec<_>>().await.expect("no error"));
    }
    all
}

fn damage(frames: &[Frame]) -> Vec<String> {
    let damaged = frames.iter().filter_map(|frame| match frame {
        Frame::Damaged { place, why, .. } => Some(format!("{place}: {why}")),
        _ => None,
    });
    damaged.collect()
}

#[tokio::test]
async fn whole_splits_are_read_as_they_were_and_replaced_with_their_parts() {
    for how in ways() {
        let Some(place) = place() else { return };
        let store = place.target().await;
        // More than one page of a walk.
        let messages = if how.chunk > 400_000 { 3 } else { 60 };
        let whole = checkpoint("1ef", messages, 30_000);
        let items = split("thread", NAME, &whole, how);
        let count = items.len();
        place.past(|table| table.put_all(items)).await;
        let read = records(&store, "thread").await;
        assert_eq!(read.len(), 1, "{how:?}");
        assert_eq!(&read[0].values[0].bytes[..], whole.to_string().as_bytes(), "{how:?}");
        let walked: Vec<_> = scanned(&place).await;
        assert_eq!(damage(&walked), Vec::<String>::new(), "{how:?}");
        let walked: Vec<_> = walked.iter().filter(|f| matches!(f, Frame::Record(_))).collect();
        assert_eq!(walked, [&Frame::Record(read[0].clone())], "{how:?}, {count} items");
        // Another record leaves it as it is; the same one takes its place.
        let mut other = read[0].clone();
        other.key = restow_model::Key::of("item").text("other").build();
        put(&store, "thread", vec![other.clone()]).await;
        assert_eq!(records(&store, "thread").await, [read[0].clone(), other.clone()]);
        put(&store, "thread", read.clone()).await;
        assert_eq!(records(&store, "thread").await, [read[0].clone(), other]);
        let left = place.items().await.into_iter().filter(|item| item.contains_key("isSplit"));
        assert_eq!(left.count(), 0, "{how:?}");
    }
}

#[tokio::test]
async fn a_split_checkpoint_is_removed_with_its_parts() {
    for ops in [vec![Op::Clear], vec![]] {
        let Some(place) = place() else { return };
        let store = place.target().await;
        let items = split("thread", NAME, &checkpoint("1ef", 9, 30_000), CONTENT);
        place.past(|table| table.put_all(items)).await;
        let key = records(&store, "thread").await.remove(0).key;
        let ops = match ops.is_empty() {
            true => vec![Op::Remove { key, expect: restow_store::Expect::Any }],
            false => ops,
        };
        let outcome = apply(&store, "thread", Guard::Unmanaged, ops, Then::Keep).await;
        assert!(outcome.is_applied(), "{outcome:?}");
        let left = place.items().await.into_iter().filter(|item| item.contains_key("isSplit"));
        assert_eq!(left.count(), 0);
    }
}

type Spoil = fn(&mut Vec<Item>);

/// What happens to splits, and what is said of it.
const DAMAGE: [(How, Spoil, &str); 17] = [
    (MESSAGES, |i| i.iter_mut().for_each(emptied), "the state is lost, save what other"),
    (CONTENT, |i| i.iter_mut().for_each(emptied), "as were 5 of its 5 parts: the state is lost"),
    (
        MESSAGES,
        |i| emptied(&mut i[2]),
        "part 0002 was stored empty; 6 of 7 parts are there, messages 0–1 of 8 of channel agent",
    ),
    (CONTENT, |i| emptied(&mut i[2]), "part 0003 was stored empty; 5 of 6 parts are there"),
    (
        MESSAGES,
        |i| drop(i.remove(3)),
        "part 0003 is missing; 6 of 7 parts are there, messages 0–3 of 8 of channel agent",
    ),
    (
        CONTENT,
        |i| drop(i.remove(4)),
        "part 0005 is missing; 5 of 6 parts are there, the first 150000 of",
    ),
    (
        MESSAGES,
        |i| i.truncate(1),
        "part 0001 is missing, part 0002 is missing, part 0003 is missing, part 0004 is missing, \
         part 0005 is missing, part 0006 is missing; 1 of 7 parts are there, no message",
    ),
    (
        MESSAGES,
        |i| change(&mut i[2], "splitMetadata", "partNumber", number(4)),
        "part 0002 is misnumbered: it says 4",
    ),
    (
        CONTENT,
        |i| change(&mut i[2], "splitMetadata", "partNumber", number(9)),
        "part 0003 is misnumbered: it says 9",
    ),
    (
        MESSAGES,
        |i| change(&mut i[1], "messageSplitData", "messagesData", text("[1, 2")),
        "part 0001 is cut: it has 5 of ",
    ),
    (
        CONTENT,
        |i| change(&mut i[1], "contentSplitData", "chunkData", text("AAAA")),
        "part 0002 is cut: it has 4 of 50000 bytes",
    ),
    (
        CONTENT,
        |i| change(&mut i[1], "splitMetadata", "checksum", text("0123456789abcdef")),
        "part 0002 has another checksum than is noted",
    ),
    (MESSAGES, again, "part 0001 is there twice"),
    (CONTENT, again, "part 0002 is there twice"),
    (
        MESSAGES,
        |i| change(&mut i[1], "splitMetadata", "splitTimestamp", text("later")),
        "part 0001 belongs to another split",
    ),
    (
        MESSAGES,
        |i| i.iter_mut().for_each(|i| change(i, "splitMetadata", "totalParts", number(6))),
        "part 0006 is one too many; 6 of 6 parts are there, messages 0–7 of 8 of channel agent",
    ),
    (
        CONTENT,
        |i| change(&mut i[0], "splitMetadata", "originalSize", number(7)),
        "its parts do not make what was cut; 6 of 6 parts are there",
    ),
];

/// Stores a part under another prefix too.
fn again(items: &mut Vec<Item>) {
    let mut twice = items[1].clone();
    let name = twice[SORT].as_s().expect("a name").replace("split#", "other#");
    twice.insert(SORT.to_owned(), text(name));
    items.push(twice);
}

#[tokio::test]
async fn damaged_splits_are_named_once_with_what_is_there() {
    for (n, (how, spoil, said)) in DAMAGE.into_iter().enumerate() {
        let Some(place) = place() else { return };
        let store = place.target().await;
        let mut items = split("thread", NAME, &checkpoint("1ef", 8, 18_000), how);
        spoil(&mut items);
        items.extend(split("thread", "checkpoint##1eg", &checkpoint("1eg", 3, 30_000), how));
        place.past(|table| table.put_all(items)).await;
        for frames in [frames(&store, "thread").await, scanned(&place).await] {
            let damaged = damage(&frames);
            assert_eq!(damaged.len(), 1, "{n}: {damaged:?}");
            assert!(damaged[0].contains(said), "{n}: {damaged:?}");
            assert!(damaged[0].starts_with(&format!("item {NAME}: it was split, and")), "{n}");
            // The other checkpoint is read.
            assert_eq!(frames.iter().filter(|f| matches!(f, Frame::Record(_))).count(), 1, "{n}");
        }
        // It is not written over, and others are written beside it.
        let mut record = records_of(&frames(&store, "thread").await).remove(0);
        record.key = restow_model::Key::of("item").text("new").build();
        put(&store, "thread", vec![record]).await;
        assert_eq!(damage(&frames(&store, "thread").await).len(), 1, "{n}");
    }
}

#[tokio::test]
async fn parts_of_nothing_are_named() {
    let Some(place) = place() else { return };
    let store = place.target().await;
    let mut items = split("thread", NAME, &checkpoint("1ef", 8, 18_000), MESSAGES);
    items.remove(0);
    let count = items.len();
    place.past(|table| table.put_all(items)).await;
    let damaged = damage(&frames(&store, "thread").await);
    assert_eq!(damaged.len(), count);
    assert_eq!(
        damaged[0],
        "item split#checkpoint##1ef#part#0001: it is a part of checkpoint##1ef, which is not there \
         or was not split"
    );
    assert_eq!(damage(&scanned(&place).await).len(), count);
}
