//! The log of a unit in rows: loading what it knows, saving what it adds, fetching parts.

use restow_model::Digest;
use restow_store::parts::part::Codec;
use restow_store::parts::{Fetch, Log, Part, Sink, Torn};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::damage::Damage;

/// How many raw bytes of stored parts a log that is opened again learns, the newest first.
const LEARN_BYTES_MAX: i64 = 16 << 20;
/// A last part below this size is written again, longer, instead of being followed by another.
const TAIL_BYTES_MAX: usize = 32 << 10;

const COLUMNS: &str = "first, count, raw_len, digest, data";

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

/// Opens the log of a unit whose next element has the number `next`.
pub(super) fn load(
    connection: &Connection,
    unit_no: i64,
    next: u64,
    codec: &mut Codec,
) -> Result<Log, Damage> {
    let mut log = Log::new(next);
    let sql = format!("SELECT {COLUMNS} FROM restow_part WHERE unit_no = ?1 ORDER BY first DESC");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([unit_no])?;
    let (mut learned, mut last) = (0, true);
    while let Some(row) = rows.next()? {
        let part = part(row)?;
        // A damaged part is not learned: what it held is stored again, and its readers are told.
        if let Ok(elements) = part.open(codec) {
            log.learn(&elements);
            if last && part.raw_len < TAIL_BYTES_MAX && elements.numbers().end == next {
                log.reopen(&elements);
            }
        }
        last = false;
        learned += part.raw_len as i64;
        if learned > LEARN_BYTES_MAX {
            break;
        }
    }
    Ok(log)
}

/// Takes runs of elements of one unit as parts, each written as soon as it is complete.
pub(super) struct PartSink<'c> {
    pub(super) connection: &'c Connection,
    pub(super) unit_no: i64,
    pub(super) codec: &'c mut Codec,
}

impl Sink for PartSink<'_> {
    type Error = Damage;

    fn take(&mut self, first: u64, lens: &[u32], bytes: &[u8]) -> Result<(), Damage> {
        let part = Part::seal(first, lens, bytes, self.codec)?;
        let sql = "INSERT INTO restow_part (unit_no, first, count, raw_len, digest, data) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (unit_no, first) DO UPDATE SET \
                   count = excluded.count, raw_len = excluded.raw_len, \
                   digest = excluded.digest, data = excluded.data \
                   WHERE digest <> excluded.digest";
        self.connection.prepare_cached(sql)?.execute(params![
            self.unit_no,
            part.first as i64,
            part.count as i64,
            part.raw_len as i64,
            &part.name.as_bytes()[..],
            part.stored,
        ])?;
        Ok(())
    }
}

/// The parts of one unit, as a joiner fetches them.
pub(super) struct PartRows<'c> {
    pub(super) connection: &'c Connection,
    pub(super) unit_no: i64,
}

impl Fetch for PartRows<'_> {
    fn part_with(&mut self, element: u64) -> Result<Option<Part>, Torn> {
        let sql = format!(
            "SELECT {COLUMNS} FROM restow_part WHERE unit_no = ?1 AND first <= ?2 \
             ORDER BY first DESC LIMIT 1"
        );
        let fetch = || -> rusqlite::Result<_> {
            let mut statement = self.connection.prepare_cached(&sql)?;
            statement.query_row(params![self.unit_no, element as i64], part).optional()
        };
        fetch().map_err(|error| Torn::Unreadable(error.to_string()))
    }
}
