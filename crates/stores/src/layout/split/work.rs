//! The rows of one unit as a writer changes them: everything is gathered here, and written by one
//! commit.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use restow_model::{Dialect, Digest, Key, Record, UnitId};
use restow_store::managed::Noted;
use restow_store::parts::Part;
use restow_store::parts::part::Codec;
use restow_store::{Entry, Error, ErrorKind, Etag, KeyRange, Op, Result, UnitOps};

use super::item::{self, SPACE};
use super::log::Directory;
use super::unit::{self, Which};
use super::{Splitting, names, objects};
use crate::engine::dynamodb::{Item, Place, Range, SORT, bytes_of, number_of, text_of};
use crate::layout::dynamodb::head::{Head, readable};
use crate::layout::dynamodb::{journal, registers, single};
use crate::layout::parts::rows::{NewPage, PagePlace, PageRow, Staging, UnitRow, WriteRows};

/// How many bytes of records are kept whole in one commit; a transaction has room for 4 MB.
pub(super) const WHOLE_BYTES_MAX: usize = 2 << 20;

/// What becomes of a record.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Put(NewPage),
    Remove,
}

/// Where the records of a row are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Space {
    /// Its number, in items and names.
    pub(super) number: i64,
    /// Whether they stand where the known applications look for them.
    pub(super) in_place: bool,
    /// Whether anything is stored there.
    pub(super) is_stored: bool,
}

/// A unit that is being changed.
pub(in crate::layout) struct Work<'s> {
    pub(super) split: &'s Splitting,
    pub(super) unit: UnitId,
    /// The version of the store's record that was seen.
    pub(super) store_etag: Option<Etag>,
    store: Option<Bytes>,
    /// The head that was seen; its mark is what the commit compares.
    pub(super) was: Option<Head>,
    /// The head as it is to be.
    pub(super) head: Head,
    /// Names this change, and everything that is written for it.
    pub(super) stamp: i64,
    /// Spaces by the numbers that rows tell.
    pub(super) spaces: HashMap<i64, Space>,
    pub(super) changes: BTreeMap<(i64, Vec<u8>), Change>,
    /// Items as they are stored, by name; those that are not there too.
    pub(super) stored: HashMap<String, Option<Item>>,
    /// Pages that were handed out, by number.
    opened: Vec<(i64, Vec<u8>)>,
    pub(super) parts: Vec<(i64, Part)>,
    pub(super) entries: Vec<Entry>,
    /// The objects that were written for the commit.
    pub(super) written: Vec<(i64, u64)>,
    pub(super) forgotten: Option<u64>,
    /// What the unit's records weigh that others wrote, as far as they stay.
    pub(super) others: BTreeMap<Vec<u8>, restow_model::UnitDigest>,
    codec: Codec,
    whole: Cell<usize>,
}

impl<'s> Work<'s> {
    /// Looks at a unit that is going to be changed.
    pub(super) fn open(split: &'s Splitting, unit: &UnitId, ops: Option<&UnitOps>) -> Result<Self> {
        let partition = names::partition(unit);
        let mut wanted = vec![names::HEAD.to_owned()];
        for op in ops.iter().flat_map(|ops| ops.ops.iter()) {
            let key = match op {
                Op::Put { record, .. } => &record.key,
                Op::Remove { key, .. } => key,
                Op::Clear => continue,
            };
            wanted.push(names::record(key));
        }
        wanted.sort();
        wanted.dedup();
        let shard = registers::shard(unit);
        let mut places: Vec<Place> =
            wanted.iter().map(|name| (partition.clone(), name.clone())).collect();
        places.push(shard.clone());
        let (mut stored, mut store) = (HashMap::new(), None);
        for name in wanted {
            stored.insert(name, None);
        }
        for item in split.base.table.get_many(&places)? {
            match text_of(&item, SORT) {
                Some(name) if *name == shard.1 => store = registers::content(&item),
                Some(name) => drop(stored.insert(name.to_owned(), Some(item.clone()))),
                None => {}
            }
        }
        let head = stored.remove(names::HEAD).flatten();
        let was = head.map(|item| readable(unit, Head::of(unit, &item))).transpose()?;
        let codec = Codec::new()
            .map_err(|torn| Error::new(ErrorKind::Failed, "write units", torn.to_string()))?;
        let (store_etag, store) = store.unzip();
        let stamp = split.base.number()?;
        let mut this = Self {
            split,
            unit: unit.clone(),
            store_etag,
            store,
            head: was.clone().unwrap_or_default(),
            was,
            stamp,
            spaces: HashMap::new(),
            changes: BTreeMap::new(),
            stored,
            opened: Vec::new(),
            parts: Vec::new(),
            entries: Vec::new(),
            written: Vec::new(),
            forgotten: None,
            others: BTreeMap::new(),
            codec,
            whole: Cell::new(0),
        };
        this.adopt()?;
        Ok(this)
    }

    /// Takes in what others wrote: a unit that no head tells of, and records beside those of one.
    fn adopt(&mut self) -> Result<()> {
        let row = self.head.active.as_ref();
        let (is_managed, space) =
            (row.is_some_and(|row| row.control.is_some()), row.map(|row| row.unit_no));
        if let Some((row, _)) = &self.head.staged {
            let space = Space { number: row.unit_no, in_place: false, is_stored: true };
            self.spaces.insert(row.unit_no, space);
        }
        if let Some(number) = space {
            let in_place = self.head.in_place;
            self.spaces.insert(number, Space { number, in_place, is_stored: true });
        }
        // Nobody but restow writes to a managed unit.
        if self.head.hides || (is_managed && !self.head.is_mixed) {
            return Ok(());
        }
        // Whoever changes the unit from here on makes the commit fail.
        let items = unit::items(&self.split.base.table, &self.unit)?;
        let Some(seen) = unit::seen(&self.unit, &self.head, items, Which::Active) else {
            return Ok(());
        };
        for (key, item) in seen.items {
            if !item::is_own(&item) {
                let entry = item::foreign(&item).map(|(entry, _)| item::summed(&entry));
                self.others.insert(key, entry.unwrap_or_default());
                let name = text_of(&item, SORT).unwrap_or_default().to_owned();
                self.stored.insert(name, Some(item));
            }
        }
        let mut row = seen.row;
        if row.unit_no == 0 {
            row.unit_no = self.stamp;
            let space = Space { number: self.stamp, in_place: true, is_stored: true };
            self.spaces.insert(self.stamp, space);
            self.head.in_place = true;
        }
        self.head.active = Some(row);
        Ok(())
    }

    /// Returns the row of a number, to be changed.
    fn row(&mut self, unit_no: i64) -> Option<&mut UnitRow> {
        let is = |row: &&mut UnitRow| row.unit_no == unit_no;
        let staged = self.head.staged.as_mut().map(|(row, _)| row);
        self.head.active.as_mut().filter(is).or_else(|| staged.filter(is))
    }

    /// Returns where the records of a row are.
    fn space(&self, unit_no: i64) -> Space {
        let unknown = Space { number: unit_no, in_place: false, is_stored: false };
        self.spaces.get(&unit_no).copied().unwrap_or(unknown)
    }

    /// Returns the name of a record's item in a space.
    pub(super) fn name(&self, space: Space, key: &Key) -> String {
        match space.in_place {
            true => names::record(key),
            false => format!("{}{}", names::space(space.number), names::record(key)),
        }
    }

    /// Returns an item as it is stored.
    pub(super) fn item(&mut self, name: &str) -> Result<Option<Item>> {
        if !self.stored.contains_key(name) {
            let place = (names::partition(&self.unit), name.to_owned());
            let item = self.split.base.table.get(&place)?;
            self.stored.insert(name.to_owned(), item);
        }
        Ok(self.stored.get(name).cloned().flatten())
    }

    /// Returns the stored items of a record that are to be seen.
    pub(super) fn items(&mut self, unit_no: i64, key: &Key) -> Result<Vec<Item>> {
        let space = self.space(unit_no);
        let mut found = Vec::new();
        if space.is_stored {
            let item = self.item(&self.name(space, key))?;
            found.extend(item.filter(|i| number_of::<i64>(i, SPACE) == Some(space.number)));
        }
        let is_active = self.head.active.as_ref().is_some_and(|row| row.unit_no == unit_no);
        if is_active && self.others.contains_key(&key.as_bytes()[..]) {
            let others = self.stored.values().flatten().filter(|item| !item::is_own(item));
            found.extend(others.filter(|item| item::key_of(item).as_ref() == Some(key)).cloned());
        }
        Ok(found)
    }

    fn page(&mut self, unit_no: i64, key: &Key) -> Result<Option<PageRow>> {
        let at = (unit_no, key.as_bytes().to_vec());
        let page_no = self.opened.len() as i64;
        let row = match self.changes.get(&at) {
            Some(Change::Remove) => return Ok(None),
            Some(Change::Put(page)) => {
                let read = Ok((page.raw_len, page.digest, page.data.clone()));
                single::row(page_no, &at.1, "", read)
            }
            None => {
                let Some(item) = self.items(unit_no, key)?.pop() else { return Ok(None) };
                let (table, prefix) = (&self.split.base.table, &self.split.options.prefix);
                let mut failed = None;
                let read = item::page_of(&item, &mut self.codec, |stamp, count| {
                    objects::joined(table, prefix, stamp, count).unwrap_or_else(|error| {
                        failed = Some(error);
                        Err(String::new())
                    })
                });
                failed.map_or(Ok(()), Err)?;
                single::row(page_no, &at.1, text_of(&item, SORT).unwrap_or_default(), read)
            }
        };
        self.opened.push(at);
        Ok(Some(row))
    }

    /// Leaves a space to be tidied up.
    fn leave(&mut self, space: Space) {
        if space.is_stored {
            self.head.garbage.push(space.number);
        }
    }
}

impl WriteRows for Work<'_> {
    type Error = Error;

    const KEY_BYTES_MAX: usize = 4096;
    const IS_PAGE_A_RECORD: bool = true;

    fn is_kept_whole(&self, record: &Record) -> bool {
        let threshold = self.split.options.threshold;
        let weight = whole_weight(record);
        if self.split.options.is_monitored && weight > threshold {
            let key = &record.key;
            tracing::info!(unit = %self.unit, %key, weight, threshold, "a record is split");
        }
        let whole = self.whole.get() + weight;
        let is_whole = weight <= threshold && whole <= WHOLE_BYTES_MAX && item::is_known(record);
        if is_whole {
            self.whole.set(whole);
        }
        is_whole
    }

    fn store(&mut self) -> Result<Option<Bytes>> {
        Ok(self.store.clone())
    }

    fn noted(&mut self, unit: &UnitId, op_id: Option<Digest>, after: u64) -> Result<Noted> {
        journal::noted(&self.split.base.table, &names::partition(unit), op_id, after)
    }

    fn note(&mut self, _unit: &UnitId, entry: &Entry) -> Result<()> {
        self.entries.push(entry.clone());
        Ok(())
    }

    fn forget(&mut self, _unit: &UnitId, upto: u64) -> Result<()> {
        self.forgotten = Some(upto);
        Ok(())
    }

    fn unit(&mut self, _unit: &UnitId) -> Result<Option<UnitRow>> {
        Ok(self.head.active.clone())
    }

    fn staged(&mut self, _unit: &UnitId) -> Result<Option<(UnitRow, Staging)>> {
        Ok(self.head.staged.clone())
    }

    fn insert_unit(
        &mut self,
        unit: &UnitId,
        dialect: Dialect,
        staging: Option<Staging>,
    ) -> Result<UnitRow> {
        // One change makes at most a unit and a staged copy of it.
        let number = match self.spaces.contains_key(&self.stamp) {
            true => self.split.base.number()?,
            false => self.stamp,
        };
        let row = UnitRow::empty(number, unit.clone(), dialect);
        let in_place = staging.is_none();
        self.spaces.insert(number, Space { number, in_place, is_stored: false });
        match staging {
            Some(staging) => self.head.staged = Some((row.clone(), staging)),
            None => {
                self.head.active = Some(row.clone());
                self.head.in_place = true;
            }
        }
        Ok(row)
    }

    fn save_unit(&mut self, row: &UnitRow) -> Result<()> {
        if let Some(held) = self.row(row.unit_no) {
            *held = row.clone();
        }
        Ok(())
    }

    fn promote(&mut self, unit_no: i64) -> Result<()> {
        if let Some((row, _)) = self.head.staged.take() {
            self.head.in_place = self.space(unit_no).in_place;
            self.head.active = Some(row);
        }
        Ok(())
    }

    fn remove_unit(&mut self, unit_no: i64) -> Result<()> {
        self.clear(unit_no)?;
        if self.head.active.as_ref().is_some_and(|row| row.unit_no == unit_no) {
            self.head.active = None;
        } else {
            self.head.staged = None;
        }
        Ok(())
    }

    fn clear(&mut self, unit_no: i64) -> Result<()> {
        let space = self.space(unit_no);
        self.leave(space);
        self.changes.retain(|(of, _), _| *of != unit_no);
        self.parts.retain(|(of, _)| *of != unit_no);
        if self.head.active.as_ref().is_some_and(|row| row.unit_no == unit_no) {
            self.head.hides |= !self.others.is_empty();
            self.others.clear();
        }
        let number = self.split.base.number()?;
        self.spaces.insert(unit_no, Space { number, is_stored: false, ..space });
        Ok(())
    }

    fn place_of(&mut self, unit_no: i64, key: &Key) -> Result<PagePlace> {
        // A page holds one record: behind a key begins another page.
        Ok((self.page(unit_no, key)?, Some(KeyRange::after(key).from)))
    }

    fn insert_page(&mut self, unit_no: i64, page: NewPage) -> Result<()> {
        let at = (unit_no, page.first.as_bytes().to_vec());
        self.changes.insert(at, Change::Put(page));
        Ok(())
    }

    fn remove_page(&mut self, page_no: i64) -> Result<()> {
        if let Some(at) = self.opened.get(page_no as usize) {
            self.changes.insert(at.clone(), Change::Remove);
        }
        Ok(())
    }

    fn newest_parts(&mut self, unit_no: i64, each: &mut dyn FnMut(Part) -> bool) -> Result<()> {
        let space = self.space(unit_no);
        if !space.is_stored {
            return Ok(());
        }
        let (partition, prefix) = (names::partition(&self.unit), &self.split.options.prefix);
        let range = Range::Prefix(names::directories(space.number));
        let mut lowest = u64::MAX;
        self.split.base.table.query_all(&partition, &range, true, |item| {
            let Ok(directory) = Directory::of(&item) else { return Ok(true) };
            for listed in directory.parts.into_iter().rev() {
                let mut part = listed.part;
                // A later directory holds it again, longer.
                if part.first >= lowest {
                    continue;
                }
                lowest = part.first;
                if let Some((stamp, number, at, len)) = listed.object {
                    let place = names::object(prefix, stamp, number);
                    let object = objects::get(&self.split.base.table, &place)?.unwrap_or_default();
                    part.stored = objects::piece(&object, at, len).unwrap_or_default().to_vec();
                }
                if !each(part) {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    fn save_part(&mut self, unit_no: i64, part: Part) -> Result<()> {
        self.parts.push((unit_no, part));
        Ok(())
    }
}

/// Returns how large the item of a record is that is kept whole, at most.
pub(super) fn whole_weight(record: &Record) -> usize {
    let values: usize = record.values.iter().map(|value| value.bytes.len()).sum();
    // What is not the payload stands in the item twice: for others, and in the page.
    values + (record.weight() - values) * 2 + 2048
}

/// Returns the stamp and the number of the objects that hold an item's page.
pub(super) fn objects_of(item: &Item) -> Option<(i64, u64)> {
    let (stamp, count) = (number_of(item, item::STAMP)?, number_of(item, item::OBJECTS)?);
    (count > 0 && bytes_of(item, "page").is_none()).then_some((stamp, count))
}
