//! Connecting: hosts in their order, encrypted as asked for, and only to what can be worked with.

use std::net::IpAddr;

use postgres::config::SslMode;
use postgres::{Client, SimpleQueryMessage};
use restow_store::{Error, ErrorKind, Result};

use super::{Settings, error};

/// A host, its port, and the password for it.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) ip: Option<IpAddr>,
    pub(super) port: u16,
    pub(super) password: Option<String>,
}

impl Host {
    fn is_socket(&self) -> bool {
        self.name.starts_with('/') && self.ip.is_none()
    }
}

/// What a server among several has to be (`target_session_attrs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Session {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

impl Session {
    /// Preferring takes two rounds.
    fn rounds(self) -> &'static [Self] {
        match self {
            Self::Any => &[Self::Any],
            Self::ReadWrite => &[Self::ReadWrite],
            Self::ReadOnly => &[Self::ReadOnly],
            Self::Primary => &[Self::Primary],
            Self::Standby => &[Self::Standby],
            Self::PreferStandby => &[Self::Standby, Self::Any],
        }
    }

    fn accepts(self, is_standby: bool, is_read_only: bool) -> bool {
        match self {
            Self::Any | Self::PreferStandby => true,
            Self::ReadWrite => !is_read_only,
            Self::ReadOnly => is_read_only,
            Self::Primary => !is_standby,
            Self::Standby => is_standby,
        }
    }
}

impl Settings {
    pub(super) fn connect(&self, operation: &'static str) -> Result<Client> {
        let mut last = None;
        for round in self.session.rounds() {
            for host in &self.hosts {
                match self.connect_host(operation, host, *round) {
                    Ok(client) => return Ok(client),
                    // Who is refused by one server is not tried on others, as with `libpq`.
                    Err(error) if error.kind() == ErrorKind::Credentials => return Err(error),
                    Err(error) => last = Some(error),
                }
            }
        }
        Err(last.unwrap_or_else(|| Error::new(ErrorKind::Invalid, operation, "no host is named")))
    }

    fn connect_host(
        &self,
        operation: &'static str,
        host: &Host,
        session: Session,
    ) -> Result<Client> {
        let mut modes = self.tls.attempts(host.is_socket()).iter().copied().peekable();
        loop {
            let Some(mode) = modes.next() else {
                return Err(Error::new(ErrorKind::Failed, operation, "no way to connect is left"));
            };
            match self.config(host, mode).connect(self.tls.connector.clone()) {
                Ok(mut client) => {
                    self.check(operation, &mut client, session)?;
                    return Ok(client);
                }
                Err(error) if modes.peek().is_some() && error::is_for_another_mode(&error) => {}
                Err(error) => {
                    let error = self.failed(operation, error);
                    return Err(match &self.ignored_passfile {
                        Some(path) if error.kind() == ErrorKind::Credentials => error
                            .with("ignored, for others may read it", path.display().to_string()),
                        _ => error,
                    });
                }
            }
        }
    }

    /// Turns an error of PostgreSQL's into the port's, naming the server.
    pub(super) fn failed(&self, operation: &'static str, error: postgres::Error) -> Error {
        error::failed(operation, error).with("server", self.shown())
    }

    fn config(&self, host: &Host, mode: SslMode) -> postgres::Config {
        let mut config = self.config.clone();
        config.host(&host.name).port(host.port);
        config.ssl_mode(mode).ssl_negotiation(self.tls.negotiation);
        host.ip.map(|ip| config.hostaddr(ip));
        host.password.as_deref().map(|password| config.password(password));
        config
    }

    fn check(&self, operation: &'static str, client: &mut Client, session: Session) -> Result<()> {
        let sql = "SELECT current_setting('server_encoding'), pg_is_in_recovery(), \
                   current_setting('transaction_read_only')::bool";
        let answer = client.simple_query(sql).map_err(|error| self.failed(operation, error))?;
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let said = |at| row.and_then(|row| row.get(at)).unwrap_or_default();
        if said(0) != "UTF8" {
            let message = "the database is not in UTF8, so it cannot hold every text; name one \
                           that was made with ENCODING 'UTF8'";
            return Err(Error::new(ErrorKind::Unsupported, operation, message)
                .with("server", self.shown())
                .with("encoding", said(0)));
        }
        if session.accepts(said(1) == "t", said(2) == "t") {
            return Ok(());
        }
        let message = "no server is what target_session_attrs asks for";
        Err(Error::new(ErrorKind::Refused, operation, message).with("server", self.shown()))
    }
}
