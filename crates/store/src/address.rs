//! Addresses: `<layout>+<engine>:<place>`, with passwords masked wherever one is shown.

use std::fmt;

use crate::{Error, ErrorKind, Result};

/// A parsed address, or a bare path that has yet to be recognised by looking inside it.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// The layout (`langgraph`, `parts`), where the address says it.
    pub layout: Option<Box<str>>,
    /// The engine (`sqlite`, `postgres`), where the address says it.
    pub engine: Option<Box<str>>,
    /// Everything behind the colon: a path, or `//user@host/database`; secrets included.
    pub place: Box<str>,
}

impl Address {
    /// Parses an address; a text without `<layout>+<engine>:` in front is a bare path.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "parse an address", "the address is empty"));
        }
        let bare = Self { layout: None, engine: None, place: text.into() };
        let Some((scheme, place)) = text.split_once(':') else { return Ok(bare) };
        let Some((layout, engine)) = scheme.split_once('+') else { return Ok(bare) };
        if !is_word(layout) || !is_word(engine) {
            return Ok(bare);
        }
        if place.is_empty() {
            let error = Error::new(ErrorKind::Invalid, "parse an address", "the place is missing");
            return Err(error.with("address", text));
        }
        let (layout, engine) = (Some(layout.into()), Some(engine.into()));
        Ok(Self { layout, engine, place: place.into() })
    }

    /// Returns the place with any password masked.
    pub fn masked_place(&self) -> String {
        let Some(rest) = self.place.strip_prefix("//") else { return self.place.to_string() };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = match host.rsplit_once('@') {
            Some((user, host)) => {
                let (user, secret) = user.split_once(':').map_or((user, ""), |(u, _)| (u, ":***"));
                format!("{user}{secret}@{host}")
            }
            None => host.to_string(),
        };
        format!("//{host}{}", mask_query(path))
    }
}

/// Masks the values of query parameters whose names sound secret.
fn mask_query(path: &str) -> String {
    let Some((path, query)) = path.split_once('?') else { return path.to_string() };
    let masked: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if is_secret(name) => format!("{name}=***"),
            _ => pair.to_string(),
        })
        .collect();
    format!("{path}?{}", masked.join("&"))
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "secret", "token", "key"].iter().any(|word| name.contains(word))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(layout), Some(engine)) = (&self.layout, &self.engine) {
            write!(f, "{layout}+{engine}:")?;
        }
        f.write_str(&self.masked_place())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_bare_paths_are_told_apart() {
        let full = Address::parse("langgraph+sqlite:a/b.db").expect("an address");
        assert_eq!(
            (full.layout.as_deref(), full.engine.as_deref()),
            (Some("langgraph"), Some("sqlite"))
        );
        assert_eq!(&*full.place, "a/b.db");
        for bare in ["agent.db", "C:\\agent.db", "a+b", "./x+y/z:1", "odd name.db"] {
            let address = Address::parse(bare).expect("a bare path");
            assert_eq!((address.layout, &*address.place), (None, bare));
        }
        for bad in ["", "parts+sqlite:"] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_are_masked_wherever_an_address_is_shown() {
        let text = "langgraph+postgres://me:hunter2@host:5432/db?sslpassword=hunter2&port=1";
        let address = Address::parse(text).expect("an address");
        let shown = format!("{address} {address:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        let masked = "langgraph+postgres://me:***@host:5432/db?sslpassword=***&port=1";
        assert_eq!(address.to_string(), masked);
    }
}
