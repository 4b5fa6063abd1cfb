//! A ledger in memory: the reference for what a ledger does, and the account of a dry run.
//!
//! Invariant: passes rise, and a unit counts as seen in a pass when that pass or a later one named
//! it, so that a filtered pass in between never makes a unit look gone.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use restow_model::{Token, UnitId};

use crate::ledger::{
    Failure, Ledger, MigrationId, PassId, SegmentProgress, Step, Summary, Watermark,
};
use crate::{Error, ErrorKind, Result, Segment};

/// Keeps the account as long as it lives.
#[derive(Debug)]
pub struct MemoryLedger {
    /// What no other ledger in memory is called.
    place: String,
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    migrations: Vec<Migration>,
    attempts: Vec<Attempt>,
    passes: Vec<Pass>,
}

#[derive(Debug)]
struct Migration {
    id: MigrationId,
    source: String,
    target: String,
    watermarks: BTreeMap<UnitId, (i64, Watermark)>,
    failures: Vec<(i64, Failure)>,
    stagings: BTreeMap<UnitId, Token>,
    audit: Vec<(u64, String)>,
}

#[derive(Debug)]
struct Attempt {
    migration: i64,
    began: u64,
    ended: Option<(u64, String)>,
}

#[derive(Debug)]
struct Pass {
    migration: i64,
    segments: Vec<SegmentProgress>,
    ended: bool,
}

impl MemoryLedger {
    /// Makes an empty ledger.
    pub fn new() -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let place = format!("memory {} {number}", std::process::id());
        Self { place, tables: Mutex::default() }
    }

    /// Returns the audit log of a migration.
    pub fn audited(&self, migration: MigrationId) -> Vec<(u64, String)> {
        let mut tables = self.lock();
        tables.migration(migration.0).map(|m| m.audit.clone()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryLedger {
    fn default() -> Self {
        Self::new()
    }
}

fn unknown(what: &'static str, id: i64) -> Error {
    Error::new(ErrorKind::NotFound, "use the ledger", "no such entry").with(what, id.to_string())
}

fn at<'t, T>(rows: &'t mut [T], what: &'static str, id: i64) -> Result<&'t mut T> {
    let row = usize::try_from(id - 1).ok().and_then(|n| rows.get_mut(n));
    row.ok_or_else(|| unknown(what, id))
}

impl Tables {
    fn migration(&mut self, id: i64) -> Result<&mut Migration> {
        let found = self.migrations.iter_mut().find(|m| m.id.0 == id);
        found.ok_or_else(|| unknown("migration", id))
    }

    fn pass(&mut self, id: i64) -> Result<&mut Pass> {
        at(&mut self.passes, "pass", id)
    }

    fn latest_pass(&self, migration: i64) -> Option<&Pass> {
        let mut passes = self.passes.iter().rev().filter(|p| p.migration == migration);
        passes.find(|p| !p.segments.is_empty())
    }

    fn summary(&self, migration: &Migration) -> Summary {
        let id = migration.id.0;
        let segments = self.latest_pass(id).map_or((0, 0), |pass| {
            let done = pass.segments.iter().filter(|s| s.done).count();
            (done as u32, pass.segments.len() as u32)
        });
        let attempts = self.attempts.iter().filter(|a| a.migration == id).map(|a| {
            let (ended, outcome) = a.ended.clone().unzip();
            (a.began, ended, outcome)
        });
        Summary {
            source: migration.source.clone(),
            target: migration.target.clone(),
            units: migration.watermarks.len() as u64,
            segments,
            attempts: attempts.collect(),
            failures: migration.failures.iter().map(|(_, f)| f.clone()).collect(),
        }
    }
}

impl Migration {
    fn add(&mut self, pass: i64, step: Step) {
        for (unit, watermark) in step.watermarks {
            self.failures.retain(|(_, f)| f.unit.as_ref() != Some(&unit));
            self.watermarks.insert(unit, (pass, watermark));
        }
        for failure in step.failures {
            if let Some(unit) = &failure.unit {
                self.failures.retain(|(_, f)| f.unit.as_ref() != Some(unit));
                if let Some((seen, _)) = self.watermarks.get_mut(unit) {
                    *seen = (*seen).max(pass);
                }
            }
            // Damage without a unit is met by every walk, and is one failure all the same.
            self.failures.retain(|(_, f)| *f != failure);
            self.failures.push((pass, failure));
        }
        for unit in step.gone {
            self.failures.retain(|(_, f)| f.unit.as_ref() != Some(&unit));
            self.watermarks.remove(&unit);
        }
        for unit in step.unstaged {
            self.stagings.remove(&unit);
        }
        self.stagings.extend(step.staging);
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn open(&self, source: &str, target: &str, now_ms: u64) -> Result<MigrationId> {
        let mut tables = self.lock();
        let same = |m: &Migration| m.source == source && m.target == target;
        if let Some(found) = tables.migrations.iter().find(|m| same(m)) {
            return Ok(found.id);
        }
        let id = MigrationId::begun(self.place.as_bytes(), source, target, now_ms);
        tables.migrations.push(Migration {
            id,
            source: source.into(),
            target: target.into(),
            watermarks: BTreeMap::new(),
            failures: Vec::new(),
            stagings: BTreeMap::new(),
            audit: Vec::new(),
        });
        Ok(id)
    }

    async fn begin(&self, migration: MigrationId, now_ms: u64) -> Result<i64> {
        let mut tables = self.lock();
        tables.migration(migration.0)?;
        let open = |a: &&mut Attempt| a.migration == migration.0 && a.ended.is_none();
        for attempt in tables.attempts.iter_mut().filter(open) {
            attempt.ended = Some((now_ms, "died".into()));
        }
        tables.attempts.push(Attempt { migration: migration.0, began: now_ms, ended: None });
        Ok(tables.attempts.len() as i64)
    }

    async fn end(&self, attempt: i64, outcome: &str, now_ms: u64) -> Result<()> {
        at(&mut self.lock().attempts, "attempt", attempt)?.ended = Some((now_ms, outcome.into()));
        Ok(())
    }

    async fn interrupted(
        &self,
        migration: MigrationId,
    ) -> Result<Option<(PassId, Vec<SegmentProgress>)>> {
        let tables = self.lock();
        let open = |p: &Pass| p.migration == migration.0 && !p.ended && !p.segments.is_empty();
        let found = tables.passes.iter().rposition(open);
        Ok(found.map(|n| (PassId(n as i64 + 1), tables.passes[n].segments.clone())))
    }

    async fn begin_pass(&self, migration: MigrationId, segments: &[Segment]) -> Result<PassId> {
        let mut tables = self.lock();
        let row = tables.migration(migration.0)?;
        if !segments.is_empty() {
            // A whole pass finds what belonged to no unit again, or it is no longer there.
            row.failures.retain(|(_, f)| f.unit.is_some());
        }
        let fresh = |(number, segment): (usize, &Segment)| SegmentProgress {
            number: number as u32,
            segment: segment.clone(),
            cursor: None,
            partial: None,
            done: false,
        };
        let segments = segments.iter().enumerate().map(fresh).collect();
        tables.passes.push(Pass { migration: migration.0, segments, ended: false });
        Ok(PassId(tables.passes.len() as i64))
    }

    async fn end_pass(&self, pass: PassId) -> Result<()> {
        let mut tables = self.lock();
        let ended = tables.pass(pass.0)?;
        ended.ended = true;
        let (migration, whole) = (ended.migration, !ended.segments.is_empty());
        if whole {
            tables.migration(migration)?.failures.retain(|(at, _)| *at >= pass.0);
        }
        Ok(())
    }

    async fn save(&self, pass: PassId, step: Step) -> Result<()> {
        let mut tables = self.lock();
        let row = tables.pass(pass.0)?;
        let migration = row.migration;
        if let Some((number, cursor, partial, done)) = step.segment.clone() {
            let segment = row.segments.get_mut(number as usize);
            let segment = segment.ok_or_else(|| unknown("segment", number.into()))?;
            (segment.cursor, segment.partial, segment.done) = (cursor, partial, done);
        }
        tables.migration(migration)?.add(pass.0, step);
        Ok(())
    }

    async fn watermarks(
        &self,
        migration: MigrationId,
        units: &[UnitId],
    ) -> Result<Vec<Option<Watermark>>> {
        let mut tables = self.lock();
        let rows = &tables.migration(migration.0)?.watermarks;
        Ok(units.iter().map(|u| rows.get(u).map(|(_, w)| *w)).collect())
    }

    async fn marked(
        &self,
        migration: MigrationId,
        after: Option<&UnitId>,
        limit: usize,
    ) -> Result<Vec<(UnitId, Watermark)>> {
        let mut tables = self.lock();
        let rows = tables.migration(migration.0)?.watermarks.iter();
        let behind = rows.filter(|(u, _)| after.is_none_or(|a| *u > a));
        Ok(behind.take(limit).map(|(u, (_, w))| (u.clone(), *w)).collect())
    }

    async fn unseen(
        &self,
        pass: PassId,
        after: Option<&UnitId>,
        limit: usize,
    ) -> Result<Vec<(UnitId, Watermark)>> {
        let mut tables = self.lock();
        let migration = tables.pass(pass.0)?.migration;
        let rows = tables.migration(migration)?.watermarks.iter();
        let behind = rows.filter(|(u, (seen, _))| *seen < pass.0 && after.is_none_or(|a| *u > a));
        Ok(behind.take(limit).map(|(u, (_, w))| (u.clone(), *w)).collect())
    }

    async fn stagings(&self, migration: MigrationId) -> Result<Vec<(UnitId, Token)>> {
        let mut tables = self.lock();
        let rows = tables.migration(migration.0)?.stagings.iter();
        Ok(rows.map(|(unit, token)| (unit.clone(), token.clone())).collect())
    }

    async fn audit(&self, migration: MigrationId, line: &str, now_ms: u64) -> Result<()> {
        self.lock().migration(migration.0)?.audit.push((now_ms, line.into()));
        Ok(())
    }

    async fn summaries(&self) -> Result<Vec<Summary>> {
        let tables = self.lock();
        Ok(tables.migrations.iter().map(|m| tables.summary(m)).collect())
    }
}
