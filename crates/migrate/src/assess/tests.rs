//! Assessments of small stores whose content is known.

use bytes::Bytes;
use restow_model::{Body, Form, Value};
use restow_store::memory::MemoryStore;
use restow_store::{Batch, Guard, Op, Then, UnitOps};

use super::*;

async fn put(store: &MemoryStore, unit: &str, n: i64, value: Vec<u8>) {
    let value = Value::new(Form::Raw, Bytes::from(value));
    let key = Key::of(if n == 0 { "head" } else { "item" }).int(n).build();
    let record =
        Record { values: vec![value.clone()], ..Record::new(key, Body::Value(value.name)) };
    let (unit, ops) = (UnitId::new(unit), vec![Op::put(record)]);
    let ops = UnitOps::new(unit, Dialect::Python, Guard::Unmanaged, ops, Then::Keep);
    assert!(store.apply(Batch { units: vec![ops] }).await.unwrap()[0].is_applied());
}

async fn assessed(store: &MemoryStore) -> Assessment {
    let compress: Arc<Compress> = Arc::new(|bytes: &[u8]| bytes.len() / 4);
    let (store, options) = (Arc::new(store.clone()), AssessOptions::default());
    assess(store, options, Some(compress), Arc::new(Progress::new())).await.unwrap()
}

#[tokio::test]
async fn a_store_is_told_by_kinds_sizes_and_repetitions() {
    let store = MemoryStore::default();
    let noise = |seed: u8| -> Vec<u8> {
        (0..20_000u32)
            .flat_map(|n| {
                Digest::of(&[&n.to_be_bytes()[..], &[seed]].concat()).as_bytes()[..1].to_vec()
            })
            .collect()
    };
    // Unit a holds the same 20,000 bytes four times, unit b another 20,000 once.
    for n in 0..4 {
        put(&store, "a", n, noise(1)).await;
    }
    put(&store, "b", 1, noise(2)).await;
    let found = assessed(&store).await;
    assert_eq!(found.units, Count { number: 2, exact: true });
    assert_eq!(found.dialects, BTreeMap::from([("Python", Count { number: 2, exact: true })]));
    assert_eq!((found.kinds["head"].records, found.kinds["item"].records), (1, 4));
    assert_eq!(found.total().value_bytes, 100_000);
    assert_eq!(found.distinct_bytes_estimate, 40_000);
    assert!((found.repeated_share() - 0.6).abs() < 1e-9);
    let parts = found.parts_bytes_estimate.unwrap();
    assert!((9_000..12_000).contains(&parts), "{parts}");
}

#[tokio::test]
async fn oversized_and_largest_records_are_named() {
    let store = MemoryStore::default();
    for n in 1..=20i64 {
        put(&store, &format!("u{n}"), n, vec![7; n as usize * 30_000]).await;
    }
    let found = assessed(&store).await;
    assert_eq!(found.oversized, 7);
    assert_eq!(found.oversized_examples.len(), 7);
    assert_eq!(found.largest.len(), 10);
    let sizes: Vec<u64> = found.largest.iter().map(|l| l.bytes / 30_000).collect();
    assert_eq!(sizes, (11..=20).rev().collect::<Vec<_>>());
    assert_eq!(found.largest[0].unit, UnitId::new("u20"));
    // 360,000 bytes and more are above the threshold, …
    assert_eq!(found.above_threshold, 9);
    let sizes = [(64 << 10, 2), (256 << 10, 6), (409_600, 5), (1 << 20, 7)];
    assert_eq!(found.sizes, BTreeMap::from(sizes));
    // … each has an item, and all is the same byte again and again.
    assert!(found.write_units_estimate >= 40, "{}", found.write_units_estimate);
}

#[tokio::test]
async fn damage_is_listed_and_the_rest_counted() {
    let store = MemoryStore::default();
    put(&store, "a", 1, vec![1]).await;
    put(&store, "a", 2, vec![2]).await;
    store.damage(&UnitId::new("a"), &Key::of("item").int(1).build(), "it is torn");
    let found = assessed(&store).await;
    assert_eq!((found.damaged, found.total().records), (1, 1));
    assert!(found.damage[0].1.contains("it is torn"));
}
