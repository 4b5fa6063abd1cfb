//! Bucket sums of a store, walked as its engine keeps it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use restow_model::{BUCKETS, Bucket, UnitDigest, UnitId};
use restow_store::{Content, Enumeration, Error, ErrorKind, Frame, Result, Segment, Store};
use tokio::task::JoinSet;

use super::{VerifyOptions, What};
use crate::Progress;
use crate::limits::NAMED_MAX;
use crate::look::bytes_of;

/// The salt of the sweep's buckets, so that they are not a rollout's.
const SALT: &[u8] = b"sweep";

/// One of the two stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Target,
}

impl Side {
    pub(super) fn damaged(self) -> What {
        match self {
            Self::Source => What::DamagedSource,
            Self::Target => What::DamagedTarget,
        }
    }
}

/// A place that cannot be read as what it should be.
#[derive(Clone, Debug)]
pub(super) struct Damage {
    pub(super) unit: Option<UnitId>,
    pub(super) why: String,
}

/// What a walk over a store adds up to.
#[derive(Debug)]
pub(super) struct Sums {
    pub(super) buckets: Box<[UnitDigest]>,
    pub(super) records: u64,
    pub(super) damage: Vec<Damage>,
    pub(super) damaged: u64,
    pub(super) stopped: bool,
}

impl Sums {
    fn new() -> Self {
        let buckets = vec![UnitDigest::default(); usize::from(BUCKETS)].into();
        Self { buckets, records: 0, damage: Vec::new(), damaged: 0, stopped: false }
    }

    fn merge(&mut self, other: Sums) {
        for (mine, other) in self.buckets.iter_mut().zip(&other.buckets) {
            mine.merge(other);
        }
        self.records += other.records;
        self.damaged += other.damaged;
        self.stopped |= other.stopped;
        self.damage.extend(other.damage);
        self.damage.truncate(NAMED_MAX);
    }

    fn damage(&mut self, damage: Damage) {
        self.damaged += 1;
        if self.damage.len() < NAMED_MAX {
            self.damage.push(damage);
        }
    }
}

/// Returns the bucket of a unit.
pub(super) fn bucket_of(unit: &UnitId) -> usize {
    usize::from(Bucket::of(SALT, unit).get())
}

/// Adds up two stores: the workers take shares of both.
pub(super) async fn sums(
    stores: [Arc<dyn Store>; 2],
    options: &VerifyOptions,
    progress: &Arc<Progress>,
) -> Result<[Sums; 2]> {
    // With one worker for each, neither store waits for the other.
    let jobs = options.jobs.max(stores.len());
    let mut queue = VecDeque::new();
    for (n, store) in stores.iter().enumerate() {
        let segments = store.segments(jobs * 2, Enumeration::Storage).await?;
        queue.extend(segments.into_iter().enumerate().map(|(at, segment)| (at, n, segment)));
    }
    // In turns, so that both are read during the same time.
    queue.make_contiguous().sort_by_key(|(at, n, _)| (*at, *n));
    let queue = Arc::new(Mutex::new(queue));
    let mut workers = JoinSet::new();
    for _ in 0..jobs {
        let (stores, queue) = (stores.clone(), queue.clone());
        let (options, progress) = (options.clone(), progress.clone());
        workers.spawn(async move {
            let mut sums = [Sums::new(), Sums::new()];
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some((_, n, segment)) = next else { return Ok(sums) };
                add(&*stores[n], segment, &options, &progress, &mut sums[n]).await?;
            }
        });
    }
    let mut all = [Sums::new(), Sums::new()];
    while let Some(ended) = workers.join_next().await {
        let ended: Result<[Sums; 2]> = ended.unwrap_or_else(|stopped| {
            let message = "a worker stopped unexpectedly; this is a defect of restow";
            Err(Error::new(ErrorKind::Failed, "sweep", message).because(stopped))
        });
        for (all, other) in all.iter_mut().zip(ended?) {
            all.merge(other);
        }
    }
    Ok(all)
}

async fn add(
    store: &dyn Store,
    segment: Segment,
    options: &VerifyOptions,
    progress: &Progress,
    sums: &mut Sums,
) -> Result<()> {
    let mut frames = store.scan(segment, None, Content::Checked).await?;
    let mut open: Option<usize> = None;
    while let Some(frame) = frames.next().await {
        if options.stop.is_stopped() {
            sums.stopped = true;
            return Ok(());
        }
        match frame? {
            Frame::Begin { unit, .. } => {
                open = options.units.matches(&unit).then(|| bucket_of(&unit));
            }
            Frame::Record(record) => {
                let Some(bucket) = open else { continue };
                progress.record(bytes_of(&record));
                sums.records += 1;
                sums.buckets[bucket].merge(&record.summed());
            }
            Frame::Damaged { unit, place, why } => {
                if unit.as_ref().is_none_or(|u| options.units.matches(u)) {
                    sums.damage(Damage { unit, why: format!("{place}: {why}") });
                }
            }
            Frame::End { .. } => open = None,
            Frame::Mark(_) => {}
        }
    }
    Ok(())
}
