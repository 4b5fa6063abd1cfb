//! What a file holds, in numbers, without opening a payload more than a few times.

use restow_model::{Dialect, UnitId};
use restow_store::Result;
use restow_store::feed::Stop;
use rusqlite::Connection;

use super::LangGraphSqlite;
use super::reading::Reading;
use super::shape::{self, Shape};
use super::side::ACTIVE;
use super::units::{Fail, dialect_of};

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The shape of the tables; `None` where there are none yet.
    pub shape: Option<Shape>,
    /// Threads with checkpoints or writes.
    pub threads: u64,
    /// Rows of `checkpoints`.
    pub checkpoints: u64,
    /// Bytes of their payloads and metadata.
    pub checkpoint_bytes: u64,
    /// Rows of `writes`.
    pub writes: u64,
    /// Bytes of their payloads.
    pub write_bytes: u64,
    /// The language of the first threads whose content tells.
    pub dialect: Dialect,
    /// How many rows of `checkpoints` carry which serializer's tag.
    pub tags: Vec<(Option<String>, u64)>,
}

impl LangGraphSqlite {
    /// Counts what the file holds.
    ///
    /// Blocks the thread; reads every row's header once, and no payload.
    pub fn describe(&self) -> Result<Description> {
        let described = self.read_blocking("describe a store", |moment| {
            let connection = moment.connection;
            let shape = shape::recognise(connection)?;
            describe(connection, shape)
        });
        described.map_err(|stop| match stop {
            Stop::Error(error) => error,
            Stop::Closed => {
                let kind = restow_store::ErrorKind::Failed;
                restow_store::Error::new(kind, "describe a store", "nobody waits for it")
            }
        })
    }
}

fn describe(connection: &Connection, shape: Option<Shape>) -> Result<Description, Fail> {
    let Some(shape) = shape else {
        return Ok(Description {
            shape: None,
            threads: 0,
            checkpoints: 0,
            checkpoint_bytes: 0,
            writes: 0,
            write_bytes: 0,
            dialect: Dialect::Any,
            tags: Vec::new(),
        });
    };
    let pair = |sql: &str| -> rusqlite::Result<(u64, u64)> {
        connection.query_row(sql, [], |row| {
            Ok((row.get::<_, i64>(0)?.max(0) as u64, row.get::<_, i64>(1)?.max(0) as u64))
        })
    };
    let (checkpoints, checkpoint_bytes) = pair(
        "SELECT count(*), coalesce(sum(coalesce(octet_length(checkpoint), 0)
         + coalesce(octet_length(metadata), 0)), 0) FROM checkpoints",
    )?;
    let (writes, write_bytes) =
        pair("SELECT count(*), coalesce(sum(octet_length(value)), 0) FROM writes")?;
    let (threads, _) = pair(
        "SELECT count(*), 0 FROM
         (SELECT thread_id FROM checkpoints UNION SELECT thread_id FROM writes)",
    )?;
    let sql = "SELECT CAST(type AS TEXT), count(*) FROM checkpoints GROUP BY 1 ORDER BY 1";
    let mut statement = connection.prepare(sql)?;
    let tags = statement.query_map([], |row| {
        let tag = super::row::text_or_null(row, 0, "type").ok().flatten().map(str::to_owned);
        Ok((tag, row.get::<_, i64>(1)?.max(0) as u64))
    })?;
    Ok(Description {
        shape: Some(shape),
        threads,
        checkpoints,
        checkpoint_bytes,
        writes,
        write_bytes,
        dialect: dialect(connection)?,
        tags: tags.collect::<rusqlite::Result<_>>()?,
    })
}

fn dialect(connection: &Connection) -> Result<Dialect, Fail> {
    let reading = Reading::new(connection, &ACTIVE)?;
    let sql = "SELECT DISTINCT CAST(thread_id AS TEXT) FROM checkpoints LIMIT 16";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let Ok(unit) = super::row::text(row, 0, "thread_id") else { continue };
        let dialect = dialect_of(&reading, &UnitId::new(unit))?;
        if dialect != Dialect::Any {
            return Ok(dialect);
        }
    }
    Ok(Dialect::Any)
}
