//! `split+dynamodb` passes the suite, reads what others wrote, and leaves nothing behind.
#![allow(clippy::expect_used, reason = "a test ends loudly where it cannot go on")]

mod split_dynamodb_help;

use std::sync::Arc;

use restow_model::{Body, UnitId};
use restow_store::conformance;
use restow_store::conformance::Fixture;
use restow_store::memory::{MemoryOptions, MemoryStore};
use restow_store::{Content, Frame, Guard, Op, Store, Then};
use restow_stores::engine::dynamodb::{Item, PARTITION, SORT, text};

use split_dynamodb_help::*;

/// A store in a table of its own; where this run does without a server, the reference.
async fn fresh() -> Fixture {
    let Some(place) = place() else {
        return Fixture::generic(Arc::new(MemoryStore::new(MemoryOptions::strong())), ());
    };
    Fixture::generic(place.target().await, ())
}

async fn langgraph() -> Fixture {
    let Some(place) = place() else {
        return Fixture::langgraph(Arc::new(MemoryStore::new(MemoryOptions::strong())), ());
    };
    Fixture::langgraph(place.target().await, ())
}

conformance!(split_dynamodb, fresh);
conformance!(split_dynamodb_with_threads, langgraph);

const CHECKPOINT: &str = concat!(
    r#"{"v":4,"id":"1ef","ts":"2026-01-01","channel_values":{"a":1},"#,
    r#""channel_versions":{"a":2},"versions_seen":{}}"#
);

fn item(thread: &str, name: &str, attributes: &[(&str, &str)]) -> Item {
    let keys = [(PARTITION, thread), (SORT, name)];
    let all = keys.iter().chain(attributes);
    all.map(|(name, value)| ((*name).to_owned(), text(*value))).collect()
}

/// What the known application wrote: a checkpoint and a pending write.
fn thread() -> Vec<Item> {
    let metadata = r#"{"source":"loop","step":1,"parents":{}}"#;
    let checkpoint = [("checkpoint", CHECKPOINT), ("metadata", metadata)];
    let write = [("taskId", "t"), ("channel", "a"), ("value", "[1, 2]")];
    let mut write = item("thread", "write##1ef#t#0", &write);
    write.insert("writeIdx".into(), restow_stores::engine::dynamodb::number(0));
    vec![item("thread", "checkpoint##1ef", &checkpoint), write]
}

#[tokio::test]
async fn what_a_known_application_wrote_is_read_and_goes_elsewhere_and_back() {
    let Some(place) = place() else { return };
    let store = place.target().await;
    place.past(|table| table.put_all(thread())).await;
    let read = records(&store, "thread").await;
    assert_eq!(read.len(), 2, "{read:?}");
    let payload = read[0].values[0].bytes.clone();
    assert_eq!(&payload[..], CHECKPOINT.as_bytes());
    // Written elsewhere, the same records stand as the application would have written them.
    put(&store, "copy", read.clone()).await;
    assert_eq!(records(&store, "copy").await, read);
    let items = place.items().await;
    for written in thread() {
        let name = written[SORT].clone();
        let is = |i: &&Item| i[SORT] == name && i[PARTITION] == text("copy");
        let copy = items.iter().find(is).expect("an item");
        for (attribute, value) in written.iter().filter(|(name, _)| *name != PARTITION) {
            assert_eq!(copy.get(attribute), Some(value), "{attribute}");
        }
    }
    // Nothing was changed where it was only read.
    assert_eq!(items.iter().filter(|i| i[PARTITION] == text("thread")).count(), 2);
}

#[tokio::test]
async fn what_others_wrote_is_replaced_and_cleared_with_the_unit() {
    let Some(place) = place() else { return };
    let store = place.target().await;
    place.past(|table| table.put_all(thread())).await;
    let mut read = records(&store, "thread").await;
    put(&store, "thread", vec![large("new", 1, 10)]).await;
    read.push(large("new", 1, 10));
    read.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(records(&store, "thread").await, read);
    let ops = vec![Op::Clear, Op::put(large("only", 2, 10))];
    let outcome = apply(&store, "thread", Guard::Unmanaged, ops, Then::Keep).await;
    assert!(outcome.is_applied(), "{outcome:?}");
    assert_eq!(records(&store, "thread").await, [large("only", 2, 10)]);
    let names: Vec<_> = place.items().await.iter().map(|i| i[SORT].clone()).collect();
    assert!(!names.contains(&text("checkpoint##1ef")), "{names:?}");
}

#[tokio::test]
async fn large_records_are_whole_and_leave_no_parts_behind() {
    let Some(place) = place() else { return };
    let store = place.target().await;
    let mut body = large("metadata", 3, 10);
    body.body = Body::List(vec![body.body, Body::Bytes(noise(4, 500 << 10).into())]);
    for seed in [5, 6] {
        put(&store, "unit", vec![large("one", seed, 5 << 20), body.clone()]).await;
        assert_eq!(records(&store, "unit").await, [body.clone(), large("one", seed, 5 << 20)]);
    }
    let ops = vec![Op::Clear, Op::put(large("small", 7, 100))];
    let outcome = apply(&store, "unit", Guard::Unmanaged, ops, Then::Keep).await;
    assert!(outcome.is_applied(), "{outcome:?}");
    let own: Vec<_> = place
        .items()
        .await
        .iter()
        .map(|item| format!("{:?} {:?}", item[PARTITION], item[SORT]))
        .filter(|name| !name.contains("restow#store"))
        .collect();
    // The head, the record, and the directory of its part.
    assert_eq!(own.len(), 3, "{own:?}");
}

#[tokio::test]
async fn a_unit_of_many_records_is_staged_and_appears_at_once() {
    let Some(place) = place() else { return };
    let store = place.target().await;
    let token = restow_model::Token::new("t");
    let all: Vec<_> = (0..200).map(|n| large(&format!("{n:04}"), n, 100)).collect();
    for (n, some) in all.chunks(50).enumerate() {
        let ops = some.iter().cloned().map(Op::put).collect();
        let guard = if n == 0 { Guard::Absent } else { Guard::Staging(token.clone()) };
        let outcome = apply(&store, "unit", guard, ops, Then::Stage(token.clone())).await;
        assert!(outcome.is_applied(), "{outcome:?}");
        assert_eq!(records(&store, "unit").await, []);
    }
    let promote = Then::Promote(token.clone());
    let outcome = apply(&store, "unit", Guard::Staging(token), Vec::new(), promote).await;
    assert!(outcome.is_applied(), "{outcome:?}");
    assert_eq!(records(&store, "unit").await, all);
    let ops = vec![Op::Clear];
    let outcome = apply(&store, "unit", Guard::Unmanaged, ops, Then::Keep).await;
    assert!(outcome.is_applied(), "{outcome:?}");
    let left = place.items().await.iter().filter(|i| i[PARTITION] == text("unit")).count();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn of_several_writers_none_is_lost_and_no_reader_sees_a_mixture() {
    let Some(place) = place() else { return };
    let first = place.target().await;
    put(&first, "unit", (0..4).map(|n| large(&n.to_string(), 0, 9000)).collect()).await;
    let mut writers = Vec::new();
    for writer in 1..=2u64 {
        let store = place.target().await;
        writers.push(tokio::spawn(async move {
            for turn in 0..5 {
                let seed = writer * 100 + turn;
                let all = (0..4).map(|n| large(&n.to_string(), seed, 9000)).collect();
                put(&store, "unit", all).await;
            }
        }));
    }
    let reader = place.source().await;
    let mut seen = 0;
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        let what = restow_store::Selection { content: Content::All, ..Default::default() };
        let frames = reader.read(vec![UnitId::new("unit")], what).await.expect("frames");
        // A unit that never stands still may be refused; what is shown is of one moment.
        let Ok(frames) = futures::TryStreamExt::try_collect::<Vec<_>>(frames).await else {
            continue;
        };
        let damaged = frames.iter().find(|frame| matches!(frame, Frame::Damaged { .. }));
        assert_eq!(damaged, None);
        let values: Vec<_> = frames
            .iter()
            .filter_map(|frame| match frame {
                Frame::Record(record) => Some(record.values[0].name),
                _ => None,
            })
            .collect();
        assert_eq!(values.len(), 4);
        assert!(values.iter().all(|name| *name == values[0]), "{values:?}");
        seen += 1;
    }
    for writer in writers {
        writer.await.expect("a writer that ends");
    }
    assert!(seen > 0);
    let own = place.items().await.iter().filter(|i| i[PARTITION] == text("unit")).count();
    assert!(own < 60, "{own}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writers_of_a_process_take_turns() {
    let Some(place) = place() else { return };
    let store = place.target().await;
    let write = |n: u64| {
        let store = store.clone();
        tokio::spawn(
            async move { put(&store, "unit", vec![large(&format!("{n:02}"), n, 10)]).await },
        )
    };
    let writers: Vec<_> = (0..64).map(write).collect();
    for writer in writers {
        writer.await.expect("a writer that is through");
    }
    assert_eq!(records(&store, "unit").await.len(), 64);
}
