//! Indexes of tables with rows: nobody who writes waits, and what was cut short is made whole.

use std::thread;

use restow_stores::layout::langgraph::postgres::schema::up_blocking;
use restow_testkit::postgres::{Database, pooler};

use super::help::{World, assert_official, fill, official, server, server_of};

const INSERT: &str = "INSERT INTO checkpoints (thread_id, checkpoint_id, checkpoint) \
                      VALUES (gen_random_uuid()::text, 'a', '{}')";

/// Returns how many of a database's sessions run such a statement and wait for a lock.
fn waiting(database: &Database, statement: &str) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 \
               AND query LIKE $2 AND wait_event_type = 'Lock'";
    let row = database.connect().query_one(sql, &[&database.name(), &statement]);
    row.unwrap().get(0)
}

fn at_version_5() -> Option<Database> {
    let database = World::one()?;
    official("upto", &database, &["5"]);
    fill(&database, 5);
    Some(database)
}

#[test]
fn writers_go_on_while_an_index_is_built() {
    let Some(database) = at_version_5() else { return };
    let mut early = database.connect();
    let mut early = early.transaction().unwrap();
    early.batch_execute(INSERT).unwrap();
    thread::scope(|scope| {
        let up = scope.spawn(|| up_blocking(&server(&database)));
        while waiting(&database, "CREATE INDEX CONCURRENTLY%") == 0 && !up.is_finished() {}
        let mut late = database.connect();
        late.batch_execute(&format!("SET lock_timeout = '10s'; {INSERT}")).unwrap();
        early.commit().unwrap();
        assert_eq!(up.join().unwrap().unwrap().version, 9);
    });
    assert_official(&database);
}

#[test]
fn an_index_whose_build_was_cut_short_is_made_again() {
    let Some(database) = at_version_5() else { return };
    let mut writer = database.connect();
    let mut writer = writer.transaction().unwrap();
    writer.batch_execute(INSERT).unwrap();
    let mut builder = database.connect();
    builder.batch_execute("SET statement_timeout = '500ms'").unwrap();
    let build = "CREATE INDEX CONCURRENTLY checkpoints_thread_id_idx ON checkpoints (thread_id)";
    builder.batch_execute(build).unwrap_err();
    writer.commit().unwrap();
    let invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";
    assert_eq!(database.connect().query_one(invalid, &[]).unwrap().get::<_, i64>(0), 1);
    let up = up_blocking(&server(&database)).unwrap();
    for how in ["whose build was cut short, dropped", "built without keeping writers off"] {
        let change = format!("index checkpoints_thread_id_idx, {how}");
        assert!(up.changes.contains(&change), "{:?}", up.changes);
    }
    assert_official(&database);
}

/// An `up` that was stopped in between leaves a version that says so, and the next one goes on.
#[test]
fn versions_are_recorded_behind_what_they_stand_for() {
    let Some(database) = at_version_5() else { return };
    let mut writer = database.connect();
    let mut writer = writer.transaction().unwrap();
    writer.batch_execute(INSERT).unwrap();
    let impatient = database.address("langgraph") + "?options=-cstatement_timeout%3D3s";
    up_blocking(&server_of(&impatient)).unwrap_err();
    writer.commit().unwrap();
    let sql = "SELECT max(v), (SELECT count(*) FROM information_schema.columns
               WHERE column_name = 'task_path' AND table_schema = 'public')
               FROM checkpoint_migrations";
    let row = database.connect().query_one(sql, &[]).unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, i64>(1)), (5, 1));
    assert_eq!(up_blocking(&server(&database)).unwrap().from, 5);
    assert_official(&database);
}

#[test]
fn six_at_once_share_the_one_connection_of_a_pooler() {
    let (Some(database), Some(pooler)) = (at_version_5(), pooler()) else { return };
    let url = database.url_at(&pooler);
    let address = format!("langgraph+postgres:{}", url.split_once(':').expect("a URL").1);
    thread::scope(|scope| {
        let work = || up_blocking(&server_of(&address)).map(|up| up.version);
        let all: Vec<_> = (0..6).map(|_| scope.spawn(work)).collect();
        for one in all {
            assert_eq!(one.join().unwrap().unwrap(), 9);
        }
    });
    assert_official(&database);
}
