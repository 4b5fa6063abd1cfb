//! Reads that are told what they were told before, as those that need not be consistent may be.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use serde_json::Value;

use super::message::{Answer, Seen};

/// The newest answer to each read, by operation and body.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<HashMap<(String, Bytes), Answer>>);

impl Told {
    /// Returns what a read was told before; nothing where it asks for what is consistent.
    pub(super) fn before(&self, seen: &Seen) -> Option<Answer> {
        let key = key(seen)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    /// Notes what a read is told.
    pub(super) fn note(&self, seen: &Seen, answer: &Answer) {
        if let Some(key) = key(seen).filter(|_| answer.status().is_success()) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, answer.clone());
        }
    }
}

fn key(seen: &Seen) -> Option<(String, Bytes)> {
    let request = match seen.operation.as_str() {
        "GetItem" | "Query" | "Scan" | "BatchGetItem" => seen.json()?,
        _ => return None,
    };
    let is_consistent = |asked: &Value| asked["ConsistentRead"] == Value::Bool(true);
    let tables = request["RequestItems"].as_object();
    let of_a_table = tables.is_some_and(|tables| tables.values().any(is_consistent));
    (!is_consistent(&request) && !of_a_table).then(|| (seen.operation.clone(), seen.body.clone()))
}
