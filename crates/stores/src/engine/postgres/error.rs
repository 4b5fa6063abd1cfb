//! PostgreSQL's errors as the port's, by SQLSTATE.

use restow_store::{Error, ErrorKind};

/// Turns an error of PostgreSQL's into the port's.
pub fn failed(operation: &'static str, error: postgres::Error) -> Error {
    let (kind, message) = match error.code() {
        None => (ErrorKind::Unavailable, "the server cannot be reached, or went away"),
        Some(_) => (ErrorKind::Failed, "PostgreSQL refused a statement"),
    };
    Error::new(kind, operation, message).because(error)
}
