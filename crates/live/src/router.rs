//! The router: what an application reads and writes its units through while they move.

use std::sync::{Arc, PoisonError, RwLock};

use restow_model::{Dialect, Digest, UnitId};
use restow_store::{Clock, Error, ErrorKind, Frames, Op, Result, Selection, Then};

use crate::combine::Combiner;
use crate::config::{Acknowledge, Config, Phase};
use crate::hand::{Hand, Limits, OperationIds};
use crate::protocol::{Goal, Home, Mover, Protocol};
use crate::shadow::Shadow;
use crate::view::Seen;
use crate::watch::{Unwatched, Watch};
use crate::writer::Write;
use crate::{Moved, Pair, Side, Written};

/// So many writes of a unit stay in its journal, for copies that lag and answers that were lost.
const JOURNAL_ENTRIES_MIN: u64 = 1024;
/// A journal is cut after so many writes.
const JOURNAL_TRIM_EVERY: u64 = 128;
/// So many times a copy may be staged anew while a unit is erased.
const ERASE_TRIES: u32 = 20;

/// How a router is made.
#[derive(Debug)]
pub struct RouterOptions {
    /// The decisions; outside of tests, all rules hold.
    pub protocol: Protocol,
    /// How much one batch or lap moves at once.
    pub limits: Limits,
    /// Who is told of every step.
    pub watch: Arc<dyn Watch>,
    /// How to wait for others.
    pub clock: Arc<dyn Clock>,
    /// What the names of this router's operations begin with: different for every router there is.
    pub seed: Vec<u8>,
    /// One in so many reads is compared with the unit's replica; none where it is 0.
    pub shadow_every: u64,
}

impl RouterOptions {
    /// Makes the options of a router that names its operations after a seed.
    pub fn new(seed: impl Into<Vec<u8>>, clock: Arc<dyn Clock>) -> Self {
        Self {
            protocol: Protocol::default(),
            limits: Limits::default(),
            watch: Arc::new(Unwatched),
            clock,
            seed: seed.into(),
            shadow_every: 0,
        }
    }
}

/// Reads, writes and moves the units of a migration, wherever each of them lives by then.
///
/// Availability: while one store is down, units that live at the other are read and written under
/// [`Acknowledge::One`]; under [`Acknowledge::Both`] writes fail, and are made when they are
/// repeated under their operation id. Units that live at the store that is down are neither.
#[derive(Debug)]
pub struct Router {
    pair: Pair,
    config: RwLock<Arc<Config>>,
    protocol: Protocol,
    limits: Limits,
    watch: Arc<dyn Watch>,
    ids: OperationIds,
    clock: Arc<dyn Clock>,
    combiner: Combiner,
    pub(crate) shadow: Shadow,
}

/// A write of an application.
#[derive(Clone, Debug)]
pub struct Change {
    /// The language of the payloads.
    pub dialect: Dialect,
    /// What to put and remove, in order, all or nothing.
    pub ops: Vec<Op>,
    /// Names the write, so that its repetition is recognised while the unit lives where it was
    /// made. Without a name, writes of one unit that come at once are made together.
    pub op_id: Option<Digest>,
}

impl Router {
    /// Makes a router over two stores, with the configuration that stands in the source.
    pub async fn open(pair: Pair, options: RouterOptions) -> Result<Self> {
        let config = pair.config().await?.config;
        Ok(Self::with_config(pair, config, options))
    }

    /// Makes a router that goes by a configuration of its own, until it is refreshed.
    pub fn with_config(pair: Pair, config: Config, options: RouterOptions) -> Self {
        let config = RwLock::new(Arc::new(config));
        let RouterOptions { protocol, limits, watch, clock, seed, shadow_every } = options;
        let shadow = Shadow::new(shadow_every);
        let ids = OperationIds::new(&seed);
        let combiner = Combiner::default();
        Self { pair, config, protocol, limits, watch, ids, clock, combiner, shadow }
    }

    /// Returns the stores.
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// Returns the configuration that the router goes by.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes over the configuration that stands in the source by now; an older one is ignored.
    pub async fn refresh(&self) -> Result<Arc<Config>> {
        let now = self.pair.config().await?.config;
        let mut held = self.config.write().unwrap_or_else(PoisonError::into_inner);
        if now.epoch > held.epoch {
            *held = Arc::new(now);
        }
        Ok(Arc::clone(&held))
    }

    pub(crate) fn hand<'a>(&'a self, unit: &'a UnitId) -> Hand<'a> {
        Hand {
            pair: &self.pair,
            unit,
            protocol: self.protocol,
            limits: self.limits,
            watch: &*self.watch,
            ids: &self.ids,
            clock: &*self.clock,
        }
    }

    /// The store where the configuration wants a unit, and so where to look for it first.
    pub(crate) fn wanted(&self, unit: &UnitId) -> Side {
        self.config().place(self.pair.migration(), unit)
    }

    pub(crate) fn home_of(&self, seen: &Seen) -> Home {
        self.protocol.home(seen)
    }

    /// Finds the store where a unit lives; while it is on its way, the one that it comes from.
    ///
    /// `None` where there is no such unit. What that store tells of the unit from now on is of one
    /// moment, and not older than the call: it only goes forward.
    pub async fn resolve(&self, unit: &UnitId) -> Result<Option<Side>> {
        self.hand(unit).resolve(self.wanted(unit)).await
    }

    /// Reads a unit at its home: of one moment, and not older than the call.
    ///
    /// A unit that is not there has no frame; one that was removed has no record.
    pub async fn read(&self, unit: &UnitId, what: &Selection) -> Result<Frames> {
        self.reads(unit);
        self.hand(unit).read(self.wanted(unit), what).await
    }

    /// Writes to a unit at its home; one that is not there yet begins at the source.
    pub async fn write(&self, unit: &UnitId, change: Change) -> Result<Written> {
        self.clients_are_aware("write a unit")?;
        let Change { dialect, ops, op_id } = change;
        match op_id {
            Some(op_id) => {
                let ops = ops.into();
                self.write_one(unit, Write { dialect, ops, then: Then::Bump, op_id }).await
            }
            None => self.combiner.write(self, unit, dialect, ops).await,
        }
    }

    /// Removes all records of a unit; that it was removed stays, so that it does not come back.
    pub async fn delete(&self, unit: &UnitId, op_id: Option<Digest>) -> Result<Written> {
        self.clients_are_aware("remove a unit")?;
        let op_id = op_id.unwrap_or_else(|| self.ids.next());
        let (dialect, ops) = (Dialect::Any, [].into());
        self.write_one(unit, Write { dialect, ops, then: Then::Tombstone, op_id }).await
    }

    /// Removes a unit for good: the bytes in both stores, what was mirrored, and the journals.
    ///
    /// What stays is that there was such a unit. Fails where one of the stores cannot be reached;
    /// it may be called again.
    pub async fn erase(&self, unit: &UnitId) -> Result<()> {
        for _ in 0..ERASE_TRIES {
            let Written::Made(at, generation) = self.delete(unit, None).await? else {
                return Err(unclear("erase a unit", unit));
            };
            let trim = |side| self.pair.store(side).trim(unit.clone(), generation.seq);
            if self.config().phase.ends_at() == Some(at) {
                // What the other store still holds goes when it is cleaned up.
                return trim(at).await;
            }
            if self.hand(unit).mirror(at, generation, true).await? {
                trim(at).await?;
                return trim(at.other()).await;
            }
            // What is being staged holds records still, and whoever staged it may be gone.
            self.move_to(unit, at.other()).await?;
        }
        let message = "the other store holds a copy that is being moved; try again";
        let error = Error::new(ErrorKind::Unavailable, "erase a unit", message);
        Err(error.with("unit", unit.as_str()))
    }

    /// Moves a unit to a store, as the configuration's epoch allows.
    pub async fn move_to(&self, unit: &UnitId, to: Side) -> Result<Moved> {
        self.send(unit, to, Goal::Home).await
    }

    /// Makes a replica of a unit at a store, or brings it up to date; the unit stays at its home.
    pub async fn copy_to(&self, unit: &UnitId, to: Side) -> Result<Moved> {
        self.send(unit, to, Goal::Replica).await
    }

    /// Moves a unit to where the configuration wants it.
    pub async fn place(&self, unit: &UnitId) -> Result<Moved> {
        self.move_to(unit, self.wanted(unit)).await
    }

    pub(crate) async fn send(&self, unit: &UnitId, to: Side, goal: Goal) -> Result<Moved> {
        self.clients_are_aware("move a unit")?;
        let mover = Mover { from: to.other(), epoch: self.config().epoch, goal };
        self.hand(unit).move_from(mover).await
    }

    /// Brings the other store's copy of a unit up to date; says whether it is.
    pub async fn mirror(&self, unit: &UnitId) -> Result<bool> {
        self.hand(unit).mirror_now(self.wanted(unit)).await
    }

    /// The time that has passed since some moment.
    pub(crate) fn now(&self) -> std::time::Duration {
        self.clock.monotonic()
    }

    pub(crate) fn next_id(&self) -> Digest {
        self.ids.next()
    }

    /// Makes one write, and mirrors it where the configuration says so.
    pub(crate) async fn write_one(&self, unit: &UnitId, write: Write) -> Result<Written> {
        let hand = self.hand(unit);
        let written = hand.write(self.wanted(unit), &write).await?;
        let Written::Made(at, generation) = written else { return Ok(written) };
        self.forget(unit, at, generation.seq).await;
        let config = self.config();
        let is_both = config.acknowledge == Acknowledge::Both;
        if !is_both && !config.mirrors {
            return Ok(written);
        }
        // What a rollback goes back to is the source; a replica at the target may lag.
        let must = is_both && at == Side::Target;
        match hand.mirror(at, generation, must).await {
            Ok(is_held) if is_held || !must => Ok(written),
            Ok(_) => Err(self.unmirrored(unit)),
            Err(error) if must => Err(self.unmirrored(unit).because(error)),
            Err(error) => {
                tracing::warn!(unit = unit.as_str(), %error, "a mirror is behind");
                Ok(written)
            }
        }
    }

    /// Forgets what a journal tells of long ago; a copy that lags further is made anew.
    async fn forget(&self, unit: &UnitId, at: Side, seq: u64) {
        if !seq.is_multiple_of(JOURNAL_TRIM_EVERY) || seq <= JOURNAL_ENTRIES_MIN {
            return;
        }
        let trimmed = self.pair.store(at).trim(unit.clone(), seq - JOURNAL_ENTRIES_MIN).await;
        if let Err(error) = trimmed {
            // The next write that comes to a round number tries again.
            tracing::debug!(unit = unit.as_str(), %error, "a journal keeps what is old");
        }
    }

    fn unmirrored(&self, unit: &UnitId) -> Error {
        let message = "the write is at the unit's home, and not yet in the other store; repeat it \
                       under its operation id";
        let error = Error::new(ErrorKind::Unavailable, "mirror a write", message);
        error.with("unit", unit.as_str())
    }

    /// Refuses control records before every client writes them.
    fn clients_are_aware(&self, operation: &'static str) -> Result<()> {
        if self.config().phase > Phase::Off {
            return Ok(());
        }
        let message = "the migration has not begun; start it when every client goes through restow";
        let error = Error::new(ErrorKind::Refused, operation, message);
        Err(error.with("migration", self.pair.migration()))
    }
}

fn unclear(operation: &'static str, unit: &UnitId) -> Error {
    let message = "nobody can say whether the unit was removed; try again";
    Error::new(ErrorKind::Unavailable, operation, message).with("unit", unit.as_str())
}
