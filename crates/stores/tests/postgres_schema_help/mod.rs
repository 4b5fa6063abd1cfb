//! What the tests of the schema share: databases, LangGraph's own setup, and the catalog as text.
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::{Mutex, OnceLock};

use restow_store::feed::Stop;
use restow_store::{Address, Environment};
use restow_stores::engine::postgres::Server;
use restow_stores::layout::langgraph::postgres::schema;
use restow_stores::layout::langgraph::postgres::shape::{self, Shape};
use restow_testkit::official::python;
use restow_testkit::postgres::Database;

pub(crate) struct World;

impl World {
    /// Makes a database; nothing where this run was told to do without a server or the judge.
    pub(crate) fn one() -> Option<Database> {
        python()?;
        Database::create()
    }

    /// Makes two.
    pub(crate) fn two() -> Option<[Database; 2]> {
        Some([Self::one()?, Self::one()?])
    }
}

/// Names the database's server.
pub(crate) fn server(database: &Database) -> Server {
    server_of(&database.address("langgraph"))
}

/// Names a database's server as another role.
pub(crate) fn server_as(database: &Database, role: &str) -> Server {
    server_of(&database.address("langgraph").replace("//postgres@", &format!("//{role}@")))
}

/// Names an address's server.
pub(crate) fn server_of(address: &str) -> Server {
    let address = Address::parse(address).unwrap();
    schema::server(&address, &Environment::default()).unwrap()
}

fn script() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres_schema_help/official.py")
}

/// Runs LangGraph's own code on a database, which has to succeed.
///
/// One process does it for all tests, since it takes longer to start than to do any of it.
pub(crate) fn official(command: &str, database: &Database, options: &[&str]) {
    static JUDGE: Mutex<Option<(Child, BufReader<ChildStdout>)>> = Mutex::new(None);
    let mut judge = JUDGE.lock().expect("the judge failed in another test");
    let (child, output) = judge.get_or_insert_with(|| {
        let mut command = Command::new(python().expect("the judge is gone"));
        command.arg(script()).arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("start the judge");
        let output = child.stdout.take().unwrap();
        (child, BufReader::new(output))
    });
    let line = [&[command, &database.url()], options].concat().join(" ");
    writeln!(child.stdin.as_mut().unwrap(), "{line}").unwrap();
    let mut answer = String::new();
    output.read_line(&mut answer).unwrap();
    assert_eq!(answer, "done\n", "{line}");
}

/// Tells what a server's database holds.
pub(crate) fn recognised(server: &Server) -> Result<Option<Shape>, String> {
    let found = server.read("look at a database", |tx| {
        let tables = shape::resolve(tx, server.settings())?;
        shape::recognise(tx, &tables)
    });
    found.map_err(|stop| match stop {
        Stop::Error(error) => error.to_string(),
        Stop::Closed => panic!("closed"),
    })
}

/// Runs asynchronous work to its end.
pub(crate) fn done<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

/// Runs LangGraph's setup, which others may make fail.
pub(crate) fn attempted_setup(database: &Database) -> Output {
    let mut command = Command::new(python().expect("the judge is gone"));
    command.arg(script()).args(["setup", &database.url()]).output().expect("start the judge")
}

/// Puts a row into each table that a version has.
pub(crate) fn fill(database: &Database, version: i32) {
    let mut client = database.connect();
    for (since, sql) in [
        (
            1,
            "INSERT INTO checkpoints (thread_id, checkpoint_id, checkpoint) \
             VALUES ('t', 'a', '{\"v\": 4, \"channel_versions\": {\"x\": \"1.5\"}}')",
        ),
        (2, "INSERT INTO checkpoint_blobs VALUES ('t', '', 'x', '1.5', 'msgpack', '\\x01')"),
        (3, "INSERT INTO checkpoint_writes VALUES ('t', '', 'a', 'k', 0, 'x', 'msgpack', '\\x01')"),
    ] {
        if version >= since {
            client.batch_execute(sql).unwrap();
        }
    }
}

/// Checks that a database is as LangGraph's own setup makes one.
pub(crate) fn assert_official(database: &Database) {
    static FRESH: OnceLock<Vec<String>> = OnceLock::new();
    let fresh = FRESH.get_or_init(|| {
        let fresh = World::one().expect("a database");
        official("setup", &fresh, &[]);
        catalog(&fresh)
    });
    assert_eq!(&catalog(database), fresh);
}

/// Writes down what the catalog says of LangGraph's tables, and the versions applied.
pub(crate) fn catalog(database: &Database) -> Vec<String> {
    const SQL: [&str; 4] = [
        "SELECT format('%s.%s %s %s %s %s %s %s %s', c.relname, a.attnum, a.attname,
            format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attcollation, a.attstorage,
            a.attcompression, pg_get_expr(d.adbin, d.adrelid))
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
         LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' ORDER BY 1",
        "SELECT format('%s %s %s', pg_get_indexdef(indexrelid), indisvalid, indisready)
         FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
         WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1",
        "SELECT format('%s %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint
         WHERE connamespace = 'public'::regnamespace ORDER BY 1",
        "SELECT 'version ' || v FROM checkpoint_migrations ORDER BY v",
    ];
    let mut client = database.connect();
    let rows = SQL.iter().flat_map(|sql| client.query(*sql, &[]).unwrap());
    rows.map(|row| row.get(0)).collect()
}
