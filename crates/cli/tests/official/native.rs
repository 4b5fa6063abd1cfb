//! State that PostgresSaver wrote: to SQLite and home, living on where it stops.

use restow_testkit::postgres::Database;

use crate::Judge;
use crate::common::World;
use crate::places::{Place, copy};

const KINDS: &str = "interrupt,subgraph,fanout,fork-head,old-checkpoint,delta,failed,continue";

fn world() -> World {
    World::new(|_| ())
}

#[test]
fn native_state_comes_home_from_sqlite_with_its_rows() {
    let Some((judge, [native, home])) = Judge::with_databases::<2>() else { return };
    let (world, native) = (world(), Place::database(&native));
    judge.says("examples", &[&native.judged]);
    let parts = home.address("parts");
    let (file, home) = (Place::file(&world, "agent.sqlite"), Place::database(&home));
    let way = [&native.address, "a.restow", &file.address, &parts, &home.address];
    copy(&world, &way);
    judge.same(&native, &[&file, &home], KINDS);
    judge.same_rows(&native, &home);
}

#[test]
fn state_that_lived_on_at_each_stop_comes_home_with_its_rows() {
    let Some((judge, databases)) = Judge::with_databases::<3>() else { return };
    let few = "('approval-open', 'fanout-open', 'nested-open', 'values-set', 'delta-long')";
    let world = World::altered(&format!(
        "DELETE FROM checkpoints WHERE thread_id NOT IN {few};
         DELETE FROM writes WHERE thread_id NOT IN {few};"
    ));
    let again = databases[0].address("parts");
    let [server, home, later] = databases.each_ref().map(Place::database);
    let (file, last) = (Place::file(&world, "on.sqlite"), Place::file(&world, "last.sqlite"));
    copy(&world, &["app/agent.db", &server.address]);
    judge.says("resume", &[&server.judged, "--in-place", "--limit", "1"]);

    copy(&world, &[&server.address, "a.restow", &file.address, &home.address]);
    judge.same(&server, &[&file, &home], "continue,delta");
    judge.same_rows(&server, &home);
    judge.says("resume", &[&file.judged, "--in-place", "--limit", "1"]);
    judge.says("write", &[&file.judged, "--graph", "approval"]);

    copy(&world, &[&file.address, &later.address, &again, &last.address]);
    judge.same(&file, &[&later, &last], "interrupt,continue,delta");
    judge.same_tables(&file, &last);
}

/// Seals every value, as an application with a key does, which restow has none of.
#[test]
fn what_is_encrypted_is_carried_as_it_is_and_refused_where_it_would_have_to_be_opened() {
    let Some((judge, [native, home])) = Judge::with_databases::<2>() else { return };
    let (world, native) = (world(), Place::database(&native));
    judge.says("write", &[&native.judged, "--graph", "fanout", "--encrypted"]);
    let parts = home.address("parts");
    let home = Place::database(&home);
    copy(&world, &[&native.address, "a.restow", &parts, &home.address]);
    judge.same_rows(&native, &home);

    let file = Place::file(&world, "agent.sqlite");
    let told = world.json(&["copy", &native.address, &file.address], 3);
    assert_eq!(told["failures"][0]["unit"], "fanout-w00000", "{told}");
    let why = told["failures"][0]["why"].as_str().unwrap();
    assert!(why.contains("msgpack+xor"), "{why}");
    assert_eq!(told["units"]["copied"], 0, "{told}");
}

/// Before version 4 the sends that a checkpoint waits for stood in its parent's writes alone.
#[test]
fn pending_sends_before_version_4_are_resumed_at_every_stop() {
    let Some((judge, [native, home])) = Judge::with_databases::<2>() else { return };
    let world = world();
    let place = Place::database(&native);
    judge.says("examples", &[&place.judged]);
    older(&native);
    let again = Place::database(&home);
    let file = Place::file(&world, "agent.sqlite");
    copy(&world, &[&place.address, "a.restow", &file.address, &again.address]);
    judge.same(&place, &[&file, &again], "fanout,failed,continue");
    judge.same_rows(&place, &again);
}

fn older(database: &Database) {
    let sql = "
        UPDATE checkpoints SET checkpoint =
            jsonb_set(checkpoint #- '{channel_versions,__pregel_tasks}', '{v}', '3');
        DELETE FROM checkpoint_blobs WHERE channel = '__pregel_tasks';";
    let mut client = database.connect();
    client.batch_execute(sql).unwrap();
    let sends = "SELECT count(*) FROM checkpoint_writes WHERE channel = '__pregel_tasks'";
    assert!(client.query_one(sends, &[]).unwrap().get::<_, i64>(0) > 20);
}

/// A node changed a channel in place: the head says what no version tells from older values.
#[test]
fn the_head_reads_right_where_one_version_has_two_values() {
    let Some((judge, [first, second])) = Judge::with_databases::<2>() else { return };
    let world = World::example("agent.sqlite");
    let (first, second) = (Place::database(&first), Place::database(&second));
    let original = Place::example("agent.sqlite");
    copy(&world, &[&original.address, &first.address, "a.restow", &second.address]);
    let declared = "another value under one version has a version of its own";
    let told = judge.says("equal", &[&original.judged, &first.judged, &second.judged]);
    assert_eq!(told.matches(declared).count(), 2, "{told}");
}
