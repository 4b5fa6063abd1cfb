//! Commands on a DynamoDB table: what it weighs, what is left behind, whether all is well.

use std::sync::atomic::{AtomicU32, Ordering};

use insta::assert_snapshot;
use restow_testkit::generate;

use crate::common::{APP, World, folded, unestimated};

static TABLES: AtomicU32 = AtomicU32::new(0);

/// A table of its own, with credentials that any server of tests takes.
struct Table {
    world: World,
    server: String,
    name: String,
}

/// Names a table; nothing where this run does without a server.
fn table() -> Option<Table> {
    let server = restow_testkit::servers::dynamodb()?;
    let n = TABLES.fetch_add(1, Ordering::Relaxed);
    let name = format!("restow-cli-{}-{n}", std::process::id());
    let mut world = World::new(|path| {
        generate::chat(path, 1, 2, 7);
    });
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        world.cli.set(name, "any");
    }
    world.cli.set("DYNAMODB_ENDPOINT", &server);
    Some(Table { world, server, name })
}

impl Table {
    fn address(&self) -> String {
        format!("split+dynamodb:{}", self.name)
    }

    /// Runs restow on the table; what is told of this run alone has a name in its place.
    fn said(&self, args: &[&str]) -> String {
        let address = self.address();
        let args: Vec<_> =
            args.iter().map(|arg| if *arg == "TABLE" { &*address } else { arg }).collect();
        let shown = self.world.cli.transcript(&args);
        let shown = shown.replace(&self.server, "$SERVER").replace(&self.name, "threads");
        unestimated(&folded(&shown))
    }
}

#[test]
fn a_table_is_assessed() {
    let Some(table) = table() else { return };
    let address = table.address();
    table.world.run(&["copy", APP, &address]).expect(0);
    assert_snapshot!(table.said(&["assess", "TABLE"]), @r#"
    $ restow assess split+dynamodb:threads
    restow, split+dynamodb, 1 thread, 6 checkpoints, 6 pending writes
    content      11.8 kB of values, 4.38 kB of everything else
    repeated     about # % of the values, inside their threads (an estimate)
    as SQLite    about # kB in LangGraph's own tables (an estimate)
    as parts     about # kB (an estimate)
    table        15 items, 9.11 kB
    items        ≤ 1 KiB 14 · ≤ 4 KiB 1
    expiry       off, 0 items may expire
    orphans      0 parts that nothing points at
    dangling     0 parts that records point at and that are not there
    heaviest
        9.06 kB  14 items  b8b4c297-7eab-4e45-a653-05fd338ec8fe
    sizes        ≤ 1 KiB 6 · ≤ 4 KiB 6
    DynamoDB     0 records are above its item limit of 409,600 bytes (0.0 %)
                 0 records are above the threshold of 358,400 bytes (0.0 %)
    to write     about # units: # USD at # a million, [time] at [rate] (an estimate)
    largest
        3.49 kB  b8b4c297-7eab-4e45-a653-05fd338ec8fe  checkpoint("", \
        1f1160ff-08f7-6e2a-8004-282e84feee46)
        2.59 kB  b8b4c297-7eab-4e45-a653-05fd338ec8fe  checkpoint("", \
        1f1160ff-0224-6ed3-8003-8999a432f9da)
        2.58 kB  b8b4c297-7eab-4e45-a653-05fd338ec8fe  checkpoint("", \
        1f1160fe-fa79-63a1-8002-42fd538e0091)
        2.04 kB  b8b4c297-7eab-4e45-a653-05fd338ec8fe  checkpoint("", \
        1f1160ef-c6c5-6977-8001-58f9b0b9246d)
        1.11 kB  b8b4c297-7eab-4e45-a653-05fd338ec8fe  checkpoint("", \
        1f1160ef-bf4c-6792-8000-985ffa2d24ef)
        1.06 kB  b8b4c297-7eab-4e45-a653-05fd338ec8fe  write("", \
        1f1160ff-0224-6ed3-8003-8999a432f9da, 0536f33e-6e49-0103-e289-c5e817610d4e, 0)
        1.00 kB  b8b4c297-7eab-4e45-a653-05fd338ec8fe  write("", \
        1f1160ef-bf4c-6792-8000-985ffa2d24ef, 8fb5934e-fd9b-1267-4b31-95877492e0d5, 0)
      823 bytes  b8b4c297-7eab-4e45-a653-05fd338ec8fe  checkpoint("", \
        1f1160ef-b975-60a3-bfff-2f7d67976673)
      608 bytes  b8b4c297-7eab-4e45-a653-05fd338ec8fe  write("", \
        1f1160fe-fa79-63a1-8002-42fd538e0091, 968c0a20-9862-5f04-fb0e-e4720e2634ba, 0)
      596 bytes  b8b4c297-7eab-4e45-a653-05fd338ec8fe  write("", \
        1f1160ef-b975-60a3-bfff-2f7d67976673, 5ae65d5d-c17c-5de7-7880-304481f873bc, 0)
    --- exit 0
    "#);
}

#[test]
fn a_table_has_nothing_to_clean() {
    let Some(table) = table() else { return };
    table.world.run(&["copy", APP, &table.address()]).expect(0);
    assert_snapshot!(table.said(&["parts", "clean", "TABLE"]), @r"
    $ restow parts clean split+dynamodb:threads
    15 items looked at
    would remove 0 parts that no record names, 0 bytes
    would remove 0 parts of checkpoints that are gone, 0 bytes
    would remove 0 things that writers left in their threads
    --- exit 0
    ");
    assert_snapshot!(table.said(&["parts", "clean", "TABLE", "--confirm", "other"]), @r"
    $ restow parts clean split+dynamodb:threads --confirm other
    --- standard error
    restow: confirm a change: nothing was changed; confirm it with --confirm and the table's \
        name, table threads
    --- exit 13
    ");
}

#[test]
fn what_known_applications_could_not_read_stays_in_parts() {
    let Some(table) = table() else { return };
    table.world.run(&["copy", APP, &table.address()]).expect(0);
    assert_snapshot!(table.said(&["parts", "join", "TABLE"]), @r#"
    $ restow parts join split+dynamodb:threads
    0 records are whole already
    would write 0 records whole, 0 bytes
    12 records stay as they are
      b8b4c297-7eab-4e45-a653-05fd338ec8fe: checkpoint("", \
        1f1160ef-b975-60a3-bfff-2f7d67976673): the known applications could not read it
      b8b4c297-7eab-4e45-a653-05fd338ec8fe: checkpoint("", \
        1f1160ef-bf4c-6792-8000-985ffa2d24ef): the known applications could not read it
      b8b4c297-7eab-4e45-a653-05fd338ec8fe: checkpoint("", \
        1f1160ef-c6c5-6977-8001-58f9b0b9246d): the known applications could not read it
      b8b4c297-7eab-4e45-a653-05fd338ec8fe: checkpoint("", \
        1f1160fe-fa79-63a1-8002-42fd538e0091): the known applications could not read it
      b8b4c297-7eab-4e45-a653-05fd338ec8fe: checkpoint("", \
        1f1160ff-0224-6ed3-8003-8999a432f9da): the known applications could not read it
      b8b4c297-7eab-4e45-a653-05fd338ec8fe: checkpoint("", \
        1f1160ff-08f7-6e2a-8004-282e84feee46): the known applications could not read it
      b8b4c297-7eab-4e45-a653-05fd338ec8fe: write("", 1f1160ef-b975-60a3-bfff-2f7d67976673, \
        5ae65d5d-c17c-5de7-7880-304481f873bc, 0): the known applications could not read it
      b8b4c297-7eab-4e45-a653-05fd338ec8fe: write("", 1f1160ef-b975-60a3-bfff-2f7d67976673, \
        5ae65d5d-c17c-5de7-7880-304481f873bc, 1): the known applications could not read it
      b8b4c297-7eab-4e45-a653-05fd338ec8fe: write("", 1f1160ef-bf4c-6792-8000-985ffa2d24ef, \
        8fb5934e-fd9b-1267-4b31-95877492e0d5, 0): the known applications could not read it
      b8b4c297-7eab-4e45-a653-05fd338ec8fe: write("", 1f1160fe-fa79-63a1-8002-42fd538e0091, \
        968c0a20-9862-5f04-fb0e-e4720e2634ba, 0): the known applications could not read it
      b8b4c297-7eab-4e45-a653-05fd338ec8fe: write("", 1f1160fe-fa79-63a1-8002-42fd538e0091, \
        968c0a20-9862-5f04-fb0e-e4720e2634ba, 1): the known applications could not read it
      b8b4c297-7eab-4e45-a653-05fd338ec8fe: write("", 1f1160ff-0224-6ed3-8003-8999a432f9da, \
        0536f33e-6e49-0103-e289-c5e817610d4e, 0): the known applications could not read it
    --- exit 0
    "#);
}

#[test]
fn a_table_is_tried() {
    let Some(table) = table() else { return };
    assert_snapshot!(table.said(&["doctor", "TABLE"]), @r"
    $ restow doctor split+dynamodb:threads
    --- standard error
    restow: read an item: there is no such table here; check its name, the region and the \
        endpoint, table threads?region=us-east-1&endpoint=$SERVER, code ResourceNotFoundException
      because: service error
      because: ResourceNotFoundException: Requested resource not found
    --- exit 1
    ");
    let address = table.address();
    table.world.run(&["copy", APP, &address]).expect(0);
    assert_snapshot!(table.said(&["doctor", "TABLE"]), @r#"
    $ restow doctor split+dynamodb:threads
    open                    [time]  split+dynamodb:threads
    read an old record      [time]  b8b4c297-7eab-4e45-a653-05fd338ec8fe checkpoint("", \
        1f1160ef-b975-60a3-bfff-2f7d67976673)
    remove what was left    [time]  nothing
    write a large record    [time]  2097152 bytes
    read it back            [time]  it is the same
    list                    [time]  1 of the thread
    delete                  [time]  it is gone
    all is well
    --- exit 0
    "#);
}

#[test]
fn a_file_is_tried_and_has_no_parts_of_its_own() {
    let world = World::new(|path| {
        generate::chat(path, 1, 2, 7);
    });
    world.run(&["copy", APP, "agent.restow"]).expect(0);
    assert_snapshot!(world.transcript(&["doctor", "agent.restow"]), @r#"
    $ restow doctor agent.restow
    open                    [time]  agent.restow
    read an old record      [time]  b8b4c297-7eab-4e45-a653-05fd338ec8fe checkpoint("", \
        1f1160ef-b975-60a3-bfff-2f7d67976673)
    remove what was left    [time]  nothing
    write a large record    [time]  2097152 bytes
    read it back            [time]  it is the same
    list                    [time]  1 of the thread
    delete                  [time]  it is gone
    all is well
    --- exit 0
    "#);
    assert_snapshot!(world.transcript(&["parts", "clean", "agent.restow"]), @r"
    $ restow parts clean agent.restow
    --- standard error
    restow: look at parts: the store keeps no parts of its own that could be left behind, \
        address agent.restow
    --- exit 1
    ");
}

#[test]
fn what_a_user_meets_is_said_in_a_sentence() {
    let Some(mut table) = table() else { return };
    assert_snapshot!(table.said(&["assess", "TABLE"]), @r"
    $ restow assess split+dynamodb:threads
    --- standard error
    restow: read an item: there is no such table here; check its name, the region and the \
        endpoint, table threads?region=us-east-1&endpoint=$SERVER, code ResourceNotFoundException
      because: service error
      because: ResourceNotFoundException: Requested resource not found
    --- exit 1
    ");
    table.world.cli.set("CHECKPOINT_MAX_CHUNK_SIZE", "1");
    assert_snapshot!(table.said(&["assess", "TABLE"]), @r"
    $ restow assess split+dynamodb:threads
    --- standard error
    restow: read the settings of splitting: CHECKPOINT_MAX_CHUNK_SIZE is between 50000 and \
        350000 bytes, value 1
    --- exit 2
    ");
}

#[test]
fn without_credentials_or_a_region_it_says_what_to_set() {
    let mut world = World::new(|path| {
        generate::chat(path, 1, 1, 7);
    });
    world.cli.set("AWS_EC2_METADATA_DISABLED", "true");
    assert_snapshot!(world.transcript(&["assess", "split+dynamodb:threads"]), @r"
    $ restow assess split+dynamodb:threads
    --- standard error
    restow: reach DynamoDB: no region is named; give ?region= in the address, or set \
        AWS_REGION, table threads
    --- exit 2
    ");
    let endpoint = "split+dynamodb:threads?endpoint=http://127.0.0.1:9";
    // What was tried in which order is told by the cause, in AWS's words.
    let shown = world.transcript(&["assess", endpoint]);
    let (said, cause) = shown.split_once("  because:").unwrap();
    assert!(cause.ends_with("--- exit 12\n"), "{cause}");
    assert_snapshot!(said, @r"
    $ restow assess 'split+dynamodb:threads?endpoint=http://127.0.0.1:9'
    --- standard error
    restow: read an item: no credentials were found; set AWS_PROFILE, or AWS_ACCESS_KEY_ID \
        and AWS_SECRET_ACCESS_KEY, table threads?region=us-east-1&endpoint=http://127.0.0.1:9
    ");
}
