//! Scans: whole units in key order, or rows as they are stored.
//!
//! Of the tables, 0 is checkpoints, 1 what belongs to units alone, 2 writes; places are blocks.

use std::collections::HashMap;

use bytes::Bytes;
use postgres::types::Type;
use restow_model::{Control, Dialect, Key, UnitId};
use restow_store::feed::{FrameSender, Room, Stop};
use restow_store::{Content, Cursor, Enumeration, Frame, KeyRange, Keys, Segment, Selection};

use super::super::super::spot::Spot;
use super::Reader;
use super::checkpoints::Checkpoints;
use super::frames::{Frames, told};
use super::keys::{Table, Walk};
use super::side::UnitRecords;
use super::units::{Found, Visitor};
use super::writes::Writes;
use crate::engine::postgres::Fail;

/// After about so many bytes a scan says where it is.
const MARK_BYTES: usize = 8 << 20;
/// So many units are walked at once.
const UNITS_AT_ONCE: usize = 64;
/// So many control records are kept while rows come as they are stored.
const CONTROLS_MAX: usize = 4096;
/// So many thread ids are fetched at once.
const IDS_AT_ONCE: usize = 1024;

/// A scan of a segment.
pub(in super::super) struct Scan<'s> {
    /// Where frames go.
    pub(in super::super) sender: &'s FrameSender,
    /// How much of each record.
    pub(in super::super) content: Content,
}

impl Scan<'_> {
    /// Walks a segment from a cursor, or from its beginning.
    pub(in super::super) fn run(
        &self,
        reader: &mut Reader<'_, '_>,
        segment: &Segment,
        from: Option<&Cursor>,
    ) -> Result<(), Fail> {
        let decode = |bytes: &Bytes| Spot::decode(bytes, segment.by);
        // Also a retired store is walked: whoever purges it has to find what is left.
        reader.store()?;
        let start = segment.from.as_ref().map(decode).transpose()?;
        let end = segment.to.as_ref().map(decode).transpose()?;
        let cursor = from.map(|c| decode(&c.0)).transpose()?;
        match segment.by {
            Enumeration::Units => self.units(reader, start, end, cursor),
            Enumeration::Storage => self.storage(reader, cursor.or(start), end),
        }
    }

    fn mark(&self, spot: &Spot) -> Result<(), Stop> {
        Ok(self.sender.send(Frame::Mark(Cursor(spot.encode())))?)
    }

    fn units(
        &self,
        reader: &mut Reader<'_, '_>,
        start: Option<Spot>,
        end: Option<Spot>,
        cursor: Option<Spot>,
    ) -> Result<(), Fail> {
        let id = |spot: Option<Spot>| match spot {
            Some(Spot::Unit(unit, _)) => Some(unit),
            _ => None,
        };
        let (from, behind) = match cursor {
            Some(Spot::Unit(unit, Some(key))) => {
                // The unit in the middle of which the scan was goes first, alone.
                let unit = UnitId::new(&*unit);
                let there = reader.existing(std::slice::from_ref(&unit))?;
                self.walk(reader, &there, KeyRange::after(&key))?;
                (Some(unit.as_str().into()), true)
            }
            Some(Spot::Unit(unit, None)) => (Some(unit), true),
            _ => (id(start), false),
        };
        let sql = units_sql(reader, from.is_some(), behind);
        let low = from.unwrap_or_default();
        let high = id(end);
        let parameters = [(&&*low as _, Type::TEXT), (&high.as_deref() as _, Type::TEXT)];
        reader.tx.execute_typed(&sql, &parameters)?;
        loop {
            let fetch = format!("FETCH {IDS_AT_ONCE} FROM restow_units");
            let rows = reader.tx.query_typed(&fetch, &[])?;
            let unit = |row: &postgres::Row| Ok(UnitId::new(row.try_get::<_, &str>(0)?));
            let units: Vec<UnitId> = rows.iter().map(unit).collect::<Result<_, Fail>>()?;
            for units in units.chunks(UNITS_AT_ONCE) {
                self.walk(reader, units, KeyRange::default())?;
            }
            if units.len() < IDS_AT_ONCE {
                return Ok(());
            }
        }
    }

    fn walk(
        &self,
        reader: &mut Reader<'_, '_>,
        units: &[UnitId],
        keys: KeyRange,
    ) -> Result<(), Fail> {
        let mut since = 0;
        let mut sent = |unit: &UnitId, record: Option<(&Key, usize)>| {
            let key = match record {
                None => None,
                Some((key, bytes)) => {
                    since += bytes;
                    if since < MARK_BYTES {
                        return Ok(());
                    }
                    Some(key.clone())
                }
            };
            since = 0;
            self.mark(&Spot::Unit(unit.as_str().into(), key))
        };
        let content = self.content;
        let what = Selection { keys: keys.into(), content, ..Selection::all() };
        let mut frames = Frames::new(self.sender, content, &mut sent);
        let units = frames.learn(reader, units, false)?;
        reader.walk(&units, &what, &mut frames)
    }

    fn storage(
        &self,
        reader: &mut Reader<'_, '_>,
        start: Option<Spot>,
        end: Option<Spot>,
    ) -> Result<(), Fail> {
        let at = |spot: Option<Spot>, other: (u8, u64)| match spot {
            // What a block number has room for; a query is made from it.
            Some(Spot::Stored(table, block)) => (table, block.min(u64::from(u32::MAX))),
            _ => other,
        };
        reader.is_checking = self.content != Content::All;
        let start = at(start, (0, 0));
        let end = at(end, (3, 0));
        for table in start.0..=end.0.min(2) {
            let first = if table == start.0 { start.1 } else { 0 };
            let last = (table == end.0).then_some(end.1);
            if last == Some(0) {
                continue;
            }
            let mut pieces =
                Pieces { scan: self, open: None, room: None, controls: HashMap::new() };
            let blocks = Walk::Blocks(first as i64, last.map(|last| last as i64));
            match table {
                0 => pieces.checkpoints(reader, &blocks)?,
                // No segment divides it.
                1 => pieces.own(reader)?,
                _ => pieces.writes(reader, &blocks)?,
            }
            let (table, block) = last.map_or((table + 1, 0), |last| (table, last));
            pieces.finish(table, block)?;
        }
        Ok(())
    }
}

/// Units that come in pieces, as their rows are stored.
struct Pieces<'s> {
    scan: &'s Scan<'s>,
    open: Option<UnitId>,
    room: Option<Room>,
    /// What was found beside units; nothing inside where that cannot be read.
    controls: HashMap<UnitId, Option<Control>>,
}

impl Pieces<'_> {
    fn checkpoints(&mut self, reader: &mut Reader<'_, '_>, blocks: &Walk<'_>) -> Result<(), Fail> {
        let mut rows = Checkpoints::open(reader, blocks)?;
        let (mut since, mut block) = (0, 0);
        while let Some(unit) = rows.unit(reader)? {
            if self.open.as_ref() != Some(&unit) {
                let dialect = rows.dialect(reader)?;
                self.begin(reader, &unit, dialect)?;
            }
            let weight = rows.weight(reader, usize::MAX)? + 4096;
            self.room = Some(self.scan.sender.reserve(weight)?);
            let Some(loaded) = rows.next(reader)? else { break };
            // A block is behind the scan only when the next one has begun.
            if since >= MARK_BYTES && loaded.key.block != block {
                since = 0;
                self.finish(0, loaded.key.block as u64)?;
                self.begin(reader, &unit, Dialect::Any)?;
            }
            since += weight;
            block = loaded.key.block;
            self.send(&unit, reader.found(Table::Checkpoints, loaded))?;
        }
        rows.close(reader)
    }

    fn writes(&mut self, reader: &mut Reader<'_, '_>, blocks: &Walk<'_>) -> Result<(), Fail> {
        let mut rows = Writes::open(reader, blocks)?;
        let (mut since, mut block) = (0, 0);
        while let Some((unit, bytes)) = rows.peek(reader)? {
            if self.open.as_ref() != Some(&unit) {
                self.begin(reader, &unit, Dialect::Any)?;
            }
            self.room = Some(self.scan.sender.reserve(bytes + 4096)?);
            let Some(loaded) = rows.next(reader, usize::MAX)? else { break };
            if since >= MARK_BYTES && loaded.key.block != block {
                since = 0;
                self.finish(2, loaded.key.block as u64)?;
                self.begin(reader, &unit, Dialect::Any)?;
            }
            since += bytes;
            block = loaded.key.block;
            self.send(&unit, reader.found(Table::Writes, loaded))?;
        }
        rows.close(reader)
    }

    fn own(&mut self, reader: &mut Reader<'_, '_>) -> Result<(), Fail> {
        let everything = Keys::default();
        let mut own = UnitRecords::all(reader)?;
        for unit in own.units() {
            self.begin(reader, &unit, Dialect::Any)?;
            for (key, found) in own.take(reader, &unit, &everything)? {
                let bytes = found.as_ref().map_or(0, restow_model::Record::weight);
                self.room = Some(self.scan.sender.reserve(bytes)?);
                let found = match found {
                    Ok(record) => Found::Record(record),
                    Err(why) => {
                        let table = &reader.place.unit;
                        Found::Damaged(format!("table {table}, thread {unit}, record {key}"), why)
                    }
                };
                self.send(&unit, found)?;
            }
        }
        Ok(())
    }

    fn begin(
        &mut self,
        reader: &mut Reader<'_, '_>,
        unit: &UnitId,
        dialect: Dialect,
    ) -> Result<(), Fail> {
        self.end()?;
        self.open = Some(unit.clone());
        if !self.controls.contains_key(unit) {
            self.learn(reader, unit)?;
        }
        if let Some(control) = self.control(unit) {
            let frame = Frame::Begin { unit: unit.clone(), dialect, control };
            self.scan.sender.send(frame)?;
        }
        Ok(())
    }

    fn learn(&mut self, reader: &mut Reader<'_, '_>, unit: &UnitId) -> Result<(), Fail> {
        if self.controls.len() >= CONTROLS_MAX {
            self.controls.clear();
        }
        if let Some((unit, beside)) = reader.control(&[unit])?.pop() {
            let control = told(self.scan.sender, reader, &unit, &beside)?;
            self.controls.insert(unit, control);
        }
        Ok(())
    }

    /// Returns a unit's control record, where it has one; nothing where that cannot be read.
    fn control(&self, unit: &UnitId) -> Option<Option<Control>> {
        match self.controls.get(unit) {
            Some(None) => None,
            held => Some(held.cloned().flatten()),
        }
    }

    fn send(&mut self, unit: &UnitId, found: Found) -> Result<(), Fail> {
        if self.control(unit).is_none() {
            return Ok(());
        }
        let mut sent = |_: &UnitId, _: Option<(&Key, usize)>| Ok(());
        let mut frames = Frames::new(self.scan.sender, self.scan.content, &mut sent);
        frames.room = self.room.take();
        frames.found(unit, found)
    }

    fn end(&mut self) -> Result<(), Fail> {
        let Some(unit) = self.open.take() else { return Ok(()) };
        let Some(control) = self.control(&unit) else { return Ok(()) };
        Ok(self.scan.sender.send(Frame::End { unit, control, digest: None })?)
    }

    /// Ends the unit that is open; the scan goes on at a block.
    fn finish(&mut self, table: u8, block: u64) -> Result<(), Fail> {
        self.end()?;
        Ok(self.scan.mark(&Spot::Stored(table, block))?)
    }
}

/// Writes the statement that opens a cursor over the thread ids of all tables, in byte order.
fn units_sql(reader: &Reader<'_, '_>, has_low: bool, is_behind: bool) -> String {
    let low = match (has_low, is_behind) {
        (true, true) => "r.thread_id COLLATE \"C\" > $1",
        (true, false) => "r.thread_id COLLATE \"C\" >= $1",
        (false, _) => "$1 = ''",
    };
    let high = "($2::text IS NULL OR r.thread_id COLLATE \"C\" < $2)";
    let mut tables = vec![
        (&reader.place.checkpoints, String::new()),
        (&reader.place.writes, String::new()),
        (&reader.place.blobs, reader.unless_hidden("r")),
    ];
    if reader.shape.has_side {
        tables.push((&reader.place.unit, String::new()));
    }
    let control = reader.tables.control.as_str();
    let control = format!("(SELECT convert_from(unit, 'UTF8') AS thread_id FROM {control})");
    if reader.has_control {
        tables.push((&control, String::new()));
    }
    let select = |(table, hidden): &(&String, String)| {
        format!("SELECT DISTINCT r.thread_id FROM {table} r WHERE {low} AND {high}{hidden}")
    };
    let selects: Vec<String> = tables.iter().map(select).collect();
    format!(
        "DECLARE restow_units NO SCROLL CURSOR FOR SELECT t.thread_id FROM ({}) t \
         ORDER BY t.thread_id COLLATE \"C\"",
        selects.join(" UNION ")
    )
}
