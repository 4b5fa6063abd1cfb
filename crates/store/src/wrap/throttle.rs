//! A store that reads and writes at most so many bytes a second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use restow_model::{Record, UnitId};

use crate::{
    Batch, Clock, Content, Cursor, Enumeration, Etag, Frame, Frames, Op, Purged, RegisterName,
    Result, Role, Segment, Selection, Stamp, Store, StoreInfo, StoreRecord, Swap, Told,
    UnitOutcome, Units, Unsupported,
};

/// A budget of bytes, refilled evenly; clones share it, so that two stores may be held to one rate.
///
/// One second's worth may be spent at once; whoever spends more waits until it is paid back.
#[derive(Clone, Debug)]
pub struct Rate {
    bytes_per_second: u64,
    clock: Arc<dyn Clock>,
    /// The moment until which everything spent is paid for.
    paid_until: Arc<Mutex<Duration>>,
}

impl Rate {
    /// Makes a full budget; a rate of nothing is taken as one byte a second.
    pub fn new(bytes_per_second: u64, clock: Arc<dyn Clock>) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), clock, paid_until: Arc::default() }
    }

    /// Spends bytes, and waits until the budget allows it.
    pub async fn spend(&self, bytes: usize) {
        let now = self.clock.monotonic();
        let wait = {
            let mut paid_until = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
            let start = (*paid_until).max(now);
            *paid_until =
                start + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
            paid_until.saturating_sub(now + Duration::from_secs(1))
        };
        if !wait.is_zero() {
            self.clock.sleep(wait).await;
        }
    }
}

/// A store that is held to a rate; records are counted by [`Record::weight`].
#[derive(Clone, Debug)]
pub struct Throttle {
    inner: Arc<dyn Store>,
    rate: Rate,
}

impl Throttle {
    /// Wraps a store.
    pub fn new(inner: Arc<dyn Store>, rate: Rate) -> Self {
        Self { inner, rate }
    }

    fn held(&self, frames: Frames) -> Frames {
        let rate = self.rate.clone();
        Box::pin(frames.then(move |frame| {
            let rate = rate.clone();
            async move {
                if let Ok(Frame::Record(record)) = &frame {
                    rate.spend(record.weight()).await;
                }
                frame
            }
        }))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for Throttle {
    fn info(&self) -> &StoreInfo {
        self.inner.info()
    }

    fn check(&self, record: &Record) -> Result<(), Unsupported> {
        self.inner.check(record)
    }

    async fn prepare(&self, role: Role, id: &str) -> Result<StoreRecord> {
        self.inner.prepare(role, id).await
    }

    async fn segments(&self, want: usize, by: Enumeration) -> Result<Vec<Segment>> {
        self.inner.segments(want, by).await
    }

    async fn scan(
        &self,
        segment: Segment,
        from: Option<Cursor>,
        content: Content,
    ) -> Result<Frames> {
        Ok(self.held(self.inner.scan(segment, from, content).await?))
    }

    async fn read(&self, units: Vec<UnitId>, what: Selection) -> Result<Frames> {
        Ok(self.held(self.inner.read(units, what).await?))
    }

    async fn units(&self) -> Result<Units> {
        self.inner.units().await
    }

    async fn apply(&self, batch: Batch) -> Result<Vec<UnitOutcome>> {
        let ops = batch.units.iter().flat_map(|unit| unit.ops.iter());
        let bytes = ops.map(|op| match op {
            Op::Put { record, .. } => record.weight(),
            Op::Remove { .. } | Op::Clear => 0,
        });
        self.rate.spend(bytes.sum()).await;
        self.inner.apply(batch).await
    }

    async fn journal(&self, unit: UnitId, after: u64) -> Result<Told> {
        self.inner.journal(unit, after).await
    }

    async fn trim(&self, unit: UnitId, upto: u64) -> Result<()> {
        self.inner.trim(unit, upto).await
    }

    async fn purge(&self, unit: UnitId, exactly: Stamp) -> Result<Purged> {
        self.inner.purge(unit, exactly).await
    }

    async fn release(&self) -> Result<()> {
        self.inner.release().await
    }

    async fn optimize(&self) -> Result<()> {
        self.inner.optimize().await
    }

    async fn register_read(&self, name: RegisterName) -> Result<Option<(Etag, Bytes)>> {
        self.inner.register_read(name).await
    }

    async fn register_swap(
        &self,
        name: RegisterName,
        was: Option<Etag>,
        now: Bytes,
    ) -> Result<Swap> {
        self.inner.register_swap(name, was, now).await
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_second_s_worth_is_free_and_the_rest_takes_its_time() {
        let clock = Arc::new(ManualClock::default());
        let rate = Rate::new(1000, clock.clone());
        block_on(async {
            rate.spend(1000).await;
            assert_eq!(clock.monotonic(), Duration::ZERO);
            for _ in 0..10 {
                rate.clone().spend(500).await;
            }
            assert_eq!(clock.monotonic(), Duration::from_secs(5));
            clock.advance(Duration::from_secs(60));
            rate.spend(1000).await;
            assert_eq!(clock.monotonic(), Duration::from_secs(65));
            rate.spend(3000).await;
            assert_eq!(clock.monotonic(), Duration::from_secs(68));
        });
    }
}
