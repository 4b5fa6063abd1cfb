//! What units and records are called in a table.
//!
//! A record's name is the one that the known applications give it, wherever that names it alone;
//! otherwise it is `record#` and the digest of its key. Names that begin with `restow#` are
//! restow's own, in both parts of a key.

use restow_model::{Digest, Key, KeyPart, UnitId};

use crate::engine::dynamodb::Place;
use crate::layout::langgraph::record::{CHECKPOINT, WRITE, checkpoint_key, write_key};

/// The item that tells what of a unit is to be seen.
pub(super) const HEAD: &str = "restow#head";
/// What restow's own names begin with.
pub(super) const OWN: &str = "restow#";
const ESCAPED: &str = "restow##";
const RECORD: &str = "record#";
const INTENT: &str = "restow#intent#";
const DEAD: &str = "restow#dead#";
/// No name of a record is longer; those that would be are digests.
const NAME_BYTES_MAX: usize = 900;
/// No unit's name is longer.
pub(super) const UNIT_BYTES_MAX: usize = 2_000;

/// Returns the partition of a unit.
pub(super) fn partition(unit: &UnitId) -> String {
    match unit.as_str() {
        "" => ESCAPED.to_owned(),
        name if name.starts_with(OWN) => format!("{ESCAPED}{name}"),
        name => name.to_owned(),
    }
}

/// Returns the unit of a partition; nothing where it is one of restow's own.
pub(super) fn unit_of(partition: &str) -> Option<UnitId> {
    match partition.strip_prefix(ESCAPED) {
        Some(name) => Some(UnitId::new(name)),
        None if partition.starts_with(OWN) => None,
        None => Some(UnitId::new(partition)),
    }
}

/// Returns where a unit's head is.
pub(super) fn head(unit: &UnitId) -> Place {
    (partition(unit), HEAD.to_owned())
}

/// Returns the name of a record.
pub(super) fn record(key: &Key) -> String {
    match plain(key) {
        Some(name) if name.len() <= NAME_BYTES_MAX && parse(&name).as_ref() == Some(key) => name,
        _ => format!("{RECORD}{}", Digest::of(key.as_bytes())),
    }
}

/// Returns the name that the known applications give a record, even where it is not its alone.
pub(super) fn plain(key: &Key) -> Option<String> {
    match (key.kind(), key.parts().as_slice()) {
        (CHECKPOINT, [KeyPart::Text(namespace), KeyPart::Text(id)]) => {
            Some(format!("{CHECKPOINT}#{namespace}#{id}"))
        }
        (
            WRITE,
            [KeyPart::Text(namespace), KeyPart::Text(id), KeyPart::Text(task), KeyPart::Int(index)],
        ) => Some(format!("{WRITE}#{namespace}#{id}#{task}#{index}")),
        _ => None,
    }
}

/// Reads a name that the known applications gave a record; an id has no `#`, a namespace may.
pub(super) fn parse(name: &str) -> Option<Key> {
    let (kind, rest) = name.split_once('#')?;
    match kind {
        CHECKPOINT => {
            let (namespace, id) = rest.rsplit_once('#')?;
            (!id.is_empty()).then(|| checkpoint_key(namespace, id))
        }
        WRITE => {
            let mut parts = rest.rsplitn(4, '#');
            let (index, task) = (parts.next()?, parts.next()?);
            let (id, namespace) = (parts.next()?, parts.next()?);
            let number: i64 = index.parse().ok()?;
            let is_plain = number.to_string() == index && !id.is_empty();
            is_plain.then(|| write_key(namespace, id, task, number))
        }
        _ => None,
    }
}

/// Says whether a name is one of a record in its place.
pub(super) fn is_record(name: &str) -> bool {
    !name.starts_with(OWN)
}

/// Returns what the names of records begin with that are in a space of their own.
pub(super) fn space(number: i64) -> String {
    format!("restow#space#{number:x}#")
}

/// Returns what the names of a space's directories begin with.
pub(super) fn directories(number: i64) -> String {
    format!("restow#log#{number:x}#")
}

/// Returns the number of the space that an item belongs to by its name.
pub(super) fn space_of(name: &str) -> Option<i64> {
    let rest = name.strip_prefix("restow#space#").or_else(|| name.strip_prefix("restow#log#"))?;
    i64::from_str_radix(rest.split_once('#')?.0, 16).ok()
}

/// Returns the name of the directory of a space that begins with an element.
pub(super) fn directory(number: i64, first: u64) -> String {
    format!("{}{first:016x}", directories(number))
}

/// Returns the name of the note that objects are about to be written.
pub(super) fn intent(stamp: i64) -> String {
    format!("{INTENT}{stamp:x}")
}

/// Says whether an item notes that objects are about to be written.
pub(super) fn is_intent(name: &str) -> bool {
    name.starts_with(INTENT)
}

/// Returns the name of the note that objects are not needed any more.
pub(super) fn dead(stamp: i64) -> String {
    format!("{DEAD}{stamp:x}")
}

/// Returns what a note that objects are about to be written is called once they are not needed.
pub(super) fn given_up(intent: &str) -> Option<String> {
    Some(format!("{DEAD}{}", intent.strip_prefix(INTENT)?))
}

/// Says whether an item notes that objects are not needed any more.
pub(super) fn is_dead(name: &str) -> bool {
    name.starts_with(DEAD)
}

/// Returns where an object is: each has a partition of its own.
pub(super) fn object(prefix: &str, stamp: i64, number: u64) -> Place {
    (format!("{OWN}{stamp:x}.{number:x}"), format!("{prefix}#part"))
}

/// Returns the stamp of the partition of an object; nothing where it is another.
pub(super) fn stamp_of(partition: &str) -> Option<i64> {
    let (stamp, number) = partition.strip_prefix(OWN)?.split_once('.')?;
    u64::from_str_radix(number, 16).ok()?;
    i64::from_str_radix(stamp, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_known_applications() {
        let key = checkpoint_key("a|b:c", "1ef");
        assert_eq!(record(&key), "checkpoint#a|b:c#1ef");
        let key = write_key("", "1ef", "task", -3);
        assert_eq!(record(&key), "write##1ef#task#-3");
        assert_eq!(parse("write##1ef#task#-3"), Some(key));
        assert_eq!(parse("checkpoint#x#y#1ef"), Some(checkpoint_key("x#y", "1ef")));
    }

    #[test]
    fn two_records_never_share_a_name() {
        let keys = [
            checkpoint_key("a#b", "c"),
            checkpoint_key("a", "b#c"),
            checkpoint_key("", ""),
            write_key("a", "b", "c#d", 1),
            write_key("a", "b#c", "d", 1),
            write_key("a#b", "c", "d", 1),
            checkpoint_key(&"n".repeat(2000), "c"),
        ];
        let names: std::collections::BTreeSet<_> = keys.iter().map(record).collect();
        assert_eq!(names.len(), keys.len());
        assert!(names.iter().all(|name| name.len() <= NAME_BYTES_MAX && is_record(name)));
    }

    #[test]
    fn units_and_partitions_belong_to_each_other() {
        for name in ["", "a", "restow#", "restow##x", "restow#head", "thread-1"] {
            let unit = UnitId::new(name);
            assert_eq!(unit_of(&partition(&unit)), Some(unit));
        }
        assert_eq!(unit_of(&object("split", 1, 0).0), None);
    }
}
