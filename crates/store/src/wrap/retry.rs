//! A store that tries again where trying again can help and cannot harm.
//!
//! Invariants:
//! - Only retryable errors and indeterminate outcomes are tried again.
//! - An apply is repeated only if each of its units would notice: see [`is_repeatable`].
//! - A `Lost` behind an attempt that may have been applied is `Indeterminate`: the attempt itself
//!   may be what it lost to.

use std::sync::Arc;

use async_trait::async_trait;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use bytes::Bytes;
use restow_model::{Record, UnitId};

use super::resume::{Place, frames};
use crate::{
    Batch, Clock, Content, Cursor, Enumeration, Etag, Expect, Frames, Op, Purged, RegisterName,
    Result, Role, Segment, Selection, Stamp, Store, StoreInfo, StoreRecord, Swap, Then, Told,
    UnitOps, UnitOutcome, Units, Unsupported,
};

/// A store that tries again.
#[derive(Clone, Debug)]
pub struct Retry {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    policy: ExponentialBuilder,
}

/// The attempts of one operation: the delays of a policy, waited for by a clock.
#[derive(Debug)]
pub(super) struct Waits {
    clock: Arc<dyn Clock>,
    policy: ExponentialBuilder,
    left: ExponentialBackoff,
}

impl Waits {
    /// Begins again with the first delay.
    pub(super) fn restart(&mut self) {
        self.left = self.policy.build();
    }

    /// Waits for the next attempt; returns whether there is one.
    pub(super) async fn again(&mut self) -> bool {
        let Some(delay) = self.left.next() else { return false };
        self.clock.sleep(delay).await;
        true
    }
}

impl Retry {
    /// Wraps a store; `policy` says how often and after which delays to try again.
    pub fn new(inner: Arc<dyn Store>, clock: Arc<dyn Clock>, policy: ExponentialBuilder) -> Self {
        Self { inner, clock, policy }
    }

    fn waits(&self) -> Waits {
        let (clock, policy) = (Arc::clone(&self.clock), self.policy);
        Waits { clock, policy, left: policy.build() }
    }

    async fn attempt<T, F: Future<Output = Result<T>>>(&self, once: impl Fn() -> F) -> Result<T> {
        let mut waits = self.waits();
        loop {
            match once().await {
                Err(error) if error.is_retryable() => {
                    if !waits.again().await {
                        return Err(error);
                    }
                }
                done => return done,
            }
        }
    }

    async fn open(&self, place: Place) -> Result<Frames> {
        let first = self.attempt(|| place.open(&*self.inner)).await?;
        Ok(frames(Arc::clone(&self.inner), self.waits(), first, place))
    }
}

/// Says whether a repetition of the operations is noticed by the store, or changes nothing.
///
/// Operations with an id are recognised: a write in the journal, or lost where that no longer tells
/// it. Without an id, every operation has to expect what the first attempt took away.
pub fn is_repeatable(ops: &UnitOps) -> bool {
    let expects = |op: &Op| match op {
        Op::Put { expect, .. } | Op::Remove { expect, .. } => *expect != Expect::Any,
        Op::Clear => false,
    };
    ops.op_id.is_some()
        || matches!(ops.then, Then::Keep | Then::Stage(_))
            && !ops.ops.is_empty()
            && ops.ops.iter().all(expects)
}

/// One unit of a batch that is tried again.
struct Tried {
    outcome: Option<UnitOutcome>,
    /// Whether an attempt without an answer may have been applied.
    doubtful: bool,
}

impl Tried {
    fn note(&mut self, outcome: UnitOutcome) {
        self.outcome = Some(match outcome {
            UnitOutcome::Lost(_) if self.doubtful => UnitOutcome::Indeterminate,
            UnitOutcome::Indeterminate => {
                self.doubtful = true;
                UnitOutcome::Indeterminate
            }
            outcome => outcome,
        });
    }

    fn is_open(&self) -> bool {
        match &self.outcome {
            None | Some(UnitOutcome::Indeterminate) => true,
            Some(UnitOutcome::Failed(error)) => error.is_retryable(),
            Some(_) => false,
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for Retry {
    fn info(&self) -> &StoreInfo {
        self.inner.info()
    }

    fn check(&self, record: &Record) -> Result<(), Unsupported> {
        self.inner.check(record)
    }

    async fn prepare(&self, role: Role, id: &str) -> Result<StoreRecord> {
        self.attempt(|| self.inner.prepare(role, id)).await
    }

    async fn segments(&self, want: usize, by: Enumeration) -> Result<Vec<Segment>> {
        self.attempt(|| self.inner.segments(want, by)).await
    }

    async fn scan(
        &self,
        segment: Segment,
        from: Option<Cursor>,
        content: Content,
    ) -> Result<Frames> {
        self.open(Place::Scan { segment, from, content }).await
    }

    async fn read(&self, units: Vec<UnitId>, what: Selection) -> Result<Frames> {
        self.open(Place::Read { units: units.into(), what }).await
    }

    async fn units(&self) -> Result<Units> {
        self.attempt(|| self.inner.units()).await
    }

    async fn apply(&self, batch: Batch) -> Result<Vec<UnitOutcome>> {
        if !batch.units.iter().all(is_repeatable) {
            return self.inner.apply(batch).await;
        }
        let mut waits = self.waits();
        let new = || Tried { outcome: None, doubtful: false };
        let mut tried: Vec<Tried> = std::iter::repeat_with(new).take(batch.units.len()).collect();
        loop {
            let open: Vec<usize> = (0..tried.len()).filter(|n| tried[*n].is_open()).collect();
            let units = open.iter().map(|n| batch.units[*n].clone()).collect();
            match self.inner.apply(Batch { units }).await {
                Ok(outcomes) => {
                    for (n, outcome) in open.into_iter().zip(outcomes) {
                        tried[n].note(outcome);
                    }
                }
                Err(error) if error.is_retryable() => {
                    for n in open {
                        tried[n].doubtful = true;
                        tried[n].outcome = Some(UnitOutcome::Indeterminate);
                    }
                }
                // Nothing is known of this attempt's units, so nothing is said of the others.
                Err(error) => return Err(error),
            }
            // A unit that is settled stays so; what is still open is answered as it stands.
            if !tried.iter().any(Tried::is_open) || !waits.again().await {
                let outcome = |t: Tried| t.outcome.unwrap_or(UnitOutcome::Indeterminate);
                return Ok(tried.into_iter().map(outcome).collect());
            }
        }
    }

    async fn journal(&self, unit: UnitId, after: u64) -> Result<Told> {
        self.attempt(|| self.inner.journal(unit.clone(), after)).await
    }

    async fn trim(&self, unit: UnitId, upto: u64) -> Result<()> {
        self.attempt(|| self.inner.trim(unit.clone(), upto)).await
    }

    /// Removes a unit; behind a lost answer a repetition may say `Absent` of what it removed.
    async fn purge(&self, unit: UnitId, exactly: Stamp) -> Result<Purged> {
        self.attempt(|| self.inner.purge(unit.clone(), exactly.clone())).await
    }

    async fn release(&self) -> Result<()> {
        self.attempt(|| self.inner.release()).await
    }

    async fn optimize(&self) -> Result<()> {
        self.inner.optimize().await
    }

    async fn register_read(&self, name: RegisterName) -> Result<Option<(Etag, Bytes)>> {
        self.attempt(|| self.inner.register_read(name.clone())).await
    }

    /// Changes a register; a lost swap behind a lost answer is ours if it holds what we wrote, so
    /// writers that compete must write different bytes.
    async fn register_swap(
        &self,
        name: RegisterName,
        was: Option<Etag>,
        now: Bytes,
    ) -> Result<Swap> {
        let mut waits = self.waits();
        let mut doubtful = false;
        loop {
            match self.inner.register_swap(name.clone(), was.clone(), now.clone()).await {
                Ok(Swap::Lost(Some((etag, held)))) if doubtful && held == now => {
                    return Ok(Swap::Swapped(etag));
                }
                Err(error) if error.is_retryable() => {
                    doubtful = true;
                    if !waits.again().await {
                        return Err(error);
                    }
                }
                done => return done,
            }
        }
    }
}
