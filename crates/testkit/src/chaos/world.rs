//! The stores that chaos is made on, and what units hold: elements, each the pending write of a
//! thread, so that LangGraph's own layouts hold them too.

use std::sync::Arc;

use clap::ValueEnum;
use restow::live::{Pair, Router, RouterOptions, Rules, Side};
use restow::model::{Body, Form, Key, KeyPart, Map, Record, UnitId, Value};
use restow::store::wrap::fault::{Fault, FaultPlan};
use restow::{Access, Address, Environment, Result, Store};

use super::clock::MachineClock;

/// The migration's name.
pub const MIGRATION: &str = "chaos";
/// The element that every second unit begins with.
pub const SEED: &str = "seed";
/// The key of what was added last alone.
const LAST: &str = "last";

/// Between which stores units move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stores {
    /// LangGraph's own tables, from SQLite to PostgreSQL.
    SqlitePostgres,
    /// From LangGraph's own tables in PostgreSQL to the compact layout on the same server.
    PostgresParts,
    /// From LangGraph's own tables to the compact layout, both on SQLite.
    SqliteParts,
    /// From LangGraph's own tables in SQLite to a table in DynamoDB.
    SqliteSplit,
}

impl Stores {
    /// Every pair.
    pub const ALL: [Self; 4] =
        [Self::SqlitePostgres, Self::PostgresParts, Self::SqliteParts, Self::SqliteSplit];

    /// Says whether a server of PostgreSQL's is needed.
    pub fn needs_postgres(self) -> bool {
        matches!(self, Self::SqlitePostgres | Self::PostgresParts)
    }

    /// Says whether a server of DynamoDB's is needed.
    pub fn needs_dynamodb(self) -> bool {
        self == Self::SqliteSplit
    }

    /// Returns the addresses of source and target, given a folder and the URL of the server that
    /// is needed.
    pub fn addresses(self, folder: &std::path::Path, server: &str) -> [String; 2] {
        let file =
            |layout: &str, name: &str| format!("{layout}+sqlite:{}", folder.join(name).display());
        let there = |layout| crate::postgres::address_of(server, layout);
        match self {
            Self::SqlitePostgres => [file("langgraph", "source.db"), there("langgraph")],
            Self::PostgresParts => [there("langgraph"), there("parts")],
            Self::SqliteParts => [file("langgraph", "source.db"), file("parts", "target.restow")],
            Self::SqliteSplit => {
                let table = folder.file_name().unwrap_or_default().display().to_string();
                let table = format!("split+dynamodb:{table}?endpoint={server}");
                [file("langgraph", "source.db"), table]
            }
        }
    }
}

/// Opens a store, making it where it is not there.
pub async fn open(address: &str) -> Result<Arc<dyn Store>> {
    let address = Address::parse(address)?;
    // Servers of tests take any.
    let keys = [("AWS_ACCESS_KEY_ID", "any"), ("AWS_SECRET_ACCESS_KEY", "any")];
    Ok(restow::open(&address, Access::Write, &Environment::from(keys)).await?.store)
}

/// Opens both stores for the migration; `faults` says how often what goes wrong.
pub async fn pair(addresses: &[String; 2], faults: Option<&FaultPlan>) -> Result<Pair> {
    let wrapped = |store: Arc<dyn Store>, side: Side| -> Arc<dyn Store> {
        match faults {
            None => store,
            Some(plan) => {
                let seed = plan.seed.wrapping_mul(2).wrapping_add(u64::from(side == Side::Target));
                let plan = FaultPlan { seed, ..plan.clone() };
                Arc::new(Fault::new(store, Arc::new(MachineClock), plan))
            }
        }
    };
    let source = wrapped(open(&addresses[0]).await?, Side::Source);
    let target = wrapped(open(&addresses[1]).await?, Side::Target);
    Pair::open(MIGRATION, (source, "source"), (target, "target")).await
}

/// Opens a router over both stores, under a name of its own; `rules` are those that it keeps.
pub async fn router(pair: Pair, name: &str, rules: Rules) -> Result<Router> {
    let mut options = RouterOptions::new(name, Arc::new(MachineClock));
    options.protocol.rules = rules;
    Router::open(pair, options).await
}

/// Names a unit.
pub fn unit(number: u64) -> UnitId {
    UnitId::new(format!("thread-{number:05}"))
}

/// The unit that grows: each write to it adds so many records that a few of them are more than
/// one lap.
pub const LARGE: u64 = 0;
/// So many elements each of its writes adds.
pub const LARGE_ADDS: usize = 60;

/// Says whether a unit is there before the migration begins.
pub fn is_seeded(number: u64) -> bool {
    number.is_multiple_of(2)
}

/// Makes the record of an element.
pub fn element(name: &str) -> Record {
    // Most are small; some come in parts.
    let bytes = if name.ends_with('7') { 6000 } else { 0 };
    record(name, &format!("{name}{}", "x".repeat(bytes)))
}

/// Makes the record of what was added last alone.
pub fn last(name: &str) -> Record {
    record(LAST, name)
}

fn record(task: &str, text: &str) -> Record {
    let mut bytes = vec![0xda];
    bytes.extend_from_slice(&(text.len() as u16).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
    let value = Value::new(Form::Msgpack, bytes.into());
    let body = Body::Map(Map::from([
        ("channel", Body::text("messages")),
        ("tag", Body::text("msgpack")),
        ("value", Body::Value(value.name)),
        ("path", Body::text("")),
    ]));
    let key = Key::of("write").text("").text("c").text(task).int(0).build();
    Record { values: vec![value], ..Record::new(key, body) }
}

/// Returns the name of the element under a key; nothing where it is that of the last.
pub fn element_of(key: &Key) -> Option<String> {
    match key.parts().into_iter().nth(2) {
        Some(KeyPart::Text(name)) if name != LAST => Some(name),
        _ => None,
    }
}

/// Says whether a key is that of what was added last alone.
pub fn is_last(key: &Key) -> bool {
    element_of(key).is_none()
}

/// Returns the text of a record's value.
pub fn text_of(record: &Record) -> String {
    let bytes = record.values.first().map(|value| value.bytes.slice(3..)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
