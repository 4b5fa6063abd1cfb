//! Rows of `langgraph` on `postgres`: the server judges the JSON, PostgresSaver the rows.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test ends loudly")]

use std::cell::RefCell;
use std::path::Path;

use bytes::Bytes;
use postgres::Client;
use proptest::prelude::*;
use restow_model::{Body, Float, Form, Map, Record, Value};
use restow_store::Store as _;
use restow_stores::layout::langgraph::postgres::row::{
    CheckpointCells, Known, Opened, StoredBlob, WriteRow, checkpoint_row, jsonb, write_record,
    write_row,
};
use restow_stores::layout::langgraph::record::{self, Channel, Payload, View, checkpoint_key};
use restow_stores::layout::langgraph::sqlite::LangGraphSqlite;
use restow_testkit::official;
use restow_testkit::postgres::Database;

const THREAD: &str = "thread";

fn saver(command: &str, database: &Database) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres_rows_help/saver.py");
    let python = official::python().expect("asked for before");
    official::judge(&python, &script, &[command, &database.url()])
}

fn leaf() -> impl Strategy<Value = Body> {
    let floats = prop_oneof![any::<f64>(), -1e6..1e6, Just(1e22), Just(5e-324), Just(f64::MAX)];
    prop_oneof![
        Just(Body::Null),
        any::<bool>().prop_map(Body::Bool),
        any::<i64>().prop_map(Body::int),
        floats.prop_map(|f| Body::Float(Float::new(f))),
        any::<String>().prop_map(Body::text),
        "[\\x01-\\x7f\"\\\\]{0,8}".prop_map(Body::text),
    ]
}

fn body() -> impl Strategy<Value = Body> {
    leaf().prop_recursive(3, 24, 5, |inner| {
        let pair = (any::<String>().prop_map(Body::text), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(Body::List),
            prop::collection::vec(pair, 0..5).prop_map(|p| Body::Map(Map::from_pairs(p))),
        ]
    })
}

#[test]
fn the_server_prints_json_as_it_was_written() {
    let Some(database) = Database::create() else { return };
    let client = RefCell::new(database.connect());
    let written = body().prop_filter_map("what JSON says", |body| jsonb::text(&body));
    proptest!(ProptestConfig::with_cases(500), |(text in written)| {
        let sql = "SELECT $1::text::jsonb::text";
        let row = client.borrow_mut().query_one(sql, &[&text]).expect("JSON of the server's");
        prop_assert_eq!(row.get::<_, String>(0), text);
    });
}

/// A row of `checkpoints`: id, parent, type, checkpoint, metadata.
type Row = (String, Option<String>, Option<String>, String, String);

fn checkpoints(client: &mut Client) -> Vec<Row> {
    let sql = "SELECT checkpoint_id, parent_checkpoint_id, type, checkpoint::text, metadata::text \
               FROM checkpoints ORDER BY checkpoint_id";
    let rows = client.query(sql, &[]).unwrap();
    rows.iter().map(|r| (r.get(0), r.get(1), r.get(2), r.get(3), r.get(4))).collect()
}

fn blobs(client: &mut Client) -> Vec<(String, String, String, Option<Vec<u8>>)> {
    let sql = "SELECT channel, version, type, blob FROM checkpoint_blobs ORDER BY 1, 2";
    let rows = client.query(sql, &[]).unwrap();
    rows.iter().map(|r| (r.get(0), r.get(1), r.get(2), r.get(3))).collect()
}

fn sends_of(client: &mut Client, parent: &str) -> Vec<(Option<Box<str>>, Bytes)> {
    let sql = "SELECT type, blob FROM checkpoint_writes WHERE checkpoint_id = $1 \
               AND channel = '__pregel_tasks' ORDER BY task_path, task_id, idx";
    let rows = client.query(sql, &[&parent]).unwrap();
    let send = |row: &postgres::Row| {
        let tag: Option<String> = row.get(0);
        (tag.map(Into::into), Bytes::from(row.get::<_, Vec<u8>>(1)))
    };
    rows.iter().map(send).collect()
}

/// Reads every record of the one thread.
fn read(client: &mut Client) -> Vec<Record> {
    let held = blobs(client);
    let mut records = Vec::new();
    for (id, parent, tag, checkpoint, metadata) in checkpoints(client) {
        let opened = Opened::open(&CheckpointCells {
            namespace: "",
            id: &id,
            parent: parent.as_deref(),
            tag: tag.as_deref(),
            checkpoint: &checkpoint,
            metadata: &metadata,
            adjustment: None,
        });
        let opened = opened.expect("a whole row");
        let sends = opened.sends_parent().map(str::to_owned);
        let sends = sends.map(|parent| sends_of(client, &parent)).unwrap_or_default();
        let stored = |(channel, version): (&str, &str)| {
            let found = held.iter().find(|b| (&*b.0, &*b.1) == (channel, version))?;
            Some(StoredBlob::new(&found.2, found.3.clone().map(Bytes::from)))
        };
        let mut blobs = opened.blob_keys().map(stored).collect::<Vec<_>>().into_iter();
        let record = opened.record(&mut || blobs.next().flatten(), sends);
        records.push(record.expect("whole blobs"));
    }
    let sql = "SELECT checkpoint_id, task_id, idx, channel, type, blob, task_path \
               FROM checkpoint_writes ORDER BY 1, 2, 3";
    for row in client.query(sql, &[]).unwrap() {
        records.push(write_record(WriteRow {
            namespace: "",
            checkpoint: row.get(0),
            task: row.get(1),
            index: row.get(2),
            channel: row.get(3),
            tag: row.get(4),
            bytes: Bytes::from(row.get::<_, Vec<u8>>(5)),
            path: row.get(6),
        }));
    }
    records
}

/// Writes records as rows of the one thread.
fn write(client: &mut Client, records: &[Record]) {
    let mut known = Known::complete();
    for record in records {
        match record::view(record).expect("a record of LangGraph's") {
            View::Checkpoint(view) => {
                let row = checkpoint_row(&view, &mut known).expect("held");
                assert!(row.is_residue_told);
                let sql = "INSERT INTO checkpoints VALUES ($1, '', $2, $3, $4, $5::text::jsonb, \
                           $6::text::jsonb)";
                let tag = row.tag.as_deref();
                let cells: [&(dyn postgres::types::ToSql + Sync); 6] =
                    [&THREAD, &view.id, &row.parent, &tag, &row.checkpoint, &row.metadata];
                client.execute(sql, &cells).unwrap();
                for blob in row.blobs {
                    let sql = "INSERT INTO checkpoint_blobs VALUES ($1, '', $2, $3, $4, $5)";
                    let (channel, version, tag) = (&*blob.channel, &*blob.version, &*blob.tag);
                    let bytes = blob.bytes.as_deref();
                    client.execute(sql, &[&THREAD, &channel, &version, &tag, &bytes]).unwrap();
                }
            }
            View::Write(view) => {
                let row = write_row(&view).expect("held");
                let sql = "INSERT INTO checkpoint_writes (thread_id, checkpoint_ns, \
                           checkpoint_id, task_id, idx, channel, type, blob, task_path) \
                           VALUES ($1, '', $2, $3, $4, $5, $6, $7, $8)";
                let cells: [&(dyn postgres::types::ToSql + Sync); 8] = [
                    &THREAD,
                    &row.checkpoint,
                    &row.task,
                    &row.index,
                    &row.channel,
                    &row.tag,
                    &&row.bytes[..],
                    &row.path,
                ];
                client.execute(sql, &cells).unwrap();
            }
            View::Unit(_) => panic!("no record of the unit's is asked for"),
        }
    }
}

#[test]
fn natural_rows_are_written_as_they_were() {
    let (Some(theirs), Some(ours)) = (Database::create(), Database::create()) else { return };
    if official::python().is_none() {
        return;
    }
    saver("write", &theirs);
    saver("setup", &ours);
    let (mut from, mut to) = (theirs.connect(), ours.connect());
    let records = read(&mut from);
    assert_eq!(records.len(), 3 + 6);
    write(&mut to, &records);
    assert_eq!(checkpoints(&mut to), checkpoints(&mut from));
    let mut named = blobs(&mut from);
    named.retain(|blob| blob.0 != "sealed");
    assert_eq!(blobs(&mut to), named, "but for what no checkpoint names");
    assert_eq!(read(&mut to), records);
    assert_eq!(saver("told", &ours), saver("told", &theirs));
    let sqlite = tempfile::tempdir().unwrap();
    let sqlite = LangGraphSqlite::target(&sqlite.path().join("agent.db"), true).unwrap();
    for record in &records {
        let why = sqlite.check(record).err().map(|unsupported| unsupported.why);
        assert_eq!(why, None, "SQLite holds it too");
    }
    let tasks = records[2].body.get("channels").and_then(|c| c.get("__pregel_tasks"));
    assert!(tasks.is_some(), "the sends of a checkpoint before version 4");
}

#[test]
fn a_sealed_channel_is_refused_by_sqlite_by_name() {
    let channel = Channel {
        name: "notes".into(),
        version: Body::text("1"),
        value: Some(Value::new(Form::Raw, Bytes::from_static(b"sealed"))),
        tag: Some("msgpack+aes".into()),
    };
    let payload = Payload::Open { head: Map::default(), channels: vec![channel] };
    let record = record::checkpoint(checkpoint_key("", "1"), None, Body::Null, payload);
    let sqlite = tempfile::tempdir().unwrap();
    let sqlite = LangGraphSqlite::target(&sqlite.path().join("agent.db"), true).unwrap();
    assert_eq!(
        sqlite.check(&record).expect_err("sealed").why,
        "channel \"notes\" is sealed under \"msgpack+aes\", which SQLite cannot keep inside a \
         checkpoint"
    );
}

fn odd_checkpoint(id: &str, bytes: &'static [u8]) -> Record {
    let version = Body::text(format!("{:032}.0.7811799413394841", 1));
    let value = |bytes| Some(Value::new(Form::Msgpack, Bytes::from_static(bytes)));
    let channel = |name: &str, value| Channel {
        name: name.into(),
        version: version.clone(),
        value,
        tag: None,
    };
    let channels = vec![
        channel("list", value(bytes)),
        channel("nan", value(b"\xcb\x7f\xf8\0\0\0\0\0\0")),
        channel("nul", value(b"\xa3a\0b")),
        channel("huge", value(b"\xcb\x44\x80\xf0\xcf\x06\x4d\xd5\x92")),
        channel("minus", value(b"\xcb\x80\0\0\0\0\0\0\0")),
        channel("whole", value(b"\xcb\x40\x08\0\0\0\0\0\0")),
    ];
    let seen = Body::Map(Map::from([("list", version.clone()), ("whole", version.clone())]));
    let head = Map::from([
        ("v", Body::int(4)),
        ("ts", Body::text("2026-01-01T00:00:00+00:00")),
        ("id", Body::text(id)),
        ("versions_seen", Body::Map(Map::from([("node", seen)]))),
        ("updated_channels", Body::Null),
    ]);
    let metadata = Map::from([
        ("nan", Body::Float(Float::new(f64::NAN))),
        ("deep", Body::List(vec![Body::text("a\0b")])),
    ]);
    let payload = Payload::Open { head, channels };
    record::checkpoint(checkpoint_key("", id), None, Body::Map(metadata), payload)
}

#[test]
fn langgraph_reads_what_json_cannot_say_and_two_values_of_one_version() {
    let Some(database) = Database::create() else { return };
    if official::python().is_none() {
        return;
    }
    saver("setup", &database);
    let records = [odd_checkpoint("1", b"\x91\x01"), odd_checkpoint("2", b"\x91\x02")];
    write(&mut database.connect(), &records);
    let of = |id: &str, list: &str| {
        let values = format!(
            "  huge 1e+22\n  list [{list}]\n  minus -0.0\n  nan nan\n  nul 'a\\x00b'\n  whole 3.0"
        );
        let seen = "  node ['list', 'whole']";
        let rest = "  metadata [('deep', ['ab']), ('nan', None)]\n  writes []";
        format!("id {id}\n{values}\n{seen}\n{rest}\n")
    };
    assert_eq!(saver("told", &database), of("2", "2") + &of("1", "1"));
}
