//! Walking units: which of them are there, and the frames of each.

use postgres::types::Type;
use restow_model::{Dialect, Record, UnitDigest, UnitId};
use restow_store::managed::{self, Beside as Control};
use restow_store::{Content, Keys, Order, RegisterName, Selection, StoreRecord, Told};

use super::checkpoints::{Checkpoints, Loaded};
use super::keys::{RowKey, Table, Walk};
use super::side::UnitRecords;
use super::writes::Writes;
use super::{Beside, Place, Reader, Shape, Tables, Transaction};
use crate::engine::postgres::{Fail, control, journal};

/// What a row turned out to be.
#[derive(Debug)]
pub(in super::super) enum Found {
    /// A record.
    Record(Record),
    /// Something that cannot be read: where, and what is wrong.
    Damaged(String, String),
}

/// Is told what a walk meets.
pub(in super::super) trait Visitor {
    /// A unit begins.
    fn begin(&mut self, _unit: &UnitId, _dialect: Dialect) -> Result<(), Fail> {
        Ok(())
    }
    /// A record of about so many bytes is about to be loaded.
    fn reserve(&mut self, _bytes: usize) -> Result<(), Fail> {
        Ok(())
    }
    /// A record, or what stands where one should.
    fn found(&mut self, unit: &UnitId, found: Found) -> Result<(), Fail>;
    /// The unit ends.
    fn end(&mut self, _unit: &UnitId) -> Result<(), Fail> {
        Ok(())
    }
}

impl<'t, 'c> Reader<'t, 'c> {
    /// Reads a place.
    pub(in super::super) fn new(
        tx: &'t mut Transaction<'c>,
        tables: &'t Tables,
        place: &'t Place,
        shape: Shape,
    ) -> Self {
        Self { tx, tables, place, shape, has_control: false, beside: None, is_checking: false }
    }

    /// Reads another place.
    pub(in super::super) fn at<'p>(&'p mut self, place: &'p Place) -> Reader<'p, 'c>
    where
        't: 'p,
    {
        let (tables, has_control) = (self.tables, self.has_control);
        Reader { has_control, ..Reader::new(self.tx, tables, place, self.shape) }
    }

    /// Reads what the store says of itself; control records are told from here on.
    pub(in super::super) fn store(&mut self) -> Result<Option<StoreRecord>, Fail> {
        if !self.shape.has_side {
            return Ok(None);
        }
        // What else is asked of every read comes along.
        let sql = format!(
            "SELECT {}, (SELECT bytes FROM {} WHERE name = $1)",
            self.any_beside(),
            self.tables.register
        );
        let name = RegisterName::store();
        let row = self.tx.query_typed_one(&sql, &[(&&*name.0, Type::TEXT)])?;
        self.beside = Some(Beside::read(&row)?);
        let store = managed::store_record(row.try_get(2)?)?;
        self.has_control = store.as_ref().is_some_and(|store| store.id.is_some());
        Ok(store)
    }

    /// Refuses to read from a store that is retired.
    pub(in super::super) fn not_retired(&mut self, operation: &'static str) -> Result<(), Fail> {
        Ok(managed::not_retired(self.store()?.as_ref(), operation)?)
    }

    /// Tells a unit's control record and its writes behind a seq.
    pub(in super::super) fn journal(
        &mut self,
        operation: &'static str,
        unit: &UnitId,
        after: u64,
    ) -> Result<Told, Fail> {
        self.not_retired(operation)?;
        let control = self.control(&[unit])?.pop();
        let control = control.map(|(_, beside)| managed::control(&beside.record, unit));
        let entries = match control {
            Some(_) => journal::entries(self.tx, &self.tables.journal, unit, after)?,
            None => Vec::new(),
        };
        Ok(managed::told(unit, control.transpose()?, after, entries)?)
    }

    /// Reads what stands beside units.
    pub(in super::super) fn control(
        &mut self,
        units: &[&UnitId],
    ) -> Result<Vec<(UnitId, Control)>, Fail> {
        match self.has_control {
            true => Ok(control::read(self.tx, &self.tables.control, units)?),
            false => Ok(Vec::new()),
        }
    }

    /// Looks once whether anything is kept beside the rows; mostly nothing is.
    pub(super) fn beside(&mut self) -> Result<Beside, Fail> {
        if let Some(beside) = self.beside {
            return Ok(beside);
        }
        let mut beside = Beside { has_adjustments: false, has_residues: false };
        if self.shape.has_side {
            let sql = format!("SELECT {}", self.any_beside());
            beside = Beside::read(&self.tx.query_typed_one(&sql, &[])?)?;
        }
        self.beside = Some(beside);
        Ok(beside)
    }

    /// Writes the columns of [`Beside`].
    fn any_beside(&self) -> String {
        let Place { adjustment, residue, .. } = self.place;
        format!("EXISTS (SELECT 1 FROM {adjustment}), EXISTS (SELECT 1 FROM {residue})")
    }

    fn is_active(&self) -> bool {
        *self.place == self.tables.active
    }

    /// Returns the table in which blob rows are that no checkpoint names.
    pub(super) fn unnamed_blobs(&self) -> &'t str {
        match self.is_active() {
            true => &self.tables.active.blobs,
            false => &self.tables.staged.blobs,
        }
    }

    /// Returns a condition, led by `AND`, that leaves out blob rows of units that are being staged
    /// and are not there yet.
    pub(super) fn unless_hidden(&self, alias: &str) -> String {
        match self.is_active() && self.shape.has_side {
            true => format!(
                " AND NOT EXISTS (SELECT 1 FROM {} h WHERE h.thread_id = {alias}.thread_id \
                 AND h.direct)",
                self.tables.stage
            ),
            false => String::new(),
        }
    }

    /// Says whether no unit is there.
    pub(in super::super) fn is_empty(&mut self) -> Result<bool, Fail> {
        let place = self.place;
        let any = |table: &str| format!("SELECT 1 FROM {table} LIMIT 1");
        let mut tables = vec![&place.checkpoints, &place.writes, &place.blobs];
        if self.shape.has_side {
            tables.push(&place.unit);
        }
        for table in tables {
            if self.tx.query_typed_opt(&any(table), &[])?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Says which of some units are there.
    pub(in super::super) fn existing(&mut self, units: &[UnitId]) -> Result<Vec<UnitId>, Fail> {
        let names: Vec<&str> = units.iter().map(UnitId::as_str).collect();
        let mut any: Vec<String> = [&self.place.checkpoints, &self.place.writes]
            .map(|table| format!("EXISTS (SELECT 1 FROM {table} r WHERE r.thread_id = u.id)"))
            .into();
        let hidden = self.unless_hidden("r");
        let blobs = self.unnamed_blobs();
        any.push(format!("EXISTS (SELECT 1 FROM {blobs} r WHERE r.thread_id = u.id{hidden})"));
        if self.shape.has_side {
            let table = &self.place.unit;
            any.push(format!("EXISTS (SELECT 1 FROM {table} r WHERE r.thread_id = u.id)"));
        }
        if self.is_active() && self.has_control {
            let table = &self.tables.control;
            let unit = "convert_to(u.id, 'UTF8')";
            any.push(format!("EXISTS (SELECT 1 FROM {table} c WHERE c.unit = {unit})"));
        }
        let sql = format!(
            "SELECT u.id FROM unnest($1::text[]) WITH ORDINALITY u (id, n) WHERE {} ORDER BY u.n",
            any.join(" OR ")
        );
        let rows = self.tx.query_typed(&sql, &[(&names, Type::TEXT_ARRAY)])?;
        let unit = |row: &postgres::Row| Ok(UnitId::new(row.try_get::<_, &str>(0)?));
        rows.iter().map(unit).collect()
    }

    /// Tells a visitor of units that are there, in the order given.
    pub(in super::super) fn walk(
        &mut self,
        units: &[UnitId],
        what: &Selection,
        visitor: &mut dyn Visitor,
    ) -> Result<(), Fail> {
        if what.content == Content::Nothing {
            for unit in units {
                visitor.begin(unit, Dialect::Any)?;
                visitor.end(unit)?;
            }
            return Ok(());
        }
        self.is_checking = what.content != Content::All;
        let is_descending = what.order == Order::Descending;
        let keys = &what.keys;
        let walk = Walk::Units { units, keys, is_descending };
        let mut checkpoints = Checkpoints::open(self, &walk)?;
        let mut writes = Writes::open(self, &walk)?;
        let mut own = UnitRecords::of(self, units, keys)?;
        for unit in units {
            let dialect = match checkpoints.unit(self)?.as_ref() == Some(unit) {
                true => checkpoints.dialect(self)?,
                false => Dialect::Any,
            };
            visitor.begin(unit, dialect)?;
            let mut left = what.limit.unwrap_or(usize::MAX);
            if is_descending {
                writes.visit(self, unit, &mut left, visitor)?;
                own.visit(self, unit, (keys, true), &mut left, visitor)?;
                checkpoints.visit(self, unit, &mut left, visitor)?;
            } else {
                checkpoints.visit(self, unit, &mut left, visitor)?;
                own.visit(self, unit, (keys, false), &mut left, visitor)?;
                writes.visit(self, unit, &mut left, visitor)?;
            }
            visitor.end(unit)?;
        }
        checkpoints.close(self)?;
        writes.close(self)
    }

    /// Says where a row is, for a person to find it.
    pub(super) fn whereabouts(&self, table: Table, key: &RowKey) -> String {
        let RowKey { unit, namespace, checkpoint, task, index, .. } = key;
        match table {
            Table::Checkpoints => format!(
                "table {}, thread {unit}, namespace {namespace:?}, checkpoint {checkpoint}",
                self.place.checkpoints
            ),
            Table::Writes => format!(
                "table {}, thread {unit}, namespace {namespace:?}, checkpoint {checkpoint}, \
                 task {task}, idx {index}",
                self.place.writes
            ),
        }
    }

    pub(super) fn found(&self, table: Table, loaded: Loaded) -> Found {
        match loaded.found {
            Ok(record) => Found::Record(record),
            Err(why) => Found::Damaged(self.whereabouts(table, &loaded.key), why),
        }
    }
}

impl Checkpoints {
    /// Tells of a unit's records, if they come next; what is over the limit is passed.
    fn visit(
        &mut self,
        reader: &mut Reader<'_, '_>,
        unit: &UnitId,
        left: &mut usize,
        visitor: &mut dyn Visitor,
    ) -> Result<(), Fail> {
        while self.unit(reader)?.as_ref() == Some(unit) {
            if *left == 0 {
                self.leave();
                return self.skip(reader, unit);
            }
            *left -= 1;
            visitor.reserve(self.weight(reader, left.saturating_add(1))?)?;
            if let Some(loaded) = self.next(reader)? {
                visitor.found(unit, reader.found(Table::Checkpoints, loaded))?;
            }
        }
        self.leave();
        Ok(())
    }
}

impl Writes {
    /// Tells of a unit's records, if they come next; what is over the limit is passed.
    fn visit(
        &mut self,
        reader: &mut Reader<'_, '_>,
        unit: &UnitId,
        left: &mut usize,
        visitor: &mut dyn Visitor,
    ) -> Result<(), Fail> {
        while let Some((next, bytes)) = self.peek(reader)?
            && next == *unit
        {
            if *left == 0 {
                return self.skip(reader, unit);
            }
            visitor.reserve(bytes)?;
            if let Some(loaded) = self.next(reader, *left)? {
                visitor.found(unit, reader.found(Table::Writes, loaded))?;
            }
            *left -= 1;
        }
        Ok(())
    }
}

impl UnitRecords {
    fn visit(
        &mut self,
        reader: &mut Reader<'_, '_>,
        unit: &UnitId,
        (keys, is_descending): (&Keys, bool),
        left: &mut usize,
        visitor: &mut dyn Visitor,
    ) -> Result<(), Fail> {
        if *left == 0 || !self.has(unit) {
            return Ok(());
        }
        let mut records = self.take(reader, unit, keys)?;
        if is_descending {
            records.reverse();
        }
        for (key, found) in records.into_iter().take(*left) {
            *left -= 1;
            visitor.reserve(found.as_ref().map_or(0, Record::weight))?;
            let place = || format!("table {}, thread {unit}, record {key}", reader.place.unit);
            let found = match found {
                Ok(record) => Found::Record(record),
                Err(why) => Found::Damaged(place(), why),
            };
            visitor.found(unit, found)?;
        }
        Ok(())
    }
}

/// The content of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Contents {
    /// It is not there.
    Absent,
    /// Its digest; `None` where a record is damaged.
    Digest(Option<UnitDigest>),
}

/// Digests what a unit holds, by reading it.
pub(in super::super) fn contents(
    reader: &mut Reader<'_, '_>,
    unit: &UnitId,
) -> Result<Contents, Fail> {
    let mut sum = Sum::default();
    let units = reader.existing(std::slice::from_ref(unit))?;
    reader.walk(&units, &Selection::all(), &mut sum)?;
    Ok(match (sum.is_damaged, sum.digest.records) {
        (true, _) => Contents::Digest(None),
        (false, 0) => Contents::Absent,
        (false, _) => Contents::Digest(Some(sum.digest)),
    })
}

#[derive(Debug, Default)]
struct Sum {
    digest: UnitDigest,
    is_damaged: bool,
}

impl Visitor for Sum {
    fn found(&mut self, _: &UnitId, found: Found) -> Result<(), Fail> {
        match found {
            Found::Record(record) => self.digest.merge(&record.summed()),
            Found::Damaged(..) => self.is_damaged = true,
        }
        Ok(())
    }
}
