//! The journal: what each write of a unit put and removed, so that it can be replayed elsewhere.

use restow_model::{Body, Control, Digest, Key, Malformed, Map, canonical};

use crate::{Op, Then, UnitOps};

/// The version of [`Journal::to_bytes`].
pub const FORMAT: i64 = 1;

/// The account of one write: under these keys its replay reads what is there by then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Journal {
    /// Whether every record of before was removed first.
    pub cleared: bool,
    /// Keys that were put.
    pub put: Vec<Key>,
    /// Keys that were removed.
    pub removed: Vec<Key>,
}

/// A journal entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The seq that the write made.
    pub seq: u64,
    /// The write's operation id.
    pub op_id: Option<Digest>,
    /// The keys.
    pub keys: Journal,
}

/// What a store tells of a unit's writes, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The unit's control record.
    pub control: Option<Control>,
    /// The entries of all writes behind the seq asked for, oldest first; `None` where there is no
    /// control record, where an entry is missing, or where the unit has not come to that seq.
    pub entries: Option<Vec<Entry>>,
}

impl Journal {
    /// Returns the account of a write.
    pub fn of(ops: &UnitOps) -> Self {
        let mut keys = Self::default();
        for op in ops.ops.iter() {
            match op {
                Op::Put { record, .. } => keys.put.push(record.key.clone()),
                Op::Remove { key, .. } => keys.removed.push(key.clone()),
                Op::Clear => keys = Self { cleared: true, ..Self::default() },
            }
        }
        match ops.then {
            Then::Tombstone => Self { cleared: true, ..Self::default() },
            _ => keys,
        }
    }

    /// Returns the bytes to store.
    pub fn to_bytes(&self) -> Vec<u8> {
        let keys = |keys: &[Key]| {
            Body::List(keys.iter().map(|key| Body::Bytes(key.as_bytes().clone())).collect())
        };
        let body = Body::Map(Map::from([
            ("format", Body::int(FORMAT)),
            ("cleared", Body::Bool(self.cleared)),
            ("put", keys(&self.put)),
            ("removed", keys(&self.removed)),
        ]));
        let mut out = Vec::with_capacity(64);
        canonical::encode(&body, &mut out);
        out
    }

    /// Takes stored bytes back; refuses another format rather than guess.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let body = canonical::decode(bytes)?;
        Self::from_body(&body).ok_or(Malformed::new("not a journal entry of this format", 0))
    }

    fn from_body(body: &Body) -> Option<Self> {
        let keys = |name| -> Option<Vec<Key>> {
            let key = |body: &Body| match body {
                Body::Bytes(bytes) => Key::from_bytes(bytes.clone()).ok(),
                _ => None,
            };
            body.get(name)?.as_list()?.iter().map(key).collect()
        };
        let (Body::Int(format), Body::Bool(cleared)) = (body.get("format")?, body.get("cleared")?)
        else {
            return None;
        };
        (*format == FORMAT.into()).then_some(())?;
        Some(Self { cleared: *cleared, put: keys("put")?, removed: keys("removed")? })
    }
}

/// Returns the entries of a journal that lie behind a seq, if they tell every write up to another.
pub fn entries_between(journal: &[Entry], after: u64, to: u64) -> Option<&[Entry]> {
    let first = journal.partition_point(|entry| entry.seq <= after);
    let entries = &journal[first..];
    let tells = after.checked_add(entries.len() as u64) == Some(to)
        && entries.iter().zip(after..).all(|(entry, before)| entry.seq == before + 1);
    tells.then_some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journals() -> [Journal; 3] {
        let key = |n: i64| Key::of("item").int(n).build();
        let note = Key::of("note").text("a\0\u{fc}").bytes(b"\xff").build();
        [
            Journal::default(),
            Journal { cleared: true, put: vec![key(-1), note], removed: vec![] },
            Journal { cleared: false, put: vec![], removed: vec![key(2), key(1)] },
        ]
    }

    #[test]
    fn an_entry_is_stored_whole() {
        for journal in journals() {
            let bytes = journal.to_bytes();
            assert_eq!(Journal::from_bytes(&bytes), Ok(journal));
            assert!(Journal::from_bytes(&bytes[..bytes.len() - 1]).is_err());
        }
    }

    #[test]
    fn another_format_is_refused() {
        let Ok(Body::Map(map)) = canonical::decode(&Journal::default().to_bytes()) else {
            panic!("not a map")
        };
        let mut pairs = map.into_pairs();
        pairs.push((Body::text("format"), Body::int(2)));
        let mut bytes = Vec::new();
        canonical::encode(&Body::Map(Map::from_pairs(pairs)), &mut bytes);
        assert!(Journal::from_bytes(&bytes).is_err());
    }

    /// Golden bytes of format 1, a line for each entry. A change here needs a new format number
    /// and a decision record.
    #[test]
    fn golden_bytes_of_format_1() {
        let golden: Vec<&str> = include_str!("golden/journal_1.hex").lines().collect();
        let hex = |journal: &Journal| -> String {
            journal.to_bytes().iter().map(|b| format!("{b:02x}")).collect()
        };
        assert_eq!(journals().iter().map(hex).collect::<Vec<_>>(), golden);
    }
}
