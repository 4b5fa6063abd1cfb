//! What is at the target and no longer, or never was, at the source; then the sweep.

use std::collections::HashSet;
use std::sync::Arc;

use restow_model::{Digest, UnitDigest, UnitId};
use restow_store::ledger::{Failure, Step, Watermark};
use restow_store::{Purged, Result, Stamp};
use tokio::sync::mpsc;

use super::report;
use super::shared::{Shared, Work, now_ms};
use super::work::share;
use super::{Extra, Parties};
use crate::limits::BATCH_UNITS_MAX;
use crate::look::held;
use crate::verify::{Compared, Excused, SweepReport};
use crate::{Phase, VerifyOptions};

const HIDDEN: &str = "it is not found at the source, where damage may hide it, and was left at the \
    target; mend or remove the damage and run this again";
const MOVED: &str = "it is gone from the source, but moved on at the target since it was copied, \
    and was left there; remove it there, or leave it out";

/// Removes the target's copies of units that are gone from the source; false where it was stopped.
pub(super) async fn remove(shared: &Arc<Shared>) -> Result<bool> {
    shared.progress.enter(Phase::Removing, 0);
    let mut after: Option<UnitId> = None;
    loop {
        if shared.is_stopped() {
            return Ok(false);
        }
        let unseen = shared.ledger.unseen(shared.pass, after.as_ref(), BATCH_UNITS_MAX).await?;
        let Some((last, _)) = unseen.last() else { return Ok(true) };
        after = Some(last.clone());
        let asked: Vec<(UnitId, Watermark)> =
            unseen.into_iter().filter(|(u, _)| shared.options.units.matches(u)).collect();
        // Removal rests on the source's own answer, not on what a walk has met.
        let names = asked.iter().map(|(u, _)| u.clone()).collect();
        let held: Vec<UnitId> = held(&*shared.source, names).await?;
        let there: HashSet<&UnitId> = held.iter().collect();
        let mut step = Step::default();
        for (unit, watermark) in asked.iter().filter(|(u, _)| !there.contains(u)) {
            remove_one(shared, unit, watermark, &mut step).await?;
        }
        shared.ledger.save(shared.pass, step).await?;
        if !held.is_empty() && !share(shared, Work::Named(held)).await? {
            return Ok(false);
        }
    }
}

async fn remove_one(
    shared: &Shared,
    unit: &UnitId,
    watermark: &Watermark,
    step: &mut Step,
) -> Result<()> {
    let mut refuse = |why: &str| {
        shared.progress.failure();
        let unit = Some(unit.clone());
        step.failures.push(Failure { unit, what: "refused".into(), why: why.into() });
    };
    if shared.is_blind() {
        refuse(HIDDEN);
        return Ok(());
    }
    match shared.target.purge(unit.clone(), Stamp::Content(watermark.target)).await? {
        Purged::Removed(_) => {
            shared.progress.unit();
            shared.tally().units.removed += 1;
            step.gone.push(unit.clone());
            audit(shared, unit, "removed from the target: gone from the source").await?;
        }
        Purged::Absent => step.gone.push(unit.clone()),
        Purged::Lost => refuse(MOVED),
    }
    Ok(())
}

/// Compares both stores; extra units are removed on the way, where that was asked for.
pub(super) async fn sweep(shared: &Arc<Shared>) -> Result<SweepReport> {
    let failures = report::failures(shared).await?;
    let compared = Compared {
        source: shared.source.clone(),
        target: shared.target.clone(),
        watermarks: Some((shared.ledger.clone(), shared.migration)),
        excused: Excused {
            nameless: failures.iter().any(|f| f.unit.is_none()),
            units: failures.into_iter().filter_map(|f| f.unit).collect(),
        },
        progress: shared.progress.clone(),
    };
    let options = VerifyOptions {
        jobs: shared.options.jobs,
        units: shared.options.units.clone(),
        stop: shared.options.stop.clone(),
        ..VerifyOptions::default()
    };
    if shared.options.extra == Extra::Keep || shared.is_blind() {
        return compared.sweep(&options, None).await;
    }
    let (send, extras) = mpsc::channel(BATCH_UNITS_MAX);
    let (swept, removed) =
        tokio::join!(compared.sweep(&options, Some(send)), remove_extras(shared, extras));
    let (mut swept, removed) = (swept?, removed?);
    shared.tally().units.extra_removed = removed;
    swept.extra_units = swept.extra_units.saturating_sub(removed);
    Ok(swept)
}

async fn remove_extras(
    shared: &Shared,
    mut extras: mpsc::Receiver<(UnitId, UnitDigest)>,
) -> Result<u64> {
    let mut removed = 0;
    while let Some((unit, digest)) = extras.recv().await {
        let source = held(&*shared.source, vec![unit.clone()]).await?;
        if !source.is_empty() || shared.is_doomed(&unit) {
            continue;
        }
        if let Purged::Removed(_) =
            shared.target.purge(unit.clone(), Stamp::Content(digest)).await?
        {
            removed += 1;
            audit(shared, &unit, "removed from the target: extra, as asked").await?;
        }
    }
    Ok(removed)
}

/// Keeps account of what was destroyed; a name may be a person's, so its hash stands for it.
async fn audit(shared: &Shared, unit: &UnitId, what: &str) -> Result<()> {
    let name = Digest::of(unit.as_str().as_bytes());
    let line = format!("unit {name:.32} {what}");
    shared.ledger.audit(shared.migration, &line, now_ms(&*shared.clock)).await
}

impl Parties {
    /// Returns what a comparison of the two stores needs.
    pub(super) fn compared(&self) -> (&dyn restow_store::Store, &dyn restow_store::Store) {
        (&*self.source, &*self.target)
    }
}
