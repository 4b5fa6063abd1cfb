//! Tables of tests, each gone from nobody's sight: the server forgets all when it ends.
#![allow(dead_code, reason = "each test file uses some of it")]

pub(crate) mod splits;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::TryStreamExt;
use restow_model::{Body, Dialect, Form, Key, Record, UnitId, Value};
use restow_store::{
    Address, Batch, Environment, Frame, Guard, Op, Role, Selection, Store, Then, UnitOps,
    UnitOutcome,
};
use restow_stores::engine::dynamodb::{Item, Settings, Table};
use restow_stores::layout::split::Split;

static TABLES: AtomicU32 = AtomicU32::new(0);

/// A table of its own on the server of tests.
#[derive(Clone)]
pub(crate) struct Place {
    table: String,
    pub(crate) address: Address,
    pub(crate) environment: Environment,
}

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "any"), ("AWS_SECRET_ACCESS_KEY", "any")];

/// Names a table that nobody else uses; nothing where this run does without a server.
pub(crate) fn place() -> Option<Place> {
    let endpoint = restow_testkit::servers::dynamodb()?;
    let n = TABLES.fetch_add(1, Ordering::Relaxed);
    let table = format!("restow-test-{}-{n}", std::process::id());
    let address = address(&table, &endpoint);
    Some(Place { table, address, environment: Environment::from(KEYS) })
}

fn address(table: &str, endpoint: &str) -> Address {
    let address = format!("split+dynamodb:{table}?endpoint={endpoint}");
    Address::parse(&address).expect("an address")
}

pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("work that ends")
}

impl Place {
    /// Returns the server's URL.
    pub(crate) fn endpoint(&self) -> String {
        restow_testkit::servers::dynamodb().expect("a server")
    }

    /// The same table by another way.
    pub(crate) fn at(&self, endpoint: &str) -> Self {
        Self { address: address(&self.table, endpoint), ..self.clone() }
    }

    /// The same table for a client that soon gives up.
    pub(crate) fn impatient(&self) -> Self {
        let [id, secret] = KEYS;
        let environment = Environment::from([id, secret, ("DYNAMODB_MAX_RETRIES", "1")]);
        Self { environment, ..self.clone() }
    }

    /// Opens the table to write to it, making it.
    pub(crate) async fn target(&self) -> Arc<Split> {
        let this = self.clone();
        let store = blocking(move || Split::target(&this.address, &this.environment)).await;
        let store = Arc::new(store.expect("a table"));
        store.prepare(Role::CopyTarget, "").await.expect("prepared");
        store
    }

    /// Opens the table to read it.
    pub(crate) async fn source(&self) -> Arc<Split> {
        let this = self.clone();
        let store = blocking(move || Split::source(&this.address, &this.environment)).await;
        Arc::new(store.expect("a table"))
    }

    /// Does something to the table past the layout.
    pub(crate) async fn past<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Table) -> restow_store::Result<T> + Send + 'static,
    ) -> T {
        let this = self.clone();
        let work = move || {
            let settings = Settings::parse_in(&this.address, &this.environment)?;
            work(&Table::open(settings)?)
        };
        blocking(work).await.expect("a request")
    }

    /// Reads every item of the table.
    pub(crate) async fn items(&self) -> Vec<Item> {
        self.past(|table| {
            let (mut items, mut from) = (Vec::new(), None);
            loop {
                let (some, next) = table.scan((0, 1), from.as_ref(), None)?;
                items.extend(some);
                from = match next {
                    None => return Ok(items),
                    next => next,
                };
            }
        })
        .await
    }
}

pub(crate) async fn apply(
    store: &Split,
    unit: &str,
    guard: Guard,
    ops: Vec<Op>,
    then: Then,
) -> UnitOutcome {
    let ops = UnitOps::new(UnitId::new(unit), Dialect::Any, guard, ops, then);
    let outcomes = store.apply(Batch { units: vec![ops] }).await.expect("outcomes");
    outcomes.into_iter().next().expect("an outcome")
}

pub(crate) async fn put(store: &Split, unit: &str, records: Vec<Record>) {
    let ops = records.into_iter().map(Op::put).collect();
    let outcome = apply(store, unit, Guard::Unmanaged, ops, Then::Keep).await;
    assert!(outcome.is_applied(), "{outcome:?}");
}

pub(crate) async fn frames(store: &Split, unit: &str) -> Vec<Frame> {
    let frames = store.read(vec![UnitId::new(unit)], Selection::all()).await.expect("frames");
    frames.try_collect().await.expect("no error")
}

pub(crate) async fn records(store: &Split, unit: &str) -> Vec<Record> {
    let frames = frames(store, unit).await;
    let damaged = frames.iter().find(|frame| matches!(frame, Frame::Damaged { .. }));
    assert_eq!(damaged, None);
    records_of(&frames)
}

pub(crate) fn records_of(frames: &[Frame]) -> Vec<Record> {
    let records = frames.iter().filter_map(|frame| match frame {
        Frame::Record(record) => Some(record.clone()),
        _ => None,
    });
    records.collect()
}

/// Bytes that do not compress.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed + 1);
    let words = std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(len).collect()
}

pub(crate) fn large(id: &str, seed: u64, len: usize) -> Record {
    let value = Value::new(Form::Raw, noise(seed, len).into());
    let key = Key::of("item").text(id).build();
    Record { values: vec![value.clone()], ..Record::new(key, Body::Value(value.name)) }
}
