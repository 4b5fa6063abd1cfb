//! Blob rows: each is loaded once for all the checkpoints of a page that name it.

use std::collections::HashMap;

use bytes::Bytes;
use postgres::types::{ToSql, Type};
use restow_model::UnitId;

use super::super::row::{Opened, StoredBlob};
use super::Reader;
use super::keys::RowKey;
use crate::engine::postgres::Fail;
use crate::engine::postgres::pieces::{self, WHOLE_BYTES_MAX};

/// Blobs up to this size are loaded with their page, larger ones at their checkpoint's turn.
const SMALL_BYTES_MAX: usize = 32 << 10;

/// A blob row's key: thread, namespace, channel, version.
pub(in super::super) type BlobKey = (UnitId, Box<str>, Box<str>, Box<str>);

/// What is known of a blob row.
#[derive(Clone, Debug)]
enum Held {
    /// So many bytes, not loaded yet.
    Sized(usize),
    /// Loaded.
    Loaded(StoredBlob),
}

/// The blob rows that a page of checkpoints names.
///
/// Invariant: what is held belongs to the page, or to the last record before it; of large blobs
/// only those are loaded that the records at hand name.
#[derive(Debug, Default)]
pub(super) struct Blobs {
    held: HashMap<BlobKey, Held>,
    last: Vec<BlobKey>,
}

fn keys<'o>(key: &'o RowKey, opened: &'o Opened) -> impl Iterator<Item = BlobKey> + 'o {
    let (unit, namespace) = (key.unit.clone(), &key.namespace);
    opened.blob_keys().map(move |(channel, version)| {
        (unit.clone(), namespace.as_str().into(), channel.into(), version.into())
    })
}

impl Blobs {
    /// Learns of the blob rows that checkpoints name: of large ones the size alone.
    pub(super) fn learn<'o>(
        &mut self,
        reader: &mut Reader<'_, '_>,
        named: impl Iterator<Item = (&'o RowKey, &'o Opened)>,
    ) -> Result<(), Fail> {
        let last = std::mem::take(&mut self.last);
        self.held.retain(|key, _| last.contains(key));
        self.last = last;
        let mut wanted: Vec<BlobKey> = Vec::new();
        for key in named.flat_map(|(key, opened)| keys(key, opened)) {
            if !self.held.contains_key(&key) {
                wanted.push(key);
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        let select = format!(
            "k.n, octet_length(r.blob), r.type, \
             CASE WHEN octet_length(r.blob) <= {SMALL_BYTES_MAX} THEN r.blob END"
        );
        let table = &reader.place.blobs;
        each(reader, table, &wanted, &select, &mut |key, row| {
            let bytes: Option<i32> = row.try_get(1)?;
            let held = match bytes.and_then(|n| usize::try_from(n).ok()) {
                Some(bytes) if bytes > SMALL_BYTES_MAX => Held::Sized(bytes),
                _ => Held::Loaded(stored(row, (2, 3))?),
            };
            self.held.insert(key.clone(), held);
            Ok(())
        })
    }

    /// Returns how many bytes a checkpoint's blobs have.
    pub(super) fn weight(&self, key: &RowKey, opened: &Opened) -> usize {
        let weights = keys(key, opened).map(|key| match self.held.get(&key) {
            Some(Held::Sized(bytes)) => *bytes,
            Some(Held::Loaded(blob)) => blob.bytes().map_or(0, Bytes::len),
            None => 0,
        });
        weights.sum()
    }

    /// Returns how many bytes of a checkpoint's blobs are not loaded yet.
    pub(super) fn lacking(&self, key: &RowKey, opened: &Opened) -> usize {
        let lacking = keys(key, opened).map(|key| match self.held.get(&key) {
            Some(Held::Sized(bytes)) => *bytes,
            _ => 0,
        });
        lacking.sum()
    }

    /// Loads the blob rows that checkpoints name.
    pub(super) fn load<'o>(
        &mut self,
        reader: &mut Reader<'_, '_>,
        named: impl Iterator<Item = (&'o RowKey, &'o Opened)>,
    ) -> Result<(), Fail> {
        let mut wanted: Vec<BlobKey> = Vec::new();
        self.last.clear();
        for (key, opened) in named {
            self.last = keys(key, opened).collect();
            wanted.extend_from_slice(&self.last);
        }
        wanted.sort_unstable();
        wanted.dedup();
        self.forget(&wanted);
        wanted.retain(|key| matches!(self.held.get(key), Some(Held::Sized(_))));
        let table = &reader.place.blobs;
        each_stored(reader, table, &wanted, &mut |key, blob| {
            self.held.insert(key.clone(), Held::Loaded(blob));
            Ok(())
        })
    }

    /// Returns a blob row that was loaded.
    pub(super) fn get(&self, key: &RowKey, channel: &str, version: &str) -> Option<StoredBlob> {
        let unit = key.unit.clone();
        match self.held.get(&(unit, (*key.namespace).into(), channel.into(), version.into()))? {
            Held::Loaded(blob) => Some(blob.clone()),
            Held::Sized(_) => None,
        }
    }

    /// Forgets large blobs, but for what the last checkpoint named: the next one of its unit shares
    /// most of it.
    pub(super) fn keep(&mut self) {
        let last = std::mem::take(&mut self.last);
        self.forget(&last);
        self.last = last;
    }

    /// Forgets every large blob.
    pub(super) fn clear(&mut self) {
        self.forget(&[]);
    }

    fn forget(&mut self, but: &[BlobKey]) {
        for (key, held) in &mut self.held {
            let Held::Loaded(blob) = held else { continue };
            let bytes = blob.bytes().map_or(0, Bytes::len);
            if bytes > SMALL_BYTES_MAX && !but.contains(key) {
                // A later checkpoint of the page may name it again.
                *held = Held::Sized(bytes);
            }
        }
    }
}

/// Calls `visit` with each blob row that is there; large ones are fetched alone and come last.
pub(in super::super) fn each_stored(
    reader: &mut Reader<'_, '_>,
    table: &str,
    keys: &[BlobKey],
    visit: &mut dyn FnMut(&BlobKey, StoredBlob) -> Result<(), Fail>,
) -> Result<(), Fail> {
    let select = format!(
        "k.n, r.type, octet_length(r.blob) > {WHOLE_BYTES_MAX}, \
         CASE WHEN octet_length(r.blob) <= {WHOLE_BYTES_MAX} THEN r.blob END"
    );
    let mut large: Vec<(BlobKey, String)> = Vec::new();
    each(reader, table, keys, &select, &mut |key, row| {
        match row.try_get(2)? {
            Some(true) => large.push((key.clone(), row.try_get(1)?)),
            _ => visit(key, stored(row, (1, 3))?)?,
        }
        Ok(())
    })?;
    for (key, tag) in large {
        let bytes = whole(reader, table, &key)?;
        visit(&key, StoredBlob::new(&tag, bytes))?;
    }
    Ok(())
}

fn whole(
    reader: &mut Reader<'_, '_>,
    table: &str,
    (unit, namespace, channel, version): &BlobKey,
) -> Result<Option<Bytes>, Fail> {
    let from =
        format!("{table} WHERE (thread_id, checkpoint_ns, channel, version) = ($1, $2, $3, $4)");
    let thread = unit.as_str();
    let parameters = [
        (&thread as &(dyn ToSql + Sync), Type::TEXT),
        (&&**namespace as _, Type::TEXT),
        (&&**channel as _, Type::TEXT),
        (&&**version as _, Type::TEXT),
    ];
    pieces::fetch(reader.tx, ("blob", &from), &parameters)
}

/// Reads a blob row's tag and bytes from their columns.
fn stored(row: &postgres::Row, (tag, bytes): (usize, usize)) -> Result<StoredBlob, Fail> {
    let bytes: Option<&[u8]> = row.try_get(bytes)?;
    Ok(StoredBlob::new(row.try_get(tag)?, bytes.map(Bytes::copy_from_slice)))
}

/// Calls `visit` for each blob row that is there.
fn each(
    reader: &mut Reader<'_, '_>,
    table: &str,
    keys: &[BlobKey],
    select: &str,
    visit: &mut dyn FnMut(&BlobKey, &postgres::Row) -> Result<(), Fail>,
) -> Result<(), Fail> {
    if keys.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "SELECT {select} FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) \
         WITH ORDINALITY k (t, s, c, v, n) JOIN {table} r \
         ON (r.thread_id, r.checkpoint_ns, r.channel, r.version) = (k.t, k.s, k.c, k.v)"
    );
    let threads: Vec<&str> = keys.iter().map(|k| k.0.as_str()).collect();
    let namespaces: Vec<&str> = keys.iter().map(|k| &*k.1).collect();
    let channels: Vec<&str> = keys.iter().map(|k| &*k.2).collect();
    let versions: Vec<&str> = keys.iter().map(|k| &*k.3).collect();
    let parameters = [
        (&threads as _, Type::TEXT_ARRAY),
        (&namespaces as _, Type::TEXT_ARRAY),
        (&channels as _, Type::TEXT_ARRAY),
        (&versions as _, Type::TEXT_ARRAY),
    ];
    for row in reader.tx.query_typed(&sql, &parameters)? {
        let number: i64 = row.try_get(0)?;
        if let Some(key) = usize::try_from(number - 1).ok().and_then(|n| keys.get(n)) {
            visit(key, &row)?;
        }
    }
    Ok(())
}
