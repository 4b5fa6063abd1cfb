//! What PostgreSQL refuses, in words that say what to do: each provoked on a real server.
#![cfg(unix)]
#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where it cannot go on")]

use restow_store::feed::Stop;
use restow_store::{Address, Error, ErrorKind};
use restow_stores::engine::postgres::{Server, Settings};
use restow_testkit::cluster::Cluster;

fn server(cluster: &Cluster, user: &str, more: &str) -> Server {
    let (folder, port) = (cluster.folder().display(), cluster.port());
    let place = format!("host={folder} port={port} user={user} dbname=postgres {more}");
    let address = Address::parse(&format!("langgraph+postgres:{place}")).expect("an address");
    Server::new(Settings::parse(&address).expect("settings"))
}

fn act(server: &Server, sql: &str) -> Result<(), Error> {
    ended(server.write("act", |tx| Ok(tx.batch_execute(sql)?)))
}

fn look(server: &Server, sql: &str) -> Result<(), Error> {
    ended(server.read("look", |tx| Ok(tx.batch_execute(sql)?)))
}

fn ended(result: Result<(), Stop>) -> Result<(), Error> {
    result.map_err(|stop| match stop {
        Stop::Error(error) => error,
        Stop::Closed => panic!("nobody closed a stream"),
    })
}

#[track_caller]
fn assert_says(result: Result<(), Error>, kind: ErrorKind, part: &str) {
    let error = result.expect_err("a refusal");
    assert!(error.kind() == kind && error.to_string().contains(part), "{:?} {error}", error.kind());
}

#[test]
fn a_missing_right_is_named_with_the_statement_that_grants_it() {
    let Some(cluster) = Cluster::start("") else { return };
    cluster.admin("CREATE TABLE checkpoints (x int); CREATE SCHEMA own; CREATE ROLE app LOGIN");
    let app = server(&cluster, "app", "");
    let table = "statement GRANT SELECT ON TABLE checkpoints TO app";
    assert_says(look(&app, "SELECT x FROM checkpoints"), ErrorKind::Credentials, table);
    let table = "statement GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE checkpoints TO app";
    assert_says(act(&app, "DELETE FROM checkpoints"), ErrorKind::Credentials, table);
    let schema = "statement GRANT USAGE, CREATE ON SCHEMA own TO app";
    assert_says(act(&app, "CREATE TABLE own.t ()"), ErrorKind::Credentials, schema);
    let create = "statement GRANT CREATE ON DATABASE postgres TO app";
    assert_says(act(&app, "CREATE SCHEMA app"), ErrorKind::Credentials, create);
    let nobody = server(&cluster, "absent", "");
    assert_says(act(&nobody, "SELECT 1"), ErrorKind::Credentials, "check the user");
}

#[test]
fn a_database_has_to_be_there_and_in_utf8() {
    let Some(cluster) = Cluster::start("") else { return };
    let absent = server(&cluster, "postgres", "dbname=absent");
    assert_says(act(&absent, "SELECT 1"), ErrorKind::NotFound, "create it, or name another");
    for encoding in ["SQL_ASCII", "LATIN1"] {
        let name = encoding.to_lowercase();
        cluster.admin(&format!(
            "CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
        ));
        let named = server(&cluster, "postgres", &format!("dbname={name}"));
        let said = format!("encoding {encoding}");
        assert_says(act(&named, "SELECT 1"), ErrorKind::Unsupported, &said);
    }
    let own = server(&cluster, "postgres", "");
    let missing = "SELECT * FROM nowhere.checkpoints";
    assert_says(look(&own, missing), ErrorKind::NotFound, "check database and schema");
}

#[test]
fn what_takes_too_long_or_stands_in_the_way_may_be_tried_again() {
    let Some(cluster) = Cluster::start("") else { return };
    let hasty = server(&cluster, "postgres", "statement_timeout=50ms");
    let slow = look(&hasty, "SELECT pg_sleep(60)");
    assert_says(slow, ErrorKind::Unavailable, "statement_timeout");
    let (one, other) = (server(&cluster, "postgres", ""), server(&cluster, "postgres", ""));
    act(&one, "CREATE TABLE t (x int); INSERT INTO t VALUES (1)").expect("a table");
    let in_the_way = one.write("hold", |tx| {
        tx.batch_execute("LOCK TABLE t")?;
        let blocked = act(&other, "SET LOCAL lock_timeout = 50; UPDATE t SET x = 2");
        assert_says(blocked, ErrorKind::Unavailable, "lock_timeout");
        Ok(())
    });
    ended(in_the_way).expect("a lock");
    let overtaken = one.write("overtake", |tx| {
        tx.batch_execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT * FROM t")?;
        act(&other, "UPDATE t SET x = x + 1").expect("an update");
        Ok(tx.batch_execute("UPDATE t SET x = x + 1")?)
    });
    assert_says(ended(overtaken), ErrorKind::Unavailable, "another transaction");
    let ended_by_hand = act(&one, "SELECT pg_terminate_backend(pg_backend_pid())");
    // The server's last words may be lost with the connection.
    let kind = ended_by_hand.map_err(|error| error.kind());
    assert_eq!(kind, Err(ErrorKind::Unavailable));
    act(&one, "SELECT 1").expect("another connection");
}

#[test]
fn connections_run_out() {
    let settings = "max_connections = 4\nsuperuser_reserved_connections = 1\n";
    let Some(cluster) = Cluster::start(settings) else { return };
    cluster.admin("CREATE ROLE app LOGIN");
    let servers: Vec<_> = (0..3).map(|_| server(&cluster, "app", "")).collect();
    for held in &servers {
        act(held, "SELECT 1").expect("a connection, which stays idle");
    }
    let one_more = server(&cluster, "app", "");
    assert_says(act(&one_more, "SELECT 1"), ErrorKind::Unavailable, "no connection left");
}

#[test]
fn a_full_tablespace_is_named_and_the_work_goes_on_when_there_is_room() {
    let Some(mut cluster) = Cluster::start("") else { return };
    let Some(small) = cluster.small_disk("1m") else { return };
    let own = server(&cluster, "postgres", "");
    cluster.admin(&format!("CREATE TABLESPACE small LOCATION '{}'", small.display()));
    act(&own, "CREATE TABLE t (x text) TABLESPACE small").expect("a table");
    let fill = "INSERT INTO t SELECT repeat('x', 1000) FROM generate_series(1, 4000)";
    assert_says(act(&own, fill), ErrorKind::Failed, "free room, then run again");
    cluster.admin("ALTER TABLE t SET TABLESPACE pg_default");
    act(&own, fill).expect("room enough");
}

#[test]
fn what_somebody_has_to_mend_is_no_reason_to_try_again() {
    let Some(cluster) = Cluster::start("temp_file_limit = 64kB\nwork_mem = 64kB\n") else { return };
    cluster.admin("CREATE ROLE app LOGIN");
    let app = server(&cluster, "app", "");
    let large = "SELECT n FROM generate_series(1, 100000) AS s(n) ORDER BY n DESC OFFSET 99999";
    assert_says(look(&app, large), ErrorKind::Failed, "has run out of something");
    let raise = |state: &str| format!("DO $$ BEGIN RAISE SQLSTATE '{state}'; END $$");
    assert_says(act(&app, &raise("XX001")), ErrorKind::Damaged, "damaged");
    assert_says(act(&app, &raise("57P03")), ErrorKind::Unavailable, "starting up");
}
