//! Why work on an engine stops.

use restow_store::Error;
use restow_store::feed::{Closed, Stop};

/// Why work on an engine stopped.
#[derive(Debug)]
pub enum Fail<E> {
    /// The engine or the connection to it failed.
    Engine(E),
    /// The stream is closed, or the work failed otherwise.
    Stop(Stop),
}

impl<E> Fail<E> {
    /// Returns the error of work that has no reader who could have gone.
    pub fn error(self, operation: &'static str, failed: impl FnOnce(E) -> Error) -> Error {
        match self {
            Self::Engine(error) => failed(error),
            Self::Stop(stop) => stop.error(operation),
        }
    }
}

impl<E> From<Stop> for Fail<E> {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl<E> From<Closed> for Fail<E> {
    fn from(closed: Closed) -> Self {
        Self::Stop(closed.into())
    }
}

impl<E> From<Error> for Fail<E> {
    fn from(error: Error) -> Self {
        Self::Stop(error.into())
    }
}
