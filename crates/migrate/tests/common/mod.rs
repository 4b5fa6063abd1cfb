//! What the tests of whole copies share: records, a clock without time, a world of two stores.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

pub(crate) mod tamper;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use restow_migrate::{CopyOptions, CopyReport, Progress, SweepReport, VerifyOptions, copy, verify};
use restow_model::{Body, Dialect, Form, Key, Record, Residue, UnitDigest, UnitId, Value};
use restow_store::ledger::Ledger;
use restow_store::ledger_memory::MemoryLedger;
use restow_store::memory::{MemoryOptions, MemoryStore};
use restow_store::{
    Batch, Capabilities, Clock, Content, Enumeration, Frame, Guard, Op, Result, Segment, Store,
    Then, UnitOps, UnitOutcome,
};

/// A clock that never makes anybody wait.
#[derive(Debug, Default)]
pub(crate) struct StillClock(pub(crate) AtomicU64);

#[async_trait::async_trait]
impl Clock for StillClock {
    fn wall(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        self.wall()
    }

    async fn sleep(&self, time: Duration) {
        self.0.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
        tokio::task::yield_now().await;
    }
}

/// Two stores, a ledger and a clock.
pub(crate) struct World {
    pub(crate) source: Arc<dyn Store>,
    pub(crate) target: Arc<dyn Store>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) options: CopyOptions,
}

impl World {
    pub(crate) fn new(source: impl Store, target: impl Store) -> Self {
        Self {
            source: Arc::new(source),
            target: Arc::new(target),
            ledger: Arc::new(MemoryLedger::new()),
            options: CopyOptions { jobs: 2, ..CopyOptions::default() },
        }
    }

    pub(crate) async fn copy(&self) -> Result<CopyReport> {
        self.copy_with(self.options.clone()).await
    }

    pub(crate) async fn copy_with(&self, options: CopyOptions) -> Result<CopyReport> {
        let (source, target) = (self.source.clone(), self.target.clone());
        let (clock, progress) = (Arc::new(StillClock::default()), Arc::new(Progress::new()));
        copy(source, target, self.ledger.clone(), clock, options, progress).await
    }

    pub(crate) async fn verify(&self) -> SweepReport {
        let (source, target) = (self.source.clone(), self.target.clone());
        let ledger = Some(self.ledger.clone());
        let options = VerifyOptions::default();
        verify(source, target, ledger, options, Arc::new(Progress::new())).await.unwrap()
    }

    pub(crate) async fn assert_equal(&self) {
        assert_eq!(contents(&*self.source).await, contents(&*self.target).await);
    }
}

/// A store that takes so many records of a unit at once; more are staged.
pub(crate) fn narrow(records: usize) -> MemoryStore {
    let capabilities = Capabilities { apply_records_max: records, ..Capabilities::default() };
    let options = MemoryOptions { capabilities, records_per_mark: 2, ..MemoryOptions::strong() };
    MemoryStore::new(options)
}

/// Makes a record with a value, a residue and an ordinary body.
pub(crate) fn record(n: i64, text: &str) -> Record {
    let value = Value::new(Form::Raw, Bytes::from(format!("value of {text}").into_bytes()));
    let key = Key::of("item").int(n).build();
    let body = Body::List(vec![Body::text(text), Body::Value(value.name)]);
    let mut record = Record { values: vec![value], ..Record::new(key, body) };
    let digest = record.digest();
    let bytes = Bytes::from_static(b"residue");
    record.residue.push(Residue { layout: "other".into(), format: 1, record: digest, bytes });
    record
}

pub(crate) fn unit(name: &str) -> UnitId {
    UnitId::new(name)
}

/// Writes operations to a unit, whatever is there.
pub(crate) async fn change(store: &dyn Store, name: &str, ops: Vec<Op>) {
    change_as(store, name, Dialect::Any, ops).await;
}

pub(crate) async fn change_as(store: &dyn Store, name: &str, dialect: Dialect, ops: Vec<Op>) {
    for op in ops {
        let ops = UnitOps::new(unit(name), dialect, Guard::Unmanaged, vec![op], Then::Keep);
        let outcomes = store.apply(Batch { units: vec![ops] }).await.unwrap();
        let lost = |o: &UnitOutcome| matches!(o, UnitOutcome::Indeterminate);
        assert!(outcomes.iter().all(|o| o.is_applied() || lost(o)), "{outcomes:?}");
    }
}

pub(crate) async fn put(store: &dyn Store, name: &str, records: &[(i64, &str)]) {
    let ops = records.iter().map(|(n, text)| Op::put(record(*n, text))).collect();
    change(store, name, ops).await;
}

pub(crate) async fn remove(store: &dyn Store, name: &str, n: i64) {
    let key = Key::of("item").int(n).build();
    change(store, name, vec![Op::Remove { key, expect: restow_store::Expect::Any }]).await;
}

/// Fills a store with units `u00`, `u01`, …, each with so many records.
pub(crate) async fn fill(store: &dyn Store, units: usize, records: i64) {
    for n in 0..units {
        let name = format!("u{n:02}");
        let ops = (0..records).map(|r| Op::put(record(r, &format!("{name} {r}")))).collect();
        change(store, &name, ops).await;
    }
}

/// Returns every unit of a store with the digest of its records.
pub(crate) async fn contents(store: &dyn Store) -> Vec<(UnitId, UnitDigest)> {
    let mut frames =
        store.scan(Segment::whole(Enumeration::Units), None, Content::All).await.unwrap();
    let mut all = Vec::new();
    while let Some(frame) = frames.next().await {
        match frame.unwrap() {
            Frame::Begin { unit, .. } => all.push((unit, UnitDigest::default())),
            Frame::Record(record) => all.last_mut().unwrap().1.merge(&record.summed()),
            Frame::Damaged { place, why, .. } => panic!("{place}: {why}"),
            _ => {}
        }
    }
    all.retain(|(_, digest)| digest.records > 0);
    all
}
