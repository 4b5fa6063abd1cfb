//! The commit: what a writer gathered becomes visible by one transaction, or not at all.
//!
//! Order: a note of what is about to be written, the objects, the transaction that changes the
//! unit's head (and takes the note away), then tidying up. Whoever dies in between leaves a note or
//! garbage that the head names, and the next writer of the unit tidies up.

use std::collections::{BTreeMap, HashMap};

use restow_model::Key;
use restow_store::failpoint::{self, Point};
use restow_store::parts::Part;
use restow_store::parts::part::Codec;
use restow_store::{Error, ErrorKind, Result};

use super::item::{self, Bytes};
use super::log::{self, Directory, Listed};
use super::objects::{self, Objects};
use super::work::{Change, Work, objects_of};
use super::{names, splitter, sweep, unit};
use crate::engine::dynamodb::{
    Check, Item, Place, SORT, TRANSACTION_BYTES_MAX, TRANSACTION_ITEMS_MAX, Transacted, Write, at,
    bytes, text, text_of,
};
use crate::layout::dynamodb::head::ETAG;
use crate::layout::dynamodb::{Committed, journal, registers};
use crate::layout::parts::rows::NewPage;

/// A part up to this size stands in its directory: the last one is soon written again.
const INLINE_PART_BYTES_MAX: usize = 16 << 10;
/// How many bytes of pages stand in their own items, in one commit.
const INLINE_PAGES_BYTES_MAX: usize = 3 << 20;
/// How large a page in its own item is at most.
const INLINE_PAGE_BYTES_MAX: usize = 380_000;
/// How many parts one directory lists, and how many bytes of them it holds.
const LISTED_MAX: usize = 3000;
const LISTED_BYTES_MAX: usize = 200 << 10;

/// What a transaction is made of.
#[derive(Default)]
struct Plan {
    writes: Vec<Write>,
    objects: Vec<Item>,
    /// The objects that are written, by stamp.
    written: Vec<(i64, u64)>,
    /// The objects that are not needed any more.
    dead: Vec<(i64, u64)>,
    /// The items of a splitter's parts that are not needed any more.
    parts: Vec<String>,
}

impl Plan {
    /// Says whether something is not needed any more once all is done.
    fn leaves(&self) -> bool {
        !self.dead.is_empty() || !self.parts.is_empty()
    }
}

impl Work<'_> {
    /// Makes everything that was gathered visible at once.
    pub(super) fn commit(&mut self) -> Result<Committed> {
        if self.was.is_none() && self.head.is_spent() {
            return Ok(Committed::Done);
        }
        let mut plan = Plan::default();
        self.plan_pages(&mut plan)?;
        self.plan_parts(&mut plan)?;
        self.plan_beside(&mut plan);
        let bytes: usize = plan.writes.iter().map(Write::bytes).sum();
        if plan.writes.len() > TRANSACTION_ITEMS_MAX || bytes > TRANSACTION_BYTES_MAX {
            return Ok(Committed::TooLarge);
        }
        let table = &self.split.base.table;
        if !plan.objects.is_empty() {
            table.put_all(vec![self.intent(&plan.written)])?;
            table.put_all(std::mem::take(&mut plan.objects))?;
            self.written.clone_from(&plan.written);
        }
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
        self.tidy(done, &plan);
        Ok(done)
    }

    /// Says whether a commit is there all the same, whatever its answer was.
    ///
    /// Where it is not, another may have come behind it.
    fn is_there(&self) -> bool {
        let head = unit::head(&self.split.base.table, &self.unit);
        head.is_ok_and(|head| head.is_some_and(|head| head.etag == self.etag()))
    }

    /// Says whether the head is still the one that was seen.
    pub(super) fn stands_still(&self) -> Result<bool> {
        let head = unit::head(&self.split.base.table, &self.unit)?;
        Ok(head.as_ref().map_or("", |head| &head.etag) == self.seen())
    }

    /// Returns the mark of the head that was seen; nothing where there was none.
    fn seen(&self) -> &str {
        self.was.as_ref().map_or("", |head| &head.etag)
    }

    fn etag(&self) -> String {
        format!("{:x}", self.stamp)
    }

    /// Takes away what nothing needs any more; whoever lost goes on first, and tidies up later.
    fn tidy(&self, done: Committed, plan: &Plan) {
        if done != Committed::Done {
            return;
        }
        let is_left = !self.head.garbage.is_empty() || self.head.hides;
        let is_left = is_left || plan.leaves() || self.head.is_spent();
        let forgotten = match self.forgotten {
            Some(upto) => {
                journal::forget(&self.split.base.table, &names::partition(&self.unit), upto)
            }
            None => Ok(()),
        };
        match forgotten {
            Err(error) => sweep::left(&self.unit, &error),
            Ok(()) if is_left => sweep::tidy(self.split, &self.unit, &[]),
            Ok(()) => {}
        }
    }

    fn own(&self, name: String) -> Item {
        at(&(names::partition(&self.unit), name))
    }

    /// Notes which objects are about to be written, and what they depend on.
    fn intent(&self, written: &[(i64, u64)]) -> Item {
        let mut item = self.own(names::intent(self.stamp));
        item.insert(sweep::SEEN.into(), text(self.seen()));
        item.insert("objects".into(), bytes(sweep::list(written)));
        item
    }

    fn plan_pages(&mut self, plan: &mut Plan) -> Result<()> {
        let mut codec = Codec::new()
            .map_err(|torn| Error::new(ErrorKind::Failed, "write units", torn.to_string()))?;
        let mut room = INLINE_PAGES_BYTES_MAX;
        for ((unit_no, key), change) in std::mem::take(&mut self.changes) {
            let key = Key::from_bytes(key.into()).map_err(|why| {
                Error::new(ErrorKind::Failed, "write units", "a key is none").because(why)
            })?;
            let mut stored = self.items(unit_no, &key)?;
            if let Some(item) = self.overwritten(unit_no, &key)? {
                plan.dead.extend(objects_of(&item));
            }
            plan.dead.extend(stored.iter().filter_map(objects_of));
            plan.parts.extend(stored.iter().flat_map(splitter::parts).cloned());
            self.others.remove(&key.as_bytes()[..]);
            let Some(space) = self.spaces.get(&unit_no).copied() else { continue };
            if let Change::Put(page) = change {
                let name = self.name(space, &key);
                stored.retain(|item| text_of(item, SORT) != Some(&name));
                let item =
                    self.page_item(name, space.number, &page, plan, &mut room, &mut codec)?;
                plan.writes.push(Write::Put(item, Check::Any));
            }
            for item in stored {
                let name = text_of(&item, SORT).unwrap_or_default().to_owned();
                let place = (names::partition(&self.unit), name);
                plan.writes.push(Write::Delete(place, Check::Any));
            }
        }
        Ok(())
    }

    /// Returns an item of a space that is left, in whose place a record is written.
    fn overwritten(&mut self, unit_no: i64, key: &Key) -> Result<Option<Item>> {
        match self.spaces.get(&unit_no).copied() {
            Some(space) if space.in_place && !space.is_stored && self.was.is_some() => {
                self.item(&self.name(space, key))
            }
            _ => Ok(None),
        }
    }

    fn page_item(
        &self,
        name: String,
        space: i64,
        page: &NewPage,
        plan: &mut Plan,
        room: &mut usize,
        codec: &mut Codec,
    ) -> Result<Item> {
        let mut item = self.own(name);
        let data = match page.data.len() <= INLINE_PAGE_BYTES_MAX.min(*room) {
            true => {
                *room -= page.data.len();
                Bytes::Here(page.data.clone())
            }
            false => {
                let stamp = self.split.base.number()?;
                let cut = objects::cut(stamp, &page.data, self.split.options.object_bytes_max);
                plan.written.push((stamp, cut.count()));
                let data = Bytes::Objects(stamp, cut.count());
                plan.objects
                    .extend(cut.items(&self.split.options.prefix, &names::partition(&self.unit)));
                data
            }
        };
        item::put_page(&mut item, space, page, &data, codec)
            .map_err(|why| Error::new(ErrorKind::Failed, "write units", why))?;
        Ok(item)
    }

    fn plan_parts(&mut self, plan: &mut Plan) -> Result<()> {
        let mut by_unit: BTreeMap<i64, BTreeMap<u64, Part>> = BTreeMap::new();
        for (unit_no, part) in std::mem::take(&mut self.parts) {
            by_unit.entry(unit_no).or_default().insert(part.first, part);
        }
        for (unit_no, parts) in by_unit {
            let Some(space) = self.spaces.get(&unit_no).copied() else { continue };
            let stamp = self.split.base.number()?;
            let (mut objects, mut inline) =
                (Objects::new(stamp, self.split.options.object_bytes_max), 0);
            let listed: Vec<Listed> = parts
                .into_values()
                .map(|part| {
                    let is_inline = part.stored.len() <= INLINE_PART_BYTES_MAX
                        && inline + part.stored.len() <= LISTED_BYTES_MAX;
                    match is_inline {
                        true => {
                            inline += part.stored.len();
                            Listed { part, object: None }
                        }
                        false => objects.add(part),
                    }
                })
                .collect();
            let count = objects.count();
            for parts in listed.chunks(LISTED_MAX) {
                let directory = Directory { stamp, objects: count, parts: parts.to_vec() };
                let mut item = self.own(log::name(space.number, &directory));
                directory.fill(&mut item, space.number);
                plan.writes.push(Write::Put(item, Check::Any));
            }
            if count > 0 {
                plan.written.push((stamp, count));
                let partition = names::partition(&self.unit);
                plan.objects.extend(objects.items(&self.split.options.prefix, &partition));
            }
        }
        Ok(())
    }

    /// Plans what stands beside the records: head, journal, notes, and what has to hold.
    fn plan_beside(&mut self, plan: &mut Plan) {
        for entry in &self.entries {
            let partition = names::partition(&self.unit);
            let item = journal::item(&self.split.base.table, &partition, entry);
            plan.writes.push(Write::Put(item, Check::Any));
        }
        if !plan.written.is_empty() {
            let place: Place = (names::partition(&self.unit), names::intent(self.stamp));
            // Whoever took the note away took away the right to commit, and then the objects.
            let check = Check::Is(sweep::SEEN, self.seen().to_owned());
            plan.writes.push(Write::Delete(place, check));
        }
        if plan.leaves() {
            let mut item = self.own(names::dead(self.stamp));
            item.insert("objects".into(), bytes(sweep::list(&plan.dead)));
            splitter::note(&mut item, plan.parts.clone());
            plan.writes.push(Write::Put(item, Check::Any));
        }
        self.renumber();
        self.head.is_mixed = !self.others.is_empty();
        self.head.etag = self.etag();
        if let Some(row) = &mut self.head.active {
            // What others wrote is counted when it is read.
            self.others.values().for_each(|sum| row.digest.take(sum));
        }
        let check = match &self.was {
            Some(was) => Check::Is(ETAG, was.etag.clone()),
            None => Check::Without(ETAG),
        };
        plan.writes.push(Write::Put(self.head.item(self.own(names::HEAD.to_owned())), check));
        let check = match &self.store_etag {
            Some(etag) => Check::Is(ETAG, registers::text_of(etag)),
            None => Check::Without(ETAG),
        };
        plan.writes.push(Write::Look(registers::shard(&self.unit), check));
    }

    /// Gives rows the numbers of the spaces that they were moved to.
    fn renumber(&mut self) {
        let spaces: HashMap<i64, i64> =
            self.spaces.iter().map(|(unit_no, space)| (*unit_no, space.number)).collect();
        let number = |unit_no: i64| spaces.get(&unit_no).copied().unwrap_or(unit_no);
        if let Some(row) = &mut self.head.active {
            row.unit_no = number(row.unit_no);
        }
        if let Some((row, _)) = &mut self.head.staged {
            row.unit_no = number(row.unit_no);
        }
        self.head.garbage.sort_unstable();
        self.head.garbage.dedup();
    }
}
