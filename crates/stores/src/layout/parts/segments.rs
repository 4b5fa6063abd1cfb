//! What units a store has: dividing it into shares of like weight, and listing them.

use bytes::Bytes;
use restow_model::UnitId;
use restow_store::{Enumeration, Segment, UnitPage};

use super::rows::{NumberedRows, ReadRows};

/// So many units are listed at once.
const UNITS_AT_ONCE: usize = 256;

/// Lists the units behind one with their control records, and says where to go on.
pub(in crate::layout) fn list<R: ReadRows>(
    rows: &mut R,
    behind: Option<&UnitId>,
) -> Result<(UnitPage, Option<Option<UnitId>>), R::Error> {
    let from = behind.map_or("", UnitId::as_str);
    let units = rows.units_from(from, behind.is_none(), UNITS_AT_ONCE)?;
    let last = units.last().filter(|_| units.len() == UNITS_AT_ONCE);
    let next = last.map(|row| Some(row.unit.clone()));
    let page = units.into_iter().map(|row| (row.unit.clone(), row.control())).collect();
    Ok((page, next))
}

/// Divides a store into about `want` shares.
pub(in crate::layout) fn segments<R: NumberedRows>(
    rows: &mut R,
    want: usize,
    by: Enumeration,
) -> Result<Vec<Segment>, R::Error> {
    let bounds = match by {
        Enumeration::Units => names(rows, want.max(1) as u64)?,
        Enumeration::Storage => numbers(rows, want.max(1) as i64)?,
    };
    let starts = std::iter::once(None).chain(bounds.iter().cloned().map(Some));
    let ends = bounds.iter().cloned().map(Some).chain([None]);
    let shares = starts.zip(ends);
    Ok(shares.map(|(from, to)| Segment { by, from, to, bytes_estimate: None }).collect())
}

/// Returns the names between shares of units of like number.
fn names<R: NumberedRows>(rows: &mut R, want: u64) -> Result<Vec<Bytes>, R::Error> {
    let units = rows.count_units()?;
    let shares = want.min(units.max(1));
    let mut bounds = Vec::new();
    for share in 1..shares {
        let unit = rows.unit_at(units * share / shares)?;
        bounds.extend(unit.map(|unit| Bytes::copy_from_slice(unit.as_str().as_bytes())));
    }
    Ok(bounds)
}

/// Returns the numbers between shares of pages.
fn numbers<R: NumberedRows>(rows: &mut R, want: i64) -> Result<Vec<Bytes>, R::Error> {
    let (low, high) = rows.page_numbers()?;
    let step = ((high - low) / want).max(1);
    let starts = (1..want).map(|n| low + n * step).take_while(|at| *at <= high);
    Ok(starts.map(|at| Bytes::copy_from_slice(&at.to_be_bytes())).collect())
}
