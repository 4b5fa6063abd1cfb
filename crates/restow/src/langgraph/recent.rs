//! The channels of the checkpoints that were put or read last.
//!
//! Invariant: what is kept is whole values, so that an entry that others made old gives what its
//! checkpoint held when it was seen, and forgetting one costs a read.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use restow_stores::layout::langgraph::record::Channel;

use super::Place;

/// How many bytes of values are kept, in each of two generations.
const KEPT_BYTES_MAX: usize = 32 << 20;
/// How many checkpoints.
const KEPT_MAX: usize = 1024;

type Channels = Arc<[Channel]>;

/// The channels of recent checkpoints, by place.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Place, Channels>,
    young_bytes: usize,
    old: HashMap<Place, Channels>,
}

impl Recent {
    /// Returns the channels of a checkpoint, if they are kept.
    pub(super) fn get(&self, place: &Place) -> Option<Channels> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.young.get(place).or_else(|| kept.old.get(place)).cloned()
    }

    /// Keeps the channels of a checkpoint.
    pub(super) fn keep(&self, place: Place, channels: Channels) {
        let bytes: usize = channels.iter().flat_map(|c| &c.value).map(|v| v.bytes.len()).sum();
        if bytes > KEPT_BYTES_MAX {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.young_bytes + bytes > KEPT_BYTES_MAX || kept.young.len() >= KEPT_MAX {
            kept.old = mem::take(&mut kept.young);
            kept.young_bytes = 0;
        }
        kept.young_bytes += bytes;
        kept.young.insert(place, channels);
    }
}
