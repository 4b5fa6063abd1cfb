//! What `assess` says of a table's items.

use std::collections::BTreeMap;

use restow::items::{Named, Weights};
use serde_json::{Value, json};

use super::parts::{named, sizes};
use crate::out::Out;
use crate::words::{bytes, count, counted};

/// Makes sizes by their upper bounds a list of objects.
pub(super) fn by_bound(sizes: &BTreeMap<u64, u64>) -> Vec<Value> {
    let one = |(bound, many): (&u64, &u64)| {
        let bound = Some(*bound).filter(|bound| *bound != u64::MAX);
        json!({ "up_to": bound, "count": many })
    };
    sizes.iter().map(one).collect()
}

/// Makes the weights of a table an object.
pub(super) fn object(weights: &Weights) -> Value {
    let heaviest = weights.heaviest.iter().map(
        |heavy| json!({ "unit": heavy.unit.as_str(), "items": heavy.items, "bytes": heavy.bytes }),
    );
    json!({
        "items": weights.items,
        "bytes": weights.bytes,
        "sizes": by_bound(&weights.sizes),
        "heaviest": heaviest.collect::<Vec<_>>(),
        "splits": weights.splits.0,
        "splits_damaged": weights.splits.0 - weights.splits.1,
        "orphans": named(&weights.orphans),
        "dangling": named(&weights.dangling),
        "expiring": weights.expiring,
        "expires_by": weights.expires_by,
    })
}

/// Prints the weights of a table.
pub(super) fn print(weights: &Weights, out: &Out) {
    let Weights { items, bytes: size, splits: (splits, whole), .. } = weights;
    out.line(format!("table        {}, {}", counted(*items, "item", "items"), bytes(*size)));
    out.line(format!("items        {}", sizes(&weights.sizes)));
    out.line(format!(
        "expiry       {}, {} expire",
        match &weights.expires_by {
            Some(attribute) => format!("on, by attribute {attribute}"),
            None => "off".to_owned(),
        },
        counted(weights.expiring, "item may", "items may"),
    ));
    if *splits > 0 {
        out.line(format!(
            "splits       {} by another program, {} not whole",
            counted(*splits, "checkpoint was split", "checkpoints were split"),
            count(splits - whole),
        ));
    }
    list(&weights.orphans, "orphans", "that nothing points at", out);
    list(&weights.dangling, "dangling", "that records point at and that are not there", out);
    out.line("heaviest");
    for heavy in &weights.heaviest {
        let items = counted(heavy.items, "item", "items");
        out.line(format!("  {:>9}  {items}  {}", bytes(heavy.bytes), heavy.unit));
    }
}

fn list(what: &Named, word: &str, about: &str, out: &Out) {
    out.line(format!("{word:<12} {} {about}", counted(what.count, "part", "parts")));
    out.first_of(what.count, &what.first, Clone::clone);
}
