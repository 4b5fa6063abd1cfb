//! Registers: small named values in a store, changed only by compare-and-swap.

use bytes::Bytes;

/// The name of a register: the store's own record, or a migration's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegisterName(pub Box<str>);

impl RegisterName {
    /// The register that holds the [`StoreRecord`].
    pub fn store() -> Self {
        Self("store".into())
    }
}

/// The version of a register's content, in the store's own terms.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Etag(pub Bytes);

/// What became of a compare-and-swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The register holds the new bytes, under this version.
    Swapped(Etag),
    /// The register held something else, or nothing; this is what it holds.
    Lost(Option<(Etag, Bytes)>),
}

/// What a store is prepared for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Receives a copy: the layout's own tables, and no mark of a migration.
    CopyTarget,
    /// The home that an application has now; units without control record live here.
    Source,
    /// The home that it moves to; units without control record are not here.
    Target,
}

/// How to read a unit that has no control record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutControl {
    /// It lives here, as it did before any migration.
    Legacy,
    /// It is not here.
    Empty,
    /// It lives here if it has records, and none begins here any more: the store is to be retired.
    Closed,
    /// Nothing is read or written here any more; what is left can be scanned and purged.
    Retired,
}

/// What a store says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreRecord {
    /// The id that it was given when it was prepared; `None` for the target of a copy.
    pub id: Option<Box<str>>,
    /// How to read a unit without control record.
    pub without_control: WithoutControl,
}

impl StoreRecord {
    /// Returns the record's bytes for the register.
    pub fn to_bytes(&self) -> Bytes {
        let id = self.id.as_deref().unwrap_or("");
        let word = match self.without_control {
            WithoutControl::Legacy => "legacy",
            WithoutControl::Empty => "empty",
            WithoutControl::Closed => "closed",
            WithoutControl::Retired => "retired",
        };
        format!("1 {word} {id}").into()
    }

    /// Takes a register's bytes back; `None` where they are of another format.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?.strip_prefix("1 ")?;
        let (word, id) = text.split_once(' ')?;
        let without_control = match word {
            "legacy" => WithoutControl::Legacy,
            "empty" => WithoutControl::Empty,
            "closed" => WithoutControl::Closed,
            "retired" => WithoutControl::Retired,
            _ => return None,
        };
        Some(Self { id: (!id.is_empty()).then(|| id.into()), without_control })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_s_record_is_stored_whole() {
        use WithoutControl::{Empty, Legacy, Retired};
        for (id, without_control) in [(None, Legacy), (Some("s 1"), Empty), (Some("s"), Retired)] {
            let record = StoreRecord { id: id.map(Into::into), without_control };
            assert_eq!(StoreRecord::from_bytes(&record.to_bytes()), Some(record));
        }
        assert_eq!(StoreRecord::from_bytes(b"2 legacy s"), None);
    }
}
