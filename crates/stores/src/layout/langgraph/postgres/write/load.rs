//! Loading records: rows are made first, then each table takes its own by one COPY.
//!
//! Checkpoints come last: whatever they name is there before them.

use restow_model::{Record, UnitId};
use restow_store::{Error, ErrorKind};

use super::super::row::residue::LAYOUT;
use super::super::row::{
    self, BlobRow, CheckpointRow, Content, Known, StoredBlob, WriteRow, checkpoint_row, write_row,
};
use super::super::tables::{Place, Tables};
use crate::engine::postgres::copy_in::CopyIn;
use crate::engine::postgres::{Fail, Transaction};
use crate::layout::langgraph::beside;
use crate::layout::langgraph::record::{self, View};

/// New records of a unit, with what is known of its versions.
pub(super) struct Load<'b> {
    pub(super) unit: &'b UnitId,
    pub(super) records: Vec<&'b Record>,
    pub(super) known: Known,
}

/// The rows of a load, by table.
#[derive(Default)]
struct Rows<'b> {
    checkpoints: Vec<(&'b UnitId, &'b str, &'b str, CheckpointRow<'b>)>,
    writes: Vec<(&'b UnitId, WriteRow<'b>)>,
    /// Blob rows that no checkpoint names.
    unnamed: Vec<(&'b UnitId, String, BlobRow)>,
    kept: Vec<(&'b UnitId, &'b Record)>,
    /// Records with residue; whether their own layout's is in the row.
    residue: Vec<(&'b UnitId, &'b Record, bool)>,
}

/// Loads records of which none is there; returns what is known of the units' versions then.
pub(super) fn load<'b>(
    tx: &mut Transaction<'_>,
    tables: &Tables,
    place: &Place,
    loads: Vec<Load<'b>>,
) -> Result<Vec<Known>, Fail> {
    // Views own what a record's key says, and rows borrow it.
    let mut views = Vec::new();
    for load in &loads {
        for record in &load.records {
            let view = record::view(record).map_err(|why| unheld(record, why.why))?;
            views.push((load.unit, *record, view));
        }
    }
    let mut rows = Rows::default();
    let mut knowns: Vec<Known> = Vec::with_capacity(loads.len());
    let mut unit: Option<&UnitId> = None;
    let mut next = loads.into_iter().map(|load| (load.unit, load.known));
    for (of, record, view) in &views {
        while unit != Some(*of) {
            let Some((begun, known)) = next.next() else { break };
            knowns.push(known);
            unit = Some(begun);
        }
        let Some(known) = knowns.last_mut() else { break };
        rows.add(of, record, view, known)?;
    }
    knowns.extend(next.map(|(_, known)| known));
    copy(tx, tables, place, &rows)?;
    Ok(knowns)
}

impl<'b> Rows<'b> {
    fn add(
        &mut self,
        unit: &'b UnitId,
        record: &'b Record,
        view: &'b View<'b>,
        known: &mut Known,
    ) -> Result<(), Fail> {
        let mut is_told = false;
        match view {
            View::Checkpoint(view) => {
                let row = checkpoint_row(view, known).map_err(|why| unheld(record, why))?;
                is_told = row.is_residue_told;
                self.checkpoints.push((unit, &view.namespace, &view.id, row));
            }
            View::Write(view) => {
                let row = write_row(view).map_err(|why| unheld(record, why))?;
                self.writes.push((unit, row));
            }
            View::Unit(record) => match row::unreferenced_row(record) {
                Some((namespace, blob)) if is_free(known, &namespace, &blob) => {
                    let content = StoredBlob::new(&blob.tag, blob.bytes.clone()).content();
                    known.note(&namespace, &blob.channel, &blob.version, content);
                    self.unnamed.push((unit, namespace, blob));
                }
                _ => self.kept.push((unit, record)),
            },
        }
        if record.residue.iter().any(|r| !is_told || &*r.layout != LAYOUT) {
            self.residue.push((unit, record, is_told));
        }
        Ok(())
    }
}

fn is_free(known: &Known, namespace: &str, blob: &BlobRow) -> bool {
    known.get(namespace, &blob.channel, &blob.version) == Some(Content::Free)
}

fn unheld(record: &Record, why: String) -> Error {
    let error = Error::new(ErrorKind::Unsupported, super::OPERATION, why);
    error.with("record", record.key.to_string())
}

fn copy(
    tx: &mut Transaction<'_>,
    tables: &Tables,
    place: &Place,
    rows: &Rows<'_>,
) -> Result<(), Fail> {
    let named = rows.checkpoints.iter().flat_map(|(unit, namespace, _, row)| {
        row.blobs.iter().map(move |blob| (*unit, *namespace, blob))
    });
    blobs(tx, &place.blobs, named)?;
    let unnamed = match *place == tables.active {
        true => &tables.active.blobs,
        false => &tables.staged.blobs,
    };
    blobs(
        tx,
        unnamed,
        rows.unnamed.iter().map(|(unit, namespace, blob)| (*unit, &**namespace, blob)),
    )?;
    writes(tx, &place.writes, &rows.writes)?;
    kept(tx, &place.unit, &rows.kept)?;
    residues(tx, &place.residue, &rows.residue)?;
    adjustments(tx, &place.adjustment, rows)?;
    checkpoints(tx, &place.checkpoints, rows)
}

fn blobs<'r>(
    tx: &mut Transaction<'_>,
    table: &str,
    rows: impl Iterator<Item = (&'r UnitId, &'r str, &'r BlobRow)>,
) -> Result<(), Fail> {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return Ok(());
    }
    let into = format!("{table} (thread_id, checkpoint_ns, channel, version, type, blob)");
    let mut copy = CopyIn::begin(tx, &into)?;
    for (unit, namespace, blob) in rows {
        copy.row(6)?;
        for cell in [unit.as_str(), namespace, &blob.channel, &blob.version, &blob.tag] {
            copy.text(cell)?;
        }
        match &blob.bytes {
            Some(bytes) => copy.bytes(bytes)?,
            None => copy.null()?,
        }
    }
    copy.finish().map(drop)
}

fn writes(
    tx: &mut Transaction<'_>,
    table: &str,
    rows: &[(&UnitId, WriteRow<'_>)],
) -> Result<(), Fail> {
    if rows.is_empty() {
        return Ok(());
    }
    let into = format!(
        "{table} (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, \
         task_path)"
    );
    let mut copy = CopyIn::begin(tx, &into)?;
    for (unit, row) in rows {
        copy.row(9)?;
        for cell in [unit.as_str(), row.namespace, row.checkpoint, row.task] {
            copy.text(cell)?;
        }
        copy.int4(row.index)?;
        copy.text(row.channel)?;
        copy.text_or_null(row.tag)?;
        copy.bytes(&row.bytes)?;
        copy.text(row.path)?;
    }
    copy.finish().map(drop)
}

fn kept(tx: &mut Transaction<'_>, table: &str, rows: &[(&UnitId, &Record)]) -> Result<(), Fail> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut copy = CopyIn::begin(tx, &format!("{table} (thread_id, key, body, items)"))?;
    for (unit, record) in rows {
        let (body, items) = beside::encode(record);
        copy.row(4)?;
        copy.text(unit.as_str())?;
        copy.bytes(record.key.as_bytes())?;
        copy.bytes(&body)?;
        copy.bytes(&items)?;
    }
    copy.finish().map(drop)
}

fn residues(
    tx: &mut Transaction<'_>,
    table: &str,
    rows: &[(&UnitId, &Record, bool)],
) -> Result<(), Fail> {
    if rows.is_empty() {
        return Ok(());
    }
    let into = format!("{table} (thread_id, key, layout, format, record, bytes)");
    let mut copy = CopyIn::begin(tx, &into)?;
    for (unit, record, is_told) in rows {
        for residue in record.residue.iter().filter(|r| !is_told || &*r.layout != LAYOUT) {
            copy.row(6)?;
            copy.text(unit.as_str())?;
            copy.bytes(record.key.as_bytes())?;
            copy.text(&residue.layout)?;
            copy.int2(i16::from(residue.format))?;
            copy.bytes(residue.record.as_bytes())?;
            copy.bytes(&residue.bytes)?;
        }
    }
    copy.finish().map(drop)
}

fn adjustments(tx: &mut Transaction<'_>, table: &str, rows: &Rows<'_>) -> Result<(), Fail> {
    let adjusted = |(unit, namespace, id, row): &'_ (_, _, _, CheckpointRow<'_>)| {
        row.adjustment.as_ref().map(|a| (*unit, *namespace, *id, a.clone()))
    };
    let all: Vec<(&UnitId, &str, &str, row::Adjustment)> =
        rows.checkpoints.iter().filter_map(adjusted).collect();
    if all.is_empty() {
        return Ok(());
    }
    let into = format!("{table} (thread_id, checkpoint_ns, checkpoint_id, row_digest, bytes)");
    let mut copy = CopyIn::begin(tx, &into)?;
    for (unit, namespace, id, adjustment) in all {
        copy.row(5)?;
        for cell in [unit.as_str(), namespace, id] {
            copy.text(cell)?;
        }
        copy.bytes(&adjustment.row_digest)?;
        copy.bytes(&adjustment.bytes)?;
    }
    copy.finish().map(drop)
}

fn checkpoints(tx: &mut Transaction<'_>, table: &str, rows: &Rows<'_>) -> Result<(), Fail> {
    if rows.checkpoints.is_empty() {
        return Ok(());
    }
    let into = format!(
        "{table} (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, \
         checkpoint, metadata)"
    );
    let mut copy = CopyIn::begin(tx, &into)?;
    for (unit, namespace, id, row) in &rows.checkpoints {
        copy.row(7)?;
        for cell in [unit.as_str(), namespace, id] {
            copy.text(cell)?;
        }
        copy.text_or_null(row.parent)?;
        copy.text_or_null(row.tag.as_deref())?;
        copy.jsonb(&row.checkpoint)?;
        copy.jsonb(&row.metadata)?;
    }
    copy.finish().map(drop)
}
