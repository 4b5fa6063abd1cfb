//! `langgraph+dynamodb` passes the suite; the official saver reads, resumes and writes it.
#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests are tests, too")]

mod langgraph_dynamodb_help;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use restow_model::{Key, UnitId};
use restow_store::conformance::Fixture;
use restow_store::memory::{MemoryOptions, MemoryStore};
use restow_store::{Enumeration, Guard, Op, Role, Store, Then, UnitOutcome, conformance};
use restow_stores::engine::dynamodb::{Item, bytes, number, text};
use restow_stores::layout::langgraph::dynamodb::KEYS;
use restow_stores::layout::langgraph::sqlite::LangGraphSqlite;
use tempfile::TempDir;

use langgraph_dynamodb_help::*;

/// A store in a table of its own; where this run does without a server, the reference.
async fn fresh() -> Fixture {
    let Some(place) = place() else {
        return Fixture::langgraph(Arc::new(MemoryStore::new(MemoryOptions::strong())), ());
    };
    let store = place.target().await;
    let damage = move |unit: UnitId, key: Key| -> BoxFuture<'static, ()> {
        let place = place.clone();
        Box::pin(async move { place.past(move |table| damage(table, &unit, &key)).await })
    };
    Fixture::langgraph(store, ()).with_damage(Box::new(damage))
}

conformance!(langgraph_dynamodb, fresh);

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/agent.sqlite")
}

async fn file(folder: &TempDir, name: &str) -> (PathBuf, LangGraphSqlite) {
    let path = folder.path().join(name);
    let store = LangGraphSqlite::target(&path, true).expect("a file");
    store.prepare(Role::CopyTarget, "").await.expect("prepared");
    (path, store)
}

#[tokio::test]
async fn a_file_goes_into_the_official_table_and_home_and_both_savers_go_on() {
    let Some(place) = place() else { return };
    let source = LangGraphSqlite::source(&example()).expect("a source");
    let threads = units(&source, Enumeration::Units).await;
    let table = place.target().await;
    copy(&threads, &*table).await;
    for by in [Enumeration::Units, Enumeration::Storage] {
        assert!(units(&*table, by).await == threads, "another content by {by:?}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (path, home) = file(&folder, "home.sqlite").await;
    copy(&units(&*table, Enumeration::Units).await, &home).await;
    assert!(units(&home, Enumeration::Units).await == threads, "another content at home");
    drop(home);
    let Some(_) = place.official("equal", Some(path.clone())).await else { return };
    let resumed = place.official("resume", Some(path)).await.expect("a judge");
    for kind in ["interrupt", "fork-head", "fanout", "subgraph", "old-checkpoint"] {
        assert!(resumed.contains(kind), "nothing of kind {kind} was resumed: {resumed}");
    }
    // What lived on there lives on at home.
    let (path, home) = file(&folder, "lived-on.sqlite").await;
    let lived_on = units(&*table, Enumeration::Units).await;
    assert!(lived_on.values().flatten().count() > threads.values().flatten().count());
    copy(&lived_on, &home).await;
    drop(home);
    place.official("equal", Some(path.clone())).await.expect("a judge");
    place.official("resume", Some(path)).await.expect("a judge");
}

#[tokio::test]
async fn what_the_official_saver_wrote_goes_elsewhere_and_comes_back_as_it_was() {
    let (Some(from), Some(to)) = (place(), place()) else { return };
    let (table, copied) = (from.target().await, to.target().await);
    let Some(_) = from.official("write", None).await else { return };
    let threads = units(&*table, Enumeration::Units).await;
    assert!(units(&*table, Enumeration::Storage).await == threads, "another content");
    assert!(threads.len() >= 10, "{} threads", threads.len());
    let folder = tempfile::tempdir().expect("a folder");
    let (path, store) = file(&folder, "native.sqlite").await;
    copy(&threads, &store).await;
    assert!(units(&store, Enumeration::Units).await == threads, "another content in the file");
    from.official("equal", Some(path.clone())).await.expect("a judge");
    // Back in a table the payloads are the saver's own, byte for byte.
    copy(&units(&store, Enumeration::Units).await, &*copied).await;
    drop(store);
    assert!(units(&*copied, Enumeration::Units).await == threads, "another content in the copy");
    let payloads = |items: Vec<Item>| {
        let mut payloads: Vec<_> =
            items.into_iter().filter_map(|mut item| item.remove("payload")).collect();
        payloads.sort_by_key(|payload| format!("{payload:?}"));
        payloads
    };
    assert!(payloads(from.items().await) == payloads(to.items().await), "other payloads");
    to.official("equal", Some(path.clone())).await.expect("a judge");
    from.official("resume", Some(path)).await.expect("a judge");
}

#[tokio::test]
async fn what_the_official_saver_could_not_write_whole_is_named() {
    let Some(place) = place() else { return };
    let store = place.target().await;
    let Some(failed) = place.official("large", None).await else { return };
    let (_, id) = failed.trim().split_once(' ').expect("a failure and an id");
    let (records, damaged) = read(&*store, "large").await;
    assert_eq!((records.len(), damaged.len()), (2, 1), "{damaged:?}");
    assert!(damaged[0].contains(id) && damaged[0].contains("missing"), "{damaged:?}");
    let (unit, key) = (UnitId::new("large"), records[0].key.clone());
    // The rest can still be written to.
    done(&*store, &unit, Guard::Unmanaged, vec![Op::put(records[0].clone())], Then::Keep).await;
    assert_eq!(read(&*store, "large").await.0[0].key, key);
}

fn item(partition: &str, sort: &str, attributes: &[(&str, &str)]) -> Item {
    let keys = [(KEYS.partition, partition), (KEYS.sort, sort)];
    let all = keys.iter().chain(attributes);
    all.map(|(name, value)| ((*name).to_owned(), text(*value))).collect()
}

fn checkpoint(id: &str) -> Item {
    let payload = format!("CHUNK_t##{id}");
    let own = [
        ("id", id),
        ("ns", ""),
        ("type", "msgpack"),
        ("ref_loc", "DYNAMODB"),
        ("ref_key", &payload),
    ];
    item("CHECKPOINT_t", &format!("#{id}"), &own)
}

fn payload(id: &str, payload: &[u8]) -> Item {
    let mut item = item(&format!("CHUNK_t##{id}"), "CHUNK", &[]);
    item.insert("payload".into(), bytes(payload));
    item
}

#[tokio::test]
async fn damage_is_named_and_what_has_expired_is_gone() {
    let Some(place) = place() else { return };
    let store = place.target().await;
    let sound = b"\x82\xaacheckpoint\x82\xa1v\x04\xaechannel_values\x80\xa8metadata\x80";
    let mut gzip = checkpoint("2");
    gzip.insert("compression".into(), text("gzip"));
    let mut sealed = checkpoint("3");
    sealed.insert("type".into(), text("msgpack+aes"));
    let mut object = checkpoint("4");
    object.insert("ref_loc".into(), text("S3"));
    let mut expired = checkpoint("5");
    expired.insert("ttl".into(), number(1_000_000));
    let mut orphan = item("WRITES_t##9", "task#0", &[("task_id", "task"), ("channel", "c")]);
    orphan.insert("idx".into(), number(0));
    orphan.insert("checkpoint_id".into(), text("9"));
    let mut items = vec![checkpoint("1"), payload("1", &sound[..20]), gzip, payload("2", sound)];
    items.extend([sealed, payload("3", sound), object, expired, payload("5", sound)]);
    items.extend([checkpoint("6"), payload("6", sound), orphan]);
    place.past(|table| table.put_all(items)).await;
    let (records, damaged) = read(&*store, "t").await;
    let keys: Vec<_> = records.iter().map(|record| record.key.to_string()).collect();
    assert_eq!(records.len(), 1, "{keys:?}");
    assert_eq!(damaged.len(), 4, "{damaged:#?}");
    let whys = ["not one of the saver's", "no gzip", "msgpack+aes", "object"];
    for (n, why) in whys.iter().enumerate() {
        assert!(damaged[n].starts_with(&format!("item CHECKPOINT_t #{}:", n + 1)), "{damaged:#?}");
        assert!(damaged[n].contains(why), "{damaged:#?}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_by_name_before_anything_is_written() {
    let Some(place) = place() else { return };
    let store = place.target().await;
    let key = restow_model::Key::of("write").text("").text("1ef").text("t").int(0).build();
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    });
    let noise: Vec<u8> = noise.take(500_000).collect();
    let write = |bytes: Vec<u8>| {
        use restow_model::{Body, Form, Map, Record, Value};
        let value = Value::new(Form::Raw, bytes.into());
        let entries = [
            ("channel", Body::text("c")),
            ("tag", Body::text("bytes")),
            ("value", Body::Value(value.name)),
            ("path", Body::text("")),
        ];
        Record { values: vec![value], ..Record::new(key.clone(), Body::Map(Map::from(entries))) }
    };
    let unit = UnitId::new("t");
    let ops = vec![Op::put(write(noise))];
    let outcome = apply(&*store, &unit, Guard::Absent, ops, Then::Keep).await;
    let UnitOutcome::Unsupported(why) = outcome else { panic!("{outcome:?}") };
    assert!(why.why.contains("larger than an item"), "{why}");
    // Without its values nobody knows; what compresses well fits.
    let plain = write(vec![7; 2_000_000]);
    done(&*store, &unit, Guard::Absent, vec![Op::put(plain.clone())], Then::Keep).await;
    assert_eq!(read(&*store, "t").await.0, [plain]);
}
