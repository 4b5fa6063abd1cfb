//! The rows of a `parts+sqlite` file.

use std::collections::BTreeSet;

use bytes::Bytes;
use restow_model::{Dialect, Digest, Key, UnitDigest, UnitId};
use restow_store::managed::{Noted, StoredEntry};
use restow_store::parts::{Part, Torn};
use restow_store::{Entry, Keys, Order, RegisterName};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::schema;
use crate::engine::sqlite::{journal, registers};
use crate::layout::parts::damage::Damage;
use crate::layout::parts::read::Ended;
use crate::layout::parts::rows::{
    EachNumbered, EachPage, NewPage, NumberedRows, PagePlace, PageRow, ReadRows, Staging, UnitRow,
    WriteRows,
};

/// The rows that a connection sees.
#[derive(Clone, Copy)]
pub(super) struct Rows<'c> {
    pub(super) connection: &'c Connection,
    /// Whether the store was prepared for a migration.
    pub(super) has_control: bool,
}

const UNIT: &str = "unit_no, unit, dialect, digest, next, version, newest, op_id";
const PAGE: &str = "page_no, first_key, raw_len, digest, data";
const PART: &str = "first, count, raw_len, digest, data";

fn unit(row: &Row<'_>) -> rusqlite::Result<UnitRow> {
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
        control: row.get(8)?,
    })
}

fn page(row: &Row<'_>) -> rusqlite::Result<PageRow> {
    Ok(PageRow {
        page_no: row.get(0)?,
        first: row.get(1)?,
        raw_len: row.get(2)?,
        digest: row.get(3)?,
        data: row.get(4)?,
        place: None,
        fault: None,
    })
}

fn part(row: &Row<'_>) -> rusqlite::Result<Part> {
    let (first, count, raw_len): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let name: Vec<u8> = row.get(3)?;
    Ok(Part {
        first: first as u64,
        count: count as u64,
        // A negative length becomes one that no part has; a short name matches no bytes.
        raw_len: usize::try_from(raw_len).unwrap_or(usize::MAX),
        name: Digest::from_slice(&name).unwrap_or_default(),
        stored: row.get(4)?,
    })
}

impl<'c> Rows<'c> {
    /// Looks at the rows of a file.
    pub(super) fn new(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self { connection, has_control: schema::has_control(connection)? })
    }

    /// Lists the columns of a unit.
    fn unit_columns(&self) -> String {
        let control = if self.has_control { "control" } else { "NULL" };
        format!("{UNIT}, {control}")
    }

    fn store_bytes(&self) -> rusqlite::Result<Option<Bytes>> {
        let held = registers::read(self.connection, &RegisterName::store().0)?;
        Ok(held.map(|(_, bytes)| bytes))
    }

    /// Hands out the pages to which some keys belong, each once.
    fn pages_of(
        &mut self,
        unit_no: i64,
        keys: &BTreeSet<Key>,
        order: Order,
        each: EachPage<'_, Self>,
    ) -> Result<(), Ended<rusqlite::Error>> {
        let sql = format!(
            "SELECT {PAGE} FROM restow_page WHERE unit_no = ?1 AND first_key <= ?2 \
             ORDER BY first_key DESC LIMIT 1"
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(Ended::Engine)?;
        let mut keys: Vec<&Key> = keys.iter().collect();
        if order == Order::Descending {
            keys.reverse();
        }
        let mut last = None;
        for key in keys {
            let found = statement.query_row(params![unit_no, &key.as_bytes()[..]], page);
            let Some(page) = found.optional().map_err(Ended::Engine)? else { continue };
            // Keys of one page are neighbours.
            if last.replace(page.page_no) != Some(page.page_no) && !each(self, &page)? {
                break;
            }
        }
        Ok(())
    }

    /// Finds the unit that pages of a number belong to; nothing for staged copies.
    fn unit_of_number(&self, unit_no: i64) -> rusqlite::Result<Option<UnitRow>> {
        let unit_columns = self.unit_columns();
        let sql =
            format!("SELECT {unit_columns} FROM restow_unit WHERE unit_no = ?1 AND token IS NULL");
        self.connection.prepare_cached(&sql)?.query_row([unit_no], unit).optional()
    }
}

impl ReadRows for Rows<'_> {
    type Error = rusqlite::Error;

    fn store(&mut self) -> rusqlite::Result<Option<Bytes>> {
        self.store_bytes()
    }

    fn entries(&mut self, unit: &UnitId, after: u64) -> rusqlite::Result<Vec<StoredEntry>> {
        journal::entries(self.connection, unit, after)
    }

    fn units(&mut self, names: &[UnitId], token: Option<&str>) -> rusqlite::Result<Vec<UnitRow>> {
        // The control record of a staged copy is the unit's.
        let control = match (self.has_control, token) {
            (false, _) => "NULL",
            (true, None) => "control",
            (true, Some(_)) => {
                "(SELECT a.control FROM restow_unit a WHERE a.unit = ?1 AND a.token IS NULL)"
            }
        };
        let sql =
            format!("SELECT {UNIT}, {control} FROM restow_unit WHERE unit = ?1 AND token IS ?2");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let found = names.iter().filter_map(|name| {
            statement.query_row(params![name.as_str(), token], unit).optional().transpose()
        });
        found.collect()
    }

    fn units_from(
        &mut self,
        name: &str,
        inclusive: bool,
        limit: usize,
    ) -> rusqlite::Result<Vec<UnitRow>> {
        let order = if inclusive { ">=" } else { ">" };
        let sql = format!(
            "SELECT {} FROM restow_unit WHERE unit {order} ?1 AND token IS NULL \
             ORDER BY unit LIMIT ?2",
            self.unit_columns()
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        statement.query_map(params![name, limit as i64], unit)?.collect()
    }

    fn newest_units(
        &mut self,
        skip: usize,
        limit: usize,
    ) -> rusqlite::Result<Vec<(UnitId, String)>> {
        let sql = "SELECT unit, newest FROM restow_unit WHERE token IS NULL AND newest IS NOT NULL \
                   ORDER BY newest DESC LIMIT ?1 OFFSET ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let read = |row: &Row<'_>| Ok((UnitId::new(row.get::<_, String>(0)?), row.get(1)?));
        statement.query_map(params![limit as i64, skip as i64], read)?.collect()
    }

    fn pages(
        &mut self,
        unit_no: i64,
        keys: &Keys,
        order: Order,
        each: EachPage<'_, Self>,
    ) -> Result<(), Ended<rusqlite::Error>> {
        let keys = match keys {
            Keys::Range(range) => range,
            Keys::Set(keys) => return self.pages_of(unit_no, keys, order, each),
        };
        let order = match order {
            Order::Ascending => "ASC",
            Order::Descending => "DESC",
        };
        // The page that begins at or before the range may reach into it.
        let sql = format!(
            "SELECT {PAGE} FROM restow_page WHERE unit_no = ?1 AND first_key >= coalesce( \
             (SELECT max(first_key) FROM restow_page WHERE unit_no = ?1 AND first_key <= ?2), x'') \
             AND (?3 IS NULL OR first_key < ?3) ORDER BY first_key {order}"
        );
        let to = keys.to.as_ref().map(|to| &to[..]);
        let mut statement = self.connection.prepare_cached(&sql).map_err(Ended::Engine)?;
        let rows = statement.query(params![unit_no, &keys.from[..], to]);
        let mut rows = rows.map_err(Ended::Engine)?;
        while let Some(row) = rows.next().map_err(Ended::Engine)? {
            if !each(self, &page(row).map_err(Ended::Engine)?)? {
                break;
            }
        }
        Ok(())
    }

    fn part_with(
        &mut self,
        unit_no: i64,
        element: u64,
    ) -> Result<Option<Part>, Damage<rusqlite::Error>> {
        let sql = format!(
            "SELECT {PART} FROM restow_part WHERE unit_no = ?1 AND first <= ?2 \
             ORDER BY first DESC LIMIT 1"
        );
        let fetch = || -> rusqlite::Result<_> {
            let mut statement = self.connection.prepare_cached(&sql)?;
            statement.query_row(params![unit_no, element as i64], part).optional()
        };
        // A page of the file that cannot be read is told of the record, and the rest goes on.
        fetch().map_err(|error| Damage::Torn(Torn::Unreadable(error.to_string())))
    }
}

impl NumberedRows for Rows<'_> {
    fn units_without_pages(&mut self) -> rusqlite::Result<Vec<UnitId>> {
        let holds_some = match self.has_control {
            true => "AND (control IS NULL OR substr(digest, 1, 8) <> zeroblob(8))",
            false => "",
        };
        let sql = format!(
            "SELECT unit FROM restow_unit u WHERE token IS NULL {holds_some} AND NOT EXISTS \
             (SELECT 1 FROM restow_page p WHERE p.unit_no = u.unit_no) ORDER BY unit"
        );
        let mut statement = self.connection.prepare(&sql)?;
        let units = statement.query_map([], |row| Ok(UnitId::new(row.get::<_, String>(0)?)))?;
        units.collect()
    }

    fn count_units(&mut self) -> rusqlite::Result<u64> {
        let sql = "SELECT count(*) FROM restow_unit WHERE token IS NULL";
        self.connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map(|units| units as u64)
    }

    fn unit_at(&mut self, offset: u64) -> rusqlite::Result<Option<UnitId>> {
        let sql = "SELECT unit FROM restow_unit WHERE token IS NULL ORDER BY unit \
                   LIMIT 1 OFFSET ?1";
        let read = |row: &Row<'_>| Ok(UnitId::new(row.get::<_, String>(0)?));
        self.connection.prepare_cached(sql)?.query_row([offset as i64], read).optional()
    }

    fn pages_numbered(
        &mut self,
        from: i64,
        to: i64,
        each: EachNumbered<'_, Self>,
    ) -> Result<(), Ended<rusqlite::Error>> {
        let sql = format!(
            "SELECT {PAGE}, unit_no FROM restow_page WHERE page_no >= ?1 AND page_no < ?2 \
             ORDER BY page_no"
        );
        let mut statement = self.connection.prepare(&sql).map_err(Ended::Engine)?;
        let mut rows = statement.query(params![from, to]).map_err(Ended::Engine)?;
        let mut current: Option<UnitRow> = None;
        while let Some(row) = rows.next().map_err(Ended::Engine)? {
            let unit_no: i64 = row.get(5).map_err(Ended::Engine)?;
            if current.as_ref().is_none_or(|unit| unit.unit_no != unit_no) {
                current = self.unit_of_number(unit_no).map_err(Ended::Engine)?;
            }
            if let Some(unit) = &current {
                each(self, unit, &page(row).map_err(Ended::Engine)?)?;
            }
        }
        Ok(())
    }

    fn page_numbers(&mut self) -> rusqlite::Result<(i64, i64)> {
        let sql = "SELECT coalesce(min(page_no), 0), coalesce(max(page_no), 0) FROM restow_page";
        self.connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
    }
}

impl WriteRows for Rows<'_> {
    type Error = rusqlite::Error;

    const KEY_BYTES_MAX: usize = usize::MAX;

    fn store(&mut self) -> rusqlite::Result<Option<Bytes>> {
        self.store_bytes()
    }

    fn noted(
        &mut self,
        unit: &UnitId,
        op_id: Option<Digest>,
        after: u64,
    ) -> rusqlite::Result<Noted> {
        journal::noted(self.connection, unit, op_id, after)
    }

    fn note(&mut self, unit: &UnitId, entry: &Entry) -> rusqlite::Result<()> {
        journal::push(self.connection, unit, entry)
    }

    fn forget(&mut self, unit: &UnitId, upto: u64) -> rusqlite::Result<()> {
        match self.has_control {
            true => journal::trim(self.connection, unit, upto),
            false => Ok(()),
        }
    }

    fn unit(&mut self, name: &UnitId) -> rusqlite::Result<Option<UnitRow>> {
        let unit_columns = self.unit_columns();
        let sql =
            format!("SELECT {unit_columns} FROM restow_unit WHERE unit = ?1 AND token IS NULL");
        self.connection.prepare_cached(&sql)?.query_row([name.as_str()], unit).optional()
    }

    fn staged(&mut self, name: &UnitId) -> rusqlite::Result<Option<(UnitRow, Staging)>> {
        let sql = format!(
            "SELECT {UNIT}, NULL, token, active FROM restow_unit \
             WHERE unit = ?1 AND token IS NOT NULL"
        );
        let read =
            |row: &Row<'_>| Ok((unit(row)?, Staging { token: row.get(9)?, active: row.get(10)? }));
        self.connection.prepare_cached(&sql)?.query_row([name.as_str()], read).optional()
    }

    fn insert_unit(
        &mut self,
        unit: &UnitId,
        dialect: Dialect,
        staging: Option<Staging>,
    ) -> rusqlite::Result<UnitRow> {
        let sql = "INSERT INTO restow_unit (unit, token, active, dialect, digest, next, version) \
                   VALUES (?1, ?2, ?3, ?4, ?5, 0, 0)";
        let (token, active) = staging.map(|s| (s.token, s.active)).unzip();
        let digest = &UnitDigest::default().to_bytes()[..];
        let mut statement = self.connection.prepare_cached(sql)?;
        let values = params![unit.as_str(), token, active, dialect.code(), digest];
        Ok(UnitRow::empty(statement.insert(values)?, unit.clone(), dialect))
    }

    fn save_unit(&mut self, row: &UnitRow) -> rusqlite::Result<()> {
        let sql = "UPDATE restow_unit SET dialect = ?2, digest = ?3, next = ?4, version = ?5, \
                   newest = ?6, op_id = ?7 WHERE unit_no = ?1";
        let with_control = "UPDATE restow_unit SET dialect = ?2, digest = ?3, next = ?4, \
                            version = ?5, newest = ?6, op_id = ?7, control = ?8 WHERE unit_no = ?1";
        let mut statement =
            self.connection.prepare_cached(if self.has_control { with_control } else { sql })?;
        let (unit_no, dialect, digest) = (row.unit_no, row.dialect.code(), row.digest.to_bytes());
        let (next, version, newest) = (row.next as i64, row.version, &row.newest);
        let op_id = row.op_id.as_ref().map(|id| &id.as_bytes()[..]);
        let digest = &digest[..];
        match self.has_control {
            true => statement.execute(params![
                unit_no,
                dialect,
                digest,
                next,
                version,
                newest,
                op_id,
                row.control
            ]),
            false => {
                statement.execute(params![unit_no, dialect, digest, next, version, newest, op_id])
            }
        }
        .map(drop)
    }

    fn promote(&mut self, unit_no: i64) -> rusqlite::Result<()> {
        let sql = "UPDATE restow_unit SET token = NULL, active = NULL WHERE unit_no = ?1";
        self.connection.prepare_cached(sql)?.execute([unit_no])?;
        Ok(())
    }

    fn remove_unit(&mut self, unit_no: i64) -> rusqlite::Result<()> {
        self.clear(unit_no)?;
        self.connection
            .prepare_cached("DELETE FROM restow_unit WHERE unit_no = ?1")?
            .execute([unit_no])?;
        Ok(())
    }

    fn clear(&mut self, unit_no: i64) -> rusqlite::Result<()> {
        for table in ["restow_page", "restow_part"] {
            let sql = format!("DELETE FROM {table} WHERE unit_no = ?1");
            self.connection.prepare_cached(&sql)?.execute([unit_no])?;
        }
        Ok(())
    }

    fn place_of(&mut self, unit_no: i64, key: &Key) -> rusqlite::Result<PagePlace> {
        let below = format!(
            "SELECT {PAGE} FROM restow_page WHERE unit_no = ?1 AND first_key <= ?2 \
             ORDER BY first_key DESC LIMIT 1"
        );
        let behind = "SELECT first_key FROM restow_page WHERE unit_no = ?1 AND first_key > ?2 \
                      ORDER BY first_key LIMIT 1";
        let place = params![unit_no, &key.as_bytes()[..]];
        let below = self.connection.prepare_cached(&below)?.query_row(place, page).optional()?;
        let first = |row: &Row<'_>| row.get::<_, Vec<u8>>(0).map(Bytes::from);
        Ok((below, self.connection.prepare_cached(behind)?.query_row(place, first).optional()?))
    }

    fn insert_page(&mut self, unit_no: i64, page: NewPage) -> rusqlite::Result<()> {
        let sql = "INSERT INTO restow_page (unit_no, first_key, records, raw_len, digest, data) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.connection.prepare_cached(sql)?.execute(params![
            unit_no,
            &page.first.as_bytes()[..],
            page.records as i64,
            page.raw_len as i64,
            &page.digest.as_bytes()[..],
            page.data,
        ])?;
        Ok(())
    }

    fn remove_page(&mut self, page_no: i64) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("DELETE FROM restow_page WHERE page_no = ?1")?
            .execute([page_no])?;
        Ok(())
    }

    fn newest_parts(
        &mut self,
        unit_no: i64,
        each: &mut dyn FnMut(Part) -> bool,
    ) -> rusqlite::Result<()> {
        let sql = format!("SELECT {PART} FROM restow_part WHERE unit_no = ?1 ORDER BY first DESC");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query([unit_no])?;
        while let Some(row) = rows.next()? {
            if !each(part(row)?) {
                break;
            }
        }
        Ok(())
    }

    fn save_part(&mut self, unit_no: i64, part: Part) -> rusqlite::Result<()> {
        let sql = "INSERT INTO restow_part (unit_no, first, count, raw_len, digest, data) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (unit_no, first) DO UPDATE SET \
                   count = excluded.count, raw_len = excluded.raw_len, \
                   digest = excluded.digest, data = excluded.data \
                   WHERE digest <> excluded.digest";
        self.connection.prepare_cached(sql)?.execute(params![
            unit_no,
            part.first as i64,
            part.count as i64,
            part.raw_len as i64,
            &part.name.as_bytes()[..],
            part.stored,
        ])?;
        Ok(())
    }
}
