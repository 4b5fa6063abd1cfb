//! A migration from its beginning to a rollback, in words.

use std::fs;

use insta::assert_snapshot;
use restow::Environment;
use restow::live::{Config, Migration};

use crate::common::{World, example};

pub(crate) fn world() -> World {
    let world = World::example("agent.sqlite");
    fs::copy(example("agent.sqlite"), world.cli.path("agent.sqlite")).unwrap();
    let text = "[migration]\nname = \"agent\"\nsource = \"langgraph+sqlite:agent.sqlite\"\n\
                target = \"parts+sqlite:agent.restow\"\n";
    fs::write(world.cli.path("restow.toml"), text).unwrap();
    world
}

#[test]
fn a_migration_there_and_back() {
    let world = world();
    assert_snapshot!(world.transcript(&["migrate", "status"]), @r"
    $ restow migrate status
    --- standard error
    restow: find a migration: the migration has not begun; begin it with `migrate start`, \
        migration agent
    --- exit 10
    ");
    assert_snapshot!(world.transcript(&["migrate", "start"]), @r"
    $ restow migrate start
    --- standard error
    restow: start a migration: from now on every client has to read and write through restow; \
        what another one writes is lost when its thread moves. When that is so, confirm it with \
        --confirm and the migration's name, migration agent
    --- exit 13
    ");
    assert!(!world.cli.path("agent.restow").exists(), "an unconfirmed start made a store");
    assert_snapshot!(world.transcript(&["migrate", "start", "--confirm", "agent"]), @r"
    $ restow migrate start --confirm agent
    started agent: clients may write control records, nothing moves yet
    --- exit 0
    ");
    assert_snapshot!(world.transcript(&["migrate", "start", "--confirm", "agent"]), @r"
    $ restow migrate start --confirm agent
    --- standard error
    restow: start a migration: the migration was started before; look at it with `migrate \
        status`, phase aware
    --- exit 13
    ");
    assert_snapshot!(world.transcript(&["migrate", "rollout", "37"]), @r"
    $ restow migrate rollout 37
    moved 5 units
    agent: phase move 37 %, epoch 3
    langgraph+sqlite:agent.sqlite
      → parts+sqlite:agent.restow
    19 units: 14 at the source, 5 at the target, 0 on their way
    rollback_ready: all that is at the target is at the source as well
    --- exit 0
    ");
    assert_snapshot!(world.transcript(&["migrate", "rollout", "37"]), @r"
    $ restow migrate rollout 37
    moved 0 units
    agent: phase move 37 %, epoch 3
    langgraph+sqlite:agent.sqlite
      → parts+sqlite:agent.restow
    19 units: 14 at the source, 5 at the target, 0 on their way
    rollback_ready: all that is at the target is at the source as well
    --- exit 0
    ");
    assert_snapshot!(world.transcript(&["migrate", "rollback"]), @r"
    $ restow migrate rollback
    moved 5 units
    agent: phase move 0 %, epoch 4
    langgraph+sqlite:agent.sqlite
      → parts+sqlite:agent.restow
    19 units: 19 at the source, 0 at the target, 0 on their way
    rollback_ready: all that is at the target is at the source as well
    --- exit 0
    ");
}

#[test]
fn what_is_wrong_with_the_file_is_told() {
    let world = world();
    assert_snapshot!(world.transcript(&["migrate", "status", "--config", "other.toml"]), @r"
    $ restow migrate status --config other.toml
    --- standard error
    restow: read a migration: the file that describes the migration cannot be read, file \
        other.toml
      because: No such file or directory (os error 2)
    --- exit 1
    ");
    fs::write(world.cli.path("restow.toml"), "[migration]\nname = \"agent\"\n").unwrap();
    assert_snapshot!(world.transcript(&["migrate", "status"]), @r"
    $ restow migrate status
    --- standard error
    restow: read a migration: not a description of a migration: missing field `source`, file \
        restow.toml
    --- exit 2
    ");
}

#[test]
fn a_plan_says_what_comes_next() {
    let world = world();
    assert_snapshot!(world.transcript(&["migrate", "plan"]), @r"
    $ restow migrate plan
    agent: not begun
    langgraph+sqlite:agent.sqlite
      → parts+sqlite:agent.restow
    dry run  19 units, 1,056 records, 1.11 MB; nothing was written
             19 would be copied
    next
      1. let every client read and write through restow
         what another one writes is lost when its unit moves
      2. restow migrate start --confirm agent
         clients write control records; nothing moves
      3. restow migrate rollout PERCENT
         that share of the units moves, and more when it is raised to 100; rollback at any \
        time
      4. restow backup create --config restow.toml FILE
         each unit from its home; checked, as completing asks for it
      5. restow migrate complete --backup FILE --confirm agent
         the source is retired; there is no way back
      6. restow migrate cleanup --confirm agent
         what the retired store holds is removed, once no client goes through restow
    --- exit 0
    ");
    assert!(!world.cli.path("agent.restow").exists(), "a plan made a store");
    world.run(&["migrate", "start", "--confirm", "agent"]).expect(0);
    world.run(&["migrate", "rollout", "100"]).expect(0);
    assert_snapshot!(world.transcript(&["migrate", "plan"]), @r"
    $ restow migrate plan
    agent: phase settled, epoch 4
    langgraph+sqlite:agent.sqlite
      → parts+sqlite:agent.restow
    19 units: 0 at the source, 19 at the target, 0 on their way
    rollback_ready: all that is at the target is at the source as well
    next
      1. restow backup create --config restow.toml FILE
         each unit from its home; checked, as completing asks for it
      2. restow migrate complete --backup FILE --confirm agent
         the source is retired; there is no way back
      3. restow migrate cleanup --confirm agent
         what the retired store holds is removed, once no client goes through restow
    --- exit 0
    ");
    let text = fs::read_to_string(world.cli.path("restow.toml")).unwrap();
    let elsewhere = text.replace(".restow", ".other");
    fs::write(world.cli.path("other.toml"), &elsewhere).unwrap();
    // A migration that has begun is not taken to another target.
    world.run(&["migrate", "status", "--config", "other.toml"]).expect(13);
    let second = elsewhere.replace("\"agent\"", "\"second\"");
    fs::write(world.cli.path("other.toml"), second).unwrap();
    let planned = world.json(&["migrate", "plan", "--config", "other.toml"], 0);
    let start = "restow migrate start --confirm second --config other.toml";
    assert_eq!(planned["steps"][1]["how"], start);
}

#[test]
fn a_migration_rests_and_goes_on() {
    let world = world();
    world.run(&["migrate", "start", "--confirm", "agent"]).expect(0);
    assert_snapshot!(world.transcript(&["migrate", "pause"]), @r"
    $ restow migrate pause
    agent: phase aware, epoch 3, paused
    langgraph+sqlite:agent.sqlite
      → parts+sqlite:agent.restow
    19 units: 19 at the source, 0 at the target, 0 on their way
    rollback_ready: all that is at the target is at the source as well
    movers stop behind the unit that they are at; clients go on
    --- exit 0
    ");
    assert_snapshot!(world.transcript(&["migrate", "rollout", "37"]), @r"
    $ restow migrate rollout 37
    --- standard error
    restow: change the share: the migration is paused; let it go on with `migrate resume`, \
        migration agent
    --- exit 13
    ");
    assert_snapshot!(world.transcript(&["migrate", "resume"]), @r"
    $ restow migrate resume
    agent: phase aware, epoch 4
    langgraph+sqlite:agent.sqlite
      → parts+sqlite:agent.restow
    19 units: 19 at the source, 0 at the target, 0 on their way
    rollback_ready: all that is at the target is at the source as well
    movers may go on: run `migrate rollout` or `migrate rollback` again
    --- exit 0
    ");
    world.run(&["migrate", "rollout", "37"]).expect(0);
    assert_snapshot!(world.transcript(&["migrate", "status", "--wait"]), @r"
    $ restow migrate status --wait
    agent · move 37 % · 19 units: 14 at the source, 5 at the target · rollback_ready
    --- exit 0
    ");
}

/// Changes the share without moving anything, as a rollout does that dies at once.
fn only_configure(world: &World, share: u16) {
    let at = |name: &str| format!("+sqlite:{}", world.cli.path(name).display());
    let text = fs::read_to_string(world.cli.path("restow.toml")).unwrap();
    let text = text.replace("+sqlite:agent.sqlite", &at("agent.sqlite"));
    let text = text.replace("+sqlite:agent.restow", &at("agent.restow"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let migration = Migration::parse(&text).unwrap();
        let pair = migration.open(&Environment::default(), "test").await.unwrap();
        let held = pair.config().await.unwrap();
        let config = Config { share, ..held.config.clone() };
        pair.configure(&held, config).await.unwrap();
    });
}

#[test]
fn whoever_waits_is_told_until_all_is_in_its_place() {
    let world = world();
    world.run(&["migrate", "start", "--confirm", "agent"]).expect(0);
    world.run(&["migrate", "rollout", "5"]).expect(0);
    only_configure(&world, 10_000);
    let mut waiting = world.cli.spawn(&["migrate", "status", "--wait", "--every", "1"]);
    waiting.wait_for(" to move");
    world.run(&["migrate", "rollout", "100"]).expect(0);
    let said = waiting.finish().expect(0).out;
    let last = said.lines().last().unwrap();
    assert!(last.contains("0 at the source, 19 at the target"), "{said}");
    assert!(last.ends_with("rollback_ready"), "{said}");
}

const BACKUP: [&str; 4] = ["backup", "create", "--config", "restow.toml"];
const COMPLETE: [&str; 5] = ["migrate", "complete", "--confirm", "agent", "--backup"];

#[test]
fn what_is_not_ready_is_not_completed() {
    let world = world();
    world.run(&["migrate", "start", "--confirm", "agent"]).expect(0);
    world.run(&[&BACKUP[..], &["old.backup"]].concat()).expect(0);
    let complete = |file| [&COMPLETE[..], &[file]].concat();
    assert_snapshot!(world.transcript(&complete("old.backup")), @r"
    $ restow migrate complete --confirm agent --backup old.backup
    --- standard error
    restow: complete a migration: not every unit was found at the target; move them with \
        `migrate rollout 100`, phase aware
    --- exit 13
    ");
    world.run(&["migrate", "rollout", "100"]).expect(0);
    assert_snapshot!(world.transcript(&["migrate", "complete", "--backup", "old.backup"]), @r"
    $ restow migrate complete --backup old.backup
    --- standard error
    restow: complete a migration: the source is retired, and nothing leads back to it; add \
        --confirm agent to say so
    --- exit 13
    ");
    assert_snapshot!(world.transcript(&complete("old.backup")), @r"
    $ restow migrate complete --confirm agent --backup old.backup
    --- standard error
    restow: complete a migration: the backup is older than the migration's last change; make \
        another one with `backup create --config`, backup old.backup
    --- exit 13
    ");
    world.run(&["backup", "create", "app/agent.db", "other.backup"]).expect(0);
    assert_snapshot!(world.transcript(&complete("other.backup")), @r"
    $ restow migrate complete --confirm agent --backup other.backup
    --- standard error
    restow: complete a migration: the backup is not of this migration; make one with `backup \
        create --config`, backup other.backup
    --- exit 13
    ");
    assert_snapshot!(world.transcript(&["migrate", "cleanup", "--confirm", "agent"]), @r"
    $ restow migrate cleanup --confirm agent
    --- standard error
    restow: clean up a migration: the migration has not ended; end it with `migrate complete` \
        or `cancel`, phase settled
    --- exit 13
    ");
}

#[test]
fn a_migration_is_completed_and_cleaned_up() {
    let world = world();
    world.run(&["migrate", "start", "--confirm", "agent"]).expect(0);
    world.run(&["migrate", "rollout", "100"]).expect(0);
    world.run(&[&BACKUP[..], &["new.backup"]].concat()).expect(0);
    let complete = |file| [&COMPLETE[..], &[file]].concat();
    assert_snapshot!(world.transcript(&complete("new.backup")), @r"
    $ restow migrate complete --confirm agent --backup new.backup
    agent: every unit lives at the target, the source is retired
    let every client use the target itself; then `migrate cleanup` removes the rest
    --- exit 0
    ");
    assert_snapshot!(world.transcript(&complete("new.backup")), @r"
    $ restow migrate complete --confirm agent --backup new.backup
    agent: every unit lives at the target, the source is retired
    let every client use the target itself; then `migrate cleanup` removes the rest
    --- exit 0
    ");
    assert_snapshot!(world.transcript(&["migrate", "status"]), @r"
    $ restow migrate status
    agent: phase cleanup, epoch 5
    langgraph+sqlite:agent.sqlite
      → parts+sqlite:agent.restow
    19 units: 0 at the source, 19 at the target, 0 on their way
    ended: every unit stays at the target
    --- exit 0
    ");
    assert_snapshot!(world.transcript(&["migrate", "plan"]), @r"
    $ restow migrate plan
    agent: phase cleanup, epoch 5
    langgraph+sqlite:agent.sqlite
      → parts+sqlite:agent.restow
    19 units: 0 at the source, 19 at the target, 0 on their way
    ended: every unit stays at the target
    next
      1. restow migrate cleanup --confirm agent
         what the retired store holds is removed, once no client goes through restow
    --- exit 0
    ");
    assert_snapshot!(world.transcript(&["migrate", "rollback"]), @r"
    $ restow migrate rollback
    --- standard error
    restow: change the share: the migration was completed or cancelled, and there is no way \
        back, phase cleanup
    --- exit 13
    ");
    let prune = ["backup", "prune", ".", "--keep", "0", "--dry-run", "--config", "restow.toml"];
    let pruned = world.json(&prune, 0);
    assert_eq!((&pruned["backups"], &pruned["removed"]), (&1.into(), &1.into()), "{pruned}");
    assert_snapshot!(world.transcript(&["migrate", "cleanup"]), @r"
    $ restow migrate cleanup
    --- standard error
    restow: clean up a migration: what the retired store holds is removed, and what the \
        migration keeps; add --confirm agent to say so
    --- exit 13
    ");
    assert_snapshot!(world.transcript(&["migrate", "cleanup", "--confirm", "agent"]), @r"
    $ restow migrate cleanup --confirm agent
    removed 19 units from the source
    agent is over: the target is an ordinary store again
    --- exit 0
    ");
    world.run(&["verify", "app/agent.db", "agent.restow"]).expect(0);
    // An ordinary store again: copied into like any other.
    world.run(&["copy", "app/agent.db", "agent.restow"]).expect(0);
}

#[test]
fn a_migration_is_cancelled() {
    let world = world();
    world.run(&["migrate", "start", "--confirm", "agent"]).expect(0);
    world.run(&["migrate", "rollout", "37"]).expect(0);
    assert_snapshot!(world.transcript(&["migrate", "cancel"]), @r"
    $ restow migrate cancel
    --- standard error
    restow: cancel a migration: every unit goes back to the source, and the target is \
        retired; add --confirm agent to say so
    --- exit 13
    ");
    assert_snapshot!(world.transcript(&["migrate", "cancel", "--confirm", "agent"]), @r"
    $ restow migrate cancel --confirm agent
    agent: every unit lives at the source, the target is retired
    let every client use the source itself; then `migrate cleanup` removes the rest
    --- exit 0
    ");
    assert_snapshot!(world.transcript(&["migrate", "rollout", "100"]), @r"
    $ restow migrate rollout 100
    --- standard error
    restow: change the share: the migration was completed or cancelled, and there is no way \
        back, phase cancelled
    --- exit 13
    ");
    let cleanup = ["migrate", "cleanup", "--confirm", "agent"];
    assert_snapshot!(world.transcript(&cleanup), @r"
    $ restow migrate cleanup --confirm agent
    removed 5 units from the target
    agent is over: the source is an ordinary store again
    --- exit 0
    ");
    world.run(&["verify", "app/agent.db", "agent.sqlite"]).expect(0);
}

#[test]
fn units_are_copied_ahead() {
    let world = world();
    world.run(&["migrate", "start", "--confirm", "agent"]).expect(0);
    assert_snapshot!(world.transcript(&["migrate", "shadow"]), @r"
    $ restow migrate shadow
    copied 19 units
    agent: phase shadow, epoch 3
    langgraph+sqlite:agent.sqlite
      → parts+sqlite:agent.restow
    19 units: 19 at the source, 0 at the target, 0 on their way
    19 units copied ahead
    rollback_ready: all that is at the target is at the source as well
    --- exit 0
    ");
    world.run(&["migrate", "rollout", "100"]).expect(0);
    assert_snapshot!(world.transcript(&["migrate", "shadow"]), @r"
    $ restow migrate shadow
    --- standard error
    restow: copy units ahead: units move already; `migrate rollout` copies those that it \
        moves, phase settled
    --- exit 13
    ");
    world.run(&["migrate", "rollback"]).expect(0);
    world.run(&["verify", "agent.sqlite", "agent.restow"]).expect(0);
}

#[test]
fn a_lost_target_is_given_up() {
    let world = world();
    world.run(&["migrate", "start", "--confirm", "agent"]).expect(0);
    world.run(&["migrate", "rollout", "37"]).expect(0);
    for name in ["agent.restow", "agent.restow-wal", "agent.restow-shm"] {
        let _ = fs::remove_file(world.cli.path(name));
    }
    let told = world.run(&["migrate", "rollout", "60"]).expect(13).err;
    assert!(told.contains("its target is not there; bring it back"), "{told}");
    assert!(!world.cli.path("agent.restow").exists(), "an empty store was made in its place");
    assert_snapshot!(world.transcript(&["migrate", "rollback", "--target-lost"]), @r"
    $ restow migrate rollback --target-lost
    at risk: 5 units; what was written at the target later than this is lost, unless policy \
        both answered it
      approval-half: up to write 1
      delta-exit: up to write 1
      fanout-open: up to write 1
      nested-open: up to write 1
      values-types: up to write 1
    --- standard error
    restow: give up the target: what the target alone holds is given up; stop every client, \
        then add --confirm agent
    --- exit 13
    ");
    let confirmed = ["migrate", "rollback", "--target-lost", "--confirm", "agent"];
    assert_snapshot!(world.transcript(&confirmed), @r"
    $ restow migrate rollback --target-lost --confirm agent
    at risk: 5 units; what was written at the target later than this is lost, unless policy \
        both answered it
      approval-half: up to write 1
      delta-exit: up to write 1
      fanout-open: up to write 1
      nested-open: up to write 1
      values-types: up to write 1
    5 units live at the source again
    clients may begin again; `migrate cancel` ends the migration
    --- exit 0
    ");
    assert_snapshot!(world.transcript(&["migrate", "status"]), @r"
    $ restow migrate status
    agent: phase move 0 %, epoch 4, the target is lost
    langgraph+sqlite:agent.sqlite
      → parts+sqlite:agent.restow
    19 units: 19 at the source, 0 at the target, 0 on their way
    rollback_ready: all that is at the target is at the source as well
    --- exit 0
    ");
    assert!(!world.cli.path("agent.restow").exists(), "the lost store was made anew");
    world.run(&["migrate", "cancel", "--confirm", "agent"]).expect(0);
    world.run(&["migrate", "cleanup", "--confirm", "agent"]).expect(0);
    world.run(&["verify", "app/agent.db", "agent.sqlite"]).expect(0);
}
