//! Shadow reads: a sample of what clients read is compared with its replica, in the background.
//!
//! Readers never wait for it: where comparing falls behind, units are left out.

use std::sync::atomic::{AtomicU64, Ordering};

use restow_model::UnitId;
use tokio::sync::{Mutex, mpsc};

use crate::{Compared, Router};

/// So many units wait to be compared.
const WAITING_MAX: usize = 64;

/// What shadow reads have told so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shadowed {
    /// How many units were read in both stores, and equal.
    pub equal: u64,
    /// How many had no replica of their last write.
    pub behind: u64,
    /// How many differed from their replica: damage.
    pub differing: u64,
    /// How many could not be compared.
    pub failed: u64,
}

/// The sample that waits to be compared, and what was found.
#[derive(Debug)]
pub(crate) struct Shadow {
    every: u64,
    reads: AtomicU64,
    waiting: mpsc::Sender<UnitId>,
    taken: Mutex<mpsc::Receiver<UnitId>>,
    found: [AtomicU64; 4],
}

impl Shadow {
    /// Takes one in so many reads for the sample; none where it is 0.
    pub(crate) fn new(every: u64) -> Self {
        let (waiting, taken) = mpsc::channel(WAITING_MAX);
        let taken = Mutex::new(taken);
        Self { every, reads: AtomicU64::new(0), waiting, taken, found: Default::default() }
    }

    /// Takes note of a read.
    pub(crate) fn reads(&self, unit: &UnitId) {
        let is_off = self.every == 0;
        if is_off || !self.reads.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.every) {
            return;
        }
        // What finds no room is not part of the sample.
        let _ = self.waiting.try_send(unit.clone());
    }
}

impl Router {
    /// Takes note that a unit is read at its home past the router, as [`Router::read`] does itself.
    pub fn reads(&self, unit: &UnitId) {
        self.shadow.reads(unit);
    }

    /// Compares the sample, until it is dropped; one at a time works, others wait for it.
    pub async fn shadow(&self) {
        let mut taken = self.shadow.taken.lock().await;
        while let Some(unit) = taken.recv().await {
            let found = match self.compare(&unit).await {
                Ok(Compared::Equal) => 0,
                Ok(Compared::Lags | Compared::Alone) => 1,
                Ok(Compared::Differs) => {
                    tracing::error!(unit = unit.as_str(), "a replica differs from its home");
                    2
                }
                Err(error) => {
                    tracing::warn!(unit = unit.as_str(), %error, "a replica was not compared");
                    3
                }
            };
            self.shadow.found[found].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns what shadow reads have told so far.
    pub fn shadowed(&self) -> Shadowed {
        let [equal, behind, differing, failed] =
            [0, 1, 2, 3].map(|at: usize| self.shadow.found[at].load(Ordering::Relaxed));
        Shadowed { equal, behind, differing, failed }
    }
}
