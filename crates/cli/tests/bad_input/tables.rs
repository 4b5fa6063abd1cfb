//! Databases whose tables or rows are not LangGraph's, no longer LangGraph's, or odd.

use insta::assert_snapshot;
use restow_testkit::damage::{Damage, LANGGRAPH};
use restow_testkit::generate;
use rusqlite::Connection;

use crate::common::{APP, World, number, open};

const HOME: &str = "langgraph+sqlite:home.sqlite";
const ODD: &str = "(SELECT min(rowid) FROM checkpoints WHERE thread_id = 'chat-short')";

/// A file with tables of one's own.
fn tables(sql: &str) -> World {
    World::new(|path| open(path).execute_batch(sql).unwrap())
}

/// Tries to copy; nothing is made.
fn refused(world: &World) -> String {
    let shown = world.transcript(&["copy", APP, "agent.restow"]);
    assert_eq!(world.cli.files(), ["app"]);
    shown
}

#[test]
fn another_applications_tables() {
    assert_snapshot!(refused(&tables("CREATE TABLE customers (id INTEGER, name TEXT)")), @r"
    $ restow copy app/agent.db agent.restow
    --- standard error
    restow: recognise a path: the file is an SQLite database of no application that restow \
        knows, path $DIR/app/agent.db
    --- exit 1
    ");
}

#[test]
fn missing_columns_and_tables() {
    let world = World::altered("ALTER TABLE checkpoints DROP COLUMN metadata");
    assert_snapshot!(refused(&world), @r"
    $ restow copy app/agent.db agent.restow
    --- standard error
    restow: look at the tables: a table lacks columns of LangGraph's, table checkpoints, \
        missing metadata, file $DIR/app/agent.db
    --- exit 1
    ");
    assert_snapshot!(refused(&World::altered("DROP TABLE writes")), @r"
    $ restow copy app/agent.db agent.restow
    --- standard error
    restow: look at the tables: a table of LangGraph's is missing, table writes, missing \
        thread_id checkpoint_ns checkpoint_id task_id idx channel type value, file \
        $DIR/app/agent.db
    --- exit 1
    ");
}

#[test]
fn the_shape_of_before_august_2024() {
    let world = tables(
        "CREATE TABLE checkpoints (thread_id TEXT NOT NULL, thread_ts TEXT NOT NULL,
           parent_ts TEXT, checkpoint BLOB, metadata BLOB, PRIMARY KEY (thread_id, thread_ts));
         CREATE TABLE writes (thread_id TEXT NOT NULL, thread_ts TEXT NOT NULL,
           task_id TEXT NOT NULL, idx INTEGER NOT NULL, channel TEXT NOT NULL, value BLOB,
           PRIMARY KEY (thread_id, thread_ts, task_id, idx))",
    );
    assert_snapshot!(refused(&world), @r"
    $ restow copy app/agent.db agent.restow
    --- standard error
    restow: look at the tables: the tables are of LangGraph before August 2024 (column \
        thread_ts), which cannot be read; open the file with that version's application instead, \
        file $DIR/app/agent.db
    --- exit 1
    ");
}

#[test]
fn a_checkpoint_cut_short_is_named_and_the_rest_is_copied() {
    let world = World::new(|path| {
        generate::chat(path, 3, 2, 5);
    });
    let hit = Damage::named(LANGGRAPH, "checkpoint cut short").apply(&world.cli.path(APP), 1);
    let shown = world.transcript(&["copy", APP, "agent.restow"]);
    assert!(shown.contains(&hit.unit.unwrap()), "{shown}");
    assert_snapshot!(shown, @r#"
    $ restow copy app/agent.db agent.restow
    langgraph+sqlite:app/agent.db
      → parts+sqlite:agent.restow
    units    2 copied
    records  24, 37.9 kB in [time] ([rate])
    not copied: 1 unit
      damaged · fad6e246-7125-4235-9b1a-399b7fc87089: table checkpoints, thread \
        fad6e246-7125-4235-9b1a-399b7fc87089, namespace "", checkpoint \
        1f116104-0d24-6041-8003-d06ddefae8e0: the checkpoint is no msgpack: msgpack cut short at \
        byte 643
    verified 35 of the source against 24 records of the target: equal but for what is named \
        above
    --- exit 3
    "#);
    assert_snapshot!(world.transcript(&["copy", APP, "agent.restow"]), @r#"
    $ restow copy app/agent.db agent.restow
    langgraph+sqlite:app/agent.db
      → parts+sqlite:agent.restow
    units    2 unchanged
    records  0, 0 bytes in [time] ([rate])
    not copied: 1 unit
      damaged · fad6e246-7125-4235-9b1a-399b7fc87089: table checkpoints, thread \
        fad6e246-7125-4235-9b1a-399b7fc87089, namespace "", checkpoint \
        1f116104-0d24-6041-8003-d06ddefae8e0: the checkpoint is no msgpack: msgpack cut short at \
        byte 643
    verified 35 of the source against 24 records of the target: equal but for what is named \
        above
    --- exit 3
    "#);
    let aside = ["copy", APP, "agent.restow", "--unsupported", "aside"];
    assert_snapshot!(world.transcript(&aside), @r#"
    $ restow copy app/agent.db agent.restow --unsupported aside
    langgraph+sqlite:app/agent.db
      → parts+sqlite:agent.restow
    units    2 unchanged
    records  0, 0 bytes in [time] ([rate])
    set aside: 1 unit
      damaged · fad6e246-7125-4235-9b1a-399b7fc87089: table checkpoints, thread \
        fad6e246-7125-4235-9b1a-399b7fc87089, namespace "", checkpoint \
        1f116104-0d24-6041-8003-d06ddefae8e0: the checkpoint is no msgpack: msgpack cut short at \
        byte 643
    verified 35 of the source against 24 records of the target: equal but for what is named \
        above
    --- exit 3
    "#);
    world.run(&["copy", "agent.restow", HOME]).expect(0);
    let threads = "SELECT count(DISTINCT thread_id) FROM checkpoints";
    assert_eq!(number(&world.cli.path("home.sqlite"), threads), 2);
    assert_eq!(world.json(&["assess", APP], 3)["damaged"], 1);
}

/// Returns a checkpoint's tag and bytes.
fn odd(connection: &Connection, id: &str) -> (String, Vec<u8>) {
    let sql = "SELECT type, checkpoint FROM checkpoints WHERE checkpoint_id = ?1";
    connection.query_row(sql, [id], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

#[test]
fn unknown_tags_are_copied_unopened() {
    let world = World::altered(&format!(
        "UPDATE checkpoints SET type = 'cbor', checkpoint = x'A0FF00' WHERE rowid = {ODD};
         UPDATE writes SET type = 'mine+aes', value = x'00' WHERE rowid = 7"
    ));
    let sql = format!("SELECT checkpoint_id FROM checkpoints WHERE rowid = {ODD}");
    let id: String = world.app().query_row(&sql, [], |row| row.get(0)).unwrap();
    let assessed = world.run(&["assess", APP]).expect(0).out;
    assert!(assessed.contains("not opened  1 checkpoint tagged `cbor`"), "{assessed}");
    world.run(&["copy", APP, "agent.restow"]).expect(0);
    world.run(&["copy", "agent.restow", HOME]).expect(0);
    let home = open(&world.cli.path("home.sqlite"));
    assert_eq!(odd(&home, &id), ("cbor".into(), b"\xa0\xff\x00".to_vec()));
    let write = "SELECT count(*) FROM writes WHERE type = 'mine+aes' AND value = x'00'";
    assert_eq!(number(&world.cli.path("home.sqlite"), write), 1);
}

#[test]
fn a_thread_id_with_nul_and_control_characters() {
    let name = "CAST('chat' || char(0, 27) || '[31m' || char(10) AS TEXT)";
    let rename =
        |table| format!("UPDATE {table} SET thread_id = {name} WHERE thread_id = 'chat-short';");
    let world = World::altered(&(rename("checkpoints") + &rename("writes")));
    world.run(&["copy", APP, "agent.restow"]).expect(0);
    world.run(&["copy", "agent.restow", HOME]).expect(0);
    world.run(&["verify", APP, "home.sqlite"]).expect(0);
    let rows = format!("SELECT count(*) FROM checkpoints WHERE thread_id = {name}");
    let [app, home] = [APP, "home.sqlite"].map(|file| number(&world.cli.path(file), &rows));
    assert!(app > 0 && app == home, "{app} {home}");

    // A name on a line of its own, which no terminal obeys.
    let break_it = format!(
        "UPDATE checkpoints SET checkpoint = x'81' WHERE thread_id = {name}
        AND checkpoint_id = (SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = {name})"
    );
    world.app().execute_batch(&break_it).unwrap();
    let said = world.run(&["copy", APP, "agent.restow"]).expect(3).out;
    assert!(said.contains(r"damaged · chat\u{0}\u{1b}[31m\n: table checkpoints"), "{said}");
    assert!(!said.contains(['\0', '\u{1b}']), "{said}");
}

#[test]
fn a_javascript_database() {
    let world = tables(
        r#"CREATE TABLE checkpoints (thread_id TEXT NOT NULL,
             checkpoint_ns TEXT NOT NULL DEFAULT '', checkpoint_id TEXT NOT NULL,
             parent_checkpoint_id TEXT, type TEXT, checkpoint BLOB, metadata BLOB,
             PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id));
           CREATE TABLE writes (thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '',
             checkpoint_id TEXT NOT NULL, task_id TEXT NOT NULL, idx INTEGER NOT NULL,
             channel TEXT NOT NULL, type TEXT, value BLOB,
             PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx));
           INSERT INTO checkpoints VALUES ('chat', '', '1f1e56fb-cff1-68a6-8027-b78b1bf681b3',
             NULL, 'json', CAST('{"v":4,"id":"1f1e56fb-cff1-68a6-8027-b78b1bf681b3",
               "ts":"2026-11-21T05:00:00.000Z","channel_values":{"n":1},
               "channel_versions":{"__start__":2,"n":3},"versions_seen":{"__input__":{}}}' AS BLOB),
             CAST('{"source":"loop","step":1,"parents":{}}' AS BLOB))"#,
    );
    assert_snapshot!(world.transcript(&["copy", APP, "agent.restow"]), @r"
    $ restow copy app/agent.db agent.restow
    langgraph+sqlite:app/agent.db
      → parts+sqlite:agent.restow
    units    none
    records  0, 0 bytes in [time] ([rate])
    not copied: 1 unit
      refused · chat: it was written by LangGraph for JavaScript, whose payloads no other \
        language reads; this version copies Python's only
    verified 1 of the source against 0 records of the target: equal but for what is named \
        above
    --- exit 3
    ");
    let assessed = world.run(&["assess", APP]).expect(0).out;
    assert!(assessed.starts_with("LangGraph (JavaScript), SQLite, 1 thread, "), "{assessed}");
    assert!(assessed.contains("its payloads are JavaScript's"), "{assessed}");
}

#[test]
fn tables_of_langgraphs_store_are_named() {
    let world = World::altered(
        "CREATE TABLE store (prefix TEXT, key TEXT, value TEXT);
         CREATE TABLE store_migrations (v INTEGER)",
    );
    let assessed = world.run(&["assess", APP]).expect(0).out;
    let named = "not carried yet: LangGraph's Store (store, store_migrations)\n";
    assert!(assessed.contains(named), "{assessed}");
    let tables = &world.json(&["assess", APP], 0)["store_tables"];
    assert_eq!(*tables, serde_json::json!(["store", "store_migrations"]));
    world.run(&["copy", APP, "agent.restow"]).expect(0);
}
