//! The questions of LangGraph's savers, answered by PostgreSQL's own indexes.

use std::collections::HashSet;

use async_trait::async_trait;
use futures::stream;
use postgres::types::{ToSql, Type};
use restow_model::{Body, Key, Record, UnitId};
use restow_store::feed::Stop;
use restow_store::query::langgraph::{
    CheckpointFilter, CheckpointTuple, Checkpoints, LangGraphQuery,
};
use restow_store::{Content, Error, ErrorKind, KeyRange, Result, Selection};
use tokio::sync::mpsc;

use super::super::record::{CHECKPOINT, WRITE, checkpoint_key};
use super::LangGraphPostgres;
use super::read::{Found, Reader, Visitor};
use crate::engine::postgres::Fail;

/// How many checkpoints a stream holds ahead of its reader.
const AHEAD_MAX: usize = 2;
/// How many keys of checkpoints a list fetches at once.
const KEYS_AT_ONCE: usize = 256;

/// Where a checkpoint is: thread, namespace, id.
type Place = (UnitId, String, String);

#[async_trait]
impl LangGraphQuery for LangGraphPostgres {
    async fn latest(
        &self,
        unit: &UnitId,
        namespace: &str,
        content: Content,
    ) -> Result<Option<CheckpointTuple>> {
        let (unit, namespace) = (unit.clone(), namespace.to_owned());
        self.asked("find the latest checkpoint", move |reader| {
            let sql = format!(
                "SELECT checkpoint_id FROM {} WHERE thread_id = $1 AND checkpoint_ns = $2 \
                 ORDER BY checkpoint_id COLLATE \"C\" DESC LIMIT 1",
                reader.place.checkpoints
            );
            let thread = unit.as_str();
            let parameters = [(&thread as _, Type::TEXT), (&namespace as _, Type::TEXT)];
            let Some(row) = reader.tx.query_typed_opt(&sql, &parameters)? else {
                return Ok(None);
            };
            tuple(reader, &(unit, namespace, row.try_get(0)?), content)
        })
        .await
    }

    async fn get(
        &self,
        unit: &UnitId,
        namespace: &str,
        id: &str,
        content: Content,
    ) -> Result<Option<CheckpointTuple>> {
        let place = (unit.clone(), namespace.to_owned(), id.to_owned());
        self.asked("get a checkpoint", move |reader| tuple(reader, &place, content)).await
    }

    async fn list(&self, filter: CheckpointFilter, content: Content) -> Result<Checkpoints> {
        Ok(self.checkpoints("list checkpoints", move |reader, send| {
            let mut left = filter.limit.unwrap_or(usize::MAX);
            open_list(reader, &filter)?;
            while left > 0 {
                let fetch = format!("FETCH {KEYS_AT_ONCE} FROM restow_list");
                let rows = reader.tx.query_typed(&fetch, &[])?;
                for row in &rows {
                    let unit = UnitId::new(row.try_get::<_, &str>(0)?);
                    let place = (unit, row.try_get(1)?, row.try_get(2)?);
                    // The index finds candidates; what the record says counts.
                    let Some(found) = tuple(reader, &place, content)? else { continue };
                    if left == 0 || !matches(&filter, &found.checkpoint) {
                        continue;
                    }
                    left -= 1;
                    send(found)?;
                }
                if rows.len() < KEYS_AT_ONCE {
                    break;
                }
            }
            Ok(())
        }))
    }

    async fn ancestors(&self, unit: &UnitId, namespace: &str, id: &str) -> Result<Checkpoints> {
        let (unit, namespace, id) = (unit.clone(), namespace.to_owned(), id.to_owned());
        Ok(self.checkpoints("walk to the root", move |reader, send| {
            let mut next = Some(id);
            // A checkpoint stored again under a descendant's config closes a loop.
            let mut seen = HashSet::new();
            while let Some(id) = next.take().filter(|id| !seen.contains(id)) {
                let place = (unit.clone(), namespace.clone(), id.clone());
                let Some(found) = tuple(reader, &place, Content::All)? else { break };
                let parent = found.checkpoint.body.get("parent");
                next = parent.and_then(|parent| parent.as_text().map(str::to_owned));
                seen.insert(id);
                send(found)?;
            }
            Ok(())
        }))
    }

    async fn units_of_run(&self, run_id: &str) -> Result<Vec<UnitId>> {
        let run_id = run_id.to_owned();
        self.asked("find the threads of a run", move |reader| {
            if run_id.contains('\0') {
                return Ok(Vec::new());
            }
            let sql = format!(
                "SELECT DISTINCT thread_id COLLATE \"C\" AS t FROM {} \
                 WHERE metadata ->> 'run_id' = $1 \
                 AND jsonb_typeof(metadata -> 'run_id') = 'string' ORDER BY t",
                reader.place.checkpoints
            );
            let rows = reader.tx.query_typed(&sql, &[(&run_id, Type::TEXT)])?;
            let unit = |row: &postgres::Row| Ok(UnitId::new(row.try_get::<_, &str>(0)?));
            rows.iter().map(unit).collect()
        })
        .await
    }
}

type Send<'s> = &'s mut dyn FnMut(CheckpointTuple) -> Result<(), Fail>;

impl LangGraphPostgres {
    /// Answers from inside one transaction, unless the store is retired.
    async fn asked<T: Default + std::marker::Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut Reader<'_, '_>) -> Result<T, Fail> + std::marker::Send + 'static,
    ) -> Result<T> {
        let work = move |reader: &mut Reader<'_, '_>| {
            reader.not_retired(operation)?;
            work(reader)
        };
        self.reading(operation, || Ok(T::default()), work).await
    }

    fn checkpoints(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut Reader<'_, '_>, Send<'_>) -> Result<(), Fail>
        + std::marker::Send
        + 'static,
    ) -> Checkpoints {
        let (sender, receiver) = mpsc::channel(AHEAD_MAX);
        let this = self.clone();
        tokio::task::spawn_blocking(move || {
            let mut send = |tuple| {
                let sent = sender.blocking_send(Ok(tuple));
                sent.map_err(|_| Fail::Stop(Stop::Closed))
            };
            let done = this.server.read(operation, |tx| {
                let Some(shape) = this.shape(tx)? else { return Ok(()) };
                let mut reader = Reader::new(tx, &this.tables, &this.tables.active, shape);
                reader.not_retired(operation)?;
                work(&mut reader, &mut send)
            });
            if let Err(Stop::Error(error)) = done {
                // Nobody reads: nobody misses the error.
                let _ = sender.blocking_send(Err(error));
            }
        });
        Box::pin(stream::unfold(receiver, |mut receiver| async move {
            Some((receiver.recv().await?, receiver))
        }))
    }
}

/// Opens the cursor of a list: keys of checkpoints, newest first.
fn open_list(reader: &mut Reader<'_, '_>, filter: &CheckpointFilter) -> Result<(), Fail> {
    let conditions = [
        ("thread_id =", filter.unit.as_ref().map(UnitId::as_str)),
        ("checkpoint_ns =", filter.namespace.as_deref()),
        ("checkpoint_id =", filter.id.as_deref()),
        ("checkpoint_id COLLATE \"C\" <", filter.before.as_deref()),
    ];
    let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = Vec::new();
    let mut sql = format!(
        "DECLARE restow_list NO SCROLL CURSOR FOR SELECT thread_id, checkpoint_ns, checkpoint_id \
         FROM {} WHERE true",
        reader.place.checkpoints
    );
    for (condition, value) in &conditions {
        if let Some(value) = value {
            parameters.push((value, Type::TEXT));
            sql.push_str(&format!(" AND {condition} ${}", parameters.len()));
        }
    }
    // Equal ids of several threads come in a fixed order.
    sql.push_str(
        " ORDER BY checkpoint_id COLLATE \"C\" DESC, thread_id COLLATE \"C\", \
         checkpoint_ns COLLATE \"C\"",
    );
    reader.tx.execute_typed(&sql, &parameters)?;
    Ok(())
}

fn matches(filter: &CheckpointFilter, checkpoint: &Record) -> bool {
    let metadata = checkpoint.body.get("metadata");
    let entry = |name: &str| metadata.and_then(|metadata| metadata.get(name));
    filter.metadata.iter().all(|(name, wanted): &(String, Body)| entry(name) == Some(wanted))
}

/// Loads a checkpoint with its writes, in the order of (task path, task id, index).
fn tuple(
    reader: &mut Reader<'_, '_>,
    (unit, namespace, id): &Place,
    content: Content,
) -> Result<Option<CheckpointTuple>, Fail> {
    let key = checkpoint_key(namespace, id);
    let one = KeyRange::one(&key);
    let Some(mut checkpoint) = records(reader, unit, one)?.pop() else { return Ok(None) };
    debug_assert_eq!(checkpoint.key.kind(), CHECKPOINT);
    let prefix = Key::of(WRITE).text(namespace).text(id).build();
    let mut writes = records(reader, unit, KeyRange::prefix(&prefix))?;
    let path =
        |write: &Record| write.body.get("path").and_then(|path| path.as_text().map(str::to_owned));
    // Stable: within a path they are ordered by task and index already.
    writes.sort_by_cached_key(path);
    if content != Content::All {
        checkpoint.values.clear();
        writes.iter_mut().for_each(|write| write.values.clear());
    }
    Ok(Some(CheckpointTuple { unit: unit.clone(), checkpoint, writes }))
}

fn records(
    reader: &mut Reader<'_, '_>,
    unit: &UnitId,
    keys: KeyRange,
) -> Result<Vec<Record>, Fail> {
    let mut all = All(Vec::new());
    let what = Selection { keys: keys.into(), ..Selection::all() };
    reader.walk(std::slice::from_ref(unit), &what, &mut all)?;
    Ok(all.0)
}

struct All(Vec<Record>);

impl Visitor for All {
    fn found(&mut self, _: &UnitId, found: Found) -> Result<(), Fail> {
        match found {
            Found::Record(record) => self.0.push(record),
            Found::Damaged(place, why) => {
                let error = Error::new(ErrorKind::Damaged, "read a checkpoint", why);
                return Err(error.with("place", place).into());
            }
        }
        Ok(())
    }
}
