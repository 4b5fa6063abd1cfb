//! LangGraph on PostgreSQL: the tables of langgraph-checkpoint-postgres 3.2.0, at version 9.
//!
//! A checkpoint is a row of JSON; values that JSON cannot say exactly, and all that are no
//! primitives, are blob rows shared by every checkpoint with the same version of the channel.
//!
//! Invariants:
//! - Every stream is one transaction that sees one moment.
//! - A unit is changed in one transaction, under a lock that every writer of restow's takes,
//!   together with what is kept beside it.
//! - What is staged is no part of any unit: LangGraph reads nothing from a blob row that no
//!   checkpoint names, and every other staged row lies in a table of restow's own.

mod query;
mod read;
pub mod row;
pub mod schema;
mod segments;
pub mod shape;
mod store;
pub mod tables;
mod write;

use std::sync::{Arc, Mutex, PoisonError};

use postgres::types::Type;
use restow_store::feed::{FrameSender, Purpose, Stop, produce};
use restow_store::{Address, Capabilities, Error, ErrorKind, Frames, Result, StoreInfo};

use crate::engine::postgres::{Fail, Server, Transaction};
use read::Reader;
use shape::Shape;
use tables::Tables;

/// LangGraph's checkpoints in a PostgreSQL database.
#[derive(Clone, Debug)]
pub struct LangGraphPostgres {
    info: Arc<StoreInfo>,
    server: Server,
    tables: Arc<Tables>,
    /// What tables there are; nothing before they are made.
    shape: Arc<Mutex<Option<Shape>>>,
    stagings: Arc<write::Stagings>,
}

impl LangGraphPostgres {
    /// Opens a database that is only read.
    ///
    /// Blocks the thread. Refuses a database that does not hold LangGraph's tables.
    pub fn source(server: Server) -> Result<Self> {
        Self::open(server, false)
    }

    /// Opens a database to write to. Its tables are made when the store is prepared.
    ///
    /// Blocks the thread. Refuses tables that only look like LangGraph's.
    pub fn target(server: Server) -> Result<Self> {
        Self::open(server, true)
    }

    fn open(server: Server, may_be_empty: bool) -> Result<Self> {
        const OPERATION: &str = "open a database";
        let looked = server.read(OPERATION, |tx| {
            let tables = shape::resolve(tx, server.settings())?;
            let shape = shape::recognise(tx, &tables)?;
            Ok((tables, shape))
        });
        let (tables, shape) = looked.map_err(|stop| stop.error(OPERATION))?;
        let info = Self::info(&server);
        if shape.is_none() && !may_be_empty {
            let message = "the database holds no tables of LangGraph's";
            let error = Error::new(ErrorKind::Invalid, OPERATION, message);
            let error = error.with("schema", &tables.schema);
            return Err(error.with("server", server.settings().shown()));
        }
        let (tables, shape) = (Arc::new(tables), Arc::new(Mutex::new(shape)));
        Ok(Self { info, server, tables, shape, stagings: Arc::default() })
    }

    /// Reads inside one transaction, on a thread that may block; `none` where there are no tables.
    async fn reading<T: Send + 'static>(
        &self,
        operation: &'static str,
        none: impl FnOnce() -> Result<T> + Send + 'static,
        work: impl FnOnce(&mut Reader<'_, '_>) -> Result<T, Fail> + Send + 'static,
    ) -> Result<T> {
        let this = self.clone();
        let read = move |server: &Server| {
            server.read(operation, |tx| {
                let Some(shape) = this.shape(tx)? else { return Ok(none()?) };
                work(&mut Reader::new(tx, &this.tables, &this.tables.active, shape))
            })
        };
        self.server.run(operation, read).await
    }

    /// Streams frames from inside one transaction; none where there are no tables.
    fn stream(
        &self,
        purpose: Purpose,
        operation: &'static str,
        work: impl FnOnce(&mut Reader<'_, '_>, &FrameSender) -> Result<(), Fail> + Send + 'static,
    ) -> Frames {
        let this = self.clone();
        produce(purpose, move |sender| -> Result<(), Stop> {
            this.server.read(operation, |tx| {
                let Some(shape) = this.shape(tx)? else { return Ok(()) };
                work(&mut Reader::new(tx, &this.tables, &this.tables.active, shape), sender)
            })
        })
    }

    /// Returns what tables there are; `None` before LangGraph's own are made. Until all of them are
    /// known somebody else may have made them meanwhile.
    fn shape(&self, tx: &mut Transaction<'_>) -> Result<Option<Shape>, Fail> {
        let known = *self.shape.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_some_and(|shape| shape.has_side) {
            return Ok(known);
        }
        let sql = "SELECT to_regclass($1) IS NOT NULL, to_regclass($2) IS NOT NULL";
        let names = [&self.tables.register, &self.tables.active.checkpoints];
        let row = tx.query_typed_one(sql, &names.map(|name| (name as _, Type::TEXT)))?;
        let (has_side, has_any): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
        if !has_side && has_any == known.is_some() {
            return Ok(known);
        }
        let found = shape::recognise(tx, &self.tables)?;
        *self.shape.lock().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(found)
    }

    fn info(server: &Server) -> Arc<StoreInfo> {
        let address = Address {
            layout: Some("langgraph".into()),
            engine: Some("postgres".into()),
            place: server.settings().shown().into(),
        };
        Arc::new(StoreInfo {
            address: address.to_string(),
            layout: "langgraph",
            engine: "postgres",
            application: Some("LangGraph"),
            capabilities: Capabilities {
                apply_bytes_max: 32 << 20,
                // A COPY that is closed more often is slower, and one that is not makes the
                // server's memory grow (PostgreSQL 15).
                batch_bytes: 4 << 20,
                live: true,
                parallel_applies: true,
                ..Capabilities::default()
            },
        })
    }
}
