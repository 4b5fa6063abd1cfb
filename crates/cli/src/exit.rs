//! Exit codes, as the documentation lists them.

use std::process::ExitCode;

use restow::{Error, ErrorKind};

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well.
    Ok = 0,
    /// It failed.
    Failed = 1,
    /// The arguments make no sense.
    Usage = 2,
    /// It finished, but units did not match, failed or were skipped.
    Unclean = 3,
    /// The migration was not found: it has not begun, or its stores are others.
    NoMigration = 10,
    /// Another attempt holds the migration.
    Held = 11,
    /// The store does not accept who is asking.
    Credentials = 12,
    /// A precondition does not hold, or a confirmation is missing.
    Refused = 13,
    /// It was interrupted and can be resumed by the same command.
    Interrupted = 130,
}

impl Exit {
    /// Returns the code of an error.
    pub(crate) fn of(error: &Error) -> Self {
        let is_about = |what| error.context().iter().any(|(name, _)| *name == what);
        match error.kind() {
            ErrorKind::Refused if is_about("held by") => Self::Held,
            ErrorKind::NotFound if is_about("migration") => Self::NoMigration,
            ErrorKind::Refused | ErrorKind::Retired => Self::Refused,
            ErrorKind::Credentials => Self::Credentials,
            ErrorKind::Invalid => Self::Usage,
            ErrorKind::NotFound
            | ErrorKind::Unsupported
            | ErrorKind::Damaged
            | ErrorKind::Unavailable
            | ErrorKind::Failed => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
