//! A handle by which a caller asks work to stop at the next safe place.

use std::sync::Arc;

use tokio::sync::watch;

/// Asks work to stop; clones are one handle.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<bool>>);

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(watch::channel(false).0))
    }
}

impl Stop {
    /// Makes a handle that nobody has used yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for the stop: batches in hand are finished and saved, nothing else is begun.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    /// Says whether the stop was asked for.
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the stop is asked for.
    pub async fn stopped(&self) {
        // The sender lives in this handle, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|stopped| *stopped).await;
    }
}
