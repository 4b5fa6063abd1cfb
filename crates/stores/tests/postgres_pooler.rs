//! PostgreSQL through a pooler in transaction mode, which has one connection for all.
#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where it cannot go on")]

use bytes::Bytes;
use restow_store::feed::Stop;
use restow_store::{Address, Error, ErrorKind, RegisterName, Swap};
use restow_stores::engine::postgres::copy_in::CopyIn;
use restow_stores::engine::postgres::{Server, Settings, registers};
use restow_testkit::postgres::{Database, pooler};

const TABLE: &str = "public.registers";

fn server(database: &Database, pooler: &str, more: &str) -> Server {
    let url = database.url_at(pooler);
    let place = url.split_once(':').expect("a URL").1;
    let text = format!("langgraph+postgres:{place}{more}");
    let address = Address::parse(&text).expect("an address");
    Server::new(Settings::parse(&address).expect("settings"))
}

fn failed(stop: Stop) -> Error {
    match stop {
        Stop::Error(error) => error,
        Stop::Closed => panic!("nobody closed a stream"),
    }
}

fn load(server: &Server, from: i32) -> u64 {
    let load = server.write("load rows", |tx| {
        let mut rows = CopyIn::begin(tx, "t (x)")?;
        for x in from..from + 1000 {
            rows.row(1)?;
            rows.int4(x)?;
        }
        rows.finish()
    });
    load.map_err(failed).expect("rows")
}

fn walk(server: &Server) -> i64 {
    let walk = server.read("walk", |tx| {
        tx.batch_execute("DECLARE walk CURSOR FOR SELECT x FROM t ORDER BY x")?;
        let mut sum = 0;
        loop {
            let rows = tx.query_typed("FETCH 100 FROM walk", &[])?;
            if rows.is_empty() {
                return Ok(sum);
            }
            sum += rows.iter().map(|row| i64::from(row.get::<_, i32>(0))).sum::<i64>();
        }
    });
    walk.map_err(failed).expect("a walk")
}

#[test]
fn two_take_turns_on_one_connection() {
    let (Some(database), Some(pooler)) = (Database::create(), pooler()) else { return };
    let one = server(&database, &pooler, "?statement_timeout=1min");
    let other = server(&database, &pooler, "?toast_compression=pglz");
    let make = |tx: &mut restow_stores::engine::postgres::Transaction<'_>| {
        Ok(tx.batch_execute(&format!("CREATE TABLE t (x int); {}", registers::ddl(TABLE)))?)
    };
    one.write("make tables", make).map_err(failed).expect("tables");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut known = None;
    for turn in 0..6 {
        let server = if turn % 2 == 0 { &one } else { &other };
        assert_eq!(load(server, turn * 1000), 1000);
        let count = i64::from(turn + 1) * 1000;
        assert_eq!(walk(server), count * (count - 1) / 2);
        let name = RegisterName("turn".into());
        let now = Bytes::from(turn.to_string());
        let swap = registers::swap(server, TABLE.to_owned(), name, known, now);
        let swap = runtime.block_on(swap);
        known = match swap.expect("a swap") {
            Swap::Swapped(etag) => Some(etag),
            Swap::Lost(held) => panic!("nobody else swaps, but {held:?}"),
        };
    }
}

#[test]
fn what_the_pooler_cannot_do_is_said() {
    let (Some(database), Some(pooler)) = (Database::create(), pooler()) else { return };
    let ask = |server: Server| {
        let read = server.read("ask", |tx| Ok(tx.batch_execute("SELECT 1")?));
        read.map_err(failed)
    };
    let options = ask(server(&database, &pooler, "?options=-cwork_mem%3D1MB"));
    let error = options.expect_err("the pooler takes no options");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let absent = ask(server(&database, &pooler, "?dbname=absent")).expect_err("no such database");
    assert_eq!(absent.kind(), ErrorKind::NotFound, "{absent}");
}
