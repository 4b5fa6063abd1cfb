//! Stores on databases of their own, and what is done to them past restow.

use std::sync::Arc;

use restow_model::{Body, Dialect, Form, Key, Record, Token, UnitId, Value};
use restow_store::{
    Address, Batch, Frame, Frames, Guard, Op, Role, Selection, Store, Then, UnitOps, UnitOutcome,
};
use restow_stores::engine::postgres::{Server, Settings};
use restow_stores::layout::parts::postgres::PartsPostgres;
use restow_testkit::postgres::Database;

/// Options of a database whose own order of text is nothing like that of its bytes.
pub const ICU: &str = "LOCALE_PROVIDER icu ICU_LOCALE 'en-US' TEMPLATE template0";

/// Runs what blocks on a thread that may.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("the work ends")
}

/// Makes a database; nothing where this run does without a server.
pub async fn database(options: &'static str) -> Option<Arc<Database>> {
    blocking(move || Database::create_with(options)).await.map(Arc::new)
}

pub fn server(database: &Database) -> Server {
    let address: Address = Address::parse(&database.address("parts")).expect("an address");
    Server::new(Settings::parse(&address).expect("an address of a server"))
}

/// Opens a store that has its tables.
pub async fn target(database: &Database) -> Arc<PartsPostgres> {
    let server = server(database);
    let store = blocking(move || PartsPostgres::target(server)).await.expect("a store");
    store.prepare(Role::CopyTarget, "").await.expect("tables");
    Arc::new(store)
}

/// Runs a statement past restow; returns the number of rows.
pub async fn execute(database: &Arc<Database>, sql: &'static str) -> u64 {
    let database = database.clone();
    blocking(move || database.connect().execute(sql, &[]).expect(sql)).await
}

/// Waits until a statement is kept waiting by another transaction's lock.
pub fn until_one_waits(observer: &mut postgres::Client) {
    let sql = "SELECT count(*) FROM pg_locks WHERE NOT granted \
               AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())";
    while observer.query_one(sql, &[]).expect("the locks").get::<_, i64>(0) == 0 {
        std::thread::yield_now();
    }
}

/// A checkpoint whose one value is a list of so many messages, as msgpack.
pub fn turn(messages: usize) -> Record {
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

/// A record of so many bytes that do not compress.
pub fn bulky(n: i64, bytes: usize) -> Record {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(n as u64 + 1);
    let mut body = Vec::with_capacity(bytes);
    while body.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        body.extend_from_slice(&state.to_le_bytes());
    }
    Record::new(Key::of("item").int(n).build(), Body::Bytes(body.into()))
}

pub fn ops(unit: &str, guard: Guard, records: Vec<Record>, then: Then) -> UnitOps {
    let ops = records.into_iter().map(Op::put).collect();
    UnitOps::new(UnitId::new(unit), Dialect::Python, guard, ops, then)
}

pub async fn apply(store: &dyn Store, ops: UnitOps) -> UnitOutcome {
    let outcomes = store.apply(Batch { units: vec![ops] }).await.expect("an answer");
    outcomes.into_iter().next().expect("one outcome a unit")
}

pub async fn put(store: &dyn Store, unit: &str, records: Vec<Record>) {
    let outcome = apply(store, ops(unit, Guard::Unmanaged, records, Then::Keep)).await;
    assert!(outcome.is_applied(), "{outcome:?}");
}

pub fn token(text: &str) -> Token {
    Token::new(text)
}

pub async fn frames(store: &dyn Store, unit: &str) -> Vec<Frame> {
    collect(store.read(vec![UnitId::new(unit)], Selection::all()).await.expect("frames")).await
}

pub async fn collect(frames: Frames) -> Vec<Frame> {
    futures::TryStreamExt::try_collect(frames).await.expect("no error")
}

pub async fn records(store: &dyn Store, unit: &str) -> Vec<Record> {
    let records = frames(store, unit).await.into_iter().filter_map(|frame| match frame {
        Frame::Record(record) => Some(record),
        _ => None,
    });
    records.collect()
}
