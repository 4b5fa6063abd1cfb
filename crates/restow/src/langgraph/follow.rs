//! Threads that live elsewhere than the configuration wants move when they are used.
//!
//! Beside the application's calls, which never wait for it: what cannot be moved now stays where it
//! is, and only the log says why.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use restow_live::config::Phase;
use restow_live::{Moved, Router, Side};
use restow_model::UnitId;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// So many threads move at once.
const AT_ONCE: usize = 2;
/// So many threads are remembered that could not be moved; then others wait for a sweep.
const LEFT_MAX: usize = 4096;

/// Moves threads after those who use them.
#[derive(Debug)]
pub(super) struct Follower {
    router: Arc<Router>,
    slots: Arc<Semaphore>,
    left: Arc<Mutex<Left>>,
}

/// Threads that are under way, or could not be moved under a configuration.
#[derive(Debug, Default)]
struct Left {
    epoch: u64,
    threads: HashSet<UnitId>,
}

impl Left {
    /// Takes a thread up, unless it is known.
    fn take(&mut self, epoch: u64, thread: &UnitId) -> bool {
        if self.epoch != epoch {
            *self = Self { epoch, ..Self::default() };
        }
        self.threads.len() < LEFT_MAX && self.threads.insert(thread.clone())
    }
}

impl Follower {
    pub(super) fn new(router: Arc<Router>) -> Self {
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        Self { router, slots, left: Arc::default() }
    }

    /// Takes note of where a thread lives, and moves it if that is not where it should.
    pub(super) fn seen(&self, thread: &UnitId, at: Side) {
        let config = self.router.config();
        let wanted = config.place(self.router.pair().migration(), thread);
        let moves = matches!(config.phase, Phase::Move | Phase::Full | Phase::Settled);
        if wanted == at || !moves || config.paused {
            return;
        }
        // Where all are busy, the next use tries again.
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else { return };
        let is_new = held(&self.left).take(config.epoch, thread);
        if !is_new {
            return;
        }
        let (router, left, thread) =
            (Arc::clone(&self.router), Arc::clone(&self.left), thread.clone());
        Handle::current().spawn(async move {
            match router.place(&thread).await {
                Ok(Moved::There) => {
                    held(&left).threads.remove(&thread);
                }
                Ok(Moved::Stays | Moved::Copied) => {}
                Err(error) => {
                    tracing::warn!(thread = thread.as_str(), %error, "a thread was not moved");
                }
            }
            drop(slot);
        });
    }
}

fn held(left: &Mutex<Left>) -> std::sync::MutexGuard<'_, Left> {
    left.lock().unwrap_or_else(PoisonError::into_inner)
}
