//! The suite on every wrapper, and on all of them stacked over a store that keeps failing.

use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBuilder;

use super::{Fault, FaultPlan, Meter, Rate, Retry, Throttle};
use crate::clock::ManualClock;
use crate::conformance::Fixture;
use crate::memory::{MemoryOptions, MemoryStore};
use crate::{Clock, Store};

fn memory(options: MemoryOptions) -> (Arc<dyn Store>, Arc<dyn Clock>) {
    (Arc::new(MemoryStore::new(options)), Arc::new(ManualClock::default()))
}

fn policy() -> ExponentialBuilder {
    ExponentialBuilder::default().with_max_times(12)
}

async fn retry() -> Fixture {
    let (store, clock) = memory(MemoryOptions::strong());
    Fixture::generic(Arc::new(Retry::new(store, clock, policy())), ())
}

async fn retry_weakest() -> Fixture {
    let (store, clock) = memory(MemoryOptions::weakest());
    Fixture::generic(Arc::new(Retry::new(store, clock, policy())), ())
}

async fn throttle() -> Fixture {
    let (store, clock) = memory(MemoryOptions::strong());
    Fixture::generic(Arc::new(Throttle::new(store, Rate::new(10_000, clock))), ())
}

async fn meter() -> Fixture {
    let (store, clock) = memory(MemoryOptions::strong());
    Fixture::generic(Arc::new(Meter::new(store, clock)), ())
}

async fn no_fault() -> Fixture {
    let (store, clock) = memory(MemoryOptions::strong());
    Fixture::generic(Arc::new(Fault::new(store, clock, FaultPlan::default())), ())
}

async fn storm(seed: u64, options: MemoryOptions) -> Fixture {
    let (store, clock) = memory(options);
    let delay_max = Duration::from_secs(3);
    let (before, after, indeterminate, cut, delay) = (100, 100, 100, 20, 100);
    let plan = FaultPlan { seed, before, after, indeterminate, cut, damage: 0, delay, delay_max };
    let store = Fault::new(store, Arc::clone(&clock), plan);
    let store = Meter::new(Arc::new(store), Arc::clone(&clock));
    let store = Throttle::new(Arc::new(store), Rate::new(1_000_000, Arc::clone(&clock)));
    Fixture::generic(Arc::new(Retry::new(Arc::new(store), clock, policy())), ())
}

crate::conformance!(retries, retry);
crate::conformance!(retries_weakest, retry_weakest);
crate::conformance!(throttles, throttle);
crate::conformance!(meters, meter);
crate::conformance!(follows_an_empty_plan, no_fault);
crate::conformance!(survives_storm_1, || storm(1, MemoryOptions::strong()));
crate::conformance!(survives_storm_2, || storm(2, MemoryOptions::weakest()));
