//! A target that is lost: what is left goes on at the source, from its replicas.
//!
//! The lost store's place is taken by [`Lost`], which answers as a retired store that holds
//! nothing. Clients have to be stopped before, so that nobody writes where nobody looks any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use restow_model::{Generation, HomeState, Record, UnitId};
use restow_store::{
    Batch, Content, Cursor, Enumeration, Error, ErrorKind, Etag, Frames, Guard, Op, Purged,
    RegisterName, Result, Role, Segment, Selection, Stamp, Store, StoreInfo, StoreRecord, Swap,
    Then, Told, UnitOps, UnitOutcome, Units, Unsupported, WithoutControl,
};

use crate::view::{Standing, Status};
use crate::{Router, Side, Step};

/// A unit whose home was lost: the source's replica is what is left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtRisk {
    /// The unit.
    pub unit: UnitId,
    /// The last write that the replica holds; later ones are lost, unless policy *both* answered.
    /// Nothing where the replica's control record cannot be read.
    pub holds: Option<Generation>,
}

impl Router {
    /// Lists the units that do not live at the source, as far as the source itself tells.
    pub async fn at_risk(&self) -> Result<Vec<AtRisk>> {
        let mut units = self.pair().store(Side::Source).units().await?;
        let mut found = Vec::new();
        while let Some(listed) = units.next().await {
            let (unit, control) = listed?;
            match control {
                Ok(Some(control)) if control.state != HomeState::Live => {
                    found.push(AtRisk { unit, holds: Some(control.generation) });
                }
                Ok(_) => {}
                Err(_) => found.push(AtRisk { unit, holds: None }),
            }
        }
        Ok(found)
    }

    /// Makes the source the home of every unit whose home was lost; returns how many.
    ///
    /// What is damaged is passed over, and stays at risk.
    /// The configuration has to say first that the target is lost. It may be called again.
    pub async fn force(&self, stop: &AtomicBool) -> Result<u64> {
        if !self.refresh().await?.lost {
            let message = "the configuration does not say that the target is lost";
            return Err(Error::new(ErrorKind::Refused, "force a unit", message));
        }
        let mut forced = 0;
        for AtRisk { unit, .. } in self.at_risk().await?.into_iter().filter(|u| u.holds.is_some()) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            forced += u64::from(self.force_one(&unit).await?);
        }
        Ok(forced)
    }

    async fn force_one(&self, unit: &UnitId) -> Result<bool> {
        let hand = self.hand(unit);
        let look = hand.look(Side::Source, None).await?;
        let Some(held) = look.control.filter(|held| held.state != HomeState::Live) else {
            return Ok(false);
        };
        let Generation { term, seq } = held.generation;
        // The lost home's term is at most one beyond a seal, and that of a replica is its own.
        let generation = Generation { term: term + 2, seq };
        let now = Standing { status: Status::Live, generation, ..Standing::of(&held) };
        let staged = held.staged().cloned();
        let token = hand.token(staged.as_ref(), Step::Force);
        let control = hand.pair.control(Side::Source, &now, &token, held.tombstone);
        let then = staged.map_or(Then::Keep, Then::Discard);
        let guard = Guard::Exactly(Stamp::Control(Box::new(held)));
        let ops = UnitOps::new(unit.clone(), look.dialect, guard, Vec::<Op>::new(), then);
        hand.watch.before(Step::Force, Side::Source, unit).await;
        let done = hand.apply(Side::Source, UnitOps { control: Some(Box::new(control)), ..ops });
        Ok(done.await? == crate::hand::Done::Taken)
    }
}

/// Stands for a store that is lost.
#[derive(Debug)]
pub(crate) struct Lost {
    info: StoreInfo,
}

impl Lost {
    /// Stands for a store of this address; what it can do is never asked for.
    pub(crate) fn in_place_of(address: String, other: &StoreInfo) -> Arc<dyn Store> {
        Arc::new(Self { info: StoreInfo { address, ..other.clone() } })
    }

    fn refused<T>(&self) -> Result<T> {
        let message =
            "the store was given up for lost; cancel the migration, and begin another one";
        let error = Error::new(ErrorKind::Retired, "use a lost store", message);
        Err(error.with("store", &self.info.address))
    }
}

#[async_trait]
impl Store for Lost {
    fn info(&self) -> &StoreInfo {
        &self.info
    }

    fn check(&self, _: &Record) -> Result<(), Unsupported> {
        Ok(())
    }

    async fn prepare(&self, _: Role, _: &str) -> Result<StoreRecord> {
        self.refused()
    }

    async fn segments(&self, _: usize, _: Enumeration) -> Result<Vec<Segment>> {
        Ok(Vec::new())
    }

    async fn scan(&self, _: Segment, _: Option<Cursor>, _: Content) -> Result<Frames> {
        Ok(Box::pin(stream::empty()))
    }

    async fn units(&self) -> Result<Units> {
        Ok(Box::pin(stream::empty()))
    }

    async fn read(&self, _: Vec<UnitId>, _: Selection) -> Result<Frames> {
        self.refused()
    }

    async fn apply(&self, _: Batch) -> Result<Vec<UnitOutcome>> {
        self.refused()
    }

    async fn journal(&self, _: UnitId, _: u64) -> Result<Told> {
        self.refused()
    }

    async fn trim(&self, _: UnitId, _: u64) -> Result<()> {
        self.refused()
    }

    async fn purge(&self, _: UnitId, _: Stamp) -> Result<Purged> {
        self.refused()
    }

    async fn release(&self) -> Result<()> {
        self.refused()
    }

    /// Says that the store is retired.
    async fn register_read(&self, name: RegisterName) -> Result<Option<(Etag, Bytes)>> {
        let without_control = WithoutControl::Retired;
        let record = StoreRecord { id: Some("lost".into()), without_control };
        let is_it = name == RegisterName::store();
        Ok(is_it.then(|| (Etag(Bytes::new()), record.to_bytes())))
    }

    async fn register_swap(&self, _: RegisterName, _: Option<Etag>, _: Bytes) -> Result<Swap> {
        self.refused()
    }
}
