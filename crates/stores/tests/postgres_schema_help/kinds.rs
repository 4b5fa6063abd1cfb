//! Whose tables they are, told by their columns and by what they hold.

use restow_stores::layout::langgraph::postgres::schema::{down, up_blocking};
use restow_stores::layout::langgraph::postgres::shape::Shape;
use restow_testkit::postgres::Database;

use super::help::{World, assert_official, done, fill, official, recognised, server, server_of};

/// What both the look and the making of tables say to a database that they refuse.
#[track_caller]
fn assert_refused(database: &Database, words: &str) {
    let server = server(database);
    let looked = recognised(&server).unwrap_err();
    let made = up_blocking(&server).unwrap_err().to_string();
    let removed = done(down(&server, database.name())).unwrap_err().to_string();
    for said in [looked, made, removed] {
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn every_version_is_told_and_no_tables_are_none() {
    let Some(database) = World::one() else { return };
    assert_eq!(recognised(&server(&database)), Ok(None));
    official("upto", &database, &["0"]);
    assert_eq!(recognised(&server(&database)), Ok(None));
    for version in 3..=9 {
        let Some(database) = World::one() else { return };
        official("upto", &database, &[&version.to_string()]);
        fill(&database, version);
        let expected = Shape { version, has_path: version == 9, has_side: false };
        assert_eq!(recognised(&server(&database)), Ok(Some(expected)));
    }
    up_blocking(&server(&database)).unwrap();
    let expected = Shape { version: 9, has_path: true, has_side: true };
    assert_eq!(recognised(&server(&database)), Ok(Some(expected)));
    database.connect().batch_execute("DROP TABLE restow.residue").unwrap();
    let said = recognised(&server(&database)).unwrap_err();
    assert!(said.contains("restow's own tables are only partly there"), "{said}");
}

#[test]
fn tables_that_are_partly_there_are_refused_until_they_are_completed() {
    let Some(database) = World::one() else { return };
    official("upto", &database, &["1"]);
    let said = recognised(&server(&database)).unwrap_err();
    assert!(said.contains("LangGraph's tables are only partly there"), "{said}");
    up_blocking(&server(&database)).unwrap();
    assert!(recognised(&server(&database)).unwrap().is_some());
    database.connect().batch_execute("DROP TABLE checkpoint_blobs").unwrap();
    let said = up_blocking(&server(&database)).unwrap_err().to_string();
    assert!(said.contains("a table was made, but it is not there"), "{said}");
}

#[test]
fn shallow_tables_are_refused_by_name_whatever_version_they_say() {
    let Some(database) = World::one() else { return };
    official("shallow", &database, &[]);
    assert_refused(&database, "the tables are ShallowPostgresSaver's");
    official("setup", &database, &[]);
    assert_refused(&database, "the tables are ShallowPostgresSaver's");
}

#[test]
fn a_javascript_database_is_refused_by_its_content() {
    let Some(database) = World::one() else { return };
    // The first five migrations are the same for both languages.
    official("upto", &database, &["4"]);
    let sql = "INSERT INTO checkpoints VALUES ('t', '', 'a', NULL, NULL,
                   '{\"v\": 4, \"id\": \"a\", \"channel_versions\": {\"messages\": 2}}', '{}');
               INSERT INTO checkpoint_blobs VALUES ('t', '', 'messages', '2', 'json', '[]')";
    database.connect().batch_execute(sql).unwrap();
    assert_refused(&database, "the checkpoints are LangGraph's for JavaScript");
    official("setup", &database, &[]);
    assert_refused(&database, "the checkpoints are LangGraph's for JavaScript");
    // Numbers alone are not JavaScript's: other savers of Python's count so too.
    let sql = "UPDATE checkpoint_blobs SET type = 'msgpack'";
    database.connect().batch_execute(sql).unwrap();
    assert!(recognised(&server(&database)).unwrap().is_some());
}

#[test]
fn an_empty_javascript_database_is_lifted() {
    let Some(database) = World::one() else { return };
    official("upto", &database, &["4"]);
    assert_eq!(up_blocking(&server(&database)).unwrap().from, 4);
    assert_official(&database);
}

#[test]
fn what_is_not_langgraph_s_is_refused() {
    for (sql, words) in [
        ("CREATE TABLE checkpoints (id int)", "it lacks a column; name another schema"),
        ("CREATE VIEW checkpoint_blobs AS SELECT 1 AS thread_id", "it is no table"),
        ("CREATE TABLE checkpoint_migrations (v text)", "a column has another type"),
    ] {
        let Some(database) = World::one() else { return };
        database.connect().batch_execute(sql).unwrap();
        assert_refused(&database, words);
    }
}

#[test]
fn newer_versions_go_while_the_columns_are_known() {
    let Some(database) = World::one() else { return };
    up_blocking(&server(&database)).unwrap();
    let newer = "INSERT INTO checkpoint_migrations VALUES (10)";
    database.connect().batch_execute(newer).unwrap();
    let up = up_blocking(&server(&database)).unwrap();
    assert_eq!((up.from, up.version, up.changes), (10, 10, vec![]));
    let column = "ALTER TABLE checkpoint_blobs ADD COLUMN codec TEXT";
    database.connect().batch_execute(column).unwrap();
    assert_refused(&database, "the tables are a newer LangGraph's");
}

#[test]
fn tables_lie_in_the_schema_that_is_named_or_found_first() {
    let Some(database) = World::one() else { return };
    database.connect().batch_execute("CREATE SCHEMA \"of an agent\"").unwrap();
    let named = server_of(&(database.address("langgraph") + "?schema=of%20an%20agent"));
    assert_eq!(up_blocking(&named).unwrap().schema, "of an agent");
    assert_eq!(recognised(&named).unwrap().unwrap().version, 9);
    assert_eq!(recognised(&server(&database)), Ok(None));
    let path = "?options=-csearch_path%3D%22of%5C%20an%5C%20agent%22";
    let found = server_of(&(database.address("langgraph") + path));
    assert!(up_blocking(&found).unwrap().changes.is_empty());
    let side = "SELECT count(*) FROM \"of an agent_restow\".stage";
    assert_eq!(database.connect().query_one(side, &[]).unwrap().get::<_, i64>(0), 0);
    let none = server_of(&(database.address("langgraph") + "?schema=nowhere"));
    let said = up_blocking(&none).unwrap_err().to_string();
    assert!(said.contains("there is no such schema"), "{said}");
}
