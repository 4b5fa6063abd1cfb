//! Databases and schemas on the PostgreSQL server that `cargo xtask test` started, each gone with
//! its test.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use postgres::{Client, NoTls};

use crate::servers;

/// Returns the URL of a superuser on the test server, or nothing where this run was told to do
/// without.
///
/// Panics where the server is missing and nobody said so: a server is never absent in silence.
pub fn server() -> Option<String> {
    named("RESTOW_TEST_POSTGRES")
}

/// Returns the URL of a pooler in transaction mode before the test server, which hands all that
/// use a database one connection; or nothing where this run was told to do without.
pub fn pooler() -> Option<String> {
    named("RESTOW_TEST_PGBOUNCER")
}

fn named(variable: &str) -> Option<String> {
    servers::named(variable, "postgres")
}

/// A database of a test's own.
#[derive(Debug)]
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// Makes an empty database; nothing where this run was told to do without a server.
    pub fn create() -> Option<Self> {
        Self::create_with("")
    }

    /// Makes a database under options of `CREATE DATABASE`, such as a collation.
    pub fn create_with(options: &str) -> Option<Self> {
        Some(Self::create_on(server()?, options))
    }

    /// Makes a database on a server of the test's own, named by the URL of a superuser.
    pub fn create_on(server: String, options: &str) -> Self {
        let name = own_name();
        let mut client = Client::connect(&server, NoTls).expect("reach the test server");
        client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).unwrap();
        client.batch_execute(&format!("CREATE DATABASE {name} {options}")).unwrap();
        Self { server, name }
    }

    /// Puts the content of another database in the place of this one's.
    pub fn become_copy_of(&self, other: &Self) {
        let mut client = Client::connect(&self.server, NoTls).expect("reach the test server");
        let (name, other) = (&self.name, &other.name);
        client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).unwrap();
        client.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {other}")).unwrap();
    }

    /// Returns the database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the URL of the database, `postgresql://…`.
    pub fn url(&self) -> String {
        self.url_at(&self.server)
    }

    /// Returns the URL of the database at another server, such as a pooler.
    pub fn url_at(&self, server: &str) -> String {
        url_of(server, &self.name)
    }

    /// Returns the address of a layout in the database, `<layout>+postgres://…`.
    pub fn address(&self, layout: &str) -> String {
        address_of(&self.url(), layout)
    }

    /// Connects to the database, past restow. Blocks; not for asynchronous tests.
    pub fn connect(&self) -> Client {
        Client::connect(&self.url(), NoTls).expect("reach the test database")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A test may be asynchronous; this client must not block inside its runtime.
        let dropped = std::thread::spawn(move || {
            let mut client = Client::connect(&server, NoTls).ok()?;
            client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).ok()
        });
        let _ = dropped.join();
    }
}

/// A schema of a test's own, in a database that many tests share: made in a fraction of the time
/// that a database takes.
#[derive(Debug)]
pub struct Schema {
    database: String,
    name: String,
}

impl Schema {
    /// Makes an empty schema; nothing where this run was told to do without a server.
    pub fn create() -> Option<Self> {
        static DATABASE: OnceLock<String> = OnceLock::new();
        Self::create_in(&DATABASE, "restow_test", "TEMPLATE template0")
    }

    /// Makes one where `a` stands before `B`, and punctuation hardly counts.
    pub fn create_collated() -> Option<Self> {
        const OPTIONS: &str = "LOCALE_PROVIDER icu ICU_LOCALE 'en-US' TEMPLATE template0";
        static DATABASE: OnceLock<String> = OnceLock::new();
        Self::create_in(&DATABASE, "restow_test_collated", OPTIONS)
    }

    fn create_in(made: &OnceLock<String>, database: &str, options: &str) -> Option<Self> {
        let server = server()?;
        let database = made.get_or_init(|| share(&server, database, options)).clone();
        let this = Self { database, name: own_name() };
        this.discard();
        let mut client = Client::connect(&this.database, NoTls).expect("reach the database");
        client.batch_execute(&format!("CREATE SCHEMA {}", this.name)).unwrap();
        Some(this)
    }

    /// Returns the schema's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the address of a layout in the schema, `<layout>+postgres://…?schema=…`.
    pub fn address(&self, layout: &str) -> String {
        let address = address_of(&self.database, layout);
        let mark = if address.contains('?') { '&' } else { '?' };
        format!("{address}{mark}schema={}", self.name)
    }

    /// Connects to the schema, past restow. Blocks; not for asynchronous tests.
    pub fn connect(&self) -> Client {
        let mut client = Client::connect(&self.database, NoTls).expect("reach the database");
        client.batch_execute(&format!("SET search_path = {}", self.name)).unwrap();
        client
    }

    /// Removes the schema, and the one that restow keeps beside it.
    fn discard(&self) {
        let (database, name) = (self.database.clone(), self.name.clone());
        // A test may be asynchronous; this client must not block inside its runtime.
        let dropped = std::thread::spawn(move || {
            let mut client = Client::connect(&database, NoTls).ok()?;
            client
                .batch_execute(&format!("DROP SCHEMA IF EXISTS {name}, {name}_restow CASCADE"))
                .ok()
        });
        let _ = dropped.join();
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        self.discard();
    }
}

/// Makes a database that tests share, if nobody has yet; it stays. Returns its URL.
fn share(server: &str, name: &str, options: &str) -> String {
    let mut client = Client::connect(server, NoTls).expect("reach the test server");
    client.batch_execute("SELECT pg_advisory_lock(hashtext('restow_test'))").unwrap();
    let sql = "SELECT 1 FROM pg_database WHERE datname = $1";
    if client.query_opt(sql, &[&name]).unwrap().is_none() {
        client.batch_execute(&format!("CREATE DATABASE {name} {options}")).unwrap();
    }
    url_of(server, name)
}

/// Makes a name that no other test of this server has.
fn own_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("restow_test_{}_{number}", std::process::id())
}

fn url_of(server: &str, database: &str) -> String {
    let (base, query) = match server.split_once('?') {
        Some((base, query)) => (base, format!("?{query}")),
        None => (server, String::new()),
    };
    let base = match base.splitn(4, '/').collect::<Vec<_>>().as_slice() {
        [scheme, empty, host, ..] => format!("{scheme}/{empty}/{host}"),
        _ => panic!("the server's address is no URL: {base}"),
    };
    format!("{base}/{database}{query}")
}

/// Returns the address of a layout at a URL.
pub fn address_of(url: &str, layout: &str) -> String {
    let place = url.split_once(':').expect("a URL has a scheme").1;
    format!("{layout}+postgres:{place}")
}
