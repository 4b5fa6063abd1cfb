//! Stores of a migration, and what is done to them past restow.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::Path;
use std::sync::Arc;

use futures::TryStreamExt;
use restow_model::{Control, Dialect, Digest, Generation, HomeState, Record, UnitDigest, UnitId};
use restow_store::conformance::samples;
use restow_store::{Batch, Frame, Guard, Op, Role, Selection, Store, Then, UnitOps, UnitOutcome};
use restow_stores::layout::langgraph::sqlite::LangGraphSqlite;
use restow_stores::layout::parts::sqlite::PartsSqlite;

/// Which layout of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    LangGraph,
    Parts,
}

impl Layout {
    pub(crate) const ALL: [Self; 2] = [Self::LangGraph, Self::Parts];

    /// Opens a file to write to.
    pub(crate) fn open(self, path: &Path) -> Arc<dyn Store> {
        match self {
            Self::LangGraph => Arc::new(LangGraphSqlite::target(path, true).expect("a file")),
            Self::Parts => Arc::new(PartsSqlite::target(path, true).expect("a file")),
        }
    }

    /// Returns the statement that changes the stored control record of a unit, but for its end.
    pub(crate) fn control(self) -> &'static str {
        match self {
            Self::LangGraph => "restow_control SET record",
            Self::Parts => "restow_unit SET control",
        }
    }
}

pub(crate) fn record(n: usize, seed: u64) -> Record {
    samples::langgraph(seed, n + 1).swap_remove(n)
}

pub(crate) fn digest(records: &[Record]) -> UnitDigest {
    let mut sum = UnitDigest::default();
    records.iter().for_each(|record| sum.merge(&record.summed()));
    sum
}

pub(crate) fn control(state: HomeState, term: u64, seq: u64) -> Control {
    Control {
        state,
        generation: Generation { term, seq },
        epoch: 1,
        op_id: Digest::default(),
        tombstone: false,
        digest: UnitDigest::default(),
        migration: "m".into(),
        store: "here".into(),
        counterpart: "there".into(),
    }
}

pub(crate) fn ops(unit: &str, guard: Guard, ops: Vec<Op>, then: Then) -> UnitOps {
    UnitOps::new(UnitId::new(unit), Dialect::Python, guard, ops, then)
}

/// Makes a unit live here with one record.
pub(crate) fn live(unit: &str) -> UnitOps {
    let put = ops(unit, Guard::Absent, vec![Op::put(record(0, 1))], Then::Keep);
    UnitOps { control: Some(Box::new(control(HomeState::Live, 1, 1))), ..put }
}

/// Makes a write under the first term.
pub(crate) fn write(unit: &str, since: u64, n: usize, seed: u64) -> UnitOps {
    let guard = Guard::LiveAt { term: 1, since };
    let op_id = Some(Digest::of(format!("{unit} {n} {seed}").as_bytes()));
    UnitOps { op_id, ..ops(unit, guard, vec![Op::put(record(n, seed))], Then::Bump) }
}

pub(crate) async fn apply(store: &dyn Store, units: Vec<UnitOps>) -> Vec<UnitOutcome> {
    store.apply(Batch { units }).await.expect("an answer")
}

pub(crate) async fn read(store: &dyn Store, units: &[&str]) -> Vec<Frame> {
    let units = units.iter().map(|unit| UnitId::new(*unit)).collect();
    let frames = store.read(units, Selection::all()).await.expect("frames");
    frames.try_collect().await.expect("no error")
}

/// Makes units live in a store that is prepared for a migration.
pub(crate) async fn prepared(store: &dyn Store, units: &[&str]) {
    store.prepare(Role::Source, "here").await.expect("tables");
    let outcomes = apply(store, units.iter().map(|unit| live(unit)).collect()).await;
    assert!(outcomes.iter().all(UnitOutcome::is_applied), "{outcomes:?}");
}
