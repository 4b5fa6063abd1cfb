//! The port's face of LangGraph on SQLite.

use async_trait::async_trait;
use bytes::Bytes;
use restow_model::{Record, UnitId};
use restow_store::feed::Purpose;
use restow_store::feed::blocking;
use restow_store::{
    Batch, Content, Cursor, Enumeration, Etag, Frames, Purged, RegisterName, Result, Role, Segment,
    Selection, Stamp, Store, StoreInfo, StoreRecord, Swap, Told, UnitOutcome, Units, Unsupported,
    View, units_in_pages,
};
use rusqlite::Connection;

use super::reading::Reading;
use super::scan::Scan;
use super::side::{ACTIVE, Place, STAGED};
use super::units::{Fail, exists, list, send_unit};
use super::{LangGraphSqlite, apply, control, put, segments, shape};
use crate::engine::sqlite::{control as engine_control, registers};

#[async_trait]
impl Store for LangGraphSqlite {
    fn info(&self) -> &StoreInfo {
        &self.info
    }

    fn check(&self, record: &Record) -> Result<(), Unsupported> {
        put::check(record)
    }

    async fn prepare(&self, role: Role, id: &str) -> Result<StoreRecord> {
        let id = id.to_owned();
        self.writing("prepare a store", move |connection| prepare(connection, role, &id)).await
    }

    async fn segments(&self, want: usize, by: Enumeration) -> Result<Vec<Segment>> {
        let work = move |connection: &Connection| {
            Ok(segments::segments(&Reading::new(connection, &ACTIVE)?, want, by)?)
        };
        self.reading("divide a store", work).await
    }

    async fn scan(
        &self,
        segment: Segment,
        from: Option<Cursor>,
        content: Content,
    ) -> Result<Frames> {
        Ok(self.stream(Purpose::Scan, "scan a store", move |connection, sender, check| {
            let mut reading = Reading::new(connection, &ACTIVE)?;
            Scan { sender, check, content }.run(&mut reading, &segment, from.as_ref())
        }))
    }

    async fn read(&self, units: Vec<UnitId>, what: Selection) -> Result<Frames> {
        Ok(self.stream(Purpose::Read, "read units", move |connection, sender, _| {
            control::not_retired(connection, "read units")?;
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

    async fn units(&self) -> Result<Units> {
        let this = self.clone();
        Ok(units_in_pages(None, move |behind: Option<UnitId>| {
            let this = this.clone();
            async move {
                let list = move |connection: &Connection| list(connection, behind.as_ref());
                this.reading("list units", list).await
            }
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

    async fn journal(&self, unit: UnitId, after: u64) -> Result<Told> {
        self.reading("read a journal", move |c| control::journal(c, &unit, after)).await
    }

    async fn trim(&self, unit: UnitId, upto: u64) -> Result<()> {
        self.writing("trim a journal", move |c| control::trim(c, &unit, upto)).await
    }

    async fn release(&self) -> Result<()> {
        self.writing("release a store", |connection| {
            if registers::release(connection)? {
                engine_control::clear(connection)?;
            }
            Ok(())
        })
        .await
    }

    async fn purge(&self, unit: UnitId, exactly: Stamp) -> Result<Purged> {
        self.writing("purge a unit", move |c| control::purge(c, &unit, &exactly)).await
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

/// Makes the tables as langgraph-checkpoint-sqlite 3.1.2 does, also of what was there before, and
/// what a migration needs beside them.
fn prepare(connection: &Connection, role: Role, id: &str) -> Result<StoreRecord, Fail> {
    connection.execute(shape::CHECKPOINTS_DDL, [])?;
    connection.execute(shape::WRITES_DDL, [])?;
    let found = shape::recognise(connection)?;
    if found.is_some_and(|shape| !shape.has_path) {
        connection.execute(shape::ADD_PATH, [])?;
    }
    if role != Role::CopyTarget {
        engine_control::make(connection)?;
    }
    registers::prepare(connection, role, id)
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
