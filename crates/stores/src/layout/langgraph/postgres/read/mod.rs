//! Reading rows as records, in one transaction that sees one moment.
//!
//! Keys come through a server-side cursor in the order that is wanted, with the rows that are
//! small; large rows, residues and blobs follow by key, a page at a time. So a unit of any size is
//! read in bounded memory, and in the order of bytes under any collation of the database.

mod blobs;
mod checkpoints;
mod condition;
mod frames;
mod keys;
mod list;
mod scan;
mod side;
mod units;
mod writes;

pub(super) use blobs::{BlobKey, each_stored};
pub(super) use frames::Frames;
pub(super) use list::{Listing, list};
pub(super) use scan::Scan;
pub(super) use side::named;
pub(super) use units::{Contents, Found, Visitor, contents};

use super::shape::Shape;
use super::tables::{Place, Tables};
use crate::engine::postgres::Transaction;

/// How many bytes of rows are fetched at once, or one row where it is larger.
const PAGE_BYTES_MAX: usize = 1 << 20;
/// How many rows are fetched at once, with their values and without.
const PAGE_ROWS_MAX: usize = 128;
const CHECKED_ROWS_MAX: usize = 1000;

/// Reads one place of a database.
pub(super) struct Reader<'t, 'c> {
    pub(super) tx: &'t mut Transaction<'c>,
    pub(super) tables: &'t Tables,
    pub(super) place: &'t Place,
    pub(super) shape: Shape,
    /// Whether control records are there, and told.
    has_control: bool,
    beside: Option<Beside>,
    /// Whether values are only made sure of, and need not be held for that.
    pub(super) is_checking: bool,
}

/// What is kept beside the application's rows, if anything.
#[derive(Clone, Copy, Debug)]
struct Beside {
    has_adjustments: bool,
    has_residues: bool,
}

impl Beside {
    fn read(row: &postgres::Row) -> Result<Self, postgres::Error> {
        Ok(Self { has_adjustments: row.try_get(0)?, has_residues: row.try_get(1)? })
    }
}
