//! A copy from the first look to the last, in words.

use insta::assert_snapshot;
use restow_testkit::generate;

use crate::common::{APP, World, open, unestimated};

/// Three chats and their names; the same at every run.
fn chats() -> World {
    World::new(|path| {
        generate::chat(path, 3, 2, 7);
        let names = "SELECT DISTINCT thread_id FROM checkpoints ORDER BY thread_id";
        let file = open(path);
        let mut statement = file.prepare(names).unwrap();
        let found = statement.query_map([], |row| row.get(0)).unwrap();
        let found: Vec<String> = found.map(Result::unwrap).collect();
        for (old, new) in found.iter().zip(["chat-anna", "chat-bela", "mail-carla"]) {
            for table in ["checkpoints", "writes"] {
                let sql = format!("UPDATE {table} SET thread_id = ?1 WHERE thread_id = ?2");
                assert!(file.execute(&sql, [new, old]).unwrap() > 0);
            }
        }
    })
}

#[test]
fn assess() {
    let world = chats();
    assert_snapshot!(unestimated(&world.transcript(&["assess", APP])), @r#"
    $ restow assess app/agent.db
    LangGraph (Python), SQLite, 3 threads, 18 checkpoints, 18 pending writes
    checkpoints 18 rows, 36.6 kB
    writes      18 rows, 8.83 kB
    file         90.1 kB
    content      36.1 kB of values, 13.1 kB of everything else
    repeated     about # % of the values, inside their threads (an estimate)
    as SQLite    about # kB in LangGraph's own tables (an estimate)
    as parts     about # kB, #/# of the file (an estimate)
    sizes        ≤ 1 KiB 19 · ≤ 4 KiB 17
    DynamoDB     0 records are above its item limit of 409,600 bytes (0.0 %)
                 0 records are above the threshold of 358,400 bytes (0.0 %)
    to write     about # units: # USD at # a million, [time] at [rate] (an estimate)
    largest
        3.81 kB  chat-anna  checkpoint("", 1f116114-e6f7-60a7-8004-4b7925f3db03)
        3.50 kB  chat-bela  checkpoint("", 1f11610c-2262-61e9-8004-3511470f4130)
        3.49 kB  mail-carla  checkpoint("", 1f1160ff-08f7-6e2a-8004-282e84feee46)
        3.03 kB  chat-anna  checkpoint("", 1f116114-e1d1-601e-8003-7b83fe289a3c)
        3.03 kB  chat-anna  checkpoint("", 1f116114-dfe2-6511-8002-c4096691941e)
        2.59 kB  mail-carla  checkpoint("", 1f1160ff-0224-6ed3-8003-8999a432f9da)
        2.58 kB  mail-carla  checkpoint("", 1f1160fe-fa79-63a1-8002-42fd538e0091)
        2.56 kB  chat-anna  checkpoint("", 1f1160fa-ec4f-6d7d-8001-d6a0fee84913)
        2.15 kB  chat-bela  checkpoint("", 1f11610c-1d48-6f54-8003-d71b8a87342c)
        2.15 kB  chat-bela  checkpoint("", 1f11610c-1c66-6bce-8002-0224b73d54cb)
    --- exit 0
    "#);
    world.run(&["copy", APP, "agent.restow"]).expect(0);
    assert_snapshot!(unestimated(&world.transcript(&["assess", "agent.restow"])), @r#"
    $ restow assess agent.restow
    restow, parts+sqlite, 3 threads, 18 checkpoints, 18 pending writes
    file         57.3 kB
    content      36.1 kB of values, 13.1 kB of everything else
    repeated     about # % of the values, inside their threads (an estimate)
    as SQLite    about # kB in LangGraph's own tables (an estimate)
    as parts     about # kB, #/# of the file (an estimate)
    sizes        ≤ 1 KiB 19 · ≤ 4 KiB 17
    DynamoDB     0 records are above its item limit of 409,600 bytes (0.0 %)
                 0 records are above the threshold of 358,400 bytes (0.0 %)
    to write     about # units: # USD at # a million, [time] at [rate] (an estimate)
    largest
        3.81 kB  chat-anna  checkpoint("", 1f116114-e6f7-60a7-8004-4b7925f3db03)
        3.50 kB  chat-bela  checkpoint("", 1f11610c-2262-61e9-8004-3511470f4130)
        3.49 kB  mail-carla  checkpoint("", 1f1160ff-08f7-6e2a-8004-282e84feee46)
        3.03 kB  chat-anna  checkpoint("", 1f116114-e1d1-601e-8003-7b83fe289a3c)
        3.03 kB  chat-anna  checkpoint("", 1f116114-dfe2-6511-8002-c4096691941e)
        2.59 kB  mail-carla  checkpoint("", 1f1160ff-0224-6ed3-8003-8999a432f9da)
        2.58 kB  mail-carla  checkpoint("", 1f1160fe-fa79-63a1-8002-42fd538e0091)
        2.56 kB  chat-anna  checkpoint("", 1f1160fa-ec4f-6d7d-8001-d6a0fee84913)
        2.15 kB  chat-bela  checkpoint("", 1f11610c-1d48-6f54-8003-d71b8a87342c)
        2.15 kB  chat-bela  checkpoint("", 1f11610c-1c66-6bce-8002-0224b73d54cb)
    --- exit 0
    "#);
}

#[test]
fn a_copy_from_plan_to_status() {
    let world = chats();
    assert_snapshot!(world.transcript(&["copy", APP, "agent.restow", "--dry-run"]), @r"
    $ restow copy app/agent.db agent.restow --dry-run
    langgraph+sqlite:app/agent.db
      → agent.restow (not there yet)
    dry run  3 units, 36 records, 51.8 kB; nothing was written
              3 would be copied
    --- exit 0
    ");
    assert_eq!(world.cli.files(), ["app"], "nothing was written");
    assert_snapshot!(world.transcript(&["copy", APP, "agent.restow"]), @r"
    $ restow copy app/agent.db agent.restow
    langgraph+sqlite:app/agent.db
      → parts+sqlite:agent.restow
    units    3 copied
    records  36, 51.8 kB in [time] ([rate])
    verified 36 of the source against 36 records of the target: equal
    --- exit 0
    ");
    assert_eq!(
        world.cli.files(),
        ["agent.restow", "agent.restow.ledger", "agent.restow.ledger.lock", "app"]
    );
    assert_snapshot!(world.transcript(&["copy", APP, "agent.restow"]), @r"
    $ restow copy app/agent.db agent.restow
    langgraph+sqlite:app/agent.db
      → parts+sqlite:agent.restow
    units    3 unchanged
    records  0, 0 bytes in [time] ([rate])
    verified 36 of the source against 36 records of the target: equal
    --- exit 0
    ");
    assert_snapshot!(world.transcript(&["copy", APP, "agent.restow", "--dry-run"]), @r"
    $ restow copy app/agent.db agent.restow --dry-run
    langgraph+sqlite:app/agent.db
      → parts+sqlite:agent.restow
    dry run  3 units, 36 records, 51.8 kB; nothing was written
              3 unchanged
    --- exit 0
    ");
    assert_snapshot!(world.transcript(&["verify", APP, "agent.restow"]), @r"
    $ restow verify app/agent.db agent.restow
    verified 36 of the source against 36 records of the target: equal
    --- exit 0
    ");
    assert_snapshot!(world.transcript(&["status", "agent.restow"]), @r"
    $ restow status agent.restow
    langgraph+sqlite:app/agent.db
      → parts+sqlite:agent.restow
    verified 3 units
    attempt  [time] ago: clean, took [time]
    attempt  [time] ago: clean, took [time]
    --- exit 0
    ");
}

#[test]
fn a_copy_of_some_units() {
    let world = chats();
    let some = ["copy", APP, "agent.restow", "--units", "chat-*"];
    assert_snapshot!(world.transcript(&some), @r"
    $ restow copy app/agent.db agent.restow --units 'chat-*'
    langgraph+sqlite:app/agent.db
      → parts+sqlite:agent.restow
    units    2 copied
    records  24, 34.7 kB in [time] ([rate])
    verified 24 of the source against 24 records of the target: equal
    --- exit 0
    ");
    assert_snapshot!(world.transcript(&["verify", APP, "agent.restow"]), @r"
    $ restow verify app/agent.db agent.restow
    verified 36 of the source against 24 records of the target: they differ
              1 not copied yet
      not copied yet, unit mail-carla
    the source moved on meanwhile; run the copy again to follow it
    --- exit 3
    ");
    world.run(&["verify", APP, "agent.restow", "--units", "chat-*"]).expect(0);
    std::fs::write(world.cli.path("names"), "mail-carla\n").unwrap();
    assert_snapshot!(world.transcript(&["copy", APP, "agent.restow", "--units", "names"]), @r"
    $ restow copy app/agent.db agent.restow --units names
    langgraph+sqlite:app/agent.db
      → parts+sqlite:agent.restow
    units    1 copied
    records  12, 17.0 kB in [time] ([rate])
    verified 12 of the source against 12 records of the target: equal
    --- exit 0
    ");
    world.run(&["verify", APP, "agent.restow"]).expect(0);
}

#[test]
fn a_source_that_went_on_and_lost_a_thread() {
    let world = chats();
    world.run(&["copy", APP, "agent.restow"]).expect(0);
    let sql = "DELETE FROM checkpoints WHERE thread_id = 'mail-carla';
               DELETE FROM writes WHERE thread_id = 'mail-carla';
               UPDATE writes SET idx = idx + 50 WHERE rowid =
                 (SELECT max(rowid) FROM writes WHERE thread_id = 'chat-anna')";
    world.app().execute_batch(sql).unwrap();
    assert_snapshot!(world.transcript(&["verify", APP, "agent.restow"]), @r"
    $ restow verify app/agent.db agent.restow
    verified 24 of the source against 36 records of the target: they differ
              1 gone from the source since
              1 source moved on since
      source moved on since, unit chat-anna
      gone from the source since, unit mail-carla
    the source moved on meanwhile; run the copy again to follow it
    --- exit 3
    ");
    assert_snapshot!(world.transcript(&["copy", APP, "agent.restow", "--dry-run"]), @r"
    $ restow copy app/agent.db agent.restow --dry-run
    langgraph+sqlite:app/agent.db
      → parts+sqlite:agent.restow
    dry run  2 units, 24 records, 34.7 kB; nothing was written
              1 would be brought up to date
              1 unchanged
              1 would be removed: gone from the source
      unit mail-carla: would be removed
    --- exit 0
    ");
    assert_snapshot!(world.transcript(&["copy", APP, "agent.restow"]), @r"
    $ restow copy app/agent.db agent.restow
    langgraph+sqlite:app/agent.db
      → parts+sqlite:agent.restow
    units    1 brought up to date, 1 unchanged, 1 removed, gone from the source
    records  1, 1.03 kB in [time] ([rate])
    verified 24 of the source against 24 records of the target: equal
    --- exit 0
    ");
    world.run(&["verify", APP, "agent.restow"]).expect(0);
}

#[test]
fn a_target_that_was_damaged() {
    let world = chats();
    world.run(&["copy", APP, "langgraph+sqlite:home.sqlite"]).expect(0);
    let sql = "UPDATE checkpoints SET parent_checkpoint_id = NULL WHERE thread_id = 'chat-bela'";
    open(&world.cli.path("home.sqlite")).execute_batch(sql).unwrap();
    assert_snapshot!(world.transcript(&["verify", APP, "home.sqlite"]), @r#"
    $ restow verify app/agent.db home.sqlite
    verified 36 of the source against 36 records of the target: they differ
              5 record differs
      record differs, unit chat-bela, record checkpoint("", \
        1f1160f5-b5b0-6515-8000-5e684b604261) (the target changed since the copy)
      record differs, unit chat-bela, record checkpoint("", \
        1f1160f5-be0b-61e1-8001-940838ac9870) (the target changed since the copy)
      record differs, unit chat-bela, record checkpoint("", \
        1f11610c-1c66-6bce-8002-0224b73d54cb) (the target changed since the copy)
      record differs, unit chat-bela, record checkpoint("", \
        1f11610c-1d48-6f54-8003-d71b8a87342c) (the target changed since the copy)
      record differs, unit chat-bela, record checkpoint("", \
        1f11610c-2262-61e9-8004-3511470f4130) (the target changed since the copy)
    --- exit 3
    "#);
}
