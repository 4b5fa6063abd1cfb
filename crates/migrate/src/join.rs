//! The merge-join of one unit's records on both sides, in key order and bounded memory.
//!
//! Invariant: of each side one record is held; operations are collected up to a batch and then
//! given up, differences are named up to a limit and counted beyond it.

use futures::StreamExt;
use restow_model::{Key, Record, UnitDigest, UnitId};
use restow_store::{Content, Expect, Frame, Frames, Op, Result, Selection, Store};

use crate::limits::JOIN_BYTES_MAX;
use crate::look::{CLAIM, heft_of};

/// How one record differs at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Differs {
    /// It is not there.
    Missing,
    /// It is there and should not be.
    Extra,
    /// Its body, and so perhaps a value, is another.
    Altered,
    /// Only its residue is another.
    Residue,
}

impl Differs {
    /// Returns the words behind the record's name in a report.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Missing => "is missing",
            Self::Extra => "is extra",
            Self::Altered => "differs",
            Self::Residue => "has other residue",
        }
    }
}

/// What a join found.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    /// The sum over the source's records.
    pub(crate) source: UnitDigest,
    /// The sum over the target's records.
    pub(crate) target: UnitDigest,
    /// The first thing that is wrong at the source.
    pub(crate) source_damage: Option<String>,
    /// The first thing that is wrong at the target.
    pub(crate) target_damage: Option<String>,
    /// What makes the target equal; `None` where that is more than one batch.
    pub(crate) ops: Option<Vec<Op>>,
    /// The first differences, by name.
    pub(crate) named: Vec<(Key, Differs)>,
    /// How many differences there are.
    pub(crate) differences: u64,
}

/// A join under way: the source is pushed, the target is pulled.
pub(crate) struct Join {
    target: Frames,
    next: Option<Held>,
    ended: bool,
    last: Option<Key>,
    last_held: Option<Key>,
    heft: usize,
    records_max: usize,
    bytes_max: usize,
    weight: usize,
    puts: usize,
    named_max: usize,
    found: Joined,
}

struct Held {
    key: Key,
    sum: UnitDigest,
}

impl Join {
    /// Begins a join against what the target holds of a unit now.
    pub(crate) async fn begin(target: &dyn Store, unit: UnitId, named_max: usize) -> Result<Self> {
        let capabilities = target.info().capabilities;
        let what = Selection { content: Content::Checked, ..Selection::all() };
        let target = target.read(vec![unit], what).await?;
        Ok(Self {
            target,
            next: None,
            ended: false,
            last: None,
            last_held: None,
            heft: 0,
            records_max: capabilities.apply_records_max,
            bytes_max: capabilities.apply_bytes_max,
            weight: 0,
            puts: 0,
            named_max,
            found: Joined { ops: Some(Vec::new()), ..Joined::default() },
        })
    }

    /// Takes the source's next record.
    pub(crate) async fn push(&mut self, record: Record) -> Result<()> {
        if self.last.as_ref().is_some_and(|last| *last >= record.key) {
            let why = format!("record {}: it stands twice or out of order", record.key);
            self.found.source_damage.get_or_insert(why);
        }
        let sum = record.summed();
        self.found.source.merge(&sum);
        self.last = Some(record.key.clone());
        loop {
            self.pull().await?;
            let Some(next) = self.next.take_if(|next| next.key <= record.key) else {
                self.note(&record.key, Differs::Missing);
                self.op(Op::put(record));
                return Ok(());
            };
            if next.key < record.key {
                self.extra(next);
                continue;
            }
            if sum != next.sum {
                let body = sum.bodies == next.sum.bodies;
                let differs = if body { Differs::Residue } else { Differs::Altered };
                self.note(&record.key, differs);
                self.op(Op::put(record));
            }
            return Ok(());
        }
    }

    /// Ends the join: what the target still holds is extra.
    pub(crate) async fn finish(mut self) -> Result<Joined> {
        loop {
            self.pull().await?;
            match self.next.take() {
                Some(next) => self.extra(next),
                None => return Ok(self.found),
            }
        }
    }

    fn extra(&mut self, held: Held) {
        self.note(&held.key, Differs::Extra);
        self.op(Op::Remove { key: held.key, expect: Expect::Any });
    }

    fn note(&mut self, key: &Key, differs: Differs) {
        self.found.differences += 1;
        if self.found.named.len() < self.named_max {
            self.found.named.push((key.clone(), differs));
        }
    }

    fn op(&mut self, op: Op) {
        let Some(ops) = &mut self.found.ops else { return };
        match &op {
            Op::Put { record, .. } => {
                self.heft += heft_of(record);
                self.weight += record.weight();
                self.puts += 1;
            }
            Op::Remove { key, .. } => self.heft += key.as_bytes().len() + 128,
            Op::Clear => {}
        }
        ops.push(op);
        let several = ops.len() > 1;
        let many = self.puts > self.records_max || ops.len() > self.records_max.max(1) * 4;
        let heavy = self.heft > JOIN_BYTES_MAX || self.weight > self.bytes_max;
        if several && (many || heavy) {
            self.found.ops = None;
        }
    }

    /// Makes `next` the target's next record, where there is one.
    async fn pull(&mut self) -> Result<()> {
        while self.next.is_none() && !self.ended {
            match self.target.next().await.transpose()? {
                None => self.ended = true,
                Some(Frame::Record(record)) => self.hold(&record),
                Some(Frame::Damaged { place, why, .. }) => {
                    self.found.target_damage.get_or_insert(format!("{place}: {why}"));
                }
                Some(Frame::End { digest, .. }) => {
                    if digest.is_some_and(|d| d != self.found.target) {
                        self.found.target_damage.get_or_insert(CLAIM.into());
                    }
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn hold(&mut self, record: &Record) {
        if self.last_held.as_ref().is_some_and(|last| *last >= record.key) {
            let why = format!("record {}: it stands twice or out of order", record.key);
            self.found.target_damage.get_or_insert(why);
        }
        self.last_held = Some(record.key.clone());
        let sum = record.summed();
        self.found.target.merge(&sum);
        self.next = Some(Held { key: record.key.clone(), sum });
    }
}
