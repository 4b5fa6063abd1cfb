//! `langgraph+postgres` passes the suite, under any collation of the database.
#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests are tests, too")]

use std::sync::Arc;

use futures::future::BoxFuture;
use restow_model::{Key, KeyPart, UnitId};
use restow_store::conformance::Fixture;
use restow_store::memory::{MemoryOptions, MemoryStore};
use restow_store::{Address, Store, conformance};
use restow_stores::engine::postgres::{Server, Settings};
use restow_stores::layout::langgraph::postgres::LangGraphPostgres;
use restow_testkit::postgres::Schema;

async fn fresh() -> Fixture {
    fixture(Schema::create).await
}

async fn collated() -> Fixture {
    fixture(Schema::create_collated).await
}

/// A store in a schema of its own; where this run does without a server, the reference.
async fn fixture(make: fn() -> Option<Schema>) -> Fixture {
    let made = tokio::task::spawn_blocking(move || {
        let schema = make()?;
        let address = Address::parse(&schema.address("langgraph")).expect("an address");
        let server = Server::new(Settings::parse(&address).expect("settings"));
        let store = LangGraphPostgres::target(server).expect("a database");
        Some((store, Arc::new(schema)))
    });
    let Some((store, schema)) = made.await.expect("a thread") else {
        return Fixture::generic(Arc::new(MemoryStore::new(MemoryOptions::strong())), ());
    };
    let store: Arc<dyn Store> = Arc::new(store);
    let held = schema.clone();
    let damage = move |unit: UnitId, key: Key| -> BoxFuture<'static, ()> {
        let schema = held.clone();
        Box::pin(async move {
            let work = move || damage(&schema, &unit, &key);
            tokio::task::spawn_blocking(work).await.expect("a thread");
        })
    };
    Fixture::langgraph(store, schema).with_damage(Box::new(damage))
}

fn damage(schema: &Schema, unit: &UnitId, key: &Key) {
    let parts = key.parts();
    let [KeyPart::Text(namespace), KeyPart::Text(id)] = parts.as_slice() else {
        panic!("{key} is no key of a checkpoint");
    };
    let sql = "UPDATE checkpoints SET checkpoint = checkpoint || '{\"channel_values\": 7}' \
               WHERE (thread_id, checkpoint_ns, checkpoint_id) = ($1, $2, $3)";
    let changed = schema.connect().execute(sql, &[&unit.as_str(), namespace, id]);
    assert_eq!(changed.expect("an update"), 1);
}

conformance!(langgraph_postgres, fresh);
conformance!(langgraph_postgres_collated, collated);
