//! LangGraph's questions, answered from the compact layout.
//!
//! Checkpoint ids order the answers. Inside a namespace they are the order of the keys; across
//! namespaces a unit's ids are collected first; across units the layout keeps, for each unit, an id
//! that none of its checkpoints exceeds, so that a list opens only the units that it needs.

use std::collections::{BinaryHeap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use restow_model::{Body, Key, KeyPart, Record, UnitId};
use restow_store::query::langgraph::{
    CheckpointFilter, CheckpointTuple, Checkpoints, LangGraphQuery,
};
use restow_store::{Content, Error, ErrorKind, Frame, Frames, Order, Result, Selection, Store};

/// How many units a list across units looks up at once.
const UNITS_AT_ONCE: usize = 64;

/// A store of the compact layout that knows which units have the newest checkpoints.
#[async_trait]
pub trait NewestFirst: Store {
    /// Returns units with a bound on their checkpoint ids, greatest bound first, skipping some.
    async fn newest_units(&self, skip: usize, limit: usize) -> Result<Vec<(UnitId, String)>>;

    /// Reads records of a unit and, in the same moment, those under the prefix that the last one of
    /// them leads to.
    async fn read_on(&self, unit: UnitId, what: Selection, on: LeadsTo) -> Result<Frames>;
}

/// Returns the prefix of the keys that a record leads to.
pub type LeadsTo = fn(&Key) -> Option<Key>;

/// LangGraph's questions to a store of the compact layout.
#[derive(Debug)]
pub struct PartsQuery<S>(Arc<S>);

impl<S: NewestFirst> PartsQuery<S> {
    /// Asks a store.
    pub fn new(store: Arc<S>) -> Self {
        Self(store)
    }

    async fn tuple(&self, place: &Place, content: Content) -> Result<Option<CheckpointTuple>> {
        let Place { unit, namespace, id } = place;
        let key = Key::of("checkpoint").text(namespace).text(id).build();
        self.first(unit, Selection { content, ..Selection::prefix(&key) }).await
    }

    /// Returns the first checkpoint of a selection, with its writes.
    async fn first(&self, unit: &UnitId, what: Selection) -> Result<Option<CheckpointTuple>> {
        let what = Selection { limit: Some(1), ..what };
        let mut frames = self.0.read_on(unit.clone(), what, writes_of).await?;
        let (mut checkpoint, mut writes) = (None, Vec::new());
        while let Some(frame) = frames.next().await {
            let Some(record) = record(frame?)? else { continue };
            match checkpoint {
                None => checkpoint = Some(record),
                Some(_) => writes.push(record),
            }
        }
        writes.sort_by_cached_key(write_order);
        let unit = unit.clone();
        Ok(checkpoint.map(|checkpoint| CheckpointTuple { unit, checkpoint, writes }))
    }

    /// Returns the checkpoints of a unit that a filter may let through, newest last.
    async fn places(&self, unit: &UnitId, filter: &CheckpointFilter) -> Result<Vec<Place>> {
        let prefix = match &filter.namespace {
            Some(namespace) => Key::of("checkpoint").text(namespace).build(),
            None => Key::of("checkpoint").build(),
        };
        let what = Selection { content: Content::Bodies, ..Selection::prefix(&prefix) };
        let mut places = Vec::new();
        let mut frames = self.0.read(vec![unit.clone()], what).await?;
        while let Some(frame) = frames.next().await {
            let Some(record) = record(frame?)? else { continue };
            let Some(place) = Place::of(unit, &record.key) else { continue };
            let before = filter.before.as_ref().is_none_or(|before| place.id < *before);
            let id = filter.id.as_ref().is_none_or(|id| place.id == *id);
            if before && id && filter.metadata_matches(&record) {
                places.push(place);
            }
        }
        places.sort();
        Ok(places)
    }
}

/// Where a checkpoint is; ordered by id first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    id: String,
    unit: UnitId,
    namespace: String,
}

impl Place {
    fn of(unit: &UnitId, key: &Key) -> Option<Self> {
        let mut parts = key.parts().into_iter();
        match (parts.next(), parts.next()) {
            (Some(KeyPart::Text(namespace)), Some(KeyPart::Text(id))) => {
                Some(Self { id, unit: unit.clone(), namespace })
            }
            _ => None,
        }
    }
}

/// A list on its way: what is known to come, and the units that were not opened yet.
struct Walk<S> {
    query: PartsQuery<S>,
    filter: CheckpointFilter,
    content: Content,
    known: BinaryHeap<Place>,
    /// Units that were looked up but not opened, greatest bound last.
    waiting: Vec<(UnitId, String)>,
    looked_up: usize,
    opened: HashSet<UnitId>,
    exhausted: bool,
    left: usize,
}

impl<S: NewestFirst> Walk<S> {
    /// Opens units until none that is not open can hold the next checkpoint.
    async fn open(&mut self) -> Result<()> {
        loop {
            if self.waiting.is_empty() && !self.exhausted {
                let units = self.query.0.newest_units(self.looked_up, UNITS_AT_ONCE).await?;
                self.looked_up += units.len();
                self.exhausted = units.len() < UNITS_AT_ONCE;
                self.waiting.extend(units.into_iter().rev());
            }
            let Some((unit, bound)) = self.waiting.last().cloned() else { return Ok(()) };
            if self.known.peek().is_some_and(|place| place.id > bound) {
                return Ok(());
            }
            self.waiting.pop();
            // A unit that moved in the order between two look-ups comes twice.
            if self.opened.insert(unit.clone()) {
                self.known.extend(self.query.places(&unit, &self.filter).await?);
            }
        }
    }

    async fn next(&mut self) -> Result<Option<CheckpointTuple>> {
        while self.left > 0 {
            self.open().await?;
            let Some(place) = self.known.pop() else { return Ok(None) };
            // One that went meanwhile is not in the list.
            if let Some(tuple) = self.query.tuple(&place, self.content).await? {
                self.left -= 1;
                return Ok(Some(tuple));
            }
        }
        Ok(None)
    }
}

#[async_trait]
impl<S: NewestFirst> LangGraphQuery for PartsQuery<S> {
    async fn latest(
        &self,
        unit: &UnitId,
        namespace: &str,
        content: Content,
    ) -> Result<Option<CheckpointTuple>> {
        let prefix = Key::of("checkpoint").text(namespace).build();
        let order = Order::Descending;
        let newest = Selection { order, content, ..Selection::prefix(&prefix) };
        self.first(unit, newest).await
    }

    async fn get(
        &self,
        unit: &UnitId,
        namespace: &str,
        id: &str,
        content: Content,
    ) -> Result<Option<CheckpointTuple>> {
        let place = Place { id: id.into(), unit: unit.clone(), namespace: namespace.into() };
        self.tuple(&place, content).await
    }

    async fn list(&self, filter: CheckpointFilter, content: Content) -> Result<Checkpoints> {
        let mut walk = Walk {
            query: Self(self.0.clone()),
            left: filter.limit.unwrap_or(usize::MAX),
            exhausted: filter.unit.is_some(),
            known: BinaryHeap::new(),
            waiting: Vec::new(),
            looked_up: 0,
            opened: HashSet::new(),
            filter,
            content,
        };
        if let Some(unit) = walk.filter.unit.clone() {
            walk.known.extend(self.places(&unit, &walk.filter).await?);
        }
        Ok(Box::pin(stream::try_unfold(walk, |mut walk| async move {
            Ok(walk.next().await?.map(|tuple| (tuple, walk)))
        })))
    }

    async fn ancestors(&self, unit: &UnitId, namespace: &str, id: &str) -> Result<Checkpoints> {
        let query = Self(self.0.clone());
        let first = Place { id: id.into(), unit: unit.clone(), namespace: namespace.into() };
        let start = (query, Some(first), HashSet::new());
        Ok(Box::pin(stream::try_unfold(start, |(query, place, mut seen)| async move {
            let Some(place) = place else { return Ok(None) };
            // Parents that lead in a circle are damage; the walk ends where it would repeat.
            if !seen.insert(place.id.clone()) {
                return Ok(None);
            }
            let Some(tuple) = query.tuple(&place, Content::All).await? else { return Ok(None) };
            let parent = tuple.checkpoint.body.get("parent").and_then(Body::as_text);
            let parent = parent.map(|id| Place { id: id.into(), ..place });
            Ok(Some((tuple, (query, parent, seen))))
        })))
    }

    async fn units_of_run(&self, run_id: &str) -> Result<Vec<UnitId>> {
        let metadata = vec![("run_id".to_string(), Body::text(run_id))];
        let filter = CheckpointFilter { metadata, ..CheckpointFilter::default() };
        let mut units = std::collections::BTreeSet::new();
        let mut found = self.list(filter, Content::Bodies).await?;
        while let Some(tuple) = found.next().await {
            units.insert(tuple?.unit);
        }
        Ok(units.into_iter().collect())
    }
}

/// Returns the prefix of the writes that wait for a checkpoint.
fn writes_of(checkpoint: &Key) -> Option<Key> {
    let place = Place::of(&UnitId::new(""), checkpoint)?;
    Some(Key::of("write").text(&place.namespace).text(&place.id).build())
}

/// Orders writes by (task path, task id, index).
fn write_order(write: &Record) -> (String, Vec<KeyPart>) {
    let path = write.body.get("path").and_then(Body::as_text).unwrap_or_default();
    (path.to_string(), write.key.parts())
}

fn record(frame: Frame) -> Result<Option<Record>> {
    match frame {
        Frame::Record(record) => Ok(Some(record)),
        Frame::Damaged { unit, place, why } => {
            let unit = unit.map_or_else(|| "unknown".to_string(), |unit| unit.to_string());
            Err(Error::new(ErrorKind::Damaged, "read a checkpoint", why)
                .with("unit", unit)
                .with("place", place))
        }
        Frame::Begin { .. } | Frame::End { .. } | Frame::Mark(_) => Ok(None),
    }
}
