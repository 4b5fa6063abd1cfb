//! The suite on the memory store itself: the strongest, the weakest, the plainest.

use std::sync::Arc;

use super::{MemoryOptions, MemoryStore};
use crate::conformance::Fixture;

async fn fixture(options: MemoryOptions) -> Fixture {
    let store = MemoryStore::new(options);
    let damaged = store.clone();
    Fixture::generic(Arc::new(store), ()).with_damage(Box::new(move |unit, key| {
        damaged.damage(&unit, &key, "made so by a test");
        Box::pin(async {})
    }))
}

async fn langgraph() -> Fixture {
    let kinds = Some(&["checkpoint", "write"][..]);
    let options = MemoryOptions { kinds, ..MemoryOptions::strong() };
    Fixture::langgraph(Arc::new(MemoryStore::new(options)), ())
}

crate::conformance!(strong, || fixture(MemoryOptions::strong()));
crate::conformance!(weakest, || fixture(MemoryOptions::weakest()));
crate::conformance!(plain, || fixture(MemoryOptions::plain()));
crate::conformance!(narrow, langgraph);
