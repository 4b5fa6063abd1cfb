//! Managed units: what a control record lets be done, and what it is afterwards.
//!
//! One mechanism for every store. Inside the transaction that changes a unit a store asks [`admit`]
//! whether operations may be applied, does them to the records, and asks [`conclude`] what to keep
//! beside these. What is kept of a unit it offers as [`Held`].
//!
//! Invariant: nothing here knows how anything is stored.

use restow_model::{Control, Digest, Generation, HomeState, Malformed, Token, UnitDigest, UnitId};

use crate::{
    Capabilities, Current, Entry, Error, ErrorKind, Guard, Journal, Result, Role, Stamp,
    StoreRecord, Then, Told, UnitOps, UnitOutcome, WithoutControl, entries_between,
};

const OPERATION: &str = "apply";
/// No unit is written to more often: engines count with 63 bits.
const SEQ_MAX: u64 = i64::MAX as u64;

/// What a store keeps of a unit, looked at inside the transaction that changes it.
pub trait Held {
    /// Why looking fails.
    type Error;

    /// Returns the control record.
    fn control(&self) -> Option<&Control>;

    /// Returns the last operation of a unit without control record, where that is kept.
    fn last_op(&self) -> Option<Digest>;

    /// Says what the records are; asked only where there is no control record.
    fn content(&mut self) -> Result<Current, Self::Error>;

    /// Returns the token of the staged copy; asked only where there is no control record.
    fn staged(&mut self) -> Result<Option<Token>, Self::Error>;

    /// Looks into the journal: for an operation, and for the entries behind a seq. Asked only where
    /// there is a control record.
    fn noted(&mut self, op_id: Option<Digest>, after: u64) -> Result<Noted, Self::Error>;
}

/// What was found in a unit's journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// The seq that the operation made.
    pub made: Option<u64>,
    /// How many entries lie behind the seq.
    pub behind: u64,
}

/// What stands beside a unit's records after operations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct After {
    /// The control record, where there is one.
    pub control: Option<Control>,
    /// The journal entry that the operations leave.
    pub entry: Option<Entry>,
}

impl After {
    /// Returns the unit's generation.
    pub fn generation(&self) -> Option<Generation> {
        self.control.as_ref().map(|control| control.generation)
    }
}

/// Refuses what makes no sense, or what no such store can do; nothing has to be looked up for it.
pub fn sensible(ops: &UnitOps, can: &Capabilities) -> Result<()> {
    let refuse = |kind, why: &str| Err(named(Error::new(kind, OPERATION, why), &ops.unit));
    if ops.needs_control() && !can.live {
        return refuse(ErrorKind::Unsupported, "the store keeps no control records");
    }
    let is_staged = matches!(ops.guard, Guard::Staging(_))
        || matches!(ops.then, Then::Stage(_) | Then::Promote(_) | Then::Discard(_));
    if is_staged && !can.staging {
        return refuse(ErrorKind::Unsupported, "the store stages no units");
    }
    match ops.fault() {
        Some(why) => refuse(ErrorKind::Invalid, why),
        None => Ok(()),
    }
}

/// Says what else becomes of operations than being applied, if anything does.
pub fn admit<H: Held>(
    held: &mut H,
    store: Option<&StoreRecord>,
    ops: &UnitOps,
) -> Result<Option<UnitOutcome>, H::Error> {
    if let Err(error) = lets(store, held.control(), ops) {
        return Ok(Some(UnitOutcome::Failed(named(error, &ops.unit))));
    }
    let Some(control) = held.control().cloned() else {
        if ops.op_id.is_some() && held.last_op() == ops.op_id {
            return Ok(Some(UnitOutcome::AlreadyApplied { generation: None }));
        }
        return Ok(unmanaged(held, &ops.guard)?.map(UnitOutcome::Lost));
    };
    let now = control.generation;
    let writes = matches!(ops.then, Then::Bump | Then::Tombstone);
    // The journal tells writes alone.
    let noted = match &ops.guard {
        Guard::LiveAt { since, .. } => held.noted(ops.op_id, *since)?,
        _ if writes && ops.op_id.is_some() => held.noted(ops.op_id, now.seq)?,
        _ => Noted::default(),
    };
    let last = ops.op_id.filter(|id| *id == control.op_id).map(|_| now.seq);
    if let Some(seq) = noted.made.or(last) {
        let generation = Some(Generation { seq, ..now });
        return Ok(Some(UnitOutcome::AlreadyApplied { generation }));
    }
    let is_live = control.state == HomeState::Live;
    let holds = match &ops.guard {
        Guard::Exactly(Stamp::Control(seen)) => **seen == control,
        // Seqs are distinct and none is beyond the unit's own: as many as have to be are all.
        Guard::LiveAt { term, since } => {
            is_live && now.term == *term && since.checked_add(noted.behind) == Some(now.seq)
        }
        _ => false,
    };
    if !holds || (writes && !is_live) {
        return Ok(Some(UnitOutcome::Lost(Current::Managed(Box::new(control)))));
    }
    if writes && now.seq >= SEQ_MAX {
        let why = "the unit was written to as often as can be counted; move it under a new name";
        let error = Error::new(ErrorKind::Refused, OPERATION, why);
        return Ok(Some(UnitOutcome::Failed(named(error, &ops.unit))));
    }
    Ok(None)
}

/// Says what stands in the way of a guard, of a unit without control record.
pub fn unmanaged<H: Held>(held: &mut H, guard: &Guard) -> Result<Option<Current>, H::Error> {
    Ok(match guard {
        Guard::Unmanaged => None,
        Guard::Absent => Some(held.content()?).filter(|found| *found != Current::Absent),
        Guard::Exactly(Stamp::Content(seen)) => {
            let wanted = Current::Unmanaged(Some(*seen));
            Some(held.content()?).filter(|found| *found != wanted)
        }
        Guard::Staging(token) => match held.staged()? {
            Some(staged) if staged == *token => None,
            _ => Some(Current::Absent),
        },
        Guard::Exactly(Stamp::Control(_)) | Guard::LiveAt { .. } => Some(held.content()?),
    })
}

/// Says what stands beside a unit's records once operations were applied to them; `digest` is that
/// of the visible records by then.
pub fn conclude(held: Option<&Control>, ops: &UnitOps, digest: UnitDigest) -> After {
    if let Some(given) = &ops.control {
        let op_id = ops.op_id.unwrap_or(given.op_id);
        let control = Control { op_id, digest, ..(**given).clone() };
        return After { control: Some(control), entry: None };
    }
    let Some(mut control) = held.cloned() else { return After::default() };
    control.digest = digest;
    if !matches!(ops.then, Then::Bump | Then::Tombstone) {
        return After { control: Some(control), entry: None };
    }
    control.generation.seq = control.generation.seq.saturating_add(1);
    control.op_id = ops.op_id.unwrap_or_default();
    control.tombstone = match ops.then {
        Then::Tombstone => true,
        _ => control.tombstone && digest.records == 0,
    };
    let (seq, op_id) = (control.generation.seq, ops.op_id);
    After { control: Some(control), entry: Some(Entry { seq, op_id, keys: Journal::of(ops) }) }
}

/// Says whether what was staged before has to go first: a first control record knows of no copy
/// that was staged without one.
pub fn forgets_staged(held: Option<&Control>, ops: &UnitOps) -> bool {
    held.is_none() && ops.control.is_some()
}

/// Returns what has to hold of the unit itself when a copy that is being staged is promoted; `None`
/// beside a control record, which is compared instead.
pub fn guard_of_staged(ops: &UnitOps) -> Option<&Guard> {
    ops.control.is_none().then_some(&ops.guard)
}

/// Refuses to let a unit go that a migration may still need.
pub fn lets_purge(store: Option<&StoreRecord>, exactly: &Stamp) -> Result<()> {
    let is_retired = store.is_some_and(|held| held.without_control == WithoutControl::Retired);
    let takes_part = store.is_some_and(|held| held.id.is_some());
    if (takes_part || matches!(exactly, Stamp::Control(_))) && !is_retired {
        let why = "a unit of a migration goes only from a retired store; complete it first";
        return Err(Error::new(ErrorKind::Refused, "purge a unit", why));
    }
    Ok(())
}

/// Refuses what an application would do to a retired store.
pub fn not_retired(store: Option<&StoreRecord>, operation: &'static str) -> Result<()> {
    match store {
        Some(held) if held.without_control == WithoutControl::Retired => {
            let why = "the store is retired; use the other store of its migration";
            Err(Error::new(ErrorKind::Retired, operation, why))
        }
        _ => Ok(()),
    }
}

/// Reads the bytes of the register [`crate::RegisterName::store`].
pub fn store_record(bytes: Option<&[u8]>) -> Result<Option<StoreRecord>> {
    let Some(bytes) = bytes else { return Ok(None) };
    let why = "the store's record is of an unknown format";
    let error = || Error::new(ErrorKind::Damaged, "read a store's record", why);
    StoreRecord::from_bytes(bytes).map(Some).ok_or_else(error)
}

/// Says what a store's record is for a role, and whether that is new and has to be written.
pub fn prepared(held: Option<StoreRecord>, role: Role, id: &str) -> (StoreRecord, bool) {
    let without_control = match role {
        Role::CopyTarget | Role::Source => WithoutControl::Legacy,
        Role::Target => WithoutControl::Empty,
    };
    match (held, role) {
        (Some(record), _) if record.id.is_some() => (record, false),
        // What was released from a migration may take part in another one.
        (Some(record), Role::CopyTarget) => (record, false),
        (None, Role::CopyTarget) => (StoreRecord { id: None, without_control }, false),
        (_, _) => (StoreRecord { id: Some(id.into()), without_control }, true),
    }
}

/// Says what the record of a store is once no migration needs it, where that is to be written.
pub fn released(held: Option<&StoreRecord>) -> Result<Option<StoreRecord>> {
    not_retired(held, "release a store")?;
    let takes_part = held.is_some_and(|held| held.id.is_some());
    Ok(takes_part.then_some(StoreRecord { id: None, without_control: WithoutControl::Legacy }))
}

/// Reads the stored bytes of a unit's control record.
pub fn control(bytes: &[u8], unit: &UnitId) -> Result<Control> {
    let read = Control::from_bytes(bytes);
    read.map_err(|why| damaged("the unit's control record cannot be read", &why, unit))
}

/// What stands beside a unit's records, as stored in one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// The control record.
    pub record: Vec<u8>,
    /// The digest of the copy that is staged beside it.
    pub staged: Option<Vec<u8>>,
}

impl Beside {
    /// Returns what to store.
    pub fn of(control: &Control, staged: Option<UnitDigest>) -> Self {
        let staged = control.staged().map(|_| staged.unwrap_or_default().to_bytes().to_vec());
        Self { record: control.to_bytes(), staged }
    }

    /// Reads the control record.
    pub fn control(&self, unit: &UnitId) -> Result<Control> {
        control(&self.record, unit)
    }

    /// Reads the digest of the staged copy.
    pub fn staged(&self) -> Option<UnitDigest> {
        UnitDigest::from_slice(self.staged.as_ref()?)
    }
}

/// A journal entry as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// The seq that the write made.
    pub seq: i64,
    /// The write's operation id.
    pub op_id: Option<Vec<u8>>,
    /// The keys, as [`Journal::to_bytes`] writes them.
    pub keys: Vec<u8>,
}

/// Says what a store tells of a unit's writes behind a seq, from all the entries that it has there.
pub fn told(
    unit: &UnitId,
    control: Option<Control>,
    after: u64,
    stored: Vec<StoredEntry>,
) -> Result<Told> {
    let Some(control) = control else { return Ok(Told { control: None, entries: None }) };
    let read = |entry: StoredEntry| {
        let keys = Journal::from_bytes(&entry.keys)
            .map_err(|why| damaged("a journal entry cannot be read", &why, unit))?;
        let op_id = entry.op_id.as_deref().and_then(Digest::from_slice);
        Ok(Entry { seq: entry.seq as u64, op_id, keys })
    };
    let entries = stored.into_iter().map(read).collect::<Result<Vec<_>>>()?;
    let entries = entries_between(&entries, after, control.generation.seq).map(<[_]>::to_vec);
    Ok(Told { control: Some(control), entries })
}

fn damaged(what: &str, why: &Malformed, unit: &UnitId) -> Error {
    named(Error::new(ErrorKind::Damaged, "read beside a unit", format!("{what}: {why}")), unit)
}

/// Says whether the store as a whole lets operations be applied.
fn lets(store: Option<&StoreRecord>, held: Option<&Control>, ops: &UnitOps) -> Result<()> {
    not_retired(store, OPERATION)?;
    let id = store.and_then(|store| store.id.as_deref());
    let refuse = |why: &str| Err(Error::new(ErrorKind::Refused, OPERATION, why));
    let is_foreign = |control: &Control| Some(&*control.store) != id;
    let is_closed = store.is_some_and(|s| s.without_control == WithoutControl::Closed);
    match &ops.control {
        Some(control) if is_foreign(control) => {
            refuse("the control record is one of another store")
        }
        _ if held.is_some_and(is_foreign) => {
            refuse("the unit's control record was written by another store; is this a copy of it?")
        }
        None if ops.guard == Guard::Unmanaged && id.is_some() => {
            refuse("the store takes part in a migration")
        }
        _ if ops.guard == Guard::Absent && is_closed => {
            let why = "no unit begins here any more; use the other store of the migration";
            Err(Error::new(ErrorKind::Retired, OPERATION, why))
        }
        _ => Ok(()),
    }
}

fn named(error: Error, unit: &UnitId) -> Error {
    error.with("unit", unit.to_string())
}
