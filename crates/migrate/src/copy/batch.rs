//! A batch of small units: applied, read back, compared, or settled with what is there already.

use restow_model::UnitId;
use restow_store::failpoint::{self, Point};
use restow_store::ledger::Watermark;
use restow_store::{Guard, Op, Result, Selection, Stamp, Then, UnitOps};

use super::account::{Account, Judged};
use super::current::{Whole, Written};
use super::shared::Became;
use crate::Relation;
use crate::join::{Join, Joined};
use crate::look::{Seen, look};

impl Account {
    /// Brings a batch of units to the target.
    pub(super) async fn write(&mut self, batch: Vec<Whole>) -> Result<()> {
        let units: Vec<UnitId> = batch.iter().map(|w| w.unit.clone()).collect();
        let known = self.shared.ledger.watermarks(self.shared.migration, &units).await?;
        let (mut fresh, mut settle) = (Vec::new(), Vec::new());
        for (whole, watermark) in batch.into_iter().zip(known) {
            match watermark {
                None => fresh.push(whole),
                Some(_) => settle.push((whole, watermark)),
            }
        }
        let written = self.put(fresh, &mut settle).await?;
        self.read_back(written, Became::Copied).await?;
        self.settle(settle).await
    }

    /// Applies units that should not be there; those that are go to `settle`.
    async fn put(
        &mut self,
        fresh: Vec<Whole>,
        settle: &mut Vec<(Whole, Option<Watermark>)>,
    ) -> Result<Vec<Whole>> {
        let ops = fresh.iter().map(|w| w.ops(Guard::Absent)).collect();
        let outcomes = self.apply(ops).await?;
        let mut written = Vec::with_capacity(fresh.len());
        for (whole, outcome) in fresh.into_iter().zip(outcomes) {
            match self.judge(&whole.unit, outcome)? {
                Judged::Applied => written.push(whole),
                Judged::Lost => settle.push((whole, None)),
                Judged::TooLarge => self.again.push((whole.unit, Some(Guard::Absent))),
                Judged::Failed => {}
            }
        }
        Ok(written)
    }

    /// Reads units back and compares; only now they count.
    pub(super) async fn read_back(&mut self, written: Vec<Whole>, became: Became) -> Result<()> {
        if written.is_empty() {
            return Ok(());
        }
        let units = written.iter().map(|w| w.unit.clone()).collect();
        let seen = look(&*self.shared.target, units, Selection::all()).await?;
        for whole in written {
            let found = seen.get(&whole.unit);
            let damage = found.and_then(|s| s.damage.as_deref());
            if damage.is_none() && found.is_some_and(|s| s.digest == whole.sum) {
                self.settled(whole.unit, whole.sum, whole.written, became);
                continue;
            }
            let why = match damage {
                Some(damage) => damage.to_owned(),
                None => named(&self.join(&whole).await?),
            };
            let why = format!(
                "what was written reads back differently: {why}; the target cannot be trusted \
                 with it: remove it there, mend the cause and run this again"
            );
            self.failed(Some(whole.unit), "mismatch", why);
        }
        failpoint::pass(Point::ReadBack)
    }

    /// Settles units that the target may hold already: by both sides' digests and the watermark.
    async fn settle(&mut self, units: Vec<(Whole, Option<Watermark>)>) -> Result<()> {
        if units.is_empty() {
            return Ok(());
        }
        let names = units.iter().map(|(w, _)| w.unit.clone()).collect();
        let seen = look(&*self.shared.target, names, Selection::all()).await?;
        let (mut missing, mut updated) = (Vec::new(), Vec::new());
        for (whole, watermark) in units {
            let found = seen.get(&whole.unit);
            if self.is_closed(&whole.unit, found) {
                continue;
            }
            let relation = Relation::of(&whole.sum, Seen::there(found), watermark.as_ref());
            match relation {
                Relation::New => missing.push(whole),
                Relation::Unchanged => {
                    self.settled(whole.unit, whole.sum, whole.written, Became::Unchanged);
                }
                Relation::Adopted => {
                    self.settled(whole.unit, whole.sum, whole.written, Became::Adopted);
                }
                Relation::SourceMoved => updated.extend(self.update(whole, watermark).await?),
                _ => self.failed(Some(whole.unit), "refused", relation.refusal().unwrap_or("")),
            }
        }
        let mut moved = Vec::new();
        let written = self.put(missing, &mut moved).await?;
        self.again.extend(moved.into_iter().map(|(whole, _)| (whole.unit, None)));
        self.read_back(written, Became::Copied).await?;
        self.read_back(updated, Became::Updated).await
    }

    /// Reports a unit of the target that cannot be written to, whatever its digest.
    pub(super) fn is_closed(&mut self, unit: &UnitId, found: Option<&Seen>) -> bool {
        let Some(found) = found else { return false };
        let (what, why) = match (&found.damage, &found.control) {
            (Some(damage), _) => ("damaged", format!("at the target: {damage}")),
            (None, Some(control)) => {
                let other = &control.counterpart;
                ("refused", format!("at the target it belongs to a live migration with {other}"))
            }
            (None, None) => return false,
        };
        self.failed(Some(unit.clone()), what, why);
        true
    }

    /// Applies what makes the target's copy equal, if it still is as it was left.
    async fn update(&mut self, mut whole: Whole, mark: Option<Watermark>) -> Result<Option<Whole>> {
        let joined = self.join(&whole).await?;
        if mark.is_none_or(|w| w.target != joined.target) {
            // It moved since it was looked at; read both again.
            self.again.push((whole.unit, None));
            return Ok(None);
        }
        let ops = joined.ops.unwrap_or_else(|| {
            std::iter::once(Op::Clear).chain(whole.ops.iter().cloned()).collect()
        });
        whole.written = Written::of(&ops);
        let guard = Guard::Exactly(Stamp::Content(joined.target));
        let ops = UnitOps::new(whole.unit.clone(), whole.dialect, guard.clone(), ops, Then::Keep);
        for outcome in self.apply(vec![ops]).await? {
            match self.judge(&whole.unit, outcome)? {
                Judged::Applied => return Ok(Some(whole)),
                Judged::Lost => self.again.push((whole.unit.clone(), None)),
                Judged::TooLarge => self.again.push((whole.unit.clone(), Some(guard.clone()))),
                Judged::Failed => {}
            }
        }
        Ok(None)
    }

    /// Joins a unit in memory with what the target holds of it.
    async fn join(&mut self, whole: &Whole) -> Result<Joined> {
        let mut join = Join::begin(&*self.shared.target, whole.unit.clone(), 3).await?;
        for op in whole.ops.iter() {
            if let Op::Put { record, .. } = op {
                join.push(record.clone()).await?;
            }
        }
        join.finish().await
    }
}

impl Whole {
    fn ops(&self, guard: Guard) -> UnitOps {
        UnitOps {
            unit: self.unit.clone(),
            dialect: self.dialect,
            guard,
            ops: self.ops.clone(),
            then: Then::Keep,
            control: None,
            op_id: None,
        }
    }
}

/// Says in a sentence which records differ.
pub(super) fn named(joined: &Joined) -> String {
    let names: Vec<String> = joined
        .named
        .iter()
        .map(|(key, differs)| format!("record {key} {}", differs.word()))
        .collect();
    let more = joined.differences.saturating_sub(names.len() as u64);
    let damage = joined.target_damage.iter().cloned();
    let mut all: Vec<String> = names.into_iter().chain(damage).collect();
    if more > 0 {
        all.push(format!("and {more} records more"));
    }
    if all.is_empty() {
        all.push("it read back right only the second time".into());
    }
    all.join(", ")
}
