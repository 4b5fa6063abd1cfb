//! Properties and golden bytes of the canonical encoding.

use proptest::prelude::*;

use super::*;

fn body() -> impl Strategy<Value = Body> {
    let leaf = prop_oneof![
        Just(Body::Null),
        any::<bool>().prop_map(Body::Bool),
        any::<i64>().prop_map(Body::int),
        "-?[1-9][0-9]{0,40}"
            .prop_map(|t| Body::Int(Integer::parse(&t).expect("a spelling of an integer"))),
        (any::<i64>(), any::<i32>())
            .prop_map(|(c, exponent)| Body::Decimal(Decimal { coefficient: c.into(), exponent })),
        any::<u64>().prop_map(|bits| Body::Float(Float::new(f64::from_bits(bits)))),
        ".{0,6}".prop_map(Body::text),
        prop::collection::vec(any::<u8>(), 0..6).prop_map(|b| Body::Bytes(b.into())),
        prop::collection::vec(any::<u8>(), 0..6)
            .prop_map(|b| Body::Value(ValueRef { digest: Digest::of(&b), len: b.len() as u64 })),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Body::List),
            prop::collection::vec((inner.clone(), inner), 0..5)
                .prop_map(|pairs| Body::Map(Map::from_pairs(pairs))),
        ]
    })
}

fn encoded(body: &Body) -> Vec<u8> {
    let mut out = Vec::new();
    encode(body, &mut out);
    out
}

proptest! {
    #[test]
    fn decoding_gives_the_body_back(body in body()) {
        prop_assert_eq!(decode(&encoded(&body)), Ok(body));
    }

    #[test]
    fn what_decodes_encodes_to_the_same_bytes(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(body) = decode(&bytes) {
            prop_assert_eq!(encoded(&body), bytes);
        }
    }

    #[test]
    fn a_changed_byte_is_refused_or_another_body(body in body(), at: usize, flip in 1u8..) {
        let mut bytes = encoded(&body);
        let at = at % bytes.len();
        bytes[at] ^= flip;
        prop_assert_ne!(decode(&bytes), Ok(body));
    }

    #[test]
    fn the_order_of_a_map_s_entries_does_not_matter(
        pairs in prop::collection::vec(("[a-z]{1,3}", any::<i64>()), 0..6),
    ) {
        let of = |pairs: &[(String, i64)]| {
            let pairs = pairs.iter().map(|(k, v)| (Body::text(k.as_str()), Body::int(*v)));
            Body::Map(Map::from_pairs(pairs.collect()))
        };
        let mut once: Vec<_> = pairs;
        once.sort();
        once.dedup_by(|a, b| a.0 == b.0);
        let forward = of(&once);
        once.reverse();
        prop_assert_eq!(encoded(&forward), encoded(&of(&once)));
    }
}

#[test]
fn deep_nesting_is_refused_without_recursion() {
    let bytes = [&[LIST, 1].repeat(100_000)[..], &[NULL]].concat();
    assert_eq!(decode(&bytes).map_err(|e| e.what), Err("body nested too deep"));
}

/// Golden bytes of format 1. A change here needs a new format number and a decision record.
#[test]
fn golden_bytes_of_format_1() {
    let value = ValueRef { digest: Digest::of(b"value"), len: 5 };
    let body = Body::Map(Map::from([
        ("id", Body::text("1ef")),
        ("n", Body::List(vec![Body::Null, Body::Bool(true), Body::int(-7)])),
        ("floats", Body::List(vec![Body::Float(Float::new(-0.0)), Body::Float(Float::new(1e22))])),
        ("cost", Body::Decimal(Decimal { coefficient: 110_i64.into(), exponent: -2 })),
        ("messages", Body::Value(value)),
        ("raw", Body::Bytes(Bytes::from_static(&[0, 255]))),
    ]));
    let hex: String = encoded(&body).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, include_str!("golden/body_1.hex").trim());
}
