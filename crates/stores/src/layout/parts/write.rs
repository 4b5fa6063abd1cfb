//! Applying operations to a unit, inside a transaction that the engine runs.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use restow_model::{Control, Dialect, Key, Record, Token, UnitDigest, UnitId, canonical};
use restow_store::parts::part::Codec;
use restow_store::parts::pointer::Piece;
use restow_store::parts::{Log, Pointer, Torn};
use restow_store::{
    Capabilities, Current, Error, ErrorKind, Expect, Guard, Op, RecordOutcome, Stamp, Then,
    UnitOps, UnitOutcome, Unsupported, managed,
};

use super::beside::{self, Look};
use super::damage::Damage;
use super::edit::PageEditor;
use super::log::{self, PartSink};
use super::page::{Entry, value_names};
use super::rows::{Staging, UnitRow, WriteRows};

/// What an apply is called in errors.
pub(in crate::layout) const OPERATION: &str = "write units";
/// How many bytes one unit may put in one apply.
const APPLY_BYTES_MAX: usize = 32 << 20;
/// How many logs stay open from one apply to the next.
const LOGS_MAX: usize = 4;

/// Logs of units that are being staged or written to, by unit number, each with the version of the
/// row that it belongs to.
#[derive(Clone, Debug, Default)]
pub(in crate::layout) struct Logs(Arc<Mutex<HashMap<i64, (i64, Log)>>>);

impl Logs {
    /// Takes out the log that is as a row says, if it is here.
    fn take(&self, row: &UnitRow) -> Option<Log> {
        let mut logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = logs.remove(&row.unit_no);
        held.filter(|(version, _)| *version == row.version).map(|(_, log)| log)
    }
}

/// Who writes in one transaction.
#[derive(Debug)]
pub(in crate::layout) struct Writer {
    pages: Codec,
    parts: Codec,
    logs: Logs,
    /// Logs that are ahead of what is stored until the transaction is committed.
    ahead: Vec<(i64, (i64, Log))>,
}

impl Writer {
    /// Makes a writer that shares logs with those before it and beside it.
    pub(in crate::layout) fn new(logs: &Logs) -> Result<Self, Torn> {
        let (pages, parts, ahead) = (Codec::new()?, Codec::new()?, Vec::new());
        Ok(Self { pages, parts, logs: logs.clone(), ahead })
    }

    /// Hands its logs on: what they know is stored now.
    pub(in crate::layout) fn committed(&mut self) {
        let mut logs = self.logs.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (unit_no, log) in self.ahead.drain(..) {
            if logs.len() >= LOGS_MAX {
                logs.clear();
            }
            logs.insert(unit_no, log);
        }
    }

    /// Forgets the logs that ran ahead of what is stored.
    pub(in crate::layout) fn rolled_back(&mut self) {
        self.ahead.clear();
    }
}

/// Returns what every store of this layout can do.
pub(in crate::layout) fn capabilities() -> Capabilities {
    Capabilities {
        apply_bytes_max: APPLY_BYTES_MAX,
        keeps_digests: true,
        live: true,
        ..Capabilities::default()
    }
}

/// Says whether a record's key can be held.
pub(in crate::layout) fn check<R: WriteRows>(record: &Record) -> Result<(), Unsupported> {
    match record.key.as_bytes().len() <= R::KEY_BYTES_MAX {
        true => Ok(()),
        false => {
            let why = format!("the key is longer than {} bytes", R::KEY_BYTES_MAX);
            Err(Unsupported { key: record.key.clone(), why })
        }
    }
}

/// Why a unit's operations are not applied.
pub(in crate::layout) enum Stop<E> {
    /// This became of them; what was changed for them has to be taken back.
    Outcome(UnitOutcome),
    /// The unit is damaged, or the engine failed.
    Damage(Damage<E>),
}

impl<E, T: Into<Damage<E>>> From<T> for Stop<E> {
    fn from(damage: T) -> Self {
        Self::Damage(damage.into())
    }
}

impl<E> Stop<E> {
    /// Returns what became of the unit, or the error that ends the batch: the engine's own.
    pub(in crate::layout) fn outcome<F>(
        self,
        unit: &UnitId,
        store: (&'static str, String),
        failed: impl FnOnce(E) -> F,
    ) -> Result<UnitOutcome, F> {
        match self {
            Self::Outcome(outcome) => Ok(outcome),
            Self::Damage(Damage::Engine(error)) => Err(failed(error)),
            Self::Damage(damage) => Ok(UnitOutcome::Failed(damage.error(OPERATION, unit, store))),
        }
    }
}

pub(in crate::layout) fn engine<E>(error: E) -> Stop<E> {
    Stop::Damage(Damage::Engine(error))
}

/// Applies the operations of one unit.
pub(in crate::layout) fn apply<R: WriteRows>(
    rows: &mut R,
    writer: &mut Writer,
    ops: &UnitOps,
) -> Result<UnitOutcome, Stop<R::Error>> {
    within::<R>(ops)?;
    let store = beside::store(rows)?;
    let active = rows.unit(&ops.unit).map_err(engine)?;
    let control = active.as_ref().map_or(Ok(None), UnitRow::control).map_err(refused)?;
    let mut held = Look { rows: &mut *rows, unit: &ops.unit, active: active.as_ref(), control };
    if let Some(outcome) = managed::admit(&mut held, store.as_ref(), ops).map_err(engine)? {
        return Err(Stop::Outcome(outcome));
    }
    let control = held.control;
    if managed::forgets_staged(control.as_ref(), ops)
        && let Some((staged, _)) = rows.staged(&ops.unit).map_err(engine)?
    {
        rows.remove_unit(staged.unit_no).map_err(engine)?;
    }
    let row = match (&ops.guard, &ops.then) {
        (_, Then::Stage(token)) => stage_row(rows, ops, token)?,
        (Guard::Staging(token), _) | (_, Then::Promote(token) | Then::Discard(token)) => {
            staged_row(rows, ops, token)?
        }
        _ => visible(rows, active.clone(), ops)?,
    };
    let is_whole = active.is_none() || matches!(ops.ops.first(), Some(Op::Clear));
    let (row, log, records) = write_records(rows, writer, row, ops)?;
    let (unit_no, version) = (row.unit_no, row.version);
    let after = settle(rows, ops, active, control.as_ref(), row)?;
    // A whole unit in one apply is not written to again soon; one that is staged, or in use, is.
    let ends = match ops.then {
        Then::Keep => is_whole && !matches!(ops.guard, Guard::Staging(_)),
        Then::Promote(_) | Then::Discard(_) => true,
        Then::Stage(_) | Then::Bump | Then::Tombstone => false,
    };
    if !ends {
        writer.ahead.push((unit_no, (version, log)));
    }
    Ok(UnitOutcome::Applied { generation: after.generation(), records })
}

/// Refuses what makes no sense, what is too much and what has no place.
fn within<R: WriteRows>(ops: &UnitOps) -> Result<(), Stop<R::Error>> {
    managed::sensible(ops, &capabilities()).map_err(refused)?;
    let weight: usize = ops.ops.iter().map(weight).sum();
    if weight > APPLY_BYTES_MAX && ops.ops.len() > 1 {
        return Err(Stop::Outcome(UnitOutcome::TooLarge));
    }
    if ops.unit.as_str().len() > R::KEY_BYTES_MAX {
        let message = format!("the unit's name is longer than {} bytes", R::KEY_BYTES_MAX);
        let error = Error::new(ErrorKind::Unsupported, OPERATION, message);
        return Err(refused(error.with("unit", ops.unit.to_string())));
    }
    let mut puts = ops.ops.iter().filter_map(|op| match op {
        Op::Put { record, .. } => Some(record),
        _ => None,
    });
    puts.try_for_each(check::<R>).map_err(|why| Stop::Outcome(UnitOutcome::Unsupported(why)))
}

fn visible<R: WriteRows>(
    rows: &mut R,
    active: Option<UnitRow>,
    ops: &UnitOps,
) -> Result<UnitRow, Stop<R::Error>> {
    match active {
        Some(row) => Ok(row),
        None => rows.insert_unit(&ops.unit, ops.dialect, None).map_err(engine),
    }
}

/// Brings the rows of unit and staged copy to where the operations, which were written to `row`,
/// want them.
fn settle<R: WriteRows>(
    rows: &mut R,
    ops: &UnitOps,
    active: Option<UnitRow>,
    control: Option<&Control>,
    mut row: UnitRow,
) -> Result<managed::After, Stop<R::Error>> {
    let visible_digest = active.as_ref().map_or_else(UnitDigest::default, |row| row.digest);
    let (is_staged, digest) = match (&ops.guard, &ops.then) {
        (_, Then::Promote(_)) => (true, row.digest),
        (Guard::Staging(_), _) | (_, Then::Stage(_) | Then::Discard(_)) => (true, visible_digest),
        _ => (false, row.digest),
    };
    let after = managed::conclude(control, ops, digest);
    let bytes = after.control.as_ref().map(Control::to_bytes);
    match &ops.then {
        Then::Promote(token) => {
            promote(rows, ops, token, active.as_ref(), &row)?;
            row.control = bytes;
            keep_unit(rows, &row)?;
        }
        _ if is_staged => {
            match &ops.then {
                Then::Discard(_) => rows.remove_unit(row.unit_no).map_err(engine)?,
                _ => rows.save_unit(&row).map_err(engine)?,
            }
            if bytes.is_some() {
                let mut unit = visible(rows, active, ops)?;
                unit.control = bytes;
                rows.save_unit(&unit).map_err(engine)?;
            }
        }
        _ => {
            row.control = bytes;
            keep_unit(rows, &row)?;
        }
    }
    if let Some(entry) = &after.entry {
        rows.note(&ops.unit, entry).map_err(engine)?;
    }
    Ok(after)
}

/// Saves a unit's row; without records and control record the unit is not there.
fn keep_unit<R: WriteRows>(rows: &mut R, row: &UnitRow) -> Result<(), Stop<R::Error>> {
    let kept = match row.digest.records == 0 && row.control.is_none() {
        true => rows.remove_unit(row.unit_no),
        false => rows.save_unit(row),
    };
    kept.map_err(engine)
}

fn weight(op: &Op) -> usize {
    match op {
        Op::Put { record, .. } => record.weight(),
        Op::Remove { .. } | Op::Clear => 0,
    }
}

pub(in crate::layout) fn refused<E>(error: Error) -> Stop<E> {
    Stop::Outcome(UnitOutcome::Failed(error))
}

fn lost<E>(current: Current) -> Stop<E> {
    Stop::Outcome(UnitOutcome::Lost(current))
}

fn staged_row<R: WriteRows>(
    rows: &mut R,
    ops: &UnitOps,
    token: &Token,
) -> Result<UnitRow, Stop<R::Error>> {
    let staged = rows.staged(&ops.unit).map_err(engine)?;
    let staged = staged.filter(|(_, staging)| staging.token == token.as_str());
    staged.map(|(row, _)| row).ok_or_else(|| lost(Current::Absent))
}

/// Returns the row of the staged copy of a token; one of another token is discarded.
fn stage_row<R: WriteRows>(
    rows: &mut R,
    ops: &UnitOps,
    token: &Token,
) -> Result<UnitRow, Stop<R::Error>> {
    match rows.staged(&ops.unit).map_err(engine)? {
        Some((row, staging)) if staging.token == token.as_str() => return Ok(row),
        Some((other, _)) => rows.remove_unit(other.unit_no).map_err(engine)?,
        None => {}
    }
    let staging = Staging { token: token.as_str().into(), active: guard_bytes(ops) };
    rows.insert_unit(&ops.unit, ops.dialect, Some(staging)).map_err(engine)
}

/// What a staging has to find again when it is promoted: anything, nothing, or just this.
fn guard_bytes(ops: &UnitOps) -> Vec<u8> {
    match managed::guard_of_staged(ops) {
        Some(Guard::Absent) => vec![1],
        Some(Guard::Exactly(Stamp::Content(digest))) => [&[2][..], &digest.to_bytes()].concat(),
        _ => vec![0],
    }
}

/// Makes a staged copy the unit; the caller saves its row.
fn promote<R: WriteRows>(
    rows: &mut R,
    ops: &UnitOps,
    token: &Token,
    active: Option<&UnitRow>,
    row: &UnitRow,
) -> Result<(), Stop<R::Error>> {
    let staged = rows.staged(&ops.unit).map_err(engine)?;
    let staged = staged.filter(|(_, staging)| staging.token == token.as_str());
    let (_, staging) = staged.ok_or_else(|| lost(Current::Absent))?;
    let found = active.map(|row| row.digest);
    let holds = match staging.active.split_first() {
        Some((1, [])) => found.is_none(),
        Some((2, digest)) => found.is_some_and(|found| found.to_bytes()[..] == *digest),
        _ => true,
    };
    if !holds {
        return Err(lost(beside::current(active)));
    }
    if let Some(old) = active {
        rows.remove_unit(old.unit_no).map_err(engine)?;
    }
    rows.promote(row.unit_no).map_err(engine)
}

/// Writes the operations into the pages and the log of a row; the caller saves the row.
fn write_records<R: WriteRows>(
    rows: &mut R,
    writer: &mut Writer,
    mut row: UnitRow,
    ops: &UnitOps,
) -> Result<(UnitRow, Log, Vec<RecordOutcome>), Stop<R::Error>> {
    let mut log = open_log(rows, writer, &row, ops)?;
    let mut pages = PageEditor::new(&row, &mut writer.pages);
    let (unit_no, codec) = (row.unit_no, &mut writer.parts);
    let mut outcomes = Vec::with_capacity(ops.ops.len());
    let last = matches!(ops.then, Then::Tombstone).then_some(&Op::Clear);
    for op in ops.ops.iter().chain(last) {
        match op {
            Op::Clear => {
                pages.clear();
                rows.clear(unit_no).map_err(engine)?;
                log = Log::new(0);
                row.newest = None;
            }
            Op::Remove { key, expect } => {
                expected(rows, &mut pages, key, *expect)?;
                let removed = pages.remove(rows, key)?;
                outcomes.push(removed.map_or(RecordOutcome::Kept, RecordOutcome::Replaced));
            }
            Op::Put { record, expect } => {
                expected(rows, &mut pages, &record.key, *expect)?;
                let digest = record.digest();
                row.newest = row.newest.max(newest(&record.key));
                let mut sink = PartSink { rows: &mut *rows, unit_no, codec: &mut *codec };
                let entry = entry(record, &mut log, &mut sink)?;
                outcomes.push(match pages.put(rows, entry)? {
                    None => RecordOutcome::Inserted,
                    Some(old) if old == digest => RecordOutcome::Kept,
                    Some(old) => RecordOutcome::Replaced(old),
                });
            }
        }
    }
    pages.finish(rows)?;
    row.digest = pages.digest;
    log.flush(&mut PartSink { rows: &mut *rows, unit_no, codec })?;
    row.next = log.next();
    row.version += 1;
    row.op_id = ops.op_id.or(row.op_id);
    if ops.dialect != Dialect::Any {
        row.dialect = ops.dialect;
    }
    Ok((row, log, outcomes))
}

fn open_log<R: WriteRows>(
    rows: &mut R,
    writer: &mut Writer,
    row: &UnitRow,
    ops: &UnitOps,
) -> Result<Log, Stop<R::Error>> {
    // What is cleared at once, or was never written to, needs no look at what is stored.
    if row.version == 0 || matches!(ops.ops.first(), Some(Op::Clear)) {
        return Ok(Log::new(row.next));
    }
    match writer.logs.take(row) {
        Some(log) => Ok(log),
        None => log::load(rows, row, &mut writer.parts).map_err(engine),
    }
}

fn expected<R: WriteRows>(
    rows: &mut R,
    pages: &mut PageEditor<'_>,
    key: &Key,
    expect: Expect,
) -> Result<(), Stop<R::Error>> {
    let wanted = match expect {
        Expect::Any => return Ok(()),
        Expect::Absent => None,
        Expect::Digest(digest) => Some(digest),
    };
    let found = pages.digest_at(rows, key)?;
    if found == wanted { Ok(()) } else { Err(lost(Current::Record(key.clone(), found))) }
}

/// Turns a record into an entry, its values going to the log.
fn entry<R: WriteRows>(
    record: &Record,
    log: &mut Log,
    sink: &mut PartSink<'_, R>,
) -> Result<Entry, Stop<R::Error>> {
    let mut body = Vec::with_capacity(1024);
    canonical::encode(&record.body, &mut body);
    let names = value_names(&record.body);
    let is_whole = sink.rows.is_kept_whole(record);
    let mut pointers = Vec::with_capacity(names.len());
    let mut place = place(&record.key);
    for name in names {
        let value = record.value(&name).ok_or_else(|| {
            let message = "a record came without a value that its body names";
            let error = Error::new(ErrorKind::Invalid, OPERATION, message);
            Stop::Outcome(UnitOutcome::Failed(error.with("record", record.key.to_string())))
        })?;
        let pointer = match is_whole {
            true => Pointer { depth: 0, pieces: vec![Piece::Literal(value.bytes.to_vec())] },
            false => log.put(value, place, sink)?,
        };
        pointers.push((value.form, pointer.to_bytes()));
        place = place.wrapping_add(1);
    }
    let residue = record.residue.clone();
    Ok(Entry { key: record.key.clone(), body: body.into(), pointers, residue })
}

/// Tells apart values that are not successors of each other: by all of the key but its end.
fn place(key: &Key) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.stem().hash(&mut hasher);
    hasher.finish()
}

/// Returns what orders units in lists across units: a checkpoint's id.
fn newest(key: &Key) -> Option<String> {
    match (key.kind(), key.parts().into_iter().nth(1)) {
        ("checkpoint", Some(restow_model::KeyPart::Text(id))) => Some(id),
        _ => None,
    }
}
