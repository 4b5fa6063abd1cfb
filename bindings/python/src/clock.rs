//! The machine's clock, by which a router waits for others.

use std::time::{Duration, Instant, SystemTime};

use restow::Clock;

/// The machine's clock.
#[derive(Debug)]
pub(crate) struct SystemClock(Instant);

impl SystemClock {
    /// Starts the clock.
    #[expect(clippy::disallowed_methods, reason = "a binding asks the machine for the time")]
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

#[async_trait::async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "a binding asks the machine for the time")]
    fn wall(&self) -> Duration {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "a binding waits by the machine's clock")]
    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
