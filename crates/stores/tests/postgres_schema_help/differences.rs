//! What verification names, what is counted, what is removed, and what a role may not do.

use restow_stores::layout::langgraph::postgres::schema::{down, status, up_blocking, verify};

use super::help::{World, done, fill, official, server, server_as};

#[test]
fn differences_are_named() {
    for (sql, difference) in [
        ("DROP INDEX checkpoints_thread_id_idx", "index checkpoints_thread_id_idx is missing"),
        (
            "ALTER TABLE checkpoint_writes DROP COLUMN task_path",
            "column checkpoint_writes.task_path is missing",
        ),
        (
            "ALTER TABLE checkpoint_writes ALTER COLUMN idx TYPE bigint",
            "column checkpoint_writes.idx is of type bigint, not integer",
        ),
        (
            "ALTER TABLE checkpoints ALTER COLUMN metadata SET DEFAULT '[]'",
            "the default of column checkpoints.metadata is '[]'::jsonb, not '{}'::jsonb",
        ),
        (
            "ALTER TABLE checkpoint_blobs ALTER COLUMN blob SET NOT NULL",
            "column checkpoint_blobs.blob is NOT NULL, and should not be",
        ),
        (
            "ALTER TABLE checkpoints ADD COLUMN tenant TEXT",
            "column checkpoints.tenant is not LangGraph's",
        ),
        (
            "ALTER TABLE checkpoints DROP CONSTRAINT checkpoints_pkey",
            "checkpoints has no primary key",
        ),
        (
            "DROP INDEX checkpoints_thread_id_idx;
             CREATE INDEX checkpoints_thread_id_idx ON checkpoints (thread_id, checkpoint_id)",
            "index checkpoints_thread_id_idx is not on (thread_id) alone",
        ),
        ("DELETE FROM checkpoint_migrations WHERE v IN (3, 7)", "lacks versions 3 7"),
        ("INSERT INTO checkpoint_migrations VALUES (12)", "version 12 is newer than 9"),
        ("DROP TABLE restow.stage", "only 10 of restow's own 11 tables are there"),
        ("DROP TABLE checkpoint_blobs", "table checkpoint_blobs is missing"),
        (
            "UPDATE pg_index SET indisvalid = false
             WHERE indexrelid = 'checkpoint_blobs_thread_id_idx'::regclass",
            "checkpoint_blobs_thread_id_idx on checkpoint_blobs is invalid",
        ),
    ] {
        let Some(database) = World::one() else { return };
        up_blocking(&server(&database)).unwrap();
        database.connect().batch_execute(sql).unwrap();
        let found = done(verify(&server(&database))).unwrap().differences;
        assert!(found.len() == 1 && found[0].contains(difference), "{sql}: {found:?}");
    }
}

#[test]
fn what_langgraph_made_itself_verifies() {
    let Some(database) = World::one() else { return };
    official("setup", &database, &[]);
    let own = "CREATE INDEX ON checkpoints USING gin (metadata)";
    database.connect().batch_execute(own).unwrap();
    let found = done(verify(&server(&database))).unwrap();
    assert_eq!((found.version, found.differences), (9, vec![]));
    let numbers: Vec<_> = found.tables.iter().map(|(_, columns, _)| *columns).collect();
    assert_eq!(numbers, [1, 7, 6, 9]);
}

#[test]
fn what_is_there_is_counted_and_removed_when_its_database_is_named() {
    let Some(database) = World::one() else { return };
    up_blocking(&server(&database)).unwrap();
    fill(&database, 3);
    let sql = "INSERT INTO restow.stage VALUES ('t', 'a', '\\x00', false);
               CREATE TABLE restow.others (); CREATE TABLE others ()";
    database.connect().batch_execute(sql).unwrap();
    let server = server(&database);
    let counted = done(status(&server)).unwrap();
    assert_eq!((counted.threads, counted.checkpoints, counted.blobs, counted.writes), (1, 1, 1, 1));
    assert_eq!((counted.staged, counted.version, counted.tables.len()), (1, 9, 4));
    assert!(counted.tables.iter().all(|table| table.bytes() > 0));

    let said = done(down(&server, "another")).unwrap_err().to_string();
    assert!(said.contains("nothing was removed; confirm with the database's name"), "{said}");
    assert!(said.ends_with(database.name()), "{said}");
    assert_eq!(done(status(&server)).unwrap(), counted);

    database.connect().batch_execute("CREATE VIEW mine AS SELECT FROM checkpoints").unwrap();
    let said = done(down(&server, database.name())).unwrap_err().to_string();
    assert!(said.contains("something of your own depends on the tables"), "{said}");
    database.connect().batch_execute("DROP VIEW mine").unwrap();

    assert_eq!(done(down(&server, database.name())).unwrap().checkpoints, 1);
    let left = done(status(&server)).unwrap();
    assert_eq!((left.version, left.tables, left.side), (-1, vec![], None));
    database.connect().batch_execute("DROP TABLE restow.others, others").unwrap();
    up_blocking(&server).unwrap();
    done(down(&server, database.name())).unwrap();
    let schema = "SELECT count(*) FROM pg_namespace WHERE nspname = 'restow'";
    assert_eq!(database.connect().query_one(schema, &[]).unwrap().get::<_, i64>(0), 0);
}

#[test]
fn a_missing_right_is_named_before_anything_is_changed() {
    let Some(database) = World::one() else { return };
    let role = format!("{}_role", database.name());
    let mut owner = database.connect();
    owner.batch_execute(&format!("CREATE ROLE {role} LOGIN")).unwrap();
    let server = server_as(&database, &role);
    let refused = || up_blocking(&server).unwrap_err().to_string();
    for grant in [
        format!("GRANT CREATE ON SCHEMA \"public\" TO \"{role}\""),
        format!("GRANT CREATE ON DATABASE {} TO \"{role}\"", database.name()),
    ] {
        let said = refused();
        assert!(said.ends_with(&format!("allow with {grant}")), "{said}");
        assert_eq!(done(status(&server)).unwrap().tables, vec![]);
        owner.batch_execute(&grant).unwrap();
    }
    assert_eq!(up_blocking(&server).unwrap().version, 9);
    owner
        .batch_execute(
            "ALTER TABLE checkpoints OWNER TO postgres; DROP INDEX \
                         checkpoints_thread_id_idx; GRANT SELECT ON checkpoints TO public",
        )
        .unwrap();
    let said = refused();
    assert!(said.contains("only a table's owner may change it"), "{said}");
    assert!(said.contains("table checkpoints"), "{said}");
    owner.batch_execute(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}")).unwrap();
}
