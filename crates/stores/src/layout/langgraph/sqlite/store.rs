//! The port's face of LangGraph on SQLite.

use async_trait::async_trait;
use bytes::Bytes;
use restow_model::{Record, UnitId};
use restow_store::feed::Purpose;
use restow_store::feed::blocking;
use restow_store::{
    Batch, Cursor, Enumeration, Error, ErrorKind, Etag, Frames, Purged, RegisterName, Result, Role,
    Segment, Selection, Stamp, Store, StoreInfo, StoreRecord, Swap, Told, UnitOutcome, Unsupported,
    View, WithoutControl,
};
use rusqlite::Connection;

use crate::engine::sqlite::{Database, registers};

use super::reading::Reading;
use super::scan::Scan;
use super::side::{ACTIVE, Place, STAGED};
use super::units::{Fail, exists, send_unit};
use super::{LangGraphSqlite, apply, put, segments, shape};

#[async_trait]
impl Store for LangGraphSqlite {
    fn info(&self) -> &StoreInfo {
        &self.info
    }

    fn check(&self, record: &Record) -> Result<(), Unsupported> {
        put::check(record)
    }

    async fn prepare(&self, role: Role, _id: &str) -> Result<StoreRecord> {
        if role != Role::CopyTarget {
            let message = "this store keeps no control records yet; use it in a copy";
            return Err(Error::new(ErrorKind::Unsupported, "prepare a store", message));
        }
        let database = self.files.database()?;
        let this = database.clone();
        let work = move |connection: &mut Connection| prepare(&this, connection);
        database.run("prepare a store", work).await
    }

    async fn segments(&self, want: usize, by: Enumeration) -> Result<Vec<Segment>> {
        let work = move |connection: &Connection| {
            Ok(segments::segments(&Reading::new(connection, &ACTIVE)?, want, by)?)
        };
        self.reading("divide a store", work).await
    }

    async fn scan(&self, segment: Segment, from: Option<Cursor>) -> Result<Frames> {
        Ok(self.stream(Purpose::Scan, "scan a store", move |connection, sender, check| {
            let mut reading = Reading::new(connection, &ACTIVE)?;
            Scan { sender, check }.run(&mut reading, &segment, from.as_ref())
        }))
    }

    async fn read(&self, units: Vec<UnitId>, what: Selection) -> Result<Frames> {
        Ok(self.stream(Purpose::Read, "read units", move |connection, sender, _| {
            for unit in units {
                let Some(place) = place_of(connection, &unit, &what.view)? else { continue };
                let mut reading = Reading::new(connection, place)?;
                if *place == STAGED || exists(&reading, &unit)? {
                    send_unit(&mut reading, &unit, &what, sender, &mut |_, _| Ok(()))?;
                }
            }
            Ok(())
        }))
    }

    async fn apply(&self, batch: Batch) -> Result<Vec<UnitOutcome>> {
        let operation = "apply operations";
        let database = self.files.database()?.clone();
        let limits = self.info.capabilities;
        blocking(operation, move || {
            let failed = |e| database.failed(operation, e);
            apply::apply(&mut database.lock(), &batch, &limits, &failed)
        })
        .await
    }

    async fn journal(&self, _unit: UnitId, _after: u64) -> Result<Told> {
        Err(apply::no_control("read a journal"))
    }

    async fn trim(&self, _unit: UnitId, _upto: u64) -> Result<()> {
        Err(apply::no_control("trim a journal"))
    }

    async fn purge(&self, unit: UnitId, exactly: Stamp) -> Result<Purged> {
        let database = self.files.database()?.clone();
        blocking("purge a unit", move || {
            let failed = |e| database.failed("purge a unit", e);
            apply::purge(&mut database.lock(), &unit, &exactly, &failed)
        })
        .await
    }

    async fn register_read(&self, name: RegisterName) -> Result<Option<(Etag, Bytes)>> {
        self.reading("read a register", move |c| Ok(registers::read(c, &name.0)?)).await
    }

    async fn register_swap(
        &self,
        name: RegisterName,
        was: Option<Etag>,
        now: Bytes,
    ) -> Result<Swap> {
        registers::swap(self.files.database()?, name, was, now).await
    }
}

/// Makes the tables as langgraph-checkpoint-sqlite 3.1.2 does, also of what was there before.
fn prepare(database: &Database, connection: &mut Connection) -> Result<StoreRecord> {
    let failed = |e| database.failed("prepare a store", e);
    let behavior = rusqlite::TransactionBehavior::Immediate;
    let tx = connection.transaction_with_behavior(behavior).map_err(failed)?;
    tx.execute(shape::CHECKPOINTS_DDL, []).map_err(failed)?;
    tx.execute(shape::WRITES_DDL, []).map_err(failed)?;
    let found = shape::recognise(&tx)?;
    if found.is_some_and(|shape| !shape.has_path) {
        tx.execute(shape::ADD_PATH, []).map_err(failed)?;
    }
    let record = registers::read(&tx, &RegisterName::store().0).map_err(failed)?;
    tx.commit().map_err(failed)?;
    let record = record.and_then(|(_, bytes)| StoreRecord::from_bytes(&bytes));
    Ok(record.unwrap_or(StoreRecord { id: None, without_control: WithoutControl::Legacy }))
}

fn place_of(
    connection: &Connection,
    unit: &UnitId,
    view: &View,
) -> Result<Option<&'static Place>, Fail> {
    match view {
        View::Active => Ok(Some(&ACTIVE)),
        View::Staged(token) => {
            let staged = put::staged(connection, unit)?;
            Ok(staged.filter(|(held, _)| held == token.as_str()).map(|_| &STAGED))
        }
    }
}
