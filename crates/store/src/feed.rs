//! A channel of frames that is bounded by bytes: how a blocking reader feeds a stream.
//!
//! Invariant: room is taken before a record is loaded and given back when the reader asks for the
//! frame behind it, so that beside what the reader keeps, a stream holds at most its budget, or one
//! record where that is larger.

use std::sync::Arc;

use futures::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::{Error, ErrorKind, Frame, Frames, Result};

/// How many bytes of records a stream holds ahead of its reader.
pub const AHEAD_BYTES_MAX: usize = 2 << 20;
const UNIT: usize = 1 << 10;
const FRAMES_MAX: usize = 512;

/// The end into which a blocking reader puts frames.
#[derive(Debug)]
pub struct FrameSender {
    frames: mpsc::Sender<(Result<Frame>, Option<OwnedSemaphorePermit>)>,
    room: Arc<Semaphore>,
}

/// Room for one record.
#[derive(Debug)]
pub struct Room(OwnedSemaphorePermit);

/// Nobody reads the stream any more; the producer may stop.
#[derive(Debug)]
pub struct Closed;

/// Makes a channel; the stream ends when the sender is dropped.
pub fn channel() -> (FrameSender, Frames) {
    let (send, receive) = mpsc::channel(FRAMES_MAX);
    let room = Arc::new(Semaphore::new(AHEAD_BYTES_MAX / UNIT));
    // The state keeps the room of the frame that was handed out last.
    let frames = stream::unfold((receive, None), |(mut receive, last)| async move {
        drop(last);
        let (frame, room): (Result<Frame>, Option<OwnedSemaphorePermit>) = receive.recv().await?;
        Some((frame, (receive, room)))
    });
    (FrameSender { frames: send, room }, Box::pin(frames))
}

impl FrameSender {
    /// Waits until a record of about so many bytes has room; call it before loading the record.
    ///
    /// Blocks the thread; only for threads that may block.
    pub fn reserve(&self, bytes: usize) -> Result<Room, Closed> {
        let units = bytes.div_ceil(UNIT).clamp(1, AHEAD_BYTES_MAX / UNIT) as u32;
        let room = futures::executor::block_on(async {
            tokio::select! {
                biased;
                () = self.frames.closed() => None,
                room = self.room.clone().acquire_many_owned(units) => room.ok(),
            }
        });
        room.map(Room).ok_or(Closed)
    }

    /// Sends a record into its room.
    pub fn record(&self, frame: Frame, room: Room) -> Result<(), Closed> {
        self.frames.blocking_send((Ok(frame), Some(room.0))).map_err(|_| Closed)
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
pub fn produce<F>(producer: F) -> Frames
where
    F: FnOnce(&FrameSender) -> Result<(), Stop> + Send + 'static,
{
    let (sender, frames) = channel();
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
