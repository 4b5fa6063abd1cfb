//! From an empty database to an empty database, in words.

use insta::assert_snapshot;

use crate::Served;

const ROWS: &str = "
    INSERT INTO checkpoints VALUES
        ('anna', '', 'a', NULL, NULL, '{\"v\": 4, \"channel_versions\": {\"x\": \"1.5\"}}', '{}'),
        ('anna', '', 'b', 'a', NULL, '{\"v\": 4, \"channel_versions\": {\"x\": \"1.5\"}}', '{}'),
        ('bela', '', 'a', NULL, NULL, '{\"v\": 4}', '{}');
    INSERT INTO checkpoint_blobs VALUES ('anna', '', 'x', '1.5', 'msgpack', '\\x01');
    INSERT INTO restow.stage VALUES ('carla', 'token', '\\x00', true)";

#[test]
fn a_schema_is_made_checked_and_counted() {
    let Some(served) = Served::new() else { return };
    assert_snapshot!(served.transcript("status", &[]), @r"
    $ restow schema status langgraph+postgres://me@host/app
    database app, schema public: no tables of LangGraph's
    `restow schema up` makes them
    --- exit 0
    ");
    assert_snapshot!(served.transcript("verify", &[]), @r"
    $ restow schema verify langgraph+postgres://me@host/app
    schema public is not as LangGraph makes it:
      table checkpoint_migrations is missing
      table checkpoints is missing
      table checkpoint_blobs is missing
      table checkpoint_writes is missing
      checkpoint_migrations lacks versions 0 1 2 3 4 5 6 7 8 9
    --- exit 3
    ");
    assert_snapshot!(served.transcript("up", &[]), @r"
    $ restow schema up langgraph+postgres://me@host/app
    applied version 9 in schema public
      table checkpoint_migrations
      table checkpoints
      table checkpoint_blobs
      table checkpoint_writes
      index checkpoints_thread_id_idx
      index checkpoint_blobs_thread_id_idx
      index checkpoint_writes_thread_id_idx
      version 9
      restow's own tables in schema restow
    --- exit 0
    ");
    assert_snapshot!(served.transcript("up", &[]), @r"
    $ restow schema up langgraph+postgres://me@host/app
    already applied (version 9)
    --- exit 0
    ");
    assert_snapshot!(served.transcript("verify", &[]), @r"
    $ restow schema verify langgraph+postgres://me@host/app
    checkpoint_migrations 1 column, 1 index
    checkpoints           7 columns, 2 indexes
    checkpoint_blobs      6 columns, 2 indexes
    checkpoint_writes     9 columns, 2 indexes
    schema public is as LangGraph makes it, version 9
    --- exit 0
    ");
    served.sql(ROWS);
    assert_snapshot!(served.transcript("status", &[]), @r"
    $ restow schema status langgraph+postgres://me@host/app
    database app, schema public, version 9
    2 threads, 3 checkpoints, 1 blob row, 0 pending writes
    checkpoint_migrations [size] = rows [size] + indexes [size] + large values [size]
    checkpoints [size] = rows [size] + indexes [size] + large values [size]
    checkpoint_blobs [size] = rows [size] + indexes [size] + large values [size]
    checkpoint_writes [size] = rows [size] + indexes [size] + large values [size]
    restow's own (restow) [size] = rows [size] + indexes [size] + large values [size]
    1 thread is half written, by a copy that runs or that was stopped
    --- exit 0
    ");
}

#[test]
fn a_schema_is_removed_when_its_database_is_named() {
    let Some(served) = Served::new() else { return };
    served.transcript("up", &[]);
    served.sql(ROWS);
    assert_snapshot!(served.transcript("down", &[]), @r"
    $ restow schema down langgraph+postgres://me@host/app
    would remove: database app, schema public
    2 threads, 3 checkpoints, 1 blob row, 0 pending writes
    checkpoint_migrations [size] = rows [size] + indexes [size] + large values [size]
    checkpoints [size] = rows [size] + indexes [size] + large values [size]
    checkpoint_blobs [size] = rows [size] + indexes [size] + large values [size]
    checkpoint_writes [size] = rows [size] + indexes [size] + large values [size]
    restow's own (restow) [size] = rows [size] + indexes [size] + large values [size]
    1 thread is half written, by a copy that runs or that was stopped
    --- standard error
    restow: remove the tables: nothing was removed; confirm what goes with --confirm and the \
        database's name, database app
    --- exit 13
    ");
    assert_snapshot!(served.transcript("down", &["--confirm", "apps"]), @r"
    $ restow schema down langgraph+postgres://me@host/app --confirm apps
    would remove: database app, schema public
    2 threads, 3 checkpoints, 1 blob row, 0 pending writes
    checkpoint_migrations [size] = rows [size] + indexes [size] + large values [size]
    checkpoints [size] = rows [size] + indexes [size] + large values [size]
    checkpoint_blobs [size] = rows [size] + indexes [size] + large values [size]
    checkpoint_writes [size] = rows [size] + indexes [size] + large values [size]
    restow's own (restow) [size] = rows [size] + indexes [size] + large values [size]
    1 thread is half written, by a copy that runs or that was stopped
    --- standard error
    restow: remove the tables: nothing was removed; confirm what goes with --confirm and the \
        database's name, database app
    --- exit 13
    ");
    let name = served.database.name().to_owned();
    assert_snapshot!(served.transcript("down", &["--confirm", &name]), @r"
    $ restow schema down langgraph+postgres://me@host/app --confirm app
    removed: database app, schema public
    2 threads, 3 checkpoints, 1 blob row, 0 pending writes
    checkpoint_migrations [size] = rows [size] + indexes [size] + large values [size]
    checkpoints [size] = rows [size] + indexes [size] + large values [size]
    checkpoint_blobs [size] = rows [size] + indexes [size] + large values [size]
    checkpoint_writes [size] = rows [size] + indexes [size] + large values [size]
    restow's own (restow) [size] = rows [size] + indexes [size] + large values [size]
    1 thread is half written, by a copy that runs or that was stopped
    --- exit 0
    ");
    assert_snapshot!(served.transcript("down", &["--confirm", &name]), @r"
    $ restow schema down langgraph+postgres://me@host/app --confirm app
    nothing to remove: database app, schema public
    --- exit 0
    ");
}

#[test]
fn differences_and_what_makes_them_good() {
    let Some(served) = Served::new() else { return };
    served.transcript("up", &[]);
    served.sql("DROP INDEX checkpoint_blobs_thread_id_idx");
    served.sql("ALTER TABLE checkpoint_writes DROP COLUMN task_path");
    assert_snapshot!(served.transcript("verify", &[]), @r"
    $ restow schema verify langgraph+postgres://me@host/app
    checkpoint_migrations 1 column, 1 index
    checkpoints           7 columns, 2 indexes
    checkpoint_blobs      6 columns, 1 index
    checkpoint_writes     8 columns, 2 indexes
    schema public is not as LangGraph makes it:
      index checkpoint_blobs_thread_id_idx is missing
      column checkpoint_writes.task_path is missing
    --- exit 3
    ");
    assert_snapshot!(served.transcript("up", &[]), @r"
    $ restow schema up langgraph+postgres://me@host/app
    completed version 9 in schema public
      column checkpoint_writes.task_path
      index checkpoint_blobs_thread_id_idx
    --- exit 0
    ");
    served.sql("ALTER TABLE checkpoint_blobs ALTER COLUMN version TYPE varchar(50)");
    assert_snapshot!(served.transcript("up", &[]), @r"
    $ restow schema up langgraph+postgres://me@host/app
    --- standard error
    restow: look at the tables: what lies under the name of a table of LangGraph's is not \
        LangGraph's: a column has another type; name another schema with schema=NAME, table \
        checkpoint_blobs, column version, type character varying(50)
    --- exit 1
    ");
}

#[test]
fn for_machines() {
    let Some(served) = Served::new() else { return };
    assert_snapshot!(served.transcript("up", &["--json"]), @r#"
    $ restow schema up langgraph+postgres://me@host/app --json
    {"changes":["table checkpoint_migrations","table checkpoints","table \
        checkpoint_blobs","table checkpoint_writes","index checkpoints_thread_id_idx","index \
        checkpoint_blobs_thread_id_idx","index checkpoint_writes_thread_id_idx","version \
        9","restow's own tables in schema restow"],"event":"schema \
        up","from":-1,"schema":"public","version":9}
    --- exit 0
    "#);
    assert_snapshot!(served.transcript("verify", &["--json"]), @r#"
    $ restow schema verify langgraph+postgres://me@host/app --json
    {"clean":true,"differences":[],"event":"schema \
        verify","schema":"public","tables":[{"columns":1,"indexes":1, \
        "name":"checkpoint_migrations"},{"columns":7,"indexes":2,"name":"checkpoints"}, \
        {"columns":6,"indexes":2,"name":"checkpoint_blobs"},{"columns":9,"indexes":2, \
        "name":"checkpoint_writes"}],"version":9}
    --- exit 0
    "#);
    assert_snapshot!(served.transcript("down", &["--json"]), @r#"
    $ restow schema down langgraph+postgres://me@host/app --json
    {"blobs":0,"checkpoints":0,"database":"app","event":"schema \
        down","managed":0,"removed":false,"schema":"public","side":{"index_bytes":[size], \
        "name":"restow","table_bytes":[size],"toast_bytes":[size]},"staged":0, \
        "tables":[{"index_bytes":[size],"name":"checkpoint_migrations","table_bytes":[size], \
        "toast_bytes":[size]},{"index_bytes":[size],"name":"checkpoints","table_bytes":[size], \
        "toast_bytes":[size]},{"index_bytes":[size],"name":"checkpoint_blobs", \
        "table_bytes":[size],"toast_bytes":[size]},{"index_bytes":[size], \
        "name":"checkpoint_writes","table_bytes":[size],"toast_bytes":[size]}],"threads":0, \
        "version":9,"writes":0}
    --- standard error
    {"causes":[],"context":{"database":"app"},"event":"error","kind":"refused", \
        "message":"remove the tables: nothing was removed; confirm what goes with --confirm and \
        the database's name, database app"}
    --- exit 13
    "#);
}

#[test]
fn other_stores_have_no_schema() {
    let said = |address: &str| {
        let cli = restow_testkit::cli::Cli::new(crate::common::RESTOW);
        crate::common::folded(&cli.transcript(&["schema", "up", address]))
    };
    assert_snapshot!(said("langgraph+sqlite:agent.db"), @r"
    $ restow schema up langgraph+sqlite:agent.db
    --- standard error
    restow: find a schema: only LangGraph's tables in PostgreSQL have a schema of their own; \
        every other store makes what it needs when it is copied into, address \
        langgraph+sqlite:agent.db, known langgraph+postgres://USER@HOST/DATABASE
    --- exit 1
    ");
    assert_snapshot!(said("parts+postgres://me@host/app"), @r"
    $ restow schema up parts+postgres://me@host/app
    --- standard error
    restow: find a schema: only LangGraph's tables in PostgreSQL have a schema of their own; \
        every other store makes what it needs when it is copied into, address \
        parts+postgres://me@host/app, known langgraph+postgres://USER@HOST/DATABASE
    --- exit 1
    ");
}

#[test]
fn assess_tells_the_rows_of_each_table() {
    let Some(served) = Served::new() else { return };
    restow_testkit::generate::chat(&served.cli.path("agent.db"), 3, 2, 7);
    let address = served.database.address("langgraph");
    served.cli.run(&["copy", "agent.db", &address]).expect(0);
    let told = served.cli.transcript(&["assess", &address]);
    let mut lines = told.lines().skip(1);
    let starts = [
        "LangGraph (Python), PostgreSQL, 3 threads, 18 checkpoints, 18 pending writes",
        "checkpoints 18 rows, ",
        "blobs       18 rows, ",
        "writes      18 rows, ",
        "beside      ",
    ];
    for start in starts {
        assert!(lines.next().is_some_and(|line| line.starts_with(start)), "{start}: {told}");
    }
}
