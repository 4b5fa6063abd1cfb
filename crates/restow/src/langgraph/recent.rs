//! What was put or read last of each namespace of a thread.
//!
//! Invariant: what is kept is whole values, found by their digests or in just the checkpoint that
//! was seen, so that nothing that others do makes an entry wrong, and forgetting one costs a read.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use restow_model::{Body, Record, UnitId};
use restow_store::query::langgraph::CheckpointTuple;
use restow_stores::layout::langgraph::record::Channel;

use super::Place;

/// How many bytes of values are kept, in each of two generations.
const KEPT_BYTES_MAX: usize = 32 << 20;
/// How many checkpoints.
const KEPT_MAX: usize = 1024;

type Channels = Arc<[Channel]>;
type Namespace = (UnitId, Box<str>);

/// The checkpoints that were seen last, with their channels.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Namespace, Seen>,
    young_bytes: usize,
    old: HashMap<Namespace, Seen>,
}

#[derive(Clone, Debug)]
struct Seen {
    id: Box<str>,
    channels: Channels,
    bytes: usize,
}

impl Recent {
    /// Returns the channels of a checkpoint, if it is the one that was seen last.
    pub(super) fn get(&self, place: &Place) -> Option<Channels> {
        let seen = self.seen(&place.thread, &place.namespace)?;
        (seen.id == place.id).then_some(seen.channels)
    }

    /// Says whether any checkpoint of a namespace was seen.
    pub(super) fn knows(&self, thread: &UnitId, namespace: &str) -> bool {
        self.seen(thread, namespace).is_some()
    }

    /// Gives a checkpoint that was read without values those that the one before it had; says
    /// whether these are all.
    pub(super) fn complete(&self, found: &mut CheckpointTuple, namespace: &str) -> bool {
        let Some(seen) = self.seen(&found.unit, namespace) else { return false };
        let mut records = [&mut found.checkpoint].into_iter().chain(&mut found.writes);
        records.all(|record| complete(record, &seen.channels))
    }

    /// Keeps the channels of a checkpoint.
    pub(super) fn keep(&self, place: Place, channels: Channels) {
        let bytes: usize = channels.iter().flat_map(|c| &c.value).map(|v| v.bytes.len()).sum();
        let Place { thread, namespace, id } = place;
        let mut kept = self.held();
        if let Some(before) = kept.young.remove(&(thread.clone(), namespace.clone())) {
            kept.young_bytes -= before.bytes;
        }
        if bytes > KEPT_BYTES_MAX {
            return;
        }
        if kept.young_bytes + bytes > KEPT_BYTES_MAX || kept.young.len() >= KEPT_MAX {
            kept.old = mem::take(&mut kept.young);
            kept.young_bytes = 0;
        }
        kept.young_bytes += bytes;
        kept.young.insert((thread, namespace), Seen { id, channels, bytes });
    }

    fn seen(&self, thread: &UnitId, namespace: &str) -> Option<Seen> {
        let (key, kept) = ((thread.clone(), namespace.into()), self.held());
        kept.young.get(&key).or_else(|| kept.old.get(&key)).cloned()
    }

    fn held(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn complete(record: &mut Record, known: &[Channel]) -> bool {
    let Record { body, values, .. } = record;
    let mut is_whole = true;
    Body::each_value(body, &mut |name| {
        if values.iter().any(|value| value.name == name) {
            return;
        }
        match known.iter().flat_map(|channel| &channel.value).find(|value| value.name == name) {
            Some(value) => values.push(value.clone()),
            None => is_whole = false,
        }
    });
    is_whole
}

#[cfg(test)]
mod tests {
    use restow_model::{Form, Value};

    use super::*;

    fn channels(name: &str, bytes: Vec<u8>) -> Channels {
        let value = Some(Value::new(Form::Raw, bytes.into()));
        Arc::new([Channel { name: name.into(), version: Body::int(1), value, tag: None }])
    }

    #[test]
    fn what_was_seen_last_is_known_and_memory_is_bounded() {
        let recent = Recent::default();
        let place = |thread: &str, id: &str| Place::new(thread, "", id);
        recent.keep(place("a", "1"), channels("x", vec![1]));
        recent.keep(place("a", "2"), channels("x", vec![2]));
        assert!(recent.get(&place("a", "1")).is_none() && recent.get(&place("a", "2")).is_some());
        for n in 0..100 {
            recent.keep(place("large", &n.to_string()), channels("x", vec![0; 1 << 20]));
        }
        assert!(recent.get(&place("large", "99")).is_some());
        assert!(recent.get(&place("a", "2")).is_some(), "one entry was replaced by the next");
        for n in 0..100 {
            recent.keep(place(&n.to_string(), "1"), channels("x", vec![0; 1 << 20]));
        }
        assert!(recent.get(&place("a", "2")).is_none());
        let kept = (0..100).filter(|n| recent.knows(&UnitId::new(n.to_string()), "")).count();
        assert!((32..=64).contains(&kept), "{kept}");
        recent.keep(place("99", "2"), channels("x", vec![0; KEPT_BYTES_MAX + 1]));
        assert!(recent.get(&place("99", "2")).is_none());
    }
}
