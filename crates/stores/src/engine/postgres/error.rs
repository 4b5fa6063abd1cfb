//! PostgreSQL's errors as the port's, by SQLSTATE, in words that say what to do.

use std::error::Error as StdError;
use std::io;

use postgres::error::{DbError, SqlState};
use restow_store::{Error, ErrorKind};

type Said = (ErrorKind, &'static str);

const AWAY: Said = (ErrorKind::Unavailable, "the server cannot be reached, or went away");

const NO_PASSWORD: Said = (
    ErrorKind::Credentials,
    "the server asks for a password; give it with PGPASSWORD or in a password file",
);

/// Turns an error of PostgreSQL's into the port's.
pub fn failed(operation: &'static str, error: postgres::Error) -> Error {
    let (kind, message) = match error.as_db_error() {
        Some(said) => by_message(said).unwrap_or_else(|| by_state(said.code())),
        None => unsaid(&error),
    };
    let state = error.code().map(|state| state.code().to_owned());
    let made = Error::new(kind, operation, message);
    let made = match state {
        Some(state) => made.with("sqlstate", state),
        None => made,
    };
    let is_said = error.as_db_error().is_some();
    // What stands between says no more than that the database failed.
    match if is_said { error.into_source().ok_or(None) } else { Err(Some(error)) } {
        Ok(cause) => made.because(cause),
        Err(Some(error)) => made.because(error),
        Err(None) => made,
    }
}

/// Returns the statement that would give a user the right that was missing.
pub(super) fn grant(error: &postgres::Error, is_read: bool, user: &str) -> Option<String> {
    let said = error.as_db_error().filter(|e| *e.code() == SqlState::INSUFFICIENT_PRIVILEGE)?;
    let (what, name) = said.message().strip_prefix("permission denied for ")?.split_once(' ')?;
    let rights = match (what, is_read) {
        ("table" | "view" | "relation", true) => "SELECT ON TABLE",
        ("table" | "view" | "relation", false) => "SELECT, INSERT, UPDATE, DELETE ON TABLE",
        ("schema", true) => "USAGE ON SCHEMA",
        ("schema", false) => "USAGE, CREATE ON SCHEMA",
        ("database", _) => "CREATE ON DATABASE",
        _ => return None,
    };
    Some(format!("GRANT {rights} {name} TO {user}"))
}

/// Says whether a connection that failed may come about with TLS where there was none, or without.
pub(super) fn is_for_another_mode(error: &postgres::Error) -> bool {
    is_tls(error) || error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
}

/// What one SQLSTATE does not tell apart; names of settings and poolers' words are never
/// translated.
fn by_message(said: &DbError) -> Option<Said> {
    let has = |text| said.message().contains(text);
    if has("default_toast_compression") {
        return Some((
            ErrorKind::Unsupported,
            "this server does not have the compression that toast_compression asks for; name \
             another, or leave the parameter out",
        ));
    }
    if has("unsupported startup parameter") {
        return Some((
            ErrorKind::Invalid,
            "the pooler takes no options; leave the parameter out, or connect to the server itself",
        ));
    }
    if *said.code() == SqlState::PROTOCOL_VIOLATION && has("does not exist") {
        return Some(by_state(&SqlState::INVALID_CATALOG_NAME));
    }
    if *said.code() == SqlState::FEATURE_NOT_SUPPORTED && has("during recovery") {
        return Some(by_state(&SqlState::READ_ONLY_SQL_TRANSACTION));
    }
    if *said.code() == SqlState::QUERY_CANCELED && has("user request") {
        return Some((ErrorKind::Unavailable, "somebody cancelled the statement; run it again"));
    }
    None
}

fn by_state(state: &SqlState) -> Said {
    session(state).or_else(|| trouble(state)).unwrap_or_else(|| match &state.code()[..2] {
        "08" => AWAY,
        "53" => (ErrorKind::Failed, "the server has run out of something; the cause says of what"),
        "58" => (ErrorKind::Failed, "the server's machine failed; its log says more"),
        "XX" => (ErrorKind::Damaged, "the server found its own files damaged; its log says more"),
        _ => (ErrorKind::Failed, "the server refused a statement"),
    })
}

/// Who asks, what is asked for, and which server it is.
fn session(state: &SqlState) -> Option<Said> {
    Some(match *state {
        SqlState::INVALID_PASSWORD => (
            ErrorKind::Credentials,
            "the server does not accept the password; check PGPASSWORD or the password file",
        ),
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION => (
            ErrorKind::Credentials,
            "the server lets nobody in who comes like this; check the user, sslmode, and the \
             server's pg_hba.conf",
        ),
        SqlState::INSUFFICIENT_PRIVILEGE => (
            ErrorKind::Credentials,
            "the user lacks a right; let the owner grant it, or come as another user",
        ),
        SqlState::INVALID_CATALOG_NAME => {
            (ErrorKind::NotFound, "there is no such database; create it, or name another")
        }
        SqlState::INVALID_SCHEMA_NAME => {
            (ErrorKind::NotFound, "there is no such schema; create it, or name another")
        }
        SqlState::UNDEFINED_TABLE => {
            (ErrorKind::NotFound, "a table is not there; check database and schema")
        }
        SqlState::READ_ONLY_SQL_TRANSACTION => (
            ErrorKind::Refused,
            "the server is a read-only replica, or the user may only read; name the primary, or \
             come as another user",
        ),
        _ => return None,
    })
}

/// What is in the way for now, or until somebody mends it.
fn trouble(state: &SqlState) -> Option<Said> {
    Some(match *state {
        SqlState::DISK_FULL => (
            ErrorKind::Failed,
            "the server's disk or tablespace is full; free room, then run again",
        ),
        SqlState::TOO_MANY_CONNECTIONS => (
            ErrorKind::Unavailable,
            "the server has no connection left; use fewer jobs, or raise its max_connections",
        ),
        SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::CANNOT_CONNECT_NOW
        | SqlState::DATABASE_DROPPED => {
            (ErrorKind::Unavailable, "the server is starting up or shutting down")
        }
        SqlState::QUERY_CANCELED => (
            ErrorKind::Unavailable,
            "a statement took longer than statement_timeout allows; raise it in the address",
        ),
        SqlState::LOCK_NOT_AVAILABLE => (
            ErrorKind::Unavailable,
            "a lock was held by others for longer than lock_timeout allows",
        ),
        SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => {
            (ErrorKind::Unavailable, "another transaction was in the way")
        }
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => (
            ErrorKind::Unavailable,
            "a transaction waited for longer than idle_in_transaction_session_timeout allows",
        ),
        SqlState::CHARACTER_NOT_IN_REPERTOIRE | SqlState::UNTRANSLATABLE_CHARACTER => {
            (ErrorKind::Unsupported, "a text holds a character that the database cannot")
        }
        SqlState::PROGRAM_LIMIT_EXCEEDED => {
            (ErrorKind::Unsupported, "a value is larger than PostgreSQL can hold")
        }
        _ => return None,
    })
}

/// The library tells its own kinds of errors apart by their words alone.
fn unsaid(error: &postgres::Error) -> Said {
    if is_tls(error) {
        return tls(error);
    }
    match error.to_string().as_str() {
        _ if find::<rustls::Error>(error).is_some() => tls(error),
        "authentication error" if said_inside(error, "unsupported authentication") => (
            ErrorKind::Credentials,
            "the server's way to ask who is there is not supported; let its pg_hba.conf ask for \
             scram-sha-256",
        ),
        "authentication error" => (
            ErrorKind::Credentials,
            "the server could not be told who is there, or could not prove itself; check the \
             password, and channel_binding",
        ),
        "invalid configuration" if said_inside(error, "password missing") => NO_PASSWORD,
        "invalid configuration" | "invalid connection string" => {
            (ErrorKind::Invalid, "the address cannot be used to connect")
        }
        "error connecting to server"
        | "error communicating with the server"
        | "connection closed"
        | "timeout waiting for server" => AWAY,
        _ => (ErrorKind::Failed, "the server answered what is not understood"),
    }
}

fn said_inside(error: &postgres::Error, text: &str) -> bool {
    error.source().is_some_and(|cause| cause.to_string().contains(text))
}

fn is_tls(error: &postgres::Error) -> bool {
    error.to_string() == "error performing TLS handshake"
}

fn tls(error: &postgres::Error) -> Said {
    use rustls::CertificateError as Cert;
    use rustls::Error as Tls;
    match find::<Tls>(error) {
        Some(Tls::InvalidCertificate(
            Cert::NotValidForName | Cert::NotValidForNameContext { .. },
        )) => (
            ErrorKind::Refused,
            "the server's certificate is for another host (only its subjectAltName counts); name \
             that host, or say sslmode=verify-ca",
        ),
        Some(Tls::InvalidCertificate(Cert::Expired | Cert::ExpiredContext { .. })) => {
            (ErrorKind::Refused, "the server's certificate has expired; renew it")
        }
        Some(Tls::InvalidCertificate(_)) => (
            ErrorKind::Refused,
            "the server's certificate is not trusted; name who signed it with sslrootcert",
        ),
        Some(Tls::AlertReceived(_)) => (
            ErrorKind::Credentials,
            "the server ended TLS; it may want a certificate from us (sslcert and sslkey)",
        ),
        Some(_) => (ErrorKind::Failed, "the server's TLS is not understood"),
        None if find::<io::Error>(error).is_some() => AWAY,
        None => (
            ErrorKind::Refused,
            "the server offers no TLS; switch it on there, or say sslmode=prefer to go without",
        ),
    }
}

/// Looks for a cause; errors of input and output hide theirs inside.
fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = inner.map(|inner| inner as &(dyn StdError + 'static)).or_else(|| error.source());
    }
    None
}
