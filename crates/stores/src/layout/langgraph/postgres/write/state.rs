//! What is there: units, their staged copies, their records and blob rows.

use std::collections::HashSet;

use bytes::Bytes;
use postgres::types::Type;
use restow_model::{Key, KeyPart, Record, UnitId};
use restow_store::{Guard, KeyRange, Op, RegisterName, Selection, UnitOps};

use super::super::read::{self, Contents, Found, Reader, Visitor};
use super::super::row::{self, Known};
use super::super::shape::Shape;
use super::super::tables::{Place, Tables};
use super::PREPARED;
use super::load::Load;
use crate::engine::postgres::{Fail, Transaction};
use crate::layout::langgraph::record::{self, CHECKPOINT, View, WRITE};

/// A staged copy of a unit.
#[derive(Clone, Debug)]
pub(in super::super) struct Staged {
    /// The token under which it may be touched.
    pub(in super::super) token: String,
    /// What the unit itself has to be when the copy is promoted.
    pub(super) guard: Vec<u8>,
    /// Whether its blob rows are where they stay.
    pub(super) is_direct: bool,
}

impl Staged {
    /// Returns the tables that hold the copy.
    pub(in super::super) fn place<'t>(&self, tables: &'t Tables) -> &'t Place {
        if self.is_direct { &tables.direct } else { &tables.staged }
    }
}

/// Returns a unit's staged copy, where there is one.
pub(in super::super) fn staged(
    tx: &mut Transaction<'_>,
    tables: &Tables,
    unit: &UnitId,
    shape: Shape,
) -> Result<Option<Staged>, Fail> {
    if !shape.has_side {
        return Ok(None);
    }
    let sql = format!("SELECT token, guard, direct FROM {} WHERE thread_id = $1", tables.stage);
    let row = tx.query_typed_opt(&sql, &[(&unit.as_str(), Type::TEXT)])?;
    let read = |row: postgres::Row| {
        Ok(Staged { token: row.try_get(0)?, guard: row.try_get(1)?, is_direct: row.try_get(2)? })
    };
    row.map(read).transpose()
}

/// Says whether a unit itself is there.
pub(super) fn exists(
    tx: &mut Transaction<'_>,
    tables: &Tables,
    unit: &UnitId,
) -> Result<bool, Fail> {
    let mut reader = Reader::new(tx, tables, &tables.active, PREPARED);
    Ok(!reader.existing(std::slice::from_ref(unit))?.is_empty())
}

/// Digests what a unit holds in a place.
pub(super) fn contents(
    tx: &mut Transaction<'_>,
    (tables, place): (&Tables, &Place),
    unit: &UnitId,
) -> Result<Contents, Fail> {
    read::contents(&mut Reader::new(tx, tables, place, PREPARED), unit)
}

/// Returns what to load, where the operations are nothing but new records of new units.
pub(super) fn only_new<'b>(units: &[&'b UnitOps]) -> Option<Vec<Load<'b>>> {
    let load = |ops: &&'b UnitOps| {
        let records = only_puts(ops)?;
        Some(Load { unit: &ops.unit, records, known: Known::complete() })
    };
    units.iter().map(load).collect()
}

/// Says whether of some units any is there, or staged.
pub(super) fn is_any_there(
    tx: &mut Transaction<'_>,
    tables: &Tables,
    units: &[&UnitOps],
) -> Result<bool, Fail> {
    let names: Vec<UnitId> = units.iter().map(|ops| ops.unit.clone()).collect();
    let mut reader = Reader::new(tx, tables, &tables.active, PREPARED);
    Ok(!reader.existing(&names)?.is_empty() || !is_plain(tx, tables, &names)?)
}

fn only_puts(ops: &UnitOps) -> Option<Vec<&Record>> {
    let is_open = matches!(ops.guard, Guard::Unmanaged | Guard::Absent) && ops.control.is_none();
    let mut keys = HashSet::new();
    let mut records = Vec::with_capacity(ops.ops.len());
    for op in ops.ops.iter() {
        match op {
            Op::Put { record, expect: restow_store::Expect::Any } if keys.insert(&record.key) => {
                records.push(record);
            }
            _ => return None,
        }
    }
    is_open.then_some(records)
}

/// Says whether none of the units is being staged, in a store that takes part in no migration.
fn is_plain(tx: &mut Transaction<'_>, tables: &Tables, units: &[UnitId]) -> Result<bool, Fail> {
    let names: Vec<&str> = units.iter().map(UnitId::as_str).collect();
    let sql = format!(
        "SELECT NOT EXISTS (SELECT FROM {} WHERE thread_id = ANY($1)) \
         AND NOT EXISTS (SELECT FROM {} WHERE name = $2)",
        tables.stage, tables.register
    );
    let name = RegisterName::store();
    let parameters = [(&names as _, Type::TEXT_ARRAY), (&&*name.0 as _, Type::TEXT)];
    Ok(tx.query_typed_one(&sql, &parameters)?.try_get(0)?)
}

/// What is there under a key.
#[derive(Debug)]
pub(super) enum Held {
    /// Nothing.
    Nothing,
    /// A record.
    Record(Box<Record>),
    /// A row that is no record.
    Damaged,
}

impl Held {
    /// Returns the digest of the record, where there is one.
    pub(super) fn digest(&self) -> Option<restow_model::Digest> {
        match self {
            Self::Record(record) => Some(record.digest()),
            _ => None,
        }
    }
}

/// Reads what is there under a key.
pub(super) fn held(
    tx: &mut Transaction<'_>,
    (tables, place): (&Tables, &Place),
    unit: &UnitId,
    key: &Key,
) -> Result<Held, Fail> {
    let keys = KeyRange::one(key).into();
    let what = Selection { keys, ..Selection::all() };
    let mut one = One(Held::Nothing);
    let units = std::slice::from_ref(unit);
    Reader::new(tx, tables, place, PREPARED).walk(units, &what, &mut one)?;
    Ok(one.0)
}

struct One(Held);

impl Visitor for One {
    fn found(&mut self, _: &UnitId, found: Found) -> Result<(), Fail> {
        self.0 = match found {
            Found::Record(record) => Held::Record(Box::new(record)),
            Found::Damaged(..) => Held::Damaged,
        };
        Ok(())
    }
}

/// Says whether checkpoints read their sends from the writes of one of these, so that they change
/// with them.
pub(super) fn lend_sends(
    tx: &mut Transaction<'_>,
    place: &Place,
    unit: &UnitId,
    parents: &[&str],
) -> Result<bool, Fail> {
    let sql = format!(
        "SELECT EXISTS (SELECT FROM {} r WHERE r.thread_id = $1 \
         AND r.parent_checkpoint_id = ANY($2) AND CASE jsonb_typeof(r.checkpoint -> 'v') \
         WHEN 'number' THEN (r.checkpoint ->> 'v')::numeric < 4 ELSE false END)",
        place.checkpoints
    );
    let thread = unit.as_str();
    let parameters = [(&thread as _, Type::TEXT), (&parents as _, Type::TEXT_ARRAY)];
    Ok(tx.query_typed_one(&sql, &parameters)?.try_get(0)?)
}

/// Says which of some records of a unit are there, by their encoded keys.
pub(super) fn there(
    tx: &mut Transaction<'_>,
    (tables, place): (&Tables, &Place),
    unit: &UnitId,
    keys: &[&Key],
) -> Result<HashSet<Bytes>, Fail> {
    let mut found = HashSet::new();
    let (mut spaces, mut ids, mut places) = (Vec::new(), Vec::new(), Vec::new());
    let (mut task_spaces, mut task_ids, mut tasks, mut indexes, mut write_places) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for key in keys {
        match (key.kind(), key.parts().as_slice()) {
            (CHECKPOINT, [KeyPart::Text(space), KeyPart::Text(id)]) => {
                spaces.push(space.clone());
                ids.push(id.clone());
                places.push(*key);
            }
            (
                WRITE,
                [KeyPart::Text(space), KeyPart::Text(id), KeyPart::Text(task), KeyPart::Int(n)],
            ) => {
                task_spaces.push(space.clone());
                task_ids.push(id.clone());
                tasks.push(task.clone());
                indexes.push(i32::try_from(*n).unwrap_or(i32::MAX));
                write_places.push(*key);
            }
            // Records of the unit alone are few.
            _ => {
                if !matches!(held(tx, (tables, place), unit, key)?, Held::Nothing) {
                    found.insert(key.as_bytes().clone());
                }
            }
        }
    }
    let mut note = |rows: Vec<postgres::Row>, places: &[&Key]| -> Result<(), Fail> {
        for row in rows {
            let number: i64 = row.try_get(0)?;
            let at = usize::try_from(number - 1).ok().and_then(|n| places.get(n));
            found.extend(at.map(|key| key.as_bytes().clone()));
        }
        Ok(())
    };
    let thread = unit.as_str();
    if !places.is_empty() {
        let sql = format!(
            "SELECT k.n FROM unnest($2::text[], $3::text[]) WITH ORDINALITY k (s, c, n) \
             JOIN {} r ON (r.thread_id, r.checkpoint_ns, r.checkpoint_id) = ($1, k.s, k.c)",
            place.checkpoints
        );
        let parameters = [
            (&thread as _, Type::TEXT),
            (&spaces as _, Type::TEXT_ARRAY),
            (&ids as _, Type::TEXT_ARRAY),
        ];
        note(tx.query_typed(&sql, &parameters)?, &places)?;
    }
    if !write_places.is_empty() {
        let sql = format!(
            "SELECT k.n FROM unnest($2::text[], $3::text[], $4::text[], $5::int4[]) \
             WITH ORDINALITY k (s, c, t, i, n) JOIN {} r ON (r.thread_id, r.checkpoint_ns, \
             r.checkpoint_id, r.task_id, r.idx) = ($1, k.s, k.c, k.t, k.i)",
            place.writes
        );
        let parameters = [
            (&thread as _, Type::TEXT),
            (&task_spaces as _, Type::TEXT_ARRAY),
            (&task_ids as _, Type::TEXT_ARRAY),
            (&tasks as _, Type::TEXT_ARRAY),
            (&indexes as _, Type::INT4_ARRAY),
        ];
        note(tx.query_typed(&sql, &parameters)?, &write_places)?;
    }
    Ok(found)
}

/// Learns what the database holds of the versions that records name and nobody knows of yet; says
/// whether some of it are blob rows that no checkpoint named so far.
pub(super) fn learn(
    tx: &mut Transaction<'_>,
    (tables, place): (&Tables, &Place),
    unit: &UnitId,
    records: &[&Record],
    known: &mut Known,
) -> Result<bool, Fail> {
    let mut meets_unnamed = false;
    // A version that is taken may lead to another that has to be looked up.
    loop {
        let mut wanted: Vec<(String, String, String)> = Vec::new();
        for record in records {
            match record::view(record) {
                Ok(View::Checkpoint(view)) => {
                    let unknown = known.unknown(&view).into_iter();
                    wanted.extend(unknown.map(|(c, v)| (view.namespace.clone(), c, v)));
                }
                Ok(View::Unit(record)) => {
                    if let Some((space, blob)) = row::unreferenced_row(record)
                        && known.get(&space, &blob.channel, &blob.version).is_none()
                    {
                        wanted.push((space, blob.channel.into(), blob.version.into()));
                    }
                }
                _ => {}
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            return Ok(meets_unnamed);
        }
        meets_unnamed |= look_up(tx, (tables, place), unit, &wanted, known)?;
    }
}

/// Notes what the database holds under versions; says whether some of it are blob rows that no
/// checkpoint named so far.
fn look_up(
    tx: &mut Transaction<'_>,
    (tables, place): (&Tables, &Place),
    unit: &UnitId,
    wanted: &[(String, String, String)],
    known: &mut Known,
) -> Result<bool, Fail> {
    for (space, channel, version) in wanted {
        known.note(space, channel, version, row::Content::Free);
    }
    let spaces: Vec<&str> = wanted.iter().map(|w| &*w.0).collect();
    let channels: Vec<&str> = wanted.iter().map(|w| &*w.1).collect();
    let versions: Vec<&str> = wanted.iter().map(|w| &*w.2).collect();
    let thread = unit.as_str();
    let parameters = [
        (&thread as _, Type::TEXT),
        (&spaces as _, Type::TEXT_ARRAY),
        (&channels as _, Type::TEXT_ARRAY),
        (&versions as _, Type::TEXT_ARRAY),
    ];
    let keys = "unnest($2::text[], $3::text[], $4::text[]) k (s, c, v)";
    let sql = format!(
        "SELECT s, key, value FROM ({}) n (t, s, key, value) INTERSECT SELECT * FROM {keys}",
        read::named(&place.checkpoints, "r.thread_id = $1")
    );
    for row in tx.query_typed(&sql, &parameters)? {
        let content = row::Content::NoBlob;
        known.note(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, content);
    }
    let mut meets_unnamed = false;
    let keys: Vec<read::BlobKey> = wanted
        .iter()
        .map(|(s, c, v)| (unit.clone(), (**s).into(), (**c).into(), (**v).into()))
        .collect();
    let mut reader = Reader::new(tx, tables, place, PREPARED);
    read::each_stored(&mut reader, &place.blobs, &keys, &mut |at, blob| {
        let key = &keys[at];
        let was = known.get(&key.1, &key.2, &key.3);
        meets_unnamed |= was != Some(row::Content::NoBlob);
        known.note(&key.1, &key.2, &key.3, blob.content());
        Ok(())
    })?;
    Ok(meets_unnamed)
}
