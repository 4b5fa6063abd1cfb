//! Changes on their way to the server: one statement a kind of change, whatever their number.

use std::collections::BTreeMap;

use postgres::types::{ToSql, Type};
use restow_model::UnitId;
use restow_store::Entry;
use restow_store::parts::Part;

use super::schema::Tables;
use crate::engine::postgres::{Fail, Transaction, journal};
use crate::layout::parts::rows::{NewPage, Staging, UnitRow};

/// What is to be changed, in the order of the fields.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Units that go.
    removed: Vec<i64>,
    /// Units whose pages and parts go.
    cleared: Vec<i64>,
    /// Pages that go.
    removed_pages: Vec<i64>,
    pages: Vec<(i64, NewPage)>,
    parts: BTreeMap<(i64, u64), Part>,
    /// Units as they are in the end.
    pub(super) units: BTreeMap<i64, (UnitRow, Option<Staging>)>,
    /// Journal entries that units leave.
    entries: Vec<(UnitId, Entry)>,
    /// How many bytes pages and parts have.
    pub(super) bytes: usize,
}

impl Changes {
    pub(super) fn remove_unit(&mut self, unit_no: i64) {
        self.clear(unit_no);
        self.units.remove(&unit_no);
        self.removed.push(unit_no);
    }

    pub(super) fn clear(&mut self, unit_no: i64) {
        self.pages.retain(|(of, _)| *of != unit_no);
        self.parts.retain(|(of, _), _| *of != unit_no);
        self.cleared.push(unit_no);
        let pages = self.pages.iter().map(|(_, page)| page.data.len());
        let parts = self.parts.values().map(|part| part.stored.len());
        self.bytes = pages.chain(parts).sum();
    }

    pub(super) fn insert_page(&mut self, unit_no: i64, page: NewPage) {
        self.bytes += page.data.len();
        self.pages.push((unit_no, page));
    }

    pub(super) fn remove_page(&mut self, page_no: i64) {
        self.removed_pages.push(page_no);
    }

    pub(super) fn save_part(&mut self, unit_no: i64, part: Part) {
        self.bytes += part.stored.len();
        if let Some(shorter) = self.parts.insert((unit_no, part.first), part) {
            self.bytes -= shorter.stored.len();
        }
    }

    pub(super) fn note(&mut self, unit: &UnitId, entry: &Entry) {
        self.entries.push((unit.clone(), entry.clone()));
    }

    /// Says whether pages change that the server does not know of.
    pub(super) fn has_pages(&self) -> bool {
        !(self.pages.is_empty() && self.removed_pages.is_empty() && self.cleared.is_empty())
    }

    /// Adds the changes of another unit.
    pub(super) fn merge(&mut self, other: Self) {
        self.removed.extend(other.removed);
        self.cleared.extend(other.cleared);
        self.removed_pages.extend(other.removed_pages);
        self.pages.extend(other.pages);
        self.parts.extend(other.parts);
        self.units.extend(other.units);
        self.entries.extend(other.entries);
        self.bytes += other.bytes;
    }

    /// Sends everything but the units' own rows.
    pub(super) fn send(&mut self, tx: &mut Transaction<'_>, tables: &Tables) -> Result<(), Fail> {
        self.bytes = 0;
        if !self.cleared.is_empty() {
            let sql = format!(
                "WITH pages AS (DELETE FROM {} WHERE unit_no = ANY($1)), \
                 parts AS (DELETE FROM {} WHERE unit_no = ANY($1)) \
                 DELETE FROM {} WHERE unit_no = ANY($2)",
                tables.page, tables.part, tables.unit
            );
            let (cleared, removed) =
                (std::mem::take(&mut self.cleared), std::mem::take(&mut self.removed));
            let values = [(&cleared as _, Type::INT8_ARRAY), (&removed as _, Type::INT8_ARRAY)];
            tx.execute_typed(&sql, &values)?;
        }
        let removed = std::mem::take(&mut self.removed_pages);
        if !removed.is_empty() {
            let sql = format!("DELETE FROM {} WHERE page_no = ANY($1)", tables.page);
            tx.execute_typed(&sql, &[(&removed, Type::INT8_ARRAY)])?;
        }
        send_pages(tx, tables, &std::mem::take(&mut self.pages))?;
        send_parts(tx, tables, &std::mem::take(&mut self.parts))
    }

    /// Sends the units' own rows, in one order everywhere, and their journal entries.
    pub(super) fn send_units(
        &mut self,
        tx: &mut Transaction<'_>,
        tables: &Tables,
        has_control: bool,
    ) -> Result<(), Fail> {
        for (unit, entry) in std::mem::take(&mut self.entries) {
            journal::push(tx, &tables.journal, &unit, &entry)?;
        }
        let mut units: Vec<_> = std::mem::take(&mut self.units).into_values().collect();
        if units.is_empty() {
            return Ok(());
        }
        units.sort_by(|(a, _), (b, _)| a.unit.as_str().cmp(b.unit.as_str()));
        let (name, value, set) = match has_control {
            true => (", control", ", $11", ", control = excluded.control"),
            false => ("", "", ""),
        };
        let sql = format!(
            "INSERT INTO {} (unit_no, unit, token, active, dialect, digest, next, version, newest, \
             op_id{name}) SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10{value}) \
             ON CONFLICT (unit_no) DO UPDATE SET token = excluded.token, \
             active = excluded.active, dialect = excluded.dialect, digest = excluded.digest, \
             next = excluded.next, version = excluded.version, newest = excluded.newest, \
             op_id = excluded.op_id{set}",
            tables.unit
        );
        let row = |at: usize| &units[at].0;
        let staging = |at: usize| units[at].1.as_ref();
        let all = 0..units.len();
        let each = || all.clone();
        let digests: Vec<_> = each().map(|at| row(at).digest.to_bytes()).collect();
        let numbers = column(each().map(|at| row(at).unit_no), Type::INT8_ARRAY);
        let names = column(each().map(|at| row(at).unit.as_str().as_bytes()), BYTES);
        let tokens = column(each().map(|at| staging(at).map(|s| s.token.as_bytes())), BYTES);
        let actives = column(each().map(|at| staging(at).map(|s| &s.active[..])), BYTES);
        let dialects = each().map(|at| i16::from(row(at).dialect.code()));
        let dialects = column(dialects, Type::INT2_ARRAY);
        let digests = column(digests.iter().map(|digest| &digest[..]), BYTES);
        let nexts = column(each().map(|at| row(at).next as i64), Type::INT8_ARRAY);
        let versions = column(each().map(|at| row(at).version), Type::INT8_ARRAY);
        let newest = column(each().map(|at| row(at).newest.as_ref().map(|n| n.as_bytes())), BYTES);
        let op_ids = each().map(|at| row(at).op_id.as_ref().map(|id| &id.as_bytes()[..]));
        let op_ids = column(op_ids, BYTES);
        let controls = column(each().map(|at| row(at).control.as_deref()), BYTES);
        let mut values = vec![
            numbers.borrow(),
            names.borrow(),
            tokens.borrow(),
            actives.borrow(),
            dialects.borrow(),
            digests.borrow(),
            nexts.borrow(),
            versions.borrow(),
            newest.borrow(),
            op_ids.borrow(),
        ];
        values.extend(has_control.then(|| controls.borrow()));
        tx.execute_typed(&sql, &values)?;
        Ok(())
    }
}

const BYTES: Type = Type::BYTEA_ARRAY;

/// The values of a column, one a row.
struct Column<T>(Vec<T>, Type);

fn column<T>(values: impl IntoIterator<Item = T>, kind: Type) -> Column<T> {
    Column(values.into_iter().collect(), kind)
}

impl<T: ToSql + Sync> Column<T> {
    fn borrow(&self) -> (&(dyn ToSql + Sync), Type) {
        (&self.0, self.1.clone())
    }
}

fn send_pages(
    tx: &mut Transaction<'_>,
    tables: &Tables,
    pages: &[(i64, NewPage)],
) -> Result<(), Fail> {
    if pages.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO {} (unit_no, first_key, records, raw_len, digest, data) \
         SELECT * FROM unnest($1, $2, $3, $4, $5, $6)",
        tables.page
    );
    tx.execute_typed(
        &sql,
        &[
            column(pages.iter().map(|(unit_no, _)| *unit_no), Type::INT8_ARRAY).borrow(),
            column(pages.iter().map(|(_, p)| &p.first.as_bytes()[..]), BYTES).borrow(),
            column(pages.iter().map(|(_, p)| p.records as i64), Type::INT8_ARRAY).borrow(),
            column(pages.iter().map(|(_, p)| p.raw_len as i64), Type::INT8_ARRAY).borrow(),
            column(pages.iter().map(|(_, p)| &p.digest.as_bytes()[..]), BYTES).borrow(),
            column(pages.iter().map(|(_, p)| &p.data[..]), BYTES).borrow(),
        ],
    )?;
    Ok(())
}

fn send_parts(
    tx: &mut Transaction<'_>,
    tables: &Tables,
    parts: &BTreeMap<(i64, u64), Part>,
) -> Result<(), Fail> {
    if parts.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO {} AS stored (unit_no, first, count, raw_len, digest, data) \
         SELECT * FROM unnest($1, $2, $3, $4, $5, $6) ON CONFLICT (unit_no, first) DO UPDATE \
         SET count = excluded.count, raw_len = excluded.raw_len, digest = excluded.digest, \
         data = excluded.data WHERE stored.digest <> excluded.digest",
        tables.part
    );
    let rows = || parts.values();
    tx.execute_typed(
        &sql,
        &[
            column(parts.keys().map(|(unit_no, _)| *unit_no), Type::INT8_ARRAY).borrow(),
            column(rows().map(|part| part.first as i64), Type::INT8_ARRAY).borrow(),
            column(rows().map(|part| part.count as i64), Type::INT8_ARRAY).borrow(),
            column(rows().map(|part| part.raw_len as i64), Type::INT8_ARRAY).borrow(),
            column(rows().map(|part| &part.name.as_bytes()[..]), BYTES).borrow(),
            column(rows().map(|part| &part.stored[..]), BYTES).borrow(),
        ],
    )?;
    Ok(())
}
