//! What a connection string says: a URL, or keywords and values, as `libpq` reads them.

use std::collections::BTreeMap;

/// Parameters by their names in `libpq`, and our own.
pub(super) type Params = BTreeMap<String, String>;

/// Why a connection string makes no sense; never repeats any of it, for it may hold a password.
pub(super) type Malformed = &'static str;

/// Every parameter that is understood; the last line is our own.
const KNOWN: &[&str] = &[
    "application_name",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "dbname",
    "fallback_application_name",
    "gssencmode",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "options",
    "passfile",
    "password",
    "port",
    "service",
    "servicefile",
    "sslcert",
    "sslcompression",
    "sslkey",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
    "schema",
    "statement_timeout",
    "toast_compression",
    "wait",
];

/// Returns the first parameter that is not understood.
pub(super) fn unknown(params: &Params) -> Option<&str> {
    params.keys().map(String::as_str).find(|name| !KNOWN.contains(name))
}

/// Reads the place of an address.
pub(super) fn parse(place: &str) -> Result<Params, Malformed> {
    match place.strip_prefix("//") {
        Some(rest) => url(rest),
        None => keywords(place),
    }
}

fn keywords(text: &str) -> Result<Params, Malformed> {
    let mut params = Params::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let Some((name, value)) = rest.split_once('=') else {
            return Err("a keyword lacks its = and its value");
        };
        let name = name.trim();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err("a keyword lacks its = and its value");
        }
        let (value, after) = keyword_value(value.trim_start())?;
        params.insert(name.to_owned(), value);
        rest = after.trim_start();
    }
    Ok(params)
}

fn keyword_value(text: &str) -> Result<(String, &str), Malformed> {
    let (quoted, body) = match text.strip_prefix('\'') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let mut value = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            '\'' if quoted => return Ok((value, &body[at + 1..])),
            c if !quoted && c.is_whitespace() => return Ok((value, &body[at..])),
            c => value.push(c),
        }
    }
    match quoted {
        true => Err("a quoted value does not end"),
        false => Ok((value, "")),
    }
}

fn url(text: &str) -> Result<Params, Malformed> {
    let mut params = Params::new();
    let (text, query) = text.split_once('?').unwrap_or((text, ""));
    let (authority, database) = text.split_once('/').unwrap_or((text, ""));
    let mut set = |name: &str, value: &str| -> Result<(), Malformed> {
        if !value.is_empty() {
            params.insert(name.to_owned(), decode(value)?);
        }
        Ok(())
    };
    let hosts = match authority.split_once('@') {
        Some((credentials, hosts)) => {
            let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
            set("user", user)?;
            set("password", password)?;
            hosts
        }
        None => authority,
    };
    set("dbname", database)?;
    if !hosts.is_empty() {
        let parts: Vec<_> = hosts.split(',').map(host_and_port).collect::<Result<_, _>>()?;
        let join = |pick: fn(&(&str, &str)) -> String| {
            parts.iter().map(pick).collect::<Vec<_>>().join(",")
        };
        set("host", &join(|(host, _)| (*host).to_owned()))?;
        if parts.iter().any(|(_, port)| !port.is_empty()) {
            set("port", &join(|(_, port)| (*port).to_owned()))?;
        }
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("ssl", "true")) => set("sslmode", "require")?,
            Some((name, value)) => set(&decode(name)?, value)?,
            None => return Err("a parameter behind the ? lacks its = and its value"),
        }
    }
    Ok(params)
}

fn host_and_port(text: &str) -> Result<(&str, &str), Malformed> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("the [ of an IPv6 address does not end")?;
        return Ok((host, rest.strip_prefix(':').unwrap_or("")));
    }
    Ok(text.split_once(':').unwrap_or((text, "")))
}

fn decode(text: &str) -> Result<String, Malformed> {
    const BAD: Malformed =
        "a % is not followed by two hexadecimal digits of UTF-8; write it as %25";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(BAD) };
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| BAD)?);
    }
    String::from_utf8(bytes).map_err(|_| BAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(place: &str) -> String {
        let params = parse(place).expect(place);
        params.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn urls_and_keywords_say_the_same() {
        for (place, expected) in [
            ("//", ""),
            ("//me@db/app", "dbname=app host=db user=me"),
            (
                "//me:a%40b%2F@db:1/app?sslmode=require",
                "dbname=app host=db password=a@b/ port=1 sslmode=require user=me",
            ),
            ("//a:1,b,[::1]:3/app", "dbname=app host=a,b,::1 port=1,,3"),
            ("//%2Frun%2Fpostgresql/app", "dbname=app host=/run/postgresql"),
            ("///app?host=/tmp&ssl=true", "dbname=app host=/tmp sslmode=require"),
            ("//a?user=me", "host=a user=me"),
            ("host=/tmp dbname = app", "dbname=app host=/tmp"),
            (r"user=me password='it\'s \\ here' port=1", r"password=it's \ here port=1 user=me"),
            (r"password=a\ b user=''", "password=a b user="),
        ] {
            assert_eq!(shown(place), expected, "{place}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_without_being_repeated() {
        for place in
            ["//me:hunter2%zz@db", "password='hunter2", "hunter2", "//db?hunter2", "//[::1"]
        {
            let why = parse(place).expect_err(place);
            assert!(!why.contains("hunter2"), "{why}");
        }
        let params = parse("host=a sslcrl=b").expect("well formed");
        assert_eq!(unknown(&params), Some("sslcrl"));
    }
}
