//! Tables of tests in the official saver's layout, and threads on their way into and out of them.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::TryStreamExt;
use restow_model::{Dialect, Key, Record, Token, UnitId};
use restow_store::{
    Address, Batch, Content, Enumeration, Environment, Frame, Guard, Op, Role, Selection, Store,
    Then, UnitOps, UnitOutcome,
};
use restow_stores::engine::dynamodb::{Item, Settings, Table};
use restow_stores::layout::langgraph::dynamodb::{KEYS, LangGraphDynamoDb};
use restow_testkit::official;

static TABLES: AtomicU32 = AtomicU32::new(0);

/// A table of its own on the server of tests.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) endpoint: String,
    pub(crate) table: String,
    address: Address,
    environment: Environment,
}

/// Names a table that nobody else uses; nothing where this run does without a server.
pub(crate) fn place() -> Option<Place> {
    let endpoint = restow_testkit::servers::dynamodb()?;
    let n = TABLES.fetch_add(1, Ordering::Relaxed);
    let table = format!("restow-official-{}-{n}", std::process::id());
    let address = format!("langgraph+dynamodb:{table}?endpoint={endpoint}");
    let address = Address::parse(&address).expect("an address");
    let keys = [("AWS_ACCESS_KEY_ID", "any"), ("AWS_SECRET_ACCESS_KEY", "any")];
    Some(Place { endpoint, table, address, environment: Environment::from(keys) })
}

pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("work that ends")
}

impl Place {
    /// Opens the table to write to it, making it.
    pub(crate) async fn target(&self) -> Arc<LangGraphDynamoDb> {
        let this = self.clone();
        let open = move || LangGraphDynamoDb::target(&this.address, &this.environment);
        let store = Arc::new(blocking(open).await.expect("a table"));
        store.prepare(Role::CopyTarget, "").await.expect("prepared");
        store
    }

    /// Does something to the table past the layout.
    pub(crate) async fn past<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Table) -> restow_store::Result<T> + Send + 'static,
    ) -> T {
        let this = self.clone();
        let work = move || {
            let settings = Settings::parse_in(&this.address, &this.environment)?;
            work(&Table::open_as(settings, KEYS)?)
        };
        blocking(work).await.expect("a request")
    }

    /// Reads every item of the table.
    pub(crate) async fn items(&self) -> Vec<Item> {
        self.past(|table| {
            let (mut items, mut from) = (Vec::new(), None);
            loop {
                let (some, next) = table.scan((0, 1), from.as_ref(), None)?;
                items.extend(some);
                from = match next {
                    None => return Ok(items),
                    next => next,
                };
            }
        })
        .await
    }

    /// Has the official savers do something; `file` is the SQLite file beside the table.
    pub(crate) async fn official(&self, command: &str, file: Option<PathBuf>) -> Option<String> {
        let python = official::python()?;
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/langgraph_dynamodb_help");
        let file = file.map(|file| file.display().to_string());
        let mut args = vec![command.to_owned()];
        args.extend(file.into_iter().chain([self.endpoint.clone(), self.table.clone()]));
        let run = move || {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            official::judge(&python, &here.join("official.py"), &args)
        };
        Some(blocking(run).await)
    }
}

/// Reads all of a store, unit by unit.
pub(crate) async fn units(store: &dyn Store, by: Enumeration) -> BTreeMap<UnitId, Vec<Record>> {
    let mut units: BTreeMap<UnitId, Vec<Record>> = BTreeMap::new();
    for segment in store.segments(3, by).await.expect("segments") {
        let frames = store.scan(segment, None, Content::All).await.expect("frames");
        let frames: Vec<Frame> = frames.try_collect().await.expect("no error");
        let mut open = None;
        for frame in frames {
            match frame {
                Frame::Begin { unit, .. } => open = Some(unit),
                Frame::Record(record) => {
                    units.entry(open.clone().expect("a unit")).or_default().push(record);
                }
                Frame::Damaged { place, why, .. } => panic!("{place}: {why}"),
                Frame::End { .. } | Frame::Mark(_) => {}
            }
        }
    }
    for records in units.values_mut() {
        records.sort_by(|a, b| a.key.cmp(&b.key));
        for record in records {
            record.values.sort_by_key(|value| value.name);
        }
    }
    units
}

/// Copies units into a store, staging what one apply does not hold.
pub(crate) async fn copy(units: &BTreeMap<UnitId, Vec<Record>>, store: &dyn Store) {
    let most = store.info().capabilities.apply_records_max;
    for (unit, records) in units {
        let ops = |some: &[Record]| some.iter().cloned().map(Op::put).collect::<Vec<_>>();
        if records.len() <= most {
            done(store, unit, Guard::Absent, ops(records), Then::Keep).await;
            continue;
        }
        let token = Token::new("copy");
        for some in records.chunks(most) {
            let then = Then::Stage(token.clone());
            done(store, unit, Guard::Absent, ops(some), then).await;
        }
        let then = Then::Promote(token.clone());
        done(store, unit, Guard::Staging(token), Vec::new(), then).await;
    }
}

pub(crate) async fn apply(
    store: &dyn Store,
    unit: &UnitId,
    guard: Guard,
    ops: Vec<Op>,
    then: Then,
) -> UnitOutcome {
    let ops = UnitOps::new(unit.clone(), Dialect::Python, guard, ops, then);
    let outcomes = store.apply(Batch { units: vec![ops] }).await.expect("outcomes");
    outcomes.into_iter().next().expect("an outcome")
}

pub(crate) async fn done(store: &dyn Store, unit: &UnitId, guard: Guard, ops: Vec<Op>, then: Then) {
    let outcome = apply(store, unit, guard, ops, then).await;
    assert!(outcome.is_applied(), "{unit}: {outcome:?}");
}

/// Reads one unit: its records, and what is damaged.
pub(crate) async fn read(store: &dyn Store, unit: &str) -> (Vec<Record>, Vec<String>) {
    let frames = store.read(vec![UnitId::new(unit)], Selection::all()).await.expect("frames");
    let (mut records, mut damaged) = (Vec::new(), Vec::new());
    for frame in frames.try_collect::<Vec<_>>().await.expect("no error") {
        match frame {
            Frame::Record(record) => records.push(record),
            Frame::Damaged { place, why, .. } => damaged.push(format!("{place}: {why}")),
            _ => {}
        }
    }
    (records, damaged)
}

/// Damages the payload of a record.
pub(crate) fn damage(table: &Table, unit: &UnitId, key: &Key) -> restow_store::Result<()> {
    let parts = key.parts();
    let text = |n: usize| match &parts[n] {
        restow_model::KeyPart::Text(text) => text.clone(),
        other => panic!("{other:?} is no text"),
    };
    let place = match &parts[..] {
        [_, _] => (format!("CHECKPOINT_{unit}"), format!("{}#{}", text(0), text(1))),
        [_, _, _, restow_model::KeyPart::Int(index)] => {
            (format!("WRITES_{unit}#{}#{}", text(0), text(1)), format!("{}#{index}", text(2)))
        }
        other => panic!("{other:?} is no key of LangGraph's"),
    };
    let mut item = table.get(&place)?.expect("a record");
    item.insert("ref_key".into(), restow_stores::engine::dynamodb::text("CHUNK_gone"));
    table.put_all(vec![item])
}
