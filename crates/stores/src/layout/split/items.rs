//! What a table tells of its items, and tidies up.

use async_trait::async_trait;
use restow_store::Result;
use restow_store::items::{Clean, Cleaned, Items, Joined, Weights};

use super::{Split, clean, join, weigh};

#[async_trait]
impl Items for Split {
    async fn weigh(&self) -> Result<Weights> {
        self.run("weigh a table", |this| weigh::weigh(this.layout())).await
    }

    async fn clean(&self, how: Clean) -> Result<Cleaned> {
        self.run("clean a table", move |this| clean::clean(this.layout(), how)).await
    }

    async fn join(&self, is_dry: bool) -> Result<Joined> {
        join::join(self, is_dry).await
    }
}
