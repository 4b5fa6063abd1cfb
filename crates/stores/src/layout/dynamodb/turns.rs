//! Turns of the writers of one process: those of one unit would only make each other begin again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use restow_model::{Digest, UnitId};

/// How many units may be written at once at the most; units that share a turn wait for each other.
const TURNS: u64 = 256;

/// Hands out turns; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<[Mutex<()>]>);

impl Default for Turns {
    fn default() -> Self {
        Self((0..TURNS).map(|_| Mutex::new(())).collect())
    }
}

impl Turns {
    /// Waits for a unit's turn, which ends when this is dropped; nobody takes two.
    pub(super) fn of(&self, unit: &UnitId) -> MutexGuard<'_, ()> {
        let number = Digest::of(unit.as_str().as_bytes()).short() % TURNS;
        self.0[number as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
