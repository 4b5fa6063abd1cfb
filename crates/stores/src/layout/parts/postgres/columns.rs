//! Columns as the mechanism's rows.

use postgres::Row;
use restow_model::{Dialect, Digest, UnitDigest, UnitId};
use restow_store::parts::Part;

use crate::layout::parts::rows::{PageRow, Staging, UnitRow};

pub(super) const UNIT: &str = "unit_no, unit, dialect, digest, next, version, newest, op_id";
/// The control record, behind [`UNIT`], of a store that has the column, and of one that has not.
pub(super) fn control(has_control: bool) -> &'static str {
    if has_control { "control" } else { "NULL::bytea" }
}

pub(super) const PART: &str = "first, count, raw_len, digest";

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Reads the columns of [`UNIT`] and the control record, from one on.
pub(super) fn unit(row: &Row, at: usize) -> Result<UnitRow, postgres::Error> {
    let dialect: i16 = row.try_get(at + 2)?;
    let dialect = u8::try_from(dialect).ok().and_then(Dialect::from_code);
    let newest: Option<&[u8]> = row.try_get(at + 6)?;
    let op_id: Option<&[u8]> = row.try_get(at + 7)?;
    Ok(UnitRow {
        unit_no: row.try_get(at)?,
        unit: UnitId::new(text(row.try_get(at + 1)?)),
        dialect: dialect.unwrap_or_default(),
        // A digest of another length matches nothing, and is reported where it is compared.
        digest: UnitDigest::from_slice(row.try_get(at + 3)?).unwrap_or_default(),
        next: row.try_get::<_, i64>(at + 4)? as u64,
        version: row.try_get(at + 5)?,
        newest: newest.map(text),
        op_id: op_id.and_then(Digest::from_slice),
        control: row.try_get(at + 8)?,
    })
}

/// Reads token and guard of a staged copy, which stand behind a unit's columns.
pub(super) fn staging(row: &Row) -> Result<Option<Staging>, postgres::Error> {
    let token: Option<&[u8]> = row.try_get(9)?;
    let active: Option<Vec<u8>> = row.try_get(10)?;
    Ok(token.map(|token| Staging { token: text(token), active: active.unwrap_or_default() }))
}

/// Reads `page_no, first_key, raw_len, digest, data`, from one on; the data may be left out.
pub(super) fn page(row: &Row, at: usize) -> Result<(PageRow, bool), postgres::Error> {
    let data: Option<Vec<u8>> = row.try_get(at + 4)?;
    let is_whole = data.is_some();
    let page = PageRow {
        page_no: row.try_get(at)?,
        first: row.try_get(at + 1)?,
        raw_len: row.try_get(at + 2)?,
        digest: row.try_get(at + 3)?,
        data: data.unwrap_or_default(),
        place: None,
        fault: None,
    };
    Ok((page, is_whole))
}

/// Reads the columns of [`PART`] and the data, from one on; the data may be left out.
pub(super) fn part(row: &Row, at: usize) -> Result<(Part, bool), postgres::Error> {
    let stored: Option<Vec<u8>> = row.try_get(at + 4)?;
    let is_whole = stored.is_some();
    let part = Part {
        first: row.try_get::<_, i64>(at)? as u64,
        count: row.try_get::<_, i64>(at + 1)? as u64,
        // A negative length becomes one that no part has; a short name matches no bytes.
        raw_len: usize::try_from(row.try_get::<_, i64>(at + 2)?).unwrap_or(usize::MAX),
        name: Digest::from_slice(row.try_get(at + 3)?).unwrap_or_default(),
        stored: stored.unwrap_or_default(),
    };
    Ok((part, is_whole))
}
