//! Checking an archive: its units against the manifest, and their records against the digests.

use std::sync::Arc;

use futures::StreamExt;
use restow_model::{Bucket, Dialect, Digest, Sum, UnitDigest, UnitId, write_varint};
use restow_store::{
    Content, Enumeration, Error, ErrorKind, Frame, Result, Segment, Selection, Store,
};

use super::Manifest;
use crate::limits::{BATCH_UNITS_MAX, NAMED_MAX};
use crate::look::{CLAIM, bytes_of};
use crate::{Phase, Progress, Stop};

/// The salt of the buckets by which a share of an archive is chosen.
const SALT: &[u8] = b"backup";

/// How to check.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// Of how many of the 10,000 buckets every part is read.
    pub share: u16,
    /// Stops the work.
    pub stop: Stop,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self { share: restow_model::BUCKETS, stop: Stop::new() }
    }
}

/// Something in an archive that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The unit, where that can be told.
    pub unit: Option<UnitId>,
    /// Record or place, and what is wrong with it.
    pub why: String,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Units that are there.
    pub units: u64,
    /// Units of which every record was read.
    pub read_units: u64,
    /// Records that were read.
    pub read_records: u64,
    /// The first faults.
    pub faults: Vec<Fault>,
    /// How many there are.
    pub faults_all: u64,
    /// Whether it was stopped before the end; then it says nothing.
    pub interrupted: bool,
}

impl CheckReport {
    /// Says whether the archive is what its manifest says.
    pub fn is_whole(&self) -> bool {
        !self.interrupted && self.faults_all == 0
    }

    /// Adds a fault.
    pub fn add(&mut self, fault: Fault) {
        self.faults_all += 1;
        if self.faults.len() < NAMED_MAX {
            self.faults.push(fault);
        }
    }
}

/// Compares an archive with its manifest, and reads every part of a share of its units.
///
/// That units are missing, extra, renamed or older is found whatever the share.
pub async fn check(
    archive: Arc<dyn Store>,
    manifest: &Manifest,
    options: &CheckOptions,
    progress: Arc<Progress>,
) -> Result<CheckReport> {
    progress.enter(Phase::Checking, 0);
    let mut report = CheckReport::default();
    let checked = match follow(&*archive, manifest, options, &progress, &mut report).await {
        // The engine came upon it below the records.
        Err(error) if error.kind() == ErrorKind::Damaged => {
            report.add(Fault { unit: None, why: error.to_string() });
            Ok(report)
        }
        Err(error) => Err(error),
        Ok(()) => Ok(report),
    };
    progress.enter(Phase::Done, 0);
    checked
}

async fn follow(
    archive: &dyn Store,
    manifest: &Manifest,
    options: &CheckOptions,
    progress: &Progress,
    report: &mut CheckReport,
) -> Result<()> {
    let mut walk = Walk::begin(archive).await?;
    let mut batch = Vec::new();
    loop {
        let next = walk.next().await?;
        let is_last = next.is_none();
        batch.extend(next.filter(|unit| Bucket::of(SALT, unit).get() < options.share));
        if batch.len() >= BATCH_UNITS_MAX || (is_last && !batch.is_empty()) {
            read(archive, std::mem::take(&mut batch), progress, report).await?;
        }
        if options.stop.is_stopped() {
            report.interrupted = true;
            return Ok(());
        }
        if is_last {
            break;
        }
    }
    report.units = walk.found.units;
    let faults = walk.found.faults.iter().cloned().chain(walk.found.unlike(manifest));
    faults.for_each(|fault| report.add(fault));
    Ok(())
}

/// Reads every record of units.
async fn read(
    archive: &dyn Store,
    units: Vec<UnitId>,
    progress: &Progress,
    report: &mut CheckReport,
) -> Result<()> {
    let what = Selection { content: Content::Checked, ..Selection::all() };
    let mut frames = archive.read(units, what).await?;
    let (mut sum, mut is_damaged) = (UnitDigest::default(), false);
    while let Some(frame) = frames.next().await {
        match frame? {
            Frame::Begin { .. } => (sum, is_damaged) = (UnitDigest::default(), false),
            Frame::Record(record) => {
                progress.record(bytes_of(&record));
                report.read_records += 1;
                sum.merge(&record.summed());
            }
            Frame::Damaged { unit, place, why } => {
                is_damaged = true;
                progress.failure();
                report.add(Fault { unit, why: format!("{place}: {why}") });
            }
            Frame::End { unit, digest, .. } => {
                progress.unit();
                report.read_units += 1;
                if !is_damaged && digest.is_some_and(|kept| kept != sum) {
                    report.add(Fault { unit: Some(unit), why: CLAIM.into() });
                }
            }
            Frame::Mark(_) => {}
        }
    }
    Ok(())
}

/// What an archive says that it holds, by the digests that it keeps.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    pub(super) units: u64,
    pub(super) records: u64,
    pub(super) sum: Sum,
    pub(super) faults: Vec<Fault>,
}

impl Contents {
    fn add(&mut self, unit: &UnitId, dialect: Dialect, digest: &UnitDigest) {
        self.units += 1;
        self.records += digest.records;
        self.sum.add(&name(unit, dialect, digest));
    }

    /// Says how it differs from what a manifest says.
    pub(super) fn unlike(&self, manifest: &Manifest) -> Option<Fault> {
        let Manifest { units, records, sum, .. } = manifest;
        if (self.units, self.records, self.sum) == (*units, *records, *sum) {
            return None;
        }
        let is = format!("{} units and {} records", self.units, self.records);
        let was = format!("{units} units and {records} records");
        let why = match is == was {
            true => format!("its {is} are others than those of the manifest"),
            false => format!("it holds {is}, and the manifest says {was}"),
        };
        Some(Fault { unit: None, why })
    }
}

/// The digest by which a unit counts in a manifest's sum.
fn name(unit: &UnitId, dialect: Dialect, digest: &UnitDigest) -> Digest {
    let mut all = b"restow backup unit".to_vec();
    write_varint(&mut all, unit.as_str().len() as u64);
    all.extend(unit.as_str().as_bytes());
    all.push(dialect.code());
    all.extend(digest.to_bytes());
    Digest::of(&all)
}

/// Sums what an archive says that it holds.
pub(super) async fn contents(archive: &dyn Store) -> Result<Contents> {
    let mut walk = Walk::begin(archive).await?;
    while walk.next().await?.is_some() {}
    Ok(walk.found)
}

/// A walk over the units of an archive, without their records.
struct Walk {
    frames: restow_store::Frames,
    found: Contents,
}

impl Walk {
    async fn begin(archive: &dyn Store) -> Result<Self> {
        let whole = Segment::whole(Enumeration::Units);
        let frames = archive.scan(whole, None, Content::Nothing).await?;
        Ok(Self { frames, found: Contents::default() })
    }

    /// Returns the next unit.
    async fn next(&mut self) -> Result<Option<UnitId>> {
        let mut language = Dialect::default();
        while let Some(frame) = self.frames.next().await {
            match frame? {
                Frame::Begin { dialect, .. } => language = dialect,
                Frame::End { unit, digest: Some(digest), .. } => {
                    self.found.add(&unit, language, &digest);
                    return Ok(Some(unit));
                }
                Frame::End { .. } => {
                    let message = "an archive has to keep the digests of its units";
                    return Err(Error::new(ErrorKind::Unsupported, "read a backup", message));
                }
                Frame::Damaged { unit, place, why } => {
                    self.found.faults.push(Fault { unit, why: format!("{place}: {why}") });
                }
                Frame::Record(_) | Frame::Mark(_) => {}
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digest comes from a second program, made from the text of the format.
    #[test]
    fn golden_digest_of_a_unit() {
        let (bodies, residues) = (Sum::from_bytes(&[1; 32]), Sum::from_bytes(&[2; 32]));
        let digest = UnitDigest { records: 2, bodies, residues };
        let name = name(&UnitId::new("größe"), Dialect::Python, &digest);
        let golden = "6cdb7403474208caeaf82107369b1169118184efea4ca58f5eaf1367e83e4a04";
        assert_eq!(name.to_string(), golden);
    }
}
