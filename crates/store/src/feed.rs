//! A channel of frames that is bounded by bytes: how a blocking reader feeds a stream.
//!
//! Invariant: room is taken before a record is loaded and given back when the reader asks for the
//! frame behind it, so that beside what the reader keeps, a stream holds at most its budget, or one
//! record where that is larger. Large records of all scans of the process pass one gate, so that
//! many workers hold no more of them than one. Only scans pass it: a reader may hold a scan's
//! record while it reads something else, and would wait for itself.

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
const FRAMES_MAX: usize = 512;

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
#[derive(Debug)]
pub struct FrameSender {
    frames: mpsc::Sender<(Result<Frame>, Option<Room>)>,
    room: Arc<Semaphore>,
    purpose: Purpose,
}

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
    let (send, receive) = mpsc::channel(FRAMES_MAX);
    let room = Arc::new(Semaphore::new(AHEAD_BYTES_MAX / UNIT));
    // The state keeps the room of the frame that was handed out last.
    let frames = stream::unfold((receive, None), |(mut receive, last)| async move {
        drop(last);
        let (frame, room): (Result<Frame>, Option<Room>) = receive.recv().await?;
        Some((frame, (receive, room)))
    });
    (FrameSender { frames: send, room, purpose }, Box::pin(frames))
}

impl FrameSender {
    /// Waits until a record of about so many bytes has room; call it before loading the record.
    ///
    /// Blocks the thread; only for threads that may block.
    pub fn reserve(&self, bytes: usize) -> Result<Room, Closed> {
        let units = |max: usize| bytes.div_ceil(UNIT).clamp(1, max / UNIT) as u32;
        let is_large = self.purpose == Purpose::Scan && bytes >= LARGE_BYTES_MIN;
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
                () = self.frames.closed() => None,
                room = room => room,
            }
        });
        room.ok_or(Closed)
    }

    /// Sends a record into its room.
    pub fn record(&self, frame: Frame, room: Room) -> Result<(), Closed> {
        self.frames.blocking_send((Ok(frame), Some(room))).map_err(|_| Closed)
    }

    /// Sends a frame that holds no record.
    pub fn send(&self, frame: Frame) -> Result<(), Closed> {
        self.frames.blocking_send((Ok(frame), None)).map_err(|_| Closed)
    }

    /// Ends the stream with an error.
    pub fn fail(self, error: Error) {
        // Nobody reads: nobody misses the error.
        let _ = self.frames.blocking_send((Err(error), None));
    }
}

/// Runs a producer on a thread that may block and returns what it sends.
pub fn produce<F>(purpose: Purpose, producer: F) -> Frames
where
    F: FnOnce(&FrameSender) -> Result<(), Stop> + Send + 'static,
{
    let (sender, frames) = channel(purpose);
    tokio::task::spawn_blocking(move || match producer(&sender) {
        Ok(()) | Err(Stop::Closed) => {}
        Err(Stop::Error(error)) => sender.fail(error),
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
