//! A store that fails as a plan says: what tests put beneath the code that has to survive it.
//!
//! Invariant: every fault comes from the plan's seed and the order of the calls, from nothing else,
//! so that a seed replays a history.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use restow_model::{Record, UnitId};

use crate::{
    Batch, Clock, Content, Cursor, Enumeration, Error, ErrorKind, Etag, Frame, Frames, Purged,
    RegisterName, Result, Role, Segment, Selection, Stamp, Store, StoreInfo, StoreRecord, Swap,
    Told, UnitOutcome, Units, Unsupported,
};

/// What goes wrong, how often in a thousand.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    /// Makes the history.
    pub seed: u64,
    /// Calls that fail before anything was done.
    pub before: u32,
    /// Calls that fail although everything was done: their answers are lost.
    pub after: u32,
    /// Units whose applies are answered as indeterminate, although they were applied.
    pub indeterminate: u32,
    /// Frames instead of which a stream breaks off.
    pub cut: u32,
    /// Records instead of which a damage frame comes.
    pub damage: u32,
    /// Calls and frames that are delayed.
    pub delay: u32,
    /// The longest delay.
    pub delay_max: Duration,
}

/// A store that fails as a plan says.
#[derive(Clone, Debug)]
pub struct Fault {
    inner: Arc<dyn Store>,
    dice: Dice,
}

#[derive(Clone, Debug)]
struct Dice {
    clock: Arc<dyn Clock>,
    plan: Arc<FaultPlan>,
    numbers: Arc<Mutex<Numbers>>,
}

/// Numbers from a seed (SplitMix64), the same on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Dice {
    fn number(&self) -> u64 {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner).next()
    }

    fn hits(&self, in_a_thousand: u32) -> bool {
        // The number is drawn in any case, so that one rate does not shift what another hits.
        self.number() % 1000 < u64::from(in_a_thousand)
    }

    async fn delay(&self) {
        if self.hits(self.plan.delay) {
            let share = self.number() as f64 / u64::MAX as f64;
            self.clock.sleep(self.plan.delay_max.mul_f64(share)).await;
        }
    }

    /// Makes a call, or an error before or behind it.
    async fn call<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.delay().await;
        if self.hits(self.plan.before) {
            return Err(failure("failed before it began"));
        }
        let answer = call.await?;
        match self.hits(self.plan.after) {
            true => Err(failure("the answer was lost")),
            false => Ok(answer),
        }
    }

    fn frames(self, frames: Frames) -> Frames {
        let open = (self, frames, None::<UnitId>);
        Box::pin(stream::unfold(Some(open), |open| async move {
            let (dice, mut frames, mut unit) = open?;
            let frame = frames.next().await?;
            dice.delay().await;
            if dice.hits(dice.plan.cut) {
                return Some((Err(failure("the stream broke off")), None));
            }
            let frame = frame.map(|frame| match frame {
                Frame::Record(record) if dice.hits(dice.plan.damage) => Frame::Damaged {
                    unit: unit.clone(),
                    place: format!("record {}", record.key),
                    why: "made so by a plan".into(),
                },
                frame => frame,
            });
            match &frame {
                Ok(Frame::Begin { unit: begun, .. }) => unit = Some(begun.clone()),
                Ok(Frame::End { .. }) => unit = None,
                _ => {}
            }
            Some((frame, Some((dice, frames, unit))))
        }))
    }
}

fn failure(what: &str) -> Error {
    Error::new(ErrorKind::Unavailable, "follow a plan of faults", what)
}

impl Fault {
    /// Wraps a store.
    pub fn new(inner: Arc<dyn Store>, clock: Arc<dyn Clock>, plan: FaultPlan) -> Self {
        let numbers = Arc::new(Mutex::new(Numbers(plan.seed)));
        Self { inner, dice: Dice { clock, plan: Arc::new(plan), numbers } }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for Fault {
    fn info(&self) -> &StoreInfo {
        self.inner.info()
    }

    fn check(&self, record: &Record) -> Result<(), Unsupported> {
        self.inner.check(record)
    }

    async fn prepare(&self, role: Role, id: &str) -> Result<StoreRecord> {
        self.dice.call(self.inner.prepare(role, id)).await
    }

    async fn segments(&self, want: usize, by: Enumeration) -> Result<Vec<Segment>> {
        self.dice.call(self.inner.segments(want, by)).await
    }

    async fn scan(
        &self,
        segment: Segment,
        from: Option<Cursor>,
        content: Content,
    ) -> Result<Frames> {
        let frames = self.dice.call(self.inner.scan(segment, from, content)).await?;
        Ok(self.dice.clone().frames(frames))
    }

    async fn read(&self, units: Vec<UnitId>, what: Selection) -> Result<Frames> {
        let frames = self.dice.call(self.inner.read(units, what)).await?;
        Ok(self.dice.clone().frames(frames))
    }

    async fn units(&self) -> Result<Units> {
        self.dice.call(self.inner.units()).await
    }

    async fn apply(&self, batch: Batch) -> Result<Vec<UnitOutcome>> {
        let outcomes = self.dice.call(self.inner.apply(batch)).await?;
        let lose = |outcome: UnitOutcome| match self.dice.hits(self.dice.plan.indeterminate)
            && outcome.is_applied()
        {
            true => UnitOutcome::Indeterminate,
            false => outcome,
        };
        Ok(outcomes.into_iter().map(lose).collect())
    }

    async fn journal(&self, unit: UnitId, after: u64) -> Result<Told> {
        self.dice.call(self.inner.journal(unit, after)).await
    }

    async fn trim(&self, unit: UnitId, upto: u64) -> Result<()> {
        self.dice.call(self.inner.trim(unit, upto)).await
    }

    async fn purge(&self, unit: UnitId, exactly: Stamp) -> Result<Purged> {
        self.dice.call(self.inner.purge(unit, exactly)).await
    }

    async fn release(&self) -> Result<()> {
        self.dice.call(self.inner.release()).await
    }

    async fn optimize(&self) -> Result<()> {
        self.inner.optimize().await
    }

    async fn register_read(&self, name: RegisterName) -> Result<Option<(Etag, Bytes)>> {
        self.dice.call(self.inner.register_read(name)).await
    }

    async fn register_swap(
        &self,
        name: RegisterName,
        was: Option<Etag>,
        now: Bytes,
    ) -> Result<Swap> {
        self.dice.call(self.inner.register_swap(name, was, now)).await
    }
}
