//! Two processes on one target.

use std::time::Duration;

use rusqlite::Connection;

use crate::origin::Pair;
use crate::world::World;

const HELD: i32 = 11;

#[test]
fn the_second_is_told_that_the_first_holds_it() {
    for pair in Pair::FILES {
        let world = World::moved_on(pair);
        let [from, to] = world.addresses();
        // Who holds the target's lock keeps the first where it is.
        let path = to.split_once(':').unwrap().1;
        let target = Connection::open(world.cli.path(path)).unwrap();
        target.busy_timeout(Duration::from_secs(10)).unwrap();
        target.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut first = world.cli.spawn(&["copy", &from, &to]);
        // Said once the ledger is held.
        first.wait_for("→");
        let second = world.cli.run(&["copy", &from, &to]).expect(HELD);
        assert!(second.err.contains("another restow process holds it"), "{}", second.err);
        target.execute_batch("ROLLBACK").unwrap();
        target.close().map_err(|(_, error)| error).unwrap();
        first.finish().expect(0);
        world.check_whole();
    }
}

#[test]
fn of_several_at_once_one_finishes_and_the_others_are_told() {
    for pair in Pair::all() {
        let world = World::new(pair);
        let [from, to] = world.addresses();
        let all: Vec<_> = (0..4).map(|_| world.cli.spawn(&["copy", &from, &to])).collect();
        let codes: Vec<_> = all.into_iter().map(|one| one.finish()).collect();
        let said: Vec<_> = codes.iter().map(|o| (o.code, &*o.out, &*o.err)).collect();
        assert!(codes.iter().all(|o| [Some(0), Some(HELD)].contains(&o.code)), "{said:#?}");
        assert!(codes.iter().any(|o| o.code == Some(0)), "{said:#?}");
        world.check_whole();
    }
}
