//! What a table's items weigh, and that only what nothing needs is cleaned away.
#![allow(clippy::expect_used, reason = "a test ends loudly where it cannot go on")]

mod split_dynamodb_help;

use std::time::Duration;

use restow_model::{Digest, Record};
use restow_store::items::{Clean, Cleaned, Items, Weights};
use restow_store::{Environment, Frame, Guard, Op, Store, Then};
use restow_stores::engine::dynamodb::{PARTITION, SORT, bytes, number, text};
use restow_stores::layout::split::Split;
use restow_testkit::proxy::{Moment, Plan, Proxy};

use split_dynamodb_help::splits::*;
use split_dynamodb_help::*;

/// Everything that tells its age is older.
const LATER: Duration = Duration::from_secs(4_000_000_000);

fn all() -> Clean {
    Clean { now: LATER, older_than: Duration::from_secs(86_400), is_dry: false }
}

fn dry() -> Clean {
    Clean { is_dry: true, ..all() }
}

async fn weigh(place: &Place) -> Weights {
    place.source().await.weigh().await.expect("weights")
}

async fn clean(store: &Split, how: Clean) -> (u64, u64, u64) {
    let Cleaned { parts, split_parts, left, .. } = store.clean(how).await.expect("cleaned");
    (parts.count, split_parts.count, left.count)
}

/// Takes an object away, past the layout.
async fn remove_objects(place: &Place) -> u64 {
    let items = place.items().await;
    let objects = items.into_iter().filter(|item| item.contains_key("unit"));
    let places: Vec<_> = objects
        .map(|item| [PARTITION, SORT].map(|n| item[n].as_s().expect("text").clone()))
        .map(|[partition, sort]| (partition, sort))
        .collect();
    place.past(move |table| table.delete_all(&places).map(|()| places.len() as u64)).await
}

#[tokio::test]
async fn a_table_is_weighed() {
    let Some(place) = place() else { return };
    let store = place.target().await;
    put(&store, "small", vec![large("one", 1, 100)]).await;
    put(&store, "large", vec![large("one", 2, 1 << 20), large("two", 3, 50)]).await;
    let whole = checkpoint("1ef", 8, 18_000);
    let mut items = split("splits", "checkpoint##1ef", &whole, MESSAGES);
    let mut damaged = split("splits", "checkpoint##1eg", &whole, CONTENT);
    emptied(&mut damaged[1]);
    items.extend(damaged);
    items.extend(split("splits", "checkpoint##1eh", &whole, MESSAGES).split_off(1));
    items[0].insert("ttl".into(), number(4_000_000_000_u64));
    place.past(|table| table.put_all(items)).await;
    let weights = weigh(&place).await;
    let found = place.items().await;
    assert_eq!(weights.items, found.len() as u64);
    assert_eq!(weights.sizes.values().sum::<u64>(), weights.items);
    assert_eq!((weights.splits, weights.expiring, weights.expires_by), ((2, 1), 1, None));
    assert_eq!((weights.orphans.count, weights.dangling.count), (6, 0), "{:?}", weights.orphans);
    assert_eq!(weights.orphans.first[0], "splits: split#checkpoint##1eh#part#0001");
    let heaviest: Vec<_> = weights.heaviest.iter().map(|heavy| heavy.unit.as_str()).collect();
    assert_eq!(heaviest, ["splits", "large", "small"]);
    let gone = remove_objects(&place).await;
    let weights = weigh(&place).await;
    assert_eq!((gone, weights.dangling.count), (4, 4), "{:?}", weights.dangling);
    assert!(weights.dangling.first[0].starts_with("large: restow#"), "{:?}", weights.dangling);
}

#[tokio::test]
async fn what_nothing_points_at_is_told_and_then_removed() {
    let Some(place) = place() else { return };
    let store = place.target().await;
    let kept = vec![large("one", 2, 1 << 20)];
    put(&store, "unit", kept.clone()).await;
    let before = place.items().await.len();
    assert_eq!(clean(&store, all()).await, (0, 0, 0));
    // An object of nobody's, a note of a commit that ended nowhere, parts of no checkpoint.
    let orphan = [(PARTITION, "restow#7.0"), (SORT, "split#part"), ("unit", "unit")];
    let mut orphan = orphan.map(|(name, value)| (name.to_owned(), text(value))).to_vec();
    orphan.push(("data".into(), bytes(vec![0; 1000])));
    let intent = [(PARTITION, "unit"), (SORT, "restow#intent#9"), ("seen", "gone")];
    let mut intent = intent.map(|(name, value)| (name.to_owned(), text(value))).to_vec();
    intent.push(("objects".into(), bytes(vec![9, 1])));
    let mut items = vec![orphan.into_iter().collect(), intent.into_iter().collect()];
    let whole = checkpoint("1ef", 8, 18_000);
    items.extend(split("unit", "checkpoint##1ef", &whole, MESSAGES).split_off(5));
    place.past(|table| table.put_all(items)).await;
    // What may still be on its way stays.
    let young = Clean { now: Duration::from_secs(1_757_635_201), ..all() };
    let found = store.clean(young).await.expect("cleaned");
    assert_eq!((found.young, found.split_parts.count), (2, 0));
    let (parts, split_parts, left) = clean(&store, dry()).await;
    assert_eq!((parts, split_parts), (0, 2));
    assert_eq!(left, 0, "the first run has tidied up");
    assert_eq!(clean(&store, all()).await, (0, 2, 0));
    assert_eq!(clean(&store, dry()).await, (0, 0, 0));
    assert_eq!(place.items().await.len(), before);
    assert_eq!(records(&store, "unit").await, kept);
    let reader = place.source().await;
    let error = reader.clean(all()).await.expect_err("a refusal");
    assert_eq!(error.kind(), restow_store::ErrorKind::Refused);
}

#[tokio::test]
async fn a_writer_whose_parts_are_cleaned_away_before_its_commit_begins_again() {
    let Some(place) = place() else { return };
    let store = place.target().await;
    put(&store, "unit", vec![large("old", 1, 100)]).await;
    let proxy = Proxy::start(&place.endpoint(), Plan::default());
    let writer = place.at(proxy.url()).target().await;
    let mut commit = proxy.hold(Moment::Before, |seen| seen.operation == "TransactWriteItems");
    let record = large("new", 2, 1 << 20);
    let writing = {
        let (writer, record) = (writer.clone(), record.clone());
        tokio::spawn(async move { put(&writer, "unit", vec![record]).await })
    };
    commit.reached().await;
    let (parts, _, left) = clean(&store, all()).await;
    assert_eq!(parts, 0);
    assert_eq!(left, 1, "the note, and its parts with it");
    let objects = place.items().await.into_iter().filter(|item| item.contains_key("unit")).count();
    assert_eq!(objects, 0);
    commit.release();
    writing.await.expect("a writer that ends");
    assert_eq!(records(&store, "unit").await, [record, large("old", 1, 100)]);
    assert_eq!(clean(&store, dry()).await, (0, 0, 0));
}

fn value(record: &Record) -> Digest {
    record.values[0].name.digest
}

#[tokio::test]
async fn what_a_commit_names_stays_whoever_writes_meanwhile() {
    let Some(place) = place() else { return };
    let store = place.target().await;
    for unit in ["a", "b"] {
        put(&store, unit, vec![large("first", 0, 400 << 10)]).await;
    }
    let mut writers = Vec::new();
    for writer in 1..=3_u64 {
        let store = place.target().await;
        writers.push(tokio::spawn(async move {
            let mut last = None;
            for turn in 0..12_u64 {
                let seed = writer * 1000 + turn;
                let unit = if (seed * 2_654_435_761) >> 7 & 1 == 0 { "a" } else { "b" };
                let record = large(&format!("of-{writer}"), seed, 200_000 + seed as usize * 97);
                let ops = match turn % 4 {
                    3 => vec![Op::Clear, Op::put(record.clone())],
                    _ => vec![Op::put(record.clone())],
                };
                let outcome = apply(&store, unit, Guard::Unmanaged, ops, Then::Keep).await;
                assert!(outcome.is_applied(), "{outcome:?}");
                last = Some((unit, record));
            }
            last.expect("a last write")
        }));
    }
    let (mut cleaned, cleaner) = (0, place.target().await);
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        match cleaner.clean(all()).await {
            Ok(_) => cleaned += 1,
            // A unit that never stands still is left to the next run.
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
        for unit in ["a", "b"] {
            let what = restow_store::Selection::all();
            let read = store.read(vec![restow_model::UnitId::new(unit)], what).await;
            let Ok(frames) =
                futures::TryStreamExt::try_collect::<Vec<_>>(read.expect("frames")).await
            else {
                continue;
            };
            let damaged = frames.iter().find(|frame| matches!(frame, Frame::Damaged { .. }));
            assert_eq!(damaged, None);
        }
    }
    assert!(cleaned > 0);
    for writer in writers {
        writer.await.expect("a writer that ends");
    }
    // What is there is whole, and nothing else is.
    let mut held = Vec::new();
    for unit in ["a", "b"] {
        held.extend(records(&store, unit).await.iter().map(value));
    }
    assert!(!held.is_empty());
    clean(&store, all()).await;
    assert_eq!(clean(&store, dry()).await, (0, 0, 0));
    let weights = weigh(&place).await;
    assert_eq!((weights.orphans.count, weights.dangling.count), (0, 0));
}

#[tokio::test]
async fn records_in_parts_are_written_whole_where_they_fit() {
    let Some(mut place) = place() else { return };
    // Split early, and from now on late.
    place.environment = Environment::from([
        ("AWS_ACCESS_KEY_ID", "any"),
        ("AWS_SECRET_ACCESS_KEY", "any"),
        ("CHECKPOINT_MAX_SIZE_THRESHOLD", "100000"),
    ]);
    let store = place.target().await;
    let whole = [("1ef", 3, 30_000), ("1eg", 9, 30_000), ("1eh", 30, 30_000)];
    for (id, messages, bytes) in whole {
        let name = format!("checkpoint##{id}");
        let items = split("thread", &name, &checkpoint(id, messages, bytes), CONTENT);
        place.past(|table| table.put_all(items)).await;
    }
    let read = records(&store, "thread").await;
    put(&store, "thread", read[1..].to_vec()).await;
    put(&store, "other", vec![large("binary", 1, 200_000)]).await;
    let joined = store.join(true).await.expect("joined");
    assert_eq!((joined.whole, joined.joined.count, joined.kept.count), (0, 2, 2), "{joined:?}");
    let joined = store.join(false).await.expect("joined");
    assert_eq!((joined.joined.count, joined.kept.count), (2, 2), "{joined:?}");
    assert_eq!(records(&store, "thread").await, read);
    let joined = store.join(true).await.expect("joined");
    assert_eq!((joined.whole, joined.joined.count, joined.kept.count), (2, 0, 2), "{joined:?}");
    assert!(joined.kept.first[0].contains("the known applications could not read it"));
    assert!(joined.kept.first[1].ends_with("1eh): it does not fit an item"), "{joined:?}");
    // As the known application wrote them.
    let items = place.items().await;
    let known = items.iter().filter(|item| item.contains_key("checkpoint"));
    assert_eq!(known.count(), 2);
}
