//! Reading stores through the library, for benches: all of one, and single checkpoints of one.

use std::path::Path;
use std::time::Instant;

use futures::StreamExt;
use restow::model::{KeyPart, UnitDigest, UnitId};
use restow::store::{Content, Enumeration, Frame, Segment};
use restow::{Access, Address, Environment, Opened};

use crate::generate::Random;

/// Reads every record of a store once, values included, and sums their digests.
pub fn read_all(path: &Path) -> UnitDigest {
    block_on(async {
        let opened = open(path).await;
        let whole = Segment::whole(Enumeration::Units);
        let mut frames = opened.store.scan(whole, None, Content::All).await.expect("a scan");
        let mut sum = UnitDigest::default();
        while let Some(frame) = frames.next().await {
            match frame.expect("a frame") {
                Frame::Record(record) => sum.merge(&record.summed()),
                Frame::Damaged { place, why, .. } => panic!("{place}: {why}"),
                Frame::Begin { .. } | Frame::End { .. } | Frame::Mark(_) => {}
            }
        }
        sum
    })
}

/// Reads so many checkpoints, drawn at random, one by one; returns the times in seconds, sorted.
pub fn read_some(path: &Path, count: usize) -> Vec<f64> {
    block_on(async {
        let opened = open(path).await;
        let places = places(&opened).await;
        let mut random = Random::new(7);
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let (unit, namespace, id) = &places[random.below(places.len() as u64) as usize];
            let start = Instant::now();
            let found =
                opened.langgraph.get(unit, namespace, id, Content::All).await.expect("an answer");
            times.push(start.elapsed().as_secs_f64());
            assert!(found.is_some(), "{unit} {namespace} {id}");
        }
        times.sort_by(f64::total_cmp);
        times
    })
}

async fn places(opened: &Opened) -> Vec<(UnitId, String, String)> {
    let mut list =
        opened.langgraph.list(Default::default(), Content::Bodies).await.expect("a list");
    let mut places = Vec::new();
    while let Some(tuple) = list.next().await {
        let tuple = tuple.expect("a checkpoint");
        if let [KeyPart::Text(namespace), KeyPart::Text(id)] = &tuple.checkpoint.key.parts()[..] {
            places.push((tuple.unit, namespace.clone(), id.clone()));
        }
    }
    places
}

async fn open(path: &Path) -> Opened {
    let address = Address::parse(&path.display().to_string()).expect("a path");
    restow::open(&address, Access::Read, &Environment::default()).await.expect("a store")
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}
