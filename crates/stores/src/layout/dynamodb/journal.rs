//! The journal of a unit: an item an entry, beside its head.

use restow_model::Digest;
use restow_store::managed::{Noted, StoredEntry};
use restow_store::{Entry, Result};

use crate::engine::dynamodb::{Item, Range, Table, bytes, bytes_of, number, number_of, text_of};

fn name(seq: u64) -> String {
    format!("restow#journal#{seq:020}")
}

/// Returns the item of an entry.
pub(in crate::layout) fn item(table: &Table, partition: &str, entry: &Entry) -> Item {
    let mut item = table.keys().at(&(partition.to_owned(), name(entry.seq)));
    item.insert("seq".into(), number(entry.seq));
    item.insert("keys".into(), bytes(entry.keys.to_bytes()));
    if let Some(op_id) = &entry.op_id {
        item.insert("operation".into(), bytes(&op_id.as_bytes()[..]));
    }
    item
}

/// Reads the entries behind a seq.
pub(in crate::layout) fn entries(
    table: &Table,
    partition: &str,
    after: u64,
) -> Result<Vec<StoredEntry>> {
    let mut entries = Vec::new();
    let range = Range::Between(name(after.saturating_add(1)), name(u64::MAX));
    table.query_all(partition, &range, false, |item| {
        if let (Some(seq), Some(keys)) = (number_of(&item, "seq"), bytes_of(&item, "keys")) {
            let op_id = bytes_of(&item, "operation").map(<[u8]>::to_vec);
            entries.push(StoredEntry { seq, op_id, keys: keys.to_vec() });
        }
        Ok(true)
    })?;
    Ok(entries)
}

/// Looks for an operation, and counts the entries behind a seq.
pub(in crate::layout) fn noted(
    table: &Table,
    partition: &str,
    op_id: Option<Digest>,
    after: u64,
) -> Result<Noted> {
    let mut noted = Noted::default();
    for entry in entries(table, partition, 0)? {
        let seq = entry.seq as u64;
        noted.behind += u64::from(seq > after);
        let is_same = |id: &Digest| entry.op_id.as_deref() == Some(&id.as_bytes()[..]);
        if op_id.as_ref().is_some_and(is_same) {
            noted.made = Some(seq);
        }
    }
    Ok(noted)
}

/// Forgets entries up to a seq.
pub(in crate::layout) fn forget(table: &Table, partition: &str, upto: u64) -> Result<()> {
    let range = Range::Between(name(0), name(upto));
    let mut gone = Vec::new();
    table.query_all(partition, &range, false, |item| {
        let sort = text_of(&item, table.keys().sort);
        gone.extend(sort.map(|name| (partition.to_owned(), name.to_owned())));
        Ok(true)
    })?;
    table.delete_all(&gone)
}
