//! The rows of the compact layout, as an engine offers them inside one transaction.
//!
//! The mechanism above them is one for all engines: what is written here says which rows there
//! are, an engine says how they are found and changed.

use bytes::Bytes;
use restow_model::{Control, Dialect, Digest, Key, Record, UnitDigest, UnitId};
use restow_store::managed::{self, Noted, StoredEntry};
use restow_store::parts::Part;
use restow_store::{Entry, Keys, Order};

use super::damage::Damage;
use super::read::Ended;

/// The row of a unit, or of its staged copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::layout) struct UnitRow {
    /// What pages and parts name it by.
    pub(in crate::layout) unit_no: i64,
    /// The unit.
    pub(in crate::layout) unit: UnitId,
    /// The language of its payloads.
    pub(in crate::layout) dialect: Dialect,
    /// Count and sums of its records.
    pub(in crate::layout) digest: UnitDigest,
    /// The number of the next element of its log.
    pub(in crate::layout) next: u64,
    /// Rises with every apply; zero where nothing was written yet.
    pub(in crate::layout) version: i64,
    /// Not below its greatest checkpoint id.
    pub(in crate::layout) newest: Option<String>,
    /// The last operation that had an id.
    pub(in crate::layout) op_id: Option<Digest>,
    /// The unit's control record, as it is stored; also beside a staged copy that is read.
    pub(in crate::layout) control: Option<Vec<u8>>,
}

impl UnitRow {
    /// Makes the row of a unit that holds nothing yet.
    pub(in crate::layout) fn empty(unit_no: i64, unit: UnitId, dialect: Dialect) -> Self {
        Self {
            unit_no,
            unit,
            dialect,
            digest: UnitDigest::default(),
            next: 0,
            version: 0,
            newest: None,
            op_id: None,
            control: None,
        }
    }

    /// Reads the control record.
    pub(in crate::layout) fn control(&self) -> restow_store::Result<Option<Control>> {
        self.control.as_deref().map(|bytes| managed::control(bytes, &self.unit)).transpose()
    }
}

/// What makes a row the staged copy of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::layout) struct Staging {
    /// The token under which it is staged.
    pub(in crate::layout) token: String,
    /// What the unit itself has to be when it is promoted.
    pub(in crate::layout) active: Vec<u8>,
}

/// A page as it is stored.
#[derive(Clone, Debug)]
pub(in crate::layout) struct PageRow {
    /// Its number; rises with the order in which pages were written.
    pub(in crate::layout) page_no: i64,
    /// The first key that it holds.
    pub(in crate::layout) first: Vec<u8>,
    /// How many bytes it has when it is expanded.
    pub(in crate::layout) raw_len: i64,
    /// The digest of those bytes.
    pub(in crate::layout) digest: Vec<u8>,
    /// The bytes, compressed by zstd.
    pub(in crate::layout) data: Vec<u8>,
    /// Where it is, in an engine without tables.
    pub(in crate::layout) place: Option<Box<str>>,
    /// What is known to be wrong with it.
    pub(in crate::layout) fault: Option<String>,
}

/// A page that is to be stored.
#[derive(Clone, Debug)]
pub(in crate::layout) struct NewPage {
    /// The first key that it holds.
    pub(in crate::layout) first: Key,
    /// How many records it holds.
    pub(in crate::layout) records: usize,
    /// How many bytes it has when it is expanded.
    pub(in crate::layout) raw_len: usize,
    /// The digest of those bytes.
    pub(in crate::layout) digest: Digest,
    /// The bytes, compressed by zstd.
    pub(in crate::layout) data: Vec<u8>,
}

/// Where a key belongs: the page that begins at or below it, and the first key behind that page.
pub(in crate::layout) type PagePlace = (Option<PageRow>, Option<Bytes>);

/// Takes a page and the rows to go on with; says whether it wants another.
pub(in crate::layout) type EachPage<'e, R> =
    &'e mut dyn FnMut(&mut R, &PageRow) -> Result<bool, Ended<<R as ReadRows>::Error>>;

/// Takes a page with its unit and the rows to go on with.
pub(in crate::layout) type EachNumbered<'e, R> =
    &'e mut dyn FnMut(&mut R, &UnitRow, &PageRow) -> Result<(), Ended<<R as ReadRows>::Error>>;

/// Rows that are read.
pub(in crate::layout) trait ReadRows: Sized {
    /// Why the engine fails.
    type Error;

    /// Says whether a unit's row tells the digest of all its records.
    fn tells_digest(&self, _row: &UnitRow) -> bool {
        true
    }

    /// Reads the bytes of the store's record.
    fn store(&mut self) -> Result<Option<Bytes>, Self::Error>;

    /// Reads the journal of a unit with control record, behind a seq.
    fn entries(&mut self, unit: &UnitId, after: u64) -> Result<Vec<StoredEntry>, Self::Error>;

    /// Finds units, or their staged copies under a token, in the order given.
    fn units(&mut self, names: &[UnitId], token: Option<&str>)
    -> Result<Vec<UnitRow>, Self::Error>;

    /// Finds up to `limit` units by name, from one on.
    fn units_from(
        &mut self,
        unit: &str,
        inclusive: bool,
        limit: usize,
    ) -> Result<Vec<UnitRow>, Self::Error>;

    /// Lists up to `limit` units with their newest checkpoint ids, newest first, skipping some.
    fn newest_units(
        &mut self,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<(UnitId, String)>, Self::Error>;

    /// Hands out the pages of a unit that may hold some of the keys, until `each` says `false`.
    fn pages(
        &mut self,
        unit_no: i64,
        keys: &Keys,
        order: Order,
        each: EachPage<'_, Self>,
    ) -> Result<(), Ended<Self::Error>>;

    /// Finds the part that holds an element of a unit's log.
    fn part_with(
        &mut self,
        unit_no: i64,
        element: u64,
    ) -> Result<Option<Part>, Damage<Self::Error>>;
}

/// Rows that are numbered as they were written, and counted.
pub(in crate::layout) trait NumberedRows: ReadRows {
    /// Lists units that have lost all their pages; one that holds nothing by its control record
    /// has none.
    fn units_without_pages(&mut self) -> Result<Vec<UnitId>, Self::Error>;

    /// Counts the units.
    fn count_units(&mut self) -> Result<u64, Self::Error>;

    /// Finds the unit that so many come before by name.
    fn unit_at(&mut self, offset: u64) -> Result<Option<UnitId>, Self::Error>;

    /// Hands out the pages of a range of numbers with their units; those of staged copies are
    /// left out.
    fn pages_numbered(
        &mut self,
        from: i64,
        to: i64,
        each: EachNumbered<'_, Self>,
    ) -> Result<(), Ended<Self::Error>>;

    /// Finds the lowest and the highest number of a page.
    fn page_numbers(&mut self) -> Result<(i64, i64), Self::Error>;
}

/// Rows that are changed.
pub(in crate::layout) trait WriteRows {
    /// Why the engine fails.
    type Error;

    /// How long a record's key, and a unit's name, may be.
    const KEY_BYTES_MAX: usize;

    /// Whether each page holds one record; `place_of` then says so of pages that are stored.
    const IS_PAGE_A_RECORD: bool = false;

    /// Says whether a record's values are to stand in its page, rather than in the log.
    fn is_kept_whole(&self, _record: &Record) -> bool {
        false
    }

    /// Reads the bytes of the store's record.
    fn store(&mut self) -> Result<Option<Bytes>, Self::Error>;

    /// Looks into the journal of a unit with control record.
    fn noted(
        &mut self,
        unit: &UnitId,
        op_id: Option<Digest>,
        after: u64,
    ) -> Result<Noted, Self::Error>;

    /// Adds an entry to a unit's journal.
    fn note(&mut self, unit: &UnitId, entry: &Entry) -> Result<(), Self::Error>;

    /// Forgets entries of a unit's journal, up to a seq.
    fn forget(&mut self, unit: &UnitId, upto: u64) -> Result<(), Self::Error>;

    /// Finds a unit.
    fn unit(&mut self, unit: &UnitId) -> Result<Option<UnitRow>, Self::Error>;

    /// Finds the staged copy of a unit.
    fn staged(&mut self, unit: &UnitId) -> Result<Option<(UnitRow, Staging)>, Self::Error>;

    /// Adds a unit, or a staged copy of it, that holds nothing yet.
    fn insert_unit(
        &mut self,
        unit: &UnitId,
        dialect: Dialect,
        staging: Option<Staging>,
    ) -> Result<UnitRow, Self::Error>;

    /// Saves what changed in a unit's row.
    fn save_unit(&mut self, row: &UnitRow) -> Result<(), Self::Error>;

    /// Makes a staged copy the unit; the one that was is gone already.
    fn promote(&mut self, unit_no: i64) -> Result<(), Self::Error>;

    /// Removes a unit, or a staged copy, with its pages and parts.
    fn remove_unit(&mut self, unit_no: i64) -> Result<(), Self::Error>;

    /// Removes the pages and parts of a unit, or of a staged copy.
    fn clear(&mut self, unit_no: i64) -> Result<(), Self::Error>;

    /// Finds where a key of a unit belongs.
    fn place_of(&mut self, unit_no: i64, key: &Key) -> Result<PagePlace, Self::Error>;

    /// Adds a page.
    fn insert_page(&mut self, unit_no: i64, page: NewPage) -> Result<(), Self::Error>;

    /// Removes a page.
    fn remove_page(&mut self, page_no: i64) -> Result<(), Self::Error>;

    /// Hands out the parts of a unit's log, the newest first, until `each` says `false`.
    fn newest_parts(
        &mut self,
        unit_no: i64,
        each: &mut dyn FnMut(Part) -> bool,
    ) -> Result<(), Self::Error>;

    /// Adds a part, or writes it again, longer.
    fn save_part(&mut self, unit_no: i64, part: Part) -> Result<(), Self::Error>;
}
