//! Writes of one unit that come at once are made together: one apply, one entry in the journal.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use restow_model::{Dialect, UnitId};
use restow_store::{Error, Op, Result, Then};
use tokio::sync::oneshot;

use crate::writer::Write;
use crate::{Router, Written};

/// So many bytes of records are written together.
const BYTES_MAX: usize = 1 << 20;

/// The writes that wait for their turn, by unit.
#[derive(Debug, Default)]
pub(crate) struct Combiner {
    lines: Mutex<HashMap<UnitId, Arc<Line>>>,
}

/// The writes of a unit: one call has the turn and makes what waits, its own write among it.
#[derive(Debug, Default)]
struct Line {
    turn: tokio::sync::Mutex<()>,
    waiting: Mutex<Vec<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    dialect: Dialect,
    ops: Vec<Op>,
    answer: oneshot::Sender<Result<Written>>,
}

impl Waiting {
    fn weight(&self) -> usize {
        let weight = |op: &Op| match op {
            Op::Put { record, .. } => record.weight(),
            Op::Remove { .. } | Op::Clear => 0,
        };
        self.ops.iter().map(weight).sum()
    }
}

impl Combiner {
    /// Makes a write, together with those of the same unit that wait by then.
    ///
    /// A call that is given up while another one makes its write leaves the write to be made.
    pub(crate) async fn write(
        &self,
        router: &Router,
        unit: &UnitId,
        dialect: Dialect,
        ops: Vec<Op>,
    ) -> Result<Written> {
        let line = Arc::clone(held(&self.lines).entry(unit.clone()).or_default());
        let (answer, mut answered) = oneshot::channel();
        held(&line.waiting).push(Waiting { dialect, ops, answer });
        let turn = line.turn.lock().await;
        let written = match answered.try_recv() {
            Ok(written) => written,
            // Whoever took it along was given up in the middle.
            Err(oneshot::error::TryRecvError::Closed) => Ok(Written::Indeterminate),
            Err(oneshot::error::TryRecvError::Empty) => {
                line.make_all(router, unit).await;
                answered.await.unwrap_or(Ok(Written::Indeterminate))
            }
        };
        drop(turn);
        drop(line);
        self.forget(unit);
        written
    }

    /// Forgets a line that nobody stands in.
    fn forget(&self, unit: &UnitId) {
        let mut lines = held(&self.lines);
        if lines.get(unit).is_some_and(|line| Arc::strong_count(line) == 1) {
            lines.remove(unit);
        }
    }
}

impl Line {
    /// Makes everything that waits, in the order in which it came.
    async fn make_all(&self, router: &Router, unit: &UnitId) {
        loop {
            let together = self.take();
            if together.is_empty() {
                return;
            }
            make(router, unit, together).await;
        }
    }

    /// Takes the first writes that go together.
    fn take(&self) -> Vec<Waiting> {
        let mut waiting = held(&self.waiting);
        let mut bytes = 0;
        let fits = waiting.iter().position(|next| {
            let is_first = bytes == 0;
            bytes += next.weight().max(1);
            !is_first && (bytes > BYTES_MAX || next.dialect != waiting[0].dialect)
        });
        let count = fits.unwrap_or(waiting.len());
        waiting.drain(..count).collect()
    }
}

/// Makes writes as one, or, where that cannot be, each alone.
async fn make(router: &Router, unit: &UnitId, together: Vec<Waiting>) {
    if let [_, _, ..] = &together[..] {
        let ops = together.iter().flat_map(|one| one.ops.iter().cloned()).collect();
        let written = write(router, unit, together[0].dialect, ops).await;
        if let Some(written) = shared(&written) {
            for one in together {
                // Who is not there any more does not want to know.
                drop(one.answer.send(written.copy()));
            }
            return;
        }
    }
    for one in together {
        drop(one.answer.send(write(router, unit, one.dialect, one.ops).await));
    }
}

async fn write(router: &Router, unit: &UnitId, dialect: Dialect, ops: Vec<Op>) -> Result<Written> {
    let op_id = router.next_id();
    let write = Write { dialect, ops: ops.into(), then: Then::Bump, op_id };
    router.write_one(unit, write).await
}

/// What holds for all that were made together.
enum Shared<'a> {
    Written(&'a Written),
    Failed(&'a Error),
}

/// Says what holds for all; nothing where none was made, and each may be made alone.
fn shared(written: &Result<Written>) -> Option<Shared<'_>> {
    match written {
        Ok(Written::Conflict(..) | Written::TooLarge) => None,
        Ok(written) => Some(Shared::Written(written)),
        Err(error) if error.is_retryable() => Some(Shared::Failed(error)),
        Err(_) => None,
    }
}

impl Shared<'_> {
    fn copy(&self) -> Result<Written> {
        match self {
            Self::Written(written) => Ok((*written).clone()),
            Self::Failed(error) => {
                let copy = Error::new(error.kind(), error.operation(), error.message());
                let context = error.context().iter().cloned();
                Err(context.fold(copy, |copy, (name, value)| copy.with(name, value)))
            }
        }
    }
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
