//! How a server is reached: what an address says, completed as `libpq` would.

use postgres::{Client, NoTls};
use restow_store::{Address, Error, ErrorKind, Result};

/// How a server is reached, and in which schema the application's tables lie.
#[derive(Clone)]
pub struct Settings {
    config: postgres::Config,
    schema: Option<String>,
    shown: String,
}

impl Settings {
    /// Reads the place of an address: a URL (`//user@host/database?…`) or keywords and values.
    pub fn parse(address: &Address) -> Result<Self> {
        let place = &*address.place;
        let text = match place.starts_with("//") {
            true => format!("postgresql:{place}"),
            false => place.to_owned(),
        };
        let config: postgres::Config = text.parse().map_err(|error| {
            let message = "the address is not one of PostgreSQL's";
            Error::new(ErrorKind::Invalid, "read an address", message)
                .with("address", address.to_string())
                .because(Box::<dyn std::error::Error + Send + Sync>::from(error))
        })?;
        Ok(Self { config, schema: None, shown: address.masked_place() })
    }

    /// Returns the schema that the address names; none stands for the first of the search path.
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// Returns the place without secrets, to be shown.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    pub(super) fn connect(&self, operation: &'static str) -> Result<Client> {
        self.config.connect(NoTls).map_err(|error| super::error::failed(operation, error))
    }
}
