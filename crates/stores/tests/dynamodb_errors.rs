//! What a server of DynamoDB's refuses is said in words that say what to do.
#![allow(clippy::expect_used, reason = "a test ends loudly where it cannot go on")]

mod split_dynamodb_help;

use restow_store::{Address, Environment, Error, ErrorKind};
use restow_stores::layout::split::Split;
use restow_testkit::proxy::{Plan, Proxy};

use split_dynamodb_help::*;

async fn refused(address: &str, environment: Environment) -> Error {
    let address = Address::parse(address).expect("an address");
    let opened = blocking(move || Split::source(&address, &environment)).await;
    opened.expect_err("a refusal")
}

#[tokio::test]
async fn a_table_that_is_not_there_is_named() {
    let Some(place) = place() else { return };
    let error = refused(&place.address.to_string(), place.environment.clone()).await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("table restow-test-"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_of() {
    let keys = [("AWS_ACCESS_KEY_ID", "any"), ("AWS_SECRET_ACCESS_KEY", "hunter2")];
    // Nothing listens at the discard port.
    let address = "split+dynamodb:threads?endpoint=http://127.0.0.1:9";
    let error = refused(address, Environment::from(keys)).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

/// What a reader is told by a table whose server always answers as a plan says.
async fn told(plan: Plan) -> Option<Error> {
    let place = place()?;
    place.target().await;
    let proxy = Proxy::start(&place.endpoint(), plan);
    let behind = place.impatient().at(proxy.url());
    Some(refused(&behind.address.to_string(), behind.environment.clone()).await)
}

#[tokio::test]
async fn a_missing_right_is_named_by_the_cause() {
    let denied = Plan { denied: 1000, ..Plan::default() };
    let Some(error) = told(denied).await else { return };
    assert_eq!(error.kind(), ErrorKind::Credentials, "{error}");
    assert!(error.message().starts_with("the right to do this is missing"), "{error}");
    let mut causes = std::iter::successors(std::error::Error::source(&error), |e| e.source());
    assert!(causes.any(|cause| cause.to_string().contains("dynamodb:GetItem")), "{error:?}");
}

#[tokio::test]
async fn a_table_that_is_throttled_for_good_is_told_of() {
    let throttled = Plan { throttled: 1000, ..Plan::default() };
    let Some(error) = told(throttled).await else { return };
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.is_retryable() && error.message().contains("give it more capacity"), "{error}");
}

#[tokio::test]
async fn a_server_that_always_fails_is_told_of() {
    let broken = Plan { broken: 1000, ..Plan::default() };
    let Some(error) = told(broken).await else { return };
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.message().contains("the server failed"), "{error}");
}
