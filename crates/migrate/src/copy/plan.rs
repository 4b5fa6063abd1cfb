//! The dry run: everything is read, on both sides, and nothing is written anywhere.

use std::collections::{HashMap, HashSet};

use futures::StreamExt;
use restow_model::{Dialect, UnitDigest, UnitId};
use restow_store::ledger::{Failure, MigrationId, Summary, Watermark};
use restow_store::{
    Content, Enumeration, Error, ErrorKind, Frame, Frames, Result, Selection, Unsupported,
};

use super::shared::{Parties, now_ms};
use super::{CopyOptions, CopyReport};
use crate::limits::{BATCH_UNITS_MAX, NAMED_MAX};
use crate::look::{Seen, bytes_of, held, look};
use crate::{Phase, Relation, UnitFilter};

/// What a run would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// Units of the source.
    pub units: u64,
    /// Records of the source.
    pub records: u64,
    /// Bytes of content of the source.
    pub bytes: u64,
    /// Units that would be copied.
    pub new: u64,
    /// Units that are as they were copied.
    pub unchanged: u64,
    /// Units that are equal already, without a watermark.
    pub adopted: u64,
    /// Units that would follow the source.
    pub source_moved: u64,
    /// Units that would be refused: the target moved on.
    pub target_moved: u64,
    /// Units that would be refused: both moved on.
    pub both_moved: u64,
    /// Units that would be refused: the target holds others of their names.
    pub unrelated: u64,
    /// Units that would be removed from the target: they are gone from the source.
    pub gone: u64,
    /// Units that would be refused: gone from the source, but moved on at the target, or perhaps
    /// only hidden by damage.
    pub gone_refused: u64,
    /// Units that would fail: damaged, unsupported, or in a language that is not copied.
    pub unfit: u64,
    /// Records that the target cannot hold.
    pub unsupported_records: u64,
    /// The first of those records, by name.
    pub unsupported: Vec<(UnitId, Unsupported)>,
    /// The first units that would be refused.
    pub refusals: Vec<(UnitId, Relation)>,
    /// The first units that would be removed from the target.
    pub removals: Vec<UnitId>,
}

impl Planned {
    /// Returns how many units a run would not copy.
    pub fn refused(&self) -> u64 {
        self.target_moved + self.both_moved + self.unrelated + self.unfit + self.gone_refused
    }

    fn count(&mut self, unit: UnitId, relation: Relation) {
        let counter = match relation {
            Relation::New => &mut self.new,
            Relation::Unchanged => &mut self.unchanged,
            Relation::Adopted => &mut self.adopted,
            Relation::SourceMoved => &mut self.source_moved,
            Relation::TargetMoved => &mut self.target_moved,
            Relation::BothMoved => &mut self.both_moved,
            Relation::Unrelated => &mut self.unrelated,
        };
        *counter += 1;
        if relation.refusal().is_some() && self.refusals.len() < NAMED_MAX {
            self.refusals.push((unit, relation));
        }
    }
}

/// Reports what a run would do.
pub(super) async fn dry_run(parties: &Parties, options: &CopyOptions) -> Result<CopyReport> {
    let source = &parties.source;
    let mut plan = Plan {
        parties,
        options,
        migration: migration(parties).await?,
        open: None,
        batch: Vec::new(),
        planned: Planned::default(),
        failures: Vec::new(),
        marked: 0,
        is_blind: false,
    };
    let mut interrupted = false;
    let streams: Vec<Frames> = match &options.units {
        UnitFilter::List(units) => {
            vec![source.read(units.iter().cloned().collect(), Selection::all()).await?]
        }
        _ => Vec::new(),
    };
    let segments = match streams.is_empty() {
        true => source.segments(options.jobs.max(1), Enumeration::Units).await?,
        false => Vec::new(),
    };
    let estimate = segments.iter().filter_map(|s| s.bytes_estimate).sum();
    parties.progress.enter(Phase::Planning, estimate);
    for frames in streams {
        interrupted |= !plan.follow(frames).await?;
    }
    for segment in segments {
        interrupted |= !plan.follow(source.scan(segment, None, Content::All).await?).await?;
    }
    if !interrupted {
        interrupted = !plan.gone().await?;
    }
    parties.progress.enter(Phase::Done, 0);
    let Plan { planned, failures, .. } = plan;
    let mut report = CopyReport { planned: Some(planned), interrupted, ..CopyReport::default() };
    report.sort_failures(failures, options.unsupported);
    Ok(report)
}

/// Refuses to begin where the target cannot hold a record.
pub(super) async fn refuse_unsupported(parties: &Parties, options: &CopyOptions) -> Result<()> {
    let planned = dry_run(parties, options).await?.planned.unwrap_or_default();
    let Some((unit, first)) = planned.unsupported.first() else { return Ok(()) };
    let message = "the target cannot hold some records, and nothing was written; list them with \
        --dry-run, or leave their units out with --unsupported aside";
    Err(Error::new(ErrorKind::Refused, "plan a copy", message)
        .with("records", planned.unsupported_records.to_string())
        .with("unit", unit.to_string())
        .with("first", first.to_string()))
}

/// Finds the migration without beginning one, as far as the ledger lets that be told, and how many
/// units it has copied.
async fn migration(parties: &Parties) -> Result<Option<(MigrationId, u64)>> {
    let (source, target) = parties.compared();
    let summaries = parties.ledger.summaries().await?;
    let (source, target) = (&source.info().address, &target.info().address);
    let of = |s: &&Summary| s.source == *source && s.target == *target;
    let Some(summary) = summaries.iter().find(of) else { return Ok(None) };
    let id = parties.ledger.open(source, target, now_ms(&*parties.clock)).await?;
    Ok(Some((id, summary.units)))
}

struct Plan<'p> {
    parties: &'p Parties,
    options: &'p CopyOptions,
    migration: Option<(MigrationId, u64)>,
    open: Option<Open>,
    batch: Vec<(UnitId, UnitDigest)>,
    planned: Planned,
    failures: Vec<Failure>,
    /// How many units were met that have a watermark.
    marked: u64,
    /// Whether damage at the source may hide whole units.
    is_blind: bool,
}

struct Open {
    unit: UnitId,
    sum: UnitDigest,
    wanted: bool,
    unfit: Option<Failure>,
}

impl Plan<'_> {
    async fn follow(&mut self, mut frames: Frames) -> Result<bool> {
        while let Some(frame) = frames.next().await {
            if self.options.stop.is_stopped() {
                return Ok(false);
            }
            match frame? {
                Frame::Begin { unit, dialect, .. } => self.begin(unit, dialect),
                Frame::Record(record) => self.record(&record),
                Frame::Damaged { unit, place, why } => {
                    self.damaged(unit, format!("{place}: {why}"));
                }
                Frame::End { .. } => self.end(),
                Frame::Mark(_) => {}
            }
            if self.batch.len() >= BATCH_UNITS_MAX {
                self.compare().await?;
            }
        }
        self.compare().await?;
        Ok(true)
    }

    fn begin(&mut self, unit: UnitId, dialect: Dialect) {
        let wanted = self.options.units.matches(&unit);
        let why = "it was written by LangGraph for JavaScript, which is not copied";
        let unfit = (dialect == Dialect::JavaScript)
            .then(|| failure(Some(unit.clone()), "refused", why.to_owned()));
        self.open = Some(Open { unit, sum: UnitDigest::default(), wanted, unfit });
    }

    fn record(&mut self, record: &restow_model::Record) {
        let Some(open) = self.open.as_mut().filter(|o| o.wanted) else { return };
        let bytes = bytes_of(record);
        self.parties.progress.record(bytes);
        self.planned.records += 1;
        self.planned.bytes += bytes;
        open.sum.merge(&record.summed());
        if let Err(found) = self.parties.target.check(record) {
            let why = found.to_string();
            open.unfit.get_or_insert_with(|| failure(Some(open.unit.clone()), "unsupported", why));
            self.planned.unsupported_records += 1;
            if self.planned.unsupported.len() < NAMED_MAX {
                self.planned.unsupported.push((open.unit.clone(), found));
            }
        }
    }

    fn damaged(&mut self, unit: Option<UnitId>, why: String) {
        self.is_blind |= unit.is_none();
        let inside = self.open.as_mut().filter(|o| Some(&o.unit) == unit.as_ref());
        let wanted = match (&inside, &unit) {
            (Some(open), _) => open.wanted,
            (None, unit) => unit.as_ref().is_none_or(|u| self.options.units.matches(u)),
        };
        let fault = failure(unit, "damaged", why);
        match inside {
            _ if !wanted => {}
            Some(open) => {
                open.unfit.get_or_insert(fault);
            }
            None => self.fail(fault),
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.parties.progress.failure();
        self.planned.unfit += 1;
        if self.failures.len() < NAMED_MAX {
            self.failures.push(failure);
        }
    }

    fn end(&mut self) {
        let Some(open) = self.open.take().filter(|o| o.wanted) else { return };
        self.parties.progress.unit();
        self.planned.units += 1;
        match open.unfit {
            Some(failure) => self.fail(failure),
            None => self.batch.push((open.unit, open.sum)),
        }
    }

    async fn compare(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        let units: Vec<UnitId> = batch.iter().map(|(u, _)| u.clone()).collect();
        let known = match self.migration {
            Some((migration, _)) => self.parties.ledger.watermarks(migration, &units).await?,
            None => vec![None; units.len()],
        };
        self.marked += known.iter().flatten().count() as u64;
        let seen = self.look(units).await?;
        for ((unit, sum), watermark) in batch.into_iter().zip(known) {
            let relation = Relation::of(&sum, Seen::there(seen.get(&unit)), watermark.as_ref());
            self.planned.count(unit, relation);
        }
        Ok(())
    }

    async fn look(&self, units: Vec<UnitId>) -> Result<HashMap<UnitId, Seen>> {
        let what = Selection { content: Content::Bodies, ..Selection::all() };
        match look(&*self.parties.target, units, what).await {
            // A target that nobody has made yet holds nothing.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(HashMap::new()),
            seen => seen,
        }
    }

    /// Counts what is gone from the source since it was copied; false where it was stopped.
    async fn gone(&mut self) -> Result<bool> {
        let unmet = self.migration.filter(|(_, copied)| *copied != self.marked);
        let Some((migration, _)) = unmet else { return Ok(true) };
        let mut after: Option<UnitId> = None;
        loop {
            if self.options.stop.is_stopped() {
                return Ok(false);
            }
            let ledger = &self.parties.ledger;
            let mut marked = ledger.marked(migration, after.as_ref(), BATCH_UNITS_MAX).await?;
            let Some((last, _)) = marked.last() else { return Ok(true) };
            after = Some(last.clone());
            marked.retain(|(unit, _)| self.options.units.matches(unit));
            let names = marked.iter().map(|(unit, _)| unit.clone()).collect();
            let there: HashSet<UnitId> =
                held(&*self.parties.source, names).await?.into_iter().collect();
            marked.retain(|(unit, _)| !there.contains(unit));
            let names = marked.iter().map(|(unit, _)| unit.clone()).collect();
            let seen = self.look(names).await?;
            for (unit, watermark) in marked {
                self.count_gone(unit.clone(), seen.get(&unit), &watermark);
            }
        }
    }

    fn count_gone(&mut self, unit: UnitId, seen: Option<&Seen>, watermark: &Watermark) {
        match Seen::there(seen) {
            _ if self.is_blind => self.planned.gone_refused += 1,
            None => {}
            Some(found) if *found == watermark.target => {
                self.planned.gone += 1;
                if self.planned.removals.len() < NAMED_MAX {
                    self.planned.removals.push(unit);
                }
            }
            Some(_) => self.planned.gone_refused += 1,
        }
    }
}

fn failure(unit: Option<UnitId>, what: &str, why: String) -> Failure {
    Failure { unit, what: what.into(), why: why.into() }
}
