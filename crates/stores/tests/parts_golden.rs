//! A `parts+sqlite` file of format 1, as it was written once: it opens, and sums to what it held.
//!
//! A change of the format that forgets the files out there fails here. A new format gets a file of
//! its own beside this one, which stays. Made of two threads of `examples/agent.sqlite` and of a
//! chat that is long enough for two parts:
//!
//! ```text
//! generate --seed 1 chat long.db --threads 1 --turns 38
//! restow copy --units UNITS examples/agent.sqlite parts_1.restow
//! restow copy long.db parts_1.restow
//! ```
#![allow(clippy::expect_used, clippy::panic, reason = "a test ends loudly where it cannot go on")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use futures::TryStreamExt;
use restow_model::{Body, Dialect, Digest, Key, Record, UnitDigest, UnitId};
use restow_store::{
    Batch, Content, Enumeration, Frame, Guard, Op, Role, Segment, Store, Then, UnitOps,
};
use restow_stores::layout::parts::sqlite::PartsSqlite;

/// Units with the sums of their records and residues, as they were when the file was written.
const HELD: &str = include_str!("golden/parts_1.txt");

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/parts_1.restow")
}

type Sums = BTreeMap<String, UnitDigest>;

/// Adds up what a walk delivers; damage, and a kept digest that does not fit, fail.
async fn sums(store: &dyn Store, by: Enumeration) -> Sums {
    let frames = store.scan(Segment::whole(by), None, Content::All).await.expect("a walk");
    let frames: Vec<Frame> = frames.try_collect().await.expect("frames");
    let (mut sums, mut open) = (Sums::new(), String::new());
    for frame in frames {
        match frame {
            Frame::Begin { unit, .. } => open = unit.as_str().to_owned(),
            Frame::Record(record) => {
                sums.entry(open.clone()).or_default().merge(&record.summed());
                for value in &record.values {
                    assert_eq!(Digest::of(&value.bytes), value.name.digest, "{}", record.key);
                }
            }
            Frame::End { digest, .. } => {
                assert!(digest.is_none_or(|kept| kept == sums[&open]), "{open}: {digest:?}");
            }
            Frame::Mark(_) => {}
            damaged @ Frame::Damaged { .. } => panic!("{damaged:?}"),
        }
    }
    sums
}

fn shown(sums: &Sums) -> String {
    let hex = |sum: restow_model::Sum| -> String {
        sum.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let line = |(unit, sum): (&String, &UnitDigest)| {
        format!("{unit} {} {} {}\n", sum.records, hex(sum.bodies), hex(sum.residues))
    };
    sums.iter().map(line).collect()
}

#[tokio::test]
async fn format_1_still_opens_and_sums_to_what_it_held() {
    let before = fs::read(golden()).expect("the file");
    let store = PartsSqlite::source(&golden()).expect("format 1 opens");
    let units = sums(&store, Enumeration::Units).await;
    assert!(units.values().any(|sum| sum.residues != UnitDigest::default().residues));
    assert_eq!(shown(&units), HELD);
    assert_eq!(sums(&store, Enumeration::Storage).await, units);
    assert!(fs::read(golden()).expect("the file") == before, "reading changed it");
}

#[tokio::test]
async fn format_1_is_written_to_without_a_change_to_what_it_held() {
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("parts_1.restow");
    fs::copy(golden(), &path).expect("a copy");
    let store = PartsSqlite::target(&path, false).expect("format 1 opens");
    store.prepare(Role::CopyTarget, "").await.expect("it is ready");
    let mut units = sums(&store, Enumeration::Units).await;
    // One unit gets a record more, in a page that is there; one is new.
    for unit in ["values-types", "zz"] {
        let record = Record::new(Key::of("item").int(1).build(), Body::text("new"));
        units.entry(unit.to_owned()).or_default().merge(&record.summed());
        let ops = vec![Op::put(record)];
        let unit = UnitId::new(unit);
        let ops = UnitOps::new(unit, Dialect::Python, Guard::Unmanaged, ops, Then::Keep);
        let outcomes = store.apply(Batch { units: vec![ops] }).await.expect("applied");
        assert!(outcomes[0].is_applied(), "{outcomes:?}");
    }
    assert_eq!(sums(&store, Enumeration::Units).await, units);
}
