//! DynamoDB's errors as the port's, in words that say what to do.

use std::error::Error as StdError;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use restow_store::{Error, ErrorKind};

/// Turns an error of the SDK's into the port's; `place` is the table as a person knows it.
pub(super) fn failed<E>(operation: &'static str, place: &str, error: SdkError<E>) -> Error
where
    E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
{
    let code = error.code().map(str::to_owned);
    let (kind, message) = match &error {
        SdkError::ServiceError(_) => by_code(code.as_deref().unwrap_or_default(), &error),
        SdkError::TimeoutError(_) => {
            (ErrorKind::Unavailable, "no answer came in time; try again, or allow more time")
        }
        _ if lacks_credentials(&error) => (
            ErrorKind::Credentials,
            "no credentials were found; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY",
        ),
        SdkError::ConstructionFailure(_) => {
            (ErrorKind::Invalid, "the request could not be made; check region and endpoint")
        }
        _ => (
            ErrorKind::Unavailable,
            "the server cannot be reached; check region, endpoint and network",
        ),
    };
    let made = Error::new(kind, operation, message).with("table", place);
    let made = match code {
        Some(code) => made.with("code", code),
        None => made,
    };
    made.because(error)
}

fn by_code<E: ProvideErrorMetadata>(code: &str, error: &E) -> (ErrorKind, &'static str) {
    let says = |text: &str| error.message().is_some_and(|message| message.contains(text));
    match code {
        "ResourceNotFoundException" => (
            ErrorKind::NotFound,
            "there is no such table here; check its name, the region and the endpoint",
        ),
        "AccessDeniedException" => {
            (ErrorKind::Credentials, "the right to do this is missing; the cause names it")
        }
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "InvalidClientTokenId"
        | "IncompleteSignature" => (
            ErrorKind::Credentials,
            "the credentials are not accepted; check the access key, and that it is one of this \
             endpoint",
        ),
        "ExpiredTokenException" | "ExpiredToken" => {
            (ErrorKind::Credentials, "the session has expired; sign in again")
        }
        "ThrottlingException"
        | "Throttling"
        | "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded" => {
            (ErrorKind::Unavailable, "the table is throttled; slow down, or give it more capacity")
        }
        "TransactionInProgressException" | "TransactionConflictException" => {
            (ErrorKind::Unavailable, "others write the same items; try again")
        }
        "InternalServerError" | "InternalFailure" | "ServiceUnavailable" => {
            (ErrorKind::Unavailable, "the server failed; try again")
        }
        "ResourceInUseException" => {
            (ErrorKind::Unavailable, "the table is being made or changed; try again soon")
        }
        "ValidationException" if says("Item size") => {
            (ErrorKind::Failed, "an item is larger than 400 KB; this is a defect of restow")
        }
        "ValidationException" if says("key") => (
            ErrorKind::Refused,
            "the table has other keys than threadId and recordId; name another table",
        ),
        _ => (ErrorKind::Failed, "the server refuses the request; the cause says why"),
    }
}

fn lacks_credentials(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if text.contains("credential") || text.contains("no identity") {
            return true;
        }
        cause = error.source();
    }
    false
}
