//! The end of a migration: every unit is at the target; then one store keeps every unit, and the
//! other one is retired.
//!
//! Invariant: a store is retired only when no unit begins there any more and every unit is at the
//! other one, under an epoch that no mover but the last configuration's has.

use std::sync::atomic::AtomicBool;

use futures::StreamExt;
use restow_model::UnitId;
use restow_store::{
    Error, ErrorKind, Purged, RegisterName, Result, Stamp, StoreRecord, Swap, WithoutControl,
};

use crate::config::{Config, Phase};
use crate::fleet::{Errand, NAMED_MAX};
use crate::protocol::Home;
use crate::{Pair, Router, Side, Swept};

/// So many passes may find units that are not yet where they are to stay.
const PASSES_MAX: usize = 8;

/// How far the end of a migration has come.
#[derive(Debug, Default)]
pub struct Finished {
    /// What was moved and marked for it.
    pub swept: Swept,
    /// Whether the other store is retired.
    pub is_retired: bool,
}

/// What became of the units of a retired store.
#[derive(Debug, Default)]
pub struct Cleaned {
    /// How many units went.
    pub units: u64,
    /// How many changed while they were looked at, or are damaged, and stay until the next time.
    pub left: u64,
    /// The first of the damaged ones, with the reason.
    pub failures: Vec<(UnitId, Error)>,
}

impl Router {
    /// Moves every unit to the target and, once a look at all finds none elsewhere, raises the
    /// configuration from [`Phase::Full`] to [`Phase::Settled`].
    ///
    /// Units that begin meanwhile are moved in the next pass; where every pass finds some, or some
    /// cannot be moved, the phase stays as it is, and this may be called again.
    pub async fn settle(&self, workers: usize, stop: &AtomicBool) -> Result<Swept> {
        let mut all = Swept::default();
        for _ in 0..PASSES_MAX {
            let swept = self.sweep(Errand::Place, workers, stop).await?;
            let is_hindered = swept.stopped || swept.failed > 0;
            all.add(swept);
            if is_hindered {
                return Ok(all);
            }
            let count = self.standings().await?;
            if count.at_target < count.units || count.damaged > 0 {
                continue;
            }
            let held = self.pair().config().await?;
            if held.config.phase == Phase::Full {
                let config = Config { phase: Phase::Settled, ..held.config.clone() };
                match self.pair().configure(&held, config).await {
                    // Somebody wants something else by now.
                    Err(error) if error.kind() == ErrorKind::Refused => {}
                    settled => drop(settled?),
                }
                self.refresh().await?;
            }
            return Ok(all);
        }
        Ok(all)
    }

    /// Ends the migration with every unit at one store, and retires the other one.
    ///
    /// The configuration's phase has to say so first: from then on no newer one leads back. It may
    /// be called again wherever it was stopped; units that cannot be moved leave both stores open.
    pub async fn finish(&self, workers: usize, stop: &AtomicBool) -> Result<Finished> {
        let config = self.refresh().await?;
        let Some(at) = config.phase.ends_at() else {
            let message = "the migration has not been completed or cancelled";
            return Err(Error::new(ErrorKind::Refused, "end a migration", message));
        };
        let mut finished = Finished::default();
        self.pair().declare(at.other(), WithoutControl::Closed).await?;
        for _ in 0..PASSES_MAX {
            let swept = self.sweep(Errand::Keep(at), workers, stop).await?;
            let is_hindered = swept.stopped || swept.failed > 0;
            finished.swept.add(swept);
            if is_hindered {
                return Ok(finished);
            }
            if self.is_settled(at).await? {
                self.pair().declare(at.other(), WithoutControl::Retired).await?;
                finished.is_retired = true;
                return Ok(finished);
            }
        }
        Ok(finished)
    }

    /// Says whether nothing is left to do before the other store is retired.
    async fn is_settled(&self, at: Side) -> Result<bool> {
        let mut units = Box::pin(self.units().await?);
        while let Some(listed) = units.next().await {
            if self.needs(Errand::Keep(at), &listed?).is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes what the retired store still holds, unit by unit, and then all that the migration
    /// left beside the units of the store that keeps them.
    ///
    /// Clients have to use that store directly by then: what is not in a migration any more has no
    /// home to look up. It may be called again.
    pub async fn clean_up(&self, keeps_units: bool, stop: &AtomicBool) -> Result<Cleaned> {
        let config = self.refresh().await?;
        let at = config.phase.ends_at();
        let Some(at) = at.filter(|_| config.phase > Phase::Settled) else {
            let message = "the migration has not been completed or cancelled";
            return Err(Error::new(ErrorKind::Refused, "clean up a migration", message));
        };
        if self.pair().says(at.other()).await? != Some(WithoutControl::Retired) {
            let message = "the store to be removed is not retired; complete the migration first";
            return Err(Error::new(ErrorKind::Refused, "clean up a migration", message));
        }
        let mut cleaned = Cleaned::default();
        if !keeps_units {
            cleaned = self.purge_all(at.other(), stop).await?;
        }
        if cleaned.left == 0 && !stop.load(std::sync::atomic::Ordering::Relaxed) {
            self.pair().store(at).release().await?;
        }
        Ok(cleaned)
    }

    async fn purge_all(&self, at: Side, stop: &AtomicBool) -> Result<Cleaned> {
        let (store, mut cleaned) = (self.pair().store(at), Cleaned::default());
        let mut units = store.units().await?;
        while let Some(listed) = units.next().await {
            if stop.load(std::sync::atomic::Ordering::Relaxed) {
                cleaned.left += 1;
                return Ok(cleaned);
            }
            let (unit, control) = match listed? {
                (unit, Ok(Some(control))) => (unit, control),
                (_, Ok(None)) => {
                    cleaned.left += 1;
                    continue;
                }
                (unit, Err(error)) => {
                    cleaned.left += 1;
                    if cleaned.failures.len() < NAMED_MAX {
                        cleaned.failures.push((unit, error));
                    }
                    continue;
                }
            };
            match store.purge(unit, Stamp::Control(Box::new(control))).await? {
                Purged::Removed(_) => cleaned.units += 1,
                Purged::Absent => {}
                Purged::Lost => cleaned.left += 1,
            }
        }
        Ok(cleaned)
    }

    /// Says whether a unit is at its last home for good.
    pub(crate) fn is_kept(&self, at: Side, home: Home, epoch: u64) -> bool {
        home == Home::At(at) && epoch >= self.config().epoch
    }
}

impl Pair {
    /// Reads what a store says of units without control record.
    pub(crate) async fn says(&self, at: Side) -> Result<Option<WithoutControl>> {
        let found = self.store(at).register_read(RegisterName::store()).await?;
        let record = found.and_then(|(_, bytes)| StoreRecord::from_bytes(&bytes));
        let says = record.map(|record| record.without_control);
        if matches!(says, Some(WithoutControl::Closed | WithoutControl::Retired)) {
            self.note_closed(at);
        }
        Ok(says)
    }

    /// Lets a store say how it is read where it has no control record; what is retired stays so.
    async fn declare(&self, at: Side, without: WithoutControl) -> Result<()> {
        loop {
            let found = self.store(at).register_read(RegisterName::store()).await?;
            let held = found.as_ref().and_then(|(_, bytes)| StoreRecord::from_bytes(bytes));
            let (Some((etag, _)), Some(held)) = (found.clone(), held) else {
                let message = "the store's record is gone or damaged";
                let error = Error::new(ErrorKind::Damaged, "end a migration", message);
                return Err(error.with("store", &self.store(at).info().address));
            };
            if held.without_control == WithoutControl::Retired || held.without_control == without {
                self.note_closed(at);
                return Ok(());
            }
            let now = StoreRecord { without_control: without, ..held }.to_bytes();
            let swap = self.store(at).register_swap(RegisterName::store(), Some(etag), now).await?;
            if let Swap::Swapped(_) = swap {
                self.note_closed(at);
                return Ok(());
            }
        }
    }
}
