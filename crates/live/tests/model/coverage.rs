//! What happened somewhere in the states that were reached, so that no property holds for want of
//! anything happening.

use restow_live::Step;
use std::sync::atomic::{AtomicU64, Ordering};

/// Something that has to happen in some configuration, beside every step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A client, not a mover, activated.
    HelpedToActivate,
    /// A client, not a mover, reopened the source.
    HelpedToAbort,
    /// A write was recognised when it came a second time.
    KnownWrite,
    /// A lost answer was found in the journal.
    FoundWrite,
    /// A lost answer was found to be a write that was never made.
    UnmadeWrite,
    /// A lost answer that nobody could find out about.
    Indeterminate,
    /// A sealed unit was read.
    SealedRead,
    /// A mover found damage.
    Alarm,
    /// A staged copy was given up for a new one.
    StagedAnew,
    /// A retired store refused.
    RetiredRefused,
}

impl Event {
    pub(crate) const ALL: [Self; 10] = [
        Self::HelpedToActivate,
        Self::HelpedToAbort,
        Self::KnownWrite,
        Self::FoundWrite,
        Self::UnmadeWrite,
        Self::Indeterminate,
        Self::SealedRead,
        Self::Alarm,
        Self::StagedAnew,
        Self::RetiredRefused,
    ];
}

/// Steps that were applied and events that happened, over all states; no part of any state.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    steps: AtomicU64,
    events: AtomicU64,
}

impl Coverage {
    pub(crate) fn applied(&self, step: Step) {
        self.steps.fetch_or(1 << step as u64, Ordering::Relaxed);
    }

    pub(crate) fn happened(&self, event: Event) {
        self.events.fetch_or(1 << event as u64, Ordering::Relaxed);
    }

    pub(crate) fn has_step(&self, step: Step) -> bool {
        self.steps.load(Ordering::Relaxed) & (1 << step as u64) != 0
    }

    pub(crate) fn has_event(&self, event: Event) -> bool {
        self.events.load(Ordering::Relaxed) & (1 << event as u64) != 0
    }
}
