//! The workers: each takes shares from the queue, and resumes one whose store was out of reach.

use std::sync::Arc;

use restow_store::ledger::SegmentProgress;
use restow_store::{Content, Error, ErrorKind, Result, Segment, Selection};
use tokio::task::JoinSet;

use super::lane::Lane;
use super::shared::{Shared, Work};
use crate::limits::{PAUSE_FIRST, PAUSE_LAST, RESUMES_MAX};

impl Work {
    pub(super) fn fresh(number: usize, segment: Segment) -> Self {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        Self::Kept(SegmentProgress { number, segment, cursor: None, partial: None, done: false })
    }

    pub(super) fn bytes_estimate(&self) -> u64 {
        match self {
            Self::Kept(progress) => progress.segment.bytes_estimate.unwrap_or(0),
            Self::Walk(segment) => segment.bytes_estimate.unwrap_or(0),
            Self::Named(_) => 0,
        }
    }
}

/// Works off the queue; false where it was stopped before the end.
pub(super) async fn all(shared: &Arc<Shared>) -> Result<bool> {
    let mut workers = JoinSet::new();
    for _ in 0..shared.options.jobs.max(1) {
        workers.spawn(worker(shared.clone()));
    }
    let (mut finished, mut failed) = (true, None);
    while let Some(ended) = workers.join_next().await {
        match ended {
            Ok(Ok(done)) => finished &= done,
            Ok(Err(error)) => failed = failed.or(Some(error)),
            Err(stopped) => {
                let message = "a worker stopped unexpectedly; this is a defect of restow";
                let error = Error::new(ErrorKind::Failed, "copy units", message).because(stopped);
                failed = failed.or(Some(error));
            }
        }
        if failed.is_some() {
            shared.halt.stop();
        }
    }
    failed.map_or(Ok(finished), Err)
}

async fn worker(shared: Arc<Shared>) -> Result<bool> {
    while !shared.is_stopped() {
        let Some(work) = shared.next_work() else { return Ok(true) };
        if !share(&shared, work).await? {
            return Ok(false);
        }
    }
    Ok(false)
}

/// Copies a share. A store that is out of reach is tried again from the last place that was saved;
/// only tries that came no further are counted.
pub(super) async fn share(shared: &Arc<Shared>, work: Work) -> Result<bool> {
    let mut saved = match &work {
        Work::Kept(progress) => Some(progress.clone()),
        _ => None,
    };
    let (mut resumes, mut pause) = (0, PAUSE_FIRST);
    loop {
        let mut lane = Lane::new(shared.clone(), saved.clone());
        match follow(shared, &work, &mut lane).await {
            Err(error) if error.is_retryable() && resumes < RESUMES_MAX => {
                if lane.saved != saved {
                    (resumes, pause) = (0, PAUSE_FIRST);
                    saved = lane.saved;
                }
                resumes += 1;
                shared.progress.set_throttled(Some(format!("waits to try again: {error}")));
                tokio::select! {
                    () = shared.clock.sleep(pause) => {}
                    () = shared.stopped() => return Ok(false),
                }
                shared.progress.set_throttled(None);
                pause = (pause * 2).min(PAUSE_LAST);
            }
            ended => return ended,
        }
    }
}

async fn follow(shared: &Shared, work: &Work, lane: &mut Lane) -> Result<bool> {
    let source = &shared.source;
    let frames = match work {
        Work::Kept(progress) => {
            let cursor = lane.saved.as_ref().and_then(|s| s.cursor.clone());
            source.scan(progress.segment.clone(), cursor, Content::All).await?
        }
        Work::Walk(segment) => source.scan(segment.clone(), None, Content::All).await?,
        Work::Named(units) => source.read(units.clone(), Selection::all()).await?,
    };
    lane.follow(frames).await
}
