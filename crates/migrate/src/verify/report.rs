//! What a verification reports: differences by name, the first of them, and counts of all.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use restow_model::{Key, UnitId};

use crate::{Progress, Relation};

/// What is different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum What {
    /// The target does not hold the unit.
    UnitMissing,
    /// Only the target holds the unit, and no watermark covers it.
    UnitExtra,
    /// The target does not hold the record.
    RecordMissing,
    /// Only the target holds the record.
    RecordExtra,
    /// The record's body, and so perhaps a value, is another.
    RecordAltered,
    /// Only the record's residue is another.
    ResidueAltered,
    /// Something at the source is not what it claims to be.
    DamagedSource,
    /// Something at the target is not what it claims to be.
    DamagedTarget,
    /// Two ways of walking one store found different records in a bucket.
    WalksDisagree,
    /// Lag: the unit was never copied.
    NotCopied,
    /// Lag: the unit is gone from the source since it was copied.
    GoneFromSource,
    /// Lag: the source moved on since the unit was copied.
    SourceMoved,
}

impl What {
    /// Says whether it is lag: another copy ends it, nothing is wrong.
    pub fn is_lag(self) -> bool {
        matches!(self, Self::NotCopied | Self::GoneFromSource | Self::SourceMoved)
    }

    /// Returns the words for a report.
    pub fn word(self) -> &'static str {
        match self {
            Self::UnitMissing => "missing at the target",
            Self::UnitExtra => "extra at the target",
            Self::RecordMissing => "record missing at the target",
            Self::RecordExtra => "record extra at the target",
            Self::RecordAltered => "record differs",
            Self::ResidueAltered => "residue differs",
            Self::DamagedSource => "damaged at the source",
            Self::DamagedTarget => "damaged at the target",
            Self::WalksDisagree => "two walks of one store disagree",
            Self::NotCopied => "not copied yet",
            Self::GoneFromSource => "gone from the source since",
            Self::SourceMoved => "source moved on since",
        }
    }
}

/// One difference, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The unit, where that can be told.
    pub unit: Option<UnitId>,
    /// The record, where it is about one.
    pub key: Option<Key>,
    /// What is different.
    pub what: What,
    /// How the unit's two sides stand to the last copy, where a ledger tells:
    /// [`Relation::TargetMoved`] is an application's write at the target, or damage there.
    pub relation: Option<Relation>,
    /// Place and why, for damage.
    pub detail: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what.word())?;
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        if let Some(unit) = &self.unit {
            write!(f, ", unit {unit}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ", record {key}")?;
        }
        match self.relation {
            Some(Relation::TargetMoved) => f.write_str(" (the target changed since the copy)"),
            Some(Relation::BothMoved) => f.write_str(" (both changed since the copy)"),
            _ => Ok(()),
        }
    }
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Records that were read at the source.
    pub source_records: u64,
    /// Records that were read at the target.
    pub target_records: u64,
    /// Of 10,000 buckets, those whose sums differed.
    pub buckets_unequal: u64,
    /// The first findings, by name.
    pub findings: Vec<Finding>,
    /// How many findings there are of each kind, those that are not named included.
    pub counts: BTreeMap<What, u64>,
    /// Units that only the target holds and no watermark covers.
    pub extra_units: u64,
    /// Units and places that differ as the copy has reported already.
    pub excused: u64,
    /// Whether it was stopped before the end; then it says nothing.
    pub interrupted: bool,
}

impl SweepReport {
    /// Says whether both stores hold the same, apart from extra and excused units.
    pub fn is_clean(&self) -> bool {
        !self.interrupted && self.counts.keys().all(|what| *what == What::UnitExtra)
    }

    /// Says whether nothing is wrong: what differs is lag, extra or excused.
    pub fn is_sound(&self) -> bool {
        let harmless = |what: &What| what.is_lag() || *what == What::UnitExtra;
        !self.interrupted && self.counts.keys().all(harmless)
    }

    /// Returns how many findings there are of a kind.
    pub fn count(&self, what: What) -> u64 {
        self.counts.get(&what).copied().unwrap_or(0)
    }
}

/// Collects findings.
pub(super) struct Findings {
    pub(super) report: SweepReport,
    named_max: usize,
    progress: Arc<Progress>,
}

impl Findings {
    pub(super) fn new(named_max: usize, progress: Arc<Progress>) -> Self {
        Self { report: SweepReport::default(), named_max, progress }
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.count_more(finding.what, 1);
        if self.report.findings.len() < self.named_max {
            self.report.findings.push(finding);
        }
    }

    pub(super) fn count_more(&mut self, what: What, more: u64) {
        if more > 0 {
            *self.report.counts.entry(what).or_default() += more;
        }
        if more > 0 && !what.is_lag() && what != What::UnitExtra {
            self.progress.failure();
        }
    }

    pub(super) fn room(&self) -> usize {
        self.named_max.saturating_sub(self.report.findings.len())
    }
}
