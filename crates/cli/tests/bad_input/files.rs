//! Files that are not what they are said to be, or that cannot be read now.

use std::fs;
use std::os::unix::fs::symlink;

use insta::assert_snapshot;
use restow_testkit::damage::{Damage, FILE};

use crate::common::{APP, Folder, World, folded};

/// Tries to copy; nothing is made.
fn refused(world: &World) -> String {
    let shown = world.transcript(&["copy", APP, "agent.restow"]);
    assert_eq!(world.cli.files(), ["app"]);
    shown
}

fn damaged(name: &str) -> World {
    let world = World::example("agent.sqlite");
    Damage::named(FILE, name).apply(&world.cli.path(APP), 1);
    world
}

#[test]
fn no_database() {
    let world = World::new(|path| fs::write(path, "thread,checkpoint\nchat-1,2\n").unwrap());
    assert_snapshot!(refused(&world), @r"
    $ restow copy app/agent.db agent.restow
    --- standard error
    restow: open a database: the file is not an SQLite database, or is encrypted; check the \
        path, file $DIR/app/agent.db
    --- exit 2
    ");
    assert_snapshot!(world.transcript(&["assess", "langgraph+sqlite:app/agent.db"]), @r"
    $ restow assess langgraph+sqlite:app/agent.db
    --- standard error
    restow: open a database: the file is not an SQLite database, or is encrypted; check the \
        path, file $DIR/app/agent.db
    --- exit 2
    ");
    assert_snapshot!(world.transcript(&["--json", "assess", APP]), @r#"
    $ restow --json assess app/agent.db
    --- standard error
    {"causes":[],"context":{"file":"$DIR/app/agent.db"},"event":"error","kind":"invalid", \
        "message":"open a database: the file is not an SQLite database, or is encrypted; check \
        the path, file $DIR/app/agent.db"}
    --- exit 2
    "#);
}

#[test]
fn an_empty_file() {
    let world = damaged("file emptied");
    assert_snapshot!(refused(&world), @r"
    $ restow copy app/agent.db agent.restow
    --- standard error
    restow: recognise a path: there is no such file, or it is empty, path $DIR/app/agent.db
    --- exit 1
    ");
    assert_snapshot!(world.transcript(&["assess", "langgraph+sqlite:app/agent.db"]), @r"
    $ restow assess langgraph+sqlite:app/agent.db
    --- standard error
    restow: open a database: the file is empty; name the file that the application writes, \
        file $DIR/app/agent.db
    --- exit 2
    ");
}

#[test]
fn a_truncated_database() {
    assert_snapshot!(refused(&damaged("file truncated")), @r"
    $ restow copy app/agent.db agent.restow
    --- standard error
    restow: open a database: the file is cut short or damaged; restore it from a backup, file \
        $DIR/app/agent.db
      because: database disk image is malformed
    --- exit 1
    ");
    assert_snapshot!(refused(&damaged("file truncated inside a page")), @r"
    $ restow copy app/agent.db agent.restow
    --- standard error
    restow: open a database: the file is cut short; restore it from a backup, file \
        $DIR/app/agent.db
    --- exit 1
    ");
}

#[test]
fn a_header_of_something_else() {
    assert_snapshot!(refused(&damaged("header altered")), @r"
    $ restow copy app/agent.db agent.restow
    --- standard error
    restow: open a database: the file is not an SQLite database, or is encrypted; check the \
        path, file $DIR/app/agent.db
    --- exit 2
    ");
}

#[test]
fn a_page_that_was_wiped_spoils_no_other() {
    let world = damaged("page wiped");
    let outcome = world.run(&["copy", APP, "agent.restow"]);
    // Which rows stood there depends on the file: told by name, or the file as a whole.
    assert!(matches!(outcome.code, Some(1 | 3)), "{outcome:?}");
    let said = outcome.out + &outcome.err;
    assert!(said.contains("agent.db") && said.contains("damaged"), "{said}");
}

#[test]
fn a_locked_file() {
    let world = World::example("agent.sqlite");
    let before = Folder::look(&world.cli.path("app"));
    // To look at the file while it is held would drop the lock.
    let holder = world.app();
    holder.pragma_update(None, "locking_mode", "exclusive").unwrap();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let shown = folded(&world.cli.transcript(&["copy", APP, "agent.restow"]));
    assert_snapshot!(shown, @r"
    $ restow copy app/agent.db agent.restow
    --- standard error
    restow: open a database: the file is locked by another process; try again when it is \
        free, file $DIR/app/agent.db
      because: database is locked
    --- exit 1
    ");
    holder.execute_batch("ROLLBACK").unwrap();
    holder.close().unwrap();
    assert_eq!(world.cli.files(), ["app"]);
    before.assert_same();
}

#[test]
fn a_missing_file_and_a_folder() {
    let world = World::example("agent.sqlite");
    assert_snapshot!(world.transcript(&["copy", "agent.db", "agent.restow"]), @r"
    $ restow copy agent.db agent.restow
    --- standard error
    restow: recognise a path: there is no such file, or it is empty, path $DIR/agent.db
    --- exit 1
    ");
    assert_snapshot!(world.transcript(&["copy", "langgraph+sqlite:agent.db", "agent.restow"]), @r"
    $ restow copy langgraph+sqlite:agent.db agent.restow
    --- standard error
    restow: open a database: there is no such file, file $DIR/agent.db
      because: No such file or directory (os error 2)
    --- exit 1
    ");
    assert_snapshot!(world.transcript(&["assess", "app"]), @r"
    $ restow assess app
    --- standard error
    restow: open a database: this is no file; name the file itself, file $DIR/app
    --- exit 2
    ");
    assert_snapshot!(world.transcript(&["verify", APP, "agent.restow"]), @r"
    $ restow verify app/agent.db agent.restow
    --- standard error
    restow: recognise a path: there is no such file, or it is empty, path $DIR/agent.restow
    --- exit 1
    ");
    assert_snapshot!(world.transcript(&["status", "agent.restow"]), @r"
    $ restow status agent.restow
    --- standard error
    restow: read the ledger: nothing was ever copied there, or its ledger is elsewhere; name \
        the ledger, file $DIR/agent.restow.ledger
    --- exit 1
    ");
    assert_eq!(world.cli.files(), ["app"]);
}

#[test]
fn the_source_as_its_own_target() {
    let world = World::example("agent.sqlite");
    assert_snapshot!(world.transcript(&["copy", APP, APP]), @r"
    $ restow copy app/agent.db app/agent.db
    --- standard error
    restow: copy: source and target are one file; name another target, file $DIR/app/agent.db
    --- exit 13
    ");
    fs::hard_link(world.cli.path(APP), world.cli.path("hard.db")).unwrap();
    symlink(APP, world.cli.path("soft.db")).unwrap();
    let other = |place| format!("langgraph+sqlite:{place}");
    for target in [other("./app/../app/agent.db"), other("hard.db"), other("soft.db")] {
        let outcome = world.run(&["copy", APP, &target]).expect(13);
        assert!(outcome.err.contains("source and target are one file"), "{}", outcome.err);
    }
    world.run(&["copy", "hard.db", "parts+sqlite:soft.db"]).expect(13);
    assert_eq!(world.cli.files(), ["app", "hard.db", "soft.db"]);
}

#[test]
fn addresses_that_lead_nowhere() {
    let world = World::example("agent.sqlite");
    let to = |target| world.transcript(&["copy", APP, target]);
    assert_snapshot!(to("langgraph+redis:cache"), @r"
    $ restow copy app/agent.db langgraph+redis:cache
    --- standard error
    restow: open a store: no store of this layout on this engine is known, address \
        langgraph+redis:cache, known langgraph+sqlite:FILE \
        langgraph+postgres://USER@HOST/DATABASE langgraph+dynamodb:TABLE parts+sqlite:FILE \
        parts+postgres://USER@HOST/DATABASE split+dynamodb:TABLE
    --- exit 1
    ");
    assert_snapshot!(to("postgres://host/db"), @r"
    $ restow copy app/agent.db postgres://host/db
    --- standard error
    restow: parse an address: an address begins with <layout>+<engine>: in lower case, \
        address postgres://host/db
    --- exit 2
    ");
    assert_snapshot!(to("agent.copy"), @r"
    $ restow copy app/agent.db agent.copy
    --- standard error
    restow: recognise a path: the file is not there yet and its ending does not tell what it \
        is to be; name a file that ends in .restow, or write langgraph+sqlite: in front of the \
        path, path $DIR/agent.copy
    --- exit 2
    ");
    assert_snapshot!(to("parts+sqlite:"), @r"
    $ restow copy app/agent.db parts+sqlite:
    --- standard error
    restow: parse an address: the place is missing, address parts+sqlite:
    --- exit 2
    ");
    assert_eq!(world.cli.files(), ["app"]);
}
