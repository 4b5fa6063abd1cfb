//! Streams that are opened again where they broke off.
//!
//! A scan goes on behind its last mark, a read with the unit that it was in. What the reader has
//! already had since then is left out, so that it sees one stream; a unit that was resumed in its
//! middle is not of one moment, as with any scan that is resumed there.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use futures::{StreamExt, stream};
use restow_model::{Key, UnitId};

use super::retry::Waits;
use crate::{
    Content, Cursor, Enumeration, Error, ErrorKind, Frame, Frames, Order, Result, Segment,
    Selection, Store,
};

/// Where to open a stream again.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Scan { segment: Segment, from: Option<Cursor>, content: Content },
    Read { units: VecDeque<UnitId>, what: Selection },
}

impl Place {
    pub(super) async fn open(&self, store: &dyn Store) -> Result<Frames> {
        match self.clone() {
            Self::Scan { segment, from, content } => store.scan(segment, from, content).await,
            Self::Read { units, what } => store.read(units.into(), what).await,
        }
    }

    /// Returns the order of a unit's records, where they have one.
    fn order(&self) -> Option<Order> {
        match self {
            Self::Scan { segment, .. } if segment.by == Enumeration::Storage => None,
            Self::Scan { .. } => Some(Order::Ascending),
            Self::Read { what, .. } => Some(what.order),
        }
    }
}

/// What the reader has had since the place at which the stream would be opened again.
#[derive(Debug, Default)]
struct Had {
    /// The unit whose end the reader waits for.
    open: Option<UnitId>,
    /// The unit that ended last.
    ended: Option<UnitId>,
    /// The last record of the open unit: enough where records have an order.
    last: Option<Key>,
    /// The records where they have none.
    records: HashSet<(Option<UnitId>, Key)>,
    damage: HashSet<(Option<UnitId>, String)>,
    /// Whether the stream was opened again, and no unit has begun.
    again: bool,
    /// Whether the frames of a unit that has ended come again.
    skips: bool,
}

struct Stream {
    store: Arc<dyn Store>,
    waits: Waits,
    frames: Frames,
    place: Place,
    had: Had,
    ended: bool,
}

/// Follows a stream; one that fails in a way that may pass is opened again.
pub(super) fn frames(store: Arc<dyn Store>, waits: Waits, first: Frames, place: Place) -> Frames {
    let (had, ended) = (Had::default(), false);
    let stream = Stream { store, waits, frames: first, place, had, ended };
    Box::pin(stream::unfold(stream, |mut stream| async move {
        let frame = stream.next().await?;
        stream.ended = frame.is_err();
        Some((frame, stream))
    }))
}

impl Stream {
    async fn next(&mut self) -> Option<Result<Frame>> {
        while !self.ended {
            match self.frames.next().await {
                Some(Ok(frame)) => match self.had.is_new(&frame, self.place.order()) {
                    Ok(false) => {}
                    Ok(true) => {
                        self.waits.restart();
                        self.note(&frame);
                        return Some(Ok(frame));
                    }
                    Err(error) => return Some(Err(error)),
                },
                Some(Err(error)) => {
                    if let Err(error) = self.reopen(error).await {
                        return Some(Err(error));
                    }
                }
                // What was cut off inside a unit has not come to its end.
                None if self.had.open.is_some() => return Some(Err(changed())),
                None => return None,
            }
        }
        None
    }

    async fn reopen(&mut self, mut error: Error) -> Result<()> {
        loop {
            if !error.is_retryable() || !self.waits.again().await {
                return Err(error);
            }
            match self.place.open(&*self.store).await {
                Ok(frames) => {
                    self.frames = frames;
                    self.had.again = true;
                    return Ok(());
                }
                Err(next) => error = next,
            }
        }
    }

    /// Remembers what the reader is about to get, and moves the place on where it can.
    fn note(&mut self, frame: &Frame) {
        let ordered = self.place.order().is_some();
        let had = &mut self.had;
        match frame {
            Frame::Begin { unit, .. } => {
                (had.open, had.last) = (Some(unit.clone()), None);
                if let Place::Read { units, .. } = &mut self.place {
                    while units.front().is_some_and(|first| first != unit) {
                        units.pop_front();
                    }
                }
            }
            Frame::Record(record) if ordered => had.last = Some(record.key.clone()),
            Frame::Record(record) => {
                had.records.insert((had.open.clone(), record.key.clone()));
            }
            Frame::Damaged { unit, place, .. } => {
                had.damage.insert((unit.clone(), place.clone()));
            }
            Frame::End { .. } => match &mut self.place {
                Place::Scan { .. } => had.ended = had.open.take(),
                Place::Read { units, .. } => {
                    units.pop_front();
                    *had = Had::default();
                }
            },
            Frame::Mark(cursor) => {
                if let Place::Scan { from, .. } = &mut self.place {
                    *from = Some(cursor.clone());
                    let (open, last) = (had.open.take(), had.last.take());
                    *had = Had { open, last, ..Had::default() };
                }
            }
        }
    }
}

impl Had {
    /// Says whether the reader has yet to get a frame; only a stream that was opened again repeats.
    fn is_new(&mut self, frame: &Frame, order: Option<Order>) -> Result<bool> {
        if self.skips {
            self.skips = !matches!(frame, Frame::End { .. });
            return Ok(false);
        }
        Ok(match frame {
            Frame::Begin { unit, .. } if std::mem::take(&mut self.again) => {
                match &self.open {
                    Some(open) if open != unit => return Err(changed()),
                    Some(_) => false,
                    None => {
                        // In pieces a unit may begin again for good reason.
                        self.skips = order.is_some() && self.ended.as_ref() == Some(unit);
                        !self.skips
                    }
                }
            }
            Frame::Record(record) => match (order, &self.last) {
                (Some(Order::Ascending), Some(last)) => record.key > *last,
                (Some(Order::Descending), Some(last)) => record.key < *last,
                (Some(_), None) => true,
                (None, _) => !self.records.contains(&(self.open.clone(), record.key.clone())),
            },
            Frame::Damaged { unit, place, .. } => {
                !self.damage.contains(&(unit.clone(), place.clone()))
            }
            _ => true,
        })
    }
}

fn changed() -> Error {
    let message = "a unit broke off and was not there again";
    Error::new(ErrorKind::Unavailable, "read frames", message)
}
