//! Watching the steps: what a test holds back to order them, and what a log tells of them.

use std::fmt::Debug;

use async_trait::async_trait;
use restow_model::UnitId;

use crate::{Side, Step};

/// Is told of every look and every step before it is taken, and may hold it back.
#[async_trait]
pub trait Watch: Debug + Send + Sync + 'static {
    /// Is called before a step at a store.
    async fn before(&self, step: Step, at: Side, unit: &UnitId);
}

/// Lets every step go on at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

#[async_trait]
impl Watch for Unwatched {
    async fn before(&self, _: Step, _: Side, _: &UnitId) {}
}
