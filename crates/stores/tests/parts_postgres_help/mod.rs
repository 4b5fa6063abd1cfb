//! Stores on databases of their own, and what is done to them past restow.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::sync::Arc;

use restow_model::{Body, Dialect, Form, Key, Record, UnitId, Value};
use restow_store::{
    Address, Batch, Frame, Frames, Guard, Op, Role, Selection, Store, Then, UnitOps, UnitOutcome,
};
use restow_stores::engine::postgres::{Server, Settings};
use restow_stores::layout::parts::postgres::PartsPostgres;
use restow_testkit::postgres::Database;

/// Runs what blocks on a thread that may.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("the work ends")
}

/// Makes a database; nothing where this run does without a server.
pub(crate) async fn database(options: &'static str) -> Option<Arc<Database>> {
    blocking(move || Database::create_with(options)).await.map(Arc::new)
}

pub(crate) fn server(database: &Database) -> Server {
    server_of(&database.address("parts"))
}

pub(crate) fn server_of(address: &str) -> Server {
    let address = Address::parse(address).expect("an address");
    Server::new(Settings::parse(&address).expect("an address of a server"))
}

/// Opens a store that has its tables.
pub(crate) async fn target(database: &Database) -> Arc<PartsPostgres> {
    let server = server(database);
    let store = blocking(move || PartsPostgres::target(server)).await.expect("a store");
    store.prepare(Role::CopyTarget, "").await.expect("tables");
    Arc::new(store)
}

/// Does something with a connection past restow.
pub(crate) async fn past<T: Send + 'static>(
    database: &Arc<Database>,
    work: impl FnOnce(&mut postgres::Client) -> T + Send + 'static,
) -> T {
    let database = database.clone();
    blocking(move || work(&mut database.connect())).await
}

/// Counts what a statement finds.
pub(crate) async fn count(database: &Arc<Database>, sql: &'static str) -> i64 {
    past(database, move |client| client.query_one(sql, &[]).expect(sql).get(0)).await
}

/// A checkpoint whose one value is a list of so many messages, as msgpack.
pub(crate) fn turn(messages: usize) -> Record {
    let mut bytes = vec![0xdd];
    bytes.extend((messages as u32).to_be_bytes());
    for n in 0..messages {
        // Different text all along; about 120 bytes.
        let text: String = (0..15).map(|i| format!("{:07x} ", n * 7919 + i * 104_729)).collect();
        bytes.push(0xd9);
        bytes.push(text.len() as u8);
        bytes.extend(text.as_bytes());
    }
    let value = Value::new(Form::Msgpack, bytes.into());
    let key = Key::of("checkpoint").text("").text(&format!("{messages:08}")).build();
    Record { values: vec![value.clone()], ..Record::new(key, Body::Value(value.name)) }
}

pub(crate) fn ops(unit: &str, guard: Guard, records: Vec<Record>, then: Then) -> UnitOps {
    let ops = records.into_iter().map(Op::put).collect();
    UnitOps::new(UnitId::new(unit), Dialect::Python, guard, ops, then)
}

pub(crate) async fn apply(store: &dyn Store, ops: UnitOps) -> UnitOutcome {
    let outcomes = store.apply(Batch { units: vec![ops] }).await.expect("an answer");
    outcomes.into_iter().next().expect("one outcome a unit")
}

pub(crate) async fn apply_all(store: &dyn Store, units: Vec<UnitOps>) -> Vec<UnitOutcome> {
    store.apply(Batch { units }).await.expect("an answer")
}

pub(crate) async fn put(store: &dyn Store, unit: &str, records: Vec<Record>) {
    let outcome = apply(store, ops(unit, Guard::Unmanaged, records, Then::Keep)).await;
    assert!(outcome.is_applied(), "{outcome:?}");
}

pub(crate) async fn frames(store: &dyn Store, unit: &str) -> Vec<Frame> {
    collect(store.read(vec![UnitId::new(unit)], Selection::all()).await.expect("frames")).await
}

pub(crate) async fn collect(frames: Frames) -> Vec<Frame> {
    futures::TryStreamExt::try_collect(frames).await.expect("no error")
}

pub(crate) async fn records(store: &dyn Store, unit: &str) -> Vec<Record> {
    let records = frames(store, unit).await.into_iter().filter_map(|frame| match frame {
        Frame::Record(record) => Some(record),
        _ => None,
    });
    records.collect()
}
