//! The ledger: the account of migrations. Bookkeeping only: the stores alone say where a unit
//! lives, and a lost ledger loses no data.
//!
//! Invariant: progress is saved after the data, never before; what is to be staged is saved before
//! it is, so that nothing is staged that nobody would take away.

use std::collections::HashSet;
use std::fmt::Debug;

use async_trait::async_trait;
use restow_model::{Digest, Token, UnitDigest, UnitId};

use crate::{Cursor, Result, Segment};

/// Identifies a migration in its ledger, and among those of other ledgers: its stagings are named
/// after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MigrationId(pub i64);

impl MigrationId {
    /// Derives the id of a migration that begins: of where its ledger is kept, both addresses and
    /// the time.
    pub fn begun(place: &[u8], source: &str, target: &str, now_ms: u64) -> Self {
        let mut told = Vec::new();
        for part in [place, source.as_bytes(), target.as_bytes(), &now_ms.to_be_bytes()] {
            told.extend_from_slice(&(part.len() as u64).to_be_bytes());
            told.extend_from_slice(part);
        }
        // Rowids of SQLite and people's eyes like it positive.
        Self((Digest::of(&told).short() >> 1) as i64)
    }
}

/// Identifies one walk over the source; a walk that was interrupted is continued by the next run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PassId(pub i64);

/// What a unit was on both sides when it was last copied and verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// The digest of the unit at the source.
    pub source: UnitDigest,
    /// The digest of the unit at the target.
    pub target: UnitDigest,
}

/// A share of the source and how far it was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentProgress {
    /// Its number in the pass, from zero.
    pub number: u32,
    /// The share.
    pub segment: Segment,
    /// Where to go on; `None` at the beginning.
    pub cursor: Option<Cursor>,
    /// The unit that was being staged at the cursor.
    pub partial: Option<Partial>,
    /// Whether all of it was copied.
    pub done: bool,
}

/// A unit of which a part is staged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    /// The unit.
    pub unit: UnitId,
    /// The staging's name.
    pub token: Token,
    /// The digest of the records staged so far.
    pub staged: UnitDigest,
}

/// What became of a unit that was not copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The unit; empty where damage could not be told to belong to one.
    pub unit: Option<UnitId>,
    /// One word for it: `damaged`, `refused`, `unsupported`, `mismatch`, `failed`.
    pub what: Box<str>,
    /// The sentence that was shown.
    pub why: Box<str>,
}

/// What one step of a copy adds to the ledger, all or nothing.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// The segment that moved on: its number, cursor, staged unit, and whether it is done.
    pub segment: Option<(u32, Option<Cursor>, Option<Partial>, bool)>,
    /// Units that were copied and verified, or found unchanged; earlier failures of theirs go.
    pub watermarks: Vec<(UnitId, Watermark)>,
    /// Units that were not copied.
    pub failures: Vec<Failure>,
    /// Units that are no longer anywhere; their watermarks go.
    pub gone: Vec<UnitId>,
    /// Units of which nothing is staged any more: it was promoted or discarded.
    pub unstaged: Vec<UnitId>,
    /// Units that are about to be staged, and the stagings' names.
    pub staging: Vec<(UnitId, Token)>,
}

impl Step {
    /// Adds what came later, as if each were told by itself.
    pub fn merge(&mut self, later: Self) {
        let settled: HashSet<&UnitId> = later.watermarks.iter().map(|(unit, _)| unit).collect();
        self.failures.retain(|f| f.unit.as_ref().is_none_or(|unit| !settled.contains(unit)));
        self.gone.retain(|unit| !settled.contains(unit));
        self.staging.retain(|(unit, _)| !later.unstaged.contains(unit));
        self.segment = later.segment.or(self.segment.take());
        self.watermarks.extend(later.watermarks);
        self.failures.extend(later.failures);
        self.gone.extend(later.gone);
        self.unstaged.extend(later.unstaged);
        self.staging.extend(later.staging);
    }
}

/// A migration as `status` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The source's address, masked.
    pub source: String,
    /// The target's address, masked.
    pub target: String,
    /// Units with a watermark.
    pub units: u64,
    /// Segments done and in all, of the latest pass.
    pub segments: (u32, u32),
    /// Attempts: when each began and ended (milliseconds since 1970), and its outcome.
    pub attempts: Vec<(u64, Option<u64>, Option<String>)>,
    /// Units that were not copied.
    pub failures: Vec<Failure>,
}

/// The place where the account is kept; every method is atomic and survives death.
#[async_trait]
pub trait Ledger: Debug + Send + Sync + 'static {
    /// Finds the migration of two addresses (masked), or begins it.
    async fn open(&self, source: &str, target: &str, now_ms: u64) -> Result<MigrationId>;

    /// Begins an attempt; one that died before is closed as such.
    async fn begin(&self, migration: MigrationId, now_ms: u64) -> Result<i64>;

    /// Ends an attempt with its outcome in a word.
    async fn end(&self, attempt: i64, outcome: &str, now_ms: u64) -> Result<()>;

    /// Returns the pass that was interrupted, with its segments.
    async fn interrupted(
        &self,
        migration: MigrationId,
    ) -> Result<Option<(PassId, Vec<SegmentProgress>)>>;

    /// Begins a pass over segments; units are unseen in it until a step names them.
    async fn begin_pass(&self, migration: MigrationId, segments: &[Segment]) -> Result<PassId>;

    /// Ends a pass: the next run begins another.
    async fn end_pass(&self, pass: PassId) -> Result<()>;

    /// Saves a step.
    async fn save(&self, pass: PassId, step: Step) -> Result<()>;

    /// Lists units that have a watermark, by name.
    async fn marked(
        &self,
        migration: MigrationId,
        after: Option<&UnitId>,
        limit: usize,
    ) -> Result<Vec<(UnitId, Watermark)>>;

    /// Returns the watermarks of units, in the order given.
    async fn watermarks(
        &self,
        migration: MigrationId,
        units: &[UnitId],
    ) -> Result<Vec<Option<Watermark>>>;

    /// Returns watermarked units that no step of the pass named, behind one, ascending.
    async fn unseen(
        &self,
        pass: PassId,
        after: Option<&UnitId>,
        limit: usize,
    ) -> Result<Vec<(UnitId, Watermark)>>;

    /// Returns the units of which something may be staged, ascending, and the stagings' names.
    async fn stagings(&self, migration: MigrationId) -> Result<Vec<(UnitId, Token)>>;

    /// Adds a line to the audit log, which is only ever appended to.
    async fn audit(&self, migration: MigrationId, line: &str, now_ms: u64) -> Result<()>;

    /// Returns every migration of the ledger.
    async fn summaries(&self) -> Result<Vec<Summary>>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger_memory::MemoryLedger;

    fn unit(name: &str) -> UnitId {
        UnitId::new(name)
    }

    fn failure(name: &str) -> Failure {
        Failure { unit: Some(unit(name)), what: "failed".into(), why: "made so".into() }
    }

    fn copied(name: &str) -> (UnitId, Watermark) {
        let digest = UnitDigest { records: 1, ..UnitDigest::default() };
        (unit(name), Watermark { source: digest, target: digest })
    }

    /// Two steps of which the second changes its mind about every unit of the first.
    fn steps() -> [Step; 2] {
        let first = Step {
            watermarks: vec![copied("a"), copied("b"), copied("c")],
            failures: vec![failure("d"), failure("e")],
            gone: vec![unit("f")],
            unstaged: vec![unit("g")],
            staging: vec![(unit("h"), Token::new("h")), (unit("i"), Token::new("i"))],
            segment: None,
        };
        let later = Step {
            watermarks: vec![copied("d"), copied("f")],
            failures: vec![failure("b")],
            gone: vec![unit("c")],
            unstaged: vec![unit("h")],
            staging: vec![(unit("g"), Token::new("later")), (unit("i"), Token::new("later"))],
            segment: None,
        };
        [first, later]
    }

    #[tokio::test]
    async fn merged_steps_say_what_they_say_one_by_one() -> Result<()> {
        let mut told = Vec::new();
        for is_merged in [false, true] {
            let ledger = MemoryLedger::new();
            let migration = ledger.open("source", "target", 0).await?;
            let pass = ledger.begin_pass(migration, &[]).await?;
            let [mut first, later] = steps();
            if is_merged {
                first.merge(later);
                ledger.save(pass, first).await?;
            } else {
                ledger.save(pass, first).await?;
                ledger.save(pass, later).await?;
            }
            let names: Vec<UnitId> = ('a'..='i').map(|c| UnitId::new(c.to_string())).collect();
            let watermarks = ledger.watermarks(migration, &names).await?;
            let mut failures = ledger.summaries().await?.remove(0).failures;
            failures.sort_by(|a, b| a.unit.cmp(&b.unit));
            told.push((watermarks, failures, ledger.stagings(migration).await?));
        }
        assert_eq!(told[0], told[1]);
        Ok(())
    }
}
