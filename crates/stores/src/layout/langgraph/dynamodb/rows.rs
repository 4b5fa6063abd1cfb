//! The rows of a table as a reader sees them: what is wanted of a unit, at one moment.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use restow_model::{Key, UnitId};
use restow_store::managed::StoredEntry;
use restow_store::parts::Part;
use restow_store::parts::part::Codec;
use restow_store::{Error, ErrorKind, Keys, Order, Result};

use super::names::{self, KEYS, Partition};
use super::unit::{self, Items, Seen, Which};
use super::vault::{Place, Vault};
use super::{Saver, item};
use crate::engine::dynamodb::{Item, text_of};
use crate::layout::dynamodb::head::moved_on;
use crate::layout::dynamodb::{Want, journal, registers, single};
use crate::layout::parts::damage::Damage;
use crate::layout::parts::read::Ended;
use crate::layout::parts::rows::{EachPage, PageRow, ReadRows, UnitRow};

/// How many units are looked up at once while a store is walked.
const UNITS_AT_ONCE: usize = 8;
/// How many payloads are fetched at once.
const PAYLOADS_AT_ONCE: usize = 24;

/// What a reader sees.
pub(in crate::layout) struct Rows<'s> {
    pub(super) saver: &'s Saver,
    want: Want,
    codec: Codec,
    store: Option<Option<Bytes>>,
    /// The units that were looked up, by the numbers that their rows tell.
    units: HashMap<i64, (UnitId, Arc<Seen>)>,
    /// Numbers of units that no head gave one.
    unnumbered: i64,
    /// All units by name, once they were listed, each with the greatest id that was seen.
    names: Option<BTreeMap<UnitId, Option<String>>>,
}

impl<'s> Rows<'s> {
    /// Reads a table.
    pub(super) fn new(saver: &'s Saver, want: Want) -> Result<Self> {
        let codec = Codec::new()
            .map_err(|torn| Error::new(ErrorKind::Failed, "read units", torn.to_string()))?;
        let (units, unnumbered) = (HashMap::new(), -1);
        Ok(Self { saver, want, codec, store: None, units, unnumbered, names: None })
    }

    fn look(&mut self, name: &UnitId, which: Which) -> Result<Option<UnitRow>> {
        let Some(mut seen) = unit::look(self.saver, name, which, &self.want)? else {
            return Ok(None);
        };
        if seen.row.unit_no == 0 {
            self.unnumbered -= 1;
            seen.row.unit_no = self.unnumbered;
        }
        let row = seen.row.clone();
        self.units.insert(row.unit_no, (name.clone(), Arc::new(seen)));
        Ok(Some(row))
    }

    /// Lists all units by name.
    pub(super) fn names(&mut self) -> Result<&BTreeMap<UnitId, Option<String>>> {
        if self.names.is_none() {
            let (mut names, mut from) = (BTreeMap::<UnitId, Option<String>>::new(), None);
            let attributes = [KEYS.partition, KEYS.sort, "id", "newest", "active"];
            loop {
                let table = &self.saver.base.table;
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

    /// Makes the pages of items, their payloads fetched together.
    pub(super) fn pages_of(&mut self, items: &[(&[u8], &Item)]) -> Result<Vec<PageRow>> {
        let places: Vec<Place> =
            items.iter().filter_map(|(_, item)| item::payload_of(item).ok()).collect();
        let payloads = Vault::new(&self.saver.base.table).fetch(&places)?;
        let page = |(n, (key, item)): (usize, &(&[u8], &Item))| {
            let payload = item::payload_of(item).ok();
            let payload = payload.and_then(|place| payloads.get(&place).cloned());
            let read = match Key::from_bytes(Bytes::copy_from_slice(key)) {
                Ok(name) if name.kind() != "unknown" => {
                    let entry = item::entry(item, &name, payload, &mut self.codec);
                    entry.and_then(|entry| single::packed(&[entry], &mut self.codec))
                }
                _ => Err("it does not say which record it is".to_owned()),
            };
            let at = |name| text_of(item, name).unwrap_or_default();
            let place = format!("{} {}", at(KEYS.partition), at(KEYS.sort));
            single::row(n as i64, key, &place, read)
        };
        Ok(items.iter().enumerate().map(page).collect())
    }

    /// Fails where a unit has changed since it was looked up: what is missing may just be gone.
    fn stands_still(&self, name: &UnitId, seen: &Seen) -> Result<()> {
        let head = unit::head(&self.saver.base.table, name)?;
        match head.map_or_else(String::new, |head| head.etag) == seen.etag {
            true => Ok(()),
            false => Err(moved_on(name)),
        }
    }
}

/// Returns the unit that an item tells of, with a bound on its checkpoints' ids.
fn listed(item: &Item) -> Option<(UnitId, Option<String>)> {
    let name = text_of(item, KEYS.sort)?;
    match names::partition_of(text_of(item, KEYS.partition)?) {
        Partition::Checkpoints(unit) => Some((unit, text_of(item, "id").map(str::to_owned))),
        Partition::Own(unit) if name == names::HEAD && item.contains_key("active") => {
            Some((unit, text_of(item, "newest").map(str::to_owned)))
        }
        _ => None,
    }
}

impl ReadRows for Rows<'_> {
    type Error = Error;

    fn tells_digest(&self, row: &UnitRow) -> bool {
        row.control.is_some()
    }

    fn store(&mut self) -> Result<Option<Bytes>> {
        if self.store.is_none() {
            self.store = Some(registers::store(&self.saver.base.table)?.map(|(_, bytes)| bytes));
        }
        Ok(self.store.clone().flatten())
    }

    fn entries(&mut self, unit: &UnitId, after: u64) -> Result<Vec<StoredEntry>> {
        journal::entries(&self.saver.base.table, &names::own(unit), after)
    }

    fn units(&mut self, names: &[UnitId], token: Option<&str>) -> Result<Vec<UnitRow>> {
        // What was at hand is not asked for again.
        self.units.clear();
        let mut rows = Vec::with_capacity(names.len());
        for name in names {
            let which = match token {
                None => Which::Active,
                Some(token) => {
                    let head = unit::head(&self.saver.base.table, name)?;
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
        let held = self.units.get(&unit_no).cloned().ok_or_else(|| {
            Error::new(ErrorKind::Failed, "read a unit", "the unit was not looked up")
        })?;
        let (name, seen) = held;
        let items: &Items = &seen.items;
        let mut wanted: Vec<(&[u8], &Item)> = items
            .iter()
            .filter(|(key, _)| keys.covers(key))
            .map(|(key, item)| (&key[..], item))
            .collect();
        if order == Order::Descending {
            wanted.reverse();
        }
        // The first alone: more may not be wanted.
        let (first, rest) = wanted.split_at(wanted.len().min(1));
        for some in std::iter::once(first).chain(rest.chunks(PAYLOADS_AT_ONCE)) {
            for page in self.pages_of(some).map_err(Ended::Engine)? {
                if page.fault.is_some() {
                    self.stands_still(&name, &seen).map_err(Ended::Engine)?;
                }
                if !each(self, &page)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn part_with(&mut self, _: i64, _: u64) -> Result<Option<Part>, Damage<Error>> {
        // Values stand in their pages.
        Ok(None)
    }
}
