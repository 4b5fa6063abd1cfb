//! A migration that meets damage, a gate, or Ctrl-C.

use insta::assert_snapshot;

use crate::common::{World, open};
use crate::migrate::world;

/// Makes the control record of a unit unreadable in the target.
fn damage(world: &World, unit: &str) {
    let file = open(&world.cli.path("agent.restow"));
    let sql = "UPDATE restow_unit SET control = x'00' WHERE unit = ?1 AND token IS NULL";
    assert_eq!(file.execute(sql, [unit]).unwrap(), 1);
}

#[test]
fn a_damaged_unit_is_named_and_passed_over() {
    let world = world();
    world.run(&["migrate", "start", "--confirm", "agent"]).expect(0);
    world.run(&["migrate", "rollout", "37"]).expect(0);
    damage(&world, "fanout-open");
    assert_snapshot!(world.transcript(&["migrate", "status"]), @r"
    $ restow migrate status
    agent: phase move 37 %, epoch 3
    langgraph+sqlite:agent.sqlite
      → parts+sqlite:agent.restow
    19 units: 14 at the source, 4 at the target, 0 on their way
    damaged: 1 unit
      fanout-open: read beside a unit: the unit's control record cannot be read: not a \
        control record of this format at byte 0, unit fanout-open
    --- exit 3
    ");
    assert_snapshot!(world.transcript(&["migrate", "rollout", "60"]), @r"
    $ restow migrate rollout 60
    --- standard error
    restow: raise the share: units are damaged, so that no more of them move; see `migrate \
        status`, unit fanout-open: read beside a unit: the unit's control record cannot be read: \
        not a control record of this format at byte 0, unit fanout-open
    --- exit 13
    ");
    let told = world.run(&["migrate", "rollback"]).expect(3).out;
    assert!(told.starts_with("moved 4 units\n  stays · fanout-open: read a unit: "), "{told}");
    assert_eq!(told.matches("stays").count(), 1, "{told}");
    let status = world.json(&["migrate", "status"], 3);
    assert_eq!((&status["at_source"], &status["damaged"]), (&18.into(), &1.into()), "{status}");
    assert_eq!(status["damaged_units"][0]["unit"], "fanout-open", "{status}");
    let backup = ["backup", "create", "--config", "restow.toml", "some.backup"];
    let made = world.json(&backup, 3);
    assert_eq!(made["manifest"]["units"], 18, "{made}");
    assert_eq!(made["failures"][0]["unit"], "fanout-open", "{made}");
    let cancelled = ["migrate", "cancel", "--confirm", "agent"];
    let told = world.run(&cancelled).expect(3).out;
    assert!(told.contains("stays · fanout-open: "), "{told}");
}

#[test]
fn a_gate_holds_units_back() {
    let world = world();
    world.run(&["migrate", "start", "--confirm", "agent"]).expect(0);
    // Nothing is in both stores yet that could be compared.
    world.run(&["migrate", "rollout", "37", "--max-p99", "0ms"]).expect(0);
    let told = world.run(&["migrate", "rollout", "60", "--max-p99", "0ms"]).expect(13).err;
    assert!(told.contains("99 in 100 comparisons take too long to let more"), "{told}");
    assert_eq!(world.json(&["migrate", "status"], 0)["share"], 3_700);
    world.run(&["migrate", "rollout", "60", "--max-p99", "1000s", "--max-errors", "1"]).expect(0);
    world.run(&["migrate", "rollout", "70", "--max-p99", "soon"]).expect(2);
    world.run(&["migrate", "rollback"]).expect(0);
}
