//! Statements that PostgreSQL refuses inside a transaction, such as `CREATE INDEX CONCURRENTLY`.

use postgres::error::{DbError, SqlState};
use restow_store::{Error, Result};

use super::Server;

impl Server {
    /// Runs one statement outside of a transaction.
    ///
    /// Blocks the thread. It is a message of its own, which a pooler in transaction mode hands to
    /// one connection, and it may change nothing that outlives it.
    pub fn alone(&self, operation: &'static str, statement: &str) -> Result<()> {
        let mut client = self.connection(operation)?;
        client.batch_execute(statement).map_err(|error| self.failed(operation, error))?;
        self.give_back(client);
        Ok(())
    }
}

/// Returns PostgreSQL's code of an error, where it was PostgreSQL that refused.
pub fn code(error: &Error) -> Option<&SqlState> {
    let source = std::error::Error::source(error)?;
    source.downcast_ref::<DbError>().map(DbError::code)
}
