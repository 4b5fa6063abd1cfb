//! The saver: reading and writing checkpoints.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use restow_model::{Body, Record, UnitId};
use restow_store::query::langgraph::{CheckpointFilter, CheckpointTuple, LangGraphQuery};
use restow_store::{
    Address, Clock, Content, Environment, Error, ErrorKind, Expect, Frame, Op, Result, Role,
    Selection,
};
use restow_stores::layout::langgraph::json;
use restow_stores::layout::langgraph::order::OrderLog;
use restow_stores::layout::langgraph::record::{Channel, Payload};
use restow_stores::registry::{self, Access};

use super::recent::Recent;
use super::threads::refused;
use super::told::channels_of;
use super::{
    CheckpointPut, MovingThreads, Place, Stored, Threads, Tuple, Typed, WritesPut, Written, given,
};
use crate::live::Migration;

/// A stream of checkpoints, newest first.
pub type Tuples = Pin<Box<dyn Stream<Item = Result<Tuple>> + Send + 'static>>;

/// LangGraph's checkpointer over a store.
pub struct Saver {
    threads: Arc<dyn Threads>,
    recent: Arc<Recent>,
}

impl fmt::Debug for Saver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saver").finish_non_exhaustive()
    }
}

/// Which checkpoints to list. All conditions hold together.
#[derive(Clone, Debug, Default)]
pub struct CheckpointQuery {
    /// One thread, or all.
    pub thread: Option<String>,
    /// One namespace, or all.
    pub namespace: Option<String>,
    /// One checkpoint.
    pub id: Option<String>,
    /// Only checkpoints with a smaller id.
    pub before: Option<String>,
    /// A JSON object: entries that the metadata must have.
    pub metadata: Bytes,
    /// How many at most.
    pub limit: Option<usize>,
}

impl Saver {
    /// Makes a saver over threads.
    pub fn new(threads: impl Threads) -> Self {
        Self { threads: Arc::new(threads), recent: Arc::default() }
    }

    /// Opens a store, making it where it is not there.
    pub async fn open(address: &Address, environment: &Environment) -> Result<Self> {
        let opened = registry::open(address, Access::Write, environment).await?;
        opened.store.prepare(Role::CopyTarget, "").await?;
        Ok(Self::new(opened))
    }

    /// Opens the stores of a migration; every thread is read and written where it lives by then.
    ///
    /// Before the migration starts, that is the source. `seed` is what this saver names its
    /// operations after; no other one may have it.
    pub async fn migration(
        migration: &Migration,
        environment: &Environment,
        clock: Arc<dyn Clock>,
        seed: &str,
    ) -> Result<Self> {
        MovingThreads::open(migration, environment, clock, seed).await.map(Self::new)
    }

    pub(super) fn threads(&self) -> &dyn Threads {
        &*self.threads
    }

    pub(super) fn query(&self) -> &dyn LangGraphQuery {
        self.threads.query()
    }

    /// Returns a checkpoint, or the newest of a namespace.
    pub async fn get(
        &self,
        thread: &str,
        namespace: &str,
        id: Option<&str>,
    ) -> Result<Option<Tuple>> {
        let thread = UnitId::new(thread);
        // Mostly it is the checkpoint that was put last, and only that has to be made sure of.
        let is_known = self.recent.knows(&thread, namespace);
        let content = if is_known { Content::Bodies } else { Content::All };
        let mut found = self.find(&thread, namespace, id, content).await?;
        if let Some(tuple) = found.as_mut().filter(|_| is_known)
            && !self.recent.complete(tuple, namespace)
        {
            found = self.find(&thread, namespace, id, Content::All).await?;
        }
        found.map(|found| self.tell(&found)).transpose()
    }

    pub(super) async fn find(
        &self,
        thread: &UnitId,
        namespace: &str,
        id: Option<&str>,
        content: Content,
    ) -> Result<Option<CheckpointTuple>> {
        match id {
            Some(id) => self.query().get(thread, namespace, id, content).await,
            None => self.query().latest(thread, namespace, content).await,
        }
    }

    fn tell(&self, found: &CheckpointTuple) -> Result<Tuple> {
        let told = Tuple::of(found)?;
        let place = Place::new(told.thread.as_str(), &told.namespace, &told.id);
        self.recent.keep(place, channels_of(&found.checkpoint)?.into());
        Ok(told)
    }

    /// Lists checkpoints, newest first.
    pub async fn list(&self, query: CheckpointQuery) -> Result<Tuples> {
        let filter = CheckpointFilter {
            unit: query.thread.map(UnitId::new),
            namespace: query.namespace,
            id: query.id,
            before: query.before,
            metadata: conditions(&query.metadata)?,
            limit: query.limit,
        };
        let found = self.query().list(filter, Content::All).await?;
        Ok(Box::pin(found.map(|found| Tuple::of(&found?))))
    }

    /// Stores a checkpoint over whatever is there.
    pub async fn put(&self, put: CheckpointPut) -> Result<Stored> {
        let (head, mut channels) = put.opened()?;
        let missing = self.fill_in(&put, &mut channels).await?;
        if !missing.is_empty() {
            return Ok(Stored::Missing(missing));
        }
        for (name, typed) in &put.values {
            let (value, tag) = typed.clone().into_channel();
            match channels.iter_mut().find(|channel| channel.name == *name) {
                Some(channel) => (channel.value, channel.tag) = (Some(value), tag),
                None => channels.push(Channel {
                    name: name.clone(),
                    version: Body::Null,
                    value: Some(value),
                    tag,
                }),
            }
        }
        let is_sealed = channels.iter().any(|channel| channel.tag.is_some());
        let payload = Payload::Open { head, channels: channels.clone() };
        let record = put.record(payload)?;
        if is_sealed && self.threads.check(&record).is_err() {
            return Ok(Stored::Whole);
        }
        self.write_one(&put.place, Op::put(record)).await?;
        self.recent.keep(put.place, channels.into());
        Ok(Stored::Done)
    }

    /// Stores a checkpoint that is given whole, under one tag.
    pub async fn put_whole(&self, put: CheckpointPut, checkpoint: Typed) -> Result<()> {
        let record = put.record(given::whole(checkpoint)?)?;
        self.write_one(&put.place, Op::put(record)).await
    }

    /// Gives unchanged channels the values that they had before; tells those that had none.
    async fn fill_in(
        &self,
        put: &CheckpointPut,
        channels: &mut [Channel],
    ) -> Result<Vec<Box<str>>> {
        if put.unchanged.is_empty() {
            return Ok(Vec::new());
        }
        let before = self.before(put).await?;
        let mut missing = Vec::new();
        for name in &put.unchanged {
            let same = channels.iter_mut().find(|c| c.name == *name).and_then(|channel| {
                let is_same = |b: &&Channel| {
                    b.name == *name && b.version == channel.version && b.version != Body::Null
                };
                let found = before.iter().find(is_same).filter(|found| found.value.is_some())?;
                (channel.value, channel.tag) = (found.value.clone(), found.tag.clone());
                Some(())
            });
            if same.is_none() {
                missing.push(name.clone());
            }
        }
        Ok(missing)
    }

    async fn before(&self, put: &CheckpointPut) -> Result<Arc<[Channel]>> {
        let Some(parent) = &put.parent else { return Ok(Arc::default()) };
        let place = Place { id: parent.clone(), ..put.place.clone() };
        if let Some(channels) = self.recent.get(&place) {
            return Ok(channels);
        }
        match self.query().get(&place.thread, &place.namespace, parent, Content::All).await? {
            Some(found) => Ok(channels_of(&found.checkpoint)?.into()),
            None => Ok(Arc::default()),
        }
    }

    async fn write_one(&self, place: &Place, op: Op) -> Result<()> {
        match self.threads.write(&place.thread, vec![op]).await? {
            Written::Done => Ok(()),
            Written::TooLarge | Written::Unexpected(_) => Err(refused(&place.thread)),
        }
    }

    /// Stores pending writes. Those that tell of an error, an interrupt or the like replace what
    /// was written before; of others the first stays.
    pub async fn put_writes(&self, put: WritesPut) -> Result<()> {
        let mut records = put.records();
        if put.replaces() {
            return self.write_all(&put.place.thread, records, Expect::Any).await.map(drop);
        }
        let mut seen = Vec::with_capacity(records.len());
        records.retain(|record| {
            let is_first = !seen.contains(&record.key);
            seen.push(record.key.clone());
            is_first
        });
        // Each time that somebody else was first, fewer are left.
        while let Some(taken) =
            self.write_all(&put.place.thread, records.clone(), Expect::Absent).await?
        {
            let what = Selection { content: Content::Bodies, ..Selection::prefix(&put.prefix()) };
            let mut there = self.threads.read(&put.place.thread, what).await?;
            records.retain(|record| record.key != taken);
            while let Some(frame) = there.next().await {
                if let Frame::Record(found) = frame? {
                    records.retain(|record| record.key != found.key);
                }
            }
        }
        Ok(())
    }

    /// Writes records, in several steps where they are too large for one; returns the key of one
    /// that was not as expected.
    pub(super) async fn write_all(
        &self,
        thread: &UnitId,
        records: Vec<Record>,
        expect: Expect,
    ) -> Result<Option<restow_model::Key>> {
        let mut waiting = vec![records];
        while let Some(mut records) = waiting.pop() {
            if records.is_empty() {
                continue;
            }
            let put = |record: &Record| Op::Put { record: record.clone(), expect };
            match self.threads.write(thread, records.iter().map(put).collect()).await? {
                Written::Done => {}
                Written::Unexpected(key) => return Ok(Some(key)),
                Written::TooLarge if records.len() == 1 => return Err(refused(thread)),
                Written::TooLarge => {
                    waiting.push(records.split_off(records.len() / 2));
                    waiting.push(records);
                }
            }
        }
        Ok(None)
    }
}

fn conditions(metadata: &[u8]) -> Result<Vec<(String, Body)>> {
    if metadata.is_empty() {
        return Ok(Vec::new());
    }
    let invalid = || {
        let message = "the filter is not a JSON object with names";
        Error::new(ErrorKind::Invalid, "list checkpoints", message)
    };
    let read = json::read(metadata, &mut OrderLog::default());
    let Ok(Body::Map(map)) = read else { return Err(invalid()) };
    let pair = |(name, value): (Body, Body)| match name {
        Body::Text(name) => Ok((name.into_string(), value)),
        _ => Err(invalid()),
    };
    map.into_pairs().into_iter().map(pair).collect()
}
