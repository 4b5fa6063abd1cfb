//! The one public error: what failed, what to do about it, and whether trying again can help.

use std::fmt;

/// The result of an operation of the port.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it is; each kind says what the user should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request makes no sense as it stands. Correct the address, the option or the file named.
    Invalid,
    /// The store, table, unit or backup named is not there. Check the name.
    NotFound,
    /// The layout or engine cannot do this. Choose another target, or set the unit aside.
    Unsupported,
    /// Stored data is not what it claims to be. The record is named; restore or set it aside.
    Damaged,
    /// A precondition does not hold. Nothing was changed; the message says what would allow it.
    Refused,
    /// The store was retired when its migration ended. Use the other store of that migration.
    Retired,
    /// The store cannot be reached or is busy. Try again; the work resumes where it stopped.
    Unavailable,
    /// The store does not accept who is asking. Check user, password, role or file permissions.
    Credentials,
    /// The engine or the machine failed (disk full, I/O). Mend the cause; the work resumes.
    Failed,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not found",
            Self::Unsupported => "unsupported",
            Self::Damaged => "damaged",
            Self::Refused => "refused",
            Self::Retired => "retired",
            Self::Unavailable => "unavailable",
            Self::Credentials => "credentials",
            Self::Failed => "failed",
        })
    }
}

type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// A failure of an operation, with what it was about.
///
/// The message is lower case, values come last, the cause is only in [`std::error::Error::source`],
/// and no secret is ever part of it.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    operation: &'static str,
    message: String,
    context: Vec<(&'static str, String)>,
    source: Option<Source>,
}

impl Error {
    /// Makes an error of a kind: the operation as a noun phrase, then what went wrong.
    pub fn new(kind: ErrorKind, operation: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self(Box::new(Inner { kind, operation, message, context: Vec::new(), source: None }))
    }

    /// Adds what it was about, such as `("table", "checkpoints")`.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.context.push((name, value.into()));
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Returns the kind.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns what was being done.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// Returns what went wrong, without context and cause.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns what it was about, in the order in which it was added.
    pub fn context(&self) -> &[(&'static str, String)] {
        &self.0.context
    }

    /// Says whether the same operation may succeed later without anybody's doing.
    pub fn is_retryable(&self) -> bool {
        self.0.kind == ErrorKind::Unavailable
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.operation, self.0.message)?;
        for (name, value) in &self.0.context {
            write!(f, ", {name} {value}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|s| s as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_never_repeats_the_cause() {
        let error = Error::new(ErrorKind::Failed, "write a part", "the disk is full")
            .with("file", "a.restow")
            .because(std::io::Error::other("no space left"));
        assert_eq!(error.to_string(), "write a part: the disk is full, file a.restow");
        let source = std::error::Error::source(&error).map(ToString::to_string);
        assert_eq!(source.as_deref(), Some("no space left"));
        assert!(!error.is_retryable());
    }
}
