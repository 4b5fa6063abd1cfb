//! Time, as a parameter: nothing below the command line asks the machine for it.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A source of time that a test can replace.
#[async_trait::async_trait]
pub trait Clock: Debug + Send + Sync + 'static {
    /// Returns the time since the Unix epoch, for records that people read.
    fn wall(&self) -> Duration;

    /// Returns the time since some fixed moment; it never runs backwards.
    fn monotonic(&self) -> Duration;

    /// Waits.
    async fn sleep(&self, time: Duration);
}

/// A clock for tests: it stands still, but for [`ManualClock::advance`] and for sleepers, who move
/// it on by as long as they would have waited.
#[derive(Debug, Default)]
pub struct ManualClock {
    now_ns: AtomicU64,
}

impl ManualClock {
    /// Moves the time on.
    pub fn advance(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.now_ns.fetch_add(ns, Ordering::SeqCst);
    }
}

#[async_trait::async_trait]
impl Clock for ManualClock {
    fn wall(&self) -> Duration {
        // The first second of 2026: far from zero, so that a mix-up with `monotonic` shows.
        Duration::from_secs(1_767_225_600) + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.now_ns.load(Ordering::SeqCst))
    }

    async fn sleep(&self, time: Duration) {
        self.advance(time);
        // Whoever waits gives way to others, as a real sleeper does.
        tokio::task::yield_now().await;
    }
}
