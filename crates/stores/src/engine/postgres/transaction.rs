//! A transaction that begins in one round trip, with what is to hold in it.

use std::ops::{Deref, DerefMut};

use postgres::Client;

/// Rows are looked up by key, whatever the server believes about tables that were never analysed.
const READ_PLAN: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; \
                         SET LOCAL enable_mergejoin = off; SET LOCAL jit = off";

/// A transaction under way; a connection that drops it without an end is not to be used again.
pub struct Transaction<'c>(&'c mut Client);

impl<'c> Transaction<'c> {
    /// Begins one that sees one moment of the database and writes nothing, or one that may write;
    /// `settings` follow, each led by a semicolon.
    pub(super) fn begin(
        client: &'c mut Client,
        is_read: bool,
        settings: &str,
    ) -> Result<Self, postgres::Error> {
        // A transaction that may write says nothing, so that what only reads by default stays so.
        let kind = match is_read {
            true => "REPEATABLE READ, READ ONLY",
            false => "READ COMMITTED",
        };
        client.batch_execute(&format!(
            "START TRANSACTION ISOLATION LEVEL {kind}; {READ_PLAN}{settings}"
        ))?;
        Ok(Self(client))
    }

    pub(super) fn commit(self) -> Result<(), postgres::Error> {
        self.0.batch_execute("COMMIT")
    }

    pub(super) fn rollback(self) -> Result<(), postgres::Error> {
        self.0.batch_execute("ROLLBACK")
    }
}

impl Deref for Transaction<'_> {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.0
    }
}

impl DerefMut for Transaction<'_> {
    fn deref_mut(&mut self) -> &mut Client {
        self.0
    }
}
