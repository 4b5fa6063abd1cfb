//! Whole threads: deleting, copying, pruning.

use futures::StreamExt;
use restow_model::{Body, Key, Record, UnitId};
use restow_store::query::langgraph::CheckpointFilter;
use restow_store::{Content, Error, ErrorKind, Expect, Frame, Op, Result, Selection};
use restow_stores::layout::langgraph::msgpack::{Head, Reader};
use restow_stores::layout::langgraph::record;

use super::keep::Outline;
use super::threads::refused;
use super::told::channels_of;
use super::{Saver, Written};

/// How many bytes of records a copy of a thread writes at once.
const COPY_BYTES: usize = 2 << 20;
/// The extension under which msgpack keeps the snapshot of a channel that keeps only changes.
const SNAPSHOT: i8 = 7;

/// What pruning leaves of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prune {
    /// The newest checkpoint of each namespace.
    KeepLatest,
    /// Nothing.
    Delete,
}

impl Saver {
    /// Deletes a thread.
    pub async fn delete_thread(&self, thread: &str) -> Result<()> {
        self.threads().erase(&UnitId::new(thread)).await
    }

    /// Deletes the checkpoints of runs, with the writes that wait for them.
    pub async fn delete_for_runs(&self, runs: &[String]) -> Result<()> {
        for run in runs {
            for thread in self.query().units_of_run(run).await? {
                let filter = CheckpointFilter {
                    unit: Some(thread.clone()),
                    metadata: vec![("run_id".into(), Body::text(&**run))],
                    ..CheckpointFilter::default()
                };
                let mut ops = Vec::new();
                let mut found = self.query().list(filter, Content::Bodies).await?;
                while let Some(found) = found.next().await.transpose()? {
                    let records = found.writes.into_iter().chain([found.checkpoint]);
                    ops.extend(records.map(|record| remove(record.key)));
                }
                self.remove(&thread, ops).await?;
            }
        }
        Ok(())
    }

    /// Copies a thread to another, over what that one holds under the same keys.
    ///
    /// A checkpoint comes behind everything that it needs: writes first, then checkpoints, parents
    /// before children where their ids ascend.
    pub async fn copy_thread(&self, from: &str, to: &str) -> Result<()> {
        if from == to {
            return Ok(());
        }
        let (from, to) = (UnitId::new(from), UnitId::new(to));
        for kind in [record::WRITE, record::UNIT, record::CHECKPOINT] {
            let mut batch = Vec::new();
            let mut bytes = 0;
            let what = Selection::prefix(&Key::of(kind).build());
            let mut frames = self.threads().read(&from, what).await?;
            while let Some(frame) = frames.next().await {
                let Some(record) = sound(frame?)? else { continue };
                bytes += record.weight();
                batch.push(record);
                if bytes >= COPY_BYTES {
                    bytes = 0;
                    self.write_all(&to, std::mem::take(&mut batch), Expect::Any).await?;
                }
            }
            self.write_all(&to, batch, Expect::Any).await?;
        }
        Ok(())
    }

    /// Prunes threads, each in one step.
    ///
    /// Where a channel keeps only what changed, [`Prune::KeepLatest`] is refused before any thread
    /// is pruned: its value is rebuilt from the checkpoints that would go.
    pub async fn prune(&self, threads: &[String], strategy: Prune) -> Result<()> {
        if strategy == Prune::Delete {
            for thread in threads {
                self.delete_thread(thread).await?;
            }
            return Ok(());
        }
        for thread in threads {
            self.outline(&UnitId::new(&**thread)).await?;
        }
        for thread in threads {
            let thread = UnitId::new(&**thread);
            let plan = self.outline(&thread).await?.plan();
            let mut ops: Vec<Op> = plan.remove.into_iter().map(remove).collect();
            for (namespace, id) in plan.orphaned {
                let found = self.query().get(&thread, &namespace, &id, Content::All).await?;
                ops.extend(found.map(|found| Op::put(without_parent(found.checkpoint))));
            }
            self.remove(&thread, ops).await?;
        }
        Ok(())
    }

    async fn outline(&self, thread: &UnitId) -> Result<Outline> {
        let mut outline = Outline::default();
        let what = Selection { content: Content::Bodies, ..Selection::all() };
        let mut frames = self.threads().read(thread, what).await?;
        while let Some(frame) = frames.next().await {
            if let Some(record) = sound(frame?)? {
                outline.add(&record);
            }
        }
        let heads: Vec<_> =
            outline.heads().map(|(ns, id)| (ns.to_owned(), id.to_owned())).collect();
        for (namespace, id) in heads {
            let head = self.query().get(thread, &namespace, &id, Content::All).await?;
            outline.has_delta |= match head {
                Some(head) => has_snapshot(&head.checkpoint)?,
                None => false,
            };
        }
        if outline.has_delta {
            let message = "the thread has a channel that is rebuilt from earlier checkpoints, so \
                           they have to stay";
            let error = Error::new(ErrorKind::Unsupported, "prune a thread", message);
            return Err(error.with("thread", thread.to_string()));
        }
        Ok(outline)
    }

    async fn remove(&self, thread: &UnitId, ops: Vec<Op>) -> Result<()> {
        if ops.is_empty() {
            return Ok(());
        }
        match self.threads().write(thread, ops).await? {
            Written::Done => Ok(()),
            Written::TooLarge | Written::Unexpected(_) => Err(refused(thread)),
        }
    }
}

fn remove(key: Key) -> Op {
    Op::Remove { key, expect: Expect::Any }
}

/// Takes the parent away; what only one layout said about the record goes with it.
fn without_parent(mut record: Record) -> Record {
    if let Body::Map(body) = record.body {
        let mut pairs = body.into_pairs();
        pairs.retain(|(name, _)| name.as_text() != Some("parent"));
        pairs.push((Body::text("parent"), Body::Null));
        record.body = Body::Map(restow_model::Map::from_pairs(pairs));
    }
    record.residue.clear();
    record
}

fn has_snapshot(record: &Record) -> Result<bool> {
    let channels = channels_of(record)?;
    let mut values = channels.iter().filter_map(|channel| channel.value.as_ref());
    Ok(values.any(|v| matches!(Reader::new(&v.bytes).head(), Ok(Head::Ext(SNAPSHOT, _)))))
}

fn sound(frame: Frame) -> Result<Option<Record>> {
    match frame {
        Frame::Record(record) => Ok(Some(record)),
        Frame::Damaged { place, why, .. } => {
            Err(Error::new(ErrorKind::Damaged, "read a thread", why).with("place", place))
        }
        Frame::Begin { .. } | Frame::End { .. } | Frame::Mark(_) => Ok(None),
    }
}
