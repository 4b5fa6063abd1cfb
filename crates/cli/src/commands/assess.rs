//! `restow assess`: what a store holds, and what any target would make of it.

use std::sync::Arc;

use restow::assess::{AssessOptions, Assessment, Count, Large};
use restow::model::Dialect;
use restow::schema::{self, Size, Status};
use restow::{Access, Address, Clock, Description, Progress, Result, Stop};
use serde_json::{Value, json};

use super::parts::sizes;
use super::{environment, stop_on_interrupt, weights};
use crate::args::Assess;
use crate::exit::Exit;
use crate::out::Out;
use crate::progress;
use crate::words::{bytes, count, counted};

const POSTGRES: &str = "langgraph+postgres";

pub(super) async fn run(args: &Assess, clock: Arc<dyn Clock>, out: &Out) -> Result<Exit> {
    let address = Address::parse(&args.store)?;
    let opened = super::open(&address, Access::Read).await?;
    let described = opened.describe().await?;
    let size = restow::file_of(&address).and_then(|path| path.metadata().ok()).map(|m| m.len());
    let stop = Stop::new();
    stop_on_interrupt(stop.clone());
    let counters = Arc::new(Progress::new());
    let shown = progress::show(counters.clone(), clock, out);
    let options = AssessOptions { stop, threshold: args.threshold, ..AssessOptions::default() };
    let compress = Arc::new(restow::compressed_len);
    let found = restow::assess(opened.store.clone(), options, Some(compress), counters).await;
    drop(shown);
    let found = found?;
    let info = opened.store.info();
    let served = match info.name().as_str() {
        POSTGRES => Some(schema::status(&schema::server(&address, &environment())?).await?),
        _ => None,
    };
    let weighed = match &opened.items {
        Some(items) => Some(items.weigh().await?),
        None => None,
    };
    let mut object = object(&info.name(), described.as_ref(), &found, size);
    object["threshold"] = json!(args.threshold);
    object["write_price"] = json!(args.write_price);
    object["write_rate"] = json!(args.write_rate);
    if let Some(weights) = &weighed {
        object["items"] = weights::object(weights);
    }
    if let Some(status) = &served {
        object["schema"] = super::schema::object(status);
    }
    out.object(&object);
    out.line(headline(&info.name(), described.as_ref(), &found));
    described.iter().for_each(|described| tables(described, out));
    served.iter().for_each(|status| served_tables(status, out));
    print(&found, size, out);
    weighed.iter().for_each(|weights| weights::print(weights, out));
    target(&found, args, out);
    largest(&found, out);
    Ok(match (found.interrupted, found.damaged) {
        (true, _) => Exit::Interrupted,
        (false, 0) => Exit::Ok,
        (false, _) => Exit::Unclean,
    })
}

fn print(found: &Assessment, size: Option<u64>, out: &Out) {
    let total = found.total();
    if let Some(size) = size {
        out.line(format!("file         {}", bytes(size)));
    }
    out.line(format!(
        "content      {} of values, {} of everything else",
        bytes(total.value_bytes),
        bytes(total.body_bytes + found.residue_bytes),
    ));
    out.line(format!(
        "repeated     about {:.1} % of the values, inside their threads (an estimate)",
        found.repeated_share() * 100.0
    ));
    let whole = total.value_bytes + total.body_bytes;
    out.line(format!(
        "as SQLite    about {} in LangGraph's own tables (an estimate)",
        bytes(whole)
    ));
    if let Some(parts) = found.parts_bytes_estimate {
        let ratio = size.map_or_else(String::new, |size| {
            format!(", 1/{:.0} of the file", size as f64 / parts.max(1) as f64)
        });
        out.line(format!("as parts     about {}{ratio} (an estimate)", bytes(parts)));
    }
}

/// Says what a DynamoDB table would make of it.
fn target(found: &Assessment, args: &Assess, out: &Out) {
    let records = found.total().records.max(1);
    out.line(format!("sizes        {}", sizes(&found.sizes)));
    out.line(format!(
        "DynamoDB     {} above its item limit of 409,600 bytes ({:.1} %)",
        counted(found.oversized, "record is", "records are"),
        found.oversized as f64 * 100.0 / records as f64,
    ));
    out.line(format!(
        "             {} above the threshold of {} bytes ({:.1} %)",
        counted(found.above_threshold, "record is", "records are"),
        count(args.threshold),
        found.above_threshold as f64 * 100.0 / records as f64,
    ));
    let units = found.write_units_estimate;
    out.line(format!(
        "to write     about {} units: {:.2} USD at {} a million, {} s at {}/s (an estimate)",
        count(units),
        units as f64 * args.write_price / 1e6,
        args.write_price,
        count(units.div_ceil(args.write_rate)),
        count(args.write_rate),
    ));
}

fn largest(found: &Assessment, out: &Out) {
    large("largest", &found.largest, out);
    if found.damaged > 0 {
        out.line(format!("damaged      {}", counted(found.damaged, "place", "places")));
        for (unit, place) in &found.damage {
            let unit = unit.as_ref().map_or_else(String::new, |unit| format!("{unit}: "));
            out.line(format!("  {unit}{place}"));
        }
    }
    if found.interrupted {
        out.line("stopped before the end; the numbers are of a part");
    }
}

/// Says in a line what it is: "LangGraph (Python), SQLite, 1,505 threads, 196,112 checkpoints …".
fn headline(name: &str, described: Option<&Description>, found: &Assessment) -> String {
    let records = |kind: &str| found.kinds.get(kind).map_or(0, |kind| kind.records);
    let (checkpoints, writes) = (records("checkpoint"), records("write"));
    let application = match described.map(|described| described.dialect) {
        Some(Dialect::Any) => "LangGraph, SQLite".to_owned(),
        Some(dialect) => format!("LangGraph ({dialect}), SQLite"),
        None if name == POSTGRES => "LangGraph (Python), PostgreSQL".to_owned(),
        None => format!("restow, {name}"),
    };
    let mut line = format!("{application}, {}", units(found.units));
    if checkpoints + writes > 0 {
        line += &format!(
            ", {}, {}",
            counted(checkpoints, "checkpoint", "checkpoints"),
            counted(writes, "pending write", "pending writes")
        );
    }
    line
}

fn units(units: Count) -> String {
    let about = if units.exact { "" } else { "about " };
    format!("{about}{}", counted(units.number, "thread", "threads"))
}

fn tables(described: &Description, out: &Out) {
    let tables = [
        ("checkpoints", described.checkpoints, described.checkpoint_bytes),
        ("writes", described.writes, described.write_bytes),
    ];
    for (table, rows, size) in tables {
        out.line(format!("{table:<12}{}, {}", counted(rows, "row", "rows"), bytes(size)));
    }
    if let Some(shape) = &described.shape {
        if !shape.has_path {
            out.line("shape        without task_path, as langgraph-checkpoint-sqlite before 3.1.2");
        }
        if !shape.store_tables.is_empty() {
            let names = shape.store_tables.join(", ");
            out.line(format!("not carried yet: LangGraph's Store ({names})"));
        }
    }
    let odd = described.tags.iter().filter(|(tag, _)| tag.as_deref() != Some("msgpack"));
    for (tag, rows) in odd {
        let tag = tag.as_deref().unwrap_or("no tag");
        out.line(format!(
            "not opened  {} tagged `{tag}`",
            counted(*rows, "checkpoint", "checkpoints")
        ));
    }
    if described.dialect == Dialect::JavaScript {
        out.line("its payloads are JavaScript's: restow reads Python's, and refuses to copy these");
    }
}

fn served_tables(status: &Status, out: &Out) {
    let tables = [
        ("checkpoints", "checkpoints", status.checkpoints),
        ("blobs", "checkpoint_blobs", status.blobs),
        ("writes", "checkpoint_writes", status.writes),
    ];
    for (word, name, rows) in tables {
        let size = status.tables.iter().find(|table| table.name == name).map_or(0, Size::bytes);
        out.line(format!("{word:<12}{}, {}", counted(rows, "row", "rows"), bytes(size)));
    }
    if let Some(side) = &status.side {
        out.line(format!("beside      {} of restow's own tables", bytes(side.bytes())));
    }
}

fn large(heading: &str, records: &[Large], out: &Out) {
    if records.is_empty() {
        return;
    }
    out.line(heading);
    for record in records {
        out.line(format!("  {:>9}  {}  {}", bytes(record.bytes), record.unit, record.key));
    }
}

fn object(
    name: &str,
    described: Option<&Description>,
    found: &Assessment,
    size: Option<u64>,
) -> Value {
    let large = |records: &[Large]| -> Vec<Value> {
        let one = |r: &Large| {
            let record = r.key.to_string();
            json!({ "unit": r.unit.as_str(), "record": record, "bytes": r.bytes })
        };
        records.iter().map(one).collect()
    };
    let kinds: serde_json::Map<_, _> = found
        .kinds
        .iter()
        .map(|(kind, n)| {
            let n = json!({
                "records": n.records, "body_bytes": n.body_bytes, "value_bytes": n.value_bytes,
            });
            (kind.clone(), n)
        })
        .collect();
    json!({
        "event": "assess",
        "store": name,
        "dialect": described.map(|d| d.dialect.to_string()),
        "store_tables": described.and_then(|d| d.shape.as_ref()).map(|s| &s.store_tables),
        "file_bytes": size,
        "units": found.units.number,
        "units_exact": found.units.exact,
        "kinds": kinds,
        "residue_bytes": found.residue_bytes,
        "repeated_share_estimate": found.repeated_share(),
        "parts_bytes_estimate": found.parts_bytes_estimate,
        "langgraph_sqlite_bytes_estimate": found.total().value_bytes + found.total().body_bytes,
        "above_item_limit": found.oversized,
        "above_threshold": found.above_threshold,
        "sizes": weights::by_bound(&found.sizes),
        "write_units_estimate": found.write_units_estimate,
        "above_item_limit_examples": large(&found.oversized_examples),
        "largest": large(&found.largest),
        "damaged": found.damaged,
        "damage": found.damage.iter().map(|(unit, place)| json!({
            "unit": unit.as_ref().map(|unit| unit.as_str()), "place": place,
        })).collect::<Vec<_>>(),
        "interrupted": found.interrupted,
    })
}
