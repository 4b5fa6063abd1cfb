//! `parts+postgres` passes the suite, keeps what it was given, and names what was damaged.
#![allow(clippy::expect_used, reason = "a test ends loudly where it cannot go on")]

mod parts_postgres_help;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use restow_model::{Body, Key, Record, UnitId};
use restow_store::conformance;
use restow_store::conformance::Fixture;
use restow_store::memory::{MemoryOptions, MemoryStore};
use restow_store::{
    Content, Enumeration, ErrorKind, Frame, Guard, Op, Segment, Selection, Store, Then, UnitOps,
};
use restow_stores::layout::parts::postgres::PartsPostgres;
use restow_stores::layout::parts::query::NewestFirst;
use restow_stores::layout::parts::sqlite::PartsSqlite;

use parts_postgres_help::*;
use restow_testkit::postgres::{Database, Schema};

/// Options of a database whose own order of text is nothing like that of its bytes.
const ICU: &str = "LOCALE_PROVIDER icu ICU_LOCALE 'en-US' TEMPLATE template0";

/// Runs a statement past restow; returns the number of rows.
async fn execute(database: &Arc<Database>, sql: &'static str) -> u64 {
    past(database, move |client| client.execute(sql, &[]).expect(sql)).await
}

/// A record of so many bytes that do not compress.
fn bulky(n: i64, bytes: usize) -> Record {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(n as u64 + 1);
    let mut body = Vec::with_capacity(bytes);
    while body.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        body.extend_from_slice(&state.to_le_bytes());
    }
    Record::new(Key::of("item").int(n).build(), Body::Bytes(body.into()))
}

/// A store in a schema of its own; where this run does without a server, the reference.
async fn fixture(make: fn() -> Option<Schema>) -> Fixture {
    let Some(schema) = blocking(make).await else {
        return Fixture::generic(Arc::new(MemoryStore::new(MemoryOptions::strong())), ());
    };
    let server = server_of(&schema.address("parts"));
    let store = blocking(move || PartsPostgres::target(server)).await.expect("a store");
    Fixture::generic(Arc::new(store), schema)
}

async fn fresh() -> Fixture {
    fixture(Schema::create).await
}

async fn other_collation() -> Fixture {
    fixture(Schema::create_collated).await
}

conformance!(parts_postgres, fresh);
conformance!(parts_postgres_in_another_collation, other_collation);

#[tokio::test]
async fn units_ascend_by_bytes_whatever_the_collation() {
    let Some(database) = database(ICU).await else { return };
    let store = target(&database).await;
    let names = ["Z", "a", "ä", "A-b", "a_B", "\u{0}", "ab", "é", "𝄞", "A", "aB"];
    let units = names.iter().map(|name| ops(name, Guard::Absent, vec![turn(1)], Then::Keep));
    let outcomes = apply_all(&*store, units.collect()).await;
    assert!(outcomes.iter().all(|outcome| outcome.is_applied()), "{outcomes:?}");
    let segments = store.segments(4, Enumeration::Units).await.expect("shares");
    assert_eq!(segments.len(), 4);
    let mut found = Vec::new();
    for segment in segments {
        let frames = collect(store.scan(segment, None, Content::All).await.expect("a walk")).await;
        found.extend(frames.iter().filter_map(|frame| match frame {
            Frame::Begin { unit, .. } => Some(unit.as_str().to_owned()),
            _ => None,
        }));
    }
    let sorted: BTreeSet<_> = names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(found, sorted.into_iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn damage_is_named_and_the_rest_goes_on() {
    for (sql, found, records) in [
        ("UPDATE restow_parts.restow_page SET data = 'x' WHERE page_no = 1", "row 1,", 1),
        ("DELETE FROM restow_parts.restow_part WHERE first = 0 AND unit_no = 1", "record", 1),
        ("UPDATE restow_parts.restow_part SET data = '' WHERE unit_no = 1", "record", 1),
        ("DELETE FROM restow_parts.restow_page WHERE unit_no = 1", "restow_page", 1),
    ] {
        let Some(database) = database("").await else { return };
        let store = target(&database).await;
        put(&*store, "a", vec![turn(900)]).await;
        put(&*store, "b", vec![turn(3)]).await;
        assert!(execute(&database, sql).await > 0, "{sql}");
        let walk = store
            .scan(Segment::whole(Enumeration::Storage), None, Content::All)
            .await
            .expect("a walk");
        let frames = collect(walk).await;
        let places = frames.iter().filter_map(|frame| match frame {
            Frame::Damaged { unit, place, .. } => Some((unit.clone(), place.clone())),
            _ => None,
        });
        let places: Vec<_> = places.collect();
        let named = |(unit, place): &(Option<UnitId>, String)| {
            *unit == Some(UnitId::new("a")) && place.contains(found)
        };
        assert!(!places.is_empty() && places.iter().all(named), "{sql}: {places:?}");
        let whole = frames.iter().filter(|frame| matches!(frame, Frame::Record(_))).count();
        assert_eq!(whole, records, "{sql}");
        assert_eq!(parts_postgres_help::records(&*store, "b").await, vec![turn(3)], "{sql}");
    }
}

#[tokio::test]
async fn a_list_that_grows_over_connections_reads_back_equal() {
    let Some(database) = database("").await else { return };
    for messages in (1..=240).step_by(7) {
        let store = target(&database).await;
        put(&*store, "u", vec![turn(messages)]).await;
    }
    let store = target(&database).await;
    let expected: Vec<_> = (1..=240).step_by(7).map(turn).collect();
    assert_eq!(records(&*store, "u").await, expected);
    let raw = "SELECT sum(raw_len)::bigint FROM restow_parts.restow_part";
    let kept = count(&database, raw).await;
    assert!(kept < 2 * 240 * 130, "each message is kept about once: {kept} bytes");
}

#[tokio::test]
async fn a_unit_too_large_to_be_held_back_leaves_nothing_where_it_fails() {
    let Some(database) = database("").await else { return };
    let store = target(&database).await;
    let large: Vec<_> = (0..24).map(|n| bulky(n, 512 << 10)).collect();
    let mut torn = ops("b", Guard::Unmanaged, large.clone(), Then::Keep);
    // A record whose value did not come along stands behind all that was sent already.
    let mut without = turn(9);
    without.values.clear();
    torn.ops = torn.ops.iter().cloned().chain([Op::put(without)]).collect();
    let whole = |unit| ops(unit, Guard::Absent, large.clone(), Then::Keep);
    let outcomes = apply_all(&*store, vec![whole("a"), torn, whole("c")]).await;
    let applied: Vec<_> = outcomes.iter().map(|outcome| outcome.is_applied()).collect();
    assert_eq!(applied, [true, false, true], "{outcomes:?}");
    for unit in ["a", "c"] {
        assert_eq!(records(&*store, unit).await, large, "{unit}");
    }
    let sql = "SELECT count(*) FROM restow_parts.restow_page WHERE unit_no NOT IN \
               (SELECT unit_no FROM restow_parts.restow_unit)";
    assert_eq!(count(&database, sql).await, 0, "no page is left behind");
    assert!(frames(&*store, "b").await.is_empty());
}

#[tokio::test]
async fn what_the_server_refuses_fails_one_unit_and_not_the_batch() {
    let Some(database) = database("").await else { return };
    let store = target(&database).await;
    let trigger = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                   RAISE 'not this one' USING ERRCODE = '22000'; END $$; \
                   CREATE TRIGGER refuse BEFORE INSERT ON restow_parts.restow_unit \
                   FOR EACH ROW WHEN (NEW.unit = 'b') EXECUTE FUNCTION refuse()";
    past(&database, move |client| client.batch_execute(trigger).expect("a trigger")).await;
    let units = ["a", "b", "c"].map(|unit| ops(unit, Guard::Absent, vec![turn(2)], Then::Keep));
    let outcomes = apply_all(&*store, units.into()).await;
    let applied: Vec<_> = outcomes.iter().map(|outcome| outcome.is_applied()).collect();
    assert_eq!(applied, [true, false, true], "{outcomes:?}");
    let told = format!("{:?}", outcomes[1]);
    assert!(told.contains("not this one") && told.contains("\"b\""), "{told}");
    assert_eq!(count(&database, "SELECT count(*) FROM restow_parts.restow_page").await, 2);
}

#[tokio::test]
async fn a_name_or_key_too_long_for_an_index_is_told() {
    let Some(database) = database("").await else { return };
    let store = target(&database).await;
    let mut long = turn(1);
    long.key = Key::of("item").text(&"k".repeat(3000)).build();
    assert!(store.check(&long).is_err());
    let name = "n".repeat(3000);
    let units = vec![
        ops("a", Guard::Unmanaged, vec![long], Then::Keep),
        ops(&name, Guard::Unmanaged, vec![turn(1)], Then::Keep),
        ops("b", Guard::Unmanaged, vec![turn(1)], Then::Keep),
    ];
    let outcomes = apply_all(&*store, units).await;
    let applied: Vec<_> = outcomes.iter().map(|outcome| outcome.is_applied()).collect();
    assert_eq!(applied, [false, false, true], "{outcomes:?}");
}

#[tokio::test]
async fn another_schema_is_refused_and_left_alone() {
    let Some(database) = database("").await else { return };
    let made = "CREATE SCHEMA restow_parts; CREATE TABLE restow_parts.users (name text)";
    past(&database, move |client| client.batch_execute(made).expect("a table")).await;
    for open in [PartsPostgres::target, PartsPostgres::source] {
        let server = server(&database);
        let error = blocking(move || open(server)).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().contains("schema restow_parts"), "{error}");
    }
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'restow_parts'";
    assert_eq!(count(&database, tables).await, 1);
}

#[tokio::test]
async fn a_source_is_only_read_and_has_to_be_there() {
    let Some(database) = database("").await else { return };
    let server = server(&database);
    let missing = server.clone();
    let missing = blocking(move || PartsPostgres::source(missing)).await.expect_err("none there");
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    put(&*target(&database).await, "u", vec![turn(1)]).await;
    let source = blocking(move || PartsPostgres::source(server)).await.expect("a source");
    assert_eq!(records(&source, "u").await, vec![turn(1)]);
    let units = vec![ops("u", Guard::Unmanaged, vec![turn(2)], Then::Keep)];
    let refused = source.apply(restow_store::Batch { units }).await;
    assert_eq!(refused.map_err(|e| e.kind()).err(), Some(ErrorKind::Refused));
}

#[tokio::test]
async fn units_with_the_newest_checkpoints_come_first() {
    let Some(database) = database("").await else { return };
    let store = target(&database).await;
    for (unit, messages) in [("a", 5), ("b", 9), ("c", 7)] {
        put(&*store, unit, vec![turn(messages)]).await;
    }
    let units = store.newest_units(1, 2).await.expect("units");
    let units: Vec<_> = units.iter().map(|(unit, id)| (unit.as_str(), id.as_str())).collect();
    assert_eq!(units, [("c", "00000007"), ("a", "00000005")]);
}

/// What a SQLite file holds comes to the same pages and parts here: one mechanism, two engines.
#[tokio::test]
async fn pages_and_parts_are_those_of_a_file() {
    let Some(database) = database("").await else { return };
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/parts_1.restow");
    let source = PartsSqlite::source(&golden).expect("a file");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("copy.restow");
    let copy = PartsSqlite::target(&file, true).expect("a file");
    copy.prepare(restow_store::Role::CopyTarget, "").await.expect("tables");
    let store = target(&database).await;
    let walk =
        source.scan(Segment::whole(Enumeration::Units), None, Content::All).await.expect("a walk");
    let frames = collect(walk).await;
    let mut units: Vec<UnitOps> = Vec::new();
    for frame in frames {
        match frame {
            Frame::Begin { unit, .. } => {
                units.push(ops(unit.as_str(), Guard::Absent, Vec::new(), Then::Keep));
            }
            Frame::Record(record) => {
                let last = units.last_mut().expect("a unit has begun");
                last.ops = last.ops.iter().cloned().chain([Op::put(record)]).collect();
            }
            _ => {}
        }
    }
    for store in [&copy as &dyn Store, &*store] {
        let outcomes = apply_all(store, units.clone()).await;
        assert!(outcomes.iter().all(|outcome| outcome.is_applied()), "{outcomes:?}");
    }
    for table in ["restow_page", "restow_part"] {
        let sql = format!(
            "SELECT u.unit, t.digest FROM {table} t JOIN restow_unit u ON u.unit_no = t.unit_no"
        );
        let connection = rusqlite::Connection::open(&file).expect("a database");
        let mut statement = connection.prepare(&sql).expect(&sql);
        let row =
            |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?.into_bytes(), row.get(1)?));
        let rows = statement.query_map([], row).expect(&sql);
        let in_file: BTreeSet<(Vec<u8>, Vec<u8>)> = rows.map(|row| row.expect("a row")).collect();
        let there = past(&database, move |client| {
            let sql = format!("SET search_path = restow_parts; {sql}");
            let (set, sql) = sql.split_once("; ").expect("two statements");
            client.batch_execute(set).expect(set);
            let rows = client.query(sql, &[]).expect(sql);
            rows.iter()
                .map(|row| (row.get(0), row.get(1)))
                .collect::<BTreeSet<(Vec<u8>, Vec<u8>)>>()
        });
        let there = there.await;
        assert!(there.len() > 1 && there == in_file, "{table}");
    }
    let read = |store: Arc<dyn Store>, units: Vec<UnitId>| async move {
        collect(store.read(units, Selection::all()).await.expect("frames")).await
    };
    let names: Vec<_> = units.iter().map(|ops| ops.unit.clone()).collect();
    let (here, there) = (read(Arc::new(source), names.clone()).await, read(store, names).await);
    assert_eq!(here, there);
}
