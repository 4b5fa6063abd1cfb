//! A lane: one stream of the source's frames on its way into the target.
//!
//! Invariants:
//! - A heavy batch is written before the next frame is asked for.
//! - The cursor that is saved lies behind nothing but units that are settled, or inside the unit
//!   that is being staged.

use std::sync::Arc;

use futures::StreamExt;
use restow_model::{Control, Dialect, HomeState, Record, UnitDigest, UnitId};
use restow_store::failpoint::{self, Point};
use restow_store::ledger::{Partial, SegmentProgress, Step};
use restow_store::{Cursor, Error, ErrorKind, Frame, Frames, Guard, Result, Selection};

use super::account::Account;
use super::current::{Current, Mode, Staging, Whole};
use super::pipeline::{Ended, Pipeline};
use super::shared::Shared;
use crate::limits::{BATCH_UNITS_MAX, REREADS_MAX};
use crate::look::{CLAIM, bytes_of};

const OPERATION: &str = "copy units";

pub(super) struct Lane {
    pub(super) shared: Arc<Shared>,
    /// What the ledger knows of the share; `None` where it keeps nothing of it.
    pub(super) saved: Option<SegmentProgress>,
    pub(super) current: Option<Current>,
    pub(super) account: Account,
    /// The guard under which every unit of this lane is staged.
    pub(super) forced: Option<Guard>,
    /// Whether the step is saved at the next mark.
    pub(super) due: bool,
    partial: Option<Partial>,
    pipeline: Pipeline,
    batch: Vec<Whole>,
    heft: usize,
    /// The last mark outside a unit.
    outside: Option<Cursor>,
    depth: usize,
    met: bool,
    /// Whether a stop left units unsettled behind which nothing may be saved.
    unsettled: bool,
}

impl Lane {
    pub(super) fn new(shared: Arc<Shared>, saved: Option<SegmentProgress>) -> Self {
        let partial = saved.as_ref().and_then(|s| s.partial.clone());
        let outside = saved.as_ref().filter(|s| s.partial.is_none()).and_then(|s| s.cursor.clone());
        Self {
            saved,
            current: None,
            account: Account::new(shared.clone()),
            pipeline: Pipeline::new(shared.clone()),
            forced: None,
            due: false,
            partial,
            batch: Vec::new(),
            heft: 0,
            outside,
            depth: 0,
            met: false,
            unsettled: false,
            shared,
        }
    }

    /// Copies what a stream delivers; false where it was stopped before the end.
    pub(super) async fn follow(&mut self, frames: Frames) -> Result<bool> {
        let followed = self.frames(frames).await;
        // Whoever resumes the share is not to meet what is still on its way.
        for account in self.pipeline.rest().await {
            self.account.merge(account);
        }
        if followed.is_err() {
            self.keep_settled().await;
        }
        followed
    }

    /// Tells the ledger what is settled behind the place to resume at; it is met again there.
    async fn keep_settled(&mut self) {
        let step = Step { segment: None, ..std::mem::take(&mut self.account.step) };
        self.shared.meets_again(step.watermarks.iter().map(|(unit, _)| unit.clone()));
        // The error that ended the attempt is the one to tell.
        let _ = self.shared.ledger.save(self.shared.pass, step).await;
    }

    async fn frames(&mut self, mut frames: Frames) -> Result<bool> {
        loop {
            let frame = tokio::select! {
                biased;
                () = self.shared.stopped() => {
                    self.flush(false).await?;
                    return Ok(false);
                }
                frame = frames.next() => frame,
            };
            match frame {
                Some(Ok(frame)) => self.frame(frame).await?,
                Some(Err(error)) => {
                    if error.is_retryable() {
                        // What was read whole is not read again.
                        self.flush(false).await?;
                    }
                    return Err(error);
                }
                None => break,
            }
        }
        drop(frames);
        if let Some(current) = &self.current {
            let error = Error::new(ErrorKind::Failed, OPERATION, "the source ended inside a unit");
            return Err(error.with("unit", current.unit.to_string()));
        }
        self.account.again.extend(self.partial.take().map(|p| (p.unit, None)));
        self.flush(true).await
    }

    async fn frame(&mut self, frame: Frame) -> Result<()> {
        match frame {
            Frame::Begin { unit, dialect, control } => self.begin(unit, dialect, control).await,
            Frame::Record(record) => self.record(record).await,
            Frame::Damaged { unit, place, why } => {
                self.damaged(unit, format!("{place}: {why}"));
                Ok(())
            }
            Frame::End { control, digest, .. } => self.end(control, digest).await,
            Frame::Mark(cursor) => self.mark(cursor).await,
        }
    }

    async fn begin(
        &mut self,
        unit: UnitId,
        dialect: Dialect,
        control: Option<Control>,
    ) -> Result<()> {
        if self.due {
            self.flush(false).await?;
        }
        self.met = true;
        let mut current = Current::new(unit, dialect, control, Mode::Gather);
        match self.partial.take() {
            Some(partial) if partial.unit == current.unit => {
                current.sum = partial.staged;
                let cursor = self.saved.as_ref().and_then(|s| s.cursor.clone());
                current.mark = cursor.map(|c| (c, partial.staged));
                current.mode = Mode::Stage(Staging { token: partial.token, resumed: true });
            }
            // The rest of the unit is gone; what was staged is no copy of what is left.
            Some(partial) => self.account.again.push((partial.unit, None)),
            None => {}
        }
        if !self.shared.options.units.matches(&current.unit) {
            current.mode = Mode::Skip;
        } else if let Some(why) = unwanted(&current) {
            current.fault("refused", why);
        } else if current.control.as_ref().is_some_and(|c| c.tombstone) {
            current.mode = Mode::Skip;
        } else if self.shared.is_doomed(&current.unit) {
            // Its failure is in the ledger already.
            current.fault("damaged", "");
            current.failure();
        }
        self.current = Some(current);
        Ok(())
    }

    async fn record(&mut self, record: Record) -> Result<()> {
        let Some(current) = &mut self.current else {
            let error = Error::new(ErrorKind::Failed, OPERATION, "a record outside a unit");
            return Err(error.with("record", record.key.to_string()));
        };
        match &current.mode {
            Mode::Skip => return Ok(()),
            Mode::Drop(_) if !current.counts_unsupported() => return Ok(()),
            _ => {}
        }
        self.shared.progress.record(bytes_of(&record));
        if let Err(found) = self.shared.target.check(&record) {
            current.unsupported(&found);
            return Ok(());
        }
        match &mut current.mode {
            Mode::Gather | Mode::Stage(_) => current.push(record),
            Mode::Compare(join) => return join.push(record).await,
            Mode::Drop(_) | Mode::Skip => return Ok(()),
        }
        self.relieve().await
    }

    /// Writes what has become too heavy to hold.
    async fn relieve(&mut self) -> Result<()> {
        let Some(current) = &self.current else { return Ok(()) };
        if self.heft + current.heft >= self.shared.batch_bytes() && !self.batch.is_empty() {
            self.send().await?;
        }
        let Some(current) = &mut self.current else { return Ok(()) };
        let capabilities = &self.shared.target.info().capabilities;
        let heavy = current.weight > capabilities.apply_bytes_max
            || (capabilities.staging && current.heft >= self.shared.unit_bytes());
        match &current.mode {
            Mode::Gather => {
                let many = current.records.len() > capabilities.apply_records_max;
                if many || heavy || self.forced.is_some() {
                    self.settle_all().await?;
                    self.begin_large().await?;
                }
            }
            Mode::Stage(_) => {
                let many = current.records.len() >= capabilities.apply_records_max;
                if many || heavy {
                    self.stage_share().await?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn damaged(&mut self, unit: Option<UnitId>, why: String) {
        let Some(unit) = unit else {
            self.shared.go_blind();
            self.account.failed(None, "damaged", why);
            return;
        };
        if let Some(current) = self.current.as_mut().filter(|c| c.unit == unit) {
            if !matches!(current.mode, Mode::Skip) {
                current.fault("damaged", why);
            }
            return;
        }
        if self.shared.options.units.matches(&unit) && self.shared.doom(&unit) {
            self.batch.retain(|whole| whole.unit != unit);
            self.account.failed(Some(unit), "damaged", why);
        }
    }

    async fn end(&mut self, control: Option<Control>, digest: Option<UnitDigest>) -> Result<()> {
        let Some(mut current) = self.current.take() else { return Ok(()) };
        let resumed = matches!(&current.mode, Mode::Stage(s) if s.resumed);
        let read = match &current.mode {
            Mode::Gather | Mode::Stage(_) => Some(current.sum),
            _ => None,
        };
        if control != current.control && !matches!(current.mode, Mode::Drop(_) | Mode::Skip) {
            self.account.again.push((current.unit, None));
            self.due = true;
            return Ok(());
        }
        if !resumed && read.zip(digest).is_some_and(|(read, kept)| read != kept) {
            current.fault("damaged", CLAIM);
        }
        match current.mode {
            Mode::Skip => Ok(()),
            Mode::Gather if current.records.is_empty() => Ok(()),
            Mode::Gather => {
                let whole = current.into_whole();
                self.heft += whole.heft;
                self.batch.push(whole);
                match self.batch.len() >= BATCH_UNITS_MAX || self.heft >= self.shared.batch_bytes()
                {
                    true => self.send().await,
                    false => Ok(()),
                }
            }
            Mode::Stage(_) => self.finish_staging(current).await,
            Mode::Compare(_) => self.finish_comparing(current, digest).await,
            Mode::Drop(ref token) => {
                let token = token.clone();
                if let Some(failure) = current.failure() {
                    self.account.failed(failure.unit, &failure.what, failure.why);
                }
                self.account.discard(current.unit, token).await
            }
        }
    }

    async fn mark(&mut self, cursor: Cursor) -> Result<()> {
        match &mut self.current {
            Some(current) => current.mark = Some((cursor, current.sum)),
            None => {
                self.outside = Some(cursor);
                if self.due || self.account.step.failures.len() >= BATCH_UNITS_MAX {
                    self.flush(false).await?;
                }
            }
        }
        Ok(())
    }

    /// Sends the batch on its way, and saves what has come to its end.
    async fn send(&mut self) -> Result<()> {
        self.heft = 0;
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        while self.pipeline.is_full() {
            self.settle_one().await?;
        }
        self.pipeline.send(batch, self.outside.clone()).await
    }

    /// Waits for the oldest batch on its way and saves; false where there is none.
    async fn settle_one(&mut self) -> Result<bool> {
        let Some(Ended { behind, account, result }) = self.pipeline.end().await? else {
            return Ok(false);
        };
        self.account.merge(account);
        result?;
        self.save_behind(behind, false).await?;
        Ok(true)
    }

    /// Writes the batch and waits until nothing is on its way.
    async fn settle_all(&mut self) -> Result<()> {
        self.send().await?;
        while self.settle_one().await? {}
        Ok(())
    }

    /// Writes the batch, reads again what has to be, and saves; false where it was stopped.
    pub(super) async fn flush(&mut self, done: bool) -> Result<bool> {
        self.due = false;
        self.settle_all().await?;
        self.save_behind(self.outside.clone(), done).await?;
        Ok(!self.unsettled)
    }

    /// Reads again what has to be, and saves that everything before a place is settled.
    async fn save_behind(&mut self, place: Option<Cursor>, done: bool) -> Result<()> {
        self.unsettled |= !self.read_again().await?;
        if !self.unsettled {
            self.move_on(place, done);
        }
        self.save().await
    }

    /// Moves the place to resume at behind everything that is settled.
    fn move_on(&mut self, place: Option<Cursor>, done: bool) {
        let staging = matches!(&self.current, Some(c) if matches!(c.mode, Mode::Stage(_)));
        let Some(saved) = &mut self.saved else { return };
        // Inside a unit that was staged in part, that part's mark is the better place.
        let inside = saved.partial.is_some() && place.is_none();
        if done || !(staging || inside || self.partial.is_some()) {
            (saved.cursor, saved.partial) = (place, None);
            saved.done = done;
        }
    }

    /// Tells the ledger: what was settled, and how far the share has come.
    pub(super) async fn save(&mut self) -> Result<()> {
        let mut step = std::mem::take(&mut self.account.step);
        let saved = self.saved.clone();
        step.segment = saved.map(|s| (s.number, s.cursor, s.partial, s.done));
        self.shared.ledger.save(self.shared.pass, step).await?;
        failpoint::pass(Point::Saved)
    }

    /// Reads units again by name and settles them in lanes of their own.
    async fn read_again(&mut self) -> Result<bool> {
        for (unit, forced) in std::mem::take(&mut self.account.again) {
            if !self.account.step.unstaged.is_empty() {
                // Told late, this would deny what the other lane is about to stage.
                self.save().await?;
            }
            if self.depth >= REREADS_MAX {
                let why = "it changes while it is copied; stop who writes to it and run this again";
                self.account.failed(Some(unit), "failed", why);
                continue;
            }
            let frames = self.shared.source.read(vec![unit.clone()], Selection::all()).await?;
            let mut lane = Lane::new(self.shared.clone(), None);
            (lane.depth, lane.forced) = (self.depth + 1, forced);
            if !Box::pin(lane.follow(frames)).await? {
                return Ok(false);
            }
            if !lane.met {
                let token = self.shared.token(&unit);
                self.account.discard(unit, Some(token)).await?;
            }
        }
        Ok(true)
    }
}

/// Says why a unit cannot be copied at all.
fn unwanted(current: &Current) -> Option<String> {
    if current.dialect == Dialect::JavaScript {
        let why = "it was written by LangGraph for JavaScript, whose payloads no other language \
                   reads; this version copies Python's only";
        return Some(why.into());
    }
    let control = current.control.as_ref()?;
    match control.state {
        HomeState::Live => None,
        _ => Some(format!(
            "its home is not this store but {}; copy it from there",
            control.counterpart
        )),
    }
}
