//! What is kept beside a unit's rows: residues of other layouts, and records of the unit alone.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use postgres::types::Type;
use restow_model::{Body, Digest, Key, Record, Residue, UnitId, canonical};
use restow_store::Keys;

use super::super::super::beside;
use super::super::super::record::UNIT;
use super::super::row::unreferenced;
use super::Reader;
use super::blobs::{self, BlobKey};
use crate::engine::postgres::Fail;

/// Adds what other layouts say about records, in the order of the layouts' names.
pub(super) fn add_residue<L>(
    reader: &mut Reader<'_, '_>,
    loaded: &mut [L],
    unit: impl Fn(&L) -> UnitId,
    record: impl Fn(&mut L) -> Option<&mut Record>,
) -> Result<(), Fail> {
    if loaded.is_empty() || !reader.beside()?.has_residues {
        return Ok(());
    }
    let (mut threads, mut keys, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for (n, loaded) in loaded.iter_mut().enumerate() {
        let unit = unit(loaded);
        if let Some(record) = record(loaded) {
            threads.push(unit.as_str().to_owned());
            keys.push(record.key.as_bytes().to_vec());
            places.push(n);
        }
    }
    let sql = format!(
        "SELECT k.n, r.layout, r.format, r.record, r.bytes \
         FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY k (t, b, n) \
         JOIN {} r ON (r.thread_id, r.key) = (k.t, k.b)",
        reader.place.residue
    );
    let parameters = [(&threads as _, Type::TEXT_ARRAY), (&keys as _, Type::BYTEA_ARRAY)];
    for row in reader.tx.query_typed(&sql, &parameters)? {
        let number: i64 = row.try_get(0)?;
        let at = usize::try_from(number - 1).ok().and_then(|n| places.get(n));
        let Some(record) = at.and_then(|n| record(&mut loaded[*n])) else { continue };
        let residue = residue(&row)?;
        if record.residue.iter().all(|r| r.layout != residue.layout) {
            record.residue.push(residue);
            record.residue.sort_by(|a, b| a.layout.cmp(&b.layout));
        }
    }
    Ok(())
}

fn residue(row: &postgres::Row) -> Result<Residue, Fail> {
    let layout: &str = row.try_get(1)?;
    let format: i16 = row.try_get(2)?;
    let record: &[u8] = row.try_get(3)?;
    let bytes: &[u8] = row.try_get(4)?;
    Ok(Residue {
        layout: layout.into(),
        format: u8::try_from(format).unwrap_or(u8::MAX),
        // A digest cut short is nobody's.
        record: Digest::from_slice(record).unwrap_or_default(),
        bytes: Bytes::copy_from_slice(bytes),
    })
}

/// All units where the parameter is NULL.
const ANY: &str = "($1::text[] IS NULL OR b.thread_id = ANY($1))";

/// A record of a unit alone, or what is wrong with it.
pub(super) type UnitRecord = (Key, Result<Record, String>);

/// The records that belong to units alone: those that are kept beside them, and their blob rows
/// that no checkpoint names.
#[derive(Debug, Default)]
pub(super) struct UnitRecords {
    kept: HashMap<UnitId, Vec<UnitRecord>>,
    unnamed: HashMap<UnitId, Vec<BlobKey>>,
}

impl UnitRecords {
    /// Finds those of some units; blobs are loaded when their unit's turn comes.
    pub(super) fn of(
        reader: &mut Reader<'_, '_>,
        units: &[UnitId],
        keys: &Keys,
    ) -> Result<Self, Fail> {
        let (kind, range) = (Key::of(UNIT).build(), keys.span());
        let is_before = range.to.as_ref().is_some_and(|to| to <= kind.as_bytes());
        if is_before || range.from >= kind.after_prefix() {
            return Ok(Self::default());
        }
        let units: Vec<&str> = units.iter().map(UnitId::as_str).collect();
        Self::find(reader, Some(&units))
    }

    /// Finds those of every unit.
    pub(super) fn all(reader: &mut Reader<'_, '_>) -> Result<Self, Fail> {
        Self::find(reader, None)
    }

    /// Lists the units that have some.
    pub(super) fn units(&self) -> BTreeSet<UnitId> {
        self.kept.keys().chain(self.unnamed.keys()).cloned().collect()
    }

    fn find(reader: &mut Reader<'_, '_>, units: Option<&[&str]>) -> Result<Self, Fail> {
        let mut this = Self::default();
        let kind = Key::of(UNIT).build();
        if reader.shape.has_side {
            let table = &reader.place.unit;
            let sql = format!("SELECT thread_id, key, body, items FROM {table} b WHERE {ANY}");
            for row in reader.tx.query_typed(&sql, &[(&units, Type::TEXT_ARRAY)])? {
                let bytes = |at: usize| row.try_get::<_, &[u8]>(at).map(Bytes::copy_from_slice);
                let (key, body, items) = (bytes(1)?, bytes(2)?, bytes(3)?);
                let key = Key::from_bytes(key).unwrap_or_else(|_| kind.clone());
                let unit = UnitId::new(row.try_get::<_, &str>(0)?);
                let record = kept(key.clone(), &body, &items);
                this.kept.entry(unit).or_default().push((key, record));
            }
        }
        let sql = format!(
            "SELECT thread_id, checkpoint_ns, channel, version FROM {} b \
             WHERE {ANY}{} EXCEPT {}",
            reader.unnamed_blobs(),
            reader.unless_hidden("b"),
            named(&reader.place.checkpoints, "($1::text[] IS NULL OR r.thread_id = ANY($1))")
        );
        for row in reader.tx.query_typed(&sql, &[(&units, Type::TEXT_ARRAY)])? {
            let text = |at: usize| row.try_get::<_, &str>(at);
            let unit = UnitId::new(text(0)?);
            let key = (unit.clone(), text(1)?.into(), text(2)?.into(), text(3)?.into());
            this.unnamed.entry(unit).or_default().push(key);
        }
        Ok(this)
    }

    /// Says whether a unit may have some.
    pub(super) fn has(&self, unit: &UnitId) -> bool {
        self.kept.contains_key(unit) || self.unnamed.contains_key(unit)
    }

    /// Loads and takes those of a unit, by key.
    pub(super) fn take(
        &mut self,
        reader: &mut Reader<'_, '_>,
        unit: &UnitId,
        among: &Keys,
    ) -> Result<Vec<UnitRecord>, Fail> {
        let mut records = self.kept.remove(unit).unwrap_or_default();
        if let Some(keys) = self.unnamed.remove(unit) {
            let table = reader.unnamed_blobs().to_owned();
            blobs::each_stored(reader, &table, &keys, &mut |at, blob| {
                let key = &keys[at];
                let record = unreferenced(&key.1, &key.2, &key.3, &blob);
                records.push((record.key.clone(), Ok(record)));
                Ok(())
            })?;
        }
        records.retain(|(key, _)| among.contains(key));
        add_residue(reader, &mut records, |_| unit.clone(), |l| l.1.as_mut().ok())?;
        records.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
        Ok(records)
    }
}

fn kept(key: Key, body: &Bytes, items: &Bytes) -> Result<Record, String> {
    let body: Body = canonical::decode(body).map_err(|why| why.to_string())?;
    let values = beside::values(items).ok_or("the unit's values are cut short")?;
    Ok(Record { values, ..Record::new(key, body) })
}

/// Writes a query for the threads, namespaces, channels and versions that checkpoints name.
pub(in super::super) fn named(checkpoints: &str, condition: &str) -> String {
    format!(
        "SELECT r.thread_id, r.checkpoint_ns, v.key, v.value \
         FROM {checkpoints} r CROSS JOIN LATERAL jsonb_each_text(\
         CASE jsonb_typeof(r.checkpoint -> 'channel_versions') WHEN 'object' \
         THEN r.checkpoint -> 'channel_versions' ELSE '{{}}' END) v WHERE {condition}"
    )
}
