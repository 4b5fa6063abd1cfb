//! Where a table is and how it is reached, from an address and the environment.

use std::time::Duration;

use restow_store::{Address, Environment, Error, ErrorKind, Result};

const OPERATION: &str = "read an address of DynamoDB";
/// What `CHECKPOINT_OPERATION_TIMEOUT` may be, in milliseconds, and is by default.
const DEADLINE_MS: (u64, u64, u64) = (5_000, 120_000, 30_000);
/// What `CHECKPOINT_SPLITTING_MAX_RETRIES` may be, and is by default.
const RETRIES: (u32, u32, u32) = (1, 10, 3);
/// The region of a server of one's own, which has none.
const REGION_OF_ENDPOINTS: &str = "us-east-1";

/// Where a table is and how it is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// The table's name.
    pub table: String,
    /// The region; `None` leaves it to the profile.
    pub region: Option<String>,
    /// A server other than AWS's own.
    pub endpoint: Option<String>,
    /// The profile of the user's AWS configuration.
    pub profile: Option<String>,
    /// A role to assume, by its ARN.
    pub role: Option<String>,
    /// Keys that the environment names; without, they come as AWS's tools find them.
    pub keys: Option<Keys>,
    /// How long one operation may take, all its attempts together.
    pub deadline: Duration,
    /// How often a request is tried.
    pub attempts: u32,
    /// How many idle connections are kept.
    pub connections: Option<usize>,
}

/// An access key of AWS's.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// The access key's id.
    pub id: String,
    /// The secret.
    pub secret: String,
    /// The token of a session.
    pub token: Option<String>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Settings({})", self.shown())
    }
}

impl Settings {
    /// Reads `table?region=…&endpoint=…&profile=…&role=…`; what is left out is looked for in the
    /// environment, under the names that AWS's tools and the known applications use.
    pub fn parse_in(address: &Address, environment: &Environment) -> Result<Self> {
        let place = address.place.strip_prefix("//").unwrap_or(&address.place);
        let (table, query) = place.split_once('?').unwrap_or((place, ""));
        let wrong = |message: &str| {
            let error = Error::new(ErrorKind::Invalid, OPERATION, message);
            error.with("address", address.to_string())
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let is_arn = table.starts_with("arn:");
        if !is_arn && (!(3..=255).contains(&table.len()) || !table.chars().all(is_plain)) {
            return Err(wrong(
                "a table's name has 3 to 255 letters, digits, underscores, dots or hyphens",
            ));
        }
        let mut this = Self::of(table, environment)?;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = Some(value.to_owned()).filter(|value| !value.is_empty());
            match name {
                "region" => this.region = value,
                "endpoint" => this.endpoint = value,
                "profile" => {
                    // Who names a profile means its keys.
                    this.keys = None;
                    this.profile = value;
                }
                "role" => this.role = value,
                _ => {
                    let known = "the parameters are region, endpoint, profile and role";
                    return Err(wrong(known).with("parameter", name));
                }
            }
        }
        if this.endpoint.as_ref().is_some_and(|e| !e.starts_with("http")) {
            return Err(wrong("an endpoint begins with http:// or https://"));
        }
        if this.endpoint.is_some() && this.region.is_none() && this.profile.is_none() {
            this.region = Some(REGION_OF_ENDPOINTS.to_owned());
        }
        Ok(this)
    }

    /// Takes what the environment says of a table.
    fn of(table: &str, environment: &Environment) -> Result<Self> {
        let found = |names: &[&str]| names.iter().find_map(|name| environment.get(name));
        let text = |names: &[&str]| found(names).map(str::to_owned);
        let number = |names: &[&str]| match found(names) {
            None => Ok(None),
            Some(text) => text.parse::<u64>().map(Some).map_err(|_| {
                let error = Error::new(ErrorKind::Invalid, OPERATION, "a setting is no number");
                error.with("names", names.join(" or ")).with("value", text)
            }),
        };
        let deadline = number(&["CHECKPOINT_OPERATION_TIMEOUT"])?;
        let retries = number(&["DYNAMODB_MAX_RETRIES", "CHECKPOINT_SPLITTING_MAX_RETRIES"])?;
        let retries = retries.unwrap_or(u64::from(RETRIES.2));
        if !(u64::from(RETRIES.0)..=u64::from(RETRIES.1)).contains(&retries) {
            let message = "DYNAMODB_MAX_RETRIES and CHECKPOINT_SPLITTING_MAX_RETRIES are between \
                           1 and 10";
            let error = Error::new(ErrorKind::Invalid, OPERATION, message);
            return Err(error.with("value", retries.to_string()));
        }
        let connections = number(&["DYNAMODB_MAX_POOL_CONNECTIONS"])?;
        let this = Self {
            table: table.to_owned(),
            region: text(&["AWS_REGION", "AWS_DEFAULT_REGION"]),
            endpoint: text(&["DYNAMODB_ENDPOINT", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"]),
            profile: text(&["AWS_PROFILE"]),
            role: None,
            keys: Keys::of(environment),
            deadline: Duration::from_millis(deadline.unwrap_or(DEADLINE_MS.2)),
            attempts: u32::try_from(retries).unwrap_or(RETRIES.1) + 1,
            connections: connections.and_then(|n| usize::try_from(n).ok()),
        };
        if !(DEADLINE_MS.0..=DEADLINE_MS.1).contains(&(this.deadline.as_millis() as u64)) {
            let message = "CHECKPOINT_OPERATION_TIMEOUT is between 5000 and 120000 milliseconds";
            return Err(Error::new(ErrorKind::Invalid, OPERATION, message));
        }
        Ok(this)
    }

    /// Returns where the table is, for a person.
    pub fn shown(&self) -> String {
        let mut shown = self.table.clone();
        let pairs = [("region", &self.region), ("endpoint", &self.endpoint)];
        for (n, (name, value)) in
            pairs.iter().filter_map(|(n, v)| Some((n, v.as_ref()?))).enumerate()
        {
            shown.push(if n == 0 { '?' } else { '&' });
            shown.push_str(&format!("{name}={value}"));
        }
        Address::mask(&shown)
    }
}

impl Keys {
    fn of(environment: &Environment) -> Option<Self> {
        let text = |name| environment.get(name).map(str::to_owned);
        let (id, secret) = (text("AWS_ACCESS_KEY_ID")?, text("AWS_SECRET_ACCESS_KEY")?);
        Some(Self { id, secret, token: text("AWS_SESSION_TOKEN") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(address: &str, environment: &Environment) -> Result<Settings> {
        Settings::parse_in(&Address::parse(address).expect("an address"), environment)
    }

    #[test]
    fn an_address_says_more_than_the_environment() {
        let environment = Environment::from([
            ("AWS_REGION", "eu-west-1"),
            ("DYNAMODB_ENDPOINT", "http://127.0.0.1:8000"),
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            ("CHECKPOINT_OPERATION_TIMEOUT", "6000"),
        ]);
        let found = parse("split+dynamodb:threads", &environment).expect("settings");
        assert_eq!(found.region.as_deref(), Some("eu-west-1"));
        assert_eq!(found.deadline, Duration::from_secs(6));
        assert!(found.keys.is_some() && !format!("{found:?}").contains("hunter2"));
        let address = "split+dynamodb://threads?region=us-west-2&profile=me&endpoint=http://h:1";
        let found = parse(address, &environment).expect("settings");
        assert_eq!(
            (found.region.as_deref(), found.profile.as_deref()),
            (Some("us-west-2"), Some("me"))
        );
        assert!(found.keys.is_none());
        assert_eq!(found.shown(), "threads?region=us-west-2&endpoint=http://h:1");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let none = Environment::default();
        for bad in ["ab", "a b c", "table?zone=1", "table?endpoint=localhost:8000"] {
            let error = parse(&format!("split+dynamodb:{bad}"), &none).expect_err(bad);
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        }
        for (name, value) in [
            ("CHECKPOINT_OPERATION_TIMEOUT", "1"),
            ("CHECKPOINT_SPLITTING_MAX_RETRIES", "11"),
            ("DYNAMODB_MAX_RETRIES", "0"),
            ("DYNAMODB_MAX_RETRIES", "some"),
        ] {
            let odd = Environment::from([(name, value)]);
            let error = parse("split+dynamodb:table", &odd).expect_err(name);
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
