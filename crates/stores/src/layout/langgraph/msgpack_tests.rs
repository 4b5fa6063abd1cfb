//! Heads and spans, whole and damaged.

use proptest::prelude::*;

use super::*;

fn head() -> impl Strategy<Value = Head> {
    prop_oneof![
        Just(Head::Nil),
        any::<bool>().prop_map(Head::Bool),
        any::<i64>().prop_map(|n| Head::Int(n.min(-1))),
        (i64::MIN..0).prop_map(|n| Head::Int(n >> (n.unsigned_abs() % 60))),
        any::<u64>().prop_map(|n| Head::Uint(n >> (n % 61))),
        any::<u32>().prop_map(|n| Head::F32(f32::from_bits(n & 0x7f00_0000))),
        any::<i32>().prop_map(|n| Head::F64(f64::from(n))),
        (0..70_000usize).prop_map(Head::Str),
        (0..70_000usize).prop_map(Head::Bin),
        (0..70_000usize).prop_map(Head::Array),
        (0..70_000usize).prop_map(Head::Map),
        (any::<i8>(), 0..70_000usize).prop_map(|(code, len)| Head::Ext(code, len)),
    ]
}

proptest! {
    #[test]
    fn a_head_is_read_as_it_was_written(head in head()) {
        let mut out = Vec::new();
        write_head(&mut out, head);
        let mut reader = Reader::new(&out);
        prop_assert_eq!(reader.head(), Ok(head));
        prop_assert!(reader.rest().is_empty());
    }

    #[test]
    fn any_bytes_are_skipped_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut reader = Reader::new(&bytes);
        if reader.skip().is_ok() {
            prop_assert!(reader.at() <= bytes.len() && reader.at() > 0);
            // What was skipped is one item: cut anywhere, it is none.
            for end in 0..reader.at() {
                prop_assert!(Reader::new(&bytes[..end]).skip().is_err());
            }
        }
    }
}

#[test]
fn no_nesting_exhausts_the_stack() {
    let mut deep = vec![0x91; 1 << 20];
    assert!(Reader::new(&deep).skip().is_err());
    deep.push(0xc0);
    assert!(Reader::new(&deep).skip().is_ok());
}

#[test]
fn a_count_that_cannot_be_is_refused_before_it_is_walked() {
    assert!(Reader::new(&[0xdf, 0xff, 0xff, 0xff, 0xff, 0xc0]).skip().is_err());
    assert!(Reader::new(&[0xc6, 0xff, 0xff, 0xff, 0xff, 0xc0]).skip().is_err());
    assert!(Reader::new(&[0xc1]).skip().is_err());
}
