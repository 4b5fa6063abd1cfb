//! Where object storage is and who asks: the place of an address, and AWS's own variables.

use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::{HttpClient, HttpConnector};
use object_store::path::Path;
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, RetryConfig};
use restow_store::{Environment, Error, ErrorKind, Result};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

use super::error::failed;

const OPERATION: &str = "open object storage";
const CONNECT_MAX: Duration = Duration::from_secs(10);
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long a request is made again before its error is told.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// What is taken from the environment, as other programs that use AWS take it.
const VARIABLES: [&str; 14] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_STS",
    "AWS_REGION",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
];

/// Makes a client of a bucket, and gives the prefix that a place names.
pub(super) fn open(place: &str, environment: &Environment) -> Result<(AmazonS3, Path)> {
    let place = place.strip_prefix("//").unwrap_or(place);
    let (path, query) = place.split_once('?').unwrap_or((place, ""));
    let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
    if bucket.is_empty() {
        return Err(invalid("an address of object storage begins with its bucket"));
    }
    let prefix = Path::parse(prefix).map_err(|cause| failed(OPERATION, prefix)(cause.into()))?;

    let mut builder = AmazonS3Builder::new().with_bucket_name(bucket);
    for name in VARIABLES {
        if let Some(value) = environment.get(name) {
            let key = name.to_ascii_lowercase().parse().map_err(failed(OPERATION, name))?;
            builder = builder.with_config(key, value);
        }
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        builder = match pair.split_once('=') {
            // The endpoint of the address stands above every one of the environment.
            Some(("endpoint", url)) => builder.with_config(AmazonS3ConfigKey::S3Endpoint, url),
            Some(("region", name)) => builder.with_region(name),
            _ => return Err(invalid("an address of object storage knows endpoint and region")),
        };
    }
    let is_keyless = builder.get_config_value(&AmazonS3ConfigKey::AccessKeyId).is_none();
    if is_keyless && let Some(profile) = environment.get("AWS_PROFILE") {
        let message = "profiles are not read for object storage; set AWS_ACCESS_KEY_ID and \
                       AWS_SECRET_ACCESS_KEY";
        let error = Error::new(ErrorKind::Credentials, OPERATION, message);
        return Err(error.with("profile", profile));
    }
    let endpoint = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
    let endpoint = endpoint.iter().find_map(|key| builder.get_config_value(key));
    // Who names an endpoint without TLS means it.
    let is_plain = endpoint.is_some_and(|url| url.starts_with("http://"));
    let retry = RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: usize::MAX,
        retry_timeout: RETRY_MAX,
    };
    let builder = builder.with_allow_http(is_plain).with_http_connector(Connector);
    let client = builder.with_retry(retry).build().map_err(failed(OPERATION, ""))?;
    Ok((client, prefix))
}

fn invalid(message: &str) -> Error {
    let form = "BUCKET/PREFIX?endpoint=URL&region=NAME";
    Error::new(ErrorKind::Invalid, OPERATION, message).with("form", form)
}

/// Connects with the cryptography and the roots that restow's other connections have.
#[derive(Debug)]
struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let wrong = |cause: Box<dyn std::error::Error + Send + Sync>| {
            object_store::Error::Generic { store: "S3", source: cause }
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(error.into()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let may_be_plain = options.get_config_value(&ClientConfigKey::AllowHttp);
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(may_be_plain.is_none_or(|value| value != "true"))
            .connect_timeout(CONNECT_MAX)
            .read_timeout(SILENCE_MAX)
            .build();
        client.map(HttpClient::new).map_err(|error| wrong(error.into()))
    }
}
