//! The two stores of a migration, opened for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use restow_model::{Control, Digest, Generation, HomeState, Progress, Token, UnitDigest};
use restow_store::{
    Error, ErrorKind, RegisterName, Result, Role, Store, StoreRecord, WithoutControl,
};

use crate::Side;
use crate::config::Held;
use crate::lost::Lost;
use crate::view::{END, Filled, Staging, Standing, Status};

/// Stands for the id of a target that was given up for lost.
const LOST: &str = "lost";

/// The two stores of a migration, with the ids that they have in it.
#[derive(Clone, Debug)]
pub struct Pair {
    migration: Box<str>,
    source: Member,
    target: Member,
}

#[derive(Clone, Debug)]
struct Member {
    store: Arc<dyn Store>,
    id: Box<str>,
    /// Whether the store was seen to take no new units; once it does, it always does.
    is_closed: Arc<AtomicBool>,
}

impl Member {
    fn new(store: Arc<dyn Store>, id: Box<str>, says: WithoutControl) -> Self {
        let is_closed = matches!(says, WithoutControl::Closed | WithoutControl::Retired);
        Self { store, id, is_closed: Arc::new(AtomicBool::new(is_closed)) }
    }
}

impl Pair {
    /// Makes both stores ready for a migration, and joins them.
    ///
    /// The ids are given to stores that have none yet; a store that has one keeps it. Refuses two
    /// stores of one id: one of them is a clone of the other. Refuses a target that was never made
    /// ready where the migration has begun: units live in another one, or did.
    pub async fn open(
        migration: &str,
        source: (Arc<dyn Store>, &str),
        target: (Arc<dyn Store>, &str),
    ) -> Result<Self> {
        target_of(migration, &source.0, &target.0).await?;
        let source = Member::open(source, Role::Source).await?;
        let target = Member::open(target, Role::Target).await?;
        Self::join(migration, source, target)
    }

    /// Joins the source with the place of a target that was given up for lost.
    pub async fn without_target(
        migration: &str,
        source: (Arc<dyn Store>, &str),
        target: String,
    ) -> Result<Self> {
        let source = Member::open(source, Role::Source).await?;
        Self::alone(migration, source, target)
    }

    /// Joins the source with the place of its target where that was given up for lost, and changes
    /// nothing.
    ///
    /// `None` where it was not, or where the source was never made ready.
    pub async fn find_without_target(
        migration: &str,
        source: Arc<dyn Store>,
        target: String,
    ) -> Result<Option<Self>> {
        let Some(source) = Member::find(source).await? else { return Ok(None) };
        let alone = Self::alone(migration, source, target)?;
        Ok(if alone.config().await?.config.lost { Some(alone) } else { None })
    }

    /// Refuses to go on with nothing at the target's address where units may live in the target.
    pub async fn without_its_target(
        migration: &str,
        source: &dyn Store,
        target: &str,
    ) -> Result<()> {
        let config = Held::read(source, migration).await?.config;
        if config.lost || !config.phase.needs_target() {
            return Ok(());
        }
        let message = "the migration has begun, and its target is not there; bring it back, or \
                       give it up by `restow migrate rollback --target-lost`";
        let error = Error::new(ErrorKind::Refused, "open a migration's stores", message);
        Err(error.with("migration", migration).with("target", target))
    }

    fn alone(migration: &str, source: Member, target: String) -> Result<Self> {
        let lost = Lost::in_place_of(target, source.store.info());
        let target = Member::new(lost, LOST.into(), WithoutControl::Retired);
        Self::join(migration, source, target)
    }

    /// Joins two stores that are in a migration already, and changes nothing in them.
    ///
    /// `None` where one of them was never made ready. Refuses such a target as [`Pair::open`] does.
    pub async fn find(
        migration: &str,
        source: Arc<dyn Store>,
        target: Arc<dyn Store>,
    ) -> Result<Option<Self>> {
        let target = target_of(migration, &source, &target).await?;
        let source = Member::find(source).await?;
        let (Some(source), Some(target)) = (source, target) else { return Ok(None) };
        Self::join(migration, source, target).map(Some)
    }

    fn join(migration: &str, source: Member, target: Member) -> Result<Self> {
        if source.id == target.id {
            let message = "both stores have one id, so that one is a clone of the other; \
                           remove the clone's control records before it takes part";
            let error = Error::new(ErrorKind::Refused, "open a migration's stores", message);
            return Err(error.with("id", &*source.id));
        }
        Ok(Self { migration: migration.into(), source, target })
    }

    /// Returns the migration's id.
    pub fn migration(&self) -> &str {
        &self.migration
    }

    /// Returns one of the stores.
    pub fn store(&self, at: Side) -> &Arc<dyn Store> {
        &self.member(at).store
    }

    fn member(&self, at: Side) -> &Member {
        match at {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    /// How a store is read where it has no control record of a unit, as far as is known by now.
    pub(crate) fn without(&self, at: Side) -> WithoutControl {
        match at {
            _ if self.member(at).is_closed.load(Ordering::Relaxed) => WithoutControl::Closed,
            Side::Source => WithoutControl::Legacy,
            Side::Target => WithoutControl::Empty,
        }
    }

    /// Takes note that a store takes no new units.
    pub(crate) fn note_closed(&self, at: Side) {
        self.member(at).is_closed.store(true, Ordering::Relaxed);
    }

    /// Refuses a control record that was written for another store, a clone's or a restored one's,
    /// or beside another one.
    pub(crate) fn own(&self, at: Side, control: &Control) -> Result<()> {
        let (member, other) = (self.member(at), &self.member(at.other()).id);
        let is_beside =
            control.counterpart == *other || [&*control.counterpart, other].contains(&LOST);
        if control.store == member.id && is_beside && control.migration == self.migration {
            return Ok(());
        }
        let message = "the unit's control record was written for other stores or another \
                       migration; a cloned, restored or new store cannot take part";
        let error = Error::new(ErrorKind::Refused, "read a control record", message);
        let error = error.with("store", &member.store.info().address);
        Err(error.with("migration", &*control.migration))
    }

    /// Makes the control record that a plan wants at a store.
    ///
    /// The digest and the operation id are the store's to fill in.
    pub(crate) fn control(
        &self,
        at: Side,
        now: &Standing,
        token: &Token,
        tombstone: bool,
    ) -> Control {
        let Standing { status, generation, epoch, .. } = *now;
        Control {
            state: match status {
                Status::Live => HomeState::Live,
                Status::Copy => HomeState::Copy,
                Status::Sealed => HomeState::Sealed,
                Status::Staging(Staging { base, progress }) => {
                    let progress = match progress {
                        Filled::Partly => Progress::Copying([].into()),
                        Filled::Wholly => Progress::Copying(END.into()),
                        Filled::Claimed(digest) => Progress::Claimed(digest),
                        Filled::Verified => Progress::Verified,
                    };
                    HomeState::Staging { token: token.clone(), base, progress }
                }
            },
            generation: Generation { ..generation },
            epoch,
            op_id: Digest::default(),
            tombstone,
            digest: UnitDigest::default(),
            migration: self.migration.clone(),
            store: self.member(at).id.clone(),
            counterpart: self.member(at.other()).id.clone(),
        }
    }
}

/// Finds a migration's target, and refuses one without id where units may live in the target.
async fn target_of(
    migration: &str,
    source: &Arc<dyn Store>,
    target: &Arc<dyn Store>,
) -> Result<Option<Member>> {
    // The configuration first: whoever begins a migration makes the target ready before it says so.
    let refused = Pair::without_its_target(migration, &**source, &target.info().address).await;
    match Member::find(Arc::clone(target)).await? {
        None => refused.map(|()| None),
        found => Ok(found),
    }
}

impl Member {
    async fn open((store, id): (Arc<dyn Store>, &str), role: Role) -> Result<Self> {
        let record = store.prepare(role, id).await?;
        let Some(id) = record.id else {
            let message = "the store was prepared and has no id; it keeps no control records";
            let error = Error::new(ErrorKind::Unsupported, "open a migration's stores", message);
            return Err(error.with("store", &store.info().address));
        };
        Ok(Self::new(store, id, record.without_control))
    }

    async fn find(store: Arc<dyn Store>) -> Result<Option<Self>> {
        let Some((_, bytes)) = store.register_read(RegisterName::store()).await? else {
            return Ok(None);
        };
        let Some(record) = StoreRecord::from_bytes(&bytes) else { return Ok(None) };
        let says = record.without_control;
        Ok(record.id.map(|id| Self::new(store, id, says)))
    }
}
