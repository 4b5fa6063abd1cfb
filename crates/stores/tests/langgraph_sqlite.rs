//! `langgraph+sqlite` passes the suite, and gives every row back as it was.
#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests are tests, too")]

mod langgraph_sqlite_help;

use std::path::Path;
use std::sync::Arc;

use futures::TryStreamExt;
use futures::future::BoxFuture;
use langgraph_sqlite_help::{Db, example, frames, law, packed, records, store, text};
use proptest::prelude::*;
use restow_model::{Body, Dialect, Key, KeyPart, Map, Record, UnitId};
use restow_store::conformance::Fixture;
use restow_store::{Content, Enumeration, Frame, Selection, Store, conformance};
use restow_stores::layout::langgraph::sqlite::LangGraphSqlite;
use rusqlite::Connection;
use rusqlite::types::Value as Sql;

async fn fresh() -> Fixture {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("agent.db");
    let store = LangGraphSqlite::target(&path, true).expect("a file");
    let store: Arc<dyn Store> = Arc::new(store);
    let damage = move |unit: UnitId, key: Key| -> BoxFuture<'static, ()> {
        let path = path.clone();
        Box::pin(async move { damage(&path, &unit, &key) })
    };
    Fixture::langgraph(store, folder).with_damage(Box::new(damage))
}

fn damage(path: &Path, unit: &UnitId, key: &Key) {
    let connection = Connection::open(path).expect("the file");
    let parts = key.parts();
    let [KeyPart::Text(namespace), KeyPart::Text(id), ..] = parts.as_slice() else {
        panic!("{key} is no key of LangGraph's");
    };
    let (table, change) = match key.kind() {
        "checkpoint" => ("checkpoints", "checkpoint = substr(checkpoint, 1, 40)"),
        _ => ("writes", "channel = x'ff'"),
    };
    let sql = format!(
        "UPDATE {table} SET {change} WHERE (thread_id, checkpoint_ns, checkpoint_id) = (?1, ?2, ?3)"
    );
    let changed = connection.execute(&sql, [unit.as_str(), namespace, id]).expect("an update");
    assert!(changed > 0);
}

conformance!(langgraph_sqlite, fresh);

#[tokio::test]
async fn every_row_of_the_examples_comes_back() {
    for (name, count) in [("agent.sqlite", 271 + 785), ("agent-old.sqlite", 29 + 137)] {
        let records = law(&example(name)).await;
        assert_eq!(records.len(), count);
        let residue: usize = records.iter().flat_map(|r| &r.residue).map(|r| r.bytes.len()).sum();
        assert!(residue < records.len() * 16, "{name}: {residue} bytes of residue");
    }
}

#[tokio::test]
async fn altered_rows_are_damaged_or_come_back_as_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let (from, to) = (folder.path().join("altered.db"), folder.path().join("copy.db"));
    std::fs::copy(example("agent.sqlite"), &from).expect("a copy");
    let connection = Connection::open(&from).expect("the file");
    let mut ids = connection.prepare("SELECT rowid, checkpoint FROM checkpoints").expect("rows");
    let rows = ids.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    let rows: Vec<(i64, Vec<u8>)> = rows.map(|row| row.expect("a row")).collect();
    for (rowid, mut blob) in rows {
        // Places spread over the whole checkpoint, its head and its tail.
        let at = (rowid as usize * 7919) % blob.len();
        blob[at] ^= 1 << (rowid % 8);
        let sql = "UPDATE checkpoints SET checkpoint = ?1 WHERE rowid = ?2";
        connection.execute(sql, rusqlite::params![blob, rowid]).expect("an update");
    }
    drop(ids);
    drop(connection);
    let source = LangGraphSqlite::source(&from).expect("a source");
    let (mut unit, mut sound, mut damaged) = (None, Vec::new(), 0);
    for frame in frames(&source, Enumeration::Units).await {
        match frame {
            Frame::Begin { unit: begun, .. } => unit = Some(begun),
            Frame::Record(record) => {
                sound.push((unit.clone().expect("a unit"), Dialect::Python, record));
            }
            Frame::Damaged { unit, .. } => {
                assert!(unit.is_some());
                damaged += 1;
            }
            Frame::End { .. } | Frame::Mark(_) => {}
        }
    }
    assert_eq!(sound.len() + damaged, 271 + 785);
    assert!((5..250).contains(&damaged), "{damaged} are damaged");
    drop(store(&to, &sound).await);
    let before = langgraph_sqlite_help::rows(&from, "checkpoints");
    let after = langgraph_sqlite_help::rows(&to, "checkpoints");
    assert_eq!(after.len(), 271 - damaged);
    assert!(after.iter().all(|row| before.binary_search(row).is_ok()));
    assert_eq!(records(&to).await, sound);
}

#[tokio::test]
async fn large_checkpoints_are_written_piece_by_piece() {
    let db = Db::new();
    let large = |byte: u8, len: usize| {
        [vec![0xc6], (len as u32).to_be_bytes().to_vec(), vec![byte; len]].concat()
    };
    for (id, len) in [("1", 3 << 20), ("2", (1 << 20) - 200), ("3", 1 << 20)] {
        let values = [("a", large(1, len)), ("b", text("small")), ("c", large(2, 40))];
        let versions = [("c", "0001.1"), ("a", "0001.2"), ("b", "0001.3")];
        db.checkpoint(id, None, "msgpack", &packed(id, &values, &versions), "{}");
        db.write(id, "task", 0, Some("msgpack"), &large(3, len));
    }
    assert_eq!(law(&db.path).await.len(), 6);
}

#[tokio::test]
async fn a_changed_body_wins_over_its_residue() {
    let db = Db::new();
    let blob = packed("1", &[("z", text("1")), ("b", text("2"))], &[("b", "1"), ("z", "2")]);
    db.checkpoint("1", None, "msgpack", &blob, r#"{"b": 1, "source": "loop", "a": 1e5}"#);
    let mut found = records(&db.path).await;
    assert_eq!(found[0].2.residue.len(), 1);
    let mut pairs = found[0].2.body.as_map().expect("a map").clone().into_pairs();
    pairs.push((Body::text("parent"), Body::text("0")));
    found[0].2.body = Body::Map(Map::from_pairs(pairs));
    let to = db.folder.path().join("changed.db");
    drop(store(&to, &found).await);
    let again = records(&to).await;
    assert_eq!(again[0].2.body, found[0].2.body);
    assert!(again[0].2.residue.is_empty(), "the row is the canonical one");
}

#[tokio::test]
async fn both_ways_of_walking_and_every_number_of_shares_give_the_same() {
    let source = LangGraphSqlite::source(&example("agent.sqlite")).expect("a source");
    let whole = records(&example("agent.sqlite")).await;
    let mut whole: Vec<_> = whole.into_iter().map(|(unit, _, record)| (unit, record)).collect();
    let order = |a: &(UnitId, Record), b: &(UnitId, Record)| {
        (&a.0, a.1.key.as_bytes()).cmp(&(&b.0, b.1.key.as_bytes()))
    };
    assert!(whole.is_sorted_by(|a, b| order(a, b).is_lt()));
    whole.sort_by(order);
    for by in [Enumeration::Units, Enumeration::Storage] {
        for want in [1, 2, 3, 8] {
            let segments = source.segments(want, by).await.expect("segments");
            assert!((want.min(2)..=want + 1).contains(&segments.len()), "{}", segments.len());
            let mut found = Vec::new();
            for segment in segments {
                let frames = source.scan(segment, None, Content::All).await.expect("a scan");
                let frames: Vec<Frame> = frames.try_collect().await.expect("frames");
                let mut unit = None;
                for frame in frames {
                    match frame {
                        Frame::Begin { unit: begun, .. } => unit = Some(begun),
                        Frame::Record(r) => found.push((unit.clone().expect("a unit"), r)),
                        _ => {}
                    }
                }
            }
            found.sort_by(order);
            assert!(found == whole, "{want} shares by {by:?}");
        }
    }
}

#[tokio::test]
async fn a_thread_is_read_alone() {
    let source = LangGraphSqlite::source(&example("agent.sqlite")).expect("a source");
    let unit = UnitId::new("chat-short");
    let prefix = Key::of("write").text("").build();
    let what = Selection::prefix(&prefix);
    let frames = source.read(vec![unit], what).await.expect("a read");
    let frames: Vec<Frame> = frames.try_collect().await.expect("frames");
    let is_write = |f: &&Frame| matches!(f, Frame::Record(r) if r.key.kind() == "write");
    assert_eq!(frames.iter().filter(is_write).count(), frames.len() - 2);
    assert!(frames.len() > 4);
}

#[test]
fn a_file_is_described() {
    let source = LangGraphSqlite::source(&example("agent.sqlite")).expect("a source");
    let described = source.describe().expect("a description");
    assert_eq!((described.checkpoints, described.writes), (271, 785));
    assert_eq!(described.dialect, Dialect::Python);
    assert!(described.shape.expect("a shape").has_path);
    let old = LangGraphSqlite::source(&example("agent-old.sqlite")).expect("a source");
    assert!(!old.describe().expect("a description").shape.expect("a shape").has_path);
}

fn text_cell() -> impl Strategy<Value = String> {
    "[a\0éb]{0,2}"
}

fn payload() -> impl Strategy<Value = Sql> {
    let small = prop::collection::vec(any::<u8>(), 0..4);
    prop_oneof![
        4 => small.prop_map(Sql::Blob),
        1 => Just(Sql::Null),
        1 => "[{}\\[\\]1]{0,3}".prop_map(Sql::Text),
    ]
}

fn tag() -> impl Strategy<Value = Option<String>> {
    // Under `msgpack` most random bytes would be damage.
    prop::sample::select(vec![None, Some("json"), Some("bytes"), Some("msgpack+aes"), Some("")])
        .prop_map(|tag| tag.map(str::to_owned))
}

fn metadata() -> impl Strategy<Value = Sql> {
    let json = "[{}\\[\\]:,\"1.e-]{0,8}";
    prop_oneof![
        3 => json.prop_map(|text| Sql::Blob(text.into_bytes())),
        1 => json.prop_map(Sql::Text),
        1 => Just(Sql::Null),
        2 => (any::<f64>(), any::<i64>()).prop_map(|(f, n)| {
            Sql::Blob(format!("{{\"step\": {n}, \"source\": {f:?}, \"b\":1}}").into_bytes())
        }),
        1 => prop::collection::vec(any::<u8>(), 0..6).prop_map(Sql::Blob),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn random_rows_come_back(
        checkpoints in prop::collection::vec(
            ([text_cell(), text_cell(), text_cell()], prop::option::of(text_cell()), tag(),
             payload(), metadata()),
            0..8,
        ),
        writes in prop::collection::vec(
            ([text_cell(), text_cell(), text_cell(), text_cell(), text_cell(), text_cell()],
             any::<i8>(), tag(), payload()),
            0..8,
        ),
    ) {
        let db = Db::new();
        for ([thread, ns, id], parent, tag, payload, metadata) in checkpoints {
            let sql = "INSERT OR REPLACE INTO checkpoints VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let row = rusqlite::params![thread, ns, id, parent, tag, payload, metadata];
            db.connection.execute(sql, row).expect("a row");
        }
        for ([thread, ns, id, task, path, channel], idx, tag, payload) in writes {
            let sql = "INSERT OR REPLACE INTO writes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
            let row = rusqlite::params![thread, ns, id, task, path, idx, channel, tag, payload];
            db.connection.execute(sql, row).expect("a row");
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(law(&db.path));
    }
}
