//! The same for machines: one object a line, errors on standard error.

use insta::assert_snapshot;
use restow_testkit::generate;

use crate::common::{APP, World, folded, unestimated};

/// Lays a line of JSON out: a line a key, in order.
fn laid_out(text: &str) -> String {
    let [command, line, exit] = text.lines().collect::<Vec<_>>()[..] else {
        panic!("not one line: {text}");
    };
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
    let keys: String = object.iter().map(|(key, value)| format!("{key} {value}\n")).collect();
    folded(&unestimated(&format!("{command}\n{keys}{exit}\n")))
}

fn said(world: &World, args: &[&str]) -> String {
    laid_out(&world.cli.transcript(&[args, &["--json"]].concat()))
}

fn world() -> World {
    World::new(|path| {
        generate::chat(path, 2, 1, 7);
    })
}

#[test]
fn assess() {
    assert_snapshot!(said(&world(), &["assess", APP]), @r#"
    $ restow assess app/agent.db --json
    above_item_limit 0
    above_item_limit_examples []
    above_threshold 0
    damage []
    damaged 0
    dialect "Python"
    event "assess"
    file_bytes 32768
    interrupted false
    kinds {"checkpoint":{"body_bytes":3225,"records":6,"value_bytes":4215}, \
        "write":{"body_bytes":658,"records":6,"value_bytes":2495}}
    langgraph_sqlite_bytes_estimate #
    largest [{"bytes":2037,"record":"checkpoint(\"\", \
        1f1160ef-c6c5-6977-8001-58f9b0b9246d)","unit":"b8b4c297-7eab-4e45-a653-05fd338ec8fe"}, \
        {"bytes":1771,"record":"checkpoint(\"\", 1f1160f5-be0b-61e1-8001-940838ac9870)", \
        "unit":"a924ea4a-1483-407a-badd-2665b5d3965c"},{"bytes":1114,"record":"checkpoint(\"\", \
        1f1160ef-bf4c-6792-8000-985ffa2d24ef)","unit":"b8b4c297-7eab-4e45-a653-05fd338ec8fe"}, \
        {"bytes":1002,"record":"write(\"\", 1f1160ef-bf4c-6792-8000-985ffa2d24ef, \
        8fb5934e-fd9b-1267-4b31-95877492e0d5, 0)","unit":"b8b4c297-7eab-4e45-a653-05fd338ec8fe"}, \
        {"bytes":993,"record":"checkpoint(\"\", 1f1160f5-b5b0-6515-8000-5e684b604261)", \
        "unit":"a924ea4a-1483-407a-badd-2665b5d3965c"},{"bytes":855,"record":"write(\"\", \
        1f1160f5-b5b0-6515-8000-5e684b604261, 24d99ef6-9732-26ff-cb7d-eb0c58b324c2, \
        0)","unit":"a924ea4a-1483-407a-badd-2665b5d3965c"},{"bytes":823,"record":"checkpoint(\"\", \
        1f1160ef-b975-60a3-bfff-2f7d67976673)","unit":"b8b4c297-7eab-4e45-a653-05fd338ec8fe"}, \
        {"bytes":702,"record":"checkpoint(\"\", 1f1160f5-b57a-6b0f-bfff-cc002046d188)", \
        "unit":"a924ea4a-1483-407a-badd-2665b5d3965c"},{"bytes":596,"record":"write(\"\", \
        1f1160ef-b975-60a3-bfff-2f7d67976673, 5ae65d5d-c17c-5de7-7880-304481f873bc, \
        0)","unit":"b8b4c297-7eab-4e45-a653-05fd338ec8fe"},{"bytes":474,"record":"write(\"\", \
        1f1160f5-b57a-6b0f-bfff-cc002046d188, 9a57b7c6-97a6-a20d-7c01-751273c39804, \
        0)","unit":"a924ea4a-1483-407a-badd-2665b5d3965c"}]
    parts_bytes_estimate #
    repeated_share_estimate #
    residue_bytes 32
    sizes [{"count":9,"up_to":1024},{"count":3,"up_to":4096}]
    store "langgraph+sqlite"
    store_tables []
    threshold 358400
    units 2
    units_exact true
    write_price 0.625
    write_rate 4000
    write_units_estimate #
    --- exit 0
    "#);
}

#[test]
fn a_dry_run() {
    let world = world();
    assert_snapshot!(said(&world, &["copy", APP, "agent.restow", "--dry-run"]), @r#"
    $ restow copy app/agent.db agent.restow --dry-run --json
    aside []
    bytes 0
    event "copy"
    failures []
    outcome "clean"
    planned {"both_moved":0,"bytes":11477,"equal":0,"gone":0,"gone_refused":0,"new":2, \
        "records":12,"source_moved":0,"target_moved":0,"unchanged":0,"unfit":0,"units":2, \
        "unrelated":0}
    records 0
    seconds "[measured]"
    sweep null
    units {"adopted":0,"copied":0,"extra_removed":0,"removed":0,"unchanged":0,"updated":0}
    warnings []
    --- exit 0
    "#);
}

#[test]
fn copy_verify_and_status() {
    let world = world();
    assert_snapshot!(said(&world, &["copy", APP, "agent.restow"]), @r#"
    $ restow copy app/agent.db agent.restow --json
    aside []
    bytes 11477
    event "copy"
    failures []
    outcome "clean"
    planned null
    records 12
    seconds "[measured]"
    sweep {"clean":true,"counts":{},"extra_units":0,"findings":[],"interrupted":false, \
        "source_records":12,"target_records":12}
    units {"adopted":0,"copied":2,"extra_removed":0,"removed":0,"unchanged":0,"updated":0}
    warnings []
    --- exit 0
    "#);
    assert_snapshot!(said(&world, &["verify", APP, "agent.restow"]), @r#"
    $ restow verify app/agent.db agent.restow --json
    clean true
    counts {}
    event "verify"
    extra_units 0
    findings []
    interrupted false
    source_records 12
    target_records 12
    --- exit 0
    "#);
    assert_snapshot!(said(&world, &["status", "agent.restow"]), @r#"
    $ restow status agent.restow --json
    attempts [{"began_ms":"[measured]","ended_ms":"[measured]","outcome":"clean"}]
    event "status"
    failures []
    segments {"all":2,"done":2}
    source "langgraph+sqlite:$DIR/app/agent.db"
    target "parts+sqlite:$DIR/agent.restow"
    units 2
    --- exit 0
    "#);
    world.app().execute_batch("DELETE FROM writes WHERE rowid = 1").unwrap();
    assert_snapshot!(said(&world, &["verify", APP, "agent.restow"]), @r#"
    $ restow verify app/agent.db agent.restow --json
    clean false
    counts {"source moved on since":1}
    event "verify"
    extra_units 0
    findings [{"detail":null,"record":null,"unit":"b8b4c297-7eab-4e45-a653-05fd338ec8fe", \
        "what":"source moved on since"}]
    interrupted false
    source_records 11
    target_records 12
    --- exit 3
    "#);
}

#[test]
fn an_error_is_an_object_on_standard_error() {
    let outcome = world().run(&["copy", "nothing.db", "agent.restow", "--json"]).expect(1);
    assert_eq!(outcome.out, "");
    let error: serde_json::Value = serde_json::from_str(&outcome.err).unwrap();
    assert_eq!((&error["event"], &error["kind"]), (&"error".into(), &"not found".into()));
    assert!(error["context"]["path"].as_str().unwrap().ends_with("nothing.db"), "{error}");
}
