//! Scans: whole units in key order, or rows as they are stored.
//!
//! The place of a row in its table (0, 1, 2) is its row id with the sign bit flipped.

use bytes::Bytes;
use restow_model::{Key, UnitId};
use restow_store::feed::{FrameSender, Stop};
use restow_store::{Content, Cursor, Enumeration, Frame, Result, Segment, Selection};
use rusqlite::params;
use rusqlite::types::Value as Sql;

use super::super::spot::Spot;
use super::reading::{Found, Reading, Table};
use super::units::{self, Beginning, Fail, Stored, behind, next_unit, send_unit};

/// After about so many bytes a scan says where it is.
const MARK_BYTES: usize = 8 << 20;

/// Returns the place of a row, in the order of rowids.
pub(super) fn row_spot(table: usize, rowid: i64) -> Spot {
    Spot::Stored(table as u8, (rowid as u64) ^ (1 << 63))
}

fn rowid(place: u64) -> i64 {
    (place ^ (1 << 63)) as i64
}

/// The unit whose rows come one behind the other.
struct Open {
    unit: UnitId,
    /// Nothing where its control record cannot be read.
    begun: Option<Beginning>,
}

/// What a scan needs beside its reading.
pub(super) struct Scan<'s> {
    /// Where frames go.
    pub(super) sender: &'s FrameSender,
    /// Says whether what was read is still of one moment; asked before each mark.
    pub(super) check: &'s dyn Fn() -> Result<()>,
    /// How much of each record.
    pub(super) content: Content,
}

impl Scan<'_> {
    /// Walks a segment from a cursor, or from its beginning.
    pub(super) fn run(
        &self,
        reading: &mut Reading<'_>,
        segment: &Segment,
        from: Option<&Cursor>,
    ) -> Result<(), Fail> {
        let decode = |bytes: &Bytes| Spot::decode(bytes, segment.by);
        let start = segment.from.as_ref().map(decode).transpose().map_err(Stop::from)?;
        let end = segment.to.as_ref().map(decode).transpose().map_err(Stop::from)?;
        let cursor = from.map(|c| decode(&c.0)).transpose().map_err(Stop::from)?;
        match segment.by {
            Enumeration::Units => self.units(reading, start, end, cursor),
            Enumeration::Storage => self.storage(reading, cursor.or(start), end),
        }
    }

    fn mark(&self, spot: &Spot) -> Result<(), Stop> {
        (self.check)()?;
        Ok(self.sender.send(Frame::Mark(Cursor(spot.encode())))?)
    }

    fn units(
        &self,
        reading: &mut Reading<'_>,
        start: Option<Spot>,
        end: Option<Spot>,
        cursor: Option<Spot>,
    ) -> Result<(), Fail> {
        let stored = |place: Spot| match place {
            Spot::Unit(unit, _) => Stored::Text(unit.as_bytes().to_vec()),
            Spot::Stored(..) => Stored::Text(Vec::new()),
        };
        let end = end.map(stored);
        let mut behind_key = None;
        let (mut from, mut inclusive) = match (cursor, start) {
            (Some(Spot::Unit(unit, key)), _) => {
                behind_key = key;
                (Some(Stored::Text(unit.as_bytes().to_vec())), behind_key.is_some())
            }
            (_, start) => (start.map(stored), true),
        };
        if from.is_none() {
            from = next_unit(reading, None, true)?;
            match &from {
                None => return Ok(()),
                Some(Stored::Other(Sql::Null)) => {
                    units::report_nameless(reading, &Stored::Other(Sql::Null), self.sender)?;
                    from = Some(Stored::Text(Vec::new()));
                }
                Some(_) => {}
            }
        }
        while let Some(id) = next_unit(reading, from.as_ref(), inclusive)? {
            if let Some(end) = &end
                && !is_before(&id, end)
            {
                break;
            }
            match id.unit() {
                Some(unit) => self.unit(reading, &unit, behind_key.take().as_ref())?,
                None => units::report_nameless(reading, &id, self.sender)?,
            }
            (from, inclusive) = (Some(id), false);
        }
        Ok(())
    }

    fn unit(
        &self,
        reading: &mut Reading<'_>,
        unit: &UnitId,
        key: Option<&Key>,
    ) -> Result<(), Fail> {
        let mut since = 0;
        let what = Selection { content: self.content, ..behind(key) };
        send_unit(reading, unit, &what, self.sender, &mut |key, bytes| {
            since += bytes;
            if since < MARK_BYTES {
                return Ok(());
            }
            since = 0;
            self.mark(&Spot::Unit(unit.as_str().into(), Some(key.clone())))
        })?;
        Ok(self.mark(&Spot::Unit(unit.as_str().into(), None))?)
    }

    fn storage(
        &self,
        reading: &mut Reading<'_>,
        start: Option<Spot>,
        end: Option<Spot>,
    ) -> Result<(), Fail> {
        let row = |place: Option<Spot>, other: (usize, i64)| match place {
            Some(Spot::Stored(table, place)) => (usize::from(table), rowid(place)),
            _ => other,
        };
        let start = row(start, (0, i64::MIN));
        let end = row(end, (Table::ALL.len(), i64::MIN));
        for (n, table) in Table::ALL.into_iter().enumerate() {
            let first = if n == start.0 { start.1 } else { i64::MIN };
            if n < start.0 || n > end.0 || !reading.has(table) {
                continue;
            }
            let last = (n == end.0).then_some(end.1);
            if last == Some(i64::MIN) {
                continue;
            }
            self.rows(reading, (n, table), first, last)?;
        }
        Ok(())
    }

    fn rows(
        &self,
        reading: &mut Reading<'_>,
        (n, table): (usize, Table),
        first: i64,
        last: Option<i64>,
    ) -> Result<(), Fail> {
        let connection = reading.connection;
        let rest = "WHERE rowid >= ?1 AND (?2 IS NULL OR rowid < ?2) ORDER BY rowid";
        let mut statement = connection.prepare_cached(&reading.select(table, rest))?;
        let mut rows = statement.query(params![first, last])?;
        let mut open: Option<Open> = None;
        let mut since = 0;
        loop {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => break,
                Err(error) if units::is_corrupt(&error) => {
                    self.corrupt(reading.name(table), &error)?;
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            let rowid: i64 = row.get(0)?;
            let weight = reading.weight(table, row);
            if since >= MARK_BYTES {
                since = 0;
                self.end(&mut open, n, rowid)?;
            }
            since += weight;
            let room = self.sender.reserve(weight)?;
            match reading.load(table, row) {
                Ok(Found::Record(unit, mut record)) => {
                    if self.content != Content::All {
                        record.values.clear();
                    }
                    if open.as_ref().is_none_or(|open| open.unit != unit) {
                        self.end(&mut open, n, rowid)?;
                        let begun = units::begin(reading, &unit, self.sender)?;
                        open = Some(Open { unit, begun });
                    }
                    if open.as_ref().is_some_and(|open| open.begun.is_some()) {
                        self.sender.record(Frame::Record(record), room)?;
                    }
                }
                Ok(Found::Damaged { unit, place, why }) => {
                    self.sender.send(Frame::Damaged { unit, place, why })?;
                }
                Err(error) if units::is_corrupt(&error) => {
                    let place = format!("{}, rowid {rowid}", reading.name(table));
                    self.corrupt(&place, &error)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let (n, rowid) = last.map_or((n + 1, i64::MIN), |last| (n, last));
        self.end(&mut open, n, rowid)
    }

    /// Ends the unit that is open; the scan goes on at a row.
    fn end(&self, open: &mut Option<Open>, n: usize, rowid: i64) -> Result<(), Fail> {
        if let Some(Open { unit, begun }) = open.take() {
            if let Some(Beginning { control, .. }) = begun {
                self.sender.send(Frame::End { unit, control, digest: None })?;
            }
            self.mark(&row_spot(n, rowid))?;
        }
        Ok(())
    }

    fn corrupt(&self, place: &str, error: &rusqlite::Error) -> Result<(), Fail> {
        let place = format!("table {place}");
        let why = format!("pages of the database file are damaged: {error}");
        Ok(self.sender.send(Frame::Damaged { unit: None, place, why })?)
    }
}

fn is_before(id: &Stored, end: &Stored) -> bool {
    match (id, end) {
        (Stored::Text(id), Stored::Text(end)) => id < end,
        _ => false,
    }
}
