//! What is easily got wrong about LangGraph's SQLite files, a test for each.
#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests are tests, too")]

mod langgraph_sqlite_help;

use langgraph_sqlite_help::{Db, example, frames, law, map, packed, records, text};
use restow_model::{Body, Dialect, Record, Value};
use restow_store::{Enumeration, ErrorKind, Frame};
use restow_stores::layout::langgraph::record::{PayloadView, View, view};
use restow_stores::layout::langgraph::sqlite::{LangGraphSqlite, shape};

const META: &str = r#"{"source": "loop", "step": 1, "parents": {}}"#;

fn channel<'r>(record: &'r Record, name: &str) -> (&'r Body, Option<&'r Value>) {
    let channel = record.body.get("channels").and_then(|c| c.get(name)).expect("the channel");
    let [version, value] = channel.as_list().expect("a list") else { panic!("not a pair") };
    (version, value.as_value().map(|name| record.value(&name).expect("its value")))
}

fn bytes<'r>(record: &'r Record, name: &str) -> &'r [u8] {
    &channel(record, name).1.expect("a value").bytes
}

#[tokio::test]
async fn forks_keep_their_own_values_under_one_version() {
    let db = Db::new();
    db.checkpoint("1", None, "msgpack", &packed("1", &[], &[]), META);
    for (id, value) in [("2", "A"), ("3", "B")] {
        let blob = packed(id, &[("x", text(value))], &[("x", "0002.5")]);
        db.checkpoint(id, Some("1"), "msgpack", &blob, META);
    }
    let found = law(&db.path).await;
    assert_eq!(channel(&found[1], "x").0, channel(&found[2], "x").0);
    assert_eq!((bytes(&found[1], "x"), bytes(&found[2], "x")), (&b"\xa1A"[..], &b"\xa1B"[..]));
    let forks = records(&example("agent.sqlite")).await;
    let forks: Vec<_> = forks.iter().filter(|r| r.0.as_str() == "chat-fork").collect();
    let parent = |r: &Record| r.body.get("parent").and_then(|p| p.as_text().map(str::to_owned));
    let mut parents: Vec<_> =
        forks.iter().filter(|r| r.2.key.kind() == "checkpoint").map(|r| parent(&r.2)).collect();
    parents.sort();
    assert!(parents.windows(3).any(|w| w[0].is_some() && w[0] == w[1] && w[1] == w[2]));
}

#[tokio::test]
async fn one_version_has_two_values() {
    let db = Db::new();
    for (id, value) in [("1", vec![0x92, 1, 2]), ("2", vec![0x92, 2, 1]), ("3", vec![0x92, 2, 1])] {
        let blob = packed(id, &[("s", value)], &[("s", "0001.5")]);
        db.checkpoint(id, None, "msgpack", &blob, META);
    }
    let found = law(&db.path).await;
    assert_ne!(bytes(&found[0], "s"), bytes(&found[1], "s"));
    assert_eq!(channel(&found[1], "s"), channel(&found[2], "s"));
}

#[tokio::test]
async fn legacy_json_checkpoints_stay_as_they_are() {
    let db = Db::new();
    let json = br#"{"v": 1, "id": "1", "channel_versions": {"x": "0001.5"}, "channel_values": {}}"#;
    db.checkpoint("1", None, "json", json, META);
    db.checkpoint("2", Some("1"), "msgpack", &packed("2", &[], &[]), META);
    let found = law(&db.path).await;
    let Ok(View::Checkpoint(first)) = view(&found[0]) else { panic!("no checkpoint") };
    let PayloadView::Opaque { tag, value } = first.payload else { panic!("opened") };
    assert_eq!(tag, Some("json"));
    assert_eq!(&found[0].value(&value).expect("its value").bytes[..], json);
    assert!(records(&db.path).await.iter().all(|r| r.1 == Dialect::Python));
}

#[tokio::test]
async fn delta_snapshots_come_with_every_ancestor() {
    let all = records(&example("agent.sqlite")).await;
    let thread: Vec<&Record> =
        all.iter().filter(|r| r.0.as_str() == "delta-long").map(|r| &r.2).collect();
    let checkpoints: Vec<&&Record> =
        thread.iter().filter(|r| r.key.kind() == "checkpoint").collect();
    let ids: Vec<String> = checkpoints.iter().map(|r| r.key.to_string()).collect();
    for record in &checkpoints {
        if let Some(parent) = record.body.get("parent").and_then(Body::as_text) {
            assert!(ids.iter().any(|id| id.contains(parent)), "{parent} is missing");
        }
    }
    let held = |r: &&&&Record| {
        let channels = r.body.get("channels").and_then(Body::as_map).expect("channels");
        channels.iter().filter_map(|(_, c)| c.as_list()?.get(1)?.as_value()).any(|name| {
            // Extension 7 of LangGraph's serializer.
            let bytes = &r.value(&name).expect("its value").bytes;
            matches!(bytes[..], [0xc7, _, 7, ..] | [0xc8, _, _, 7, ..] | [0xd4..=0xd8, 7, ..])
        })
    };
    let snapshots = checkpoints.iter().filter(|r| held(r)).count();
    assert!((1..checkpoints.len() / 2).contains(&snapshots), "{snapshots} snapshots");
}

#[tokio::test]
async fn special_writes_have_negative_indexes() {
    let db = Db::new();
    for idx in [-4, -3, -1, 0, 10, 2] {
        db.write("1", "task", idx, Some("msgpack"), &b"\x01".to_vec());
    }
    let found = law(&db.path).await;
    let Ok(View::Write(last)) = view(found.last().expect("writes")) else { panic!("no write") };
    assert_eq!(last.index, 10, "indexes are numbers, not text");
    let Ok(View::Write(first)) = view(&found[0]) else { panic!("no write") };
    assert_eq!(first.index, -4);
}

#[tokio::test]
async fn task_paths_are_kept_and_empty_where_there_was_no_column() {
    let db = Db::new();
    db.write("1", "task", 0, Some("msgpack"), &b"\x01".to_vec());
    db.run("UPDATE writes SET task_path = '~__pregel_push, 0000000003, 0000000000'");
    let path = law(&db.path).await[0].body.get("path").cloned();
    assert_eq!(path, Some(Body::text("~__pregel_push, 0000000003, 0000000000")));
    let old = law(&example("agent-old.sqlite")).await;
    let writes: Vec<_> = old.iter().filter(|r| r.key.kind() == "write").collect();
    assert!(!writes.is_empty());
    assert!(writes.iter().all(|r| r.body.get("path") == Some(&Body::text(""))));
}

#[tokio::test]
async fn the_columns_of_altered_files_stand_in_another_order() {
    let old =
        shape::WRITES_DDL.replace("                task_path TEXT NOT NULL DEFAULT '',\n", "");
    assert_ne!(old, shape::WRITES_DDL);
    let db = Db::with(&[shape::CHECKPOINTS_DDL, &old, shape::ADD_PATH]);
    db.write("1", "task", 0, Some("msgpack"), &b"\x01".to_vec());
    db.run("UPDATE writes SET task_path = 'p'");
    let found = law(&db.path).await;
    assert_eq!(found[0].body.get("path"), Some(&Body::text("p")));
    assert_eq!(found[0].body.get("channel"), Some(&Body::text("c")));
}

#[tokio::test]
async fn pending_sends_before_version_4_stay_in_the_head() {
    let db = Db::new();
    // An extension object cannot be said by a body; it is kept as it stands.
    let send = b"\x91\xc7\x03\x01abc".to_vec();
    let blob = map(&[("v", vec![1]), ("pending_sends", send.clone()), ("id", text("1"))]);
    db.checkpoint("1", None, "msgpack", &blob, META);
    let blob = map(&[("v", vec![1]), ("pending_sends", vec![0x90]), ("id", text("2"))]);
    db.checkpoint("2", None, "msgpack", &blob, META);
    let found = law(&db.path).await;
    let sends = |n: usize| found[n].body.get("head").and_then(|h| h.get("pending_sends")).cloned();
    let kept = Body::List(vec![Body::text("msgpack"), Body::Bytes(send.into())]);
    assert_eq!(sends(0), Some(kept));
    assert_eq!(sends(1), Some(Body::List(vec![])));
}

#[tokio::test]
async fn encrypted_rows_are_not_opened() {
    let db = Db::new();
    db.checkpoint("1", None, "msgpack+aes", b"\x00\xff secret", META);
    db.write("1", "task", 0, Some("null+aes"), &b"\x01\x02".to_vec());
    db.write("1", "task", 1, Some("msgpack+aes"), &b"\x03".to_vec());
    let found = law(&db.path).await;
    let tag = |n: usize| found[n].body.get("tag").and_then(Body::as_text);
    assert_eq!((tag(1), tag(2)), (Some("null+aes"), Some("msgpack+aes")));
    assert!(found[0].body.get("opaque").is_some());
    assert_eq!(records(&db.path).await[0].1, Dialect::Python);
}

#[tokio::test]
async fn writes_may_come_before_their_checkpoint() {
    let db = Db::new();
    db.write("9", "task", 0, Some("msgpack"), &b"\x01".to_vec());
    let found = law(&db.path).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].key.kind(), "write");
}

#[tokio::test]
async fn metadata_is_kept_to_the_letter() {
    let db = Db::new();
    let odd = [
        r#"{"source": "loop", "step": 1, "parents": {}, "z": NaN, "a": 1e+22, "b": -0.0}"#,
        r#"{"step": 1, "writes": {"n": "\u0000"}, "source": "loop"}"#,
        r#"{"source":"loop","n":1.50,"n":123456789012345678901234567890}"#,
        r#"{"x": "\ud800", "y": -Infinity}"#,
        "not json",
        "null",
        "",
    ];
    for (n, metadata) in odd.iter().enumerate() {
        let id = n.to_string();
        db.checkpoint(&id, None, "msgpack", &packed(&id, &[], &[]), metadata);
    }
    db.checkpoint("8", None, "msgpack", &packed("8", &[], &[]), META);
    db.run("UPDATE checkpoints SET metadata = NULL WHERE checkpoint_id = '8'");
    db.checkpoint("9", None, "msgpack", &packed("9", &[], &[]), META);
    db.run("UPDATE checkpoints SET metadata = CAST(metadata AS TEXT) WHERE checkpoint_id = '9'");
    let found = law(&db.path).await;
    let metadata = |n: usize| found[n].body.get("metadata").expect("metadata");
    let float = |n: usize, name: &str| match metadata(n).get(name) {
        Some(Body::Float(f)) => f.get().to_bits(),
        other => panic!("{other:?}"),
    };
    assert_eq!(float(0, "a"), 1e22_f64.to_bits());
    assert_eq!(float(0, "b"), (-0.0_f64).to_bits());
    assert_eq!(metadata(1).get("writes").and_then(|w| w.get("n")), Some(&Body::text("\0")));
    assert_eq!(metadata(4), &Body::Bytes("not json".into()));
    assert_eq!((metadata(5), metadata(7)), (&Body::Null, &Body::Null));
}

#[tokio::test]
async fn bytes_and_a_msgpack_bin_are_two_things() {
    let db = Db::new();
    db.write("1", "task", 0, Some("bytes"), &b"\xff\x00".to_vec());
    db.write("1", "task", 1, Some("msgpack"), &b"\xc4\x02\xff\x00".to_vec());
    let blob = packed("1", &[("b", b"\xc4\x02\xff\x00".to_vec())], &[("b", "0001.5")]);
    db.checkpoint("1", None, "msgpack", &blob, META);
    let found = law(&db.path).await;
    let value = |n: usize| &found[n].values[0].bytes[..];
    assert_eq!((value(0), value(1)), (&b"\xc4\x02\xff\x00"[..], &b"\xff\x00"[..]));
    assert_eq!(value(2), value(0));
}

#[tokio::test]
async fn nothing_has_no_bytes_and_is_stored_all_the_same() {
    let db = Db::new();
    db.write("1", "task", 0, Some("null"), &Vec::<u8>::new());
    db.write("1", "task", 1, Some("null"), &rusqlite::types::Null);
    db.write("1", "task", 2, None, &"");
    let found = law(&db.path).await;
    assert!(found.iter().all(|r| r.values[0].bytes.is_empty()));
    assert_eq!(found[2].body.get("tag"), Some(&Body::Null));
    assert_eq!(found.iter().filter(|r| !r.residue.is_empty()).count(), 2);
}

#[tokio::test]
async fn storage_classes_are_kept() {
    let db = Db::new();
    let blob = packed("1", &[("x", vec![1])], &[("x", "0001.5")]);
    db.checkpoint("1", Some(""), "msgpack", &blob, META);
    db.run("UPDATE checkpoints SET checkpoint = CAST(checkpoint AS TEXT)");
    db.write("1", "task", 0, Some("json"), &"[1]");
    db.write("1\0", "\0", i64::MIN, Some(""), &b"".to_vec());
    let found = law(&db.path).await;
    assert_eq!(found[0].body.get("parent"), Some(&Body::Null));
    assert_eq!(bytes(&found[0], "x"), &[1]);
}

#[tokio::test]
async fn thread_ids_may_hold_anything() {
    let db = Db::new();
    db.write("1", "task", 0, Some("msgpack"), &b"\x01".to_vec());
    for id in ["''", "'a' || char(0) || 'b'", "'größe'", "char(1114111)"] {
        db.run(&format!(
            "INSERT INTO checkpoints VALUES ({id}, '', '1', NULL, 'json', x'7b7d', x'7b7d')"
        ));
    }
    law(&db.path).await;
    let units: Vec<String> =
        records(&db.path).await.iter().map(|r| r.0.as_str().to_owned()).collect();
    assert_eq!(units, ["", "a\0b", "größe", "t", "\u{10ffff}"]);
}

#[tokio::test]
async fn javascript_files_are_recognised_by_their_content() {
    let old =
        shape::WRITES_DDL.replace("                task_path TEXT NOT NULL DEFAULT '',\n", "");
    let db = Db::with(&[shape::CHECKPOINTS_DDL, &old]);
    let json = br#"{"v":4,"id":"1","channel_values":{"m":{"lc":2,"type":"undefined"}},
        "channel_versions":{"__start__":2,"m":3}}"#;
    db.checkpoint("1", None, "json", json, r#"{"source":"loop","step":1,"parents":{}}"#);
    db.write("1", "task", 0, Some("json"), &b"[1]".to_vec());
    assert!(records(&db.path).await.iter().all(|r| r.1 == Dialect::JavaScript));
    let source = LangGraphSqlite::source(&db.path).expect("a source");
    assert_eq!(source.describe().expect("a description").dialect, Dialect::JavaScript);
    law(&db.path).await;
}

#[test]
fn other_shapes_are_refused_by_name() {
    let refused = |ddl: &[&str]| {
        let db = Db::with(ddl);
        LangGraphSqlite::source(&db.path).expect_err("refused")
    };
    let ancient = "CREATE TABLE checkpoints (thread_id TEXT, thread_ts TEXT, parent_ts TEXT,
                   checkpoint BLOB, metadata BLOB)";
    let error = refused(&[ancient]);
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("thread_ts"), "{error}");
    let error = refused(&[shape::CHECKPOINTS_DDL, "CREATE TABLE writes (thread_id, idx)"]);
    assert!(error.to_string().contains("missing checkpoint_ns"), "{error}");
    let error = refused(&[shape::CHECKPOINTS_DDL]);
    assert!(error.to_string().contains("table writes"), "{error}");
    let error = refused(&["CREATE TABLE other (x)"]);
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn langgraph_s_own_store_is_seen() {
    let db = Db::new();
    db.run("CREATE TABLE store (prefix text); CREATE TABLE store_vectors (prefix text)");
    let source = LangGraphSqlite::source(&db.path).expect("a source");
    let shape = source.describe().expect("a description").shape.expect("a shape");
    assert_eq!(shape.store_tables, ["store", "store_vectors"]);
}

#[tokio::test]
async fn damage_is_named_and_the_rest_goes_on() {
    let db = Db::new();
    let blob = packed("1", &[("x", text("value"))], &[("x", "0001.5")]);
    db.checkpoint("1", None, "msgpack", &blob, META);
    db.checkpoint("2", None, "msgpack", &blob[..blob.len() - 30], META);
    db.checkpoint("3", None, "msgpack", &[], META);
    db.checkpoint("4", None, "msgpack", &blob, META);
    db.run(
        "INSERT INTO checkpoints VALUES (x'ff', '', '1', NULL, 'msgpack', x'80', NULL);
        INSERT INTO checkpoints VALUES (CAST(x'ff' AS TEXT), '', '1', NULL, 'json', x'80', NULL);
        INSERT INTO checkpoints VALUES ('t', '', '5', NULL, x'00', x'80', NULL);
        INSERT INTO checkpoints VALUES ('t', '', '6', NULL, 'msgpack', 7, NULL);
        INSERT INTO writes VALUES ('t', '', '1', 'task', '', 'x', 'c', 'msgpack', x'01');
        INSERT INTO checkpoints VALUES ('u', '', '1', NULL, 'json', x'7b7d', x'7b7d')",
    );
    let source = LangGraphSqlite::source(&db.path).expect("a source");
    for by in [Enumeration::Units, Enumeration::Storage] {
        let (mut damaged, mut sound) = (Vec::new(), 0);
        for frame in frames(&source, by).await {
            match frame {
                Frame::Damaged { unit, place, why } => damaged.push((unit, place, why)),
                Frame::Record(_) => sound += 1,
                _ => {}
            }
        }
        assert_eq!((sound, damaged.len()), (3, 7), "{damaged:?}");
        let nameless: Vec<_> = damaged.iter().filter(|d| d.0.is_none()).collect();
        assert_eq!(nameless.len(), 2, "{damaged:?}");
        assert!(nameless.iter().all(|d| d.1.starts_with("table checkpoints, rowid ")));
        let place = "table checkpoints, thread t, namespace \"\", checkpoint 2";
        assert!(damaged.iter().any(|d| d.1 == place), "{damaged:?}");
    }
}
