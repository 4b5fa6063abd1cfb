//! Payloads: each an item of its own, written before what refers to it.
//!
//! What the official saver would put into its item stands there as it is; what is larger is
//! compressed, as the saver can be told to.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use restow_store::Result;

use super::names::{CHUNK, KEYS};
use crate::engine::dynamodb::{ITEM_BYTES_MAX, Item, Table, bytes as blob, bytes_of, text_of};

/// From here on the official saver moves payloads to object storage, where it has any.
const PLAIN_BYTES_MAX: usize = 350 << 10;
/// How large a payload may be in its item.
const ITEM_ROOM: usize = ITEM_BYTES_MAX - (4 << 10);
/// No payload is larger when it is expanded; more is damage.
const EXPANDED_BYTES_MAX: u64 = 1 << 30;
const PAYLOAD: &str = "payload";

/// Where a payload is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Place {
    /// In the table, under a partition of its own.
    Table(String),
    /// An object of a bucket, by its key.
    Object(String),
}

/// A payload as it is to be stored.
pub(super) struct Packed {
    pub(super) place: Place,
    pub(super) bytes: Vec<u8>,
    pub(super) is_compressed: bool,
}

/// Where payloads are kept.
pub(super) struct Vault<'t> {
    table: &'t Table,
}

impl<'t> Vault<'t> {
    pub(super) fn new(table: &'t Table) -> Self {
        Self { table }
    }

    /// Decides how a payload is stored, under one of the two names; says why it cannot be.
    pub(super) fn packed(
        &self,
        payload: Vec<u8>,
        (name, _): (String, String),
    ) -> Result<Packed, String> {
        let place = Place::Table(name);
        if payload.len() <= PLAIN_BYTES_MAX {
            return Ok(Packed { place, bytes: payload, is_compressed: false });
        }
        let small = compressed(&payload).map_err(|error| error.to_string())?;
        if small.len() <= ITEM_ROOM && small.len() < payload.len() {
            return Ok(Packed { place, bytes: small, is_compressed: true });
        }
        if payload.len() <= ITEM_ROOM {
            return Ok(Packed { place, bytes: payload, is_compressed: false });
        }
        Err(format!(
            "its payload of {} bytes, {} compressed, is larger than an item of DynamoDB",
            payload.len(),
            small.len()
        ))
    }

    /// Reads payloads; those that are missing are left out.
    pub(super) fn fetch(&self, places: &[Place]) -> Result<HashMap<Place, Bytes>> {
        let items = items_of(places);
        let mut found = HashMap::new();
        for item in self.table.get_many(&items)? {
            let name = text_of(&item, KEYS.partition).map(str::to_owned);
            if let (Some(name), Some(payload)) = (name, bytes_of(&item, PAYLOAD)) {
                found.insert(Place::Table(name), Bytes::copy_from_slice(payload));
            }
        }
        Ok(found)
    }

    /// Writes payloads, before anything refers to them.
    pub(super) fn store(&self, payloads: Vec<(Place, Vec<u8>)>) -> Result<()> {
        let items = payloads.into_iter().filter_map(|(place, bytes)| {
            let mut item: Item = KEYS.at(&item_place(&place)?);
            item.insert(PAYLOAD.into(), blob(bytes));
            Some(item)
        });
        self.table.put_all(items.collect())
    }

    /// Removes payloads that nothing refers to any more.
    pub(super) fn remove(&self, places: &[Place]) -> Result<()> {
        self.table.delete_all(&items_of(places))
    }
}

/// Lists the items of payloads, each once.
fn items_of(places: &[Place]) -> Vec<crate::engine::dynamodb::Place> {
    let mut items: Vec<_> = places.iter().filter_map(item_place).collect();
    items.sort();
    items.dedup();
    items
}

fn item_place(place: &Place) -> Option<crate::engine::dynamodb::Place> {
    match place {
        Place::Table(name) => Some((name.clone(), CHUNK.to_owned())),
        Place::Object(_) => None,
    }
}

fn compressed(payload: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(payload)?;
    encoder.finish()
}

/// Expands a payload; says what is wrong with it.
pub(super) fn expanded(payload: &[u8]) -> Result<Bytes, String> {
    let mut out = Vec::new();
    let read = GzDecoder::new(payload).take(EXPANDED_BYTES_MAX + 1).read_to_end(&mut out);
    match read {
        Ok(len) if len as u64 <= EXPANDED_BYTES_MAX => Ok(out.into()),
        Ok(_) => Err("its payload expands beyond any limit".into()),
        Err(error) => Err(format!("its payload is no gzip: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_compressed_is_expanded() {
        let payload = vec![7; 500_000];
        let small = compressed(&payload).expect("memory");
        assert_eq!(expanded(&small).expect("gzip"), payload);
        assert!(expanded(&small[..small.len() / 2]).is_err());
        assert!(expanded(b"none").is_err());
    }
}
