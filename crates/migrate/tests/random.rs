//! Random stores and random changes on both sides: a re-run does what the table says.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;

use common::*;
use proptest::prelude::*;
use restow_migrate::Relation;
use restow_store::Op;
use restow_store::ledger::Watermark;

type Content = BTreeMap<(u8, i64), u8>;

fn content() -> impl Strategy<Value = Content> {
    prop::collection::btree_map((0..6u8, 0..8i64), 0..3u8, 0..30)
}

async fn write(store: &dyn restow_store::Store, content: &Content) {
    for name in 0..6u8 {
        let of = content.iter().filter(|((u, _), _)| *u == name);
        let puts = of.map(|((_, n), text)| Op::put(record(*n, &format!("text {text}"))));
        let ops = std::iter::once(Op::Clear).chain(puts).collect();
        change(store, &format!("u{name}"), ops).await;
    }
}

/// Mixes two contents unit by unit.
fn mixed(a: &Content, b: &Content, take_b: &[bool]) -> Content {
    let wanted =
        |from_b: bool| move |((u, _), _): &(&(u8, i64), &u8)| take_b[usize::from(*u)] == from_b;
    let of_a = a.iter().filter(wanted(false));
    of_a.chain(b.iter().filter(wanted(true))).map(|(k, v)| (*k, *v)).collect()
}

async fn case(
    narrow_by: usize,
    first: Content,
    second: Content,
    source: [bool; 6],
    target: [bool; 6],
) {
    let world = World::new(narrow(1000), narrow(narrow_by));
    write(&*world.source, &first).await;
    let report = world.copy().await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    world.assert_equal().await;
    let before: BTreeMap<_, _> = contents(&*world.source).await.into_iter().collect();
    write(&*world.source, &mixed(&first, &second, &source)).await;
    // At the target another change, so that both sides may also move apart.
    let shifted = second.iter().map(|((u, n), t)| ((*u, *n), (*t + 1) % 3)).collect();
    write(&*world.target, &mixed(&first, &shifted, &target)).await;
    let ours: BTreeMap<_, _> = contents(&*world.source).await.into_iter().collect();
    let theirs: BTreeMap<_, _> = contents(&*world.target).await.into_iter().collect();
    let report = world.copy().await.unwrap();
    let after: BTreeMap<_, _> = contents(&*world.target).await.into_iter().collect();
    for n in 0..6 {
        let unit = unit(&format!("u{n}"));
        let (s, t) = (ours.get(&unit), theirs.get(&unit));
        let mark = before.get(&unit).map(|d| Watermark { source: *d, target: *d });
        let expected = match s {
            Some(s) => match Relation::of(s, t, mark.as_ref()).refusal() {
                Some(_) => t,
                None => Some(s),
            },
            // Gone from the source: removed, if it is as it was copied; never ours: left.
            None if mark.is_some_and(|m| t == Some(&m.target)) => None,
            None => t,
        };
        assert_eq!(after.get(&unit), expected, "{unit} {report:?}");
    }
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_re_run_does_what_the_table_says(
        narrow_by in prop_oneof![Just(2usize), Just(4), Just(1000)],
        first in content(),
        second in content(),
        source in any::<[bool; 6]>(),
        target in any::<[bool; 6]>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(case(narrow_by, first, second, source, target));
    }
}
