//! The traps of moving between layouts, each by its name.

use restow_model::{Float, Integer};

use super::super::super::super::record::raw_entry;
use super::super::residue::Difference;
use super::super::shape::{Inline, Row, Shape};
use super::*;

/// Stores records one behind the other, each as the tables can hold it.
fn put(records: &[Record]) -> Tables {
    let (mut tables, mut known) = (Tables::default(), Known::complete());
    for record in records {
        assert_eq!(tables.put(record, &mut known), Ok(true), "{:?}", record.key);
    }
    tables
}

/// Stores a row as it is, reads it, and stores what was read; returns the record.
fn round(cells: Cells, blobs: Blobs) -> Record {
    let tables = Tables { checkpoints: [("1".to_owned(), cells)].into(), blobs };
    let record = tables.get("1").expect("a whole row");
    assert_eq!(put(std::slice::from_ref(&record)), tables);
    record
}

fn blob(channel: &str, version: &str, tag: &str, bytes: Option<&'static [u8]>) -> Blobs {
    let key = (channel.to_owned(), version.to_owned());
    [(key, (tag.to_owned(), bytes.map(Bytes::from_static)))].into()
}

fn value_of(record: &Record, channel: &str) -> Option<Bytes> {
    let name = record.body.get("channels")?.get(channel)?.as_list()?.get(1)?.as_value()?;
    Some(record.value(&name)?.bytes.clone())
}

fn version_of(record: &Record, channel: &str) -> Body {
    let channel = record.body.get("channels").and_then(|c| c.get(channel)).expect("a channel");
    channel.as_list().expect("a list")[0].clone()
}

fn at(n: u64) -> Body {
    Body::text(version(n))
}

/// Stores one value, and returns what is inline and what in a blob row.
fn place_of(bytes: &'static [u8]) -> (Option<Body>, Option<Bytes>) {
    let record = checkpoint("1", vec![channel("c", at(1), msgpack(bytes))]);
    let tables = put(std::slice::from_ref(&record));
    assert_eq!(tables.get("1"), Ok(record));
    let inline = tables.json("1").get("channel_values").and_then(|v| v.get("c")).cloned();
    let blob = tables.blobs.into_values().next();
    (inline, blob.and_then(|(tag, bytes)| bytes.filter(|_| tag == "msgpack")))
}

#[test]
fn inline_or_blob_primitives_stand_inline() {
    for (bytes, body) in [
        (&b"\xc0"[..], Body::Null),
        (b"\xc2", Body::Bool(false)),
        (b"\x07", Body::int(7)),
        (b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", Body::Int(u64::MAX.into())),
        (b"\xcb\x3f\xf8\0\0\0\0\0\0", Body::Float(Float::new(1.5))),
        (b"\xa7gr\xc3\xb6\xc3\x9fe", Body::text("größe")),
    ] {
        assert_eq!(place_of(bytes), (Some(body), None), "{bytes:?}");
    }
}

#[test]
fn inline_or_blob_what_json_would_change_is_a_blob() {
    for bytes in [
        &b"\xa3a\0b"[..],            // NUL
        b"\xcb\x7f\xf8\0\0\0\0\0\0", // NaN
        b"\xcb\x7f\xf0\0\0\0\0\0\0", // Infinity
        b"\xcb\xff\xf0\0\0\0\0\0\0", // -Infinity
        b"\xcb\x80\0\0\0\0\0\0\0",   // -0.0
        b"\xca\x3f\xc0\0\0",         // 32 bits
        b"\xcc\x07",                 // not the shortest form
        b"\xc4\x02\xff\0",           // bytes
        b"\x93\x01\x02\x03",
    ] {
        assert_eq!(place_of(bytes), (None, Some(Bytes::from_static(bytes))), "{bytes:?}");
    }
}

#[test]
fn inline_or_blob_long_text_is_a_blob() {
    let mut packed = vec![0xdb, 0, 0x10, 0, 1];
    packed.resize(packed.len() + (1 << 20) + 1, b'x');
    let value = Value::new(Form::Msgpack, packed.into());
    let tables = put(&[checkpoint("1", vec![channel("c", at(1), Some(value))])]);
    assert_eq!(tables.blobs.len(), 1);
}

#[test]
fn huge_floats_are_blobs_and_those_of_natural_rows_come_back() {
    let huge: &[u8] = b"\xcb\x44\x80\xf0\xcf\x06\x4d\xd5\x92";
    assert_eq!(place_of(huge), (None, Some(Bytes::from_static(huge))));
    // PostgresSaver writes 1e22 as JSON, and `jsonb` gives an integer back.
    let row =
        r#"{"channel_values": {"c": 10000000000000000000000}, "channel_versions": {"c": "1"}}"#;
    let record = round(stored(row, "{}"), Blobs::new());
    assert_eq!(value_of(&record, "c").as_deref(), Some(huge), "which a float says exactly");
    let long = row.replace("10000000000000000000000}", "10000000000000000000001}");
    let record = round(stored(&long, "{}"), Blobs::new());
    let channels = record.body.get("channels").and_then(Body::as_map).expect("channels");
    assert_eq!(record::sealed_channel(channels), Some(("c", "json")));
}

#[test]
fn lone_surrogates_are_blobs_and_kept_beside() {
    let bytes: &[u8] = b"\xa3\xed\xa0\x80";
    assert_eq!(place_of(bytes), (None, Some(Bytes::from_static(bytes))));
    let metadata = Map::from([("note", Body::Bytes(Bytes::from_static(b"a\xed\xa0\x80b")))]);
    let record = record_of("1", head(vec![]), vec![], Body::Map(metadata));
    let tables = put(std::slice::from_ref(&record));
    assert_eq!(tables.checkpoints["1"].metadata, "{\"note\": \"a\u{fffd}b\"}");
    assert_eq!(tables.get("1"), Ok(record));
}

#[test]
fn string_enum_stays_an_object_of_python() {
    let bytes: &[u8] = b"\xc7\x0b\x00\x93\xa1m\xa5Color\xa1r";
    assert_eq!(place_of(bytes), (None, Some(Bytes::from_static(bytes))));
}

#[test]
fn metadata_that_json_would_change_is_kept_beside() {
    let metadata = Map::from([
        ("nan", Body::Float(Float::new(f64::NAN))),
        ("zero", Body::Float(Float::new(-0.0))),
        ("deep", Body::List(vec![Body::text("a\0b")])),
        ("huge", Body::Float(Float::new(1e22))),
    ]);
    let record = record_of("1", head(vec![]), vec![], Body::Map(metadata));
    let mut tables = put(std::slice::from_ref(&record));
    assert_eq!(
        tables.checkpoints["1"].metadata,
        r#"{"nan": null, "deep": ["ab"], "huge": 10000000000000000000000.0, "zero": 0.0}"#
    );
    assert_eq!(tables.get("1"), Ok(record));
    let cells = tables.checkpoints.get_mut("1").expect("stored");
    cells.metadata = r#"{"step": 1}"#.into();
    let metadata = Body::Map(Map::from([("step", Body::int(1))]));
    let read = tables.get("1").expect("a whole row");
    assert_eq!(read.body.get("metadata"), Some(&metadata), "the application wrote since");
}

#[test]
fn metadata_that_is_missing_or_no_json_is_kept_beside() {
    for metadata in [Body::Null, Body::Bytes(Bytes::from_static(b"{\xff"))] {
        let record = record_of("1", head(vec![]), vec![], metadata);
        let tables = put(std::slice::from_ref(&record));
        assert_eq!(tables.checkpoints["1"].metadata, "{}");
        assert_eq!(tables.get("1"), Ok(record));
    }
}

#[test]
fn metadata_keeps_its_number_text() {
    let record = round(stored(r#"{"v": 4, "x": 1.10}"#, r#"{"n": [0.50, 1]}"#), Blobs::new());
    assert_eq!(record.residue.len(), 1);
    assert_eq!(
        record.body.get("head").and_then(|h| h.get("x")),
        Some(&Body::Float(Float::new(1.1)))
    );
}

#[test]
fn two_values_under_one_version_both_stay() {
    let seen = |n| Body::Map(Map::from([("c", at(n)), ("d", at(n))]));
    let bumps = Body::Map(Map::from([("node|c", at(1)), ("node|d", at(1)), ("n:x:c", at(1))]));
    let entries = Body::Map(Map::from([("node", seen(1)), ("__snapshot_bumps__", bumps)]));
    let make = |id: &str, bytes| {
        let channels = vec![channel("c", at(1), bytes), channel("d", at(1), None)];
        let head = head(vec![("versions_seen", entries.clone())]);
        record_of(id, head, channels, Body::Map(Map::default()))
    };
    let records = [
        make("1", msgpack(b"\x91\x01")),
        make("2", msgpack(b"\x91\x02")),
        make("3", None),
        make("4", msgpack(b"\x91\x02")),
    ];
    let tables = put(&records);
    for (n, record) in records.iter().enumerate() {
        assert_eq!(tables.get(&format!("{}", n + 1)).as_ref(), Ok(record));
    }
    assert_eq!(tables.blobs.len(), 2, "the same content gets the same version again");
    let stored = |id: &str| {
        let json = tables.json(id);
        let seen = json.get("versions_seen").cloned().expect("versions seen");
        let version = json.get("channel_versions").and_then(|v| v.get("c")).cloned();
        (version.expect("a version"), seen)
    };
    let ((first, _), (second, seen)) = (stored("1"), stored("2"));
    assert_eq!(first, at(1));
    let text = second.as_text().expect("text");
    assert!(text.starts_with(&format!("{:032}.0.", 1)) && text.len() == 32 + 3 + 18, "{text}");
    assert_eq!(stored("4").0, second);
    assert!(![first, second.clone()].contains(&stored("3").0), "no value is a content too");
    // What the node has seen of this channel, and of no other, goes along.
    assert_eq!(seen.get("node").and_then(|n| n.get("c")), Some(&second));
    assert_eq!(seen.get("node").and_then(|n| n.get("d")), Some(&at(1)));
    let bumps = seen.get("__snapshot_bumps__").expect("bumps");
    assert_eq!(bumps.get("node|c"), Some(&second));
    assert_eq!(bumps.get("node|d"), Some(&at(1)));
    assert_eq!(bumps.get("n:x:c"), Some(&at(1)));
}

#[test]
fn two_values_under_one_version_that_is_a_number_are_refused() {
    let make = |id, bytes| checkpoint(id, vec![channel("c", Body::int(3), msgpack(bytes))]);
    let (mut tables, mut known) = (Tables::default(), Known::complete());
    assert_eq!(tables.put(&make("1", b"\x90"), &mut known), Ok(true));
    let why = tables.put(&make("2", b"\x91\x00"), &mut known).expect_err("taken");
    assert!(why.contains("\"c\" has two values under version 3"), "{why}");
}

#[test]
fn an_application_that_wrote_since_is_believed() {
    let make = |id, bytes| checkpoint(id, vec![channel("c", at(1), msgpack(bytes))]);
    let mut tables = put(&[make("1", b"\x90"), make("2", b"\x91\x00")]);
    assert_eq!(version_of(&tables.get("2").expect("whole"), "c"), at(1));
    let cells = tables.checkpoints.get_mut("2").expect("stored");
    cells.metadata = r#"{"step": 2}"#.into();
    let read = tables.get("2").expect("whole");
    assert_ne!(version_of(&read, "c"), at(1), "its versions are those of the row");
    assert_eq!(value_of(&read, "c").as_deref(), Some(&b"\x91\x00"[..]));
}

#[test]
fn forks_keep_what_each_branch_has() {
    // Two siblings went on from one parent, and both counted to 2.
    let make = |id, n, bytes| {
        checkpoint(
            id,
            vec![channel("c", at(n), msgpack(bytes)), channel("t", at(1), msgpack(b"\xa1x"))],
        )
    };
    let records =
        [make("1", 1, b"\x91\x01"), make("2a", 2, b"\x91\xa1A"), make("2b", 2, b"\x91\xa1B")];
    for turn in [[0, 1, 2], [2, 1, 0]] {
        let tables = put(&turn.map(|n| records[n].clone()));
        for (id, record) in ["1", "2a", "2b"].iter().zip(&records) {
            assert_eq!(tables.get(id).as_ref(), Ok(record));
        }
    }
}

#[test]
fn bytes_and_null_tags_come_back() {
    let row = r#"{"v": 4, "channel_values": {}, "channel_versions": {"c": "1"}}"#;
    for (tag, bytes, packed) in [
        ("bytes", &b"\xff\0"[..], &b"\xc4\x02\xff\0"[..]),
        ("bytearray", b"ab", b"\xc4\x02ab"),
        ("null", b"", b"\xc0"),
        ("msgpack", b"\xcc\x07", b"\xcc\x07"),
    ] {
        let record = round(stored(row, "{}"), blob("c", "1", tag, Some(bytes)));
        assert_eq!(value_of(&record, "c").as_deref(), Some(packed), "{tag}");
        assert_eq!(record.residue.len(), usize::from(tag != "msgpack"), "{tag}");
    }
}

#[test]
fn sealed_blobs_keep_their_tag() {
    let row = r#"{"v": 4, "channel_values": {}, "channel_versions": {"c": "1"}}"#;
    for tag in ["json", "pickle", "msgpack+aes"] {
        let record = round(stored(row, "{}"), blob("c", "1", tag, Some(b"{}")));
        let channels = record.body.get("channels").and_then(Body::as_map).expect("channels");
        assert_eq!(record::sealed_channel(channels), Some(("c", tag)));
        assert_eq!(record.residue, vec![]);
    }
}

#[test]
fn empty_blobs_are_no_values_and_come_back() {
    let row = r#"{"v": 4, "channel_values": {}, "channel_versions": {"c": "1"}}"#;
    let record = round(stored(row, "{}"), blob("c", "1", "empty", None));
    assert_eq!(value_of(&record, "c"), None);
    assert_eq!(record.residue.len(), 1);
}

#[test]
fn delta_snapshot_marker_stands_beside_the_blob() {
    let snapshot: &[u8] = b"\xc7\x02\x07\x91\x01";
    let (inline, blob_row) = place_of(snapshot);
    assert_eq!((inline, blob_row.as_deref()), (Some(Body::Bool(true)), Some(snapshot)));
    // A later checkpoint of the same version has no mark, and PostgreSQL shows the snapshot there.
    let row = r#"{"v": 4, "channel_values": {}, "channel_versions": {"c": "1"}}"#;
    let record = round(stored(row, "{}"), blob("c", "1", "msgpack", Some(snapshot)));
    assert_eq!(value_of(&record, "c").as_deref(), Some(snapshot));
    // In SQLite it has none.
    let make = |id, value| checkpoint(id, vec![channel("c", at(1), value)]);
    let records = [make("1", msgpack(snapshot)), make("2", None)];
    let tables = put(&records);
    assert_eq!(
        (tables.get("1").as_ref(), tables.get("2").as_ref()),
        (Ok(&records[0]), Ok(&records[1]))
    );
}

#[test]
fn unreferenced_blob_is_a_record_of_the_unit() {
    for (tag, bytes) in [("empty", None), ("msgpack", Some(&b"\x90"[..])), ("bytes", Some(b"x"))] {
        let held = StoredBlob::new(tag, bytes.map(Bytes::from_static));
        let record = unreferenced("ns", "c", "1", &held);
        assert_eq!(check(&record), Ok(()));
        let (namespace, row) = unreferenced_row(&record).expect("its own");
        assert_eq!((&*namespace, &*row.channel, &*row.version), ("ns", "c", "1"));
        assert_eq!((&*row.tag, row.bytes.as_deref()), (tag, bytes));
    }
    assert_eq!(unreferenced_row(&checkpoint("1", vec![])), None);
}

fn send(bytes: &'static [u8]) -> (Option<Box<str>>, Bytes) {
    (Some("msgpack".into()), Bytes::from_static(bytes))
}

#[test]
fn pending_sends_before_v4_are_the_parent_s_writes() {
    let row = r#"{"v": 3, "channel_values": {}, "channel_versions": {"a": "1", "b": "2"}}"#;
    let cells = Cells { parent: Some("0".into()), ..stored(row, "{}") };
    let tables = Tables { checkpoints: [("1".to_owned(), cells)].into(), blobs: Blobs::new() };
    let sends = || vec![send(b"\x01"), send(b"\xa1x")];
    let record = tables.get_with("1", sends()).expect("whole");
    assert_eq!(value_of(&record, "__pregel_tasks").as_deref(), Some(&b"\x92\x01\xa1x"[..]));
    assert_eq!(version_of(&record, "__pregel_tasks"), Body::text("2"));
    // Written back they are left where they are.
    let again = put(std::slice::from_ref(&record));
    assert_eq!(again, tables);
    assert_eq!(again.get_with("1", sends()), Ok(record));
    let none = tables.get("1").expect("whole");
    assert_eq!(none.body.get("channels").and_then(|c| c.get("__pregel_tasks")), None);
    assert_eq!(none.residue, vec![]);
    let sealed = vec![(Some("json".into()), Bytes::from_static(b"{}"))];
    assert_eq!(tables.get_with("1", sealed), Ok(none), "what cannot be read is left there");
}

#[test]
fn pending_sends_before_v4_of_other_layouts_stay_their_own() {
    let entries = vec![("v", Body::int(2)), ("pending_sends", raw_entry(b"\x91\xd4\x01\x90"))];
    let payload = Payload::Open { head: head(entries), channels: vec![] };
    let metadata = Body::Map(Map::default());
    let record = record::checkpoint(checkpoint_key("ns", "1"), Some("0"), metadata, payload);
    let tables = put(std::slice::from_ref(&record));
    assert_eq!(tables.json("1").get("pending_sends"), None);
    assert_eq!(tables.get_with("1", vec![send(b"\x01")]), Ok(record));
}

#[test]
fn what_the_tables_cannot_hold_is_refused_by_name() {
    let refused = |record: &Record| check(record).expect_err("refused").why;
    let of = |name: &str, version| refused(&checkpoint("1", vec![channel(name, version, None)]));
    assert!(of("a\0b", at(1)).contains("NUL character"));
    assert!(of("c", Body::text("\0")).contains("version of channel \"c\""));
    assert!(of("c", Body::Map(Map::default())).contains("neither text nor an integer"));
    let value = Value::new(Form::Raw, Bytes::from_static(b"sealed"));
    let payload = Payload::Opaque { tag: Some("msgpack+aes".into()), value };
    let opaque = record::checkpoint(checkpoint_key("", "1"), None, Body::Null, payload);
    assert!(refused(&opaque).contains("one sealed piece"));
    let unversioned = checkpoint("1", vec![channel("c", Body::Null, msgpack(b"\x90"))]);
    assert!(refused(&unversioned).contains("channel \"c\" has no version"));
    let inline = checkpoint("1", vec![channel("c", Body::Null, msgpack(b"\x07"))]);
    assert_eq!(put(std::slice::from_ref(&inline)).get("1"), Ok(inline));
    let index = i64::from(i32::MAX) + 1;
    let key = record::write_key("", "1", "t", index);
    let write = record::write(key, "c", Some("msgpack"), Bytes::new(), "");
    assert!(refused(&write).contains("beyond 32 bits: 2147483648"));
}

#[test]
fn damage_is_named() {
    let why = |checkpoint: &str| {
        Opened::open(&of(&stored(checkpoint, "{}"), "1")).map(drop).expect_err("damaged")
    };
    assert_eq!(why("[]"), "the checkpoint is no JSON object");
    assert!(why("{").contains("cannot be read as JSON"));
    assert!(why(r#"{"channel_versions": [1]}"#).contains("channel_versions is no JSON object"));
    assert!(why(r#"{"channel_versions": {"c": 1.5}}"#).contains("version of channel \"c\""));
    let row = r#"{"v": 4, "channel_values": {}, "channel_versions": {"c": "1"}}"#;
    let blobs = blob("c", "1", "msgpack", Some(b"\x92\x01"));
    let checkpoints = [("1".to_owned(), stored(row, "{}"))].into();
    let why = Tables { checkpoints, blobs }.get("1").expect_err("cut short");
    assert!(why.contains("blob of channel \"c\"") && why.contains("cut short"), "{why}");
}

#[test]
fn known_versions_are_bounded_and_then_looked_up() {
    let mut known = Known::complete();
    let record = checkpoint("1", vec![channel("c", at(1), msgpack(b"\x90"))]);
    let Ok(View::Checkpoint(view)) = record::view(&record) else { panic!("no checkpoint") };
    assert_eq!(known.unknown(&view), vec![]);
    for n in 0..70_000 {
        known.note("ns", "other", &n.to_string(), Content::NoBlob);
    }
    assert_eq!(known.get("ns", "other", "69999"), Some(Content::NoBlob));
    assert_eq!(known.get("ns", "other", "0"), None);
    assert_eq!(known.unknown(&view), vec![("c".to_owned(), version(1))]);
    known.note("ns", "c", &version(1), Content::NoBlob);
    let [(_, minted)] = &known.unknown(&view)[..] else { panic!("the version made anew") };
    known.note("ns", "c", minted, Content::Free);
    assert_eq!(known.unknown(&view), vec![]);
    let row = checkpoint_row(&view, &mut known).expect("a row");
    assert_eq!(*row.blobs[0].version, **minted);
}

#[test]
fn integers_of_any_size_stand_in_metadata() {
    let n = Integer::parse("123456789012345678901234567890").expect("digits");
    let metadata = Body::Map(Map::from([("n", Body::Int(n))]));
    let record = record_of("1", head(vec![]), vec![], metadata);
    let tables = put(std::slice::from_ref(&record));
    assert_eq!(tables.checkpoints["1"].adjustment, None);
    assert_eq!(tables.get("1"), Ok(record));
}

#[test]
fn entries_nested_as_deep_as_can_be_are_kept_beside() {
    let deep = (0..100).fold(Body::int(1), |inner, _| Body::List(vec![inner]));
    let metadata = Body::Map(Map::default());
    let record = record_of("1", head(vec![("deep", deep)]), vec![], metadata);
    let tables = put(std::slice::from_ref(&record));
    assert!(tables.checkpoints["1"].adjustment.is_some());
    assert_eq!(tables.get("1"), Ok(record));
}

#[test]
fn residue_that_leaves_a_channel_no_place_is_not_followed() {
    let mut record = checkpoint("1", vec![channel("a", Body::Null, None)]);
    let channels =
        vec![(0, Shape { inline: Inline::Absent, row: Row::Absent, has_null_version: false })];
    Difference { channels, ..Difference::default() }.attach(&mut record);
    let mut tables = Tables::default();
    tables.put(&record, &mut Known::complete()).expect("a row");
    assert_eq!(tables.get("1").expect("a record").body, record.body);
}
