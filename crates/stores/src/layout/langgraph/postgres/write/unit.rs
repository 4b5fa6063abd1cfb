//! The operations of one unit, in order, each on what those before it left.

use std::collections::HashSet;

use bytes::Bytes;
use postgres::Transaction;
use postgres::types::Type;
use restow_model::{Key, KeyPart, Record, UnitId};
use restow_store::{Current, Expect, Guard, Op, RecordOutcome, Stamp, Then, UnitOps, UnitOutcome};

use super::super::LangGraphPostgres;
use super::super::read::{Contents, named};
use super::super::row::Known;
use super::super::row::residue::LAYOUT;
use super::super::tables::{Place, Tables};
use super::load::{Load, load};
use super::state::{self, Held};
use super::{Not, OPERATION, PREPARED, stage};
use crate::engine::postgres::Fail;
use crate::layout::langgraph::record::{CHECKPOINT, UNIT, WRITE};

/// What became of each record, and what to remember of a staged copy under its token.
type Done = (Vec<RecordOutcome>, Option<(String, Known)>);

fn lost(current: Current) -> Not {
    Not::Outcome(UnitOutcome::Lost(current))
}

/// Applies the operations of one unit.
pub(super) fn apply(
    tx: &mut Transaction<'_>,
    this: &LangGraphPostgres,
    ops: &UnitOps,
) -> Result<Done, Not> {
    let tables = &*this.tables;
    let unit = &ops.unit;
    let staged = match (&ops.guard, &ops.then) {
        (Guard::Staging(token), _) => {
            let staged = state::staged(tx, tables, unit, PREPARED)?;
            let staged = staged.filter(|staged| staged.token == token.as_str());
            Some(staged.ok_or_else(|| lost(Current::Absent))?)
        }
        (guard, Then::Stage(token)) => {
            check(tx, tables, unit, guard)?;
            Some(stage::begin(tx, tables, unit, token, guard)?)
        }
        (guard, _) => {
            check(tx, tables, unit, guard)?;
            stage::separate(tx, tables, unit)?;
            None
        }
    };
    let place = staged.as_ref().map_or(&tables.active, |staged| staged.place(tables));
    let known = staged.as_ref().and_then(|staged| this.stagings.take(unit, &staged.token));
    let mut changes = Changes {
        tx,
        tables,
        place,
        unit,
        known: known.unwrap_or_else(Known::partial),
        there: HashSet::new(),
        waiting: Vec::new(),
    };
    let records = changes.all(&ops.ops)?;
    let known = changes.known;
    match (&ops.then, staged) {
        (Then::Promote(_), Some(staged)) => stage::promote(tx, tables, unit, &staged)?,
        (Then::Discard(_), Some(staged)) => stage::discard(tx, tables, unit, &staged)?,
        (_, Some(staged)) => return Ok((records, Some((staged.token, known)))),
        (_, None) => {}
    }
    Ok((records, None))
}

fn check(
    tx: &mut Transaction<'_>,
    tables: &Tables,
    unit: &UnitId,
    guard: &Guard,
) -> Result<(), Not> {
    match guard {
        Guard::Unmanaged | Guard::Staging(_) => Ok(()),
        Guard::Absent => match state::exists(tx, tables, unit)? {
            false => Ok(()),
            true => match state::contents(tx, tables, unit)? {
                Contents::Absent => Ok(()),
                Contents::Digest(digest) => Err(lost(Current::Unmanaged(digest))),
            },
        },
        Guard::Exactly(Stamp::Content(seen)) => match state::contents(tx, tables, unit)? {
            Contents::Digest(Some(digest)) if digest == *seen => Ok(()),
            Contents::Digest(digest) => Err(lost(Current::Unmanaged(digest))),
            Contents::Absent => Err(lost(Current::Absent)),
        },
        Guard::Exactly(Stamp::Control(_)) | Guard::LiveAt { .. } => {
            Err(Not::Outcome(UnitOutcome::Failed(super::no_control(OPERATION))))
        }
    }
}

/// Changes to the records of one place.
struct Changes<'a, 'c, 'o> {
    tx: &'a mut Transaction<'c>,
    tables: &'a Tables,
    place: &'a Place,
    unit: &'a UnitId,
    known: Known,
    /// The encoded keys under which something is.
    there: HashSet<Bytes>,
    /// New records that are not loaded yet.
    waiting: Vec<&'o Record>,
}

impl<'o> Changes<'_, '_, 'o> {
    fn all(&mut self, ops: &'o [Op]) -> Result<Vec<RecordOutcome>, Not> {
        let (first, rest) = match ops.split_first() {
            Some((Op::Clear, rest)) => {
                self.clear()?;
                (true, rest)
            }
            _ => (false, ops),
        };
        if !first {
            let keys: Vec<&Key> = rest.iter().filter_map(key_of).collect();
            self.there = state::there(self.tx, (self.tables, self.place), self.unit, &keys)?;
        }
        let mut outcomes = Vec::with_capacity(rest.len());
        for op in rest {
            match op {
                Op::Put { record, expect } => outcomes.push(self.put(record, expect)?),
                Op::Remove { key, expect } => outcomes.push(self.remove(key, expect)?),
                Op::Clear => self.clear()?,
            }
        }
        self.load()?;
        Ok(outcomes)
    }

    fn put(&mut self, record: &'o Record, expect: &Expect) -> Result<RecordOutcome, Not> {
        let key = &record.key;
        if !self.there.contains(key.as_bytes()) {
            if matches!(expect, Expect::Digest(_)) {
                return Err(lost(Current::Record(key.clone(), None)));
            }
            self.there.insert(key.as_bytes().clone());
            self.waiting.push(record);
            return Ok(RecordOutcome::Inserted);
        }
        let held = self.expected(key, expect)?;
        if let Held::Record(held) = &held
            && held.summed() == record.summed()
        {
            return Ok(RecordOutcome::Kept);
        }
        self.take_away(key)?;
        self.there.insert(key.as_bytes().clone());
        self.waiting.push(record);
        Ok(match held {
            Held::Nothing => RecordOutcome::Inserted,
            held => RecordOutcome::Replaced(held.digest().unwrap_or_default()),
        })
    }

    fn remove(&mut self, key: &Key, expect: &Expect) -> Result<RecordOutcome, Not> {
        let held = match self.there.contains(key.as_bytes()) {
            true => self.expected(key, expect)?,
            false if matches!(expect, Expect::Digest(_)) => {
                return Err(lost(Current::Record(key.clone(), None)));
            }
            false => return Ok(RecordOutcome::Kept),
        };
        self.take_away(key)?;
        Ok(match held {
            Held::Nothing => RecordOutcome::Kept,
            held => RecordOutcome::Replaced(held.digest().unwrap_or_default()),
        })
    }

    fn clear(&mut self) -> Result<(), Not> {
        self.waiting.clear();
        self.there.clear();
        stage::clear(self.tx, self.tables, self.place, self.unit)?;
        self.known = Known::complete();
        Ok(())
    }

    fn expected(&mut self, key: &Key, expect: &Expect) -> Result<Held, Not> {
        self.load()?;
        let held = state::held(self.tx, (self.tables, self.place), self.unit, key)?;
        let holds = match (expect, &held) {
            (Expect::Any, _) | (Expect::Absent, Held::Nothing) => true,
            (Expect::Absent, _) => false,
            (Expect::Digest(digest), held) => held.digest() == Some(*digest),
        };
        match holds {
            true => Ok(held),
            false => Err(lost(Current::Record(key.clone(), held.digest()))),
        }
    }

    /// Loads what waits.
    fn load(&mut self) -> Result<(), Not> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let records = std::mem::take(&mut self.waiting);
        let place = (self.tables, self.place);
        state::learn(self.tx, place, self.unit, &records, &mut self.known)?;
        let known = std::mem::replace(&mut self.known, Known::partial());
        let loads = vec![Load { unit: self.unit, records, known }];
        let known = load(self.tx, self.tables, self.place, loads)?;
        self.known = known.into_iter().next().unwrap_or_else(Known::partial);
        Ok(())
    }

    /// Removes what is under a key, and what is kept beside it.
    fn take_away(&mut self, key: &Key) -> Result<(), Not> {
        use KeyPart::{Int, Text};
        self.load()?;
        self.there.remove(key.as_bytes());
        let place = self.place;
        let thread = self.unit.as_str();
        match (key.kind(), key.parts().as_slice()) {
            (CHECKPOINT, [Text(space), Text(id)]) => self.take_checkpoint(space, id)?,
            (WRITE, [Text(space), Text(id), Text(task), Int(index)]) => {
                let index = i32::try_from(*index).unwrap_or(i32::MAX);
                let sql = format!(
                    "DELETE FROM {} WHERE (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) \
                     = ($1, $2, $3, $4, $5)",
                    place.writes
                );
                let parameters = [
                    (&thread as _, Type::TEXT),
                    (space as _, Type::TEXT),
                    (id as _, Type::TEXT),
                    (task as _, Type::TEXT),
                    (&index as _, Type::INT4),
                ];
                self.tx.execute_typed(&sql, &parameters)?;
            }
            (UNIT, _) => {
                let own = format!("DELETE FROM {} WHERE thread_id = $1 AND key = $2", place.unit);
                let bytes = &key.as_bytes()[..];
                let parameters = [(&thread as _, Type::TEXT), (&bytes as _, Type::BYTEA)];
                let kept = self.tx.execute_typed(&own, &parameters)?;
                if kept == 0
                    && let [Text(layout), Text(_), Text(space), Text(channel), Text(version)] =
                        key.parts().as_slice()
                    && layout == LAYOUT
                {
                    self.take_blob(space, channel, version)?;
                }
            }
            _ => {}
        }
        let sql = format!("DELETE FROM {} WHERE thread_id = $1 AND key = $2", place.residue);
        let bytes = &key.as_bytes()[..];
        self.tx.execute_typed(&sql, &[(&thread as _, Type::TEXT), (&bytes as _, Type::BYTEA)])?;
        Ok(())
    }

    /// Removes a checkpoint with the blob rows that no other one names.
    fn take_checkpoint(&mut self, space: &str, id: &str) -> Result<(), Fail> {
        let place = self.place;
        let thread = self.unit.as_str();
        let row = "(r.thread_id, r.checkpoint_ns, r.checkpoint_id)";
        let condition = format!("{row} = ($1, $2, $3)");
        let space_of = "r.thread_id = $1 AND r.checkpoint_ns = $2";
        let rest = format!("{space_of} AND r.checkpoint_id <> $3");
        let mut others = vec![named(&place.checkpoints, &rest)];
        if *place == self.tables.direct {
            others.push(named(&self.tables.active.checkpoints, space_of));
        }
        let parameters =
            [(&thread as _, Type::TEXT), (&space as _, Type::TEXT), (&id as _, Type::TEXT)];
        let sql = format!(
            "DELETE FROM {} b USING ({} EXCEPT {}) n (t, s, c, v) \
             WHERE (b.thread_id, b.checkpoint_ns, b.channel, b.version) = (n.t, n.s, n.c, n.v)",
            place.blobs,
            named(&place.checkpoints, &condition),
            others.join(" EXCEPT ")
        );
        self.tx.execute_typed(&sql, &parameters)?;
        for table in [&place.checkpoints, &place.adjustment] {
            let sql = format!("DELETE FROM {table} r WHERE {condition}");
            self.tx.execute_typed(&sql, &parameters)?;
        }
        // What was known may have gone with it.
        self.known = Known::partial();
        Ok(())
    }

    fn take_blob(&mut self, space: &str, channel: &str, version: &str) -> Result<(), Fail> {
        let table = match *self.place == self.tables.active {
            true => &self.tables.active.blobs,
            false => &self.tables.staged.blobs,
        };
        let sql = format!(
            "DELETE FROM {table} WHERE (thread_id, checkpoint_ns, channel, version) \
             = ($1, $2, $3, $4)"
        );
        let thread = self.unit.as_str();
        let parameters = [
            (&thread as _, Type::TEXT),
            (&space as _, Type::TEXT),
            (&channel as _, Type::TEXT),
            (&version as _, Type::TEXT),
        ];
        self.tx.execute_typed(&sql, &parameters)?;
        self.known = Known::partial();
        Ok(())
    }
}

fn key_of(op: &Op) -> Option<&Key> {
    match op {
        Op::Put { record, .. } => Some(&record.key),
        Op::Remove { key, .. } => Some(key),
        Op::Clear => None,
    }
}
