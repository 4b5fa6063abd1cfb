//! What LangGraph asks of a checkpointer.
//!
//! A checkpoint's record has the key `checkpoint(namespace, id)`; a pending write's is
//! `write(namespace, checkpoint id, task id, index)`.

use std::pin::Pin;

use async_trait::async_trait;
use futures::Stream;
use restow_model::{Body, Record, UnitId};

use crate::{Content, Result};

/// A checkpoint with its pending writes, in the order of LangGraph's contract since
/// langgraph-checkpoint 4.3: by (task path, task id, index).
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointTuple {
    /// The thread.
    pub unit: UnitId,
    /// The checkpoint's record.
    pub checkpoint: Record,
    /// Its pending writes.
    pub writes: Vec<Record>,
}

/// A stream of checkpoints, newest first.
pub type Checkpoints = Pin<Box<dyn Stream<Item = Result<CheckpointTuple>> + Send + 'static>>;

/// Which checkpoints to list. All conditions hold together; the newest come first, which is by
/// checkpoint id as text, descending, across namespaces and threads.
#[derive(Clone, Debug, Default)]
pub struct CheckpointFilter {
    /// One thread, or all.
    pub unit: Option<UnitId>,
    /// One namespace (`""` is the root), or all.
    pub namespace: Option<String>,
    /// One checkpoint.
    pub id: Option<String>,
    /// Only checkpoints with a smaller id.
    pub before: Option<String>,
    /// Metadata entries that must be equal, at the top level.
    pub metadata: Vec<(String, Body)>,
    /// How many at most, counted behind every condition.
    pub limit: Option<usize>,
}

impl CheckpointFilter {
    /// Says whether a checkpoint's metadata has every entry that is asked for.
    pub fn metadata_matches(&self, checkpoint: &Record) -> bool {
        let metadata = checkpoint.body.get("metadata");
        let has = |(name, value): &(String, Body)| {
            metadata.and_then(|metadata| metadata.get(name)) == Some(value)
        };
        self.metadata.iter().all(has)
    }
}

/// The questions that LangGraph's savers answer.
#[async_trait]
pub trait LangGraphQuery: Send + Sync + 'static {
    /// Returns the newest checkpoint of a namespace; with [`Content::Bodies`] without values.
    async fn latest(
        &self,
        unit: &UnitId,
        namespace: &str,
        content: Content,
    ) -> Result<Option<CheckpointTuple>>;

    /// Returns one checkpoint; with [`Content::Bodies`] without values.
    async fn get(
        &self,
        unit: &UnitId,
        namespace: &str,
        id: &str,
        content: Content,
    ) -> Result<Option<CheckpointTuple>>;

    /// Lists checkpoints, newest first; with [`Content::Bodies`] without their values.
    async fn list(&self, filter: CheckpointFilter, content: Content) -> Result<Checkpoints>;

    /// Walks from a checkpoint to the root along its parents, the checkpoint itself first.
    async fn ancestors(&self, unit: &UnitId, namespace: &str, id: &str) -> Result<Checkpoints>;

    /// Returns the threads with checkpoints of a run (metadata `run_id`), each once, ascending.
    async fn units_of_run(&self, run_id: &str) -> Result<Vec<UnitId>>;
}
