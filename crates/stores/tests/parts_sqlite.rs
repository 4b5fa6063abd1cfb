//! `parts+sqlite` passes the suite, keeps what it was given, and names what was damaged.

use std::sync::Arc;

use restow_store::conformance::Fixture;
use restow_store::{Store, conformance};
use restow_stores::layout::parts::sqlite::PartsSqlite;

async fn fresh() -> Fixture {
    let folder = tempfile::tempdir().expect("a folder");
    let store = PartsSqlite::target(&folder.path().join("a.restow"), true).expect("a file");
    let store: Arc<dyn Store> = Arc::new(store);
    Fixture::generic(store, folder)
}

conformance!(parts_sqlite, fresh);
