//! Units over the budget: staged share by share, read back, promoted in one step.

use std::sync::Arc;

use restow_model::{Record, Token, UnitDigest, UnitId};
use restow_store::failpoint::{self, Point};
use restow_store::ledger::Partial;
use restow_store::{Content, Guard, Op, Result, Selection, Then, UnitOps};

use super::account::{Account, Judged};
use super::current::{Current, Mode, Staging, Written};
use super::lane::Lane;
use super::shared::{Became, Shared};
use crate::join::Join;
use crate::look::{Seen, look};

impl Lane {
    /// Decides what a unit that has outgrown its budget becomes: staged, or compared.
    pub(super) async fn begin_large(&mut self) -> Result<()> {
        let Some(mut current) = self.current.take() else { return Ok(()) };
        let shared = &self.shared;
        let guard = match &self.forced {
            Some(guard) => Some(guard.clone()),
            None => {
                let unit = std::slice::from_ref(&current.unit);
                let known = shared.ledger.watermarks(shared.migration, unit).await?;
                known.iter().all(Option::is_none).then_some(Guard::Absent)
            }
        };
        if let Some(guard) = guard {
            if !shared.target.info().capabilities.staging {
                let why =
                    "it is larger than the target takes at once, and the target stages nothing";
                current.fault("unsupported", why);
                self.current = Some(current);
                return Ok(());
            }
            let token = shared.token(&current.unit);
            // Whatever happens from here on, the end of a pass knows what to take away.
            self.account.step.staging.push((current.unit.clone(), token.clone()));
            self.save().await?;
            let mut records = current.take_records().into_iter().peekable();
            let first = self.chunk(&mut records);
            let rest: Vec<Record> = records.collect();
            // What an attempt that died has staged under this token goes first.
            let puts = first.iter().cloned().map(Op::put);
            let ops = std::iter::once(Op::Clear).chain(puts).collect();
            let then = Then::Stage(token.clone());
            let ops = UnitOps::new(current.unit.clone(), current.dialect, guard, ops, then);
            match self.account.apply_one(ops).await? {
                Judged::Applied => {
                    failpoint::pass(Point::Staged)?;
                    current.mode = Mode::Stage(Staging { token, resumed: false });
                    current.restore(rest);
                    self.current = Some(current);
                    return self.stage_share().await;
                }
                Judged::Lost if self.forced.is_none() => current.restore([first, rest].concat()),
                Judged::Lost => {
                    self.account.again.push((current.unit.clone(), None));
                    current.mode = Mode::Skip;
                    self.current = Some(current);
                    self.due = true;
                    return Ok(());
                }
                Judged::TooLarge => {
                    current.fault("unsupported", too_large(&first));
                    self.current = Some(current);
                    return Ok(());
                }
                Judged::Failed => {
                    current.mode = Mode::Skip;
                    self.current = Some(current);
                    return Ok(());
                }
            }
        }
        let mut join = Join::begin(&*self.shared.target, current.unit.clone(), 3).await?;
        for record in current.take_records() {
            join.push(record).await?;
        }
        current.mode = Mode::Compare(Box::new(join));
        self.current = Some(current);
        Ok(())
    }

    /// Stages the records in hand and saves how far that is.
    pub(super) async fn stage_share(&mut self) -> Result<()> {
        let Some(mut current) = self.current.take() else { return Ok(()) };
        self.stage_records(&mut current).await?;
        let staging = match &current.mode {
            Mode::Stage(staging) => Some(staging.token.clone()),
            _ => None,
        };
        if let (Some(token), Some((cursor, staged))) = (staging, &current.mark)
            && let Some(saved) = &mut self.saved
        {
            let unit = current.unit.clone();
            saved.cursor = Some(cursor.clone());
            saved.partial = Some(Partial { unit, token, staged: *staged });
            self.save().await?;
        }
        self.current = Some(current);
        Ok(())
    }

    async fn stage_records(&mut self, current: &mut Current) -> Result<()> {
        let Mode::Stage(staging) = &current.mode else { return Ok(()) };
        let token = staging.token.clone();
        let mut records = current.take_records().into_iter().peekable();
        while records.peek().is_some() {
            let chunk = self.chunk(&mut records);
            let ops = chunk.iter().cloned().map(Op::put).collect();
            let guard = Guard::Staging(token.clone());
            let unit = current.unit.clone();
            let ops = UnitOps::new(unit.clone(), current.dialect, guard, ops, Then::Keep);
            match self.account.apply_one(ops).await? {
                Judged::Applied => failpoint::pass(Point::Staged)?,
                // It was promoted before its account was saved, or is no longer there.
                Judged::Lost => {
                    self.account.again.push((unit, None));
                    self.due = true;
                    current.mode = Mode::Skip;
                    return Ok(());
                }
                Judged::TooLarge => {
                    current.fault("unsupported", too_large(&chunk));
                    return Ok(());
                }
                Judged::Failed => {
                    current.fault("failed", "");
                    current.failure();
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Takes as many records as one apply may hold; one at least.
    fn chunk(&self, records: &mut std::iter::Peekable<std::vec::IntoIter<Record>>) -> Vec<Record> {
        let capabilities = self.shared.target.info().capabilities;
        let (mut chunk, mut weight): (Vec<Record>, usize) = (Vec::new(), 0);
        while let Some(next) = records.peek() {
            weight += next.weight();
            let full = weight > capabilities.apply_bytes_max
                || chunk.len() >= capabilities.apply_records_max;
            if full && !chunk.is_empty() {
                break;
            }
            chunk.extend(records.next());
        }
        chunk
    }

    /// Reads a staged unit back and promotes it.
    pub(super) async fn finish_staging(&mut self, mut current: Current) -> Result<()> {
        self.stage_records(&mut current).await?;
        let Mode::Stage(staging) = &current.mode else {
            if let Some(failure) = current.failure() {
                self.account.failed(failure.unit, &failure.what, failure.why);
            }
            return self.discard_of(current).await;
        };
        let Staging { token, resumed } = staging.clone();
        let unit = current.unit.clone();
        self.due = true;
        if (resumed || !self.shared.source.info().capabilities.snapshot_reads)
            && self.source_sum(&unit).await? != current.sum
        {
            // What was staged belongs to another state of the unit.
            self.account.again.push((unit, None));
            return self.discard_of(current).await;
        }
        let what = Selection::staged(token.clone());
        let seen = look(&*self.shared.target, vec![unit.clone()], what).await?;
        let found = seen.get(&unit);
        if found.is_none_or(|s| s.damage.is_some() || s.digest != current.sum) {
            if resumed {
                self.account.again.push((unit, None));
            } else {
                let damage = found.and_then(|s| s.damage.clone());
                let why = damage.unwrap_or_else(|| count_of(found, &current.sum));
                let why = format!("what was staged reads back differently: {why}; run this again");
                self.account.failed(Some(unit), "mismatch", why);
            }
            return self.discard_of(current).await;
        }
        failpoint::pass(Point::ReadBack)?;
        self.promote(current, token).await
    }

    async fn promote(&mut self, current: Current, token: Token) -> Result<()> {
        failpoint::pass(Point::Promote)?;
        let unit = current.unit.clone();
        let guard = Guard::Staging(token.clone());
        let then = Then::Promote(token.clone());
        let ops = UnitOps::new(unit.clone(), current.dialect, guard, Vec::new(), then);
        match self.account.apply_one(ops).await? {
            Judged::Applied => {
                failpoint::pass(Point::Promoted)?;
                self.account.step.unstaged.push(unit.clone());
                let updated = matches!(&self.forced, Some(Guard::Exactly(_)));
                let became = if updated { Became::Updated } else { Became::Copied };
                let written = Written { records: current.sum.records, bytes: current.bytes };
                self.account.settled(unit, current.sum, written, became);
                Ok(())
            }
            Judged::Failed => self.account.discard(unit, Some(token)).await,
            // The unit moved at the target, or an answer was lost: looked at once more.
            Judged::Lost | Judged::TooLarge => {
                self.account.discard(unit.clone(), Some(token)).await?;
                self.account.again.push((unit, None));
                Ok(())
            }
        }
    }

    async fn source_sum(&mut self, unit: &UnitId) -> Result<UnitDigest> {
        let what = Selection { content: Content::Bodies, ..Selection::all() };
        let seen = look(&*self.shared.source, vec![unit.clone()], what).await?;
        Ok(seen.get(unit).map(|s| s.digest).unwrap_or_default())
    }

    async fn discard_of(&mut self, current: Current) -> Result<()> {
        let token = match current.mode {
            Mode::Stage(staging) => Some(staging.token),
            Mode::Drop(token) => token,
            _ => None,
        };
        self.account.discard(current.unit, token).await
    }
}

/// Discards what was staged and not promoted, in this attempt or in one that died.
pub(super) async fn discard_rest(shared: &Arc<Shared>) -> Result<()> {
    let mut account = Account::new(shared.clone());
    for (unit, token) in shared.ledger.stagings(shared.migration).await? {
        if shared.options.units.matches(&unit) {
            account.discard(unit, Some(token)).await?;
        }
    }
    match account.step.unstaged.is_empty() {
        true => Ok(()),
        false => shared.ledger.save(shared.pass, account.step).await,
    }
}

impl Current {
    /// Puts records back that were taken and not written; they are in the sum already.
    fn restore(&mut self, records: Vec<Record>) {
        self.heft = records.iter().map(crate::look::heft_of).sum();
        self.weight = records.iter().map(Record::weight).sum();
        self.records = records;
    }
}

fn too_large(records: &[Record]) -> String {
    match records.first() {
        Some(record) => format!("record {} is larger than the target takes", record.key),
        None => "it is larger than the target takes".into(),
    }
}

pub(super) fn count_of(found: Option<&Seen>, sum: &UnitDigest) -> String {
    let there = found.map_or(0, |s| s.digest.records);
    match there == sum.records {
        true => format!("of {there} records some differ"),
        false => format!("{there} records instead of {}", sum.records),
    }
}
