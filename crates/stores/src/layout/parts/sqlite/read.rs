//! Reading units: pages in key order, or as they lie in the file, with their values joined.

use bytes::Bytes;
use restow_model::{Key, UnitId, read_varint, write_varint};
use restow_store::feed::{FrameSender, Stop};
use restow_store::parts::{Joiner, Pointer};
use restow_store::{Content, Cursor, Frame, Order, Selection, View};
use rusqlite::{Connection, params};

use super::damage::{self, Damage};
use super::log_rows::PartRows;
use super::unit::{self, UnitRow};
use crate::layout::parts::page::Entry;

/// A scan marks its place inside a unit after about so many bytes.
const MARK_BYTES: usize = 8 << 20;
/// How many units a scan looks up at once.
const UNITS_AT_ONCE: usize = 256;

/// Why a reader stops early.
pub(super) enum Ended {
    /// Nobody reads any more.
    Closed,
    /// SQLite refused.
    Sqlite(rusqlite::Error),
    /// There was no memory for zstd.
    Torn(restow_store::parts::Torn),
}

impl From<restow_store::feed::Closed> for Ended {
    fn from(_: restow_store::feed::Closed) -> Self {
        Self::Closed
    }
}

impl From<rusqlite::Error> for Ended {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<restow_store::parts::Torn> for Ended {
    fn from(torn: restow_store::parts::Torn) -> Self {
        Self::Torn(torn)
    }
}

impl Ended {
    /// Turns it into what ends a stream.
    pub(super) fn stop(self, failed: impl FnOnce(rusqlite::Error) -> restow_store::Error) -> Stop {
        match self {
            Self::Closed => Stop::Closed,
            Self::Sqlite(error) => Stop::Error(failed(error)),
            Self::Torn(torn) => {
                let kind = restow_store::ErrorKind::Failed;
                Stop::Error(restow_store::Error::new(kind, "read units", torn.to_string()))
            }
        }
    }
}

/// Reads units over one connection into a stream.
pub(super) struct Reader<'c> {
    pub(super) connection: &'c Connection,
    pub(super) out: &'c FrameSender,
    joiner: Joiner,
    /// The unit whose parts the joiner holds.
    joining: i64,
}

impl<'c> Reader<'c> {
    pub(super) fn new(connection: &'c Connection, out: &'c FrameSender) -> Result<Self, Ended> {
        Ok(Self { connection, out, joiner: Joiner::new()?, joining: -1 })
    }

    /// Reads units by name.
    pub(super) fn units(&mut self, units: &[UnitId], what: &Selection) -> Result<(), Ended> {
        let token = match &what.view {
            View::Active => None,
            View::Staged(token) => Some(token.as_str()),
        };
        for name in units {
            if let Some(row) = unit::find(self.connection, name, token)? {
                self.unit(&row, what, false)?;
            }
        }
        Ok(())
    }

    /// Walks the units of a range of names, from a cursor on.
    pub(super) fn scan(
        &mut self,
        from: &str,
        to: Option<&str>,
        cursor: Option<&Cursor>,
    ) -> Result<(), Ended> {
        let (mut at, mut inclusive, mut what) = (from.to_string(), true, Selection::all());
        if let Some((unit, key)) = cursor.and_then(cursor_place) {
            at = unit;
            inclusive = key.is_some();
            if let Some(key) = key {
                what.keys = restow_store::KeyRange::after(&key);
            }
        }
        loop {
            let rows = unit::from(self.connection, &at, inclusive, UNITS_AT_ONCE)?;
            let Some(last) = rows.last() else { return Ok(()) };
            inclusive = false;
            let next = last.unit.as_str().to_string();
            for row in rows {
                if to.is_some_and(|to| row.unit.as_str() >= to) {
                    return Ok(());
                }
                // Only the unit of the cursor is read from the middle.
                let here = row.unit.as_str() == at;
                let what = if here { std::mem::take(&mut what) } else { Selection::all() };
                self.unit(&row, &what, true)?;
                self.out.send(Frame::Mark(cursor_at(&row.unit, None)))?;
            }
            at = next;
        }
    }

    /// Walks pages as they lie in the file.
    pub(super) fn pages(&mut self, from: i64, to: i64, at: Option<&Cursor>) -> Result<(), Ended> {
        if from == i64::MIN && at.is_none() {
            // Of these no share would ever tell.
            for unit in unit::without_pages(self.connection)? {
                let (unit, place) = (Some(unit), "table restow_page".to_owned());
                let why =
                    "the unit has no page, and a unit without records is not there".to_owned();
                self.out.send(Frame::Damaged { unit, place, why })?;
            }
        }
        let from = at.and_then(|c| c.0[..].try_into().ok()).map_or(from, i64::from_be_bytes);
        let sql = "SELECT page_no, unit_no, first_key, raw_len, digest, data FROM restow_page \
                   WHERE page_no >= ?1 AND page_no < ?2 ORDER BY page_no";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query(params![from, to])?;
        let mut current: Option<UnitRow> = None;
        while let Some(row) = rows.next()? {
            let unit_no: i64 = row.get(1)?;
            if current.as_ref().is_none_or(|unit| unit.unit_no != unit_no) {
                current = unit::of_number(self.connection, unit_no)?;
            }
            // Pages of staged copies belong to no unit yet.
            let Some(unit) = current.clone() else { continue };
            self.begin(&unit)?;
            let page = page_of(row, 0, 2)?;
            self.page(&unit, page, &Selection::all())?;
            self.out.send(Frame::End { unit: unit.unit, control: None, digest: None })?;
            let next: i64 = row.get::<_, i64>(0)? + 1;
            self.out.send(Frame::Mark(Cursor(Bytes::copy_from_slice(&next.to_be_bytes()))))?;
        }
        Ok(())
    }

    fn begin(&mut self, row: &UnitRow) -> Result<(), Ended> {
        if self.joining != row.unit_no {
            self.joiner.clear();
            self.joining = row.unit_no;
        }
        let (unit, dialect) = (row.unit.clone(), row.dialect);
        Ok(self.out.send(Frame::Begin { unit, dialect, control: None })?)
    }

    fn unit(&mut self, row: &UnitRow, what: &Selection, marks: bool) -> Result<(), Ended> {
        self.begin(row)?;
        if what.content != Content::Nothing {
            self.records(row, what, marks)?;
        }
        let (unit, digest) = (row.unit.clone(), Some(row.digest));
        Ok(self.out.send(Frame::End { unit, control: None, digest })?)
    }

    fn records(&mut self, row: &UnitRow, what: &Selection, marks: bool) -> Result<(), Ended> {
        let order = match what.order {
            Order::Ascending => "ASC",
            Order::Descending => "DESC",
        };
        // The page that begins at or before the range may reach into it.
        let sql = format!(
            "SELECT page_no, first_key, raw_len, digest, data FROM restow_page \
             WHERE unit_no = ?1 AND first_key >= coalesce((SELECT max(first_key) \
             FROM restow_page WHERE unit_no = ?1 AND first_key <= ?2), x'') \
             AND (?3 IS NULL OR first_key < ?3) ORDER BY first_key {order}"
        );
        let to = what.keys.to.as_ref().map(|to| &to[..]);
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![row.unit_no, &what.keys.from[..], to])?;
        let mut left = what.limit.unwrap_or(usize::MAX);
        let mut since_mark = 0;
        while let Some(page) = rows.next()? {
            let page = page_of(page, 0, 1)?;
            let what = Selection { limit: Some(left), ..what.clone() };
            let (sent, bytes, last) = self.page(row, page, &what)?;
            left -= sent;
            since_mark += bytes;
            if left == 0 {
                break;
            }
            if let Some(last) = last.filter(|_| marks && since_mark > MARK_BYTES) {
                since_mark = 0;
                self.out.send(Frame::Mark(cursor_at(&row.unit, Some(&last))))?;
            }
        }
        Ok(())
    }

    /// Sends the records of a page; returns how many, their bytes, and the last key.
    fn page(
        &mut self,
        unit: &UnitRow,
        page: StoredPage,
        what: &Selection,
    ) -> Result<(usize, usize, Option<Key>), Ended> {
        let StoredPage { page_no, first, raw_len, digest, data } = page;
        let stored = (raw_len, &digest[..], &data[..]);
        let wanted = |key: &[u8]| what.keys.covers(key);
        let entries = match damage::expand(self.joiner.codec(), stored, wanted) {
            Ok(entries) => entries,
            Err(why) => {
                self.out.send(damage::page_frame(&unit.unit, page_no, &first, why))?;
                return Ok((0, 0, None));
            }
        };
        let last = entries.last().map(|entry| entry.key.clone());
        let chosen = entries.iter();
        let limit = what.limit.unwrap_or(usize::MAX);
        let chosen: Vec<&Entry> = match what.order {
            Order::Ascending => chosen.take(limit).collect(),
            Order::Descending => {
                let mut all: Vec<_> = chosen.collect();
                all.reverse();
                all.truncate(limit);
                all
            }
        };
        let mut bytes = 0;
        for entry in &chosen {
            bytes += self.entry(unit, entry, what.content)?;
        }
        Ok((chosen.len(), bytes, last))
    }

    fn entry(&mut self, unit: &UnitRow, entry: &Entry, content: Content) -> Result<usize, Ended> {
        let read = entry.record();
        let (mut record, names) = match read {
            Ok(read) => read,
            Err(why) => {
                let frame = damage::record_frame(&unit.unit, &entry.key, why.to_string());
                self.out.send(frame)?;
                return Ok(0);
            }
        };
        let size: u64 = names.iter().map(|name| name.len).sum();
        let size = usize::try_from(size).unwrap_or(usize::MAX).saturating_add(entry.weight());
        let room = self.out.reserve(size)?;
        if content == Content::All {
            let mut parts = PartRows { connection: self.connection, unit_no: unit.unit_no };
            for (name, (form, pointer)) in names.iter().zip(&entry.pointers) {
                let joined = Pointer::from_bytes(pointer)
                    .map_err(Into::into)
                    .and_then(|pointer| self.joiner.join(&pointer, name, &mut parts));
                match joined {
                    Ok(bytes) => {
                        record.values.push(restow_model::Value { name: *name, form: *form, bytes });
                    }
                    Err(torn) => {
                        let frame = damage::record_frame(&unit.unit, &entry.key, torn.to_string());
                        self.out.send(frame)?;
                        return Ok(0);
                    }
                }
            }
        }
        self.out.record(Frame::Record(record), room)?;
        Ok(size)
    }
}

struct StoredPage {
    page_no: i64,
    first: Vec<u8>,
    raw_len: i64,
    digest: Vec<u8>,
    data: Vec<u8>,
}

fn page_of(row: &rusqlite::Row<'_>, no: usize, first: usize) -> rusqlite::Result<StoredPage> {
    Ok(StoredPage {
        page_no: row.get(no)?,
        first: row.get(first)?,
        raw_len: row.get(first + 1)?,
        digest: row.get(first + 2)?,
        data: row.get(first + 3)?,
    })
}

fn cursor_at(unit: &UnitId, key: Option<&Key>) -> Cursor {
    let mut out = Vec::new();
    write_varint(&mut out, unit.as_str().len() as u64);
    out.extend_from_slice(unit.as_str().as_bytes());
    out.extend_from_slice(key.map_or(&[][..], |key| &key.as_bytes()[..]));
    Cursor(out.into())
}

/// Returns the unit of a cursor and, where it lies inside one, the last key before it.
fn cursor_place(cursor: &Cursor) -> Option<(String, Option<Key>)> {
    let mut at = 0;
    let len = read_varint(&cursor.0, &mut at).ok()? as usize;
    let unit = std::str::from_utf8(cursor.0.get(at..at + len)?).ok()?.to_string();
    let rest = cursor.0.slice(at + len..);
    let key = if rest.is_empty() { None } else { Some(Key::from_bytes(rest).ok()?) };
    Some((unit, key))
}

impl From<Damage> for Ended {
    fn from(damage: Damage) -> Self {
        match damage {
            Damage::Sqlite(error) => Self::Sqlite(error),
            Damage::Torn(torn) => Self::Torn(torn),
            Damage::Page { why, .. } => Self::Torn(restow_store::parts::Torn::Unreadable(why)),
        }
    }
}
