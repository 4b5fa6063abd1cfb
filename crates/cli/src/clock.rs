//! The machine's clock, the one place that asks for the time.

use std::time::{Duration, Instant, SystemTime};

use restow::Clock;

/// The machine's clock.
#[derive(Debug)]
pub(crate) struct SystemClock(Instant);

impl SystemClock {
    /// Starts the clock.
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

#[async_trait::async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    fn wall(&self) -> Duration {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that waits by the clock")]
    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
