//! Checkpoints taken apart and put together again.

use proptest::prelude::*;

use super::super::record::{self, checkpoint_key};
use super::*;

/// Puts a blob together again from what it was taken apart into, without its own splice.
fn canonical(blob: &Bytes) -> Option<Vec<u8>> {
    let mut memo = Memo::default();
    let Ok(Opened::Checkpoint(packed)) = open(blob, &mut memo) else { return None };
    let orders = packed.orders.encode()?;
    let channels = record::channel_map(&packed.channels);
    let splice = pack(&packed.head, &channels, &mut Orders::new(&orders)).expect("came from it");
    Some(whole(packed, splice))
}

fn whole(packed: Packed, splice: Splice) -> Vec<u8> {
    let payload = record::Payload::Open { head: packed.head, channels: packed.channels };
    let key = checkpoint_key("", "id");
    let record = record::checkpoint(key, None, Body::Null, payload);
    let channels = record.body.get("channels").and_then(Body::as_map).expect("channels");
    let names = splice.names(channels).expect("every cut has a value");
    splice.pieces(&record, &names).expect("values").concat()
}

/// Takes a blob apart and puts it together from its own splice.
fn spliced(blob: &Bytes) -> Option<Vec<u8>> {
    match open(blob, &mut Memo::default()) {
        Ok(Opened::Checkpoint(mut packed)) => {
            let splice = std::mem::take(&mut packed.splice);
            Some(whole(packed, splice))
        }
        _ => None,
    }
}

fn scalar() -> impl Strategy<Value = Body> {
    prop_oneof![
        Just(Body::Null),
        any::<bool>().prop_map(Body::Bool),
        any::<i64>().prop_map(Body::int),
        any::<u64>().prop_map(|n| Body::Int(n.into())),
        any::<f64>().prop_map(|f| Body::Float(restow_model::Float::new(f))),
        "[a-c\0é]{0,40}".prop_map(Body::text),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|b| Body::Bytes(b.into())),
    ]
}

/// Writes a body as msgpack with the maps in a random order, and now and then not as shortly.
fn item() -> impl Strategy<Value = Vec<u8>> {
    let leaf = scalar().prop_map(|body| {
        let mut out = Vec::new();
        items::write(&body, &mut Orders::none(), &mut out).expect("a scalar");
        out
    });
    let odd = prop_oneof![
        20 => leaf,
        1 => Just(b"\xcd\x00\x01".to_vec()),
        1 => Just(b"\xd9\x01a".to_vec()),
        1 => Just(b"\xca\x3f\x80\0\0".to_vec()),
        1 => Just(b"\xc7\x03\x05abc".to_vec()),
        1 => Just(b"\xa2\xff\xfe".to_vec()),
        1 => Just(b"\xdf\0\0\0\0".to_vec()),
        1 => Just(b"\x92\xa7msgpack\xc4\x00".to_vec()),
    ];
    odd.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| {
                let mut out = Vec::new();
                write_head(&mut out, Head::Array(items.len()));
                [out, items.concat()].concat()
            }),
            pairs(inner).prop_map(|pairs| map(&pairs)),
        ]
    })
}

fn pairs(inner: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    prop::collection::vec(("[a-d]{0,2}", inner), 0..5)
}

fn map(pairs: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    write_head(&mut out, Head::Map(pairs.len()));
    for (name, item) in pairs {
        write_text(&mut out, name);
        out.extend_from_slice(item);
    }
    out
}

fn blob() -> impl Strategy<Value = Bytes> {
    let entry = prop_oneof![
        3 => (prop::sample::select(&FIRST[..]), item()).prop_map(|(n, i)| (n.to_owned(), i)),
        2 => pairs(item()).prop_map(|p| (VALUES.to_owned(), map(&p))),
        2 => pairs(item()).prop_map(|p| (VERSIONS.to_owned(), map(&p))),
        1 => ("[a-d]{0,3}", item()),
    ];
    let entries = prop::collection::vec(entry, 0..9);
    let behind = prop_oneof![9 => Just(Vec::new()), 1 => prop::collection::vec(any::<u8>(), 1..4)];
    (entries, behind).prop_map(|(entries, behind)| [map(&entries), behind].concat().into())
}

proptest! {
    #[test]
    fn every_blob_is_put_together_from_its_own_splice(blob in blob()) {
        if let Some(again) = spliced(&blob) {
            prop_assert_eq!(again, blob.to_vec());
        }
        // Orders give back what says the same, or nothing.
        let _ = canonical(&blob);
    }

    #[test]
    fn a_damaged_blob_is_damaged_or_whole(
        blob in blob(),
        cut in any::<prop::sample::Index>(),
        change in any::<u8>(),
    ) {
        let mut bytes = blob.to_vec();
        let at = cut.index(bytes.len());
        bytes[at] ^= change;
        for bytes in [bytes, blob[..at].to_vec()] {
            let bytes = Bytes::from(bytes);
            if let Some(again) = spliced(&bytes) {
                prop_assert_eq!(again, bytes.to_vec());
            }
        }
    }
}

#[test]
fn ordinary_blobs_need_only_their_orders() {
    let head = |name: &str| [&[0xa0 | name.len() as u8][..], name.as_bytes()].concat();
    let blob = [
        vec![0x85],
        head("v"),
        vec![4],
        head("id"),
        head("1ef0"),
        head(VALUES),
        // An extension object is a value like any other.
        b"\x82\xa1z\x93\x01\x02\x03\xa1b\xc7\x03\x05abc".to_vec(),
        head(VERSIONS),
        b"\x83\xa1z\xa3001\xa1b\xa3002\xa9__start__\xa3003".to_vec(),
        head("versions_seen"),
        b"\x82\xa1n\x81\xa1z\xa3001\xa1m\x80".to_vec(),
    ]
    .concat();
    let blob = Bytes::from(blob);
    assert_eq!(canonical(&blob), Some(blob.to_vec()));
    for end in 0..blob.len() {
        assert!(open(&blob.slice(..end), &mut Memo::default()).is_err(), "cut at {end}");
    }
}

#[test]
fn a_value_that_stayed_the_same_keeps_its_name() {
    let blob = Bytes::from_static(b"\x81\xaechannel_values\x81\xa1a\x93\x01\x02\x03");
    let other = Bytes::from_static(b"\x81\xaechannel_values\x81\xa1a\x93\x01\x02\x04");
    let mut memo = Memo::default();
    let mut names = Vec::new();
    for blob in [&blob, &blob, &other, &blob] {
        memo.begin("u", "", blob.len());
        let Ok(Opened::Checkpoint(packed)) = open(blob, &mut memo) else { panic!("no checkpoint") };
        names.push(packed.channels[0].value.as_ref().map(|v| v.name));
    }
    assert_eq!(names[0], names[1]);
    assert_ne!(names[1], names[2]);
    assert_eq!(names[0], names[3]);
}
