//! `langgraph+postgres` passes the suite, under any collation of the database.
#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests are tests, too")]

use std::sync::Arc;

use futures::future::BoxFuture;
use restow_model::{Key, KeyPart, UnitId};
use restow_store::conformance::Fixture;
use restow_store::{Address, Store, conformance};
use restow_stores::engine::postgres::{Server, Settings};
use restow_stores::layout::langgraph::postgres::LangGraphPostgres;
use restow_testkit::postgres::Database;

async fn fresh() -> Fixture {
    fixture("").await
}

/// In this collation `a` stands before `B`, and punctuation hardly counts.
async fn fresh_of_another_collation() -> Fixture {
    fixture("LOCALE_PROVIDER icu ICU_LOCALE 'en-US' TEMPLATE template0").await
}

async fn fixture(options: &'static str) -> Fixture {
    let made = tokio::task::spawn_blocking(move || {
        let database = Database::create_with(options).expect("a server");
        let address = Address::parse(&database.address("langgraph")).expect("an address");
        let server = Server::new(Settings::parse(&address).expect("settings"));
        let store = LangGraphPostgres::target(server).expect("a database");
        (store, Arc::new(database))
    });
    let (store, database) = made.await.expect("a thread");
    let store: Arc<dyn Store> = Arc::new(store);
    let held = database.clone();
    let damage = move |unit: UnitId, key: Key| -> BoxFuture<'static, ()> {
        let database = held.clone();
        Box::pin(async move {
            let work = move || damage(&database, &unit, &key);
            tokio::task::spawn_blocking(work).await.expect("a thread");
        })
    };
    Fixture::langgraph(store, database).with_damage(Box::new(damage))
}

fn damage(database: &Database, unit: &UnitId, key: &Key) {
    let parts = key.parts();
    let [KeyPart::Text(namespace), KeyPart::Text(id)] = parts.as_slice() else {
        panic!("{key} is no key of a checkpoint");
    };
    let sql = "UPDATE checkpoints SET checkpoint = checkpoint || '{\"channel_values\": 7}' \
               WHERE (thread_id, checkpoint_ns, checkpoint_id) = ($1, $2, $3)";
    let changed = database.connect().execute(sql, &[&unit.as_str(), namespace, id]);
    assert_eq!(changed.expect("an update"), 1);
}

conformance!(langgraph_postgres, fresh);
conformance!(langgraph_postgres_collated, fresh_of_another_collation);
