//! The operations of one unit, with what stands beside its records.

use restow_model::{Control, Generation, UnitDigest};
use restow_store::managed::{self, After, Beside};
use restow_store::{Current, Guard, RecordOutcome, Then, UnitOps};

use super::super::LangGraphPostgres;
use super::super::row::Known;
use super::changes::{Changes, Sum};
use super::held::Look;
use super::state::Staged;
use super::{Not, lost, stage};
use crate::engine::postgres::{Transaction, control, journal};

/// What operations came to.
pub(super) struct Done {
    /// The unit's generation now.
    pub(super) generation: Option<Generation>,
    /// What became of each record.
    pub(super) records: Vec<RecordOutcome>,
    /// What to remember of a staged copy under its token.
    pub(super) known: Option<(String, Known)>,
}

/// Applies the operations of one unit.
pub(super) fn apply(
    tx: &mut Transaction<'_>,
    this: &LangGraphPostgres,
    ops: &UnitOps,
) -> Result<Done, Not> {
    let tables = &*this.tables;
    let unit = &ops.unit;
    let mut look = Look::at(tx, tables, unit)?;
    let store = look.store.clone();
    if let Some(outcome) = managed::admit(&mut look, store.as_ref(), ops)? {
        return Err(Not::Outcome(outcome));
    }
    let Look { control, mut staged, staged_digest, .. } = look;
    if managed::forgets_staged(control.as_ref(), ops)
        && let Some(old) = staged.take()
    {
        stage::discard(tx, tables, unit, &old)?;
    }
    let held = control.as_ref();
    let (staged, digest) = match (&ops.guard, &ops.then) {
        (Guard::Staging(token), _) | (_, Then::Promote(token) | Then::Discard(token)) => {
            let staged = staged.filter(|staged| staged.token == token.as_str());
            (Some(staged.ok_or_else(|| lost(Current::Absent))?), staged_digest)
        }
        (_, Then::Stage(token)) => {
            let is_there = staged.as_ref().is_some_and(|held| held.token == token.as_str());
            let digest = if is_there { staged_digest } else { Some(UnitDigest::default()) };
            (Some(stage::begin(tx, tables, (staged, ops), token)?), digest)
        }
        _ => {
            if staged.is_some_and(|staged| staged.is_direct) {
                stage::separate(tx, tables, unit)?;
            }
            (None, visible(held, ops))
        }
    };
    let is_managed = held.is_some() || ops.control.is_some();
    let known = staged.as_ref().and_then(|staged| this.stagings.take(unit, &staged.token));
    let known = known.unwrap_or_else(Known::partial);
    let digest = if is_managed { digest.map_or(Sum::Unknown, Sum::Known) } else { Sum::Unasked };
    let place = staged.as_ref().map_or(&tables.active, |staged| staged.place(tables));
    let mut changes = Changes::new(tx, (tables, place), unit, known, digest);
    let records = changes.all(&ops.ops)?;
    let generation = match is_managed {
        true => changes.settle(held, staged.as_ref(), ops)?,
        false => {
            changes.end(staged.as_ref(), &ops.then)?;
            None
        }
    };
    let is_open = !matches!(ops.then, Then::Promote(_) | Then::Discard(_));
    let known = staged.filter(|_| is_open).map(|staged| (staged.token, changes.known));
    Ok(Done { generation, records, known })
}

/// Returns the digest of the visible records before the operations, as far as that is known.
fn visible(held: Option<&Control>, ops: &UnitOps) -> Option<UnitDigest> {
    match (held, &ops.guard) {
        (Some(control), _) => Some(control.digest),
        (None, Guard::Absent) => Some(UnitDigest::default()),
        (None, _) => None,
    }
}

impl Changes<'_, '_, '_> {
    /// Brings control record, journal and staged copy to where the operations want them.
    fn settle(
        &mut self,
        held: Option<&Control>,
        staged: Option<&Staged>,
        ops: &UnitOps,
    ) -> Result<Option<Generation>, Not> {
        let copy = match &ops.then {
            Then::Stage(_) => Some(self.digest(self.place)?),
            _ => None,
        };
        let digest = match &ops.then {
            Then::Stage(_) | Then::Discard(_) => match visible(held, ops) {
                Some(digest) => digest,
                None => self.read_digest(&self.tables.active)?,
            },
            Then::Tombstone => UnitDigest::default(),
            Then::Keep | Then::Bump | Then::Promote(_) => self.digest(self.place)?,
        };
        self.end(staged, &ops.then)?;
        let After { control, entry } = managed::conclude(held, ops, digest);
        let Some(control) = control else { return Ok(None) };
        let staged = copy.map(|digest| digest.to_bytes().to_vec());
        let beside = Beside { record: control.to_bytes(), staged };
        control::save(self.tx, &self.tables.control, self.unit, &beside)?;
        if let Some(entry) = &entry {
            journal::push(self.tx, &self.tables.journal, self.unit, entry)?;
        }
        Ok(Some(control.generation))
    }

    /// Ends the staged copy or the unit, where the operations want that.
    fn end(&mut self, staged: Option<&Staged>, then: &Then) -> Result<(), Not> {
        match (then, staged) {
            (Then::Promote(_), Some(staged)) => {
                stage::promote(self.tx, self.tables, self.unit, staged)?;
            }
            (Then::Discard(_), Some(staged)) => {
                stage::discard(self.tx, self.tables, self.unit, staged)?;
            }
            (Then::Tombstone, _) => {
                stage::clear(self.tx, self.tables, &self.tables.active, self.unit)?;
            }
            _ => {}
        }
        Ok(())
    }
}
