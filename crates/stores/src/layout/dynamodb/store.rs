//! The port's methods over a table.

use async_trait::async_trait;
use bytes::Bytes;
use restow_model::{Record, UnitId};
use restow_store::feed::{FrameSender, Purpose, Stop, blocking, produce};
use restow_store::{
    Batch, Content, Cursor, Enumeration, Error, ErrorKind, Etag, Frames, Purged, RegisterName,
    Result, Role, Segment, Selection, Stamp, Store, StoreInfo, StoreRecord, Swap, Told,
    UnitOutcome, Units, Unsupported,
};

use super::{Layout, Threads, Want, registers, share};
use crate::layout::parts::beside::{self, newest_units};
use crate::layout::parts::query::{LeadsTo, NewestFirst};
use crate::layout::parts::read::{Ended, Reader};
use crate::layout::parts::write;

impl<L: Layout> Threads<L> {
    /// Runs a reader, and its frames as a stream.
    fn stream<F>(&self, purpose: Purpose, want: Want, work: F) -> Frames
    where
        F: FnOnce(&mut L::Rows<'_>, &mut Reader<'_>, &FrameSender) -> Result<(), Ended<Error>>
            + Send
            + 'static,
    {
        let this = self.clone();
        produce(purpose, move |out: &FrameSender| {
            let mut rows = this.0.rows(want)?;
            let done = Reader::new(out).map_err(Ended::Torn);
            let done = done.and_then(|mut reader| work(&mut rows, &mut reader, out));
            done.map_err(|ended| ended.stop(Stop::Error))
        })
    }

    async fn look<T, F>(&self, operation: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut L::Rows<'_>) -> Result<T, Ended<Error>> + Send + 'static,
    {
        let this = self.clone();
        blocking(operation, move || {
            let done = work(&mut this.0.rows(Want::nothing())?);
            done.map_err(|ended| ended.stop(Stop::Error).error(operation))
        })
        .await
    }

    /// Takes a table that is still to be made for an empty one, before anything is read from it.
    fn or_nothing<T: Default>(&self, found: Result<T>) -> Result<T> {
        match found {
            Err(error) if self.0.base().is_written && error.kind() == ErrorKind::NotFound => {
                Ok(T::default())
            }
            found => found,
        }
    }

    /// Runs work that blocks.
    pub(in crate::layout) async fn run<T, F>(&self, operation: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> Result<T> + Send + 'static,
    {
        let this = self.clone();
        blocking(operation, move || work(&this)).await
    }
}

fn error(ended: Ended<Error>) -> Error {
    ended.stop(Stop::Error).error("change a unit")
}

#[async_trait]
impl<L: Layout> NewestFirst for Threads<L> {
    async fn newest_units(&self, skip: usize, limit: usize) -> Result<Vec<(UnitId, String)>> {
        self.look("list units", move |rows| newest_units(rows, skip, limit)).await
    }

    async fn read_on(&self, unit: UnitId, what: Selection, on: LeadsTo) -> Result<Frames> {
        let want = Want { what: what.clone(), on: Some(on) };
        Ok(self.stream(Purpose::Read, want, move |rows, reader, _| {
            reader.unit_on(rows, unit, &what, on)
        }))
    }
}

#[async_trait]
impl<L: Layout> Store for Threads<L> {
    fn info(&self) -> &StoreInfo {
        &self.0.base().info
    }

    fn check(&self, record: &Record) -> Result<(), Unsupported> {
        self.0.check(record)
    }

    async fn prepare(&self, role: Role, id: &str) -> Result<StoreRecord> {
        let id = id.to_owned();
        self.run("prepare a table", move |this| {
            let base = this.0.base();
            base.to_be_written()?;
            base.table.create()?;
            registers::prepare(base, role, &id)
        })
        .await
    }

    async fn segments(&self, want: usize, by: Enumeration) -> Result<Vec<Segment>> {
        self.run("divide a table", move |this| share::segments(&this.0.base().table, want, by))
            .await
    }

    async fn scan(
        &self,
        segment: Segment,
        from: Option<Cursor>,
        content: Content,
    ) -> Result<Frames> {
        let all = Selection { content, ..Selection::all() };
        let want = Want { what: all.clone(), on: None };
        Ok(self.stream(Purpose::Scan, want, move |rows, reader, out| match segment.by {
            Enumeration::Units => reader.by_name(rows, "", None, from.as_ref(), &all),
            Enumeration::Storage => {
                L::by_storage(rows, reader, out, &segment, from.as_ref(), content)
            }
        }))
    }

    async fn read(&self, units: Vec<UnitId>, what: Selection) -> Result<Frames> {
        let want = Want { what: what.clone(), on: None };
        Ok(self
            .stream(Purpose::Read, want, move |rows, reader, _| reader.units(rows, &units, &what)))
    }

    async fn units(&self) -> Result<Units> {
        let page = self.run("list units", |this| this.or_nothing(this.0.list())).await?;
        Ok(Box::pin(futures::stream::iter(page.into_iter().map(Ok))))
    }

    async fn apply(&self, batch: Batch) -> Result<Vec<UnitOutcome>> {
        self.run(write::OPERATION, move |this| this.apply(&batch.units)).await
    }

    async fn journal(&self, unit: UnitId, after: u64) -> Result<Told> {
        self.look("read a journal", move |rows| beside::journal(rows, &unit, after)).await
    }

    async fn trim(&self, unit: UnitId, upto: u64) -> Result<()> {
        self.run("trim a journal", move |this| {
            this.change(&unit, |work| beside::trim(work, &unit, upto).map_err(error))
        })
        .await
    }

    async fn release(&self) -> Result<()> {
        self.run("release a store", Self::end).await
    }

    async fn purge(&self, unit: UnitId, exactly: Stamp) -> Result<Purged> {
        self.run("remove a unit", move |this| {
            this.change(&unit, |work| beside::purge(work, &unit, &exactly).map_err(error))
        })
        .await
    }

    async fn register_read(&self, name: RegisterName) -> Result<Option<(Etag, Bytes)>> {
        let read = move |this: &Self| this.or_nothing(registers::read(&this.0.base().table, &name));
        self.run("read a register", read).await
    }

    async fn register_swap(
        &self,
        name: RegisterName,
        was: Option<Etag>,
        now: Bytes,
    ) -> Result<Swap> {
        self.run("change a register", move |this| {
            let base = this.0.base();
            base.to_be_written()?;
            base.table.create()?;
            registers::swap(base, &name, was.as_ref(), &now)
        })
        .await
    }
}
