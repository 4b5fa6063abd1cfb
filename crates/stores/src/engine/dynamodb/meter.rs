//! What a table's requests consumed.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::types::ConsumedCapacity;

/// Capacity units that were consumed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Consumed {
    /// By reading.
    pub read: f64,
    /// By writing.
    pub write: f64,
}

/// Counts what requests consumed, in thousandths.
#[derive(Debug, Default)]
pub struct Meter {
    read: AtomicU64,
    write: AtomicU64,
}

impl Meter {
    /// Returns what was consumed so far.
    pub fn consumed(&self) -> Consumed {
        let units = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64 / 1000.0;
        Consumed { read: units(&self.read), write: units(&self.write) }
    }

    /// Counts what a request that reads consumed.
    pub(super) fn read<'c>(&self, consumed: impl IntoIterator<Item = &'c ConsumedCapacity>) {
        add(&self.read, consumed);
    }

    /// Counts what a request that writes consumed.
    pub(super) fn write<'c>(&self, consumed: impl IntoIterator<Item = &'c ConsumedCapacity>) {
        add(&self.write, consumed);
    }
}

fn add<'c>(count: &AtomicU64, consumed: impl IntoIterator<Item = &'c ConsumedCapacity>) {
    let units: f64 = consumed.into_iter().filter_map(|c| c.capacity_units).sum();
    count.fetch_add((units * 1000.0) as u64, Ordering::Relaxed);
}
