//! The rows of a table as a reader sees them: each unit at one moment.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use restow_model::UnitId;
use restow_store::managed::StoredEntry;
use restow_store::parts::part::Codec;
use restow_store::parts::{Part, Torn};
use restow_store::{Error, ErrorKind, Keys, Order, Result};

use super::log::part_with;
use super::unit::{self, Seen, Which};
use super::{Splitting, item, names, objects};
use crate::engine::dynamodb::{Item, PARTITION, SORT, text_of};
use crate::layout::dynamodb::head::{Head, moved_on};
use crate::layout::dynamodb::{journal, registers, single};
use crate::layout::parts::damage::Damage;
use crate::layout::parts::read::Ended;
use crate::layout::parts::rows::{EachPage, PageRow, ReadRows, UnitRow};

/// How many units are looked up at once while a store is walked.
const UNITS_AT_ONCE: usize = 8;

/// What a reader sees.
pub(in crate::layout) struct Rows<'s> {
    pub(super) split: &'s Splitting,
    codec: Codec,
    store: Option<Option<Bytes>>,
    /// The units that were looked up, by the numbers that their rows tell.
    units: HashMap<i64, (UnitId, Which, Arc<Seen>)>,
    /// Numbers of units that no head gave one.
    unnumbered: i64,
    /// All units by name, once they were listed, each with the greatest id that was seen.
    names: Option<BTreeMap<UnitId, Option<String>>>,
    /// The object that was read last.
    object: Option<((i64, u64), Vec<u8>)>,
}

impl<'s> Rows<'s> {
    /// Reads a table.
    pub(super) fn new(split: &'s Splitting) -> Result<Self> {
        let codec = Codec::new()
            .map_err(|torn| Error::new(ErrorKind::Failed, "read units", torn.to_string()))?;
        Ok(Self {
            split,
            codec,
            store: None,
            units: HashMap::new(),
            unnumbered: -1,
            names: None,
            object: None,
        })
    }

    /// Looks a unit up; its records stay at hand.
    fn look(&mut self, name: &UnitId, which: Which) -> Result<Option<UnitRow>> {
        let Some(mut seen) = unit::look(&self.split.base.table, name, which)? else {
            return Ok(None);
        };
        if seen.row.unit_no == 0 {
            self.unnumbered -= 1;
            seen.row.unit_no = self.unnumbered;
        }
        let row = seen.row.clone();
        self.units.insert(row.unit_no, (name.clone(), which, Arc::new(seen)));
        Ok(Some(row))
    }

    /// Looks a unit up, unless it is at hand as its head says.
    pub(super) fn unit_of(&mut self, name: &UnitId, etag: &str) -> Result<Option<UnitRow>> {
        let held = self.units.values().find(|(unit, ..)| unit == name);
        match held.filter(|(_, _, seen)| seen.etag == etag) {
            Some((_, _, seen)) => Ok(Some(seen.row.clone())),
            None => Ok(self.units(std::slice::from_ref(name), None)?.pop()),
        }
    }

    /// Returns a unit that was looked up.
    pub(super) fn at_hand(&self, unit_no: i64) -> Result<(UnitId, Arc<Seen>)> {
        let held = self.units.get(&unit_no).map(|(unit, _, seen)| (unit.clone(), seen.clone()));
        held.ok_or_else(|| {
            Error::new(ErrorKind::Failed, "read a unit", "the unit was not looked up")
        })
    }

    /// Lists all units by name.
    pub(super) fn names(&mut self) -> Result<&BTreeMap<UnitId, Option<String>>> {
        if self.names.is_none() {
            let (mut names, mut from) = (BTreeMap::<UnitId, Option<String>>::new(), None);
            let attributes = [PARTITION, SORT, item::SPACE, "newest"];
            loop {
                let table = &self.split.base.table;
                let (items, next) = table.scan((0, 1), from.as_ref(), Some(&attributes))?;
                for item in items {
                    if let Some((unit, newest)) = listed(&item) {
                        let held = names.entry(unit).or_default();
                        *held = held.take().max(newest);
                    }
                }
                from = match next {
                    None => break,
                    next => next,
                };
            }
            self.names = Some(names);
        }
        Ok(self.names.get_or_insert_default())
    }

    /// Makes the row of an item's page; the objects that hold it are fetched.
    pub(super) fn page(&mut self, page_no: i64, key: &[u8], item: &Item) -> Result<PageRow> {
        let (table, prefix) = (&self.split.base.table, &self.split.options.prefix);
        let mut failed = None;
        let read = item::page_of(item, &mut self.codec, |stamp, count| {
            objects::joined(table, prefix, stamp, count).unwrap_or_else(|error| {
                let why = error.to_string();
                failed = Some(error);
                Err(why)
            })
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(single::row(page_no, key, text_of(item, SORT).unwrap_or_default(), read)),
        }
    }

    fn object(&mut self, stamp: i64, number: u64) -> Result<Option<&[u8]>> {
        if self.object.as_ref().is_none_or(|(at, _)| *at != (stamp, number)) {
            let place = names::object(&self.split.options.prefix, stamp, number);
            let found = objects::get(&self.split.base.table, &place)?;
            self.object = found.map(|data| ((stamp, number), data));
        }
        Ok(self.object.as_ref().map(|(_, data)| &data[..]))
    }

    /// Fails where a unit has changed since it was looked up: what is missing may just be gone.
    fn stands_still(&self, name: &UnitId, seen: &Seen) -> Result<()> {
        let head: Option<Head> = unit::head(&self.split.base.table, name)?;
        match head.map_or_else(String::new, |head| head.etag) == seen.etag {
            true => Ok(()),
            false => Err(moved_on(name)),
        }
    }
}

/// Returns the unit that an item tells of, with a bound on its checkpoints' ids.
fn listed(item: &Item) -> Option<(UnitId, Option<String>)> {
    let unit = names::unit_of(text_of(item, PARTITION)?)?;
    let name = text_of(item, SORT)?;
    if name == names::HEAD {
        return Some((unit, text_of(item, "newest").map(str::to_owned)));
    }
    // What restow wrote counts by its head.
    let is_foreign = names::is_record(name) && !item.contains_key(item::SPACE);
    let id = name.strip_prefix("checkpoint#").and_then(|rest| rest.rsplit('#').next());
    is_foreign.then(|| (unit, id.map(str::to_owned)))
}

impl ReadRows for Rows<'_> {
    type Error = Error;

    fn store(&mut self) -> Result<Option<Bytes>> {
        if self.store.is_none() {
            self.store = Some(registers::store(&self.split.base.table)?.map(|(_, bytes)| bytes));
        }
        Ok(self.store.clone().flatten())
    }

    fn entries(&mut self, unit: &UnitId, after: u64) -> Result<Vec<StoredEntry>> {
        journal::entries(&self.split.base.table, &names::partition(unit), after)
    }

    fn units(&mut self, names: &[UnitId], token: Option<&str>) -> Result<Vec<UnitRow>> {
        // What was at hand is not asked for again.
        self.units.clear();
        let mut rows = Vec::with_capacity(names.len());
        for name in names {
            let which = match token {
                None => Which::Active,
                Some(token) => {
                    let head = unit::head(&self.split.base.table, name)?;
                    let staged = head.and_then(|head| head.staged);
                    if staged.is_none_or(|(_, staging)| staging.token != token) {
                        continue;
                    }
                    Which::Staged
                }
            };
            rows.extend(self.look(name, which)?);
        }
        Ok(rows)
    }

    fn units_from(&mut self, unit: &str, inclusive: bool, limit: usize) -> Result<Vec<UnitRow>> {
        self.units.clear();
        let mut from = (unit.to_owned(), inclusive);
        loop {
            let behind = self.names()?.keys().filter(|name| match from.1 {
                true => name.as_str() >= &*from.0,
                false => name.as_str() > &*from.0,
            });
            let names: Vec<_> = behind.take(limit.min(UNITS_AT_ONCE)).cloned().collect();
            let Some(last) = names.last() else { return Ok(Vec::new()) };
            from = (last.as_str().to_owned(), false);
            let rows = self.units(&names, None)?;
            // Names of units that are not there any more say nothing of those behind them.
            if !rows.is_empty() {
                return Ok(rows);
            }
        }
    }

    fn newest_units(&mut self, skip: usize, _limit: usize) -> Result<Vec<(UnitId, String)>> {
        let mut units: Vec<_> = self
            .names()?
            .iter()
            .filter_map(|(unit, newest)| Some((unit.clone(), newest.clone()?)))
            .collect();
        units.sort_by(|a, b| b.1.cmp(&a.1));
        // All at once: another look would walk the table again.
        Ok(units.split_off(skip.min(units.len())))
    }

    fn pages(
        &mut self,
        unit_no: i64,
        keys: &Keys,
        order: Order,
        each: EachPage<'_, Self>,
    ) -> Result<(), Ended<Error>> {
        let (name, seen) = self.at_hand(unit_no).map_err(Ended::Engine)?;
        let mut wanted: Vec<_> = seen.items.iter().filter(|(key, _)| keys.covers(key)).collect();
        if order == Order::Descending {
            wanted.reverse();
        }
        for (n, (key, item)) in wanted.into_iter().enumerate() {
            let page = self.page(n as i64, key, item).map_err(Ended::Engine)?;
            if page.fault.is_some() {
                self.stands_still(&name, &seen).map_err(Ended::Engine)?;
            }
            if !each(self, &page)? {
                break;
            }
        }
        Ok(())
    }

    fn part_with(&mut self, unit_no: i64, element: u64) -> Result<Option<Part>, Damage<Error>> {
        let (name, seen) = self.at_hand(unit_no).map_err(Damage::Engine)?;
        let Some(listed) = part_with(&seen.parts, element) else {
            return match seen.faults.first() {
                Some(fault) => Err(Damage::Torn(Torn::Unreadable(fault.clone()))),
                None => Ok(None),
            };
        };
        let mut part = listed.part.clone();
        let Some((stamp, number, at, len)) = listed.object else { return Ok(Some(part)) };
        let object = self.object(stamp, number).map_err(Damage::Engine)?;
        match object.and_then(|data| objects::piece(data, at, len)) {
            Some(stored) => part.stored = stored.to_vec(),
            None => {
                self.stands_still(&name, &seen).map_err(Damage::Engine)?;
                return Ok(None);
            }
        }
        Ok(Some(part))
    }
}
