//! A server that dies under a copy, or cuts it off: the same run waits and finishes, or the next.

use std::process::Command;

use postgres::Client;
use restow_testkit::cli::Running;
use restow_testkit::cluster::Cluster;
use restow_testkit::generate::Random;
use restow_testkit::postgres::Database;

use crate::origin::Pair;
use crate::world::World;

/// Where a copy stands when something happens to it: before it loads a table.
const LANGGRAPH: [&str; 3] = ["checkpoint_blobs", "checkpoint_writes", "checkpoints"];
const PARTS: [&str; 3] =
    ["restow_parts.restow_unit", "restow_parts.restow_page", "restow_parts.restow_part"];

const WAITS: &str = "SELECT pid FROM pg_locks WHERE NOT granted AND relation = to_regclass($1)";

/// Copies up to where a table is loaded, and returns the copy and its process on the server.
///
/// The connection holds a lock on the table until it ends.
pub(crate) fn copy_up_to(
    world: &World,
    table: &str,
    options: &[&str],
    client: &mut Client,
) -> (Running, i32) {
    client.batch_execute(&format!("BEGIN; LOCK TABLE {table} IN SHARE MODE")).unwrap();
    let [from, to] = world.addresses();
    let mut copy = world.cli.spawn(&[&["copy", "--jobs", "1", &from, &to], options].concat());
    let mut process = None;
    let waits = copy.wait_until(|| {
        process = client.query_opt(WAITS, &[&table]).unwrap().map(|row| row.get(0));
        process.is_some()
    });
    assert!(waits, "it ended without {table}: {:?}", copy.finish());
    (copy, process.unwrap())
}

/// Makes a world whose tables are there already, so that they can be locked.
pub(crate) fn prepared(mut world: World) -> World {
    crate::needs_failpoints();
    world.cli.set("RESTOW_FAILPOINT", "planned=kill");
    let died = world.copy_in_order();
    assert_eq!(died.code, None, "{died:?}");
    world.cli.set("RESTOW_FAILPOINT", "");
    world
}

fn at_every_table(
    kinds: impl Iterator<Item = Pair>,
    world: impl Fn(Pair) -> World,
    happens: impl Fn(&World, i32),
) {
    for pair in kinds {
        for table in if pair.home { LANGGRAPH } else { PARTS } {
            let world = prepared(world(pair));
            println!("{pair:?}: {table}");
            let mut client = world.database().unwrap().connect();
            let (copy, process) = copy_up_to(&world, table, &[], &mut client);
            happens(&world, process);
            drop(client);
            copy.finish().expect(0);
            world.check_whole();
        }
    }
}

#[test]
fn a_connection_that_is_cut_is_made_again() {
    at_every_table(Pair::served(), World::new, |world, process| {
        world.check_half();
        let mut admin = world.database().unwrap().connect();
        admin.query_one("SELECT pg_terminate_backend($1)", &[&process]).unwrap();
    });
}

#[test]
fn a_server_that_dies_is_waited_for() {
    let Some(cluster) = Cluster::start("") else { return };
    let world = |pair| World::to(pair, Database::create_on(cluster.url(), ""));
    at_every_table(Pair::served(), world, |world, _| {
        world.check_half();
        cluster.kill();
        cluster.up();
    });
}

/// A process of the server's that dies takes all the others with it.
#[test]
fn a_process_of_the_server_dies() {
    let Some(cluster) = Cluster::start("restart_after_crash = on") else { return };
    let world = |pair| World::to(pair, Database::create_on(cluster.url(), ""));
    at_every_table(Pair::served(), world, |_, process| {
        let killed = Command::new("kill").args(["-9", &process.to_string()]).status();
        assert!(killed.unwrap().success());
    });
}

#[test]
fn a_server_that_dies_at_any_moment_again_and_again() {
    let Some(cluster) = Cluster::start("") else { return };
    let mut random = Random::new(20_261_121);
    for pair in Pair::served() {
        let world = World::to(pair, Database::create_on(cluster.url(), ""));
        let [from, to] = world.addresses();
        let mut hits = 0;
        for _ in 0..5 {
            let mut copy = world.cli.spawn(&["copy", &from, &to]);
            let mut looks = random.below(150);
            hits += i32::from(copy.wait_until(|| {
                looks = looks.saturating_sub(1);
                looks == 0
            }));
            cluster.kill();
            cluster.up();
            // A server that it has not reached before is not waited for.
            let code = copy.finish().code;
            assert!(matches!(code, Some(0 | 1)), "{code:?}");
            world.check_half();
        }
        assert!(hits > 0, "no copy was still running");
        world.finish();
        world.assert_comes_home();
    }
}
