//! The schema of `langgraph` on `postgres`: LangGraph's own setup is the judge.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test ends loudly")]

#[path = "postgres_schema_help/builds.rs"]
mod builds;
#[path = "postgres_schema_help/differences.rs"]
mod differences;
#[path = "postgres_schema_help/mod.rs"]
mod help;
#[path = "postgres_schema_help/kinds.rs"]
mod kinds;

use std::thread;

use help::{World, catalog, official, server};
use restow_stores::layout::langgraph::postgres::schema::up_blocking;

#[test]
fn a_fresh_up_is_what_langgraph_makes() {
    let Some(ours) = World::one() else { return };
    let up = up_blocking(&server(&ours)).unwrap();
    assert_eq!((up.from, up.version, &*up.schema), (-1, 9, "public"));
    help::assert_official(&ours);
    official("use", &ours, &[]);
}

#[test]
fn every_version_is_lifted_as_langgraph_lifts_it() {
    for version in 0..=8 {
        let Some([ours, theirs]) = World::two() else { return };
        for database in [&ours, &theirs] {
            official("upto", database, &[&version.to_string()]);
            help::fill(database, version);
        }
        let up = up_blocking(&server(&ours)).unwrap();
        official("setup", &theirs, &[]);
        assert_eq!((up.from, up.version), (version, 9));
        assert_eq!(catalog(&ours), catalog(&theirs), "from version {version}");
        official("use", &ours, &[]);
    }
}

#[test]
fn a_second_up_changes_nothing() {
    let Some(database) = World::one() else { return };
    up_blocking(&server(&database)).unwrap();
    let sql = "SELECT string_agg(format('%s %s', c.oid, c.xmin), ',' ORDER BY c.oid)
               || (SELECT pg_current_xact_id_if_assigned() IS NULL) FROM pg_class c";
    let look = || database.connect().query_one(sql, &[]).unwrap().get::<_, String>(0);
    let before = look();
    let up = up_blocking(&server(&database)).unwrap();
    assert_eq!((up.from, up.version, up.changes), (9, 9, vec![]));
    assert_eq!(before, look());
}

#[test]
fn six_at_once_all_succeed() {
    for version in [-1, 0, 3, 4, 6] {
        let Some(database) = World::one() else { return };
        if version >= 0 {
            official("upto", &database, &[&version.to_string()]);
            help::fill(&database, version);
        }
        thread::scope(|scope| {
            let work = || up_blocking(&server(&database)).map(|up| up.version);
            let all: Vec<_> = (0..6).map(|_| scope.spawn(work)).collect();
            for one in all {
                assert_eq!(one.join().unwrap().unwrap(), 9, "from version {version}");
            }
        });
        help::assert_official(&database);
    }
}

/// LangGraph's setup fails when another makes the tables under it; run again, it finds them.
#[test]
fn six_and_langgraph_s_setup_at_once_end_well() {
    for version in [-1, 4, 6] {
        let Some(database) = World::one() else { return };
        if version >= 0 {
            official("upto", &database, &[&version.to_string()]);
            help::fill(&database, version);
        }
        thread::scope(|scope| {
            scope.spawn(|| help::attempted_setup(&database));
            let work = || up_blocking(&server(&database)).map(|up| up.version);
            let all: Vec<_> = (0..6).map(|_| scope.spawn(work)).collect();
            for one in all {
                assert_eq!(one.join().unwrap().unwrap(), 9, "from version {version}");
            }
        });
        // Its own build may have been cut short after the last of ours had looked.
        up_blocking(&server(&database)).unwrap();
        official("setup", &database, &[]);
        help::assert_official(&database);
    }
}
