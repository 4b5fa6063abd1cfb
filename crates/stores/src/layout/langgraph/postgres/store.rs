//! The port's face of LangGraph on PostgreSQL.

use std::sync::PoisonError;

use async_trait::async_trait;
use bytes::Bytes;
use restow_model::{Key, Record, UnitId};
use restow_store::feed::Purpose;
use restow_store::{
    Batch, Content, Cursor, Enumeration, Etag, Frames, Purged, RegisterName, Result, Role, Segment,
    Selection, Stamp, Store, StoreInfo, StoreRecord, Swap, Told, UnitOutcome, UnitPage, Units,
    Unsupported, View, units_in_pages,
};

use super::read::{self, Reader, Scan};
use super::tables::Place;
use super::{LangGraphPostgres, row, schema, segments, write};
use crate::engine::postgres::{Fail, Server, Transaction, registers};

#[async_trait]
impl Store for LangGraphPostgres {
    fn info(&self) -> &StoreInfo {
        &self.info
    }

    fn check(&self, record: &Record) -> Result<(), Unsupported> {
        row::check(record)
    }

    async fn prepare(&self, role: Role, id: &str) -> Result<StoreRecord> {
        const OPERATION: &str = "prepare a store";
        let (table, id) = (self.tables.register.clone(), id.to_owned());
        let work = move |server: &Server| {
            schema::up_for(server, role != Role::CopyTarget)?;
            server.write(OPERATION, |tx| registers::prepare(tx, &table, role, &id))
        };
        let record = self.server.run(OPERATION, work).await?;
        *self.shape.lock().unwrap_or_else(PoisonError::into_inner) = Some(write::PREPARED);
        Ok(record)
    }

    async fn segments(&self, want: usize, by: Enumeration) -> Result<Vec<Segment>> {
        let none = || Ok(Vec::new());
        self.reading("divide a store", none, move |reader| segments::segments(reader, want, by))
            .await
    }

    async fn scan(
        &self,
        segment: Segment,
        from: Option<Cursor>,
        content: Content,
    ) -> Result<Frames> {
        Ok(self.stream(Purpose::Scan, "scan a store", move |reader, sender| {
            Scan { sender, content }.run(reader, &segment, from.as_ref())
        }))
    }

    async fn read(&self, units: Vec<UnitId>, what: Selection) -> Result<Frames> {
        let tables = self.tables.clone();
        Ok(self.stream(Purpose::Read, "read units", move |reader, sender| {
            let mut sent = |_: &UnitId, _: Option<(&Key, usize)>| Ok(());
            let mut frames = read::Frames::new(sender, what.content, &mut sent);
            reader.not_retired("read units")?;
            let View::Staged(token) = &what.view else {
                for units in units.chunks(UNITS_AT_ONCE) {
                    let there = reader.existing(units)?;
                    let there = frames.learn(reader, &there, false)?;
                    reader.walk(&there, &what, &mut frames)?;
                }
                return Ok(());
            };
            for unit in units {
                let staged = write::staged(reader.tx, &tables, &unit, reader.shape)?;
                let Some(staged) = staged.filter(|s| s.token == token.as_str()) else { continue };
                let there = frames.learn(reader, &[unit], true)?;
                reader.at(staged.place(&tables)).walk(&there, &what, &mut frames)?;
            }
            Ok(())
        }))
    }

    async fn units(&self) -> Result<Units> {
        let this = self.clone();
        Ok(units_in_pages(read::Listing::default(), move |at| {
            let this = this.clone();
            async move {
                let none = || Ok((UnitPage::new(), None));
                this.reading("list units", none, move |reader| read::list(reader, at)).await
            }
        }))
    }

    async fn apply(&self, batch: Batch) -> Result<Vec<UnitOutcome>> {
        let this = self.clone();
        self.server.run("apply operations", move |_| write::apply(&this, &batch)).await
    }

    async fn journal(&self, unit: UnitId, after: u64) -> Result<Told> {
        const OPERATION: &str = "read a journal";
        let none = || Ok(Told { control: None, entries: None });
        self.reading(OPERATION, none, move |reader| reader.journal(OPERATION, &unit, after)).await
    }

    async fn trim(&self, unit: UnitId, upto: u64) -> Result<()> {
        let this = self.clone();
        self.server.run("trim a journal", move |_| write::trim(&this, &unit, upto)).await
    }

    async fn release(&self) -> Result<()> {
        let this = self.clone();
        self.server.run("release a store", move |_| write::release(&this)).await
    }

    async fn purge(&self, unit: UnitId, exactly: Stamp) -> Result<Purged> {
        let this = self.clone();
        self.server.run("purge a unit", move |_| write::purge(&this, &unit, &exactly)).await
    }

    async fn optimize(&self) -> Result<()> {
        let tables = self.tables.clone();
        let gather = move |server: &Server| {
            server.write("gather statistics", |tx| analyze(tx, &tables.active))
        };
        self.server.run("gather statistics", gather).await
    }

    async fn register_read(&self, name: RegisterName) -> Result<Option<(Etag, Bytes)>> {
        let table = self.tables.register.clone();
        let work = move |reader: &mut Reader<'_, '_>| {
            if !reader.shape.has_side {
                return Ok(None);
            }
            Ok(registers::read(reader.tx, &table, &name.0)?)
        };
        self.reading("read a register", || Ok(None), work).await
    }

    async fn register_swap(
        &self,
        name: RegisterName,
        was: Option<Etag>,
        now: Bytes,
    ) -> Result<Swap> {
        registers::swap(&self.server, self.tables.register.clone(), name, was, now).await
    }
}

/// So many units are walked at once.
const UNITS_AT_ONCE: usize = 256;

/// Gathers the statistics of what was loaded; autovacuum would come to it later.
///
/// Of the payloads nobody asks for any, and they would be unpacked for it.
fn analyze(tx: &mut Transaction<'_>, place: &Place) -> Result<(), Fail> {
    tx.batch_execute("SET LOCAL default_statistics_target = 10")?;
    let keys = "thread_id, checkpoint_ns, checkpoint_id";
    tx.batch_execute(&format!("ANALYZE {} ({keys})", place.checkpoints))?;
    let blobs = "thread_id, checkpoint_ns, channel, version, type";
    tx.batch_execute(&format!("ANALYZE {} ({blobs})", place.blobs))?;
    tx.batch_execute(&format!("ANALYZE {} ({keys}, task_id, idx, channel)", place.writes))?;
    Ok(())
}
