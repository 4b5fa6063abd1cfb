//! Blob rows: each is loaded once for all the checkpoints of a page that name it.

use std::collections::HashMap;

use bytes::Bytes;
use postgres::fallible_iterator::FallibleIterator;
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
    /// There is none.
    Absent,
    /// So many bytes, not loaded yet.
    Sized(usize),
    /// Loaded.
    Loaded(StoredBlob),
}

impl Held {
    /// Returns how many bytes it has, or holds where they are loaded.
    fn bytes(&self) -> usize {
        match self {
            Self::Absent => 0,
            Self::Sized(bytes) => *bytes,
            Self::Loaded(blob) => blob.bytes().map_or(0, Bytes::len),
        }
    }
}

/// The number of a blob row among those of a page.
pub(super) type BlobNumber = usize;

/// The numbers of a namespace's blob rows, by channel and version.
type Numbers = HashMap<Box<str>, HashMap<Box<str>, BlobNumber>>;

/// The blob rows that a page of checkpoints names.
///
/// Invariant: what is held belongs to the page, or to the last record before it; of large blobs
/// only those are loaded that the records at hand name.
#[derive(Debug, Default)]
pub(super) struct Blobs {
    /// By unit and namespace.
    numbers: HashMap<(UnitId, Box<str>), Numbers>,
    held: Vec<(BlobKey, Held)>,
    last: Vec<BlobNumber>,
}

impl Blobs {
    /// Learns of the blob rows that checkpoints name: of large ones the size alone. Returns the
    /// numbers of each checkpoint's, in the order of [`Opened::blob_keys`].
    pub(super) fn learn(
        &mut self,
        reader: &mut Reader<'_, '_>,
        named: &[(&RowKey, Option<&Opened>)],
    ) -> Result<Vec<Vec<BlobNumber>>, Fail> {
        self.begin();
        let known = self.held.len();
        let numbers = named
            .iter()
            .map(|(key, opened)| opened.map_or_else(Vec::new, |opened| self.number(key, opened)))
            .collect();
        let wanted: Vec<&BlobKey> = self.held[known..].iter().map(|(key, _)| key).collect();
        let whole_max = if reader.is_checking { WHOLE_BYTES_MAX } else { SMALL_BYTES_MAX };
        let select = format!(
            "k.n, octet_length(r.blob), r.type, \
             CASE WHEN octet_length(r.blob) <= {whole_max} THEN r.blob END"
        );
        let table = &reader.place.blobs;
        let is_checking = reader.is_checking;
        let mut found = vec![Held::Absent; wanted.len()];
        each(reader, table, &wanted, &select, &mut |at, row| {
            let bytes: Option<i32> = row.try_get(1)?;
            let bytes = bytes.and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
            found[at] = match bytes > whole_max {
                true => Held::Sized(bytes),
                false if is_checking => checked(row, (2, 3))?,
                false => Held::Loaded(stored(row, (2, 3))?),
            };
            Ok(())
        })?;
        for ((_, held), found) in self.held[known..].iter_mut().zip(found) {
            *held = found;
        }
        Ok(numbers)
    }

    /// Forgets all but the blobs of the last record.
    fn begin(&mut self) {
        self.numbers.clear();
        let held = std::mem::take(&mut self.held);
        let last = std::mem::take(&mut self.last);
        for (number, (key, held)) in held.into_iter().enumerate() {
            if last.contains(&number) {
                let (unit, namespace, channel, version) = key.clone();
                let channels = self.numbers.entry((unit, namespace)).or_default();
                channels.entry(channel).or_default().insert(version, self.held.len());
                self.last.push(self.held.len());
                self.held.push((key, held));
            }
        }
    }

    /// Gives each blob row that a checkpoint names its number.
    fn number(&mut self, key: &RowKey, opened: &Opened) -> Vec<BlobNumber> {
        let Self { numbers, held, .. } = self;
        let channels = numbers.entry((key.unit.clone(), (*key.namespace).into())).or_default();
        let number = |(channel, version): (&str, &str)| {
            if let Some(number) = channels.get(channel).and_then(|of| of.get(version)) {
                return *number;
            }
            let namespace: Box<str> = (*key.namespace).into();
            let of = channels.entry(channel.into()).or_default();
            of.insert(version.into(), held.len());
            held.push((
                (key.unit.clone(), namespace, channel.into(), version.into()),
                Held::Absent,
            ));
            held.len() - 1
        };
        opened.blob_keys().map(number).collect()
    }

    /// Returns how many bytes blobs have.
    pub(super) fn weight(&self, numbers: &[BlobNumber]) -> usize {
        numbers.iter().map(|number| self.held[*number].1.bytes()).sum()
    }

    /// Returns how many bytes of blobs are not loaded yet.
    pub(super) fn lacking(&self, numbers: &[BlobNumber]) -> usize {
        let lacking = numbers.iter().map(|number| match &self.held[*number].1 {
            Held::Sized(bytes) => *bytes,
            _ => 0,
        });
        lacking.sum()
    }

    /// Loads the blob rows of checkpoints.
    pub(super) fn load<'o>(
        &mut self,
        reader: &mut Reader<'_, '_>,
        named: impl Iterator<Item = &'o [BlobNumber]>,
    ) -> Result<(), Fail> {
        let mut wanted: Vec<BlobNumber> = Vec::new();
        for numbers in named {
            self.last = numbers.to_vec();
            wanted.extend_from_slice(numbers);
        }
        wanted.sort_unstable();
        wanted.dedup();
        self.forget(&wanted);
        wanted.retain(|number| matches!(self.held[*number].1, Held::Sized(_)));
        let keys: Vec<BlobKey> = wanted.iter().map(|number| self.held[*number].0.clone()).collect();
        let table = &reader.place.blobs;
        each_stored(reader, table, &keys, &mut |at, blob| {
            self.held[wanted[at]].1 = Held::Loaded(blob);
            Ok(())
        })
    }

    /// Returns a blob row that was loaded.
    pub(super) fn get(&self, number: BlobNumber) -> Option<StoredBlob> {
        match &self.held.get(number)?.1 {
            Held::Loaded(blob) => Some(blob.clone()),
            Held::Sized(_) | Held::Absent => None,
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

    fn forget(&mut self, but: &[BlobNumber]) {
        for (number, (_, held)) in self.held.iter_mut().enumerate() {
            let bytes = held.bytes();
            if bytes > SMALL_BYTES_MAX && !but.contains(&number) {
                // A later checkpoint of the page may name it again.
                *held = Held::Sized(bytes);
            }
        }
    }
}

/// Calls `visit` with the place of each key whose blob row is there, and the row; large ones are
/// fetched alone and come last.
pub(in super::super) fn each_stored(
    reader: &mut Reader<'_, '_>,
    table: &str,
    keys: &[BlobKey],
    visit: &mut dyn FnMut(usize, StoredBlob) -> Result<(), Fail>,
) -> Result<(), Fail> {
    let select = format!(
        "k.n, r.type, octet_length(r.blob) > {WHOLE_BYTES_MAX}, \
         CASE WHEN octet_length(r.blob) <= {WHOLE_BYTES_MAX} THEN r.blob END"
    );
    let mut large: Vec<(usize, String)> = Vec::new();
    each(reader, table, &keys.iter().collect::<Vec<_>>(), &select, &mut |at, row| {
        match row.try_get(2)? {
            Some(true) => large.push((at, row.try_get(1)?)),
            _ => visit(at, stored(row, (1, 3))?)?,
        }
        Ok(())
    })?;
    for (at, tag) in large {
        let bytes = whole(reader, table, &keys[at])?;
        visit(at, StoredBlob::new(&tag, bytes))?;
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

/// Reads a blob row of which only what it says is wanted; large ones that have to be held for that
/// wait for their checkpoint's turn.
fn checked(row: &postgres::Row, (tag, bytes): (usize, usize)) -> Result<Held, Fail> {
    let (tag, bytes): (&str, Option<&[u8]>) = (row.try_get(tag)?, row.try_get(bytes)?);
    let light = bytes.and_then(|bytes| StoredBlob::without_bytes(tag, bytes));
    Ok(match (light, bytes) {
        (Some(blob), _) => Held::Loaded(blob),
        (None, Some(bytes)) if bytes.len() > SMALL_BYTES_MAX => Held::Sized(bytes.len()),
        (None, bytes) => Held::Loaded(StoredBlob::new(tag, bytes.map(Bytes::copy_from_slice))),
    })
}

/// Calls `visit` with the place of each key whose blob row is there.
fn each(
    reader: &mut Reader<'_, '_>,
    table: &str,
    keys: &[&BlobKey],
    select: &str,
    visit: &mut dyn FnMut(usize, &postgres::Row) -> Result<(), Fail>,
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
    let parameters: [(&(dyn ToSql + Sync), Type); 4] = [
        (&threads, Type::TEXT_ARRAY),
        (&namespaces, Type::TEXT_ARRAY),
        (&channels, Type::TEXT_ARRAY),
        (&versions, Type::TEXT_ARRAY),
    ];
    let mut rows = reader.tx.query_typed_raw(&sql, parameters)?;
    while let Some(row) = rows.next()? {
        let number: i64 = row.try_get(0)?;
        if let Some(at) = usize::try_from(number - 1).ok().filter(|at| *at < keys.len()) {
            visit(at, &row)?;
        }
    }
    Ok(())
}
