//! The threads of a migration: each is read and written where it lives by then.
//!
//! A question goes to the thread's home, which is found by its control record first: a store only
//! goes forward, so that the answer is of a moment behind the call. Nothing here rests on how
//! fresh the configuration is, which is looked at again every so many calls.
//!
//! Before the migration starts everything is in the source. Starting it marks the stores; from
//! then on they refuse writes that know of no migration, and whoever meets that joins.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use restow_live::config::{Acknowledge, Phase};
use restow_live::{self as live, Change, Pair, Router, Side};
use restow_model::{Body, Dialect, Record, UnitId};
use restow_store::query::langgraph::{
    CheckpointFilter, CheckpointTuple, Checkpoints, LangGraphQuery,
};
use restow_store::{
    Clock, Content, Environment, Error, ErrorKind, Frames, Op, Result, Role, Selection, Unsupported,
};
use restow_stores::registry::Opened;
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

use super::follow::Follower;
use super::merge::candidates;
use super::{Threads, Written};
use crate::live::Migration;

/// After so many calls the configuration is looked at again.
const REFRESH_CALLS: u64 = 64;
/// So many checkpoints of a list across stores are fetched at once.
const FETCHED_AT_ONCE: usize = 4;

/// So many times the rest of a start is waited for.
const START_TRIES: u32 = 100;
const START_PAUSE: Duration = Duration::from_millis(50);

/// The threads of a migration's stores.
#[derive(Clone, Debug)]
pub struct MovingThreads(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    migration: Migration,
    source: Opened,
    /// None where it was given up for lost.
    target: Option<Opened>,
    clock: Arc<dyn Clock>,
    seed: Box<str>,
    joined: OnceCell<Joined>,
}

/// What there is once the migration has started.
#[derive(Debug)]
struct Joined {
    router: Arc<Router>,
    follower: Follower,
    calls: AtomicU64,
    is_refreshing: Arc<AtomicBool>,
    /// Compares the sample of what is read with its replicas, as long as somebody may read.
    _shadow: JoinSet<()>,
}

impl MovingThreads {
    /// Opens the stores of a migration, and joins them in it, now or when it starts.
    ///
    /// A target that was given up for lost is not opened. `seed` is what operations are named
    /// after; nobody else may have it.
    pub async fn open(
        migration: &Migration,
        environment: &Environment,
        clock: Arc<dyn Clock>,
        seed: &str,
    ) -> Result<Self> {
        let (source, target) = migration.stores_left(environment).await?;
        let (migration, seed, joined) = (migration.clone(), seed.into(), OnceCell::new());
        let this = Self(Arc::new(Inner { migration, source, target, clock, seed, joined }));
        if this.joined().await?.is_none() {
            this.0.source.store.prepare(Role::CopyTarget, "").await?;
        }
        Ok(this)
    }

    /// Returns the stores that are left.
    fn stores(&self) -> impl Iterator<Item = &Opened> {
        [&self.0.source].into_iter().chain(&self.0.target)
    }

    /// Returns the router; nothing before the migration starts.
    async fn joined(&self) -> Result<Option<&Joined>> {
        if let Some(joined) = self.0.joined.get() {
            joined.count();
            return Ok(Some(joined));
        }
        let Inner { migration, source, target, .. } = &*self.0;
        let found = match target {
            Some(target) => {
                let (source, target) = (Arc::clone(&source.store), Arc::clone(&target.store));
                Pair::find(&migration.name, source, target).await?
            }
            None => migration.without_target(source).await?,
        };
        let Some(pair) = found else { return Ok(None) };
        let joined = self.0.joined.get_or_try_init(|| self.join(pair)).await?;
        Ok(Some(joined))
    }

    async fn join(&self, pair: Pair) -> Result<Joined> {
        for _ in 0..START_TRIES {
            let config = pair.config().await?.config;
            if config.phase > Phase::Off {
                let options = self.0.migration.client(Arc::clone(&self.0.clock), &self.0.seed);
                return Ok(Joined::new(Router::with_config(pair, config, options)));
            }
            // Whoever marked the stores is about to say so.
            self.0.clock.sleep(START_PAUSE).await;
        }
        let message = "the migration was begun and not started; run `migrate start` again";
        let error = Error::new(ErrorKind::Unavailable, "join a migration", message);
        Err(error.with("migration", &*self.0.migration.name))
    }

    /// Finds who answers questions about a thread; nothing where there is no such thread.
    async fn home(&self, thread: &UnitId) -> Result<Option<&dyn LangGraphQuery>> {
        let side = match self.joined().await? {
            None => Some(Side::Source),
            Some(joined) => {
                joined.router.reads(thread);
                joined.resolve(thread).await?
            }
        };
        // Nothing lives in a store that is lost.
        let home = side.and_then(|side| match side {
            Side::Source => Some(&self.0.source),
            Side::Target => self.0.target.as_ref(),
        });
        Ok(home.map(|home| &*home.langgraph))
    }
}

impl Joined {
    fn new(router: Router) -> Self {
        let router = Arc::new(router);
        let follower = Follower::new(Arc::clone(&router));
        let mut shadow = JoinSet::new();
        let comparing = Arc::clone(&router);
        shadow.spawn(async move { comparing.shadow().await });
        let (calls, is_refreshing) = (AtomicU64::new(0), Arc::default());
        Self { router, follower, calls, is_refreshing, _shadow: shadow }
    }

    async fn resolve(&self, thread: &UnitId) -> Result<Option<Side>> {
        let side = self.router.resolve(thread).await?;
        side.into_iter().for_each(|side| self.follower.seen(thread, side));
        Ok(side)
    }

    /// Counts a call, and looks at the configuration beside it when it is time.
    fn count(&self) {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if !calls.is_multiple_of(REFRESH_CALLS) || self.is_refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let (router, is_refreshing) = (Arc::clone(&self.router), Arc::clone(&self.is_refreshing));
        Handle::current().spawn(async move {
            refresh(&router).await;
            is_refreshing.store(false, Ordering::Release);
        });
    }

    async fn write(&self, thread: &UnitId, ops: Vec<Op>) -> Result<Written> {
        let change = Change { dialect: Dialect::Python, ops, op_id: None };
        match self.router.write(thread, change).await? {
            live::Written::Made(side, _) => {
                self.follower.seen(thread, side);
                Ok(Written::Done)
            }
            live::Written::Conflict(key, _) => {
                self.settle(thread).await?;
                Ok(Written::Unexpected(key))
            }
            live::Written::TooLarge => Ok(Written::TooLarge),
            live::Written::Indeterminate => Err(unavailable(super::threads::UNKNOWN, thread)),
        }
    }

    /// Makes sure that the source holds what was found in the way of a write at the target, before
    /// the caller takes it for an answered write.
    async fn settle(&self, thread: &UnitId) -> Result<()> {
        let router = &self.router;
        if router.config().acknowledge == Acknowledge::One
            || router.resolve(thread).await? != Some(Side::Target)
            || router.mirror(thread).await?
        {
            return Ok(());
        }
        let message =
            "the write is at the thread's home, and not yet in the other store; repeat it";
        Err(unavailable(message, thread))
    }
}

#[async_trait]
impl Threads for MovingThreads {
    fn query(&self) -> &dyn LangGraphQuery {
        self
    }

    fn check(&self, record: &Record) -> Result<(), Unsupported> {
        // What one of the stores cannot hold could not move.
        self.stores().try_for_each(|opened| opened.store.check(record))
    }

    async fn read(&self, thread: &UnitId, what: Selection) -> Result<Frames> {
        match self.joined().await? {
            None => self.0.source.read(thread, what).await,
            Some(joined) => joined.router.read(thread, &what).await,
        }
    }

    async fn write(&self, thread: &UnitId, ops: Vec<Op>) -> Result<Written> {
        let mut tries = 0;
        loop {
            if let Some(joined) = self.joined().await? {
                return joined.write(thread, ops).await;
            }
            let written = self.0.source.write(thread, ops.clone()).await;
            let is_refused = matches!(&written, Err(e) if e.kind() == ErrorKind::Refused);
            if !is_refused || tries == START_TRIES {
                return written;
            }
            // The source is marked already.
            tries += 1;
            self.0.clock.sleep(START_PAUSE).await;
        }
    }

    async fn erase(&self, thread: &UnitId) -> Result<()> {
        if self.joined().await?.is_none() {
            self.write(thread, vec![Op::Clear]).await?;
        }
        let Some(joined) = self.joined().await? else { return Ok(()) };
        match joined.router.resolve(thread).await? {
            Some(_) => joined.router.erase(thread).await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl LangGraphQuery for MovingThreads {
    async fn latest(
        &self,
        unit: &UnitId,
        namespace: &str,
        content: Content,
    ) -> Result<Option<CheckpointTuple>> {
        match self.home(unit).await? {
            Some(home) => home.latest(unit, namespace, content).await,
            None => Ok(None),
        }
    }

    async fn get(
        &self,
        unit: &UnitId,
        namespace: &str,
        id: &str,
        content: Content,
    ) -> Result<Option<CheckpointTuple>> {
        match self.home(unit).await? {
            Some(home) => home.get(unit, namespace, id, content).await,
            None => Ok(None),
        }
    }

    async fn list(&self, filter: CheckpointFilter, content: Content) -> Result<Checkpoints> {
        let joined = self.joined().await?;
        if let Some(joined) = joined {
            refresh(&joined.router).await;
        }
        match (&filter.unit, joined) {
            (Some(unit), _) => match self.home(unit).await? {
                Some(home) => home.list(filter, content).await,
                None => Ok(Box::pin(stream::empty())),
            },
            (None, Some(_)) => self.list_all(filter, content).await,
            (None, None) => self.0.source.langgraph.list(filter, content).await,
        }
    }

    async fn ancestors(&self, unit: &UnitId, namespace: &str, id: &str) -> Result<Checkpoints> {
        match self.home(unit).await? {
            Some(home) => home.ancestors(unit, namespace, id).await,
            None => Ok(Box::pin(stream::empty())),
        }
    }

    async fn units_of_run(&self, run_id: &str) -> Result<Vec<UnitId>> {
        if self.joined().await?.is_none() {
            return self.0.source.langgraph.units_of_run(run_id).await;
        }
        let mut found = BTreeSet::new();
        for opened in self.stores() {
            match opened.langgraph.units_of_run(run_id).await {
                Err(error) if error.kind() == ErrorKind::Retired => {}
                units => found.extend(units?),
            }
        }
        // A copy may be older than its thread.
        let mut units = Vec::new();
        for unit in found {
            let filter = CheckpointFilter {
                unit: Some(unit.clone()),
                metadata: vec![("run_id".into(), Body::text(run_id))],
                limit: Some(1),
                ..CheckpointFilter::default()
            };
            let Some(home) = self.home(&unit).await? else { continue };
            let mut listed = home.list(filter, Content::Bodies).await?;
            if listed.next().await.transpose()?.is_some() {
                units.push(unit);
            }
        }
        Ok(units)
    }
}

impl MovingThreads {
    /// Lists across threads: what either store names is fetched from its thread's home, so that
    /// every answer is of a moment behind the call, whatever moves meanwhile.
    async fn list_all(&self, filter: CheckpointFilter, content: Content) -> Result<Checkpoints> {
        let all = CheckpointFilter { limit: None, ..filter.clone() };
        let source = self.0.source.langgraph.list(all.clone(), Content::Bodies).await?;
        let target = match &self.0.target {
            Some(target) => target.langgraph.list(all, Content::Bodies).await?,
            None => Box::pin(stream::empty()),
        };
        let limit = filter.limit.unwrap_or(usize::MAX);
        let filter = Arc::new(filter);
        let this = self.clone();
        let found = candidates(source, target).map(move |place| {
            let (this, filter) = (this.clone(), Arc::clone(&filter));
            async move {
                let place = place?;
                let found = this.get(&place.thread, &place.namespace, &place.id, content).await?;
                Ok(found.filter(|found| filter.metadata_matches(&found.checkpoint)))
            }
        });
        let found = found.buffered(FETCHED_AT_ONCE).try_filter_map(|found| async { Ok(found) });
        Ok(Box::pin(found.take(limit)))
    }
}

/// Takes the configuration over as it is by now; one that cannot be read is no hindrance.
async fn refresh(router: &Router) {
    if let Err(error) = router.refresh().await {
        tracing::warn!(%error, "the configuration cannot be read; the one before holds");
    }
}

fn unavailable(message: &str, thread: &UnitId) -> Error {
    let error = Error::new(ErrorKind::Unavailable, "write a thread", message);
    error.with("thread", thread.to_string())
}
