//! `parts+postgres` passes the suite, keeps writers apart, and names what was damaged.
#![allow(clippy::expect_used, reason = "a test ends loudly where it cannot go on")]

mod parts_postgres_help;

use std::sync::Arc;

use restow_store::conformance;
use restow_store::conformance::Fixture;
use restow_store::memory::{MemoryOptions, MemoryStore};
use restow_stores::layout::parts::postgres::PartsPostgres;

use parts_postgres_help::*;

/// A store on a database of its own; where this run does without a server, the reference.
async fn fixture(options: &'static str) -> Fixture {
    let Some(database) = database(options).await else {
        return Fixture::generic(Arc::new(MemoryStore::new(MemoryOptions::strong())), ());
    };
    let server = server(&database);
    let store = blocking(move || PartsPostgres::target(server)).await.expect("a store");
    Fixture::generic(Arc::new(store), database)
}

async fn fresh() -> Fixture {
    fixture("").await
}

async fn other_collation() -> Fixture {
    fixture(ICU).await
}

conformance!(parts_postgres, fresh);
conformance!(parts_postgres_in_another_collation, other_collation);
