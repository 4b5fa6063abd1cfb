//! A migration from its beginning to a rollback, in words.

use std::fs;

use insta::assert_snapshot;

use crate::common::{World, example};

fn world() -> World {
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
    --- exit 1
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
