//! The rows of one unit as a writer changes them: everything is gathered here, and written by one
//! commit.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use restow_model::{Dialect, Digest, Key, Record, UnitDigest, UnitId};
use restow_store::managed::Noted;
use restow_store::parts::Part;
use restow_store::parts::part::Codec;
use restow_store::{Entry, Error, ErrorKind, Etag, KeyRange, Op, Result, UnitOps};

use super::names::{self, KEYS};
use super::rows::Rows;
use super::unit::{self, Items, is_settled};
use super::{Saver, item, settle};
use crate::engine::dynamodb::{Item, Place};
use crate::layout::dynamodb::head::{Head, readable};
use crate::layout::dynamodb::{Want, journal, registers};
use crate::layout::parts::damage::expand;
use crate::layout::parts::rows::{NewPage, PagePlace, PageRow, Staging, UnitRow, WriteRows};

/// What becomes of a record.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Put(NewPage),
    Remove,
}

/// Where the records of a row are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Space {
    /// Its number, in names.
    pub(super) number: i64,
    /// Whether they stand where the official saver looks for them.
    pub(super) in_place: bool,
    /// Whether anything is stored there.
    pub(super) is_stored: bool,
}

/// A unit that is being changed.
pub(in crate::layout) struct Work<'s> {
    pub(super) saver: &'s Saver,
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
    /// Items as they are stored; those that are not there too.
    pub(super) stored: HashMap<Place, Option<Item>>,
    /// Pages that were handed out, by number.
    opened: Vec<(i64, Vec<u8>)>,
    pub(super) entries: Vec<Entry>,
    pub(super) forgotten: Option<u64>,
    pub(super) codec: Codec,
}

impl<'s> Work<'s> {
    /// Looks at a unit that is going to be changed; what a promotion left is done first.
    pub(super) fn open(saver: &'s Saver, unit: &UnitId, ops: Option<&UnitOps>) -> Result<Self> {
        let table = &saver.base.table;
        let shard = registers::shard(unit);
        let mut places = vec![names::head(unit), shard.clone()];
        places.extend(keys_of(ops).map(|key| names::place(unit, key)));
        places.sort();
        places.dedup();
        let (was, store, stored) = loop {
            let mut stored: HashMap<Place, Option<Item>> =
                places.iter().map(|place| (place.clone(), None)).collect();
            for item in table.get_many(&places)? {
                if let Some(place) = KEYS.place_of(&item) {
                    stored.insert(place, Some(item));
                }
            }
            let head = stored.remove(&names::head(unit)).flatten();
            let was = head.map(|item| readable(unit, Head::of(unit, &item))).transpose()?;
            if was.as_ref().is_none_or(is_settled) {
                let store = stored.remove(&shard).flatten();
                break (was, store.as_ref().and_then(registers::content), stored);
            }
            settle::settle(saver, unit)?;
        };
        let codec = Codec::new()
            .map_err(|torn| Error::new(ErrorKind::Failed, "write units", torn.to_string()))?;
        let (store_etag, store) = store.unzip();
        let mut this = Self {
            saver,
            unit: unit.clone(),
            store_etag,
            store,
            head: was.clone().unwrap_or_default(),
            was,
            stamp: saver.base.number()?,
            spaces: HashMap::new(),
            changes: BTreeMap::new(),
            stored,
            opened: Vec::new(),
            entries: Vec::new(),
            forgotten: None,
            codec,
        };
        this.adopt()?;
        if let Some((row, _)) = &this.head.staged {
            let number = row.unit_no;
            let places: BTreeSet<_> =
                keys_of(ops).map(|key| names::spaced(unit, number, key)).collect();
            let places: Vec<_> = places.into_iter().collect();
            this.stored.extend(places.iter().map(|place| (place.clone(), None)));
            for item in table.get_many(&places)? {
                this.stored.extend(KEYS.place_of(&item).map(|place| (place, Some(item))));
            }
        }
        Ok(this)
    }

    /// Takes in what is stored: of a unit without control record, that is what counts.
    fn adopt(&mut self) -> Result<()> {
        if let Some((row, _)) = &self.head.staged {
            let space = Space { number: row.unit_no, in_place: false, is_stored: true };
            self.spaces.insert(row.unit_no, space);
        }
        let in_place = |number| Space { number, in_place: true, is_stored: true };
        if let Some(row) = self.head.active.as_ref().filter(|row| row.control.is_some()) {
            self.spaces.insert(row.unit_no, in_place(row.unit_no));
            return Ok(());
        }
        // Whoever changes the unit by restow from here on makes the commit fail.
        let items = unit::all_in_place(self.saver, &self.unit, self.was.as_ref())?;
        if items.is_empty() {
            self.head.active = None;
            return Ok(());
        }
        let digest = self.sum(&items)?;
        let row = self.head.active.take();
        let row =
            row.unwrap_or_else(|| UnitRow::empty(self.stamp, self.unit.clone(), Dialect::Python));
        self.spaces.insert(row.unit_no, in_place(row.unit_no));
        self.head.active = Some(UnitRow { digest, version: row.version.max(1), ..row });
        for item in items.into_values() {
            if let Some(place) = KEYS.place_of(&item) {
                self.stored.insert(place, Some(item));
            }
        }
        Ok(())
    }

    /// Sums what is stored; what cannot be read counts as a record, and adds nothing else.
    fn sum(&mut self, items: &Items) -> Result<UnitDigest> {
        let mut sum = UnitDigest::default();
        let mut untold = Vec::new();
        for (key, item) in items {
            match item::sum_of(item) {
                Some(told) => sum.merge(&told),
                None => untold.push((&key[..], item)),
            }
        }
        let mut rows = Rows::new(self.saver, Want::default())?;
        for some in untold.chunks(64) {
            for page in rows.pages_of(some)? {
                match expand(&mut self.codec, &page, |_| true) {
                    Ok(entries) => entries.iter().for_each(|entry| sum.merge(&entry.summed())),
                    Err(_) => sum.records += 1,
                }
            }
        }
        Ok(sum)
    }

    /// Returns the row of a number, to be changed.
    fn row(&mut self, unit_no: i64) -> Option<&mut UnitRow> {
        let is = |row: &&mut UnitRow| row.unit_no == unit_no;
        let staged = self.head.staged.as_mut().map(|(row, _)| row);
        self.head.active.as_mut().filter(is).or_else(|| staged.filter(is))
    }

    /// Returns where the records of a row are.
    pub(super) fn space(&self, unit_no: i64) -> Space {
        let unknown = Space { number: unit_no, in_place: false, is_stored: false };
        self.spaces.get(&unit_no).copied().unwrap_or(unknown)
    }

    /// Returns where a record of a space is.
    pub(super) fn place(&self, space: Space, key: &Key) -> Place {
        match space.in_place {
            true => names::place(&self.unit, key),
            false => names::spaced(&self.unit, space.number, key),
        }
    }

    /// Returns an item as it is stored.
    pub(super) fn item(&mut self, place: &Place) -> Result<Option<Item>> {
        if !self.stored.contains_key(place) {
            let item = self.saver.base.table.get(place)?;
            self.stored.insert(place.clone(), item);
        }
        Ok(self.stored.get(place).cloned().flatten())
    }

    fn page(&mut self, unit_no: i64, key: &Key) -> Result<Option<PageRow>> {
        let at = (unit_no, key.as_bytes().to_vec());
        let page_no = self.opened.len() as i64;
        let row = match self.changes.get(&at) {
            Some(Change::Remove) => return Ok(None),
            Some(Change::Put(page)) => PageRow {
                page_no,
                first: at.1.clone(),
                raw_len: page.raw_len as i64,
                digest: page.digest.as_bytes().to_vec(),
                data: page.data.clone(),
                place: None,
                fault: None,
            },
            None => {
                let space = self.space(unit_no);
                let item = match space.is_stored {
                    true => self.item(&self.place(space, key))?,
                    false => None,
                };
                let now = self.saver.base.table.now();
                let item = item.filter(|item| !item::is_expired(item, now));
                let Some(item) = item else { return Ok(None) };
                let mut rows = Rows::new(self.saver, Want::default())?;
                let Some(page) = rows.pages_of(&[(&at.1, &item)])?.pop() else { return Ok(None) };
                PageRow { page_no, ..page }
            }
        };
        self.opened.push(at);
        Ok(Some(row))
    }
}

/// Lists the keys of the records that operations put or remove.
fn keys_of(ops: Option<&UnitOps>) -> impl Iterator<Item = &Key> {
    ops.into_iter().flat_map(|ops| ops.ops.iter()).filter_map(|op| match op {
        Op::Put { record, .. } => Some(&record.key),
        Op::Remove { key, .. } => Some(key),
        Op::Clear => None,
    })
}

impl WriteRows for Work<'_> {
    type Error = Error;

    const KEY_BYTES_MAX: usize = 4096;
    const IS_PAGE_A_RECORD: bool = true;

    fn is_kept_whole(&self, _record: &Record) -> bool {
        true
    }

    fn store(&mut self) -> Result<Option<Bytes>> {
        Ok(self.store.clone())
    }

    fn noted(&mut self, unit: &UnitId, op_id: Option<Digest>, after: u64) -> Result<Noted> {
        journal::noted(&self.saver.base.table, &names::own(unit), op_id, after)
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
            true => self.saver.base.number()?,
            false => self.stamp,
        };
        let row = UnitRow::empty(number, unit.clone(), dialect);
        // What was removed by this change is still in place.
        let in_place = staging.is_none() && !self.head.hides;
        self.spaces.insert(number, Space { number, in_place, is_stored: false });
        match staging {
            Some(staging) => self.head.staged = Some((row.clone(), staging)),
            None => self.head.active = Some(row.clone()),
        }
        Ok(row)
    }

    fn save_unit(&mut self, row: &UnitRow) -> Result<()> {
        if let Some(held) = self.row(row.unit_no) {
            *held = row.clone();
        }
        Ok(())
    }

    fn promote(&mut self, _unit_no: i64) -> Result<()> {
        if let Some((row, _)) = self.head.staged.take() {
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
        self.changes.retain(|(of, _), _| *of != unit_no);
        match (space.is_stored, space.in_place) {
            (false, _) => return Ok(()),
            (true, true) => self.head.hides = true,
            (true, false) => self.head.garbage.push(space.number),
        }
        let number = self.saver.base.number()?;
        self.spaces.insert(unit_no, Space { number, in_place: false, is_stored: false });
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

    fn newest_parts(&mut self, _: i64, _: &mut dyn FnMut(Part) -> bool) -> Result<()> {
        // Values stand in their pages.
        Ok(())
    }

    fn save_part(&mut self, _: i64, _: Part) -> Result<()> {
        let message = "a value was put aside in a layout that keeps none; this is a defect";
        Err(Error::new(ErrorKind::Failed, "write units", message))
    }
}
