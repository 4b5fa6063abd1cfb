//! Databases on the PostgreSQL server that `cargo xtask test` started, each gone with its test.

use std::sync::atomic::{AtomicU64, Ordering};

use postgres::{Client, NoTls};

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

/// Says whether this run was told to do without something.
pub fn is_without(what: &str) -> bool {
    let without = std::env::var("RESTOW_TEST_WITHOUT").unwrap_or_default();
    without.split(',').any(|name| name.trim() == what)
}

fn named(variable: &str) -> Option<String> {
    if let Ok(url) = std::env::var(variable) {
        return Some(url);
    }
    assert!(
        is_without("postgres"),
        "{variable} names no server; `cargo xtask test` and `cargo xtask services` start one, \
         RESTOW_TEST_WITHOUT=postgres does without"
    );
    None
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
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("restow_test_{}_{number}", std::process::id());
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
        let (base, query) = match server.split_once('?') {
            Some((base, query)) => (base, format!("?{query}")),
            None => (server, String::new()),
        };
        let base = match base.splitn(4, '/').collect::<Vec<_>>().as_slice() {
            [scheme, empty, host, ..] => format!("{scheme}/{empty}/{host}"),
            _ => panic!("the server's address is no URL: {base}"),
        };
        format!("{base}/{}{query}", self.name)
    }

    /// Returns the address of a layout in the database, `<layout>+postgres://…`.
    pub fn address(&self, layout: &str) -> String {
        let url = self.url();
        let place = url.split_once(':').expect("a URL has a scheme").1;
        format!("{layout}+postgres:{place}")
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
