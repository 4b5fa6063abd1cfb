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
        let wrong = |message| {
            let error = Error::new(ErrorKind::Invalid, "parse an address", message);
            Err(error.with("address", Self::mask(text)))
        };
        let words = text.split_once(':').and_then(|(scheme, place)| {
            let (layout, engine) = scheme.split_once('+')?;
            (is_word(layout) && is_word(engine)).then_some((layout, engine, place))
        });
        let Some((layout, engine, place)) = words else {
            if text.contains("://") {
                // Taken for a path, its password would be shown.
                return wrong("an address begins with <layout>+<engine>: in lower case");
            }
            return Ok(Self { layout: None, engine: None, place: text.into() });
        };
        if place.is_empty() {
            return wrong("the place is missing");
        }
        let host = place.strip_prefix("//").and_then(|rest| rest.split('/').next());
        if engine == "sqlite" && host.is_some_and(|host| host.contains('@')) {
            return wrong("a file has no user and no host; write its path behind the colon");
        }
        let (layout, engine) = (Some(layout.into()), Some(engine.into()));
        Ok(Self { layout, engine, place: place.into() })
    }

    /// Returns the place with any password masked.
    pub fn masked_place(&self) -> String {
        match self.place.starts_with("//") {
            true => Self::mask(&self.place),
            false => self.place.to_string(),
        }
    }

    /// Masks any password in a text that may hold an address, such as an argument.
    pub fn mask(text: &str) -> String {
        let Some((scheme, rest)) = text.split_once("//") else { return text.to_string() };
        // A password may hold what should have been escaped: up to the last `@` all is secret.
        let path = rest.find('?').unwrap_or(rest.len());
        let at = rest[..path].rfind('@').or_else(|| rest.rfind('@'));
        let (user, host) = rest.split_at(at.unwrap_or(0));
        let (user, secret) = user.split_once(':').map_or((user, ""), |(user, _)| (user, ":***"));
        format!("{scheme}//{user}{secret}{}", mask_query(host))
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
        let server = "postgres://me:hunter2@host/db";
        for bad in ["", "parts+sqlite:", server, "A+b://x", "parts+sqlite://me:hunter2@host/db"] {
            let error = Address::parse(bad).expect_err(bad).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(Address::parse("parts+sqlite:///var/a.restow").is_ok());
    }

    #[test]
    fn secrets_are_masked_wherever_an_address_is_shown() {
        let text = "langgraph+postgres://me:hunter2@host:5432/db?sslpassword=hunter2&port=1";
        let address = Address::parse(text).expect("an address");
        let shown = format!("{address} {address:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        let masked = "langgraph+postgres://me:***@host:5432/db?sslpassword=***&port=1";
        assert_eq!(address.to_string(), masked);
        for (text, masked) in [
            ("x://me:hun/ter2@host/db", "x://me:***@host/db"),
            ("x://me:hunt?er2@host/db", "x://me:***@host/db"),
            ("x://host:5432/db?token=hunter2", "x://host:5432/db?token=***"),
            ("a path", "a path"),
        ] {
            assert_eq!(Address::mask(text), masked);
        }
    }
}
