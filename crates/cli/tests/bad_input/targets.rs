//! Targets that cannot be written to, hold something else, or are in use.

use std::fs;

use insta::assert_snapshot;
use rusqlite::Connection;

use crate::common::{APP, Folder, World, number, open};

const HOME: &str = "langgraph+sqlite:home.sqlite";

/// A mistyped name, of a file of names or of a unit, is no copy that went well.
#[test]
fn units_that_match_nothing() {
    let world = World::example("agent.sqlite");
    let copy = ["copy", APP, "agent.restow", "--units", "names.txt"];
    assert_snapshot!(world.transcript(&copy), @r"
    $ restow copy app/agent.db agent.restow --units names.txt
    langgraph+sqlite:app/agent.db
      → parts+sqlite:agent.restow
    --- standard error
    restow: copy: no unit matches --units; nothing was copied
    --- exit 2
    ");
}

#[test]
fn a_place_that_cannot_be_written_to() {
    let world = World::example("agent.sqlite");
    fs::write(world.cli.path("file"), "a file, no folder").unwrap();
    fs::create_dir(world.cli.path("folder")).unwrap();
    fs::create_dir(world.cli.path("taken.restow.ledger")).unwrap();
    let to = |target| world.transcript(&["copy", APP, target]);
    assert_snapshot!(to("file/agent.restow"), @r"
    $ restow copy app/agent.db file/agent.restow
    --- standard error
    restow: open a database: the file cannot be opened, file $DIR/file/agent.restow
      because: unable to open database file: $DIR/file/agent.restow
    --- exit 1
    ");
    assert_snapshot!(to("nowhere/agent.restow"), @r"
    $ restow copy app/agent.db nowhere/agent.restow
    --- standard error
    restow: open a database: the file cannot be opened, file $DIR/nowhere/agent.restow
      because: unable to open database file: $DIR/nowhere/agent.restow
    --- exit 1
    ");
    assert_snapshot!(to("parts+sqlite:folder"), @r"
    $ restow copy app/agent.db parts+sqlite:folder
    --- standard error
    restow: open a database: this is no file; name the file itself, file $DIR/folder
    --- exit 2
    ");
    assert_snapshot!(to("langgraph+sqlite:folder"), @r"
    $ restow copy app/agent.db langgraph+sqlite:folder
    --- standard error
    restow: open a database: this is no file; name the file itself, file $DIR/folder
    --- exit 2
    ");
    assert_snapshot!(to("taken.restow"), @r"
    $ restow copy app/agent.db taken.restow
    --- standard error
    restow: open a database: the file cannot be opened, file $DIR/taken.restow.ledger
      because: unable to open database file: $DIR/taken.restow.ledger
    --- exit 1
    ");
    let ledger = ["copy", APP, "agent.restow", "--ledger", "file/ledger"];
    assert_snapshot!(world.transcript(&ledger), @r"
    $ restow copy app/agent.db agent.restow --ledger file/ledger
    --- standard error
    restow: open a ledger: its lock cannot be made; choose another place with --ledger, file \
        file/ledger.lock
      because: Not a directory (os error 20)
    --- exit 1
    ");
}

#[test]
fn a_file_of_something_else_is_refused_as_it_is() {
    let world = World::example("agent.sqlite");
    fs::create_dir(world.cli.path("others")).unwrap();
    fs::write(world.cli.path("others/notes.txt"), "to be kept").unwrap();
    let make = |name, sql| open(&world.cli.path(name)).execute_batch(sql).unwrap();
    make("others/shop.db", "CREATE TABLE customers (id INTEGER)");
    make("others/near.db", "CREATE TABLE checkpoints (thread_id TEXT, at TEXT)");
    let others = Folder::look(&world.cli.path("others"));
    let to = |target| world.transcript(&["copy", APP, target]);
    assert_snapshot!(to("parts+sqlite:others/notes.txt"), @r"
    $ restow copy app/agent.db parts+sqlite:others/notes.txt
    --- standard error
    restow: open a database: the file is not an SQLite database, or is encrypted; check the \
        path, file $DIR/others/notes.txt
    --- exit 2
    ");
    assert_snapshot!(to("langgraph+sqlite:others/notes.txt"), @r"
    $ restow copy app/agent.db langgraph+sqlite:others/notes.txt
    --- standard error
    restow: open a database: the file is not an SQLite database, or is encrypted; check the \
        path, file $DIR/others/notes.txt
    --- exit 2
    ");
    assert_snapshot!(to("parts+sqlite:others/shop.db"), @r"
    $ restow copy app/agent.db parts+sqlite:others/shop.db
    --- standard error
    restow: open a parts file: the file holds another database; name another file, file \
        $DIR/others/shop.db
    --- exit 13
    ");
    assert_snapshot!(to("langgraph+sqlite:others/near.db"), @r"
    $ restow copy app/agent.db langgraph+sqlite:others/near.db
    --- standard error
    restow: look at the tables: a table lacks columns of LangGraph's, table checkpoints, \
        missing checkpoint_ns checkpoint_id parent_checkpoint_id type checkpoint metadata, file \
        $DIR/others/near.db
    --- exit 1
    ");
    assert_snapshot!(to("others/shop.db"), @r"
    $ restow copy app/agent.db others/shop.db
    --- standard error
    restow: recognise a path: the file is an SQLite database of no application that restow \
        knows, path $DIR/others/shop.db
    --- exit 1
    ");
    others.assert_same();
}

#[test]
fn a_thread_of_the_same_name_is_refused_and_kept() {
    let world = World::example("agent.sqlite");
    let mine = "DELETE FROM checkpoints WHERE thread_id <> 'chat-short';
                DELETE FROM writes WHERE thread_id <> 'chat-short';
                DELETE FROM writes WHERE rowid = (SELECT min(rowid) FROM writes)";
    fs::copy(world.cli.path(APP), world.cli.path("home.sqlite")).unwrap();
    open(&world.cli.path("home.sqlite")).execute_batch(mine).unwrap();
    let rows = "SELECT count(*) FROM writes WHERE thread_id = 'chat-short'";
    let before = number(&world.cli.path("home.sqlite"), rows);
    assert_snapshot!(world.transcript(&["copy", APP, HOME, "--dry-run"]), @r"
    $ restow copy app/agent.db langgraph+sqlite:home.sqlite --dry-run
    langgraph+sqlite:app/agent.db
      → langgraph+sqlite:home.sqlite
    dry run  19 units, 1,056 records, 1.11 MB; nothing was written
             18 would be copied
              1 would be refused: the target holds others of their names
      unit chat-short: the target holds another unit of this name that this migration never \
        copied; remove it there and run this again, or leave it out
    --- exit 3
    ");
    assert_snapshot!(world.transcript(&["copy", APP, HOME]), @r"
    $ restow copy app/agent.db langgraph+sqlite:home.sqlite
    langgraph+sqlite:app/agent.db
      → langgraph+sqlite:home.sqlite
    units    18 copied
    records  1,035, 1.09 MB in [time] ([rate])
    not copied: 1 unit
      refused · chat-short: the target holds another unit of this name that this migration \
        never copied; remove it there and run this again, or leave it out
    verified 1,056 of the source against 1,055 records of the target: equal but for what is \
        named above
    --- exit 3
    ");
    assert_eq!(number(&world.cli.path("home.sqlite"), rows), before);
}

#[test]
fn what_only_the_target_holds_stays_unless_confirmed() {
    let world = World::example("agent.sqlite");
    let only = "INSERT INTO checkpoints SELECT 'mine', checkpoint_ns, checkpoint_id,
        parent_checkpoint_id, type, checkpoint, metadata FROM checkpoints
        WHERE thread_id = 'chat-short'";
    world.run(&["copy", APP, HOME]).expect(0);
    open(&world.cli.path("home.sqlite")).execute_batch(only).unwrap();
    let mine = "SELECT count(*) FROM checkpoints WHERE thread_id = 'mine'";
    assert_snapshot!(world.transcript(&["copy", APP, HOME]), @r"
    $ restow copy app/agent.db langgraph+sqlite:home.sqlite
    langgraph+sqlite:app/agent.db
      → langgraph+sqlite:home.sqlite
    units    19 unchanged
    records  0, 0 bytes in [time] ([rate])
    verified 1,056 of the source against 1,063 records of the target: equal
              1 extra at the target
      extra at the target, unit mine
    --- exit 0
    ");
    let delete = ["copy", APP, HOME, "--extra", "delete"];
    assert_snapshot!(world.transcript(&delete), @r"
    $ restow copy app/agent.db langgraph+sqlite:home.sqlite --extra delete
    --- standard error
    restow: copy: --extra delete removes units that only the target holds; add --confirm \
        home.sqlite to say so
    --- exit 13
    ");
    let wrong = [&delete[..], &["--confirm", "other.sqlite"]].concat();
    world.run(&wrong).expect(13);
    assert!(number(&world.cli.path("home.sqlite"), mine) > 0);
    let confirmed = [&delete[..], &["--confirm", "home.sqlite"]].concat();
    assert_snapshot!(world.transcript(&confirmed), @r"
    $ restow copy app/agent.db langgraph+sqlite:home.sqlite --extra delete --confirm \
        home.sqlite
    langgraph+sqlite:app/agent.db
      → langgraph+sqlite:home.sqlite
    units    19 unchanged, 1 removed, only at the target
    records  0, 0 bytes in [time] ([rate])
    verified 1,056 of the source against 1,063 records of the target: equal
    --- exit 0
    ");
    assert_eq!(number(&world.cli.path("home.sqlite"), mine), 0);
}

/// A connection that holds the write lock of a target that was copied to before.
fn held(world: &World, target: &str, file: &str) -> Connection {
    world.run(&["copy", APP, target, "--units", "chat-*"]).expect(0);
    let holder = open(&world.cli.path(file));
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    holder
}

#[test]
fn a_target_in_use_is_waited_for() {
    for (target, file) in [("agent.restow", "agent.restow"), (HOME, "home.sqlite")] {
        let world = World::example("agent.sqlite");
        let holder = held(&world, target, file);
        let mut waiting = world.cli.spawn(&["copy", APP, target]);
        waiting.wait_for("→");
        holder.execute_batch("COMMIT").unwrap();
        drop(holder);
        waiting.finish().expect(0);
    }
}

#[test]
fn a_target_in_use_for_long_is_told() {
    let world = World::example("agent.sqlite");
    let holder = held(&world, "agent.restow", "agent.restow");
    let told = world.run(&["copy", APP, "agent.restow"]).expect(1).err;
    let words = "the file is locked by another process; try again when it is free, file ";
    assert!(told.contains(words) && told.contains("agent.restow\n"), "{told}");
    holder.execute_batch("COMMIT").unwrap();
    drop(holder);
    world.run(&["copy", APP, "agent.restow"]).expect(0);
}

#[test]
fn a_target_that_another_restow_fills() {
    let world = World::example("agent.sqlite");
    let mut first = world.cli.spawn(&["copy", APP, "agent.restow", "--max-rate", "1"]);
    first.wait_for("→");
    assert_snapshot!(world.transcript(&["copy", APP, "agent.restow"]), @r"
    $ restow copy app/agent.db agent.restow
    --- standard error
    restow: open a ledger: another restow process holds it; wait for that one, or stop it, \
        ledger $DIR/agent.restow.ledger, held by another attempt
    --- exit 11
    ");
    let runs = || world.cli.run(&["status", "agent.restow"]).out.contains("running, or it died");
    assert!(first.wait_until(runs));
    first.kill();
    world.run(&["copy", APP, "agent.restow"]).expect(0);
}
