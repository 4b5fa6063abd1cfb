//! Reads: at the home, of one moment, and never older than when they began.

use std::pin::Pin;

use futures::{StreamExt, stream};
use restow_model::Control;
use restow_store::{Error, ErrorKind, Frame, Frames, Result, Selection, WithoutControl};

use crate::hand::{Hand, is_live};
use crate::look::{Look, damaged};
use crate::protocol::Home;
use crate::view::{Seen, Standing, Status, View};
use crate::{Side, Step};

/// So many times a unit may change under a read before it is given up.
const TRIES: u32 = 200;

/// Says whether units that are not at a store may have begun at the other one.
fn is_closed(says: Option<WithoutControl>) -> bool {
    matches!(says, Some(WithoutControl::Closed | WithoutControl::Retired))
}

/// A unit's frames at one store, opened as far as its control record.
struct Opened {
    view: View,
    frames: Frames,
}

impl Hand<'_> {
    /// Reads the unit at its home, `first` being the store to look at first.
    ///
    /// A unit that is not there has no frame. Readers change nothing, not even where the unit is on
    /// its way: then it is read where it is sealed.
    pub(crate) async fn read(&self, first: Side, what: &Selection) -> Result<Frames> {
        for tries in 0..TRIES {
            self.pause(tries / 4).await;
            let opened = match self.open(first, what).await {
                Ok(opened) => opened,
                Err(error) if error.is_retryable() => {
                    return self.read_other(first, what, error).await;
                }
                Err(error) => return Err(error),
            };
            let Some(opened) = opened else { continue };
            let lives_here = opened.view.is(Status::Live) || opened.view.is_legacy();
            let is_there = opened.view.control.is_some() || opened.view.has_records;
            // What is nowhere to be seen may have begun at the other store, once this one closed.
            if lives_here && (is_there || !is_closed(self.pair.says(first).await?)) {
                return Ok(opened.frames);
            }
            let Some(other) = self.open(first.other(), what).await? else { continue };
            let seen = Seen::new(first, opened.view, other.view);
            match self.protocol.home(&seen) {
                Home::At(at) | Home::Legacy(at) | Home::Sealed(at) => {
                    return Ok(if at == first { opened.frames } else { other.frames });
                }
                Home::Unclear => {}
            }
        }
        Err(self.changes("read a unit"))
    }

    /// Finds the store that a unit's records are read from; `None` where it has none at all.
    pub(crate) async fn resolve(&self, first: Side) -> Result<Option<Side>> {
        let is_there = |look: &Look| look.control.is_some() || look.view.has_records;
        for tries in 0..TRIES {
            self.pause(tries / 4).await;
            let look = match self.look(first, None).await {
                Ok(look) => look,
                // The home may be the other one: at most one store is live.
                Err(error) if error.is_retryable() => {
                    return match self.look(first.other(), None).await {
                        Ok(other) if is_live(&other) => Ok(Some(first.other())),
                        _ => Err(error),
                    };
                }
                Err(error) => return Err(error),
            };
            let lives_here = is_live(&look) || look.view.is_legacy();
            if lives_here && is_there(&look) {
                return Ok(Some(first));
            }
            if lives_here && !is_closed(self.pair.says(first).await?) {
                return Ok(None);
            }
            let looks = self.look_at_other(first, look).await?;
            match self.protocol.home(&looks.seen()) {
                Home::At(at) | Home::Legacy(at) | Home::Sealed(at) => {
                    return Ok(is_there(looks.at(at)).then_some(at));
                }
                Home::Unclear => {}
            }
        }
        Err(self.changes("find a unit"))
    }

    /// Reads at the other store where the first one cannot be reached: at most one is live.
    async fn read_other(&self, first: Side, what: &Selection, error: Error) -> Result<Frames> {
        match self.open(first.other(), what).await {
            Ok(Some(other)) if other.view.is(Status::Live) => Ok(other.frames),
            _ => Err(error),
        }
    }

    /// Begins to read at a store; nothing where the unit changed meanwhile.
    async fn open(&self, at: Side, what: &Selection) -> Result<Option<Opened>> {
        self.watch.before(Step::Look, at, self.unit).await;
        let store = self.pair.store(at);
        let frames = match store.read(vec![self.unit.clone()], what.clone()).await {
            Ok(frames) => frames,
            Err(error) if error.kind() == ErrorKind::Retired => {
                return Ok(Some(Opened::nothing(WithoutControl::Retired)));
            }
            Err(error) => return Err(error),
        };
        match store.info().capabilities.snapshot_reads {
            true => self.begin(at, frames).await.map(Some),
            false => self.whole(at, frames).await,
        }
    }

    /// Takes the first frame of a moment's stream, and puts it back.
    async fn begin(&self, at: Side, mut frames: Frames) -> Result<Opened> {
        let without = self.pair.without(at);
        let first = match frames.next().await {
            None => return Ok(Opened::nothing(without)),
            Some(Err(error)) if error.kind() == ErrorKind::Retired => {
                return Ok(Opened::nothing(WithoutControl::Retired));
            }
            Some(first) => first?,
        };
        let control = match &first {
            Frame::Begin { control, .. } => control.clone(),
            // What has a control record that cannot be read is no unit without one.
            Frame::Damaged { place, why, .. } => return Err(damaged(self.unit, place, why)),
            _ => None,
        };
        let frames: Frames = Box::pin(stream::iter([Ok(first)]).chain(frames));
        self.opened(at, control.as_ref(), frames)
    }

    /// Takes all frames of a stream that may see several moments; nothing where it did.
    async fn whole(&self, at: Side, mut frames: Frames) -> Result<Option<Opened>> {
        let (mut taken, mut began, mut ended) = (Vec::<Result<Frame>>::new(), None, None);
        while let Some(frame) = frames.next().await {
            let frame = frame?;
            match &frame {
                Frame::Begin { control, .. } => began.clone_from(control),
                Frame::End { control, .. } => ended.clone_from(control),
                Frame::Damaged { place, why, .. } if taken.is_empty() => {
                    return Err(damaged(self.unit, place, why));
                }
                _ => {}
            }
            taken.push(Ok(frame));
        }
        if began != ended {
            return Ok(None);
        }
        if taken.is_empty() {
            return Ok(Some(Opened::nothing(self.pair.without(at))));
        }
        let frames: Frames = Box::pin(stream::iter(taken));
        self.opened(at, ended.as_ref(), frames).map(Some)
    }

    fn opened(&self, at: Side, control: Option<&Control>, frames: Frames) -> Result<Opened> {
        if let Some(control) = control {
            self.pair.own(at, control).map_err(|e| e.with("unit", self.unit.as_str()))?;
        }
        let view = View {
            control: control.map(Standing::of),
            has_records: true,
            ..View::nothing(self.pair.without(at))
        };
        Ok(Opened { view, frames })
    }
}

impl Opened {
    fn nothing(without: WithoutControl) -> Self {
        let frames: Pin<Box<_>> = Box::pin(stream::empty());
        Self { view: View::nothing(without), frames }
    }
}
