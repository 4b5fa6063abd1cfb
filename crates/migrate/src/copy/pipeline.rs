//! The batches of a lane on their way: one is applied while the one before it is read back, and
//! the lane gathers the next one meanwhile.
//!
//! Invariants:
//! - A batch is settled, and saved, after those that were sent before it.
//! - What all lanes have on its way is bounded by bytes, or one batch where it is larger.

use std::collections::VecDeque;
use std::sync::Arc;

use restow_store::{Cursor, Error, ErrorKind, Result};
use tokio::task::JoinHandle;

use super::account::Account;
use super::current::Whole;
use super::shared::Shared;
use crate::limits::UNDER_WAY_MAX;

pub(super) struct Pipeline {
    shared: Arc<Shared>,
    under_way: VecDeque<UnderWay>,
}

struct UnderWay {
    behind: Option<Cursor>,
    work: JoinHandle<(Account, Result<()>)>,
}

/// A batch that came to its end.
pub(super) struct Ended {
    /// The place behind which nothing of the batch, or of one before it, lies.
    pub(super) behind: Option<Cursor>,
    pub(super) account: Account,
    pub(super) result: Result<()>,
}

impl Pipeline {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, under_way: VecDeque::new() }
    }

    /// Says whether a batch has to end before another is sent.
    pub(super) fn is_full(&self) -> bool {
        self.under_way.len() >= UNDER_WAY_MAX
    }

    /// Sends a batch on its way; `behind` is where to go on when it has ended.
    pub(super) async fn send(&mut self, batch: Vec<Whole>, behind: Option<Cursor>) -> Result<()> {
        let room = self.shared.room(batch.iter().map(|whole| whole.heft).sum()).await?;
        let mut account = Account::new(self.shared.clone());
        let work = tokio::spawn(async move {
            let result = account.write(batch).await;
            drop(room);
            (account, result)
        });
        self.under_way.push_back(UnderWay { behind, work });
        Ok(())
    }

    /// Waits for the end of the oldest batch; `None` where nothing is on its way.
    pub(super) async fn end(&mut self) -> Result<Option<Ended>> {
        let Some(UnderWay { behind, work }) = self.under_way.pop_front() else { return Ok(None) };
        match work.await {
            Ok((account, result)) => Ok(Some(Ended { behind, account, result })),
            Err(stopped) => {
                let message = "a batch stopped unexpectedly; this is a defect of restow";
                Err(Error::new(ErrorKind::Failed, "copy units", message).because(stopped))
            }
        }
    }

    /// Waits until nothing is on its way; returns what came of it.
    pub(super) async fn rest(&mut self) -> Vec<Account> {
        let mut rest = Vec::new();
        while !self.under_way.is_empty() {
            // The error that ended the attempt is the one to tell.
            if let Ok(Some(ended)) = self.end().await {
                rest.push(ended.account);
            }
        }
        rest
    }
}
