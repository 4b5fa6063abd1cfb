//! How a server is reached: what an address says, completed as `libpq` would.

use std::path::{Path, PathBuf};
use std::time::Duration;

use postgres::config::ChannelBinding;
use restow_store::{Address, Environment, Error, ErrorKind, Result};

use super::connect::{Host, Session};
use super::conninfo::{self, Params};
use super::tls::Tls;
use super::{passfile, service};

const OPERATION: &str = "read an address";

/// Where Debian's and most other servers have their socket, and where PostgreSQL's own default is.
const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// What stands for a parameter that neither the address nor its service has.
const VARIABLES: &[(&str, &str)] = &[
    ("PGAPPNAME", "application_name"),
    ("PGCHANNELBINDING", "channel_binding"),
    ("PGCONNECT_TIMEOUT", "connect_timeout"),
    ("PGDATABASE", "dbname"),
    ("PGHOST", "host"),
    ("PGHOSTADDR", "hostaddr"),
    ("PGOPTIONS", "options"),
    ("PGPASSFILE", "passfile"),
    ("PGPASSWORD", "password"),
    ("PGPORT", "port"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLKEY", "sslkey"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLNEGOTIATION", "sslnegotiation"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGTARGETSESSIONATTRS", "target_session_attrs"),
    ("PGUSER", "user"),
];

/// How a server is reached, and in which schema the application's tables lie.
#[derive(Clone)]
pub struct Settings {
    pub(super) config: postgres::Config,
    pub(super) hosts: Vec<Host>,
    pub(super) tls: Tls,
    pub(super) session: Session,
    /// A password file that others may read, and that was therefore left aside.
    pub(super) ignored_passfile: Option<PathBuf>,
    /// How long a server that went away is waited for.
    pub(super) wait: Duration,
    read_with: String,
    write_with: String,
    schema: Option<String>,
    shown: String,
}

impl Settings {
    /// Reads the place of an address: a URL (`//user@host/database?…`) or keywords and values.
    pub fn parse(address: &Address) -> Result<Self> {
        Self::parse_in(address, &Environment::default())
    }

    /// Reads the place of an address, and takes what it leaves out from the environment.
    pub fn parse_in(address: &Address, environment: &Environment) -> Result<Self> {
        Self::of(address, environment).map_err(|e| e.with("address", address.to_string()))
    }

    fn of(address: &Address, environment: &Environment) -> Result<Self> {
        let params = complete(&address.place, environment)?;
        let given = Given(&params);
        let (hosts, ignored_passfile) = hosts(&given, environment)?;
        let statement_timeout = given.statement_timeout()?;
        let toast_compression = given.toast_compression()?;
        Ok(Self {
            config: given.config()?,
            hosts,
            tls: Tls::new(&params, environment)?,
            session: given.session()?,
            ignored_passfile,
            wait: Duration::from_secs(given.number("wait")?.unwrap_or(60)),
            write_with: format!("{statement_timeout}{toast_compression}"),
            read_with: statement_timeout,
            schema: given.text("schema").map(str::to_owned),
            shown: address.masked_place(),
        })
    }

    /// Returns the schema that the address names; none stands for the first of the search path.
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// Returns the place without secrets, to be shown.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Returns the statements that each transaction begins with.
    pub(super) fn begin_with(&self, is_read: bool) -> &str {
        if is_read { &self.read_with } else { &self.write_with }
    }
}

/// What the address leaves out comes from its service, and then from variables.
fn complete(place: &str, environment: &Environment) -> Result<Params> {
    let mut params = conninfo::parse(place).map_err(|why| {
        let message = format!("the address is not one of PostgreSQL's: {why}");
        Error::new(ErrorKind::Invalid, OPERATION, message)
    })?;
    let service = params.remove("service");
    if let Some(name) = service.as_deref().or(environment.get("PGSERVICE")) {
        let file = params.remove("servicefile");
        let file = file.as_deref().or(environment.get("PGSERVICEFILE"));
        for (name, value) in service::find(name, file, environment)? {
            params.entry(name).or_insert(value);
        }
    }
    for (variable, name) in VARIABLES {
        if let Some(value) = environment.get(variable) {
            params.entry((*name).to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    params.retain(|_, value| !value.is_empty());
    match conninfo::unknown(&params) {
        Some(name) => {
            let message = "a parameter is not known, or not supported here; leave it out";
            Err(Error::new(ErrorKind::Invalid, OPERATION, message).with("parameter", name))
        }
        None => Ok(params),
    }
}

/// Parameters, read as what they have to be.
struct Given<'a>(&'a Params);

impl Given<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn number(&self, name: &'static str) -> Result<Option<u64>> {
        let number = self.text(name).map(|text| text.trim().parse());
        number.transpose().map_err(|_| wrong(name, "a whole number"))
    }

    fn seconds(&self, name: &'static str) -> Result<Option<Duration>> {
        Ok(self.number(name)?.filter(|&s| s > 0).map(Duration::from_secs))
    }

    fn one_of(&self, name: &'static str, known: &[&'static str]) -> Result<Option<&'static str>> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let found = known.iter().find(|&&one| one.eq_ignore_ascii_case(text));
        found.map(|&one| Some(one)).ok_or_else(|| wrong(name, &known.join(" ")))
    }

    fn config(&self) -> Result<postgres::Config> {
        self.one_of("gssencmode", &["disable", "prefer"])?;
        self.one_of("client_encoding", &["utf8", "auto", "utf-8"])?;
        let mut config = postgres::Config::new();
        let name = self.text("application_name").or(self.text("fallback_application_name"));
        config.application_name(name.unwrap_or("restow"));
        self.text("user").map(|user| config.user(user));
        self.text("dbname").map(|name| config.dbname(name));
        self.text("options").map(|options| config.options(options));
        config.connect_timeout(Duration::from_secs(10));
        self.seconds("connect_timeout")?.map(|time| config.connect_timeout(time));
        let milliseconds = self.number("tcp_user_timeout")?.filter(|&ms| ms > 0);
        milliseconds.map(|ms| config.tcp_user_timeout(Duration::from_millis(ms)));
        config.keepalives(self.number("keepalives")? != Some(0));
        self.seconds("keepalives_idle")?.map(|time| config.keepalives_idle(time));
        self.seconds("keepalives_interval")?.map(|time| config.keepalives_interval(time));
        let count = self.number("keepalives_count")?.and_then(|n| u32::try_from(n).ok());
        count.filter(|&n| n > 0).map(|n| config.keepalives_retries(n));
        match self.one_of("channel_binding", &["disable", "prefer", "require"])? {
            Some("disable") => config.channel_binding(ChannelBinding::Disable),
            Some("require") => config.channel_binding(ChannelBinding::Require),
            _ => config.channel_binding(ChannelBinding::Prefer),
        };
        Ok(config)
    }

    fn session(&self) -> Result<Session> {
        let known = ["any", "read-write", "read-only", "primary", "standby", "prefer-standby"];
        Ok(match self.one_of("target_session_attrs", &known)? {
            Some("read-write") => Session::ReadWrite,
            Some("read-only") => Session::ReadOnly,
            Some("primary") => Session::Primary,
            Some("standby") => Session::Standby,
            Some("prefer-standby") => Session::PreferStandby,
            _ => Session::Any,
        })
    }

    fn statement_timeout(&self) -> Result<String> {
        let Some(time) = self.text("statement_timeout") else { return Ok(String::new()) };
        let is_plain = time.bytes().all(|b| b.is_ascii_alphanumeric() || b == b' ');
        if !is_plain {
            return Err(wrong("statement_timeout", "a time such as 30s, 5min, or milliseconds"));
        }
        Ok(format!("; SET LOCAL statement_timeout = '{time}'"))
    }

    fn toast_compression(&self) -> Result<String> {
        let method = self.one_of("toast_compression", &["lz4", "pglz"])?;
        let set = |method| format!("; SET LOCAL default_toast_compression = {method}");
        Ok(method.map(set).unwrap_or_default())
    }
}

fn hosts(given: &Given<'_>, environment: &Environment) -> Result<(Vec<Host>, Option<PathBuf>)> {
    let list = |name| given.text(name).map_or_else(Vec::new, |text| text.split(',').collect());
    let (names, addresses, ports): (Vec<&str>, Vec<&str>, Vec<&str>) =
        (list("host"), list("hostaddr"), list("port"));
    let count = names.len().max(addresses.len()).max(1);
    let fits = |list: &[&str]| list.is_empty() || list.len() == count;
    if !fits(&names) || !fits(&addresses) || !(fits(&ports) || ports.len() == 1) {
        return Err(wrong("host", "as many hosts as hostaddr, and one port or as many"));
    }
    let mut hosts = Vec::with_capacity(count);
    for at in 0..count {
        let ip = addresses.get(at).filter(|text| !text.is_empty());
        let ip = ip.map(|text| text.parse().map_err(|_| wrong("hostaddr", "an IP address")));
        let port = ports.get(at).or(ports.first()).filter(|text| !text.is_empty());
        let port = port.map(|text| text.trim().parse().map_err(|_| wrong("port", "a number")));
        let name = match (names.get(at).filter(|name| !name.is_empty()), addresses.get(at)) {
            (Some(name), _) => (*name).to_owned(),
            (None, Some(address)) => (*address).to_owned(),
            (None, None) => default_host(),
        };
        let (ip, port) = (ip.transpose()?, port.transpose()?.unwrap_or(5432));
        hosts.push(Host { name, ip, port, password: given.text("password").map(str::to_owned) });
    }
    let ignored = match given.text("password") {
        Some(_) => None,
        None => passwords(&mut hosts, given, environment),
    };
    Ok((hosts, ignored))
}

/// Takes passwords from the password file; returns the file that was left aside.
fn passwords(hosts: &mut [Host], given: &Given<'_>, env: &Environment) -> Option<PathBuf> {
    let own = || env.get("HOME").map(|home| Path::new(home).join(".pgpass"));
    let path = given.text("passfile").map(PathBuf::from).or_else(own)?;
    let (text, is_ignored) = passfile::load(&path);
    let user = given.text("user").or(env.get("USER")).unwrap_or_default();
    let database = given.text("dbname").unwrap_or(user);
    for host in hosts {
        let is_default = SOCKET_FOLDERS.contains(&host.name.as_str());
        let name = if is_default { "localhost" } else { &host.name };
        let who = passfile::Who { host: name, port: host.port, database, user };
        host.password = text.as_deref().and_then(|text| passfile::find(text, who));
    }
    is_ignored.then_some(path)
}

fn default_host() -> String {
    let there = SOCKET_FOLDERS.iter().find(|folder| Path::new(folder).is_dir());
    let is_unix = cfg!(unix);
    there.filter(|_| is_unix).map_or_else(|| "localhost".to_owned(), |&folder| folder.to_owned())
}

fn wrong(parameter: &'static str, expected: &str) -> Error {
    let message = "a parameter of the address has a value that makes no sense";
    Error::new(ErrorKind::Invalid, OPERATION, message)
        .with("parameter", parameter)
        .with("expected", expected)
}
