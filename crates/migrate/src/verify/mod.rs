//! The verifier: both stores compared by bucket sums, and what differs named record by record.
//!
//! The sweep walks both stores as their engines keep them ([`restow_store::Enumeration::Storage`]),
//! another way than the copier's, and adds every record to one of 10,000 bucket sums. Only the
//! units of unequal buckets are then compared one by one, and only the records of unequal units.
//!
//! What counts as a difference: with a ledger, units that only the target holds and no watermark
//! covers were never restow's; they are reported as extra and are no failure, with or without
//! `--extra keep`. The same holds without a ledger, where nobody can say whose they are.
//!
//! Invariant: memory does not depend on the stores: two tables of sums a worker, and one record of
//! each side.

mod drill;
mod report;
mod sums;

use std::collections::HashSet;
use std::sync::Arc;

use restow_model::{UnitDigest, UnitId};
use restow_store::ledger::{Ledger, MigrationId};
use restow_store::{Result, Store};
use tokio::sync::mpsc;

pub use report::{Finding, SweepReport, What};

use crate::{Phase, Progress, Stop, UnitFilter};
use report::Findings;
use sums::{Side, sums};

/// How to verify.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// How many workers read each store; zero is one.
    pub jobs: usize,
    /// Which units.
    pub units: UnitFilter,
    /// How many differences are named; all are counted.
    pub named_max: usize,
    /// Stops the work.
    pub stop: Stop,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { jobs: 1, units: UnitFilter::All, named_max: 100, stop: Stop::new() }
    }
}

/// Compares two stores; with a ledger it tells lag from damage by the watermarks.
///
/// Units that a copy has reported as failed are not excused here: they differ.
pub async fn verify(
    source: Arc<dyn Store>,
    target: Arc<dyn Store>,
    ledger: Option<Arc<dyn Ledger>>,
    options: VerifyOptions,
    progress: Arc<Progress>,
) -> Result<SweepReport> {
    let watermarks = match ledger {
        Some(ledger) => {
            let addresses = (&source.info().address, &target.info().address);
            let known = ledger.summaries().await?;
            match known.iter().any(|s| (&s.source, &s.target) == addresses) {
                true => {
                    let id = ledger.open(addresses.0, addresses.1, 0).await?;
                    Some((ledger, id))
                }
                false => None,
            }
        }
        None => None,
    };
    let excused = Excused::default();
    let compared = Compared { source, target, watermarks, excused, progress };
    let report = compared.sweep(&options, None).await;
    compared.progress.enter(Phase::Done, 0);
    report
}

/// The two stores of a comparison, and what is known of them.
pub(crate) struct Compared {
    pub(crate) source: Arc<dyn Store>,
    pub(crate) target: Arc<dyn Store>,
    pub(crate) watermarks: Option<(Arc<dyn Ledger>, MigrationId)>,
    pub(crate) excused: Excused,
    pub(crate) progress: Arc<Progress>,
}

/// What a copy has reported already.
#[derive(Clone, Debug, Default)]
pub(crate) struct Excused {
    /// Units that failed.
    pub(crate) units: HashSet<UnitId>,
    /// Whether damage that belongs to no unit was reported.
    pub(crate) nameless: bool,
}

impl Compared {
    /// Compares; extra units without a watermark are handed to `extras` as they are met.
    pub(crate) async fn sweep(
        &self,
        options: &VerifyOptions,
        extras: Option<mpsc::Sender<(UnitId, UnitDigest)>>,
    ) -> Result<SweepReport> {
        self.progress.enter(Phase::Sweeping, 0);
        let stores = [self.source.clone(), self.target.clone()];
        let [source, target] = sums(stores, options, &self.progress).await?;
        let mut findings = Findings::new(options.named_max, self.progress.clone());
        let report = &mut findings.report;
        (report.source_records, report.target_records) = (source.records, target.records);
        report.interrupted = source.stopped || target.stopped;
        for (side, sums) in [(Side::Source, &source), (Side::Target, &target)] {
            for damage in &sums.damage {
                self.damage(&mut findings, side, damage);
            }
            let what = side.damaged();
            findings.count_more(what, sums.damaged.saturating_sub(sums.damage.len() as u64));
        }
        let unequal: Vec<u16> = (0..restow_model::BUCKETS)
            .filter(|n| source.buckets[usize::from(*n)] != target.buckets[usize::from(*n)])
            .collect();
        findings.report.buckets_unequal = unequal.len() as u64;
        if !findings.report.interrupted && !unequal.is_empty() {
            self.progress.enter(Phase::Naming, 0);
            let drill = drill::Drill::new(self, options, extras, &unequal);
            drill.run(&mut findings, &source.buckets, &target.buckets).await?;
        }
        Ok(findings.report)
    }

    fn damage(&self, findings: &mut Findings, side: Side, damage: &sums::Damage) {
        let excused = match &damage.unit {
            Some(unit) => self.excused.units.contains(unit),
            None => side == Side::Source && self.excused.nameless,
        };
        if excused {
            findings.report.excused += 1;
            return;
        }
        findings.add(Finding {
            unit: damage.unit.clone(),
            key: None,
            what: side.damaged(),
            relation: None,
            detail: Some(damage.why.clone()),
        });
    }
}
