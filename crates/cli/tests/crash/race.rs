//! Others that write to a server at the same time: a second copy with an account of its own, and
//! the application itself. What they do in which order, locks decide.

use postgres::Client;
use serde_json::Value;

use crate::origin::Pair;
use crate::server::{copy_up_to, prepared};
use crate::world::World;

/// Two who know nothing of each other, as on two machines: both finish, and nothing is mixed.
#[test]
fn two_copies_with_a_ledger_each() {
    for pair in Pair::served() {
        for _ in 0..3 {
            let world = World::new(pair);
            let [from, to] = world.addresses();
            let one = |ledger| world.cli.spawn(&["copy", &from, &to, "--ledger", ledger]);
            let ended = world.watched(|| [one("a"), one("b")].map(|copy| copy.finish()));
            println!("{pair:?}: {:?}", ended.each_ref().map(|outcome| outcome.code));
            // Who was overtaken may say so; neither fails.
            assert!(ended.iter().all(|o| matches!(o.code, Some(0 | 3))), "{ended:#?}");
            world.check_half();
            world.finish();
        }
    }
}

fn small() -> Option<World> {
    Some(World::new(Pair::served().find(|pair| pair.home && !pair.large)?))
}

/// A thread of the source, and how many rows of it a target has.
fn a_thread(world: &World) -> String {
    world.units().into_iter().next().expect("a thread")
}

fn rows(client: &mut Client, thread: &str) -> (i64, i64) {
    let sql = "SELECT (SELECT count(*) FROM checkpoints WHERE thread_id = $1),
                      (SELECT count(*) FROM checkpoint_writes WHERE thread_id = $1)";
    let row = client.query_one(sql, &[&thread]).unwrap();
    (row.get(0), row.get(1))
}

/// Writes a checkpoint as PostgresSaver does; it is seen when the transaction ends.
fn write(client: &mut Client, thread: &str, checkpoint: &str) {
    let sql = "INSERT INTO checkpoints VALUES ($1, '', $2, NULL, NULL,
               '{\"v\": 4, \"channel_versions\": {}, \"channel_values\": {}}', '{}')";
    client.execute(sql, &[&thread, &checkpoint]).unwrap();
}

/// The failures of a copy that ended with some.
fn failures(out: &str) -> Vec<(String, String)> {
    let report: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    let text = |failure: &Value, key: &str| failure[key].as_str().unwrap_or_default().to_owned();
    let failures = report["failures"].as_array().unwrap();
    failures.iter().map(|f| (text(f, "unit"), text(f, "what"))).collect()
}

#[test]
fn an_application_was_there_before() {
    let Some(world) = small() else { return };
    let world = prepared(world);
    let thread = a_thread(&world);
    let mut application = world.database().unwrap().connect();
    write(&mut application, &thread, "mine");
    let [from, to] = world.addresses();
    let said = world.cli.run(&["copy", "--json", &from, &to]).expect(3);
    assert_eq!(failures(&said.out), [(thread.clone(), "refused".to_owned())]);
    assert_eq!(rows(&mut application, &thread), (1, 0), "its thread was touched");
}

/// The application has written a checkpoint that the copy brings, too, and commits while the copy
/// waits for just that.
#[test]
fn an_application_writes_the_same_checkpoint_meanwhile() {
    let Some(world) = small() else { return };
    let world = prepared(world);
    let thread = a_thread(&world);
    let mut application = world.database().unwrap().connect();
    let newest = world.newest(&thread);
    let (copy, _) = copy_up_to(&world, "checkpoints", &["--json"], &mut application);
    write(&mut application, &thread, &newest);
    application.batch_execute("COMMIT").unwrap();
    let said = copy.finish().expect(3);
    assert_eq!(failures(&said.out), [(thread.clone(), "refused".to_owned())]);
    assert_eq!(rows(&mut application, &thread), (1, 0), "its thread was touched");
}

/// The application adds a checkpoint of its own to a thread that is being copied. PostgreSQL
/// keeps neither from the other, so the unit is named, and nothing of either is lost.
#[test]
fn an_application_writes_another_checkpoint_meanwhile() {
    let Some(world) = small() else { return };
    let world = prepared(world);
    let thread = a_thread(&world);
    let mut application = world.database().unwrap().connect();
    let (copy, _) = copy_up_to(&world, "checkpoints", &["--json"], &mut application);
    write(&mut application, &thread, "mine");
    application.batch_execute("COMMIT").unwrap();
    let said = copy.finish().expect(3);
    assert_eq!(failures(&said.out), [(thread.clone(), "mismatch".to_owned())], "{}", said.out);
    let (checkpoints, _) = rows(&mut application, &thread);
    assert!(checkpoints > 1, "one of both is lost");
}

/// What an application adds to a thread after it was copied is refused by name and stays.
#[test]
fn an_application_goes_on_after_a_copy() {
    let Some(mut world) = small() else { return };
    world.go_on();
    let thread = a_thread(&world);
    let mut application = world.database().unwrap().connect();
    let before = rows(&mut application, &thread);
    let (copy, _) = copy_up_to(&world, "checkpoint_writes", &["--json"], &mut application);
    write(&mut application, &thread, "mine");
    application.batch_execute("COMMIT").unwrap();
    let said = copy.finish().expect(3);
    println!("{}", said.out);
    let after = rows(&mut application, &thread);
    assert!(after.0 > before.0, "{before:?} {after:?}");
    assert!(failures(&said.out).iter().any(|(unit, _)| *unit == thread), "{}", said.out);
}
