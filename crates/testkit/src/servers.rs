//! The servers that `cargo xtask test` started, by the variables that name them.

/// Returns the URL of a server that speaks as DynamoDB does and takes any credentials, or nothing
/// where this run was told to do without.
pub fn dynamodb() -> Option<String> {
    named("RESTOW_TEST_DYNAMODB", "dynamodb")
}

/// Returns every DynamoDB server that was started, by name: DynamoDB Local is there only where
/// Maven brought it.
pub fn all_dynamodb() -> Vec<(&'static str, String)> {
    let local = std::env::var("RESTOW_TEST_DYNAMODB_LOCAL").ok();
    let local = local.map(|url| ("DynamoDB Local", url));
    dynamodb().map(|url| ("dynoxide", url)).into_iter().chain(local).collect()
}

/// Returns the URL of a server that speaks as S3 does and takes any credentials, or nothing where
/// this run was told to do without.
pub fn s3() -> Option<String> {
    named("RESTOW_TEST_S3", "s3")
}

/// Says whether this run was told to do without something.
pub fn is_without(what: &str) -> bool {
    let without = std::env::var("RESTOW_TEST_WITHOUT").unwrap_or_default();
    without.split(',').any(|name| name.trim() == what)
}

/// Returns what a variable names.
///
/// Panics where it names nothing and nobody said so: a server is never absent in silence.
pub(crate) fn named(variable: &str, what: &str) -> Option<String> {
    if let Ok(url) = std::env::var(variable) {
        return Some(url);
    }
    assert!(
        is_without(what),
        "{variable} names no server; `cargo xtask test` and `cargo xtask services` start one, \
         RESTOW_TEST_WITHOUT={what} does without"
    );
    None
}
