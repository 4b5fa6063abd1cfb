//! Small units read together: one round trip for many of them, not several for each.

use std::collections::HashMap;

use postgres::types::Type;
use restow_store::parts::Part;
use restow_store::{Keys, Order};

use super::columns::{self, PART};
use super::snapshot::Snapshot;
use crate::engine::postgres::Fail;
use crate::layout::parts::rows::PageRow;

/// How many units are looked at together.
const UNITS_AT_ONCE: usize = 64;
/// A unit with as many pages, or parts, is read by itself.
const ROWS_MAX: usize = 3;
/// So is one with a larger page, or part.
const INLINE_BYTES_MAX: usize = 16 << 10;

/// What was fetched of a unit together with others; `None` where it is read by itself.
#[derive(Default)]
pub(super) struct Ahead {
    pages: Looked<PageRow>,
    parts: Looked<Part>,
}

/// What became of a look at a unit's rows.
#[derive(Default)]
enum Looked<T> {
    /// Nobody looked.
    #[default]
    Not,
    /// These are all.
    Whole(Vec<T>),
    /// There are more, or larger ones.
    Large,
}

impl<T> Looked<T> {
    fn of(rows: Vec<(T, bool)>) -> Self {
        match rows.len() < ROWS_MAX && rows.iter().all(|(_, is_whole)| *is_whole) {
            true => Self::Whole(rows.into_iter().map(|(row, _)| row).collect()),
            false => Self::Large,
        }
    }
}

impl Snapshot<'_, '_> {
    /// Returns the pages of a small unit that may hold keys of a range.
    pub(super) fn pages_ahead(
        &mut self,
        unit_no: i64,
        keys: &Keys,
        order: Order,
    ) -> Result<Option<Vec<PageRow>>, Fail> {
        let keys = keys.span();
        if matches!(self.ahead.get(&unit_no), None | Some(Ahead { pages: Looked::Not, .. })) {
            self.look_at_pages(unit_no)?;
        }
        let Some(Ahead { pages: Looked::Whole(pages), .. }) = self.ahead.get(&unit_no) else {
            return Ok(None);
        };
        let from = pages.iter().rposition(|page| page.first[..] <= keys.from[..]).unwrap_or(0);
        let is_below = |page: &&PageRow| keys.to.as_ref().is_none_or(|to| page.first[..] < to[..]);
        let mut pages: Vec<_> = pages[from..].iter().filter(is_below).cloned().collect();
        if order == Order::Descending {
            pages.reverse();
        }
        Ok(Some(pages))
    }

    /// Returns the part of a small unit that holds an element.
    pub(super) fn part_ahead(
        &mut self,
        unit_no: i64,
        element: u64,
    ) -> Result<Option<Option<Part>>, Fail> {
        if matches!(self.ahead.get(&unit_no), None | Some(Ahead { parts: Looked::Not, .. })) {
            self.look_at_parts(unit_no)?;
        }
        let Some(Ahead { parts: Looked::Whole(parts), .. }) = self.ahead.get(&unit_no) else {
            return Ok(None);
        };
        Ok(Some(parts.iter().rev().find(|part| part.first <= element).cloned()))
    }

    fn look_at_pages(&mut self, unit_no: i64) -> Result<(), Fail> {
        let sql = lateral(&self.tables.page, "page_no, first_key, raw_len, digest", "first_key");
        for (unit_no, pages) in self.look(&sql, unit_no, columns::page)? {
            self.ahead.entry(unit_no).or_default().pages = pages;
        }
        Ok(())
    }

    fn look_at_parts(&mut self, unit_no: i64) -> Result<(), Fail> {
        let sql = lateral(&self.tables.part, PART, "first");
        for (unit_no, parts) in self.look(&sql, unit_no, columns::part)? {
            self.ahead.entry(unit_no).or_default().parts = parts;
        }
        Ok(())
    }

    /// Looks at the rows of a unit and of those that are going to be read behind it; what was
    /// fetched of those before it is forgotten.
    fn look<T>(
        &mut self,
        sql: &str,
        unit_no: i64,
        read: impl Fn(&postgres::Row, usize) -> Result<(T, bool), postgres::Error>,
    ) -> Result<Vec<(i64, Looked<T>)>, Fail> {
        while let Some(passed) = self.coming.pop_front_if(|next| *next != unit_no) {
            self.ahead.remove(&passed);
        }
        let units: Vec<i64> = self.coming.iter().take(UNITS_AT_ONCE).copied().collect();
        // One alone gains nothing.
        if units.len() < 2 {
            return Ok(vec![(unit_no, Looked::Large)]);
        }
        let mut found: HashMap<i64, Vec<(T, bool)>> = HashMap::new();
        for row in self.tx.query_typed(sql, &[(&units, Type::INT8_ARRAY)])? {
            found.entry(row.try_get(0)?).or_default().push(read(&row, 1)?);
        }
        let looked = units
            .into_iter()
            .map(|unit_no| (unit_no, Looked::of(found.remove(&unit_no).unwrap_or_default())));
        Ok(looked.collect())
    }
}

fn lateral(table: &str, columns: &str, order: &str) -> String {
    format!(
        "SELECT unit.no, {columns}, \
         CASE WHEN octet_length(data) <= {INLINE_BYTES_MAX} THEN data END \
         FROM unnest($1) AS unit(no) CROSS JOIN LATERAL (SELECT * FROM {table} \
         WHERE unit_no = unit.no ORDER BY {order} LIMIT {ROWS_MAX}) found"
    )
}
