//! What a copy reports.

use restow_store::Result;
use restow_store::ledger::{Failure, Ledger};

use super::plan::Planned;
use super::shared::{Hidden, Parties, Shared};
use super::{OnUnsupported, UnitFilter};
use crate::verify::SweepReport;

/// What a copy did.
#[derive(Clone, Debug, Default)]
pub struct CopyReport {
    /// Units, by what became of them.
    pub units: Units,
    /// Records that were written.
    pub records: u64,
    /// Bytes of content that were written.
    pub bytes: u64,
    /// Units that were not copied, those of earlier attempts included where they still stand so.
    pub failures: Vec<Failure>,
    /// Units that were set aside ([`OnUnsupported::Aside`]).
    pub aside: Vec<Failure>,
    /// What the sweep found; `None` where the copy did not come so far, or nothing was written.
    pub swept: Option<SweepReport>,
    /// What a run would do, where it was a dry run.
    pub planned: Option<Planned>,
    /// What went wrong beside the copy itself: everything is there all the same.
    pub warnings: Vec<String>,
    /// Whether it was stopped before the end; the next run goes on from here.
    pub interrupted: bool,
}

/// Units, by what became of them in this attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Units {
    /// They were not at the target, and are now.
    pub copied: u64,
    /// Neither side had moved since the last copy.
    pub unchanged: u64,
    /// Both sides were equal already, and no watermark said so.
    pub adopted: u64,
    /// The source had moved on, and the target followed.
    pub updated: u64,
    /// They were gone from the source, and are gone from the target now.
    pub removed: u64,
    /// Only the target held them, and they were removed as asked.
    pub extra_removed: u64,
}

/// How a copy ended, for an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is at the target, and the sweep agrees.
    Clean,
    /// Everything but what was set aside.
    SetAside,
    /// Units failed, or the sweep found differences.
    Incomplete,
    /// It was stopped, and can be resumed.
    Interrupted,
}

impl Outcome {
    /// Returns the word that the ledger keeps of an attempt.
    pub fn word(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::SetAside => "set aside",
            Self::Incomplete => "incomplete",
            Self::Interrupted => "interrupted",
        }
    }
}

impl CopyReport {
    /// Says how it ended.
    pub fn outcome(&self) -> Outcome {
        let differ = self.swept.as_ref().is_some_and(|s| !s.is_clean());
        let refused = self.planned.as_ref().is_some_and(|p| p.refused() > 0);
        match (self.interrupted, self.failures.is_empty(), self.aside.is_empty()) {
            (true, ..) => Outcome::Interrupted,
            _ if differ || refused => Outcome::Incomplete,
            (_, false, _) => Outcome::Incomplete,
            (_, _, false) => Outcome::SetAside,
            _ => Outcome::Clean,
        }
    }

    /// Says whether everything is at the target, and the sweep agrees.
    pub fn is_clean(&self) -> bool {
        self.outcome() == Outcome::Clean
    }

    /// Puts failures where the options want them.
    pub(super) fn sort_failures(&mut self, failures: Vec<Failure>, on: OnUnsupported) {
        let aside = |f: &Failure| {
            on == OnUnsupported::Aside && matches!(&*f.what, "unsupported" | "damaged")
        };
        (self.aside, self.failures) = failures.into_iter().partition(aside);
    }
}

/// Makes the report of an attempt.
pub(super) async fn of(shared: &Shared, swept: Option<SweepReport>) -> Result<CopyReport> {
    let tally = shared.tally().clone();
    let interrupted = swept.as_ref().is_none_or(|s| s.interrupted);
    let mut report = CopyReport {
        units: tally.units,
        records: tally.records,
        bytes: tally.bytes,
        swept,
        interrupted,
        ..CopyReport::default()
    };
    report.sort_failures(failures(shared).await?, shared.options.unsupported);
    Ok(report)
}

/// Returns the failures of the migration that still stand, for the units that were asked for.
pub(super) async fn failures(shared: &Shared) -> Result<Vec<Failure>> {
    let addresses = (&*shared.source.info().address, &*shared.target.info().address);
    standing(&*shared.ledger, addresses, &shared.options.units).await
}

/// Returns what damage the last walk over the source met.
pub(super) async fn hidden(parties: &Parties) -> Result<Hidden> {
    let (source, target) = parties.compared();
    let addresses = (&*source.info().address, &*target.info().address);
    let mut failures = standing(&*parties.ledger, addresses, &UnitFilter::All).await?;
    failures.retain(|f| &*f.what == "damaged");
    let nameless = failures.iter().any(|f| f.unit.is_none());
    let units = failures.into_iter().filter_map(|f| f.unit).collect();
    Ok(Hidden { units, nameless })
}

/// Returns the failures that a ledger keeps of a migration.
pub(crate) async fn standing(
    ledger: &dyn Ledger,
    (source, target): (&str, &str),
    units: &UnitFilter,
) -> Result<Vec<Failure>> {
    let summaries = ledger.summaries().await?;
    let ours = summaries.into_iter().find(|s| s.source == source && s.target == target);
    let mut failures = ours.map(|s| s.failures).unwrap_or_default();
    failures.retain(|f| f.unit.as_ref().is_none_or(|u| units.matches(u)));
    Ok(failures)
}
