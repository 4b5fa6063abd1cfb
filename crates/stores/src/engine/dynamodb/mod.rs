//! DynamoDB: one table, reached as AWS's own tools would reach it.
//!
//! Everything here blocks and runs on threads that may: a layout's mechanism is the same for all
//! engines. Every read is a strong one.

mod error;
mod meter;
mod settings;
mod size;
mod table;
mod write;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_config::sts::AssumeRoleProvider;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use backon::ExponentialBuilder;
use restow_store::{Error, ErrorKind, Result};
use tokio::runtime::Handle;

pub use meter::{Consumed, Meter};
pub use settings::{Keys, Settings};
pub use size::{ITEM_BYTES_MAX, item_size};
pub use table::{Page, Range};
pub use write::{Check, TRANSACTION_BYTES_MAX, TRANSACTION_ITEMS_MAX, Transacted, Write};

/// An item: attributes by name.
pub type Item = HashMap<String, AttributeValue>;
/// Where an item is: its partition and its place there.
pub type Place = (String, String);

/// What a table calls the attributes that say where an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyNames {
    /// Names an item's partition.
    pub partition: &'static str,
    /// Names an item in its partition.
    pub sort: &'static str,
}

/// The attribute that names an item's partition.
pub const PARTITION: &str = "threadId";
/// The attribute that names an item in its partition.
pub const SORT: &str = "recordId";

/// A table.
#[derive(Clone)]
pub struct Table {
    client: Client,
    keys: KeyNames,
    settings: Arc<Settings>,
    runtime: Handle,
    meter: Arc<Meter>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Table({})", self.settings.shown())
    }
}

impl Table {
    /// Makes ready to ask for a table; nothing is asked yet but who is asking.
    ///
    /// Blocks; call it on a thread that may, of a runtime.
    pub fn open(settings: Settings) -> Result<Self> {
        Self::open_as(settings, KeyNames { partition: PARTITION, sort: SORT })
    }

    /// Makes ready to ask for a table whose items are named otherwise.
    ///
    /// Blocks; call it on a thread that may, of a runtime.
    pub fn open_as(settings: Settings, keys: KeyNames) -> Result<Self> {
        const OPERATION: &str = "reach DynamoDB";
        let runtime = Handle::try_current().map_err(|error| {
            Error::new(ErrorKind::Failed, OPERATION, "there is no runtime").because(error)
        })?;
        let config = runtime.block_on(configured(&settings));
        if config.region().is_none() {
            let message = "no region is named; give ?region= in the address, or set AWS_REGION";
            let error = Error::new(ErrorKind::Invalid, OPERATION, message);
            return Err(error.with("table", settings.shown()));
        }
        let client = Client::new(&config);
        Ok(Self { client, keys, settings: Arc::new(settings), runtime, meter: Arc::default() })
    }

    /// Returns where the table is.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns what was consumed so far.
    pub fn consumed(&self) -> Consumed {
        self.meter.consumed()
    }

    /// Returns what the table calls the attributes that say where an item is.
    pub fn keys(&self) -> KeyNames {
        self.keys
    }

    /// Returns the time as the client has it, in seconds since 1970; it tells what has expired.
    pub fn now(&self) -> i64 {
        let now = self.client.config().time_source().map(|source| source.now());
        let since = now.and_then(|now| now.duration_since(std::time::UNIX_EPOCH).ok());
        since.map_or(0, |since| since.as_secs() as i64)
    }

    /// Waits for an answer.
    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    fn failed<E>(&self, operation: &'static str, error: SdkError<E>) -> Error
    where
        E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        error::failed(operation, &self.settings.shown(), error)
    }

    /// How long is waited between attempts of what the client does not repeat by itself.
    fn backoff(&self) -> ExponentialBuilder {
        ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(20))
            .with_max_delay(Duration::from_secs(2))
            .with_jitter()
            .without_max_times()
            .with_total_delay(Some(self.settings.deadline))
    }
}

async fn configured(settings: &Settings) -> aws_config::SdkConfig {
    let config = loader(settings).load().await;
    let Some(role) = &settings.role else { return config };
    let role = AssumeRoleProvider::builder(role).session_name("restow").configure(&config);
    let role = SharedCredentialsProvider::new(role.build().await);
    config.into_builder().credentials_provider(role).build()
}

fn loader(settings: &Settings) -> aws_config::ConfigLoader {
    let mut http = aws_smithy_http_client::Builder::new();
    if let Some(connections) = settings.connections {
        http = http.pool_max_idle_per_host(connections);
    }
    let http = http.tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let timeouts = TimeoutConfig::builder()
        .operation_timeout(settings.deadline)
        .connect_timeout(Duration::from_secs(5));
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .retry_config(RetryConfig::standard().with_max_attempts(settings.attempts))
        .timeout_config(timeouts.build());
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(endpoint) = &settings.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(keys) = &settings.keys {
        let token = keys.token.clone();
        let keys = Credentials::new(&keys.id, &keys.secret, token, None, "environment");
        loader = loader.credentials_provider(keys);
    }
    loader
}

/// Makes text an attribute.
pub fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// Makes a number an attribute.
pub fn number(number: impl std::fmt::Display) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// Makes bytes an attribute.
pub fn bytes(bytes: impl Into<Vec<u8>>) -> AttributeValue {
    AttributeValue::B(aws_sdk_dynamodb::primitives::Blob::new(bytes))
}

/// Returns the text of an attribute.
pub fn text_of<'i>(item: &'i Item, name: &str) -> Option<&'i str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

/// Returns the number of an attribute.
pub fn number_of<T: std::str::FromStr>(item: &Item, name: &str) -> Option<T> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// Returns the bytes of an attribute.
pub fn bytes_of<'i>(item: &'i Item, name: &str) -> Option<&'i [u8]> {
    item.get(name)?.as_b().ok().map(|blob| blob.as_ref())
}

impl KeyNames {
    /// Returns where an item is.
    pub fn place_of(&self, item: &Item) -> Option<Place> {
        let (partition, sort) = (text_of(item, self.partition)?, text_of(item, self.sort)?);
        Some((partition.to_owned(), sort.to_owned()))
    }

    /// Makes the attributes that say where an item is.
    pub fn at(&self, place: &Place) -> Item {
        let (partition, sort) = place.clone();
        let pairs = [(self.partition, partition), (self.sort, sort)];
        pairs.map(|(name, value)| (name.to_owned(), text(value))).into()
    }
}

/// Returns where an item is.
pub fn place_of(item: &Item) -> Option<Place> {
    Some((text_of(item, PARTITION)?.to_owned(), text_of(item, SORT)?.to_owned()))
}

/// Makes the attributes that say where an item is.
pub fn at(place: &Place) -> Item {
    let (partition, sort) = place.clone();
    Item::from([(PARTITION.to_owned(), text(partition)), (SORT.to_owned(), text(sort))])
}
