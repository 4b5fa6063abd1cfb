//! What all workers of a copy share: the two stores, the ledger, the limits, the tally.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use restow_model::{Digest, Token, UnitId};
use restow_store::ledger::{Ledger, MigrationId, PassId, SegmentProgress};
use restow_store::{Clock, Error, ErrorKind, Result, Segment, Store};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::current::Written;
use super::{CopyOptions, Units};
use crate::limits::{BATCH_BYTES_MAX, HELD_BYTES_MAX, UNDER_WAY_BYTES_MIN};
use crate::{Progress, Stop};

pub(super) struct Shared {
    pub(super) source: Arc<dyn Store>,
    pub(super) target: Arc<dyn Store>,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) progress: Arc<Progress>,
    pub(super) options: CopyOptions,
    pub(super) migration: MigrationId,
    pub(super) pass: PassId,
    pub(super) queue: Mutex<VecDeque<Work>>,
    /// Asked for when one worker failed: the others finish what they have in hand.
    pub(super) halt: Stop,
    tally: Mutex<Tally>,
    doomed: Mutex<HashSet<UnitId>>,
    /// Units that were counted and are met again, since the work on their share was begun again.
    counted: Mutex<HashSet<UnitId>>,
    blind: AtomicBool,
    room: Arc<Semaphore>,
    room_bytes: usize,
}

/// What a worker takes from the queue.
#[derive(Clone, Debug)]
pub(super) enum Work {
    /// A share whose progress is kept in the ledger.
    Kept(SegmentProgress),
    /// A share that is walked from its beginning, whatever was done before.
    Walk(Segment),
    /// Units by name.
    Named(Vec<UnitId>),
}

/// What was done so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) units: Units,
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// What became of a unit that is now as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Became {
    Copied,
    Unchanged,
    Adopted,
    Updated,
}

/// What damage at the source is known to hide.
#[derive(Clone, Debug, Default)]
pub(super) struct Hidden {
    /// Units of which something cannot be read.
    pub(super) units: HashSet<UnitId>,
    /// Whether there is damage that could not be told to belong to a unit.
    pub(super) nameless: bool,
}

pub(super) struct Parties {
    pub(super) source: Arc<dyn Store>,
    pub(super) target: Arc<dyn Store>,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) progress: Arc<Progress>,
}

impl Shared {
    pub(super) fn new(
        parties: Parties,
        options: CopyOptions,
        (migration, pass): (MigrationId, PassId),
        queue: VecDeque<Work>,
        hidden: Hidden,
    ) -> Self {
        let Parties { source, target, ledger, clock, progress } = parties;
        let gathered = options.jobs.max(1) * batch_bytes(&*target);
        let room_bytes = HELD_BYTES_MAX.saturating_sub(gathered).max(UNDER_WAY_BYTES_MIN);
        Self {
            source,
            target,
            ledger,
            clock,
            progress,
            options,
            migration,
            pass,
            queue: Mutex::new(queue),
            halt: Stop::new(),
            tally: Mutex::default(),
            doomed: Mutex::new(hidden.units),
            counted: Mutex::default(),
            blind: AtomicBool::new(hidden.nameless),
            room: Arc::new(Semaphore::new(room_bytes)),
            room_bytes,
        }
    }

    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn meets_again(&self, units: impl Iterator<Item = UnitId>) {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).extend(units);
    }

    pub(super) fn became(&self, unit: &UnitId, became: Became, written: Written) {
        let was_counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner).remove(unit);
        if was_counted && matches!(became, Became::Unchanged | Became::Adopted) {
            return;
        }
        self.progress.unit();
        let mut tally = self.tally();
        let units = &mut tally.units;
        match became {
            Became::Copied => units.copied += 1,
            Became::Unchanged => units.unchanged += 1,
            Became::Adopted => units.adopted += 1,
            Became::Updated => units.updated += 1,
        }
        if matches!(became, Became::Copied | Became::Updated) {
            tally.records += written.records;
            tally.bytes += written.bytes;
        }
    }

    pub(super) fn next_work(&self) -> Option<Work> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Keeps a unit from being written: something of it cannot be read.
    pub(super) fn doom(&self, unit: &UnitId) -> bool {
        self.doomed.lock().unwrap_or_else(PoisonError::into_inner).insert(unit.clone())
    }

    pub(super) fn is_doomed(&self, unit: &UnitId) -> bool {
        self.doomed.lock().unwrap_or_else(PoisonError::into_inner).contains(unit)
    }

    /// Notes that damage at the source may hide whole units.
    pub(super) fn go_blind(&self) {
        self.blind.store(true, Ordering::Relaxed);
    }

    /// Returns about how many bytes of records a worker gathers before it writes them.
    pub(super) fn batch_bytes(&self) -> usize {
        batch_bytes(&*self.target)
    }

    /// Returns about how many bytes a unit may have to be written at once.
    pub(super) fn unit_bytes(&self) -> usize {
        (self.batch_bytes() * 2).min(BATCH_BYTES_MAX)
    }

    /// Waits until so many bytes of batches, or the most there may be, have room on their way.
    pub(super) async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes.min(self.room_bytes)).unwrap_or(u32::MAX);
        self.room.clone().acquire_many_owned(bytes).await.map_err(|closed| {
            Error::new(ErrorKind::Failed, "copy units", "the work has ended").because(closed)
        })
    }

    pub(super) fn is_blind(&self) -> bool {
        self.blind.load(Ordering::Relaxed)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.options.stop.is_stopped() || self.halt.is_stopped()
    }

    pub(super) async fn stopped(&self) {
        tokio::select! {
            () = self.options.stop.stopped() => {}
            () = self.halt.stopped() => {}
        }
    }

    /// Names the staging of a unit: the same in every attempt, so that it can be resumed.
    pub(super) fn token(&self, unit: &UnitId) -> Token {
        let name = Digest::of(unit.as_str().as_bytes());
        Token::new(format!("copy-{}-{name:.32}", self.migration.0))
    }
}

fn batch_bytes(target: &dyn Store) -> usize {
    target.info().capabilities.batch_bytes.min(BATCH_BYTES_MAX)
}

pub(super) fn now_ms(clock: &dyn Clock) -> u64 {
    u64::try_from(clock.wall().as_millis()).unwrap_or(u64::MAX)
}
