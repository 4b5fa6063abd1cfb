//! What the stores themselves tell: their journals, past restow, and each unit as either holds it.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use postgres::{Client, NoTls};
use restow::live::{Pair, Side};
use restow::model::{Control, Digest, HomeState, UnitDigest, UnitId};
use restow::store::journal::Journal;
use restow::store::{Frame, Selection};
use rusqlite::Connection;
use serde_json::Value;

use super::{table, world};

/// A write as a journal tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Write {
    /// The operation's id.
    pub op_id: Option<Digest>,
    /// Whether everything of before was removed.
    pub cleared: bool,
    /// The elements that were added.
    pub added: Vec<String>,
    /// Whether they were added alone, so that the element became the last.
    pub alone: bool,
}

/// The writes of a unit by seq, as the journal of one store tells them.
pub type Writes = BTreeMap<u64, Write>;

/// Reads the journal of a store, from its own table.
///
/// Blocks; not for asynchronous code.
pub fn journal(address: &str) -> BTreeMap<String, Writes> {
    let mut units: BTreeMap<String, Writes> = BTreeMap::new();
    for (unit, seq, op_id, keys) in rows(address) {
        let op_id = op_id.and_then(|id| Digest::from_slice(&id));
        let keys = Journal::from_bytes(&keys).expect("an entry");
        let write = Write {
            op_id,
            cleared: keys.cleared,
            added: keys.put.iter().filter_map(world::element_of).collect(),
            alone: keys.put.iter().any(world::is_last),
        };
        units.entry(unit).or_default().insert(seq as u64, write);
    }
    units
}

type Row = (String, i64, Option<Vec<u8>>, Vec<u8>);

fn rows(address: &str) -> Vec<Row> {
    let (layout, rest) = address.split_once('+').expect("a layout");
    let (engine, place) = rest.split_once(':').expect("an engine");
    if engine == "sqlite" {
        let file = Connection::open(place).expect("the file");
        let sql = "SELECT unit, seq, op_id, keys FROM restow_journal";
        let mut statement = file.prepare(sql).expect("a journal");
        let row =
            |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
        return statement.query_map([], row).expect("rows").map(|r| r.expect("a row")).collect();
    }
    if engine == "dynamodb" {
        return table::items_with("seq", place).iter().map(row_of).collect();
    }
    let mut client = Client::connect(&format!("postgresql:{place}"), NoTls).expect("the server");
    let table = match layout {
        "langgraph" => "restow.journal",
        _ => "restow_parts.restow_journal",
    };
    let rows = client.query(&format!("SELECT unit, seq, op_id, keys FROM {table}"), &[]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let rows = rows.expect("rows").into_iter();
    rows.map(|row| (text(row.get(0)), row.get(1), row.get(2), row.get(3))).collect()
}

fn row_of(item: &Value) -> Row {
    let text = |name| table::text_of(item, name).expect("an attribute");
    let seq = text("seq").parse().expect("a number");
    let keys = table::bytes_of(item, "keys").expect("keys");
    (text("threadId").to_owned(), seq, table::bytes_of(item, "operation"), keys)
}

/// A unit as one store holds it.
#[derive(Clone, Debug)]
pub struct Held {
    /// Its control record.
    pub control: Option<Control>,
    /// The digest of the records, read and summed.
    pub digest: UnitDigest,
}

/// A unit as both stores hold it; nothing where one has nothing of it.
pub type Both = [Option<Held>; 2];

/// Reads a unit at both stores, every byte of it.
pub async fn held(pair: &Pair, unit: &UnitId) -> restow::Result<Both> {
    let mut both = [None, None];
    for (n, side) in Side::BOTH.into_iter().enumerate() {
        let units = vec![unit.clone()];
        let mut frames = pair.store(side).read(units, Selection::all()).await?;
        while let Some(frame) = frames.next().await {
            match (frame?, &mut both[n]) {
                (Frame::Begin { control, .. }, held) => {
                    *held = Some(Held { control, digest: UnitDigest::default() });
                }
                (Frame::Record(record), Some(held)) => held.digest.merge(&record.summed()),
                (Frame::Damaged { place, why, .. }, _) => panic!("{place}: {why}"),
                _ => {}
            }
        }
    }
    Ok(both)
}

/// Says what is wrong with a unit, by what both stores tell of it alone.
pub fn faults(both: &Both) -> Vec<String> {
    let mut faults = Vec::new();
    let controls: Vec<&Control> =
        both.iter().flatten().filter_map(|held| held.control.as_ref()).collect();
    let live = controls.iter().filter(|control| control.state == HomeState::Live).count();
    if live > 1 {
        faults.push("I1: both stores are its home".to_owned());
    }
    if live == 0 && controls.iter().all(|control| control.state != HomeState::Sealed) {
        faults.push("I3: neither store is its home, nor was".to_owned());
    }
    for held in both.iter().flatten() {
        if let Some(control) = &held.control
            && control.digest != held.digest
        {
            faults.push(format!("I7: {} keeps another digest than it has", control.store));
        }
    }
    if let [one, other] = &controls[..] {
        let is_filled = |control: &Control| control.generation.term > 0;
        if one.generation.seq == other.generation.seq
            && is_filled(one)
            && is_filled(other)
            && one.digest != other.digest
        {
            faults.push("I7: one seq is two contents".to_owned());
        }
    }
    let of = |state| controls.iter().find(|control| control.state == state);
    if let (Some(live), Some(copy)) = (of(HomeState::Live), of(HomeState::Copy))
        && copy.generation.seq > live.generation.seq
    {
        faults.push("I3: a replica is later than the home".to_owned());
    }
    faults
}
