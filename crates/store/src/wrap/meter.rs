//! A store that counts what passes: for metrics, and for the command line's progress.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// What a store did, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls that returned.
    pub operations: u64,
    /// Calls and streams that ended with an error, and units that an apply failed on.
    pub errors: u64,
    /// Records that were read.
    pub records_read: u64,
    /// Records that were put by units that were applied.
    pub records_written: u64,
    /// Bytes of the records read, by [`Record::weight`].
    pub bytes_read: u64,
    /// Bytes of the records written, by [`Record::weight`].
    pub bytes_written: u64,
    /// Time spent in calls; those that ran at once count each.
    pub busy: Duration,
    /// Damage frames that were read.
    pub damaged: u64,
}

/// The running counts of a store.
#[derive(Debug, Default)]
pub struct Tally {
    operations: AtomicU64,
    errors: AtomicU64,
    records_read: AtomicU64,
    records_written: AtomicU64,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
    busy_ns: AtomicU64,
    damaged: AtomicU64,
}

impl Tally {
    /// Returns the counts as they are now.
    pub fn counts(&self) -> Counts {
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        Counts {
            operations: get(&self.operations),
            errors: get(&self.errors),
            records_read: get(&self.records_read),
            records_written: get(&self.records_written),
            bytes_read: get(&self.bytes_read),
            bytes_written: get(&self.bytes_written),
            busy: Duration::from_nanos(get(&self.busy_ns)),
            damaged: get(&self.damaged),
        }
    }
}

/// A store that counts.
#[derive(Clone, Debug)]
pub struct Meter {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    tally: Arc<Tally>,
}

fn add(to: &AtomicU64, n: u64) {
    to.fetch_add(n, Ordering::Relaxed);
}

impl Meter {
    /// Wraps a store.
    pub fn new(inner: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { inner, clock, tally: Arc::default() }
    }

    /// Returns the running counts, to be kept and looked at.
    pub fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    async fn call<T>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let began = self.clock.monotonic();
        let answer = call.await;
        let took = self.clock.monotonic().saturating_sub(began);
        let labels = [("store", self.info().name()), ("operation", name.to_owned())];
        add(&self.tally.operations, 1);
        add(&self.tally.busy_ns, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        metrics::histogram!("restow_store_seconds", &labels).record(took);
        metrics::counter!("restow_store_operations", &labels).increment(1);
        if answer.is_err() {
            self.failed(name, 1);
        }
        answer
    }

    fn failed(&self, name: &'static str, n: u64) {
        let labels = [("store", self.info().name()), ("operation", name.to_owned())];
        add(&self.tally.errors, n);
        metrics::counter!("restow_store_errors", &labels).increment(n);
    }

    fn counted(&self, name: &'static str, frames: Frames) -> Frames {
        let meter = self.clone();
        let labels = [("store", self.info().name())];
        let records = metrics::counter!("restow_store_records_read", &labels);
        let bytes = metrics::counter!("restow_store_bytes_read", &labels);
        Box::pin(frames.inspect(move |frame| match frame {
            Ok(Frame::Record(record)) => {
                let weight = record.weight() as u64;
                add(&meter.tally.records_read, 1);
                add(&meter.tally.bytes_read, weight);
                records.increment(1);
                bytes.increment(weight);
            }
            Ok(Frame::Damaged { .. }) => add(&meter.tally.damaged, 1),
            Ok(_) => {}
            Err(_) => meter.failed(name, 1),
        }))
    }

    fn written(&self, batch: &Batch, outcomes: &[UnitOutcome]) {
        let (mut records, mut bytes, mut failed) = (0, 0, 0);
        for (unit, outcome) in batch.units.iter().zip(outcomes) {
            failed += u64::from(matches!(outcome, UnitOutcome::Failed(_)));
            let put = unit.ops.iter().filter_map(|op| match op {
                Op::Put { record, .. } => Some(record.weight() as u64),
                Op::Remove { .. } | Op::Clear => None,
            });
            if matches!(outcome, UnitOutcome::Applied { .. }) {
                for weight in put {
                    records += 1;
                    bytes += weight;
                }
            }
        }
        let labels = [("store", self.info().name())];
        add(&self.tally.records_written, records);
        add(&self.tally.bytes_written, bytes);
        metrics::counter!("restow_store_records_written", &labels).increment(records);
        metrics::counter!("restow_store_bytes_written", &labels).increment(bytes);
        if failed > 0 {
            self.failed("apply", failed);
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for Meter {
    fn info(&self) -> &StoreInfo {
        self.inner.info()
    }

    fn check(&self, record: &Record) -> Result<(), Unsupported> {
        self.inner.check(record)
    }

    async fn prepare(&self, role: Role, id: &str) -> Result<StoreRecord> {
        self.call("prepare", self.inner.prepare(role, id)).await
    }

    async fn segments(&self, want: usize, by: Enumeration) -> Result<Vec<Segment>> {
        self.call("segments", self.inner.segments(want, by)).await
    }

    async fn scan(
        &self,
        segment: Segment,
        from: Option<Cursor>,
        content: Content,
    ) -> Result<Frames> {
        let frames = self.call("scan", self.inner.scan(segment, from, content)).await?;
        Ok(self.counted("scan", frames))
    }

    async fn read(&self, units: Vec<UnitId>, what: Selection) -> Result<Frames> {
        let frames = self.call("read", self.inner.read(units, what)).await?;
        Ok(self.counted("read", frames))
    }

    async fn units(&self) -> Result<Units> {
        self.call("units", self.inner.units()).await
    }

    async fn apply(&self, batch: Batch) -> Result<Vec<UnitOutcome>> {
        let outcomes = self.call("apply", self.inner.apply(batch.clone())).await?;
        self.written(&batch, &outcomes);
        Ok(outcomes)
    }

    async fn journal(&self, unit: UnitId, after: u64) -> Result<Told> {
        self.call("journal", self.inner.journal(unit, after)).await
    }

    async fn trim(&self, unit: UnitId, upto: u64) -> Result<()> {
        self.call("trim", self.inner.trim(unit, upto)).await
    }

    async fn purge(&self, unit: UnitId, exactly: Stamp) -> Result<Purged> {
        self.call("purge", self.inner.purge(unit, exactly)).await
    }

    async fn release(&self) -> Result<()> {
        self.call("release", self.inner.release()).await
    }

    async fn optimize(&self) -> Result<()> {
        self.call("optimize", self.inner.optimize()).await
    }

    async fn register_read(&self, name: RegisterName) -> Result<Option<(Etag, Bytes)>> {
        self.call("register_read", self.inner.register_read(name)).await
    }

    async fn register_swap(
        &self,
        name: RegisterName,
        was: Option<Etag>,
        now: Bytes,
    ) -> Result<Swap> {
        self.call("register_swap", self.inner.register_swap(name, was, now)).await
    }
}
