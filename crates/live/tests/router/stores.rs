//! Stores that are not the ones that a migration began with.

use restow_live::config::Held;
use restow_store::{Error, ErrorKind};

use super::*;

/// A migration that has begun, with one unit of its two at the target, and its source.
async fn begun() -> (World, Held) {
    let world = world(2, strong(), moving(0)).await;
    let pair = world.router.pair();
    let held = pair.config().await.expect("a configuration");
    let held = pair.configure(&held, moving(5000)).await.expect("a configuration");
    let moved = world.router.move_to(&unit(), Side::Target).await.expect("a move");
    assert_eq!(moved, Moved::There);
    (world, held)
}

async fn open_with(world: &World, target: &MemoryStore) -> Result<Pair, Error> {
    let source = Arc::new(world.source.clone());
    Pair::open("m", (source, "s"), (Arc::new(target.clone()), "another")).await
}

/// A target that is gone is not taken for one that holds nothing: the source's copies are stale.
#[tokio::test]
async fn an_empty_store_is_not_the_target() {
    let (world, held) = begun().await;
    let empty = MemoryStore::new(MemoryOptions::strong());
    let (source, target) = (Arc::new(world.source.clone()), Arc::new(empty.clone()));
    let found = Pair::find("m", source, target).await.map(|_| ());
    let opened = open_with(&world, &empty).await.map(|_| ());
    for refused in [found, opened] {
        assert_eq!(refused.expect_err("a refusal").kind(), ErrorKind::Refused);
    }
    let pair = world.router.pair();
    pair.configure(&held, Config { lost: true, ..moving(0) }).await.expect("a configuration");
    open_with(&world, &empty).await.expect("nobody looks for a target that was given up");
}

/// Nor is a store that was made ready for something else: a unit names the one it lives in.
#[tokio::test]
async fn another_store_is_not_the_target() {
    let (world, held) = begun().await;
    let pair = world.router.pair();
    let off = Config { phase: Phase::Off, ..moving(0) };
    let held = pair.configure(&held, off).await.expect("a configuration");
    let other = MemoryStore::new(MemoryOptions::strong());
    let wrong = open_with(&world, &other).await.expect("a store that is made ready");
    pair.configure(&held, moving(0)).await.expect("a configuration");
    let options = RouterOptions::new("wrong", Arc::new(ManualClock::default()));
    let wrong = Router::with_config(wrong, moving(0), options);
    let refused = wrong.write(&unit(), put(0, "late")).await.expect_err("a refusal");
    assert_eq!(refused.kind(), ErrorKind::Refused);
    assert_eq!(home(&world).await, Some(Side::Target));
}
