//! Backups from the first to the last, in words.

use std::fs;
use std::path::Path;

use insta::assert_snapshot;
use rusqlite::params;

use crate::common::{World, example, open};

fn world() -> World {
    World::example("agent.sqlite")
}

/// Hides the size of a file, which differs a little from run to run.
fn without_size(text: &str) -> String {
    let line = |line: &str| match line.split_once(": a file of ") {
        Some((name, _)) => format!("{name}: a file of [size]\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// Changes a backup's rows behind its back.
fn damage(path: &Path, sql: &str) {
    let connection = open(path);
    assert!(connection.execute(sql, params![]).unwrap() > 0);
    connection.close().unwrap();
}

#[test]
fn a_backup_is_made_listed_and_checked() {
    let world = world();
    let create = ["backup", "create", "app/agent.db", "a.backup"];
    assert_snapshot!(world.transcript(&[&create[..], &["--dry-run"]].concat()), @r"
    $ restow backup create app/agent.db a.backup --dry-run
    langgraph+sqlite:app/agent.db
      → a.backup
    dry run  19 units, 1,056 records, 1.11 MB; nothing was written
             19 would be copied
    --- exit 0
    ");
    assert!(world.cli.files().iter().all(|name| !name.contains("backup")), "a dry run wrote");
    assert_snapshot!(world.transcript(&create), @r"
    $ restow backup create app/agent.db a.backup
    langgraph+sqlite:app/agent.db
      → a.backup
    units    19 copied
    records  1,056, 1.11 MB in [time] ([rate])
    verified 1,056 of the source against 1,056 records of the target: equal
    backup   19 units, 1,056 records, 1.11 MB, checked
    --- exit 0
    ");
    assert_snapshot!(world.transcript(&create), @r"
    $ restow backup create app/agent.db a.backup
    langgraph+sqlite:app/agent.db
      → a.backup
    --- standard error
    restow: make a backup: the file is there already, and no backup is overwritten; name \
        another one, file $DIR/a.backup
    --- exit 13
    ");
    assert_snapshot!(without_size(&world.transcript(&["backup", "list", "a.backup"])), @r"
    $ restow backup list a.backup
    a.backup: a file of [size]
      made   [moment] of langgraph+sqlite:app/agent.db
      holds  19 units, 1,056 records, 1.11 MB
    --- exit 0
    ");
    assert_snapshot!(world.transcript(&["backup", "check", "a.backup"]), @r"
    $ restow backup check a.backup
    checked 19 units, 1,056 records: whole
    --- exit 0
    ");
    assert_snapshot!(world.transcript(&["backup", "check", "a.backup", "--share", "25"]), @r"
    $ restow backup check a.backup --share 25
    checked 6 of 19 units, 329 records: whole
    --- exit 0
    ");
}

#[test]
fn a_backup_is_restored_once() {
    let world = world();
    world.run(&["backup", "create", "app/agent.db", "a.backup"]).expect(0);
    let restore = ["backup", "restore", "a.backup", "back.restow"];
    assert_snapshot!(world.transcript(&[&restore[..], &["--dry-run"]].concat()), @r"
    $ restow backup restore a.backup back.restow --dry-run
    a.backup
      → back.restow (not there yet)
    dry run  19 units, 1,056 records, 1.11 MB; nothing was written
             19 would be copied
    --- exit 0
    ");
    assert_snapshot!(world.transcript(&restore), @r"
    $ restow backup restore a.backup back.restow
    a.backup
      → parts+sqlite:back.restow
    units    19 copied
    records  1,056, 1.11 MB in [time] ([rate])
    verified 1,056 of the source against 1,056 records of the target: equal
    --- exit 0
    ");
    assert_snapshot!(world.transcript(&restore), @r"
    $ restow backup restore a.backup back.restow
    a.backup
      → parts+sqlite:back.restow
    --- standard error
    restow: restore a backup: the target holds units already; name an empty one, or bring it \
        up to date with `copy`, target parts+sqlite:$DIR/back.restow
    --- exit 13
    ");
    world.run(&["verify", "app/agent.db", "back.restow"]).expect(0);
}

#[test]
fn what_is_damaged_is_named() {
    let world = World::altered("UPDATE checkpoints SET checkpoint = x'c1' WHERE rowid = 100");
    let create = ["backup", "create", "app/agent.db", "a.backup"];
    assert_snapshot!(world.transcript(&create), @r#"
    $ restow backup create app/agent.db a.backup
    langgraph+sqlite:app/agent.db
      → a.backup
    units    18 copied
    records  940, 1.05 MB in [time] ([rate])
    not copied: 1 unit
      damaged · nested-done: table checkpoints, thread nested-done, namespace \
        "research:fb15b0a2-2239-81f5-19c2-e4904d38b4b2|dig:d71993a8-7c1c-f086-1b36-e720b3b7d824", \
        checkpoint 1f1e56fb-d0f1-6589-8001-9d0012b3ef03: the checkpoint is no msgpack: unused \
        msgpack byte c1 at byte 0
    verified 1,055 of the source against 940 records of the target: equal but for what is \
        named above
    backup   18 units, 940 records, 1.05 MB, checked; it lacks 1 unit of its source
    --- exit 3
    "#);
    assert_snapshot!(without_size(&world.transcript(&["backup", "list", "a.backup"])), @r"
    $ restow backup list a.backup
    a.backup: a file of [size]
      made   [moment] of langgraph+sqlite:app/agent.db
      holds  18 units, 940 records, 1.05 MB; it lacks 1 unit of its source
    --- exit 0
    ");
    // By name: which unit is written first is not told before.
    let unit = "(SELECT unit_no FROM restow_unit WHERE unit = 'approval-done')";
    let part = format!("UPDATE restow_part SET data = x'00' WHERE unit_no = {unit} AND first = 0");
    damage(&world.cli.path("a.backup"), &part);
    damage(&world.cli.path("a.backup"), "DELETE FROM restow_unit WHERE unit = 'approval-open'");
    assert_snapshot!(world.transcript(&["backup", "check", "a.backup"]), @r#"
    $ restow backup check a.backup
    checked 17 units, 930 records: damaged
      damaged · approval-done: record checkpoint("", 1f1e56fb-d095-6659-8003-e01f79435703): \
        the part from element 0 on is damaged: what is stored cannot be expanded
      damaged · approval-done: record write("", 1f1e56fb-d083-6bc4-8001-a2b626a52449, \
        e9702b62-e31d-40cc-c927-4137334dac63, -3): the part from element 0 on is damaged: what is \
        stored cannot be expanded
      damaged · it holds 17 units and 932 records, and the manifest says 18 units and 940 \
        records
    --- exit 3
    "#);
    let restore = ["backup", "restore", "a.backup", "back.restow"];
    assert_snapshot!(world.transcript(&restore), @r#"
    $ restow backup restore a.backup back.restow
    a.backup
      → parts+sqlite:back.restow
    units    16 copied
    records  916, 1.04 MB in [time] ([rate])
    not copied: 1 unit
      damaged · approval-done: record checkpoint("", 1f1e56fb-d095-6659-8003-e01f79435703): \
        the part from element 0 on is damaged: what is stored cannot be expanded; record \
        write("", 1f1e56fb-d083-6bc4-8001-a2b626a52449, e9702b62-e31d-40cc-c927-4137334dac63, \
        -3): the part from element 0 on is damaged: what is stored cannot be expanded
      damaged · it holds 17 units and 932 records, and the manifest says 18 units and 940 \
        records
    verified 930 of the source against 916 records of the target: equal but for what is named \
        above
    the backup was made without 1 unit of its source
    --- exit 3
    "#);
}

#[test]
fn what_is_no_backup_is_told() {
    let world = world();
    world.run(&["copy", "app/agent.db", "agent.restow"]).expect(0);
    for file in ["app/agent.db", "agent.restow", "none"] {
        world.run(&["backup", "check", file]).expect(if file == "none" { 1 } else { 2 });
    }
    assert_snapshot!(world.transcript(&["backup", "check", "agent.restow"]), @r"
    $ restow backup check agent.restow
    --- standard error
    restow: open a backup: it has no manifest, so that it is no backup; name one, archive \
        parts+sqlite:$DIR/agent.restow
    --- exit 2
    ");
    assert_snapshot!(world.transcript(&["backup", "list", "."]), @r"
    $ restow backup list .
    .: no backup
    --- exit 0
    ");
    assert_snapshot!(world.transcript(&["backup", "create", "app/agent.db"]), @r"
    $ restow backup create app/agent.db
    --- standard error
    restow: make a backup: name the store to read, and then the file to make
    --- exit 2
    ");
    world.run(&["backup", "create", "app/agent.db", "a.backup"]).expect(0);
    let whole = fs::read(world.cli.path("a.backup")).unwrap();
    fs::write(world.cli.path("short.backup"), &whole[..9000]).unwrap();
    assert_snapshot!(world.transcript(&["backup", "check", "short.backup"]), @r"
    $ restow backup check short.backup
    checked 0 units, 0 records: damaged
      damaged · open a database: the file is cut short; restore it from a backup, file \
        $DIR/short.backup
    --- exit 3
    ");
}

#[test]
fn a_store_that_holds_units_is_not_restored_into() {
    let world = world();
    fs::copy(example("agent-old.sqlite"), world.cli.path("old.sqlite")).unwrap();
    world.run(&["backup", "create", "app/agent.db", "a.backup"]).expect(0);
    let before = fs::read(world.cli.path("old.sqlite")).unwrap();
    let restore = ["backup", "restore", "a.backup", "old.sqlite"];
    assert_snapshot!(world.transcript(&restore), @r"
    $ restow backup restore a.backup old.sqlite
    a.backup
      → langgraph+sqlite:old.sqlite
    --- standard error
    restow: restore a backup: the target holds units already; name an empty one, or bring it \
        up to date with `copy`, target langgraph+sqlite:$DIR/old.sqlite
    --- exit 13
    ");
    assert!(fs::read(world.cli.path("old.sqlite")).unwrap() == before, "it was written to");
}

#[test]
fn old_backups_go_when_it_is_confirmed() {
    let world = world();
    fs::create_dir(world.cli.path("nightly")).unwrap();
    for name in ["a", "b", "c"] {
        let file = format!("nightly/{name}.backup");
        world.run(&["backup", "create", "app/agent.db", &file]).expect(0);
    }
    let prune = ["backup", "prune", "nightly", "--keep", "1"];
    assert_snapshot!(world.transcript(&[&prune[..], &["--dry-run"]].concat()), @r"
    $ restow backup prune nightly --keep 1 --dry-run
    goes     nightly/a.backup, made [moment]: no rule keeps it
    goes     nightly/b.backup, made [moment]: no rule keeps it
    stays    nightly/c.backup, made [moment]: it is one of the newest of its source
    2 of 3 backups would be removed
    --- exit 0
    ");
    assert_snapshot!(world.transcript(&prune), @r"
    $ restow backup prune nightly --keep 1
    goes     nightly/a.backup, made [moment]: no rule keeps it
    goes     nightly/b.backup, made [moment]: no rule keeps it
    stays    nightly/c.backup, made [moment]: it is one of the newest of its source
    2 of 3 backups would be removed
    --- standard error
    restow: prune backups: what is removed is gone; add --confirm nightly to say so
    --- exit 13
    ");
    assert_eq!(fs::read_dir(world.cli.path("nightly")).unwrap().count(), 3);
    assert_snapshot!(world.transcript(&[&prune[..], &["--confirm", "nightly"]].concat()), @r"
    $ restow backup prune nightly --keep 1 --confirm nightly
    removed  nightly/a.backup, made [moment]: no rule keeps it
    removed  nightly/b.backup, made [moment]: no rule keeps it
    stays    nightly/c.backup, made [moment]: it is one of the newest of its source
    2 of 3 backups removed
    --- exit 0
    ");
    assert_eq!(fs::read_dir(world.cli.path("nightly")).unwrap().count(), 1);
    let young = ["backup", "prune", "nightly", "--older-than", "1"];
    assert_snapshot!(world.transcript(&young), @r"
    $ restow backup prune nightly --older-than 1
    stays    nightly/c.backup, made [moment]: it is not old enough
    0 of 1 backup removed
    --- exit 0
    ");
    assert_snapshot!(world.transcript(&["backup", "prune", "nightly"]), @r"
    $ restow backup prune nightly
    --- standard error
    error: the following required arguments were not provided:
      <--keep <COUNT>|--older-than <DAYS>>

    Usage: restow backup prune <--keep <COUNT>|--older-than <DAYS>> <FOLDER>

    For more information, try '--help'.
    --- exit 2
    ");
}

#[test]
fn a_migration_is_backed_up_from_wherever_its_units_live() {
    let world = world();
    fs::copy(example("agent.sqlite"), world.cli.path("agent.sqlite")).unwrap();
    let text = "[migration]\nname = \"agent\"\nsource = \"langgraph+sqlite:agent.sqlite\"\n\
                target = \"parts+sqlite:agent.restow\"\n";
    fs::write(world.cli.path("restow.toml"), text).unwrap();
    let create = ["backup", "create", "--config", "restow.toml"];
    let create = |file| [&create[..], &[file]].concat();
    assert_snapshot!(world.transcript(&create("none.backup")), @r"
    $ restow backup create --config restow.toml none.backup
    --- standard error
    restow: find a migration: the migration has not begun; begin it with `migrate start`, \
        migration agent
    --- exit 10
    ");
    world.run(&["migrate", "start", "--confirm", "agent"]).expect(0);
    for (share, file) in [("0", "0.backup"), ("37", "37.backup"), ("100", "100.backup")] {
        world.run(&["migrate", "rollout", share]).expect(0);
        world.run(&create(file)).expect(0);
        world.run(&["verify", "app/agent.db", file]).expect(0);
    }
    assert_snapshot!(without_size(&world.transcript(&["backup", "list", "37.backup"])), @r"
    $ restow backup list 37.backup
    37.backup: a file of [size]
      made   [moment] of langgraph+sqlite:agent.sqlite
      holds  19 units, 1,056 records, 1.11 MB
      is of  migration agent, phase move, epoch 4
    --- exit 0
    ");
    fs::create_dir(world.cli.path("kept")).unwrap();
    fs::rename(world.cli.path("37.backup"), world.cli.path("kept/37.backup")).unwrap();
    let prune = ["backup", "prune", "kept", "--keep", "0", "--dry-run"];
    assert_snapshot!(world.transcript(&prune), @r"
    $ restow backup prune kept --keep 0 --dry-run
    stays    kept/37.backup, made [moment]: its migration may be open; --config with its file \
        tells that it has ended
    0 of 1 backup would be removed
    --- exit 0
    ");
    let prune = [&prune[..], &["--config", "restow.toml"]].concat();
    assert_snapshot!(world.transcript(&prune), @r"
    $ restow backup prune kept --keep 0 --dry-run --config restow.toml
    stays    kept/37.backup, made [moment]: its migration may be open; --config with its file \
        tells that it has ended
    0 of 1 backup would be removed
    --- exit 0
    ");
}
