//! The log of a unit in rows: loading what it knows, saving what it adds, fetching parts.

use restow_store::parts::part::Codec;
use restow_store::parts::{Fetch, Log, Part, Sink, TAIL_BYTES_MAX, Torn};

use super::damage::Damage;
use super::rows::{ReadRows, UnitRow, WriteRows};

/// How many raw bytes of stored parts a log that is opened again learns, the newest first.
const LEARN_BYTES_MAX: usize = 16 << 20;

/// Opens the log of a unit as it is stored.
pub(in crate::layout) fn load<R: WriteRows>(
    rows: &mut R,
    row: &UnitRow,
    codec: &mut Codec,
) -> Result<Log, R::Error> {
    let mut log = Log::new(row.next);
    let (mut learned, mut last) = (0usize, true);
    rows.newest_parts(row.unit_no, &mut |part| {
        // A damaged part is not learned: what it held is stored again, and its readers are told.
        if let Ok(elements) = part.open(codec) {
            log.learn(&elements);
            if last && part.raw_len < TAIL_BYTES_MAX && elements.numbers().end == row.next {
                log.reopen(&elements);
            }
        }
        last = false;
        learned = learned.saturating_add(part.raw_len);
        learned <= LEARN_BYTES_MAX
    })?;
    Ok(log)
}

/// Takes runs of elements of one unit as parts, each written as soon as it is complete.
pub(in crate::layout) struct PartSink<'r, R> {
    pub(in crate::layout) rows: &'r mut R,
    pub(in crate::layout) unit_no: i64,
    pub(in crate::layout) codec: &'r mut Codec,
}

impl<R: WriteRows> Sink for PartSink<'_, R> {
    type Error = Damage<R::Error>;

    fn take(&mut self, first: u64, lens: &[u32], bytes: &[u8]) -> Result<(), Self::Error> {
        let part = Part::seal(first, lens, bytes, self.codec)?;
        self.rows.save_part(self.unit_no, part).map_err(Damage::Engine)
    }
}

/// The parts of one unit, as a joiner fetches them.
pub(in crate::layout) struct PartRows<'r, R: ReadRows> {
    rows: &'r mut R,
    unit_no: i64,
    /// What the engine failed with, which is no damage of the unit's.
    failed: Option<R::Error>,
}

impl<'r, R: ReadRows> PartRows<'r, R> {
    /// Fetches the parts of a unit.
    pub(in crate::layout) fn new(rows: &'r mut R, unit_no: i64) -> Self {
        Self { rows, unit_no, failed: None }
    }

    /// Returns what was joined from these parts, unless the engine failed.
    pub(in crate::layout) fn joined<T>(
        self,
        done: Result<T, Torn>,
    ) -> Result<Result<T, Torn>, R::Error> {
        match self.failed {
            Some(error) => Err(error),
            None => Ok(done),
        }
    }
}

impl<R: ReadRows> Fetch for PartRows<'_, R> {
    fn part_with(&mut self, element: u64) -> Result<Option<Part>, Torn> {
        match self.rows.part_with(self.unit_no, element) {
            Ok(part) => Ok(part),
            Err(Damage::Torn(torn)) => Err(torn),
            Err(Damage::Page { why, .. }) => Err(Torn::Unreadable(why)),
            Err(Damage::Engine(error)) => {
                self.failed = Some(error);
                Err(Torn::Unreadable("the engine failed".into()))
            }
        }
    }
}
