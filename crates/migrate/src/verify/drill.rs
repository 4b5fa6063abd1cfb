//! From unequal buckets to named records: units merged in their order, then records in theirs.

use std::sync::Arc;

use futures::StreamExt;
use restow_model::{BUCKETS, UnitDigest, UnitId};
use restow_store::ledger::Watermark;
use restow_store::{Content, Enumeration, Error, ErrorKind, Frame, Frames, Result, Segment, Store};
use tokio::sync::mpsc;

use super::report::{Finding, Findings, What};
use super::sums::bucket_of;
use super::{Compared, VerifyOptions};
use crate::Relation;
use crate::join::{Differs, Join};

/// The walk from buckets to records.
pub(super) struct Drill<'c> {
    compared: &'c Compared,
    options: &'c VerifyOptions,
    extras: Option<mpsc::Sender<(UnitId, UnitDigest)>>,
    unequal: Arc<[bool]>,
}

/// What the second walk found in each bucket.
type Table = Box<[UnitDigest]>;

impl<'c> Drill<'c> {
    pub(super) fn new(
        compared: &'c Compared,
        options: &'c VerifyOptions,
        extras: Option<mpsc::Sender<(UnitId, UnitDigest)>>,
        buckets: &[u16],
    ) -> Self {
        let mut unequal = vec![false; usize::from(BUCKETS)];
        buckets.iter().for_each(|n| unequal[usize::from(*n)] = true);
        Self { compared, options, extras, unequal: unequal.into() }
    }

    /// Names what differs; `source` and `target` are the sums of the first walk.
    pub(super) async fn run(
        &self,
        findings: &mut Findings,
        source: &[UnitDigest],
        target: &[UnitDigest],
    ) -> Result<()> {
        let mut left = Walk::begin(&*self.compared.source, self).await?;
        let mut right = Walk::begin(&*self.compared.target, self).await?;
        let (mut ours, mut theirs) = (left.next().await?, right.next().await?);
        while ours.is_some() || theirs.is_some() {
            if self.options.stop.is_stopped() {
                findings.report.interrupted = true;
                return Ok(());
            }
            let order = match (&ours, &theirs) {
                (Some((a, _)), Some((b, _))) => a.cmp(b),
                (Some(_), None) => std::cmp::Ordering::Less,
                _ => std::cmp::Ordering::Greater,
            };
            let a = if order.is_le() { ours.take() } else { None };
            let b = if order.is_ge() { theirs.take() } else { None };
            if order.is_le() {
                ours = left.next().await?;
            }
            if order.is_ge() {
                theirs = right.next().await?;
            }
            let unit = a.as_ref().or(b.as_ref()).map(|(unit, _)| unit.clone());
            if let Some(unit) = unit {
                self.unit(findings, unit, a.map(|a| a.1), b.map(|b| b.1)).await?;
            }
        }
        for (side, first, second) in
            [("source", source, &left.sums), ("target", target, &right.sums)]
        {
            self.compare_walks(findings, side, first, second);
        }
        Ok(())
    }

    /// Both walks of a store must have found the same: what one overlooks the other finds.
    fn compare_walks(
        &self,
        findings: &mut Findings,
        side: &str,
        first: &[UnitDigest],
        second: &[UnitDigest],
    ) {
        for n in (0..self.unequal.len()).filter(|n| self.unequal[*n] && first[*n] != second[*n]) {
            let (by_storage, by_unit) = (first[n].records, second[n].records);
            let detail = format!(
                "at the {side}, bucket {n} holds {by_storage} records as stored and {by_unit} \
                 unit by unit, or others; it is being written to, or an index of it is damaged"
            );
            findings.add(Finding {
                unit: None,
                key: None,
                what: What::WalksDisagree,
                relation: None,
                detail: Some(detail),
            });
        }
    }

    async fn unit(
        &self,
        findings: &mut Findings,
        unit: UnitId,
        source: Option<UnitDigest>,
        target: Option<UnitDigest>,
    ) -> Result<()> {
        if source == target {
            return Ok(());
        }
        if self.compared.excused.units.contains(&unit) {
            findings.report.excused += 1;
            return Ok(());
        }
        let watermark = self.watermark(&unit).await?;
        let ledger = self.compared.watermarks.is_some();
        let what = match (source, target, watermark) {
            (Some(_), None, None) if ledger => What::NotCopied,
            (Some(_), None, _) => What::UnitMissing,
            (None, Some(_), Some(_)) => What::GoneFromSource,
            (None, Some(there), None) => {
                findings.report.extra_units += 1;
                if let Some(extras) = &self.extras {
                    // Whoever takes them has failed, and says so itself.
                    let _ = extras.send((unit, there)).await;
                    return Ok(());
                }
                What::UnitExtra
            }
            (Some(s), Some(t), w) => match Relation::of(&s, Some(&t), w.as_ref()) {
                Relation::SourceMoved => What::SourceMoved,
                relation => {
                    let relation = w.map(|_| relation);
                    return self.records(findings, unit, relation).await;
                }
            },
            (None, None, _) => return Ok(()),
        };
        let unit = Some(unit);
        findings.add(Finding { unit, key: None, what, relation: None, detail: None });
        Ok(())
    }

    async fn watermark(&self, unit: &UnitId) -> Result<Option<Watermark>> {
        let Some((ledger, migration)) = &self.compared.watermarks else { return Ok(None) };
        let found = ledger.watermarks(*migration, std::slice::from_ref(unit)).await?;
        Ok(found.into_iter().next().flatten())
    }

    /// Names the records of a unit that differ.
    async fn records(
        &self,
        findings: &mut Findings,
        unit: UnitId,
        relation: Option<Relation>,
    ) -> Result<()> {
        let (source, target) = (&self.compared.source, &*self.compared.target);
        let mut join = Join::begin(target, unit.clone(), findings.room().max(1)).await?;
        let mut frames = source.read(vec![unit.clone()], restow_store::Selection::all()).await?;
        while let Some(frame) = frames.next().await {
            if let Frame::Record(record) = frame? {
                join.push(record).await?;
            }
        }
        let joined = join.finish().await?;
        let named = joined.named.len() as u64;
        let mut last = What::RecordAltered;
        for (key, differs) in joined.named {
            last = match differs {
                Differs::Missing => What::RecordMissing,
                Differs::Extra => What::RecordExtra,
                Differs::Altered => What::RecordAltered,
                Differs::Residue => What::ResidueAltered,
            };
            let (unit, key) = (Some(unit.clone()), Some(key));
            findings.add(Finding { unit, key, what: last, relation, detail: None });
        }
        findings.count_more(last, joined.differences.saturating_sub(named));
        if named == 0 {
            // Each record is right when it is read by name; the unit's walk was not.
            let detail = Some("the unit's records are equal when they are read by name".into());
            let what = What::WalksDisagree;
            findings.add(Finding { unit: Some(unit), key: None, what, relation, detail });
        }
        Ok(())
    }
}

/// A walk over the units of unequal buckets, ascending.
struct Walk {
    frames: Frames,
    unequal: Arc<[bool]>,
    units: crate::UnitFilter,
    last: Option<UnitId>,
    sums: Table,
}

impl Walk {
    async fn begin(store: &dyn Store, drill: &Drill<'_>) -> Result<Self> {
        let frames = store.scan(Segment::whole(Enumeration::Units), None, Content::Checked).await?;
        Ok(Self {
            frames,
            unequal: drill.unequal.clone(),
            units: drill.options.units.clone(),
            last: None,
            sums: vec![UnitDigest::default(); usize::from(BUCKETS)].into(),
        })
    }

    /// Returns the next unit with records, and its digest.
    async fn next(&mut self) -> Result<Option<(UnitId, UnitDigest)>> {
        let mut open: Option<(UnitId, usize, UnitDigest)> = None;
        while let Some(frame) = self.frames.next().await {
            match frame? {
                Frame::Begin { unit, .. } => {
                    if self.last.as_ref().is_some_and(|last| *last >= unit) {
                        let message = "units out of order; this is a defect of the adapter";
                        let error = Error::new(ErrorKind::Failed, "walk units", message);
                        return Err(error.with("unit", unit.to_string()));
                    }
                    self.last = Some(unit.clone());
                    let bucket = bucket_of(&unit);
                    let wanted = self.unequal[bucket] && self.units.matches(&unit);
                    open = wanted.then(|| (unit, bucket, UnitDigest::default()));
                }
                Frame::Record(record) => {
                    if let Some((_, _, sum)) = &mut open {
                        sum.merge(&record.summed());
                    }
                }
                Frame::End { .. } => {
                    if let Some((unit, bucket, sum)) = open.take().filter(|o| o.2.records > 0) {
                        self.sums[bucket].merge(&sum);
                        return Ok(Some((unit, sum)));
                    }
                }
                Frame::Damaged { .. } | Frame::Mark(_) => {}
            }
        }
        Ok(None)
    }
}
