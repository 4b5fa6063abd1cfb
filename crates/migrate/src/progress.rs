//! How far the work has come, for whoever shows it: counters that are read without a lock.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// What the work is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Phase {
    /// Making the target ready and dividing the source.
    #[default]
    Preparing,
    /// Reading the source without writing anything.
    Planning,
    /// Copying units.
    Copying,
    /// Removing what is gone from the source.
    Removing,
    /// Comparing both stores by bucket sums.
    Sweeping,
    /// Naming what differs.
    Naming,
    /// Counting one store.
    Assessing,
    /// Reading a backup.
    Checking,
    /// Nothing any more.
    Done,
}

impl Phase {
    const ALL: [Self; 9] = [
        Self::Preparing,
        Self::Planning,
        Self::Copying,
        Self::Removing,
        Self::Sweeping,
        Self::Naming,
        Self::Assessing,
        Self::Checking,
        Self::Done,
    ];

    /// Returns the word for a progress line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Preparing => "prepare",
            Self::Planning => "plan",
            Self::Copying => "copy",
            Self::Removing => "remove",
            Self::Sweeping => "sweep",
            Self::Naming => "name differences",
            Self::Assessing => "assess",
            Self::Checking => "check",
            Self::Done => "done",
        }
    }
}

/// Counters that workers raise and a command line polls; a phase starts its own at zero.
#[derive(Debug, Default)]
pub struct Progress {
    phase: AtomicU8,
    units: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    bytes_estimate: AtomicU64,
    failures: AtomicU64,
    throttled: Mutex<Option<String>>,
}

/// What a [`Progress`] said at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// What the work is doing.
    pub phase: Phase,
    /// Units done in this phase.
    pub units: u64,
    /// Records done in this phase.
    pub records: u64,
    /// Bytes of records done in this phase.
    pub bytes: u64,
    /// About how many bytes the phase has in all; `None` where nobody can say.
    pub bytes_estimate: Option<u64>,
    /// Units that failed or differ, in all phases.
    pub failures: u64,
    /// Why the work goes slower than it could.
    pub throttled: Option<String>,
}

impl Progress {
    /// Makes counters at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the counters.
    pub fn snapshot(&self) -> Snapshot {
        let estimate = self.bytes_estimate.load(Relaxed);
        Snapshot {
            phase: Phase::ALL[usize::from(self.phase.load(Relaxed)) % Phase::ALL.len()],
            units: self.units.load(Relaxed),
            records: self.records.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            bytes_estimate: (estimate > 0).then_some(estimate),
            failures: self.failures.load(Relaxed),
            throttled: self.throttled.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Says why the work goes slower than it could, or that it no longer does.
    pub fn set_throttled(&self, reason: Option<String>) {
        *self.throttled.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    pub(crate) fn enter(&self, phase: Phase, bytes_estimate: u64) {
        for counter in [&self.units, &self.records, &self.bytes] {
            counter.store(0, Relaxed);
        }
        self.bytes_estimate.store(bytes_estimate, Relaxed);
        self.phase.store(phase as u8, Relaxed);
    }

    pub(crate) fn unit(&self) {
        self.units.fetch_add(1, Relaxed);
    }

    pub(crate) fn record(&self, bytes: u64) {
        self.records.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn failure(&self) {
        self.failures.fetch_add(1, Relaxed);
    }
}
