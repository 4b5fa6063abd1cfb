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
        match self.engine.as_deref() {
            None | Some("sqlite") if !self.place.starts_with("//") => self.place.to_string(),
            _ => Self::mask(&self.place),
        }
    }

    /// Masks any password in a text that may hold an address, such as an argument.
    pub fn mask(text: &str) -> String {
        let is_url = |start: &str| start.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+');
        match text.split_once("//") {
            Some((start, rest)) if is_url(start.strip_suffix(':').unwrap_or(start)) => {
                mask_url(start, rest)
            }
            _ => {
                // Keywords and values, in one of which a URL may yet stand.
                let masked = mask_keywords(text);
                match masked.split_once("//") {
                    Some((start, rest)) => mask_url(start, rest),
                    None => masked,
                }
            }
        }
    }
}

fn mask_url(scheme: &str, rest: &str) -> String {
    // A password may hold what should have been escaped: up to the last `@` all is secret.
    let path = rest.find('?').unwrap_or(rest.len());
    let at = rest[..path].rfind('@').or_else(|| rest.rfind('@'));
    let (user, host) = rest.split_at(at.unwrap_or(0));
    let (user, secret) = user.split_once(':').map_or((user, ""), |(user, _)| (user, ":***"));
    format!("{scheme}//{user}{secret}{}", mask_query(host))
}

/// Masks the values of keywords whose names sound secret: `password='…'`.
fn mask_keywords(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, value)) = rest.split_once('=') {
        masked.push_str(before);
        masked.push('=');
        let name = before.trim_end().rsplit(|c: char| c.is_whitespace() || c == ':').next();
        let spaces = value.len() - value.trim_start().len();
        let end = spaces + value_len(&value[spaces..]);
        match name.is_some_and(is_secret) {
            true => masked.push_str("***"),
            false => masked.push_str(&value[..end]),
        }
        rest = &value[end..];
    }
    masked + rest
}

/// Returns how long a value is; one whose quote does not end takes all.
fn value_len(value: &str) -> usize {
    let quoted = value.starts_with('\'');
    let mut chars = value.char_indices().skip(usize::from(quoted));
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '\'' if quoted => return at + 1,
            c if !quoted && c.is_whitespace() => return at,
            _ => {}
        }
    }
    value.len()
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
        let keywords = "langgraph+postgres:host=/run password='hunter2 x' dbname=app";
        let address = Address::parse(keywords).expect("an address");
        let masked = "langgraph+postgres:host=/run password=*** dbname=app";
        assert_eq!(address.to_string(), masked);
        for (text, masked) in [
            ("x://me:hun/ter2@host/db", "x://me:***@host/db"),
            ("x://me:hunt?er2@host/db", "x://me:***@host/db"),
            ("x://host:5432/db?token=hunter2", "x://host:5432/db?token=***"),
            ("a path", "a path"),
            ("x:host=a password=hunter2 port=1", "x:host=a password=*** port=1"),
            ("x:password = 'hunter2 \\' hunter2' user=me", "x:password =*** user=me"),
            ("x:password=hunter2\\ hunter2&hunter2", "x:password=***"),
            ("password='hunter2", "password=***"),
            ("x:options='a=b' sslpassword=hunter//2", "x:options='a=b' sslpassword=***"),
        ] {
            assert_eq!(Address::mask(text), masked);
        }
    }
}
