//! The row of a unit, or of its staged copy.

use restow_model::{Dialect, Digest, UnitDigest, UnitId};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// The row of a unit, or of its staged copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnitRow {
    /// What pages and parts name it by.
    pub(super) unit_no: i64,
    /// The unit.
    pub(super) unit: UnitId,
    /// The language of its payloads.
    pub(super) dialect: Dialect,
    /// Count and sums of its records.
    pub(super) digest: UnitDigest,
    /// The number of the next element of its log.
    pub(super) next: u64,
    /// Rises with every apply.
    pub(super) version: i64,
    /// Not below its greatest checkpoint id.
    pub(super) newest: Option<String>,
    /// The last operation that had an id.
    pub(super) op_id: Option<Digest>,
}

const COLUMNS: &str = "unit_no, unit, dialect, digest, next, version, newest, op_id";

fn row(row: &Row<'_>) -> rusqlite::Result<UnitRow> {
    let digest: Vec<u8> = row.get(3)?;
    let op_id: Option<Vec<u8>> = row.get(7)?;
    let next: i64 = row.get(4)?;
    Ok(UnitRow {
        unit_no: row.get(0)?,
        unit: UnitId::new(row.get::<_, String>(1)?),
        dialect: Dialect::from_code(row.get(2)?).unwrap_or_default(),
        // A digest of another length matches nothing, and is reported where it is compared.
        digest: UnitDigest::from_slice(&digest).unwrap_or_default(),
        next: next as u64,
        version: row.get(5)?,
        newest: row.get(6)?,
        op_id: op_id.as_deref().and_then(Digest::from_slice),
    })
}

/// Returns the row of a unit, or of its staged copy under a token.
pub(super) fn find(
    connection: &Connection,
    unit: &UnitId,
    token: Option<&str>,
) -> rusqlite::Result<Option<UnitRow>> {
    let (sql, unit) = match token {
        None => {
            (format!("SELECT {COLUMNS} FROM restow_unit WHERE unit = ?1 AND token IS NULL"), unit)
        }
        Some(_) => {
            (format!("SELECT {COLUMNS} FROM restow_unit WHERE unit = ?1 AND token = ?2"), unit)
        }
    };
    let mut statement = connection.prepare_cached(&sql)?;
    match token {
        None => statement.query_row([unit.as_str()], row).optional(),
        Some(token) => statement.query_row([unit.as_str(), token], row).optional(),
    }
}

/// Returns the unit that pages of a number belong to; `None` for staged copies.
pub(super) fn of_number(
    connection: &Connection,
    unit_no: i64,
) -> rusqlite::Result<Option<UnitRow>> {
    let sql = format!("SELECT {COLUMNS} FROM restow_unit WHERE unit_no = ?1 AND token IS NULL");
    connection.prepare_cached(&sql)?.query_row([unit_no], row).optional()
}

/// Returns the units that have lost all their pages.
pub(super) fn without_pages(connection: &Connection) -> rusqlite::Result<Vec<UnitId>> {
    let sql = "SELECT unit FROM restow_unit u WHERE token IS NULL AND NOT EXISTS \
               (SELECT 1 FROM restow_page p WHERE p.unit_no = u.unit_no) ORDER BY unit";
    let mut statement = connection.prepare(sql)?;
    let units = statement.query_map([], |row| Ok(UnitId::new(row.get::<_, String>(0)?)))?;
    units.collect()
}

/// Returns up to `limit` units by name, from one on.
pub(super) fn from(
    connection: &Connection,
    unit: &str,
    inclusive: bool,
    limit: usize,
) -> rusqlite::Result<Vec<UnitRow>> {
    let order = if inclusive { ">=" } else { ">" };
    let sql = format!(
        "SELECT {COLUMNS} FROM restow_unit WHERE unit {order} ?1 AND token IS NULL \
         ORDER BY unit LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map(params![unit, limit as i64], row)?.collect()
}

/// Returns up to `limit` units, those with the newest checkpoints first, skipping some.
pub(super) fn newest_first(
    connection: &Connection,
    skip: usize,
    limit: usize,
) -> rusqlite::Result<Vec<UnitRow>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM restow_unit WHERE token IS NULL AND newest IS NOT NULL \
         ORDER BY newest DESC LIMIT ?1 OFFSET ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map(params![limit as i64, skip as i64], row)?.collect()
}

/// Adds the row of a unit, or of a staged copy with what the unit itself was, and returns it.
pub(super) fn insert(
    connection: &Connection,
    unit: &UnitId,
    dialect: Dialect,
    staged: Option<(&str, &[u8])>,
) -> rusqlite::Result<UnitRow> {
    let empty = UnitDigest::default();
    let sql = "INSERT INTO restow_unit (unit, token, active, dialect, digest, next, version) \
               VALUES (?1, ?2, ?3, ?4, ?5, 0, 0)";
    let (token, active) = staged.unzip();
    let values = params![unit.as_str(), token, active, dialect.code(), &empty.to_bytes()[..]];
    connection.prepare_cached(sql)?.execute(values)?;
    let unit_no = connection.last_insert_rowid();
    let unit = unit.clone();
    Ok(UnitRow {
        unit_no,
        unit,
        dialect,
        digest: empty,
        next: 0,
        version: 0,
        newest: None,
        op_id: None,
    })
}

/// Saves the row.
pub(super) fn save(connection: &Connection, row: &UnitRow) -> rusqlite::Result<()> {
    let sql = "UPDATE restow_unit SET dialect = ?2, digest = ?3, next = ?4, version = ?5, \
               newest = ?6, op_id = ?7 WHERE unit_no = ?1";
    connection.prepare_cached(sql)?.execute(params![
        row.unit_no,
        row.dialect.code(),
        &row.digest.to_bytes()[..],
        row.next as i64,
        row.version,
        row.newest,
        row.op_id.as_ref().map(|d| &d.as_bytes()[..]),
    ])?;
    Ok(())
}

/// Removes a unit, or a staged copy, with all that hangs on it.
pub(super) fn remove(connection: &Connection, unit_no: i64) -> rusqlite::Result<()> {
    clear(connection, unit_no)?;
    connection.prepare_cached("DELETE FROM restow_unit WHERE unit_no = ?1")?.execute([unit_no])?;
    Ok(())
}

/// Removes the pages and parts of a unit, or of a staged copy.
pub(super) fn clear(connection: &Connection, unit_no: i64) -> rusqlite::Result<()> {
    for table in ["restow_page", "restow_part"] {
        let sql = format!("DELETE FROM {table} WHERE unit_no = ?1");
        connection.prepare_cached(&sql)?.execute([unit_no])?;
    }
    Ok(())
}

/// Returns the staged copy of a unit with its token and what the unit itself was, if there is one.
pub(super) fn staged(
    connection: &Connection,
    unit: &UnitId,
) -> rusqlite::Result<Option<(i64, String, Vec<u8>)>> {
    let sql = "SELECT unit_no, token, active FROM restow_unit \
               WHERE unit = ?1 AND token IS NOT NULL";
    let mut statement = connection.prepare_cached(sql)?;
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    statement.query_row([unit.as_str()], read).optional()
}

/// Makes a staged copy the unit.
pub(super) fn promote(connection: &Connection, unit_no: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE restow_unit SET token = NULL, active = NULL WHERE unit_no = ?1";
    connection.prepare_cached(sql)?.execute([unit_no])?;
    Ok(())
}
