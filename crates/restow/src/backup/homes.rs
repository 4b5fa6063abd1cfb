//! The units of a migration as one store to read: each as it is at its home.
//!
//! Invariant: it is only read, by name through the router, so that a unit that moves meanwhile is
//! neither missed nor read where it no longer lives.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use restow_live::{Listed, Router, Side};
use restow_model::{Record, UnitId};
use restow_store::{
    Batch, Content, Cursor, Enumeration, Error, ErrorKind, Etag, Frame, Frames, Purged,
    RegisterName, Result, Role, Segment, Selection, Stamp, Store, StoreInfo, StoreRecord, Swap,
    Told, UnitOutcome, Unsupported,
};

/// All units of a migration.
pub(super) struct Homes {
    info: StoreInfo,
    router: Arc<Router>,
}

impl fmt::Debug for Homes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Homes({})", self.router.pair().migration())
    }
}

impl Homes {
    pub(super) fn new(router: Arc<Router>) -> Self {
        let pair = router.pair();
        let (source, target) = (pair.store(Side::Source).info(), pair.store(Side::Target).info());
        let application = source.application.or(target.application);
        let mut info = StoreInfo { application, ..source.clone() };
        info.capabilities.keeps_digests = false;
        Self { info, router }
    }

    /// Returns the damage that neither store can tell to belong to any unit.
    async fn nameless(&self) -> Result<Frames> {
        let mut both = Vec::new();
        for side in Side::BOTH {
            let whole = Segment::whole(Enumeration::Units);
            let store = self.router.pair().store(side);
            both.push(store.scan(whole, None, Content::Nothing).await?);
        }
        let frames = stream::iter(both).flatten();
        Ok(Box::pin(frames.filter(|frame| {
            let is_told = matches!(frame, Err(_) | Ok(Frame::Damaged { unit: None, .. }));
            std::future::ready(is_told)
        })))
    }
}

/// A walk over all units.
struct Walk {
    router: Arc<Router>,
    units: Pin<Box<dyn Stream<Item = Result<Listed>> + Send>>,
    content: Content,
    open: Option<(UnitId, Frames)>,
}

impl Walk {
    async fn next(&mut self) -> Result<Option<Frame>> {
        loop {
            if let Some((_, frames)) = &mut self.open
                && let Some(frame) = frames.try_next().await?
            {
                return Ok(Some(uncontrolled(frame)));
            }
            if let Some((unit, _)) = self.open.take() {
                return Ok(Some(Frame::Mark(Cursor(unit.as_str().to_owned().into()))));
            }
            let Some(listed) = self.units.try_next().await? else { return Ok(None) };
            let what = Selection { content: self.content, ..Selection::all() };
            let frames = self.router.read(&listed.unit, &what).await?;
            self.open = Some((listed.unit, frames));
        }
    }
}

/// Leaves out the control record: who reads here is told the home's records, wherever it is.
fn uncontrolled(frame: Frame) -> Frame {
    match frame {
        Frame::Begin { unit, dialect, .. } => Frame::Begin { unit, dialect, control: None },
        Frame::End { unit, digest, .. } => Frame::End { unit, control: None, digest },
        frame => frame,
    }
}

#[async_trait]
impl Store for Homes {
    fn info(&self) -> &StoreInfo {
        &self.info
    }

    fn check(&self, _record: &Record) -> Result<(), Unsupported> {
        Ok(())
    }

    async fn prepare(&self, _role: Role, _id: &str) -> Result<StoreRecord> {
        Err(only_read())
    }

    async fn segments(&self, _want: usize, by: Enumeration) -> Result<Vec<Segment>> {
        Ok(vec![Segment::whole(by)])
    }

    async fn scan(
        &self,
        _segment: Segment,
        from: Option<Cursor>,
        content: Content,
    ) -> Result<Frames> {
        let is_behind = move |listed: &Listed| {
            let name = listed.unit.as_str().as_bytes();
            from.as_ref().is_none_or(|cursor| name > &cursor.0[..])
        };
        let units = self.router.units().await?;
        let units = units.try_filter(move |listed| std::future::ready(is_behind(listed)));
        let router = Arc::clone(&self.router);
        let walk = Walk { router, units: Box::pin(units), content, open: None };
        let frames = stream::try_unfold(walk, |mut walk| async move {
            Ok(walk.next().await?.map(|frame| (frame, walk)))
        });
        Ok(Box::pin(self.nameless().await?.chain(frames)))
    }

    async fn read(&self, units: Vec<UnitId>, what: Selection) -> Result<Frames> {
        let router = Arc::clone(&self.router);
        let read = stream::iter(units).then(move |unit| {
            let (router, what) = (Arc::clone(&router), what.clone());
            async move { router.read(&unit, &what).await }
        });
        Ok(Box::pin(read.try_flatten().map_ok(uncontrolled)))
    }

    async fn apply(&self, _batch: Batch) -> Result<Vec<UnitOutcome>> {
        Err(only_read())
    }

    async fn journal(&self, _unit: UnitId, _after: u64) -> Result<Told> {
        Err(only_read())
    }

    async fn trim(&self, _unit: UnitId, _upto: u64) -> Result<()> {
        Err(only_read())
    }

    async fn release(&self) -> Result<()> {
        Err(only_read())
    }

    async fn purge(&self, _unit: UnitId, _exactly: Stamp) -> Result<Purged> {
        Err(only_read())
    }

    async fn register_read(&self, _name: RegisterName) -> Result<Option<(Etag, Bytes)>> {
        Ok(None)
    }

    async fn register_swap(
        &self,
        _name: RegisterName,
        _was: Option<Etag>,
        _now: Bytes,
    ) -> Result<Swap> {
        Err(only_read())
    }
}

fn only_read() -> Error {
    let message = "the units of a migration are only read here; write through the router";
    Error::new(ErrorKind::Refused, "read a migration", message)
}
