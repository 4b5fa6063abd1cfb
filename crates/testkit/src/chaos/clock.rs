//! The clock that all processes of a machine share.

use std::time::{Duration, SystemTime};

use restow::Clock;
use rustix::time::{ClockId, clock_gettime};

/// Returns the nanoseconds of `CLOCK_MONOTONIC`, the same in every process of the machine.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The machine's clock, by which routers and faults wait.
#[derive(Clone, Copy, Debug, Default)]
pub struct MachineClock;

#[async_trait::async_trait]
impl Clock for MachineClock {
    fn wall(&self) -> Duration {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(now_ns())
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
