//! A channel of frames that is bounded by bytes: how a blocking reader feeds a stream.
//!
//! Frames go in runs, so that a thread is woken for many of them; whatever is held back goes
//! before the reader waits for room, and at its end.
//!
//! Invariant: room is taken before a record is loaded and given back when the reader asks for the
//! frame behind it, so that beside what the reader keeps, a stream holds at most its budget, or one
//! record where that is larger. Large records of all scans of the process pass one gate, so that
//! many workers hold no more of them than one. Only scans pass it: a reader may hold a scan's
//! record while it reads something else, and would wait for itself.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, mpsc};

use crate::{Error, ErrorKind, Frame, Frames, Result};

/// How many bytes of records a stream holds ahead of its reader.
pub const AHEAD_BYTES_MAX: usize = 1 << 20;
/// Records from this size on pass the gate.
const LARGE_BYTES_MIN: usize = 1 << 20;
/// How many bytes of large records the scans of the process hold, or one record where it is larger.
const LARGE_BYTES_MAX: usize = 16 << 20;
const UNIT: usize = 1 << 10;
/// So many frames, or bytes of records, go at once.
const RUN_FRAMES_MAX: usize = 64;
const RUN_BYTES_MAX: usize = 128 << 10;
const RUNS_MAX: usize = 8;

static GATE: Semaphore = Semaphore::const_new(LARGE_BYTES_MAX / UNIT);

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It walks a share of a store; its large records pass the gate.
    Scan,
    /// It reads what was asked for by name.
    Read,
}

/// The end into which a blocking reader puts frames.
///
/// Dropped before [`FrameSender::finish`], it loses what it held back.
#[derive(Debug)]
pub struct FrameSender {
    runs: mpsc::Sender<Vec<Sent>>,
    held_back: RefCell<Vec<Sent>>,
    bytes: Cell<usize>,
    room: Arc<Semaphore>,
    purpose: Purpose,
}

type Sent = (Result<Frame>, Option<Room>);

/// Room for one record.
#[derive(Debug)]
pub struct Room {
    _stream: OwnedSemaphorePermit,
    _gate: Option<SemaphorePermit<'static>>,
}

/// Nobody reads the stream any more; the producer may stop.
#[derive(Debug)]
pub struct Closed;

/// Makes a channel; the stream ends when the sender is dropped.
pub fn channel(purpose: Purpose) -> (FrameSender, Frames) {
    let (runs, receive) = mpsc::channel::<Vec<Sent>>(RUNS_MAX);
    let room = Arc::new(Semaphore::new(AHEAD_BYTES_MAX / UNIT));
    let begun = (receive, Vec::new().into_iter(), None);
    // The state keeps the room of the frame that was handed out last.
    let frames = stream::unfold(begun, |(mut receive, mut run, last)| async move {
        drop::<Option<Room>>(last);
        loop {
            if let Some((frame, room)) = run.next() {
                return Some((frame, (receive, run, room)));
            }
            run = receive.recv().await?.into_iter();
        }
    });
    let sender =
        FrameSender { runs, held_back: RefCell::default(), bytes: Cell::default(), room, purpose };
    (sender, Box::pin(frames))
}

impl FrameSender {
    /// Waits until a record of about so many bytes has room; call it before loading the record.
    ///
    /// Blocks the thread; only for threads that may block.
    pub fn reserve(&self, bytes: usize) -> Result<Room, Closed> {
        let units = |max: usize| bytes.div_ceil(UNIT).clamp(1, max / UNIT) as u32;
        let is_large = self.purpose == Purpose::Scan && bytes >= LARGE_BYTES_MIN;
        if !is_large
            && let Ok(stream) = self.room.clone().try_acquire_many_owned(units(AHEAD_BYTES_MAX))
        {
            return Ok(Room { _stream: stream, _gate: None });
        }
        // The room that is waited for may be that of frames which are held back.
        self.flush()?;
        let room = async {
            let stream = self.room.clone().acquire_many_owned(units(AHEAD_BYTES_MAX)).await.ok()?;
            let gate = match is_large {
                true => Some(GATE.acquire_many(units(LARGE_BYTES_MAX)).await.ok()?),
                false => None,
            };
            Some(Room { _stream: stream, _gate: gate })
        };
        let room = futures::executor::block_on(async {
            tokio::select! {
                biased;
                () = self.runs.closed() => None,
                room = room => room,
            }
        });
        room.ok_or(Closed)
    }

    /// Sends a record into its room.
    pub fn record(&self, frame: Frame, room: Room) -> Result<(), Closed> {
        let units = room._stream.num_permits();
        self.hold_back((Ok(frame), Some(room)), units * UNIT)
    }

    /// Sends a frame that holds no record.
    pub fn send(&self, frame: Frame) -> Result<(), Closed> {
        self.hold_back((Ok(frame), None), 0)
    }

    /// Sends what is held back.
    ///
    /// Blocks the thread; only for threads that may block.
    pub fn flush(&self) -> Result<(), Closed> {
        self.bytes.set(0);
        let run = self.held_back.take();
        match run.is_empty() {
            true => Ok(()),
            false => self.runs.blocking_send(run).map_err(|_| Closed),
        }
    }

    /// Ends the stream, with an error where there is one.
    pub fn finish(self, error: Option<Error>) {
        self.held_back.borrow_mut().extend(error.map(|error| (Err(error), None)));
        // Nobody reads: nobody misses what is held back.
        let _ = self.flush();
    }

    fn hold_back(&self, sent: Sent, bytes: usize) -> Result<(), Closed> {
        self.bytes.set(self.bytes.get() + bytes);
        let frames = {
            let mut held_back = self.held_back.borrow_mut();
            held_back.push(sent);
            held_back.len()
        };
        match frames >= RUN_FRAMES_MAX || self.bytes.get() >= RUN_BYTES_MAX {
            true => self.flush(),
            false => Ok(()),
        }
    }
}

/// Runs a producer on a thread that may block and returns what it sends.
pub fn produce<F>(purpose: Purpose, producer: F) -> Frames
where
    F: FnOnce(&FrameSender) -> Result<(), Stop> + Send + 'static,
{
    let (sender, frames) = channel(purpose);
    tokio::task::spawn_blocking(move || {
        // A stream that only ended would look whole.
        let produced = catch_unwind(AssertUnwindSafe(|| producer(&sender)));
        sender.finish(match produced {
            Ok(Ok(()) | Err(Stop::Closed)) => None,
            Ok(Err(Stop::Error(error))) => Some(error),
            Err(_) => {
                let message = "reading stopped unexpectedly; this is a defect of restow, report it";
                Some(Error::new(ErrorKind::Failed, "read from a store", message))
            }
        });
    });
    frames
}

/// Why a producer stops early.
#[derive(Debug)]
pub enum Stop {
    /// Nobody reads any more.
    Closed,
    /// It failed.
    Error(Error),
}

impl Stop {
    /// Returns the error of work that has no reader who could have gone.
    pub fn error(self, operation: &'static str) -> Error {
        match self {
            Self::Error(error) => error,
            Self::Closed => Error::new(ErrorKind::Failed, operation, "nobody waits for it"),
        }
    }
}

impl From<Closed> for Stop {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Runs work that blocks on a thread that may.
pub async fn blocking<T, F>(operation: &'static str, work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(stopped) => {
            let message = "the work stopped unexpectedly; this is a defect of restow";
            Err(Error::new(ErrorKind::Failed, operation, message).because(stopped))
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;
    use crate::Cursor;

    #[tokio::test]
    async fn a_producer_that_panics_ends_its_stream_with_an_error() {
        let mut frames = produce(Purpose::Scan, |sender| {
            sender.send(Frame::Mark(Cursor(Vec::new().into())))?;
            panic!("made so by a test");
        });
        assert!(matches!(frames.next().await, Some(Ok(Frame::Mark(_)))));
        let ended = frames.next().await.map(|frame| frame.map_err(|e| e.to_string()));
        let told = matches!(&ended, Some(Err(why)) if why.contains("a defect of restow"));
        assert!(told, "{ended:?}");
        assert!(frames.next().await.is_none());
    }
}
