//! All units of a migration: where each lives, moving those that are elsewhere, and comparing.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, Ordering as Memory};

use futures::{Stream, StreamExt, stream};
use restow_model::{Bucket, Control, UnitId};
use restow_store::{Error, Result, UnitHead, Units};

use crate::protocol::{Goal, Home};
use crate::view::{Seen, Standing, View};
use crate::{Moved, Pair, Router, Side};

/// So many units are put in order at once; the others wait for the next pass.
const PASS_UNITS_MAX: usize = 1 << 16;
/// After so many units a sweep reads the configuration again.
const REFRESH_EVERY: usize = 64;
/// So many failures are named; the others are only counted.
pub(crate) const NAMED_MAX: usize = 1000;

/// What both stores say of one unit.
#[derive(Debug)]
pub struct Listed {
    /// The unit.
    pub unit: UnitId,
    /// What the source has: nothing, records without control record, or a control record.
    pub source: Option<Option<Control>>,
    /// What the target has.
    pub target: Option<Option<Control>>,
    /// Why a control record of it cannot be read; then nothing is said of where the unit lives.
    pub damage: Option<Error>,
}

impl Listed {
    /// Says whether both stores have something of the unit.
    pub(crate) fn is_in_both(&self) -> bool {
        self.source.is_some() && self.target.is_some()
    }

    fn has(&self, side: Side) -> Option<&Option<Control>> {
        match side {
            Side::Source => self.source.as_ref(),
            Side::Target => self.target.as_ref(),
        }
    }

    fn control(&self, side: Side) -> Option<&Control> {
        self.has(side)?.as_ref()
    }

    /// Returns what decisions rest on, as far as a list tells.
    pub(crate) fn seen(&self, pair: &Pair) -> Seen {
        let view = |side| {
            let control = self.control(side).map(Standing::of);
            let has_records = self.has(side).is_some();
            View { control, has_records, ..View::nothing(pair.without(side)) }
        };
        Seen { source: view(Side::Source), target: view(Side::Target) }
    }
}

/// What a sweep is to do with every unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Move it to where the configuration wants it.
    Place,
    /// Give it an up-to-date replica in a store, where its home is the other one.
    Copy(Side),
    /// Move it to a store for good.
    Keep(Side),
}

/// What a sweep did.
#[derive(Debug, Default)]
pub struct Swept {
    /// How many units it moved, copied or marked.
    pub moved: u64,
    /// How many it left, because a later configuration moved them.
    pub stay: u64,
    /// How many could not be moved; each is still writable where it lives.
    pub failed: u64,
    /// The first of those, with the reason.
    pub failures: Vec<(UnitId, Error)>,
    /// Whether it was stopped before its end, or movers were told to rest.
    pub stopped: bool,
}

/// A unit in the order in which a sweep takes them.
type Turn = (Bucket, UnitId);

impl Router {
    /// Lists every unit that either store has, ascending; a damaged one is listed as such.
    pub async fn units(&self) -> Result<impl Stream<Item = Result<Listed>> + Send + use<>> {
        let source = self.pair().store(Side::Source).units().await?;
        let target = self.pair().store(Side::Target).units().await?;
        Ok(joined(source, target))
    }

    /// Does an errand for every unit that needs it, in the order of buckets.
    ///
    /// One that cannot be moved is told and left where it is; the others go on. `stop` ends the
    /// sweep behind the units that are under way, as does a configuration that lets movers rest.
    pub async fn sweep(&self, errand: Errand, workers: usize, stop: &AtomicBool) -> Result<Swept> {
        let mut swept = Swept::default();
        let mut behind: Option<Turn> = None;
        loop {
            let turns = self.turns(errand, behind.as_ref()).await?;
            let Some((last, _)) = turns.last().cloned() else { return Ok(swept) };
            for some in turns.chunks(REFRESH_EVERY) {
                let is_stopped = self.refresh().await?.paused;
                let moves = some.iter().map(|((_, unit), to)| async move {
                    if is_stopped || stop.load(Memory::Relaxed) {
                        return None;
                    }
                    Some((unit.clone(), self.run(errand, unit, *to).await))
                });
                let mut moves = stream::iter(moves).buffer_unordered(workers.max(1));
                while let Some(moved) = moves.next().await {
                    swept.count(moved);
                }
                if swept.stopped {
                    return Ok(swept);
                }
            }
            behind = Some(last);
        }
    }

    async fn run(&self, errand: Errand, unit: &UnitId, to: Side) -> Result<Moved> {
        match errand {
            // By the configuration as it is by now.
            Errand::Place => self.place(unit).await,
            Errand::Copy(_) => self.copy_to(unit, to).await,
            Errand::Keep(_) => self.send(unit, to, Goal::LastHome).await,
        }
    }

    /// Finds the first units, by bucket, that an errand has to be done for, and where.
    async fn turns(&self, errand: Errand, behind: Option<&Turn>) -> Result<Vec<(Turn, Side)>> {
        let mut units = Box::pin(self.units().await?);
        let mut turns: BinaryHeap<(Turn, Side)> = BinaryHeap::new();
        while let Some(listed) = units.next().await {
            let listed = listed?;
            let Some(to) = self.needs(errand, &listed) else { continue };
            let salt = self.pair().migration().as_bytes();
            let turn = (Bucket::of(salt, &listed.unit), listed.unit);
            if behind.is_none_or(|behind| turn > *behind) {
                turns.push((turn, to));
            }
            if turns.len() > PASS_UNITS_MAX {
                turns.pop();
            }
        }
        Ok(turns.into_sorted_vec())
    }

    /// Says at which store an errand has something to do for a unit.
    ///
    /// A damaged unit needs every errand: what is in the way is told by the one that is tried.
    pub(crate) fn needs(&self, errand: Errand, listed: &Listed) -> Option<Side> {
        if listed.damage.is_some() {
            return Some(match errand {
                Errand::Place => self.wanted(&listed.unit),
                Errand::Copy(at) | Errand::Keep(at) => at,
            });
        }
        let seen = listed.seen(self.pair());
        let home = self.home_of(&seen);
        match (errand, home) {
            (Errand::Place, Home::At(at) | Home::Legacy(at)) => {
                let wanted = self.wanted(&listed.unit);
                (at != wanted).then_some(wanted)
            }
            (Errand::Place, _) => Some(self.wanted(&listed.unit)),
            (Errand::Copy(to), Home::At(at)) if at != to => {
                (!seen.at(to).is_replica_of(seen.at(at))).then_some(to)
            }
            (Errand::Copy(to), Home::Legacy(at) | Home::Sealed(at)) if at != to => Some(to),
            (Errand::Copy(_), _) => None,
            (Errand::Keep(at), home) => {
                let epoch = seen.at(at).control.map_or(0, |control| control.epoch);
                (!self.is_kept(at, home, epoch)).then_some(at)
            }
        }
    }
}

impl Swept {
    /// Adds what another sweep did.
    pub(crate) fn add(&mut self, other: Self) {
        self.moved += other.moved;
        self.stay += other.stay;
        self.failed += other.failed;
        self.failures.extend(other.failures);
        self.failures.truncate(NAMED_MAX);
        self.stopped |= other.stopped;
    }

    fn count(&mut self, moved: Option<(UnitId, Result<Moved>)>) {
        match moved {
            None => self.stopped = true,
            Some((_, Ok(Moved::There | Moved::Copied))) => self.moved += 1,
            Some((_, Ok(Moved::Stays))) => self.stay += 1,
            Some((unit, Err(error))) => {
                self.failed += 1;
                if self.failures.len() < NAMED_MAX {
                    self.failures.push((unit, error));
                }
            }
        }
    }
}

/// Joins two lists that ascend.
pub(crate) fn joined(source: Units, target: Units) -> impl Stream<Item = Result<Listed>> + Send {
    let lists = (source.peekable(), target.peekable());
    stream::unfold(lists, |(mut source, mut target)| async move {
        let left = std::pin::Pin::new(&mut source).peek().await.map(key);
        let right = std::pin::Pin::new(&mut target).peek().await.map(key);
        let order = match (left, right) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(left), Some(right)) => left.cmp(&right),
        };
        let mut has = [None, None];
        if order.is_le() {
            has[0] = source.next().await;
        }
        if order.is_ge() {
            has[1] = target.next().await;
        }
        Some((both(has), (source, target)))
    })
}

/// What one store lists.
type Item = Result<UnitHead>;

/// What a list is ordered by; an error comes first, and ends it.
fn key(item: &Item) -> Option<UnitId> {
    item.as_ref().ok().map(|(unit, _)| unit.clone())
}

fn both(has: [Option<Item>; 2]) -> Result<Listed> {
    let [source, target] = has.map(Option::transpose);
    let (source, target) = (source?, target?);
    let named = source.as_ref().or(target.as_ref());
    let unit = named.map(|(unit, _)| unit.clone()).unwrap_or_else(|| UnitId::new(""));
    let mut damage = None;
    let [source, target] = [source, target].map(|head| match head?.1 {
        Ok(control) => Some(control),
        Err(error) => {
            damage = Some(error);
            None
        }
    });
    Ok(Listed { unit, source, target, damage })
}
