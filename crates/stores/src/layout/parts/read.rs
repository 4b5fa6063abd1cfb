//! Reading units: pages in key order, or as they lie in the file, with their values joined.

use bytes::Bytes;
use restow_model::{Control, Key, UnitId, read_varint, write_varint};
use restow_store::feed::{Closed, FrameSender, Stop};
use restow_store::parts::{Joiner, Pointer, Torn};
use restow_store::{
    Content, Cursor, Enumeration, Error, ErrorKind, Frame, Order, Segment, Selection, View,
};

use super::beside::not_retired;
use super::damage;
use super::log::PartRows;
use super::page::Entry;
use super::query::LeadsTo;
use super::rows::{NumberedRows, PageRow, ReadRows, UnitRow};
use crate::engine::fail::Fail;

/// A scan marks its place inside a unit after about so many bytes.
const MARK_BYTES: usize = 8 << 20;
/// How many units a scan looks up at once.
const UNITS_AT_ONCE: usize = 256;

/// Why a reader stops early.
pub(in crate::layout) enum Ended<E> {
    /// Nobody reads any more.
    Closed,
    /// The engine failed.
    Engine(E),
    /// There was no memory for zstd.
    Torn(Torn),
    /// The store, or what stands beside a unit, is not to be read.
    Refused(Error),
}

impl<E> From<Error> for Ended<E> {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl<E> From<Closed> for Ended<E> {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl<E> From<Torn> for Ended<E> {
    fn from(torn: Torn) -> Self {
        Self::Torn(torn)
    }
}

impl<E> Ended<E> {
    /// Turns it into why work on an engine stops.
    pub(in crate::layout) fn fail(self) -> Fail<E> {
        match self {
            Self::Engine(error) => Fail::Engine(error),
            ended => Fail::Stop(ended.stop(|_| Stop::Closed)),
        }
    }

    /// Turns it into what ends a stream.
    pub(in crate::layout) fn stop(self, failed: impl FnOnce(E) -> Stop) -> Stop {
        match self {
            Self::Closed => Stop::Closed,
            Self::Engine(error) => failed(error),
            Self::Torn(torn) => {
                Stop::Error(Error::new(ErrorKind::Failed, "read units", torn.to_string()))
            }
            Self::Refused(error) => Stop::Error(error),
        }
    }
}

/// Reads units into a stream.
pub(in crate::layout) struct Reader<'c> {
    out: &'c FrameSender,
    joiner: Joiner,
    /// The unit whose parts the joiner holds.
    joining: i64,
    /// The unit whose control record was reported last.
    reported: i64,
    /// The key of the record that was sent last.
    sent: Option<Key>,
}

impl<'c> Reader<'c> {
    pub(in crate::layout) fn new(out: &'c FrameSender) -> Result<Self, Torn> {
        Ok(Self { out, joiner: Joiner::new()?, joining: -1, reported: -1, sent: None })
    }

    /// Reads units by name.
    pub(in crate::layout) fn units<R: ReadRows>(
        &mut self,
        rows: &mut R,
        units: &[UnitId],
        what: &Selection,
    ) -> Result<(), Ended<R::Error>> {
        let token = match &what.view {
            View::Active => None,
            View::Staged(token) => Some(token.as_str()),
        };
        for names in units.chunks(UNITS_AT_ONCE) {
            // The store's record may come along with the units.
            let found = rows.units(names, token).map_err(Ended::Engine)?;
            not_retired(rows, "read units")?;
            for row in found {
                self.unit(rows, &row, what, false)?;
            }
        }
        Ok(())
    }

    /// Reads records of a unit, and those under the prefix that the last one of them leads to.
    pub(in crate::layout) fn unit_on<R: ReadRows>(
        &mut self,
        rows: &mut R,
        unit: UnitId,
        what: &Selection,
        on: LeadsTo,
    ) -> Result<(), Ended<R::Error>> {
        let row = rows.units(&[unit], None).map_err(Ended::Engine)?.pop();
        not_retired(rows, "read units")?;
        let Some(row) = row else { return Ok(()) };
        let Some(control) = self.begin(&row)? else { return Ok(()) };
        self.records(rows, &row, what, false)?;
        if let Some(prefix) = self.sent.take().and_then(|last| on(&last)) {
            let what = Selection { content: what.content, ..Selection::prefix(&prefix) };
            self.records(rows, &row, &what, false)?;
        }
        let digest = rows.tells_digest(&row).then_some(row.digest);
        let unit = row.unit;
        Ok(self.out.send(Frame::End { unit, control, digest })?)
    }

    /// Walks a share of a store, from a cursor on.
    pub(in crate::layout) fn scan<R: NumberedRows>(
        &mut self,
        rows: &mut R,
        segment: &Segment,
        cursor: Option<&Cursor>,
        content: Content,
    ) -> Result<(), Ended<R::Error>> {
        let all = Selection { content, ..Selection::all() };
        match segment.by {
            Enumeration::Units => {
                let text = |bound: &Bytes| String::from_utf8_lossy(bound).into_owned();
                let (low, high) = (segment.from.as_ref().map(text), segment.to.as_ref().map(text));
                self.by_name(rows, low.as_deref().unwrap_or(""), high.as_deref(), cursor, &all)
            }
            Enumeration::Storage => {
                let number = |bound: &Bytes| bound[..].try_into().ok().map(i64::from_be_bytes);
                let low = segment.from.as_ref().and_then(number).unwrap_or(i64::MIN);
                let high = segment.to.as_ref().and_then(number).unwrap_or(i64::MAX);
                self.by_number(rows, low, high, cursor, &all)
            }
        }
    }

    /// Walks the units of a range of names.
    pub(in crate::layout) fn by_name<R: ReadRows>(
        &mut self,
        rows: &mut R,
        from: &str,
        to: Option<&str>,
        cursor: Option<&Cursor>,
        all: &Selection,
    ) -> Result<(), Ended<R::Error>> {
        let (mut at, mut inclusive, mut what) = (from.to_string(), true, all.clone());
        if let Some((unit, key)) = cursor.and_then(cursor_place) {
            at = unit;
            inclusive = key.is_some();
            if let Some(key) = key {
                what.keys = restow_store::KeyRange::after(&key).into();
            }
        }
        loop {
            let found = rows.units_from(&at, inclusive, UNITS_AT_ONCE).map_err(Ended::Engine)?;
            let Some(last) = found.last() else { return Ok(()) };
            inclusive = false;
            let next = last.unit.as_str().to_string();
            for row in found {
                if to.is_some_and(|to| row.unit.as_str() >= to) {
                    return Ok(());
                }
                // Only the unit of the cursor is read from the middle.
                let here = row.unit.as_str() == at;
                let what =
                    if here { std::mem::replace(&mut what, all.clone()) } else { all.clone() };
                self.unit(rows, &row, &what, true)?;
                self.out.send(Frame::Mark(cursor_at(&row.unit, None)))?;
            }
            at = next;
        }
    }

    /// Walks pages as they are stored.
    fn by_number<R: NumberedRows>(
        &mut self,
        rows: &mut R,
        from: i64,
        to: i64,
        at: Option<&Cursor>,
        all: &Selection,
    ) -> Result<(), Ended<R::Error>> {
        if from == i64::MIN && at.is_none() {
            // Of these no share would ever tell.
            for unit in rows.units_without_pages().map_err(Ended::Engine)? {
                let (unit, place) = (Some(unit), "table restow_page".to_owned());
                let why =
                    "the unit has no page, and a unit without records is not there".to_owned();
                self.out.send(Frame::Damaged { unit, place, why })?;
            }
        }
        let from = at.and_then(|c| c.0[..].try_into().ok()).map_or(from, i64::from_be_bytes);
        rows.pages_numbered(from, to, &mut |rows, unit, page| {
            let next = page.page_no + 1;
            if let Some(control) = self.begin(unit)? {
                self.page(rows, unit, page, all)?;
                let unit = unit.unit.clone();
                self.out.send(Frame::End { unit, control, digest: None })?;
            }
            self.out.send(Frame::Mark(Cursor(Bytes::copy_from_slice(&next.to_be_bytes()))))?;
            Ok(())
        })
    }

    /// Begins a unit; returns its control record, or nothing at all where that cannot be read:
    /// such a unit is not to be taken for one that has none.
    pub(in crate::layout) fn begin(
        &mut self,
        row: &UnitRow,
    ) -> Result<Option<Option<Control>>, Closed> {
        if self.joining != row.unit_no {
            self.joiner.clear();
            self.joining = row.unit_no;
        }
        let (unit, dialect) = (row.unit.clone(), row.dialect);
        match row.control() {
            Ok(control) => {
                self.out.send(Frame::Begin { unit, dialect, control: control.clone() })?;
                Ok(Some(control))
            }
            Err(error) => {
                if std::mem::replace(&mut self.reported, row.unit_no) != row.unit_no {
                    self.out.send(damage::control_frame(row, &error))?;
                }
                Ok(None)
            }
        }
    }

    fn unit<R: ReadRows>(
        &mut self,
        rows: &mut R,
        row: &UnitRow,
        what: &Selection,
        marks: bool,
    ) -> Result<(), Ended<R::Error>> {
        let Some(control) = self.begin(row)? else { return Ok(()) };
        if what.content != Content::Nothing {
            self.records(rows, row, what, marks)?;
        }
        let digest = rows.tells_digest(row).then_some(row.digest);
        let unit = row.unit.clone();
        Ok(self.out.send(Frame::End { unit, control, digest })?)
    }

    fn records<R: ReadRows>(
        &mut self,
        rows: &mut R,
        row: &UnitRow,
        what: &Selection,
        marks: bool,
    ) -> Result<(), Ended<R::Error>> {
        let mut left = what.limit.unwrap_or(usize::MAX);
        let mut since_mark = 0;
        rows.pages(row.unit_no, &what.keys, what.order, &mut |rows, page| {
            let what = Selection { limit: Some(left), ..what.clone() };
            let (sent, bytes, last) = self.page(rows, row, page, &what)?;
            left -= sent;
            since_mark += bytes;
            if let Some(last) = last.filter(|_| marks && left > 0 && since_mark > MARK_BYTES) {
                since_mark = 0;
                self.out.send(Frame::Mark(cursor_at(&row.unit, Some(&last))))?;
            }
            Ok(left > 0)
        })
    }

    /// Sends the records of a page; returns how many, their bytes, and the last key.
    pub(in crate::layout) fn page<R: ReadRows>(
        &mut self,
        rows: &mut R,
        unit: &UnitRow,
        page: &PageRow,
        what: &Selection,
    ) -> Result<(usize, usize, Option<Key>), Ended<R::Error>> {
        let wanted = |key: &[u8]| what.keys.covers(key);
        let entries = match damage::expand(self.joiner.codec(), page, wanted) {
            Ok(entries) => entries,
            Err(why) => {
                self.out.send(damage::page_frame(&unit.unit, page, why))?;
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
            bytes += self.entry(rows, unit, entry, what.content)?;
        }
        Ok((chosen.len(), bytes, last))
    }

    fn entry<R: ReadRows>(
        &mut self,
        rows: &mut R,
        unit: &UnitRow,
        entry: &Entry,
        content: Content,
    ) -> Result<usize, Ended<R::Error>> {
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
        let is_whole = content == Content::All;
        let room = self.out.reserve(if is_whole { size } else { entry.weight() })?;
        if content != Content::Bodies {
            for (name, (form, pointer)) in names.iter().zip(&entry.pointers) {
                let mut parts = PartRows::new(&mut *rows, unit.unit_no);
                let pointer = Pointer::from_bytes(pointer).map_err(Torn::from);
                let read = pointer.and_then(|pointer| match is_whole {
                    true => self.joiner.join(&pointer, name, &mut parts).map(Some),
                    false => self.joiner.check(&pointer, name, &mut parts).map(|()| None),
                });
                match parts.joined(read).map_err(Ended::Engine)? {
                    Ok(bytes) => {
                        let value = |bytes| restow_model::Value { name: *name, form: *form, bytes };
                        record.values.extend(bytes.map(value));
                    }
                    Err(torn) => {
                        let frame = damage::record_frame(&unit.unit, &entry.key, torn.to_string());
                        self.out.send(frame)?;
                        return Ok(0);
                    }
                }
            }
        }
        self.sent = Some(entry.key.clone());
        self.out.record(Frame::Record(record), room)?;
        Ok(size)
    }
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
