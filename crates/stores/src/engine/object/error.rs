//! What object storage says, as the one public error.

use object_store::Error as Cause;
use restow_store::{Error, ErrorKind};

/// Maps an error of an operation on an object.
pub(super) fn failed(operation: &'static str, name: &str) -> impl Fn(Cause) -> Error + use<> {
    let name = name.to_owned();
    move |cause| {
        let (kind, message) = match &cause {
            Cause::NotFound { .. } => (ErrorKind::NotFound, "there is no such bucket or object"),
            Cause::PermissionDenied { .. } => {
                (ErrorKind::Credentials, "the right to do this is missing")
            }
            Cause::Unauthenticated { .. } => {
                (ErrorKind::Credentials, "the storage does not accept the credentials")
            }
            Cause::InvalidPath { .. } => (ErrorKind::Invalid, "the name makes no sense"),
            Cause::UnknownConfigurationKey { .. } => {
                (ErrorKind::Invalid, "a setting of the environment is not understood")
            }
            Cause::NotSupported { .. } | Cause::NotImplemented { .. } => {
                (ErrorKind::Unsupported, "the storage cannot do this")
            }
            Cause::AlreadyExists { .. } | Cause::Precondition { .. } => {
                (ErrorKind::Refused, "somebody else has written it")
            }
            _ => (ErrorKind::Unavailable, "the storage does not answer as it should"),
        };
        let error = Error::new(kind, operation, message);
        let error = if name.is_empty() { error } else { error.with("object", &*name) };
        error.because(cause)
    }
}
