//! The copier: every unit of one store into another, read back before it counts.
//!
//! Several workers take shares of the source from one queue; each is a lane of frames that
//! fills batches, stages what is larger than one, and saves its progress behind the data. Whatever
//! the target holds already is settled by both sides' digests and the watermark
//! ([`crate::Relation`]); then what is gone from the source goes, and a sweep compares the stores.
//!
//! Invariants:
//! - Nothing is written to the source, and nothing but whole units becomes visible at the target.
//! - A unit counts only when it was read back from the target and matched.
//! - An attempt that dies at any point is continued by the next with the same arguments.

mod account;
mod batch;
mod compare;
mod current;
mod gone;
mod lane;
mod pipeline;
mod plan;
mod report;
mod shared;
mod stage;
mod work;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use restow_model::UnitId;
use restow_store::failpoint::{self, Point};
use restow_store::ledger::{Ledger, MigrationId, PassId};
use restow_store::{
    Clock, Enumeration, Error, ErrorKind, Result, Role, Segment, Store, WithoutControl,
};

pub use plan::Planned;
pub use report::{CopyReport, Outcome, Units};

use crate::limits::{BATCH_UNITS_MAX, SEGMENTS_PER_JOB};
use crate::{Phase, Progress, Stop, UnitFilter};
use shared::{Hidden, Parties, Shared, Work, now_ms};

/// How to copy.
#[derive(Clone, Debug, Default)]
pub struct CopyOptions {
    /// How many workers copy at once; zero is one.
    pub jobs: usize,
    /// Which units.
    pub units: UnitFilter,
    /// What becomes of units that only the target holds and no watermark covers.
    pub extra: Extra,
    /// What becomes of units that the target cannot hold.
    pub unsupported: OnUnsupported,
    /// Reads everything and reports what a run would do; nothing is written anywhere.
    pub dry_run: bool,
    /// Reads everything once before the first write, and refuses to begin where the target cannot
    /// hold a record ([`OnUnsupported::Refuse`] only). Costs a second reading of the source.
    pub plan_first: bool,
    /// Stops the work at the next safe place.
    pub stop: Stop,
}

/// What becomes of units that only the target holds and no watermark covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extra {
    /// They stay and are counted.
    #[default]
    Keep,
    /// They are removed; the caller has had it confirmed.
    Delete,
}

/// What becomes of units that the target cannot hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnsupported {
    /// They are failures.
    #[default]
    Refuse,
    /// They, and damaged units, are set aside: listed, and no failures.
    Aside,
}

/// Copies one store into another and verifies the result.
///
/// Returns an error only where the work as a whole cannot go on; units that could not be copied
/// are in the report.
pub async fn copy(
    source: Arc<dyn Store>,
    target: Arc<dyn Store>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    options: CopyOptions,
    progress: Arc<Progress>,
) -> Result<CopyReport> {
    let parties = Parties { source, target, ledger, clock, progress };
    if options.dry_run {
        return plan::dry_run(&parties, &options).await;
    }
    if options.plan_first && options.unsupported == OnUnsupported::Refuse {
        plan::refuse_unsupported(&parties, &options).await?;
    }
    parties.progress.enter(Phase::Preparing, 0);
    failpoint::pass(Point::Prepare)?;
    prepare(&*parties.target).await?;
    failpoint::pass(Point::Prepared)?;
    let Parties { source, target, ledger, clock, .. } = &parties;
    let (ledger, clock) = (ledger.clone(), clock.clone());
    let addresses = (&source.info().address, &target.info().address);
    let migration = ledger.open(addresses.0, addresses.1, now_ms(&*clock)).await?;
    let attempt = ledger.begin(migration, now_ms(&*clock)).await?;
    let result = attempt_copy(parties, options, migration).await;
    let outcome = result.as_ref().map_or("failed", |report| report.outcome().word());
    let ended = ledger.end(attempt, outcome, now_ms(&*clock)).await;
    // The first error is the cause of a second.
    let report = result?;
    ended.map(|()| report)
}

/// Makes the target ready, or says why it may not be copied into.
pub(crate) async fn prepare(target: &dyn Store) -> Result<()> {
    let record = target.prepare(Role::CopyTarget, "").await?;
    let refused = |message| {
        let error = Error::new(ErrorKind::Refused, "prepare the target", message);
        Err(error.with("target", target.info().address.clone()))
    };
    if record.without_control == WithoutControl::Retired {
        return refused("the store is retired: its units live elsewhere; choose another target");
    }
    match record.id {
        None => Ok(()),
        Some(_) => refused("the store takes part in a live migration; finish or cancel that first"),
    }
}

async fn attempt_copy(
    parties: Parties,
    options: CopyOptions,
    migration: MigrationId,
) -> Result<CopyReport> {
    let Begun { pass, queue, hidden } = begin(&parties, &options, migration).await?;
    failpoint::pass(Point::Planned)?;
    let progress = parties.progress.clone();
    let bytes_estimate = queue.iter().map(Work::bytes_estimate).sum();
    let shared = Arc::new(Shared::new(parties, options, (migration, pass), queue, hidden));
    progress.enter(Phase::Copying, bytes_estimate);
    let finished = work::all(&shared).await?;
    let removed = match finished {
        true => gone::remove(&shared).await?,
        false => false,
    };
    let (mut swept, mut warnings) = (None, Vec::new());
    if removed {
        stage::discard_rest(&shared).await?;
        warnings.extend(optimize(&*shared.target).await);
        failpoint::pass(Point::Sweep)?;
        let report = gone::sweep(&shared).await?;
        failpoint::pass(Point::Swept)?;
        if !report.interrupted {
            shared.ledger.end_pass(pass).await?;
        }
        swept = Some(report);
    }
    progress.enter(Phase::Done, 0);
    let report = report::of(&shared, swept).await?;
    Ok(CopyReport { warnings, ..report })
}

/// Lets the target put itself in order; what it holds is whole without that.
async fn optimize(target: &dyn Store) -> Option<String> {
    let why = account::with_causes(&target.optimize().await.err()?);
    Some(format!("the target's statistics were not brought up to date: {why}"))
}

/// A pass that was begun or is continued.
struct Begun {
    pass: PassId,
    queue: VecDeque<Work>,
    hidden: Hidden,
}

/// Continues the pass that was interrupted, or begins one.
///
/// Only a pass over every unit is continued: its shares say nothing of another selection's.
async fn begin(parties: &Parties, options: &CopyOptions, migration: MigrationId) -> Result<Begun> {
    let Parties { source, ledger, .. } = parties;
    let hidden = report::hidden(parties).await?;
    if let UnitFilter::List(units) = &options.units {
        let pass = ledger.begin_pass(migration, &[]).await?;
        let units: Vec<UnitId> = units.iter().cloned().collect();
        let queue = units.chunks(BATCH_UNITS_MAX).map(|c| Work::Named(c.to_vec())).collect();
        // Nothing is walked, so what hides units is known from earlier walks alone.
        return Ok(Begun { pass, queue, hidden: Hidden { units: HashSet::new(), ..hidden } });
    }
    if options.units.is_all()
        && let Some((pass, segments)) = ledger.interrupted(migration).await?
    {
        let queue = segments.into_iter().filter(|s| !s.done).map(Work::Kept).collect();
        return Ok(Begun { pass, queue, hidden });
    }
    let hidden = Hidden::default();
    let want = options.jobs.max(1) * SEGMENTS_PER_JOB;
    let mut segments = source.segments(want, Enumeration::Units).await?;
    if !options.units.is_all() {
        let pass = ledger.begin_pass(migration, &[]).await?;
        let queue = segments.into_iter().map(Work::Walk).collect();
        return Ok(Begun { pass, queue, hidden });
    }
    if segments.is_empty() {
        segments.push(Segment::whole(Enumeration::Units));
    }
    let pass = ledger.begin_pass(migration, &segments).await?;
    let fresh = |(n, segment)| Work::fresh(n, segment);
    let queue = segments.into_iter().enumerate().map(fresh).collect();
    Ok(Begun { pass, queue, hidden })
}
