//! The commit: what a writer gathered becomes visible by one transaction, or not at all.
//!
//! Payloads are written before, under names that are never given twice. A record goes straight to
//! where the official saver looks for it, unless the unit is replaced or emptied: then the head
//! names a space, and what is in it is put in place afterwards ([`super::settle`]).

use std::collections::{BTreeMap, BTreeSet};

use restow_model::Key;
use restow_store::failpoint::{self, Point};
use restow_store::{Error, ErrorKind, Result};

use super::item::{self, Built};
use super::names;
use super::settle;
use super::unit::{self, is_settled};
use super::vault::{Place as Stored, Vault};
use super::work::{Change, Work};
use crate::engine::dynamodb::{
    Check, TRANSACTION_BYTES_MAX, TRANSACTION_ITEMS_MAX, Transacted, Write,
};
use crate::layout::dynamodb::head::{ETAG, Head};
use crate::layout::dynamodb::single::record_of;
use crate::layout::dynamodb::{Committed, journal, registers};
use crate::layout::langgraph::record::{CHECKPOINT, WRITE};

/// What a commit is made of.
#[derive(Default)]
struct Plan {
    writes: Vec<Write>,
    /// Payloads that are written before.
    payloads: Vec<(Stored, Vec<u8>)>,
    /// Payloads that are not needed any more.
    dead: Vec<Stored>,
}

impl Work<'_> {
    /// Makes everything that was gathered visible at once.
    pub(super) fn commit(&mut self) -> Result<Committed> {
        if self.was.is_none() && self.head.is_spent() {
            return Ok(Committed::Done);
        }
        let mut plan = Plan::default();
        self.plan_records(&mut plan)?;
        self.plan_beside(&mut plan);
        let bytes: usize = plan.writes.iter().map(Write::bytes).sum();
        if plan.writes.len() > TRANSACTION_ITEMS_MAX || bytes > TRANSACTION_BYTES_MAX {
            return Ok(Committed::TooLarge);
        }
        let table = &self.saver.base.table;
        Vault::new(table).store(std::mem::take(&mut plan.payloads))?;
        failpoint::pass(Point::BeforeCommit)?;
        let done = match table.transact(&plan.writes) {
            Ok(Transacted::Done) => Committed::Done,
            Ok(Transacted::Lost) if !self.is_there() => Committed::Lost,
            Err(error) if !error.is_retryable() => return Err(error),
            Err(_) if !self.is_there() => Committed::Unknown,
            _ => Committed::Done,
        };
        if done == Committed::Done {
            failpoint::pass(Point::Committed)?;
        }
        // What a commit wrote that seems lost stays: it may have been there before another came.
        if done == Committed::Done
            && let Err(error) = self.tidy(&plan.dead)
        {
            tracing::warn!(unit = %self.unit, %error, "what is left is done by the next writer");
        }
        Ok(done)
    }

    /// Says whether a commit is there all the same, whatever its answer was.
    ///
    /// Where it is not, another may have come behind it.
    fn is_there(&self) -> bool {
        let head = unit::head(&self.saver.base.table, &self.unit);
        head.is_ok_and(|head| head.is_some_and(|head| head.etag == self.head.etag))
    }

    /// Says whether the head is still the one that was seen.
    pub(super) fn stands_still(&self) -> Result<bool> {
        let head = unit::head(&self.saver.base.table, &self.unit)?;
        let etag = |head: &Option<Head>| head.as_ref().map(|head| head.etag.clone());
        Ok(etag(&head) == etag(&self.was))
    }

    /// Brings the unit to where the official saver looks for it, and takes away what nothing needs.
    fn tidy(&self, dead: &[Stored]) -> Result<()> {
        let table = &self.saver.base.table;
        if let Some(upto) = self.forgotten {
            journal::forget(table, &names::own(&self.unit), upto)?;
        }
        Vault::new(table).remove(dead)?;
        match is_settled(&self.head) && self.head.garbage.is_empty() && !self.head.is_spent() {
            true => Ok(()),
            false => settle::settle(self.saver, &self.unit),
        }
    }

    fn plan_records(&mut self, plan: &mut Plan) -> Result<()> {
        let changes = std::mem::take(&mut self.changes);
        self.plan_orphans(&changes)?;
        let mut count = 0;
        for ((unit_no, key), change) in changes {
            let key = Key::from_bytes(key.into()).map_err(|why| {
                Error::new(ErrorKind::Failed, "write units", "a key is none").because(why)
            })?;
            let Some(space) = self.spaces.get(&unit_no).copied() else { continue };
            let place = self.place(space, &key);
            let stored = if space.is_stored { self.item(&place)? } else { None };
            plan.dead.extend(stored.as_ref().and_then(|item| item::payload_of(item).ok()));
            match change {
                Change::Put(page) => {
                    let wrong = |why: String| {
                        let error = Error::new(ErrorKind::Unsupported, "write units", why);
                        error.with("record", key.to_string())
                    };
                    let record = record_of(&page, &mut self.codec).map_err(wrong)?;
                    let vault = Vault::new(&self.saver.base.table);
                    let named = (self.stamp, count);
                    count += 1;
                    let built = item::build(&vault, &self.unit, &record, named, &mut self.codec);
                    let Built { item, payload } = built.map_err(wrong)?;
                    let item = match space.in_place {
                        true => item,
                        false => item::spaced(item, &self.unit, space.number, &key),
                    };
                    plan.payloads.push(payload);
                    plan.writes.push(Write::Put(item, Check::Any));
                }
                Change::Remove if stored.is_some() => {
                    plan.writes.push(Write::Delete(place, Check::Any));
                }
                Change::Remove => {}
            }
        }
        Ok(())
    }

    /// Notes which checkpoints have writes and are not there: nobody would find these otherwise.
    fn plan_orphans(&mut self, changes: &BTreeMap<(i64, Vec<u8>), Change>) -> Result<()> {
        let mut orphans = unit::orphans(Some(&self.head));
        let (mut needed, mut removed) = (BTreeSet::new(), Vec::new());
        for ((unit_no, key), change) in changes {
            let key = Key::from_bytes(key.clone().into()).ok();
            let Some((key, at)) = key.and_then(|key| Some((names::checkpoint_of(&key)?, key)))
            else {
                continue;
            };
            if !self.space(*unit_no).in_place {
                continue;
            }
            match (at.kind(), change) {
                (CHECKPOINT, Change::Put(_)) => drop(orphans.remove(&key)),
                (CHECKPOINT, Change::Remove) => removed.push(key),
                (WRITE, Change::Put(_)) => drop(needed.insert(key)),
                _ => {}
            }
        }
        for at in needed {
            let key = crate::layout::langgraph::record::checkpoint_key(&at.0, &at.1);
            let is_put = |((_, held), change): (&(i64, Vec<u8>), &Change)| {
                held[..] == key.as_bytes()[..] && matches!(change, Change::Put(_))
            };
            if !changes.iter().any(is_put) && self.item(&names::place(&self.unit, &key))?.is_none()
            {
                orphans.insert(at);
            }
        }
        // Those whose writes go too find nothing there, and do no harm.
        orphans.extend(removed);
        self.head.orphans = orphans.into_iter().map(|(ns, id)| format!("{ns}#{id}")).collect();
        Ok(())
    }

    /// Plans what stands beside the records: head, journal, and what has to hold.
    fn plan_beside(&mut self, plan: &mut Plan) {
        let table = &self.saver.base.table;
        for entry in &self.entries {
            let item = journal::item(table, &names::own(&self.unit), entry);
            plan.writes.push(Write::Put(item, Check::Any));
        }
        let number = |unit_no: i64| self.spaces.get(&unit_no).map_or(unit_no, |s| s.number);
        let in_place = |unit_no: i64| self.spaces.get(&unit_no).is_some_and(|s| s.in_place);
        if let Some(row) = &mut self.head.active {
            self.head.in_place = in_place(row.unit_no);
            row.unit_no = number(row.unit_no);
        }
        if let Some((row, _)) = &mut self.head.staged {
            row.unit_no = number(row.unit_no);
        }
        self.head.garbage.sort_unstable();
        self.head.garbage.dedup();
        self.head.etag = format!("{:x}", self.stamp);
        let check = match &self.was {
            Some(was) => Check::Is(ETAG, was.etag.clone()),
            None => Check::Without(ETAG),
        };
        let at = table.keys().at(&names::head(&self.unit));
        plan.writes.push(Write::Put(self.head.item(at), check));
        let check = match &self.store_etag {
            Some(etag) => Check::Is(ETAG, registers::text_of(etag)),
            None => Check::Without(ETAG),
        };
        plan.writes.push(Write::Look(registers::shard(&self.unit), check));
    }
}
