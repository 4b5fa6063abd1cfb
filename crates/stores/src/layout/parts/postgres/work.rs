//! The rows of a store while a batch is written: looked up at once, and sent together.
//!
//! A unit that fails is forgotten before anything of it was sent. Only one that is too large to be
//! held back is sent in pieces, behind a savepoint.

use std::collections::HashMap;

use bytes::Bytes;
use postgres::types::Type;
use restow_model::{Dialect, Digest, Key, UnitId};
use restow_store::Entry;
use restow_store::managed::Noted;
use restow_store::parts::Part;
use restow_store::parts::part::PART_BYTES_MAX;

use super::columns::{self, PART, UNIT};
use super::schema::Tables;
use super::send::Changes;
use crate::engine::postgres::{Fail, Transaction, journal, registers};
use crate::layout::parts::rows::{NewPage, PagePlace, Staging, UnitRow, WriteRows};

/// How many bytes of pages and parts are held back; on their way they are held three times.
const HELD_BYTES_MAX: usize = 1 << 20;
/// How many parts a log looks up at once.
const PARTS_AT_ONCE: i64 = 16;

/// The rows of a unit and of its staged copy.
#[derive(Clone, Debug, Default)]
struct Held {
    active: Option<UnitRow>,
    staged: Option<(UnitRow, Staging)>,
}

/// The rows that a transaction writes.
pub(super) struct Work<'w, 't> {
    tx: &'w mut Transaction<'t>,
    tables: &'w Tables,
    /// The store's record, and whether the store was prepared for a migration.
    store: Option<Bytes>,
    has_control: bool,
    held: HashMap<UnitId, Held>,
    /// Numbers for units that are not there yet, and how many may still be needed.
    numbers: Vec<i64>,
    wanted: usize,
    /// Changes of units that are done.
    done: Changes,
    /// Changes of the unit that is being written, and what it was before.
    open: Changes,
    before: Option<(UnitId, Held)>,
    /// Whether some of it was sent, behind a savepoint.
    is_sent: bool,
}

impl<'w, 't> Work<'w, 't> {
    /// Looks units up and keeps everybody else from them until the transaction ends.
    ///
    /// Rows are locked in one order everywhere. One that is not there yet cannot be locked: of two
    /// that add it the later one fails at the index and has to begin again.
    pub(super) fn begin(
        tx: &'w mut Transaction<'t>,
        tables: &'w Tables,
        units: &[&UnitId],
    ) -> Result<Self, Fail> {
        let store = registers::held_store(tx, &tables.register)?;
        let has_control = tables.learn(store.as_ref());
        let sql = format!(
            "SELECT {UNIT}, {}, token, active FROM {} WHERE unit = ANY($1) \
             ORDER BY unit, staged FOR UPDATE",
            columns::control(has_control),
            tables.unit
        );
        let names: Vec<&[u8]> = units.iter().map(|unit| unit.as_str().as_bytes()).collect();
        let mut held: HashMap<UnitId, Held> = HashMap::new();
        for row in tx.query_typed(&sql, &[(&names, Type::BYTEA_ARRAY)])? {
            let (unit, staging) = (columns::unit(&row, 0)?, columns::staging(&row)?);
            let held = held.entry(unit.unit.clone()).or_default();
            match staging {
                None => held.active = Some(unit),
                Some(staging) => held.staged = Some((unit, staging)),
            }
        }
        let (done, open) = (Changes::default(), Changes::default());
        let wanted = units.len() - held.values().filter(|held| held.active.is_some()).count();
        let (numbers, before, is_sent) = (Vec::new(), None, false);
        Ok(Self {
            tx,
            tables,
            store,
            has_control,
            held,
            numbers,
            wanted,
            done,
            open,
            before,
            is_sent,
        })
    }

    /// Begins with a unit.
    pub(super) fn open(&mut self, unit: &UnitId) {
        let held = self.held.get(unit).cloned().unwrap_or_default();
        self.before = Some((unit.clone(), held));
    }

    /// Keeps what was done to the unit.
    pub(super) fn keep(&mut self) -> Result<(), Fail> {
        if std::mem::take(&mut self.is_sent) {
            self.tx.batch_execute("RELEASE SAVEPOINT restow_unit")?;
        }
        self.before = None;
        self.done.merge(std::mem::take(&mut self.open));
        match self.done.bytes > HELD_BYTES_MAX {
            true => self.done.send(self.tx, self.tables),
            false => Ok(()),
        }
    }

    /// Takes back what was done to the unit.
    pub(super) fn take_back(&mut self) -> Result<(), Fail> {
        if std::mem::take(&mut self.is_sent) {
            self.tx.batch_execute("ROLLBACK TO SAVEPOINT restow_unit")?;
        }
        self.open = Changes::default();
        if let Some((unit, held)) = self.before.take() {
            self.held.insert(unit, held);
        }
        Ok(())
    }

    /// Sends what was held back.
    pub(super) fn finish(mut self) -> Result<(), Fail> {
        self.done.send(self.tx, self.tables)?;
        self.done.send_units(self.tx, self.tables, self.has_control)
    }

    /// Sends what the unit holds back so far.
    fn send(&mut self) -> Result<(), Fail> {
        if !std::mem::replace(&mut self.is_sent, true) {
            self.tx.batch_execute("SAVEPOINT restow_unit")?;
        }
        self.open.send(self.tx, self.tables)
    }

    fn send_much(&mut self) -> Result<(), Fail> {
        if self.open.bytes > HELD_BYTES_MAX { self.send() } else { Ok(()) }
    }

    /// Returns a number that no unit had before.
    fn number(&mut self) -> Result<i64, Fail> {
        if let Some(number) = self.numbers.pop() {
            return Ok(number);
        }
        let sql = "SELECT nextval($1::text::regclass) FROM generate_series(1, $2)";
        let want = std::mem::replace(&mut self.wanted, 1).max(1) as i64;
        let values = [(&self.tables.unit_no as _, Type::TEXT), (&want as _, Type::INT8)];
        let rows = self.tx.query_typed(sql, &values)?;
        let numbers: Result<Vec<i64>, _> = rows.iter().rev().map(|row| row.try_get(0)).collect();
        self.numbers = numbers?;
        self.numbers.pop().ok_or_else(|| Fail::Stop(restow_store::feed::Closed.into()))
    }

    fn of_number(&mut self, unit_no: i64) -> Option<&mut Held> {
        let (unit, _) = self.before.as_ref()?;
        let held = self.held.get_mut(unit)?;
        let numbers = [held.active.as_ref(), held.staged.as_ref().map(|(row, _)| row)];
        numbers.iter().flatten().any(|row| row.unit_no == unit_no).then_some(held)
    }
}

impl WriteRows for Work<'_, '_> {
    type Error = Fail;

    /// An entry of an index has to fit a third of a page of the server's.
    const KEY_BYTES_MAX: usize = 2500;

    fn store(&mut self) -> Result<Option<Bytes>, Fail> {
        Ok(self.store.clone())
    }

    fn noted(&mut self, unit: &UnitId, op_id: Option<Digest>, after: u64) -> Result<Noted, Fail> {
        Ok(journal::noted(self.tx, &self.tables.journal, unit, op_id, after)?)
    }

    fn note(&mut self, unit: &UnitId, entry: &Entry) -> Result<(), Fail> {
        self.open.note(unit, entry);
        Ok(())
    }

    fn forget(&mut self, unit: &UnitId, upto: u64) -> Result<(), Fail> {
        if self.has_control {
            journal::trim(self.tx, &self.tables.journal, unit, upto)?;
        }
        Ok(())
    }

    fn unit(&mut self, unit: &UnitId) -> Result<Option<UnitRow>, Fail> {
        Ok(self.held.get(unit).and_then(|held| held.active.clone()))
    }

    fn staged(&mut self, unit: &UnitId) -> Result<Option<(UnitRow, Staging)>, Fail> {
        Ok(self.held.get(unit).and_then(|held| held.staged.clone()))
    }

    fn insert_unit(
        &mut self,
        unit: &UnitId,
        dialect: Dialect,
        staging: Option<Staging>,
    ) -> Result<UnitRow, Fail> {
        let row = UnitRow::empty(self.number()?, unit.clone(), dialect);
        self.open.units.insert(row.unit_no, (row.clone(), staging.clone()));
        let held = self.held.entry(unit.clone()).or_default();
        match staging {
            None => held.active = Some(row.clone()),
            Some(staging) => held.staged = Some((row.clone(), staging)),
        }
        Ok(row)
    }

    fn save_unit(&mut self, row: &UnitRow) -> Result<(), Fail> {
        let mut staging = None;
        if let Some(held) = self.of_number(row.unit_no) {
            match &mut held.staged {
                Some((staged, found)) if staged.unit_no == row.unit_no => {
                    *staged = row.clone();
                    staging = Some(found.clone());
                }
                _ => held.active = Some(row.clone()),
            }
        }
        self.open.units.insert(row.unit_no, (row.clone(), staging));
        Ok(())
    }

    fn promote(&mut self, unit_no: i64) -> Result<(), Fail> {
        let staged = self.of_number(unit_no).and_then(|held| {
            let (row, _) = held.staged.take()?;
            held.active = Some(row.clone());
            Some(row)
        });
        if let Some(row) = staged {
            self.open.units.insert(unit_no, (row, None));
        }
        Ok(())
    }

    fn remove_unit(&mut self, unit_no: i64) -> Result<(), Fail> {
        if let Some(held) = self.of_number(unit_no) {
            held.active.take_if(|row| row.unit_no == unit_no);
            held.staged.take_if(|(row, _)| row.unit_no == unit_no);
        }
        self.open.remove_unit(unit_no);
        Ok(())
    }

    fn clear(&mut self, unit_no: i64) -> Result<(), Fail> {
        self.open.clear(unit_no);
        Ok(())
    }

    fn place_of(&mut self, unit_no: i64, key: &Key) -> Result<PagePlace, Fail> {
        if self.open.has_pages() {
            self.send()?;
        }
        let sql = format!(
            "(SELECT page_no, first_key, raw_len, digest, data FROM {page} \
              WHERE unit_no = $1 AND first_key <= $2 ORDER BY first_key DESC LIMIT 1) UNION ALL \
             (SELECT page_no, first_key, raw_len, digest, NULL FROM {page} \
              WHERE unit_no = $1 AND first_key > $2 ORDER BY first_key LIMIT 1)",
            page = self.tables.page
        );
        let key = &key.as_bytes()[..];
        let values = [(&unit_no as _, Type::INT8), (&key as _, Type::BYTEA)];
        let mut place = (None, None);
        for row in self.tx.query_typed(&sql, &values)? {
            match columns::page(&row, 0)? {
                (page, true) => place.0 = Some(page),
                (page, false) => place.1 = Some(Bytes::from(page.first)),
            }
        }
        Ok(place)
    }

    fn insert_page(&mut self, unit_no: i64, page: NewPage) -> Result<(), Fail> {
        self.open.insert_page(unit_no, page);
        self.send_much()
    }

    fn remove_page(&mut self, page_no: i64) -> Result<(), Fail> {
        self.open.remove_page(page_no);
        Ok(())
    }

    fn newest_parts(
        &mut self,
        unit_no: i64,
        each: &mut dyn FnMut(Part) -> bool,
    ) -> Result<(), Fail> {
        let sql = format!(
            "SELECT {PART}, CASE WHEN octet_length(data) <= {max} THEN data END FROM {part} \
             WHERE unit_no = $1 AND first < $2 ORDER BY first DESC LIMIT {PARTS_AT_ONCE}",
            max = PART_BYTES_MAX * 2,
            part = self.tables.part
        );
        let mut below = i64::MAX;
        loop {
            let values = [(&unit_no as _, Type::INT8), (&below as _, Type::INT8)];
            let rows = self.tx.query_typed(&sql, &values)?;
            for row in &rows {
                let (part, _) = columns::part(row, 0)?;
                below = part.first as i64;
                if !each(part) {
                    return Ok(());
                }
            }
            if rows.len() < PARTS_AT_ONCE as usize {
                return Ok(());
            }
        }
    }

    fn save_part(&mut self, unit_no: i64, part: Part) -> Result<(), Fail> {
        self.open.save_part(unit_no, part);
        self.send_much()
    }
}
