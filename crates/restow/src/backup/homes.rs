//! The units of a migration as one store to read: each as it is at its home.
//!
//! Invariant: it is only read, by name through the router, so that a unit that moves meanwhile is
//! neither missed nor read where it no longer lives.

use std::collections::BTreeSet;
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

    /// The store whose units are walked first; of the other one, only those that it lacks.
    fn first(&self) -> Side {
        self.router.config().phase.ends_at().unwrap_or(Side::Source)
    }

    /// Walks all units, ascending, behind the damage that neither store can tell to belong to any.
    async fn in_order(&self, from: Option<Cursor>) -> Result<Turns> {
        let mut both = Vec::new();
        for side in Side::BOTH {
            let whole = Segment::whole(Enumeration::Units);
            let store = self.router.pair().store(side);
            both.push(store.scan(whole, None, Content::Nothing).await?);
        }
        let nameless = stream::iter(both).flatten().filter(|frame| {
            let is_told = matches!(frame, Err(_) | Ok(Frame::Damaged { unit: None, .. }));
            std::future::ready(is_told)
        });
        let is_behind = move |listed: &Listed| {
            let name = listed.unit.as_str().as_bytes();
            from.as_ref().is_none_or(|cursor| name > &cursor.0[..])
        };
        let units = self.router.units().await?;
        let units = units.try_filter(move |listed| std::future::ready(is_behind(listed)));
        let turns = units.map_ok(|listed| {
            let behind = Frame::Mark(Cursor(listed.unit.as_str().to_owned().into()));
            stream::iter([Ok(Turn::Read(listed.unit)), Ok(Turn::tell(behind))])
        });
        Ok(Box::pin(nameless.map_ok(Turn::tell).chain(turns.try_flatten())))
    }

    /// Walks the units of a store's share.
    async fn of_share(&self, at: Side, share: Segment, from: Option<Cursor>) -> Result<Turns> {
        let store = self.router.pair().store(at);
        let frames = store.scan(share, from, Content::Nothing).await?;
        let mut last = None;
        let turns = frames.try_filter_map(move |frame| {
            let turn = match frame {
                // What is damaged here may be sound at its home.
                Frame::Begin { unit, .. } | Frame::Damaged { unit: Some(unit), .. } => {
                    let is_next = last.replace(unit.clone()).as_ref() != Some(&unit);
                    is_next.then_some(Turn::Read(unit))
                }
                Frame::End { .. } | Frame::Record(_) => None,
                frame => Some(Turn::tell(frame)),
            };
            std::future::ready(Ok(turn))
        });
        if at == self.first() {
            return Ok(Box::pin(turns));
        }
        let first = Arc::clone(self.router.pair().store(self.first()));
        let lacking = turns.chunks(UNITS_AT_ONCE).then(move |turns| {
            let first = Arc::clone(&first);
            async move {
                let lacking = lacking(&*first, turns).await;
                stream::iter(lacking.unwrap_or_else(|error| vec![Err(error)]))
            }
        });
        Ok(Box::pin(lacking.flatten()))
    }

    /// Takes each turn: reads units at their homes, and tells the rest.
    fn take(&self, turns: Turns, content: Content) -> Frames {
        let (router, what) = (Arc::clone(&self.router), Selection { content, ..Selection::all() });
        let frames = turns.and_then(move |turn| {
            let (router, what) = (Arc::clone(&router), what.clone());
            async move {
                let told = |frame| -> Frames { Box::pin(stream::iter([Ok(frame)])) };
                match turn {
                    Turn::Tell(frame) => Ok(told(*frame)),
                    Turn::Read(unit) => match router.read(&unit, &what).await {
                        Err(error) if error.kind() == ErrorKind::Damaged => {
                            let (place, why) = ("the unit".to_owned(), error.to_string());
                            Ok(told(Frame::Damaged { unit: Some(unit), place, why }))
                        }
                        frames => frames,
                    },
                }
            }
        });
        Box::pin(frames.try_flatten().map_ok(uncontrolled))
    }
}

/// What comes next in a walk.
enum Turn {
    /// A frame.
    Tell(Box<Frame>),
    /// A unit, as it is at its home by then.
    Read(UnitId),
}

impl Turn {
    fn tell(frame: Frame) -> Self {
        Self::Tell(Box::new(frame))
    }
}

type Turns = Pin<Box<dyn Stream<Item = Result<Turn>> + Send>>;

/// So many units are looked up in the other store at once.
const UNITS_AT_ONCE: usize = 64;

/// Leaves out the units that a store has.
async fn lacking(store: &dyn Store, turns: Vec<Result<Turn>>) -> Result<Vec<Result<Turn>>> {
    let named = |turn: &Result<Turn>| match turn {
        Ok(Turn::Read(unit)) => Some(unit.clone()),
        _ => None,
    };
    let names = turns.iter().filter_map(named).collect();
    let mut frames = store.read(names, Selection::nothing()).await?;
    let mut there = BTreeSet::new();
    while let Some(frame) = frames.try_next().await? {
        // Whoever walks that store comes to it also where it is damaged there.
        if let Frame::Begin { unit, .. } | Frame::Damaged { unit: Some(unit), .. } = frame {
            there.insert(unit);
        }
    }
    let lacks = |turn: &Result<Turn>| named(turn).is_none_or(|unit| !there.contains(&unit));
    Ok(turns.into_iter().filter(lacks).collect())
}

/// Notes at a share's bounds whose store's terms they are in.
fn share_of(at: Side, by: Enumeration, share: Segment) -> Segment {
    let noted = |bound: Option<Bytes>| {
        let head = [u8::from(at == Side::Target), u8::from(bound.is_some())];
        Some([&head[..], &bound.unwrap_or_default()].concat().into())
    };
    Segment { by, from: noted(share.from), to: noted(share.to), ..share }
}

/// Takes a store's share back; `None` for the whole.
fn share_in(segment: &Segment) -> Option<(Side, Segment)> {
    let bound = |bound: &Bytes| (bound.get(1) == Some(&1)).then(|| bound.slice(2..));
    let (from, to) = (segment.from.as_ref()?, segment.to.as_ref()?);
    let at = if from.first() == Some(&1) { Side::Target } else { Side::Source };
    let (from, to) = (bound(from), bound(to));
    Some((at, Segment { from, to, ..Segment::whole(Enumeration::Units) }))
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

    async fn segments(&self, want: usize, by: Enumeration) -> Result<Vec<Segment>> {
        let mut shares = Vec::new();
        for at in [self.first(), self.first().other()] {
            let store = self.router.pair().store(at);
            let of_store = store.segments(want, Enumeration::Units).await?;
            // What is in both is counted once.
            let bytes = |share: &Segment| share.bytes_estimate.filter(|_| at == self.first());
            shares.extend(
                of_store.into_iter().map(|share| {
                    share_of(at, by, Segment { bytes_estimate: bytes(&share), ..share })
                }),
            );
        }
        Ok(shares)
    }

    async fn scan(
        &self,
        segment: Segment,
        from: Option<Cursor>,
        content: Content,
    ) -> Result<Frames> {
        let turns = match share_in(&segment) {
            Some((at, share)) => self.of_share(at, share, from).await?,
            None => self.in_order(from).await?,
        };
        Ok(self.take(turns, content))
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
