//! Connections to PostgreSQL: who may come, how, and what is said when something is in the way.
#![cfg(unix)]
#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where it cannot go on")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use restow_store::feed::Stop;
use restow_store::{Address, Environment, Error, ErrorKind};
use restow_stores::engine::postgres::{Server, Settings};
use restow_testkit::cluster::Cluster;

fn server(place: &str, environment: &Environment) -> Result<Server, Error> {
    let address = Address::parse(&format!("langgraph+postgres:{place}")).expect("an address");
    Settings::parse_in(&address, environment).map(Server::new)
}

/// Reads one text.
fn ask(server: &Server, sql: &str) -> Result<String, Error> {
    let read = server.read("ask", |tx| Ok(tx.query_typed(sql, &[])?[0].get::<_, String>(0)));
    read.map_err(error)
}

/// Executes statements.
fn act(server: &Server, sql: &str) -> Result<(), Error> {
    server.write("act", |tx| Ok(tx.batch_execute(sql)?)).map_err(error)
}

fn error(stop: Stop) -> Error {
    match stop {
        Stop::Error(error) => error,
        Stop::Closed => panic!("nobody closed a stream"),
    }
}

/// Connects and asks; returns the kind and the words of what failed.
fn fails(place: &str, environment: &Environment) -> (ErrorKind, String) {
    let error = server(place, environment)
        .and_then(|server| ask(&server, "SELECT version()"))
        .expect_err(place);
    let mut words = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        words.push_str(&format!(" {error}"));
        cause = error.source();
    }
    assert!(!words.contains("hunter2") && !words.contains("secret"), "{words}");
    (error.kind(), words)
}

fn reaches(place: &str, environment: &Environment) {
    let asked = server(place, environment).and_then(|server| ask(&server, "SELECT version()"));
    assert!(asked.is_ok(), "{place}: {asked:?}");
}

#[track_caller]
fn assert_says((kind, words): (ErrorKind, String), expected: ErrorKind, part: &str) {
    assert!(kind == expected && words.contains(part), "{kind:?}: {words}");
}

fn protected(path: &Path, text: &str, mode: u32) -> String {
    fs::write(path, text).expect("write a file");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("protect a file");
    path.display().to_string()
}

#[test]
fn passwords_come_from_wherever_libpq_takes_them() {
    let Some(cluster) = Cluster::start("") else { return };
    let (none, port, folder) = (Environment::default(), cluster.port(), cluster.folder());
    let place = format!("//postgres@127.0.0.1:{port}/postgres");
    assert_says(fails(&place, &none), ErrorKind::Credentials, "asks for a password");
    let wrong = format!("//postgres:hunter2@127.0.0.1:{port}/postgres");
    assert_says(fails(&wrong, &none), ErrorKind::Credentials, "does not accept the password");
    let wrong = Environment::from([("PGPASSWORD", "hunter2")]);
    assert_says(fails(&place, &wrong), ErrorKind::Credentials, "does not accept the password");
    let no_one = format!("//nobody:hunter2@127.0.0.1:{port}/postgres");
    assert_says(fails(&no_one, &none), ErrorKind::Credentials, "does not accept the password");

    reaches(&format!("//postgres:secret@127.0.0.1:{port}/postgres"), &none);
    let keywords = "host=127.0.0.1 dbname=postgres user=postgres password='secret'";
    reaches(&format!("{keywords} port={port}"), &none);
    reaches(&place, &Environment::from([("PGPASSWORD", "secret")]));
    let line = format!("127.0.0.1:{port}:postgres:postgres:secret\n");
    let passfile = protected(&folder.join(".pgpass"), &line, 0o600);
    reaches(&format!("{place}?passfile={passfile}"), &none);
    reaches(&place, &Environment::from([("PGPASSFILE", passfile.as_str())]));
    let home = folder.display().to_string();
    reaches(&place, &Environment::from([("HOME", home.as_str())]));
    let all = [("PGHOST", "127.0.0.1"), ("PGPORT", &*port.to_string()), ("PGUSER", "postgres")];
    let rest = [("PGDATABASE", "postgres"), ("PGPASSWORD", "secret"), ("PGAPPNAME", "x")];
    let all: Environment = [all, rest].concat().iter().map(|(n, v)| pair(n, v)).collect();
    reaches("//", &all);
    protected(&folder.join(".pgpass"), &line, 0o644);
    let open = Environment::from([("PGPASSFILE", passfile.as_str())]);
    assert_says(fails(&place, &open), ErrorKind::Credentials, "ignored, for others may read it");
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn services_sockets_hosts_and_our_own_parameters() {
    let Some(cluster) = Cluster::start("") else { return };
    let (none, port, folder) = (Environment::default(), cluster.port(), cluster.folder());
    let socket = folder.display().to_string();
    let by_socket = format!("host={socket} port={port} user=postgres dbname=postgres");
    reaches(&by_socket, &none);
    let escaped = socket.replace('/', "%2F");
    reaches(&format!("//postgres@{escaped}:{port}/postgres"), &none);
    let text = format!("[app]\nhost={socket}\nport={port}\nuser=postgres\ndbname=absent\n");
    let file = protected(&folder.join("services"), &text, 0o600);
    reaches(&format!("//?service=app&servicefile={file}&dbname=postgres"), &none);
    let service = [("PGSERVICE", "app"), ("PGSERVICEFILE", file.as_str())];
    assert_says(fails("//", &Environment::from(service)), ErrorKind::NotFound, "no such database");
    let missing = format!("//?service=other&servicefile={file}");
    assert_says(fails(&missing, &none), ErrorKind::NotFound, "service other");
    let unused = restow_testkit::cluster::free_port();
    let two = format!("host={socket},{socket} port={unused},{port} user=postgres dbname=postgres");
    reaches(&two, &none);

    let named = server(&format!("{by_socket} statement_timeout=7s"), &none).expect("settings");
    assert_eq!(ask(&named, "SHOW application_name").expect("a name"), "restow");
    assert_eq!(ask(&named, "SHOW statement_timeout").expect("a time"), "7s");
    let sql = "DO $$ BEGIN ASSERT current_setting('default_toast_compression') = 'pglz'; END $$";
    let pglz = format!("{by_socket} toast_compression=pglz schema=other");
    let pglz = server(&pglz, &none).expect("settings");
    assert_eq!(pglz.settings().schema(), Some("other"));
    act(&pglz, sql).expect("the method asked for");
    let work = "SET LOCAL default_toast_compression = 'no such method'";
    let refused = act(&pglz, work).expect_err("no such method");
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
    for bad in ["sslmode=maybe", "toast_compression=zip", "sslcrl=x", "port=x", "wait=soon"] {
        let (kind, words) = fails(&format!("{by_socket} {bad}"), &none);
        assert_eq!(kind, ErrorKind::Invalid, "{bad}: {words}");
    }
}

#[test]
fn encryption_is_what_sslmode_asks_for() {
    let Some(cluster) = Cluster::start("") else { return };
    let secret = Environment::from([("PGPASSWORD", "secret")]);
    let port = cluster.port();
    let at = |host: &str, more: &str| {
        format!("//postgres@{host}:{port}/postgres?hostaddr=127.0.0.1&{more}")
    };
    let refused = fails(&at("127.0.0.1", "sslmode=require"), &secret);
    assert_says(refused, ErrorKind::Refused, "offers no TLS");
    reaches(&at("127.0.0.1", ""), &secret);
    let ca = cluster.encrypt("IP:127.0.0.1");
    let ca = ca.display();
    cluster.allow("hostssl all all 127.0.0.1/32 scram-sha-256");
    let encrypted = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    for mode in ["allow", "prefer", "require"] {
        let server = server(&at("127.0.0.1", &format!("sslmode={mode}")), &secret);
        assert_eq!(ask(&server.expect(mode), encrypted).expect(mode), "true", "{mode}");
    }
    let clear = fails(&at("127.0.0.1", "sslmode=disable"), &secret);
    assert_says(clear, ErrorKind::Credentials, "pg_hba.conf");
    let known = format!("sslrootcert={ca}");
    reaches(&at("127.0.0.1", &format!("sslmode=verify-full&{known}")), &secret);
    reaches(&at("localhost", &format!("sslmode=verify-ca&{known}")), &secret);
    let other = fails(&at("localhost", &format!("sslmode=verify-full&{known}")), &secret);
    assert_says(other, ErrorKind::Refused, "another host");
    let nobody = fails(&at("127.0.0.1", "sslmode=verify-ca"), &secret);
    assert_says(nobody, ErrorKind::NotFound, "sslrootcert");
    let system = fails(&at("127.0.0.1", "sslrootcert=system"), &secret);
    assert_says(system, ErrorKind::Refused, "not trusted");
    let weak = fails(&at("127.0.0.1", "sslrootcert=system&sslmode=require"), &secret);
    assert_says(weak, ErrorKind::Invalid, "verify-full");
    cluster.allow("hostssl all all 127.0.0.1/32 cert");
    let required = fails(&at("127.0.0.1", "sslmode=require"), &secret);
    assert_says(required, ErrorKind::Credentials, "client certificate");
    let (own, key) = cluster.certify("own", "postgres", "DNS:postgres");
    let own = format!("sslmode=verify-ca&{known}&sslcert={}&sslkey=", own.display());
    reaches(&at("127.0.0.1", &format!("{own}{}", key.display())), &Environment::default());
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("open a key");
    let open = fails(&at("127.0.0.1", &format!("{own}{}", key.display())), &secret);
    assert_says(open, ErrorKind::Credentials, "chmod 600");
    cluster.allow("hostssl all all 127.0.0.1/32 scram-sha-256");
    let itself = cluster.sign_itself("IP:127.0.0.1");
    let itself = format!("sslmode=verify-full&sslrootcert={}", itself.display());
    reaches(&at("127.0.0.1", &itself), &secret);
    let other = fails(&at("localhost", &itself), &secret);
    assert_says(other, ErrorKind::Refused, "another host");
    let strange = fails(&at("127.0.0.1", &format!("sslmode=verify-full&{known}")), &secret);
    assert_says(strange, ErrorKind::Refused, "not trusted");
}

#[test]
fn a_server_that_was_there_is_waited_for() {
    let Some(cluster) = Cluster::start("") else { return };
    let none = Environment::default();
    let place = format!(
        "host={} port={} user=postgres dbname=postgres",
        cluster.folder().display(),
        cluster.port()
    );
    let (patient, hasty) = (server(&place, &none), server(&format!("{place} wait=0"), &none));
    let (patient, hasty) = (patient.expect("settings"), hasty.expect("settings"));
    act(&patient, "CREATE TABLE t ()").expect("a server");
    act(&hasty, "CREATE TABLE u ()").expect("a server");
    cluster.kill();
    let gone = act(&hasty, "DROP TABLE u").expect_err("nobody is there");
    assert_eq!(gone.kind(), ErrorKind::Unavailable, "{gone}");
    assert_says(fails(&place, &none), ErrorKind::Unavailable, "cannot be reached");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| act(&patient, "DROP TABLE t"));
        cluster.up();
        waiting.join().expect("no panic").expect("a server again");
    });
    act(&hasty, "DROP TABLE u").expect("a server again");
}

#[test]
fn a_replica_is_read_and_never_written_to() {
    let Some(cluster) = Cluster::start("") else { return };
    let none = Environment::default();
    let place = format!(
        "host={} port={} user=postgres dbname=postgres",
        cluster.folder().display(),
        cluster.port()
    );
    cluster.admin(
        "CREATE ROLE reader LOGIN; ALTER ROLE reader SET default_transaction_read_only = on",
    );
    let reader = server(&place.replace("user=postgres", "user=reader"), &none);
    let refused = act(&reader.expect("settings"), "CREATE TABLE t ()").expect_err("may only read");
    assert_eq!(refused.kind(), ErrorKind::Refused, "{refused}");
    cluster.kill();
    cluster.make_replica();
    cluster.up();
    reaches(&place, &none);
    let replica = server(&place, &none).expect("settings");
    let refused = act(&replica, "CREATE TABLE t ()").expect_err("a replica");
    assert_eq!(refused.kind(), ErrorKind::Refused, "{refused}");
    for wanted in ["standby", "prefer-standby", "read-only", "any"] {
        reaches(&format!("{place} target_session_attrs={wanted}"), &none);
    }
    for wanted in ["primary", "read-write"] {
        let (kind, words) = fails(&format!("{place} target_session_attrs={wanted}"), &none);
        assert_says((kind, words), ErrorKind::Refused, "target_session_attrs");
    }
}
