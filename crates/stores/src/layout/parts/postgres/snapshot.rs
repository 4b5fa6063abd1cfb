//! The rows of a store as one transaction sees them, fetched in runs: a round trip is dear.
//!
//! Memory stays bounded whatever the rows hold: data comes along where it is small, and alone where
//! it is not.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use bytes::Bytes;
use postgres::Row;
use postgres::types::{ToSql, Type};
use restow_model::{Key, UnitId};
use restow_store::managed::StoredEntry;
use restow_store::parts::Part;
use restow_store::{Keys, Order, RegisterName};

use super::ahead::Ahead;
use super::columns::{self, PART, UNIT};
use super::schema::Tables;
use crate::engine::postgres::{Fail, Transaction, journal, registers};
use crate::layout::parts::damage::Damage;
use crate::layout::parts::read::Ended;
use crate::layout::parts::rows::{
    EachNumbered, EachPage, NumberedRows, PageRow, ReadRows, UnitRow,
};

/// How many pages come at once: few at first, for who wants the first only.
const PAGES_FIRST: i64 = 2;
const PAGES_AT_ONCE: i64 = 32;
/// Pages up to this size come along with others.
const INLINE_BYTES_MAX: usize = 128 << 10;
/// How many parts come at once while a log is read in order.
const PARTS_AT_ONCE: i64 = 16;
/// No part is larger when it is stored; more is damage, and is not fetched.
const PART_STORED_MAX: usize = 2 << 20;

type Value<'v> = (&'v (dyn ToSql + Sync), Type);

/// The rows that a transaction sees.
pub(super) struct Snapshot<'s, 't> {
    pub(super) tx: &'s mut Transaction<'t>,
    pub(super) tables: &'s Tables,
    /// The store's record, once it was looked at.
    store: Option<Option<Bytes>>,
    /// Units that are going to be read, in order, and what was fetched of them together.
    pub(super) coming: VecDeque<i64>,
    pub(super) ahead: HashMap<i64, Ahead>,
    run: Run,
}

/// The parts of a unit's log that were fetched last.
#[derive(Default)]
struct Run {
    unit_no: i64,
    parts: VecDeque<Part>,
    /// The element behind them.
    next: u64,
    /// How many to fetch when it goes on just there.
    want: i64,
}

impl<'s, 't> Snapshot<'s, 't> {
    /// Reads through a transaction.
    pub(super) fn new(tx: &'s mut Transaction<'t>, tables: &'s Tables) -> Self {
        let (coming, ahead, run) = (VecDeque::new(), HashMap::new(), Run::default());
        Self { tx, tables, store: None, coming, ahead, run }
    }

    /// Says whether the store was prepared for a migration.
    fn has_control(&mut self) -> Result<bool, Fail> {
        let store = self.store()?;
        Ok(self.tables.learn(store.as_ref()))
    }

    /// Lists the columns of a unit.
    fn unit_columns(&mut self) -> Result<String, Fail> {
        Ok(format!("{UNIT}, {}", columns::control(self.has_control()?)))
    }

    /// Finds units by name, or their staged copies, and the store's record along with them.
    fn find(
        &mut self,
        names: &[UnitId],
        token: Option<&str>,
        has_control: bool,
    ) -> Result<Vec<UnitRow>, Fail> {
        let Tables { unit: table, register, .. } = self.tables;
        // The control record of a staged copy is the unit's.
        let control = match token {
            Some(_) if has_control => {
                format!("(SELECT control FROM {table} a WHERE a.unit = u.unit AND NOT a.staged)")
            }
            _ => columns::control(has_control).to_owned(),
        };
        let sql = format!(
            "SELECT {UNIT}, {control}, (SELECT bytes FROM {register} WHERE name = 'store') \
             FROM {table} u WHERE unit = ANY($1) \
             AND staged = ($2 IS NOT NULL) AND ($2 IS NULL OR token = $2)"
        );
        let units: Vec<&[u8]> = names.iter().map(|name| name.as_str().as_bytes()).collect();
        let token = token.map(str::as_bytes);
        let values: [Value<'_>; 2] = [(&units, Type::BYTEA_ARRAY), (&token, Type::BYTEA)];
        let rows = self.tx.query_typed(&sql, &values)?;
        if let Some(row) = rows.first() {
            self.store = Some(row.try_get::<_, Option<Vec<u8>>>(9)?.map(Bytes::from));
        }
        rows.iter().map(|row| columns::unit(row, 0).map_err(Fail::from)).collect()
    }

    fn list<T>(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
        read: impl Fn(&Row) -> Result<T, postgres::Error>,
    ) -> Result<Vec<T>, Fail> {
        let rows = self.tx.query_typed(sql, values)?;
        rows.iter().map(|row| read(row).map_err(Fail::from)).collect()
    }

    /// Returns a page with its data.
    fn whole(&mut self, (mut page, is_whole): (PageRow, bool)) -> Result<PageRow, Fail> {
        if !is_whole {
            let sql = format!("SELECT data FROM {} WHERE page_no = $1", self.tables.page);
            let row = self.tx.query_typed_one(&sql, &[(&page.page_no, Type::INT8)])?;
            page.data = row.try_get(0)?;
        }
        Ok(page)
    }

    /// Notes the units that are going to be read.
    fn expect(&mut self, units: impl IntoIterator<Item = i64>) {
        let mut seen = HashSet::new();
        self.coming = units.into_iter().filter(|unit_no| seen.insert(*unit_no)).collect();
        self.ahead.clear();
    }

    /// Returns the part of the last run that holds an element.
    fn of_run(&mut self, unit_no: i64, element: u64) -> Option<Part> {
        if self.run.unit_no != unit_no {
            return None;
        }
        let holds = |part: &Part| (part.first..part.first + part.count).contains(&element);
        let at = self.run.parts.iter().position(holds)?;
        self.run.parts.remove(at)
    }

    /// Hands out the pages to which some keys belong, each once.
    fn pages_of(
        &mut self,
        unit_no: i64,
        keys: &BTreeSet<Key>,
        order: Order,
        each: EachPage<'_, Self>,
    ) -> Result<(), Ended<Fail>> {
        let page = &self.tables.page;
        let sql = format!(
            "SELECT DISTINCT p.page_no, p.first_key FROM unnest($2) k (key) CROSS JOIN LATERAL \
             (SELECT page_no, first_key FROM {page} WHERE unit_no = $1 AND first_key <= k.key \
             ORDER BY first_key DESC LIMIT 1) p ORDER BY p.first_key"
        );
        let keys: Vec<&[u8]> = keys.iter().map(|key| &key.as_bytes()[..]).collect();
        let values: [Value<'_>; 2] = [(&unit_no, Type::INT8), (&keys, Type::BYTEA_ARRAY)];
        let found = self.list(&sql, &values, |row| row.try_get::<_, i64>(0));
        let mut numbers = found.map_err(Ended::Engine)?;
        if order == Order::Descending {
            numbers.reverse();
        }
        let sql = format!(
            "SELECT p.page_no, p.first_key, p.raw_len, p.digest, \
             CASE WHEN octet_length(p.data) <= {INLINE_BYTES_MAX} THEN p.data END \
             FROM unnest($1) WITH ORDINALITY u (no, n) JOIN {page} p ON p.page_no = u.no \
             ORDER BY u.n"
        );
        for numbers in numbers.chunks(PAGES_AT_ONCE as usize) {
            let values: [Value<'_>; 1] = [(&numbers, Type::INT8_ARRAY)];
            let pages = self.list(&sql, &values, |row| columns::page(row, 0));
            for page in pages.map_err(Ended::Engine)? {
                let page = self.whole(page).map_err(Ended::Engine)?;
                if !each(self, &page)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn fetch_parts(&mut self, unit_no: i64, element: u64) -> Result<Option<Part>, Fail> {
        let goes_on = self.run.unit_no == unit_no && self.run.next == element;
        let want = if goes_on { (self.run.want * 2).min(PARTS_AT_ONCE) } else { 1 };
        let sql = format!(
            "SELECT {PART}, CASE WHEN octet_length(data) <= {PART_STORED_MAX} THEN data END \
             FROM {part} WHERE unit_no = $1 AND first >= (SELECT first FROM {part} \
             WHERE unit_no = $1 AND first <= $2 ORDER BY first DESC LIMIT 1) \
             ORDER BY first LIMIT $3",
            part = self.tables.part
        );
        let at = element as i64;
        let values: [Value<'_>; 3] =
            [(&unit_no, Type::INT8), (&at, Type::INT8), (&want, Type::INT8)];
        let parts = self.list(&sql, &values, |row| Ok(columns::part(row, 0)?.0))?;
        let next = parts.last().map_or(0, |part| part.first.saturating_add(part.count));
        self.run = Run { unit_no, parts: parts.into(), next, want };
        // The first one holds the element, or says itself that it does not.
        Ok(self.run.parts.pop_front())
    }
}

impl ReadRows for Snapshot<'_, '_> {
    type Error = Fail;

    fn store(&mut self) -> Result<Option<Bytes>, Fail> {
        if let Some(store) = &self.store {
            return Ok(store.clone());
        }
        let held = registers::read(self.tx, &self.tables.register, &RegisterName::store().0)?;
        let store = held.map(|(_, bytes)| bytes);
        self.store = Some(store.clone());
        Ok(store)
    }

    fn entries(&mut self, unit: &UnitId, after: u64) -> Result<Vec<StoredEntry>, Fail> {
        Ok(journal::entries(self.tx, &self.tables.journal, unit, after)?)
    }

    fn units(&mut self, names: &[UnitId], token: Option<&str>) -> Result<Vec<UnitRow>, Fail> {
        let believed = self.tables.has_control();
        let mut found = self.find(names, token, believed)?;
        // It was prepared since somebody looked last.
        if !found.is_empty() && self.has_control()? != believed {
            found = self.find(names, token, !believed)?;
        }
        let by_name: HashMap<&UnitId, &UnitRow> =
            found.iter().map(|row| (&row.unit, row)).collect();
        let rows: Vec<UnitRow> =
            names.iter().filter_map(|name| by_name.get(name).map(|row| (*row).clone())).collect();
        self.expect(rows.iter().map(|row| row.unit_no));
        Ok(rows)
    }

    fn units_from(
        &mut self,
        unit: &str,
        inclusive: bool,
        limit: usize,
    ) -> Result<Vec<UnitRow>, Fail> {
        let order = if inclusive { ">=" } else { ">" };
        let sql = format!(
            "SELECT {} FROM {} WHERE unit {order} $1 AND NOT staged ORDER BY unit LIMIT $2",
            self.unit_columns()?,
            self.tables.unit
        );
        let (unit, limit) = (unit.as_bytes(), limit as i64);
        let values: [Value<'_>; 2] = [(&unit, Type::BYTEA), (&limit, Type::INT8)];
        let rows = self.list(&sql, &values, |row| columns::unit(row, 0))?;
        self.expect(rows.iter().map(|row| row.unit_no));
        Ok(rows)
    }

    fn newest_units(&mut self, skip: usize, limit: usize) -> Result<Vec<(UnitId, String)>, Fail> {
        let sql = format!(
            "SELECT unit, newest FROM {} WHERE NOT staged AND newest IS NOT NULL \
             ORDER BY newest DESC LIMIT $1 OFFSET $2",
            self.tables.unit
        );
        let (limit, skip) = (limit as i64, skip as i64);
        let values: [Value<'_>; 2] = [(&limit, Type::INT8), (&skip, Type::INT8)];
        self.list(&sql, &values, |row| {
            let unit = UnitId::new(columns::text(row.try_get(0)?));
            Ok((unit, columns::text(row.try_get(1)?)))
        })
    }

    fn pages(
        &mut self,
        unit_no: i64,
        keys: &Keys,
        order: Order,
        each: EachPage<'_, Self>,
    ) -> Result<(), Ended<Fail>> {
        if let Some(pages) = self.pages_ahead(unit_no, keys, order).map_err(Ended::Engine)? {
            for page in pages {
                if !each(self, &page)? {
                    return Ok(());
                }
            }
            return Ok(());
        }
        let keys = match keys {
            Keys::Range(range) => range,
            Keys::Set(keys) => return self.pages_of(unit_no, keys, order, each),
        };
        let (order, behind) = match order {
            Order::Ascending => ("ASC", ">"),
            Order::Descending => ("DESC", "<"),
        };
        // The page that begins at or before the range may reach into it.
        let sql = format!(
            "SELECT page_no, first_key, raw_len, digest, \
             CASE WHEN octet_length(data) <= {INLINE_BYTES_MAX} THEN data END FROM {page} \
             WHERE unit_no = $1 AND first_key >= coalesce((SELECT first_key FROM {page} \
             WHERE unit_no = $1 AND first_key <= $2 ORDER BY first_key DESC LIMIT 1), '') \
             AND ($3 IS NULL OR first_key < $3) AND ($4 IS NULL OR first_key {behind} $4) \
             ORDER BY first_key {order} LIMIT $5",
            page = self.tables.page
        );
        let (from, to) = (&keys.from[..], keys.to.as_ref().map(|to| &to[..]));
        let (mut last, mut limit): (Option<Vec<u8>>, _) = (None, PAGES_FIRST);
        loop {
            let values: [Value<'_>; 5] = [
                (&unit_no, Type::INT8),
                (&from, Type::BYTEA),
                (&to, Type::BYTEA),
                (&last, Type::BYTEA),
                (&limit, Type::INT8),
            ];
            let pages = self.list(&sql, &values, |row| columns::page(row, 0));
            let pages = pages.map_err(Ended::Engine)?;
            let is_end = pages.len() < limit as usize;
            for page in pages {
                let page = self.whole(page).map_err(Ended::Engine)?;
                if !each(self, &page)? {
                    return Ok(());
                }
                last = Some(page.first);
            }
            if is_end {
                return Ok(());
            }
            limit = PAGES_AT_ONCE;
        }
    }

    fn part_with(&mut self, unit_no: i64, element: u64) -> Result<Option<Part>, Damage<Fail>> {
        if let Some(part) = self.of_run(unit_no, element) {
            return Ok(Some(part));
        }
        if let Some(found) = self.part_ahead(unit_no, element).map_err(Damage::Engine)? {
            return Ok(found);
        }
        self.fetch_parts(unit_no, element).map_err(Damage::Engine)
    }
}

impl NumberedRows for Snapshot<'_, '_> {
    fn units_without_pages(&mut self) -> Result<Vec<UnitId>, Fail> {
        let sql = format!(
            "SELECT unit FROM {} u WHERE NOT staged AND ({} IS NULL OR \
             substr(digest, 1, 8) <> decode('0000000000000000', 'hex')) AND NOT EXISTS \
             (SELECT 1 FROM {} p WHERE p.unit_no = u.unit_no) ORDER BY unit",
            self.tables.unit,
            columns::control(self.has_control()?),
            self.tables.page
        );
        self.list(&sql, &[], |row| Ok(UnitId::new(columns::text(row.try_get(0)?))))
    }

    fn count_units(&mut self) -> Result<u64, Fail> {
        let sql = format!("SELECT count(*) FROM {} WHERE NOT staged", self.tables.unit);
        let units: i64 = self.tx.query_typed_one(&sql, &[])?.try_get(0)?;
        Ok(units as u64)
    }

    fn unit_at(&mut self, offset: u64) -> Result<Option<UnitId>, Fail> {
        let sql = format!(
            "SELECT unit FROM {} WHERE NOT staged ORDER BY unit LIMIT 1 OFFSET $1",
            self.tables.unit
        );
        let values: [Value<'_>; 1] = [(&(offset as i64), Type::INT8)];
        let read = |row: &Row| Ok(UnitId::new(columns::text(row.try_get(0)?)));
        Ok(self.list(&sql, &values, read)?.pop())
    }

    fn pages_numbered(
        &mut self,
        mut from: i64,
        to: i64,
        each: EachNumbered<'_, Self>,
    ) -> Result<(), Ended<Fail>> {
        let unit: Vec<String> = UNIT.split(", ").map(|column| format!("u.{column}")).collect();
        // The pages come first, whatever the server believes of tables that were never analysed.
        let sql = format!(
            "SELECT p.page_no, p.first_key, p.raw_len, p.digest, \
             CASE WHEN octet_length(p.data) <= {INLINE_BYTES_MAX} THEN p.data END, \
             {unit}, {control} \
             FROM (SELECT * FROM {page} WHERE page_no >= $1 ORDER BY page_no \
             LIMIT {PAGES_AT_ONCE}) p LEFT JOIN {units} u ON u.unit_no = p.unit_no \
             AND NOT u.staged ORDER BY p.page_no",
            unit = unit.join(", "),
            control = columns::control(self.has_control().map_err(Ended::Engine)?),
            page = self.tables.page,
            units = self.tables.unit
        );
        loop {
            let read = |row: &Row| {
                let is_staged = row.try_get::<_, Option<i64>>(5)?.is_none();
                let unit = if is_staged { None } else { Some(columns::unit(row, 5)?) };
                Ok((columns::page(row, 0)?, unit))
            };
            let pages = self.list(&sql, &[(&from, Type::INT8)], read).map_err(Ended::Engine)?;
            self.expect(pages.iter().filter_map(|(_, unit)| Some(unit.as_ref()?.unit_no)));
            let is_end = pages.len() < PAGES_AT_ONCE as usize;
            for (page, unit) in pages {
                from = page.0.page_no + 1;
                if page.0.page_no >= to {
                    return Ok(());
                }
                if let Some(unit) = unit {
                    let page = self.whole(page).map_err(Ended::Engine)?;
                    each(self, &unit, &page)?;
                }
            }
            if is_end {
                return Ok(());
            }
        }
    }

    fn page_numbers(&mut self) -> Result<(i64, i64), Fail> {
        let sql = format!(
            "SELECT coalesce(min(page_no), 0), coalesce(max(page_no), 0) FROM {}",
            self.tables.page
        );
        let row = self.tx.query_typed_one(&sql, &[])?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }
}
