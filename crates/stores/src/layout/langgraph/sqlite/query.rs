//! The questions of LangGraph's savers, answered by SQLite's own indexes.

use std::collections::HashSet;
use std::ops::ControlFlow;

use async_trait::async_trait;
use futures::stream;
use restow_model::{Record, UnitId};
use restow_store::feed::Stop;
use restow_store::query::langgraph::{
    CheckpointFilter, CheckpointTuple, Checkpoints, LangGraphQuery,
};
use restow_store::{Content, Error, ErrorKind, Result, Selection};
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use tokio::sync::mpsc;

use super::super::json;
use super::super::order::OrderLog;
use super::super::record::{WRITE, checkpoint_key};
use super::LangGraphSqlite;
use super::control::not_retired;
use super::reading::{Found, Reading, Table};
use super::side::ACTIVE;
use super::units::{Fail, checkpoint_of, each_row};

/// How many checkpoints a stream holds ahead of its reader.
const AHEAD_MAX: usize = 2;

#[async_trait]
impl LangGraphQuery for LangGraphSqlite {
    async fn latest(
        &self,
        unit: &UnitId,
        namespace: &str,
        content: Content,
    ) -> Result<Option<CheckpointTuple>> {
        let (unit, namespace) = (unit.clone(), namespace.to_owned());
        self.asking("find the latest checkpoint", move |reading| {
            if !reading.has(Table::Checkpoints) {
                return Ok(None);
            }
            let sql = "SELECT rowid FROM checkpoints WHERE thread_id = ?1 AND checkpoint_ns = ?2
                       ORDER BY checkpoint_id DESC LIMIT 1";
            let rowid = reading
                .connection
                .prepare_cached(sql)?
                .query_row(params![unit.as_str(), namespace], |row| row.get(0))
                .optional()?;
            rowid.map(|rowid| tuple(reading, rowid, content)).transpose()
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
        let (unit, namespace, id) = (unit.clone(), namespace.to_owned(), id.to_owned());
        self.asking("get a checkpoint", move |reading| {
            let rowid = rowid_of(reading, &unit, &namespace, &id)?;
            rowid.map(|rowid| tuple(reading, rowid, content)).transpose()
        })
        .await
    }

    async fn list(&self, filter: CheckpointFilter, content: Content) -> Result<Checkpoints> {
        Ok(self.checkpoints("list checkpoints", move |reading, send| {
            if !reading.has(Table::Checkpoints) {
                return Ok(());
            }
            let (sql, parameters) = listing(&filter);
            // Row ids alone are sorted; a payload is loaded when its turn comes.
            let connection: &Connection = reading.connection;
            let mut statement = connection.prepare(&sql)?;
            let mut rows = statement.query(params_from_iter(parameters))?;
            let mut left = filter.limit.unwrap_or(usize::MAX);
            while left > 0 {
                let Some(row) = rows.next()? else { break };
                let metadata = super::row::bytes(row.get_ref(1)?);
                if !matches(&filter, &metadata) {
                    continue;
                }
                left -= 1;
                send(tuple(reading, row.get(0)?, content)?)?;
            }
            Ok(())
        }))
    }

    async fn ancestors(&self, unit: &UnitId, namespace: &str, id: &str) -> Result<Checkpoints> {
        let (unit, namespace, id) = (unit.clone(), namespace.to_owned(), id.to_owned());
        Ok(self.checkpoints("walk to the root", move |reading, send| {
            let mut next = Some(id);
            // A checkpoint stored again under a descendant's config closes a loop.
            let mut seen = HashSet::new();
            while let Some(id) = next.take().filter(|id| !seen.contains(id)) {
                let Some(rowid) = rowid_of(reading, &unit, &namespace, &id)? else { break };
                let found = tuple(reading, rowid, Content::All)?;
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
        self.asking("find the threads of a run", move |reading| {
            if !reading.has(Table::Checkpoints) {
                return Ok(Vec::new());
            }
            // JSON of Python's may be none of SQLite's (NaN), so that only bytes are compared here.
            let sql = "SELECT thread_id, metadata FROM checkpoints
                       WHERE instr(CAST(metadata AS BLOB), CAST('\"run_id\"' AS BLOB)) > 0
                       ORDER BY thread_id";
            let mut statement = reading.connection.prepare_cached(sql)?;
            let mut rows = statement.query([])?;
            let mut units: Vec<UnitId> = Vec::new();
            while let Some(row) = rows.next()? {
                let Ok(unit) = super::row::text(row, 0, "thread_id") else { continue };
                let is_known = units.last().is_some_and(|last| last.as_str() == unit);
                let metadata = super::row::bytes(row.get_ref(1)?);
                if !is_known && is_of_run(&metadata, &run_id) {
                    units.push(UnitId::new(unit));
                }
            }
            Ok(units)
        })
        .await
    }
}

type Each<'s> = &'s mut dyn FnMut(CheckpointTuple) -> Result<(), Fail>;

impl LangGraphSqlite {
    fn checkpoints(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut Reading<'_>, Each<'_>) -> Result<(), Fail> + Send + 'static,
    ) -> Checkpoints {
        let (sender, receiver) = mpsc::channel(AHEAD_MAX);
        let this = self.clone();
        tokio::task::spawn_blocking(move || {
            let mut send = |tuple| {
                let sent = sender.blocking_send(Ok(tuple));
                sent.map_err(|_| Fail::Stop(Stop::Closed))
            };
            let done = this.read_blocking(operation, |moment| {
                not_retired(moment.connection, operation)?;
                work(&mut Reading::new(moment.connection, &ACTIVE)?, &mut send)
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

fn rowid_of(
    reading: &Reading<'_>,
    unit: &UnitId,
    namespace: &str,
    id: &str,
) -> rusqlite::Result<Option<i64>> {
    if !reading.has(Table::Checkpoints) {
        return Ok(None);
    }
    let sql = "SELECT rowid FROM checkpoints
               WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id = ?3";
    let mut statement = reading.connection.prepare_cached(sql)?;
    statement.query_row(params![unit.as_str(), namespace, id], |row| row.get(0)).optional()
}

/// Writes the query that lists row ids and metadata, newest first.
fn listing(filter: &CheckpointFilter) -> (String, Vec<Sql>) {
    let conditions = [
        ("thread_id =", filter.unit.as_ref().map(UnitId::as_str)),
        ("checkpoint_ns =", filter.namespace.as_deref()),
        ("checkpoint_id =", filter.id.as_deref()),
        ("checkpoint_id <", filter.before.as_deref()),
    ];
    let mut sql = String::from("SELECT rowid, metadata FROM checkpoints");
    let mut parameters = Vec::new();
    for (condition, value) in conditions {
        let Some(value) = value else { continue };
        sql.push_str(if parameters.is_empty() { " WHERE " } else { " AND " });
        parameters.push(Sql::Text(value.to_owned()));
        sql.push_str(&format!("{condition} ?{}", parameters.len()));
    }
    // Equal ids of several threads come in a fixed order.
    sql.push_str(" ORDER BY checkpoint_id DESC, thread_id, checkpoint_ns");
    (sql, parameters)
}

fn matches(filter: &CheckpointFilter, metadata: &[u8]) -> bool {
    if filter.metadata.is_empty() {
        return true;
    }
    let Ok(metadata) = json::read(metadata, &mut OrderLog::default()) else { return false };
    filter.metadata.iter().all(|(name, wanted)| metadata.get(name) == Some(wanted))
}

fn is_of_run(metadata: &[u8], run_id: &str) -> bool {
    let metadata = json::read(metadata, &mut OrderLog::default()).unwrap_or_default();
    metadata.get("run_id").and_then(|id| id.as_text()) == Some(run_id)
}

/// Loads a checkpoint with its writes, in the order of (task path, task id, index).
fn tuple(reading: &mut Reading<'_>, rowid: i64, content: Content) -> Result<CheckpointTuple, Fail> {
    let sql = reading.select(Table::Checkpoints, "WHERE rowid = ?1");
    let connection: &Connection = reading.connection;
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([rowid])?;
    let Some(row) = rows.next()? else { return Err(rusqlite::Error::QueryReturnedNoRows.into()) };
    let (unit, checkpoint) = sound(reading.load(Table::Checkpoints, row)?)?;
    let mut writes: Vec<Record> = Vec::new();
    if let Some((namespace, id)) = checkpoint_of(&checkpoint.key) {
        let prefix = restow_model::Key::of(WRITE).text(&namespace).text(&id).build();
        debug_assert_eq!(checkpoint.key, checkpoint_key(&namespace, &id));
        each_row(reading, &unit, &Selection::prefix(&prefix), &mut |reading, table, row| {
            writes.push(sound(reading.load(table, row)?)?.1);
            Ok(ControlFlow::Continue(()))
        })?;
    }
    let path =
        |write: &Record| write.body.get("path").and_then(|path| path.as_text().map(str::to_owned));
    // Stable: within a path they are ordered by task and index already.
    writes.sort_by_cached_key(path);
    let mut checkpoint = checkpoint;
    if content != Content::All {
        checkpoint.values.clear();
        writes.iter_mut().for_each(|write| write.values.clear());
    }
    Ok(CheckpointTuple { unit, checkpoint, writes })
}

fn sound(found: Found) -> Result<(UnitId, Record), Fail> {
    match found {
        Found::Record(unit, record) => Ok((unit, record)),
        Found::Damaged { place, why, .. } => {
            let error = Error::new(ErrorKind::Damaged, "read a checkpoint", why);
            Err(error.with("place", place).into())
        }
    }
}
