//! Everything here that grows has its limit in this list.

use std::time::Duration;

/// A worker's batch: at most about so many bytes of records in memory, whatever a target likes.
pub(crate) const BATCH_BYTES_MAX: usize = 8 << 20;
/// A unit that is joined with what a target holds: so many bytes of changes are kept.
pub(crate) const JOIN_BYTES_MAX: usize = 2 << 20;
/// So many batches of a worker are on their way: applied, read back, or waiting for one before it.
pub(crate) const UNDER_WAY_MAX: usize = 3;
/// About so many bytes of batches all workers hold, those that they gather among them.
pub(crate) const HELD_BYTES_MAX: usize = 20 << 20;
/// About so many bytes of batches may be on their way, however many workers gather others.
pub(crate) const UNDER_WAY_BYTES_MIN: usize = 12 << 20;
/// A worker's batch: so many units.
pub(crate) const BATCH_UNITS_MAX: usize = 256;
/// Shares of the source for each worker, so that none waits long for the last one.
pub(crate) const SEGMENTS_PER_JOB: usize = 8;
/// How often an apply without a known answer is repeated.
pub(crate) const ANSWERS_AWAITED_MAX: usize = 6;
/// How often a unit is read again because it changed while it was read.
pub(crate) const REREADS_MAX: usize = 3;
/// How often a share is resumed without having come any further.
pub(crate) const RESUMES_MAX: u32 = 6;
/// The first pause before a share is resumed; it doubles up to the longest.
pub(crate) const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// The longest pause before a share is resumed.
pub(crate) const PAUSE_LAST: Duration = Duration::from_secs(5);
/// How many damaged places, and how many failures of a dry run, are named; all are counted.
pub(crate) const NAMED_MAX: usize = 10_000;

const _: () = assert!(PAUSE_FIRST.as_millis() < PAUSE_LAST.as_millis());
const _: () = assert!(BATCH_UNITS_MAX > 0 && SEGMENTS_PER_JOB > 0);
