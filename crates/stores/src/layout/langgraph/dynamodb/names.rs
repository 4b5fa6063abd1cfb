//! What records are called in a table of langgraph-checkpoint-aws 1.2 (`unified_repository.py`).
//!
//! Partitions that begin with `restow#` are restow's own; the official saver looks for none of
//! them.

use restow_model::{Digest, Key, KeyPart, UnitId};

use crate::engine::dynamodb::{KeyNames, Place};
use crate::layout::langgraph::record::{CHECKPOINT, WRITE};

/// What the official saver calls the attributes that say where an item is.
pub const KEYS: KeyNames = KeyNames { partition: "PK", sort: "SK" };
/// The item that tells what of a unit is to be seen.
pub(super) const HEAD: &str = "restow#head";
/// The place of a payload in its partition.
pub(super) const CHUNK: &str = "CHUNK";
/// What the names of records begin with that no saver knows.
pub(super) const UNIT_RECORDS: &str = "restow#record#";
const CHECKPOINTS: &str = "CHECKPOINT_";
const WRITES: &str = "WRITES_";
const OWN: &str = "restow#unit#";
/// No unit's name, and no namespace with its checkpoint's id, is longer.
pub(super) const NAME_BYTES_MAX: usize = 900;

/// What a partition holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Partition<'p> {
    /// The checkpoints of a thread.
    Checkpoints(UnitId),
    /// The writes of a checkpoint: thread, namespace and id, one behind the other.
    Writes(&'p str),
    /// What restow keeps of a thread.
    Own(UnitId),
    /// A payload, or something that nobody knows.
    Other,
}

/// Says what a partition holds.
pub(super) fn partition_of(name: &str) -> Partition<'_> {
    if let Some(thread) = name.strip_prefix(CHECKPOINTS) {
        return Partition::Checkpoints(UnitId::new(thread));
    }
    match (name.strip_prefix(WRITES), name.strip_prefix(OWN)) {
        (Some(rest), _) => Partition::Writes(rest),
        (_, Some(thread)) => Partition::Own(UnitId::new(thread)),
        _ => Partition::Other,
    }
}

/// Returns the partition of what restow keeps of a unit.
pub(super) fn own(unit: &UnitId) -> String {
    format!("{OWN}{}", unit.as_str())
}

/// Returns the partition of a unit's checkpoints.
pub(super) fn checkpoints(unit: &UnitId) -> String {
    format!("{CHECKPOINTS}{}", unit.as_str())
}

/// Returns the partition of a checkpoint's writes.
pub(super) fn writes(unit: &UnitId, (namespace, id): (&str, &str)) -> String {
    format!("{WRITES}{}#{namespace}#{id}", unit.as_str())
}

/// Returns where a unit's head is.
pub(super) fn head(unit: &UnitId) -> Place {
    (own(unit), HEAD.to_owned())
}

/// Returns where a record is.
pub(super) fn place(unit: &UnitId, key: &Key) -> Place {
    match (key.kind(), key.parts().as_slice()) {
        (CHECKPOINT, [KeyPart::Text(namespace), KeyPart::Text(id)]) => {
            (checkpoints(unit), format!("{namespace}#{id}"))
        }
        (
            WRITE,
            [KeyPart::Text(namespace), KeyPart::Text(id), KeyPart::Text(task), KeyPart::Int(index)],
        ) => (writes(unit, (namespace, id)), format!("{task}#{index}")),
        _ => (own(unit), format!("{UNIT_RECORDS}{}", Digest::of(key.as_bytes()))),
    }
}

/// Returns the namespace and the id of the checkpoint that a record is, or belongs to.
pub(super) fn checkpoint_of(key: &Key) -> Option<(String, String)> {
    let mut parts = key.parts().into_iter();
    match (key.kind(), parts.next(), parts.next()) {
        (CHECKPOINT | WRITE, Some(KeyPart::Text(namespace)), Some(KeyPart::Text(id))) => {
            Some((namespace, id))
        }
        _ => None,
    }
}

/// Says whether a name in a unit's own partition is one of a record.
pub(super) fn is_record(name: &str) -> bool {
    name.starts_with(UNIT_RECORDS) || is_spaced(name)
}

/// Says whether a name is one of a record in a space of its own.
pub(super) fn is_spaced(name: &str) -> bool {
    name.starts_with("restow#space#")
}

/// Returns what the names of records begin with that are in a space of their own.
pub(super) fn space(number: i64) -> String {
    format!("restow#space#{number:x}#")
}

/// Returns where a record is that is in a space of its own.
pub(super) fn spaced(unit: &UnitId, number: i64, key: &Key) -> Place {
    (own(unit), format!("{}{}", space(number), Digest::of(key.as_bytes())))
}

/// Returns the names of a payload, in the table and as an object: each is given once.
pub(super) fn payload(unit: &UnitId, key: &Key, (stamp, n): (i64, usize)) -> (String, String) {
    let (number, unit) = (format!("{stamp:x}.{n:x}"), unit.as_str());
    let Some((namespace, id)) = checkpoint_of(key) else {
        return (format!("CHUNK_{unit}##restow#{number}"), format!("{unit}/restow/{number}"));
    };
    let (_, name) = place(&UnitId::new(unit), key);
    match key.kind() {
        CHECKPOINT => (
            format!("CHUNK_{unit}#{namespace}#{id}#{number}"),
            format!("{unit}/checkpoints/{namespace}/{id}/{number}"),
        ),
        _ => (
            format!("CHUNK_{unit}#{namespace}#{id}#{name}#{number}"),
            format!("{unit}/checkpoints/{namespace}/{id}/writes/{name}/{number}"),
        ),
    }
}

/// Says why a record cannot have a name, where it cannot.
pub(super) fn refuses(key: &Key) -> Option<&'static str> {
    let (namespace, id) = checkpoint_of(key)?;
    if id.contains('#') {
        return Some("a checkpoint's id has a #, at which the saver takes names apart");
    }
    let (_, name) = place(&UnitId::new(""), key);
    let is_long = namespace.len() + id.len() > NAME_BYTES_MAX || name.len() > NAME_BYTES_MAX;
    is_long.then_some("its name is longer than DynamoDB's names may be")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::langgraph::record::{checkpoint_key, write_key};

    #[test]
    fn names_are_those_of_the_official_saver() {
        let unit = UnitId::new("t");
        let at = place(&unit, &checkpoint_key("a|b:c", "1ef"));
        assert_eq!(at, ("CHECKPOINT_t".into(), "a|b:c#1ef".into()));
        let at = place(&unit, &write_key("", "1ef", "task", -3));
        assert_eq!(at, ("WRITES_t##1ef".into(), "task#-3".into()));
        assert_eq!(partition_of(&at.0), Partition::Writes("t##1ef"));
        assert_eq!(partition_of(&own(&unit)), Partition::Own(unit.clone()));
        assert_eq!(partition_of(&checkpoints(&unit)), Partition::Checkpoints(unit));
        assert_eq!(partition_of("CHUNK_t##1ef"), Partition::Other);
    }

    #[test]
    fn what_two_records_would_be_called_is_refused() {
        assert_eq!(refuses(&checkpoint_key("a#b", "c")), None);
        assert!(refuses(&checkpoint_key("a", "b#c")).is_some());
        assert!(refuses(&checkpoint_key(&"n".repeat(2000), "c")).is_some());
    }
}
