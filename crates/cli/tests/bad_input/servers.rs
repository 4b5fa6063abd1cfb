//! PostgreSQL servers that let nobody in, forbid something, hold something else or are not there.

use insta::assert_snapshot;
use restow_testkit::cluster::{Cluster, free_port};

use crate::common::{APP, World};

/// A server of the test's own, and an application's file.
struct Served {
    world: World,
    cluster: Cluster,
}

impl Served {
    fn new() -> Option<Self> {
        let cluster = Cluster::start("")?;
        Some(Self { world: World::example("agent.sqlite"), cluster })
    }

    fn at(&self, layout: &str, user: &str, database: &str) -> String {
        format!("{layout}+postgres://{user}@127.0.0.1:{}/{database}", self.cluster.port())
    }

    fn shown(&self, args: &[&str]) -> String {
        let shown = self.world.transcript(args);
        // Lines are folded where the port still stands.
        shown.replace(&format!(":{}", self.cluster.port()), ":PORT")
    }

    /// Copies the application's file there.
    fn copy_to(&self, target: &str) -> String {
        self.shown(&["copy", APP, target])
    }

    /// Copies from there.
    fn copy_from(&self, source: &str) -> String {
        self.shown(&["copy", source, "agent.restow"])
    }
}

#[test]
fn a_wrong_password_and_none() {
    let Some(served) = Served::new() else { return };
    let to = |user| served.copy_to(&served.at("langgraph", user, "postgres"));
    assert_snapshot!(to("postgres:wrong"), @r#"
    $ restow copy app/agent.db langgraph+postgres://postgres:wrong@127.0.0.1:PORT/postgres
    --- standard error
    restow: open a database: the server does not accept the password; check PGPASSWORD or the \
        password file, sqlstate 28P01, server //postgres:***@127.0.0.1:PORT/postgres
      because: FATAL: password authentication failed for user "postgres"
    --- exit 12
    "#);
    assert_snapshot!(to("postgres"), @r"
    $ restow copy app/agent.db langgraph+postgres://postgres@127.0.0.1:PORT/postgres
    --- standard error
    restow: open a database: the server asks for a password; give it with PGPASSWORD or in a \
        password file, server //postgres@127.0.0.1:PORT/postgres
      because: invalid configuration
      because: password missing
    --- exit 12
    ");
    assert_snapshot!(to("nobody:secret"), @r#"
    $ restow copy app/agent.db langgraph+postgres://nobody:secret@127.0.0.1:PORT/postgres
    --- standard error
    restow: open a database: the server does not accept the password; check PGPASSWORD or the \
        password file, sqlstate 28P01, server //nobody:***@127.0.0.1:PORT/postgres
      because: FATAL: password authentication failed for user "nobody"
    --- exit 12
    "#);
}

#[test]
fn a_database_and_a_server_that_are_not_there() {
    let Some(served) = Served::new() else { return };
    assert_snapshot!(served.copy_to(&served.at("langgraph", "postgres:secret", "absent")), @r#"
    $ restow copy app/agent.db langgraph+postgres://postgres:secret@127.0.0.1:PORT/absent
    --- standard error
    restow: open a database: there is no such database; create it, or name another, sqlstate \
        3D000, server //postgres:***@127.0.0.1:PORT/absent
      because: FATAL: database "absent" does not exist
    --- exit 1
    "#);
    assert_snapshot!(served.copy_to(&served.at("parts", "postgres:secret", "absent")), @r#"
    $ restow copy app/agent.db parts+postgres://postgres:secret@127.0.0.1:PORT/absent
    --- standard error
    restow: open a parts store: there is no such database; create it, or name another, \
        sqlstate 3D000, server //postgres:***@127.0.0.1:PORT/absent
      because: FATAL: database "absent" does not exist
    --- exit 1
    "#);
    let nobody = format!("langgraph+postgres://postgres@127.0.0.1:{}/postgres", free_port());
    let told = served.world.run(&["copy", APP, &nobody]).expect(1).err;
    assert!(told.contains("the server cannot be reached, or went away"), "{told}");
    let schema = served.at("langgraph", "postgres:secret", "postgres?schema=absent");
    assert_snapshot!(served.copy_to(&schema), @r"
    $ restow copy app/agent.db 'langgraph+postgres://postgres:secret@127.0.0.1:PORT/postgres? \
        schema=absent'
    --- standard error
    restow: look at the tables: there is no such schema; make it with CREATE SCHEMA, or name \
        another, schema absent
    --- exit 1
    ");
}

#[test]
fn a_missing_right() {
    let Some(served) = Served::new() else { return };
    served.world.run(&["copy", APP, &served.at("langgraph", "postgres:secret", "postgres")]);
    served.cluster.admin(
        "CREATE ROLE app LOGIN PASSWORD 'secret';
         CREATE ROLE reader LOGIN PASSWORD 'secret';
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
    );
    served.cluster.admin("CREATE DATABASE empty");
    assert_snapshot!(served.copy_from(&served.at("langgraph", "app:secret", "postgres")), @r"
    $ restow copy langgraph+postgres://app:secret@127.0.0.1:PORT/postgres agent.restow
    --- standard error
    restow: open a database: the user lacks a right; let the owner grant it, or come as \
        another user, sqlstate 42501, server //app:***@127.0.0.1:PORT/postgres, statement GRANT \
        SELECT ON TABLE checkpoint_migrations TO app
      because: ERROR: permission denied for table checkpoint_migrations
    --- exit 12
    ");
    assert_snapshot!(served.copy_to(&served.at("langgraph", "reader:secret", "postgres")), @r"
    $ restow copy app/agent.db langgraph+postgres://reader:secret@127.0.0.1:PORT/postgres
    --- standard error
    restow: open a database: the user lacks a right; let the owner grant it, or come as \
        another user, sqlstate 42501, server //reader:***@127.0.0.1:PORT/postgres, statement \
        GRANT USAGE ON SCHEMA restow TO reader
      because: ERROR: permission denied for schema restow
    --- exit 12
    ");
    assert_snapshot!(served.copy_to(&served.at("langgraph", "app:secret", "empty")), @r#"
    $ restow copy app/agent.db langgraph+postgres://app:secret@127.0.0.1:PORT/empty
    langgraph+sqlite:app/agent.db
      → langgraph+postgres://app:***@127.0.0.1:PORT/empty
    --- standard error
    restow: check what is allowed: the role may not make tables in the schema, allow with \
        GRANT CREATE ON SCHEMA "public" TO "app"
    --- exit 12
    "#);
    assert_snapshot!(served.copy_to(&served.at("parts", "app:secret", "empty")), @r"
    $ restow copy app/agent.db parts+postgres://app:secret@127.0.0.1:PORT/empty
    langgraph+sqlite:app/agent.db
      → parts+postgres://app:***@127.0.0.1:PORT/empty
    --- standard error
    restow: make the tables of a store: the user lacks a right; let the owner grant it, or \
        come as another user, sqlstate 42501, server //app:***@127.0.0.1:PORT/empty, statement \
        GRANT CREATE ON DATABASE empty TO app
      because: ERROR: permission denied for database empty
    --- exit 12
    ");
}

#[test]
fn a_server_that_is_only_read() {
    let Some(served) = Served::new() else { return };
    let place = served.at("langgraph", "postgres:secret", "postgres");
    served.world.run(&["copy", APP, &place]).expect(0);
    served.cluster.admin(
        "CREATE ROLE reader LOGIN SUPERUSER PASSWORD 'secret';
         ALTER ROLE reader SET default_transaction_read_only = on",
    );
    let reader = served.at("langgraph", "reader:secret", "postgres");
    served.world.run(&["verify", APP, &reader]).expect(0);
    let other = ["copy", APP, &reader, "--ledger", "other"];
    // Nothing is to be done, so nothing is refused.
    served.world.run(&other).expect(0);
    assert_snapshot!(served.copy_to(&served.at("parts", "reader:secret", "postgres")), @r"
    $ restow copy app/agent.db parts+postgres://reader:secret@127.0.0.1:PORT/postgres
    langgraph+sqlite:app/agent.db
      → parts+postgres://reader:***@127.0.0.1:PORT/postgres
    --- standard error
    restow: make the tables of a store: the server is a read-only replica, or the user may \
        only read; name the primary, or come as another user, sqlstate 25006, server \
        //reader:***@127.0.0.1:PORT/postgres
      because: ERROR: cannot execute CREATE SCHEMA in a read-only transaction
    --- exit 13
    ");
    served.cluster.kill();
    served.cluster.make_replica();
    served.cluster.up();
    served.world.run(&["verify", APP, &place]).expect(0);
    assert_snapshot!(served.copy_to(&served.at("parts", "postgres:secret", "postgres")), @r"
    $ restow copy app/agent.db parts+postgres://postgres:secret@127.0.0.1:PORT/postgres
    langgraph+sqlite:app/agent.db
      → parts+postgres://postgres:***@127.0.0.1:PORT/postgres
    --- standard error
    restow: make the tables of a store: the server is a read-only replica, or the user may \
        only read; name the primary, or come as another user, sqlstate 25006, server \
        //postgres:***@127.0.0.1:PORT/postgres
      because: ERROR: cannot execute CREATE SCHEMA in a read-only transaction
    --- exit 13
    ");
}

#[test]
fn a_full_tablespace() {
    let Some(mut served) = Served::new() else { return };
    let Some(small) = served.cluster.small_disk("24m") else { return };
    served.cluster.admin(&format!("CREATE TABLESPACE small LOCATION '{}'", small.display()));
    served.cluster.admin("CREATE DATABASE app TABLESPACE small");
    let places = ["langgraph", "parts"].map(|layout| served.at(layout, "postgres:secret", "app"));
    for place in &places {
        served.world.run(&["copy", APP, place, "--units", "chat-short"]).expect(0);
    }
    let mut admin = served.cluster.connect("app");
    admin.batch_execute("CREATE TABLE filler (x text)").unwrap();
    // What a statement has taken from the disk is not given back where it fails.
    let fill = "INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 30000)";
    admin.batch_execute(fill).expect_err("a full disk");
    for place in &places {
        let outcome = served.world.run(&["copy", APP, place]);
        let said = format!("{}{}", outcome.out, outcome.err);
        assert!(matches!(outcome.code, Some(1 | 3)), "{said}");
        assert!(said.contains("the server's disk or tablespace is full; free room"), "{said}");
    }
    admin.batch_execute("DROP TABLE filler").unwrap();
    for place in &places {
        served.world.run(&["copy", APP, place]).expect(0);
        served.world.run(&["verify", APP, place]).expect(0);
    }
}

#[test]
fn a_database_of_something_else() {
    let Some(served) = Served::new() else { return };
    served.cluster.admin(
        "CREATE TABLE customers (id int);
         CREATE SCHEMA other; CREATE TABLE other.checkpoints (id int, at timestamptz)",
    );
    let place =
        |layout, more: &str| served.at(layout, "postgres:secret", &format!("postgres{more}"));
    assert_snapshot!(served.copy_from(&place("langgraph", "")), @r"
    $ restow copy langgraph+postgres://postgres:secret@127.0.0.1:PORT/postgres agent.restow
    --- standard error
    restow: open a database: the database holds no tables of LangGraph's, schema public, \
        server //postgres:***@127.0.0.1:PORT/postgres
    --- exit 2
    ");
    assert_snapshot!(served.copy_from(&place("parts", "")), @r"
    $ restow copy parts+postgres://postgres:secret@127.0.0.1:PORT/postgres agent.restow
    --- standard error
    restow: open a parts store: there is no parts store in this schema; check database and \
        schema, server //postgres:***@127.0.0.1:PORT/postgres, schema restow_parts
    --- exit 1
    ");
    assert_snapshot!(served.copy_to(&place("langgraph", "?schema=other")), @r"
    $ restow copy app/agent.db 'langgraph+postgres://postgres:secret@127.0.0.1:PORT/postgres? \
        schema=other'
    --- standard error
    restow: look at the tables: what lies under the name of a table of LangGraph's is not \
        LangGraph's: it lacks a column; name another schema with schema=NAME, table checkpoints, \
        column thread_id
    --- exit 1
    ");
    assert_snapshot!(served.copy_to(&place("parts", "?schema=other")), @r"
    $ restow copy app/agent.db 'parts+postgres://postgres:secret@127.0.0.1:PORT/postgres?sche \
        ma=other'
    --- standard error
    restow: open a parts store: the schema holds something else; name another schema, server \
        //postgres:***@127.0.0.1:PORT/postgres?schema=other, schema other
    --- exit 13
    ");
}

#[test]
fn a_database_of_another_saver() {
    let Some(served) = Served::new() else { return };
    served.cluster.admin(
        "CREATE TABLE checkpoint_migrations (v int PRIMARY KEY);
         CREATE TABLE checkpoints (thread_id text, checkpoint_ns text, type text,
             checkpoint jsonb, metadata jsonb, PRIMARY KEY (thread_id, checkpoint_ns));
         CREATE TABLE checkpoint_blobs (thread_id text, checkpoint_ns text, channel text,
             type text, blob bytea, PRIMARY KEY (thread_id, checkpoint_ns, channel));
         CREATE TABLE checkpoint_writes (thread_id text, checkpoint_ns text, checkpoint_id text,
             task_id text, idx int, channel text, type text, blob bytea)",
    );
    let shallow = served.at("langgraph", "postgres:secret", "postgres");
    assert_snapshot!(served.copy_from(&shallow), @r"
    $ restow copy langgraph+postgres://postgres:secret@127.0.0.1:PORT/postgres agent.restow
    --- standard error
    restow: look at the tables: the tables are ShallowPostgresSaver's, which keeps only the \
        newest checkpoint of a thread and no history; name a database of PostgresSaver's, into \
        which LangGraph can write the threads anew
    --- exit 1
    ");
    assert_snapshot!(served.copy_to(&shallow), @r"
    $ restow copy app/agent.db langgraph+postgres://postgres:secret@127.0.0.1:PORT/postgres
    --- standard error
    restow: look at the tables: the tables are ShallowPostgresSaver's, which keeps only the \
        newest checkpoint of a thread and no history; name a database of PostgresSaver's, into \
        which LangGraph can write the threads anew
    --- exit 1
    ");
    served.cluster.admin("CREATE DATABASE js");
    let js = served.at("langgraph", "postgres:secret", "js");
    served.world.run(&["copy", APP, &js]).expect(0);
    let changed = served.cluster.connect("js").batch_execute(
        "UPDATE checkpoint_blobs SET type = 'json';
         UPDATE checkpoints SET checkpoint = jsonb_set(checkpoint, '{channel_versions}',
             '{\"messages\": 3}')",
    );
    changed.unwrap();
    assert_snapshot!(served.copy_from(&js), @r"
    $ restow copy langgraph+postgres://postgres:secret@127.0.0.1:PORT/js agent.restow
    --- standard error
    restow: look at the tables: the checkpoints are LangGraph's for JavaScript, which its \
        Python cannot read; name a database of Python's PostgresSaver, schema public
    --- exit 1
    ");
}

#[test]
fn a_database_in_another_encoding() {
    let Some(served) = Served::new() else { return };
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = encoding.to_lowercase();
        served.cluster.admin(&format!(
            "CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
        ));
        let place = served.at("langgraph", "postgres:secret", &name);
        for args in [["copy", APP, &place], ["copy", &place, "agent.restow"]] {
            let told = served.world.run(&args).expect(1).err;
            assert!(told.contains(&format!("encoding {encoding}")), "{told}");
        }
    }
    assert_snapshot!(served.copy_to(&served.at("langgraph", "postgres:secret", "latin1")), @r"
    $ restow copy app/agent.db langgraph+postgres://postgres:secret@127.0.0.1:PORT/latin1
    --- standard error
    restow: open a database: the database is not in UTF8, so it cannot hold every text; name \
        one that was made with ENCODING 'UTF8', server //postgres:***@127.0.0.1:PORT/latin1, \
        encoding LATIN1
    --- exit 1
    ");
}

#[test]
fn a_statement_timeout_that_is_too_small() {
    let Some(served) = Served::new() else { return };
    let place = served.at("langgraph", "postgres:secret", "postgres");
    served.world.run(&["copy", APP, &place]).expect(0);
    // Whoever waits for a table waits longer than that.
    let hasty = format!("{place}?statement_timeout=50ms");
    let mut holder = served.cluster.connect("postgres");
    holder.batch_execute("BEGIN; LOCK TABLE checkpoints").unwrap();
    let told = served.world.run(&["verify", APP, &hasty]).expect(1).err;
    let said = "a statement took longer than statement_timeout allows; raise it in the address";
    assert!(told.contains(said), "{told}");
}

#[test]
fn statistics_that_are_not_gathered() {
    let Some(served) = Served::new() else { return };
    for layout in ["langgraph", "parts"] {
        let place = served.at(layout, "postgres:secret", "postgres");
        served.world.run(&["copy", APP, &place]).expect(0);
    }
    served.cluster.admin(
        "CREATE ROLE writer LOGIN PASSWORD 'secret';
         GRANT USAGE ON SCHEMA restow, restow_parts TO writer;
         GRANT ALL ON ALL TABLES IN SCHEMA public, restow, restow_parts TO writer;
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public, restow, restow_parts TO writer;
         ALTER ROLE postgres SET lock_timeout = '100ms'",
    );
    for (layout, table) in [("langgraph", "checkpoints"), ("parts", "restow_parts.restow_part")] {
        let at = |user| served.at(layout, user, "postgres");
        // Who owns no table is let through, and gathers nothing.
        let writer = at("writer:secret");
        let told = served.world.run(&["copy", APP, &writer, "--ledger", layout]).expect(0);
        assert_eq!(told.err, "", "{layout}");
        let mut holder = served.cluster.connect("postgres");
        let hold = format!("BEGIN; LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE");
        holder.batch_execute(&hold).unwrap();
        let told = served.world.run(&["copy", APP, &at("postgres:secret")]).expect(0).err;
        assert!(told.contains("statistics were not brought up to date"), "{layout}: {told}");
        assert!(told.contains("lock_timeout"), "{layout}: {told}");
        let told = served.world.run(&["copy", APP, &at("postgres:secret"), "--json"]).expect(0);
        assert_eq!(told.err, "", "{layout}");
        let object: serde_json::Value = serde_json::from_str(told.out.trim()).unwrap();
        let warning = object["warnings"][0].as_str().unwrap_or_default();
        assert!(warning.contains("statistics were not brought up to date"), "{layout}: {object}");
    }
}
