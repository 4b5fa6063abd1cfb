//! Time, as a parameter: nothing below the command line asks the machine for it.

use std::fmt::Debug;
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
