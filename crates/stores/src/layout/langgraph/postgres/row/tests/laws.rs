//! What is written is read; what was read is written as it was.

use proptest::prelude::*;
use restow_model::{Float, Integer, Residue};

use super::super::super::super::record::raw_entry;
use super::*;

const CHANNELS: [&str; 4] = ["a", "bb", "branch:to:a", "__pregel_tasks"];

/// Bytes that are no text.
const NO_TEXTS: [&[u8]; 3] = [b"\xff\0", b"a\xed\xa0\x80", b""];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{0,4}",
        Just("größe 😀".to_owned()),
        Just("\u{1}\"\\\n\u{7f}".to_owned()),
        Just("a\0b".to_owned()),
    ]
}

fn number() -> impl Strategy<Value = Body> {
    let floats = prop_oneof![
        any::<f64>(),
        Just(0.1),
        Just(-0.0),
        Just(1e22),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(5e-324),
        Just(3.0),
    ];
    prop_oneof![
        any::<i64>().prop_map(Body::int),
        any::<u64>().prop_map(|n| Body::Int(n.into())),
        "[1-9][0-9]{20,40}".prop_map(|n| Body::Int(Integer::parse(&n).expect("digits"))),
        floats.prop_map(|f| Body::Float(Float::new(f))),
    ]
}

/// Bodies that may stand in a head or in metadata.
fn body() -> impl Strategy<Value = Body> {
    let leaf = prop_oneof![
        Just(Body::Null),
        any::<bool>().prop_map(Body::Bool),
        number(),
        text().prop_map(Body::text),
        prop::sample::select(&NO_TEXTS[..]).prop_map(|b| Body::Bytes(Bytes::from_static(b))),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let key = prop_oneof![4 => text().prop_map(Body::text), 1 => number()];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Body::List),
            prop::collection::vec((key, inner), 0..4)
                .prop_map(|pairs| Body::Map(Map::from_pairs(pairs))),
        ]
    })
}

fn value() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        2 => Just(None),
        6 => prop::sample::select(&VALUES[..]).prop_map(msgpack),
    ]
}

/// Items of msgpack: those that stand inline, and those that must not.
const VALUES: [&[u8]; 22] = [
    b"\xc0",
    b"\xc3",
    b"\x05",
    b"\xcc\x05",
    b"\xd0\x80",
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xcb\x3f\xf8\0\0\0\0\0\0",
    b"\xca\x3f\xc0\0\0",
    b"\xcb\x80\0\0\0\0\0\0\0",
    b"\xcb\x7f\xf8\0\0\0\0\0\0",
    b"\xcb\x7f\xf0\0\0\0\0\0\0",
    b"\xcb\x44\x80\xf0\xcf\x06\x4d\xd5\x92",
    b"\xa2hi",
    b"\xa3a\0b",
    b"\xa3\xed\xa0\x80",
    b"\xc4\x02\xff\0",
    b"\x93\x01\x02\x03",
    b"\x93\x01\x02\x04",
    b"\x81\xa1a\x90",
    b"\xc7\x02\x07\x91\x01",
    b"\xd4\x07\xc0",
    b"\xd4\x00\x01",
];

fn a_version() -> impl Strategy<Value = Body> {
    prop_oneof![
        6 => (1..4u64).prop_map(|n| Body::text(version(n))),
        1 => Just(Body::text("odd")),
        1 => Just(Body::Null),
    ]
}

fn a_channel() -> impl Strategy<Value = (Body, Option<Value>, Option<Box<str>>)> {
    let sealed = prop::sample::select(&["json", "pickle", "msgpack+aes"][..]);
    (a_version(), value(), prop::option::weighted(0.1, sealed)).prop_map(|(version, value, tag)| {
        match (value, tag) {
            (Some(value), Some(tag)) => (version, Some(value), Some(tag.into())),
            (value, _) => (version, value, None),
        }
    })
}

fn seen() -> impl Strategy<Value = Body> {
    let name = prop_oneof![
        prop::sample::select(&CHANNELS[..]).prop_map(str::to_owned),
        prop::sample::select(&CHANNELS[..]).prop_map(|channel| format!("n|{channel}")),
    ];
    let versions = prop::collection::vec((name.prop_map(Body::text), a_version()), 0..5);
    let node = prop::sample::select(&["__input__", "n", "__snapshot_bumps__"][..]);
    let nodes = prop::collection::vec((node.prop_map(Body::text), versions), 0..3);
    nodes.prop_map(|nodes| {
        let map = |pairs| Body::Map(Map::from_pairs(pairs));
        map(nodes.into_iter().map(|(name, versions)| (name, map(versions))).collect())
    })
}

prop_compose! {
    fn a_record()(
        channels in prop::collection::btree_map(0..CHANNELS.len(), a_channel(), 0..4),
        seen in seen(),
        extra in prop::option::of((text(), body())),
        raw in prop::option::weighted(0.2, Just(raw_entry(b"\xd4\x00\x01"))),
        v in 1..5i64,
        metadata in body(),
        parent in prop::option::of(Just("p")),
    ) -> (Map, Vec<Channel>, Body, Option<&'static str>) {
        let channels = channels.into_iter().map(|(n, (version, value, tag))| {
            Channel { name: CHANNELS[n].into(), version, value, tag }
        });
        let mut entries = vec![("v", Body::int(v)), ("versions_seen", seen)];
        entries.extend(raw.map(|raw| ("pending_sends", raw)));
        entries.extend(extra.as_ref().map(|(name, entry)| (&**name, entry.clone())));
        (head(entries), channels.collect(), metadata, parent)
    }
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    prop::collection::vec(a_record(), 1..6).prop_map(|records| {
        let make = |(n, (head, channels, metadata, parent)): (usize, _)| {
            let payload = Payload::Open { head, channels };
            record::checkpoint(checkpoint_key("ns", &format!("{n}")), parent, metadata, payload)
        };
        records.into_iter().enumerate().map(make).collect()
    })
}

/// Stores those of the records that the tables can hold.
fn put_all(records: &[Record], known: &mut Known) -> (Tables, Vec<String>) {
    let mut tables = Tables::default();
    let mut held = Vec::new();
    for record in records {
        match tables.put(record, known) {
            Ok(_) => held.push(id(record)),
            Err(why) => assert!(why.contains("has no version"), "{why}"),
        }
    }
    (tables, held)
}

fn id(record: &Record) -> String {
    match record::view(record) {
        Ok(View::Checkpoint(view)) => view.id,
        _ => panic!("no checkpoint"),
    }
}

/// A parent's sends, which nobody asked for.
fn some_sends() -> Vec<(Option<Box<str>>, Bytes)> {
    vec![(Some("msgpack".into()), Bytes::from_static(b"\x01"))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_record_that_was_stored_is_read_again(records in records()) {
        let (tables, held) = put_all(&records, &mut Known::complete());
        let (again, _) = put_all(&records, &mut Known::partial());
        prop_assert_eq!(&again, &tables, "what is looked up is what is known");
        for record in records.iter().filter(|record| held.contains(&id(record))) {
            let read = tables.get_with(&id(record), some_sends()).expect("a whole row");
            prop_assert_eq!(&read.body, &record.body);
            prop_assert_eq!(&read.residue, &vec![]);
            let mut named = true;
            let bytes = |r: &Record, name| r.value(&name).map(|value| value.bytes.clone());
            read.body.each_value(&mut |name| named &= bytes(&read, name) == bytes(record, name));
            prop_assert!(named);
        }
    }

    #[test]
    fn a_record_stored_twice_changes_nothing(records in records()) {
        let mut known = Known::partial();
        let (mut tables, held) = put_all(&records, &mut known);
        let before = tables.clone();
        for record in records.iter().rev().filter(|record| held.contains(&id(record))) {
            tables.put(record, &mut known).expect("stored before");
            tables.put(record, &mut Known::partial()).expect("stored before");
        }
        prop_assert_eq!(tables, before);
    }

    #[test]
    fn anybody_s_residue_spoils_nothing(
        records in records(),
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..24),
            prop::collection::vec((0..4u8, 0..32u8), 1..4).prop_map(|channels| {
                let listed: Vec<u8> = channels.into_iter().flat_map(|(n, s)| [n, s]).collect();
                [&[3, listed.len() as u8][..], &listed].concat()
            }),
        ],
    ) {
        let with_residue = |record: &Record| {
            let (layout, record_digest) = (residue::LAYOUT.into(), record.digest());
            let bytes = bytes.clone().into();
            let residue = Residue { layout, format: 1, record: record_digest, bytes };
            Record { residue: vec![residue], ..record.clone() }
        };
        let records: Vec<Record> = records.iter().map(with_residue).collect();
        let mut tables = Tables::default();
        let mut known = Known::complete();
        for record in &records {
            let Ok(is_told) = tables.put(record, &mut known) else { continue };
            let read = tables.get(&id(record)).expect("a whole row");
            prop_assert_eq!(&read.body, &record.body);
            if is_told && !bytes.is_empty() {
                prop_assert_eq!(&read.residue[..], &record.residue[..]);
            }
        }
    }
}

/// How a channel of a stored row stands: its version, what is inline, its blob row.
type Standing = (Option<Body>, Option<Body>, Option<(&'static str, Option<&'static [u8]>)>);

const TAGS: [&str; 7] = ["msgpack", "null", "empty", "bytes", "bytearray", "json", "x+aes"];

fn standing() -> impl Strategy<Value = Standing> {
    let version = prop_oneof![
        6 => (1..4u64).prop_map(|n| Some(Body::text(version(n)))),
        1 => Just(Some(Body::int(3))),
        1 => Just(Some(Body::Null)),
        1 => Just(None),
    ];
    let inline = prop_oneof![
        3 => Just(None),
        1 => Just(Some(Body::Bool(true))),
        4 => body().prop_filter_map("what JSON says", |b| jsonb::text(&b).map(|_| Some(b))),
    ];
    let bytes = prop_oneof![
        Just(None),
        Just(Some(&b""[..])),
        prop::sample::select(&VALUES[..]).prop_map(Some)
    ];
    let row = prop::option::of((prop::sample::select(&TAGS[..]), bytes));
    (version, inline, row)
}

/// Channels by number, and other entries of a checkpoint.
type Entries = (Vec<(usize, Standing)>, Vec<(Body, Body)>);

fn entries() -> impl Strategy<Value = Entries> {
    let exact = body().prop_filter("what JSON says", |b| jsonb::text(b).is_some());
    let extra = prop::collection::vec(("[a-z]{1,3}".prop_map(Body::text), exact), 0..3);
    let channels = prop::collection::btree_map(0..CHANNELS.len(), standing(), 0..4);
    (channels.prop_map(|channels| channels.into_iter().collect()), extra)
}

/// Spells a number in a way that `jsonb` keeps.
fn spelled(text: String, is_odd: bool) -> String {
    if is_odd { text.replace("3.0,", "3.00,").replace("0.1,", "0.10,") } else { text }
}

fn rows() -> impl Strategy<Value = Tables> {
    let flags = (0..4u8, any::<bool>(), prop::option::of(prop::sample::select(&["", "p"][..])));
    let metadata = body().prop_filter("what JSON says", |b| jsonb::text(b).is_some());
    let row = (entries(), flags, metadata, prop::option::weighted(0.2, Just("json")));
    prop::collection::vec(row, 1..4).prop_map(|rows| {
        let mut tables = Tables::default();
        for (n, ((channels, extra), (missing, is_odd, parent), metadata, tag)) in
            rows.into_iter().enumerate()
        {
            let (mut values, mut versions) = (Vec::new(), Vec::new());
            for (number, (version, inline, row)) in channels {
                let name = Body::text(CHANNELS[number]);
                values.extend(inline.map(|inline| (name.clone(), inline)));
                let Some(version) = version else { continue };
                versions.push((name, version.clone()));
                let (Body::Text(version), Some((tag, bytes))) = (version, row) else { continue };
                let key = (CHANNELS[number].to_owned(), version.to_string());
                let cells = (tag.to_owned(), bytes.map(Bytes::from_static));
                tables.blobs.entry(key).or_insert(cells);
            }
            let mut all = extra;
            let map = |pairs| Body::Map(Map::from_pairs(pairs));
            match (missing, values.is_empty()) {
                (1, true) => {}
                (2, true) => all.push((Body::text("channel_values"), Body::Null)),
                _ => all.push((Body::text("channel_values"), map(values))),
            }
            if missing != 3 || !versions.is_empty() {
                all.push((Body::text("channel_versions"), map(versions)));
            }
            let checkpoint = spelled(jsonb::text(&map(all)).expect("said"), is_odd);
            let metadata = spelled(jsonb::text(&metadata).expect("said"), is_odd);
            let cells = Cells {
                parent: parent.map(Into::into),
                tag: tag.map(Into::into),
                ..stored(&checkpoint, &metadata)
            };
            tables.checkpoints.insert(n.to_string(), cells);
        }
        tables
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    #[test]
    fn a_row_that_was_read_is_written_again(tables in rows()) {
        let mut again = Tables::default();
        let mut known = Known::complete();
        for id in tables.checkpoints.keys() {
            let Ok(record) = tables.get(id) else { return Ok(()) };
            prop_assert_eq!(again.put(&record, &mut known), Ok(true));
        }
        // Before version 4 it is kept that these are all the sends there are.
        let adjusted = again.clone();
        again.checkpoints.values_mut().for_each(|cells| cells.adjustment = None);
        prop_assert_eq!(&again.checkpoints, &tables.checkpoints);
        for (key, row) in &again.blobs {
            prop_assert_eq!(tables.blobs.get(key), Some(row));
        }
        for id in tables.checkpoints.keys() {
            prop_assert_eq!(adjusted.get(id), tables.get(id));
        }
    }
}
