//! Backups: a copy of a whole store in one archive, and the manifest that says what belongs to it.
//!
//! An archive is any store; how one becomes a file is its owner's. The copier reads back what it
//! wrote and compares both stores; the manifest is written last, from what the archive then holds,
//! so that an archive without one is no backup.
//!
//! Invariant: nothing of a migration comes along, neither into an archive nor out of it.

mod check;
mod manifest;
mod retain;

use std::sync::Arc;

use futures::StreamExt;
use restow_store::failpoint::{self, Point};
use restow_store::ledger::Ledger;
use restow_store::{Clock, Error, ErrorKind, RegisterName, Result, Store, Swap};

pub use check::{CheckOptions, CheckReport, Fault, check};
pub use manifest::{Manifest, Origin};
pub use retain::{Retain, Verdict};

use crate::copy::{Planned, copy, prepare};
use crate::{CopyOptions, CopyReport, Progress, SweepReport, What};
use check::contents;

/// The register of an archive that holds its manifest.
fn register() -> RegisterName {
    RegisterName("backup".into())
}

/// What a manifest says that the stores do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The program that makes the backup, and its version.
    pub tool: String,
    /// The migration whose state it is.
    pub origin: Option<Origin>,
}

/// A backup that was made, or was not.
#[derive(Clone, Debug)]
pub struct Created {
    /// What the copier did.
    pub report: CopyReport,
    /// What the archive says of itself; `None` where it was stopped before the end, or a dry run.
    pub manifest: Option<Manifest>,
}

impl Created {
    /// Says whether every unit of the source is in it.
    pub fn is_complete(&self) -> bool {
        let lacking = self.manifest.as_ref().map_or(0, |manifest| manifest.lacking);
        let planned = self.report.planned.as_ref().map_or(0, Planned::refused);
        lacking + planned == 0 && self.report.failures.is_empty()
    }
}

/// Copies a store into an empty archive, and writes the manifest last.
///
/// A source that goes on meanwhile is no failure: each unit is in the archive as it was at one
/// moment. Units that could not be copied are in the report, and counted in the manifest.
pub async fn create(
    source: Arc<dyn Store>,
    archive: Arc<dyn Store>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    options: CopyOptions,
    progress: Arc<Progress>,
    made: Made,
) -> Result<Created> {
    let (from, now) = (source.info().clone(), clock.wall());
    let report = copy(source, archive.clone(), ledger, clock, options, progress).await?;
    let Some(swept) = report.swept.as_ref().filter(|_| !report.interrupted) else {
        return Ok(Created { report, manifest: None });
    };
    refuse_unlike(swept, &*archive)?;
    let contents = contents(&*archive).await?;
    let manifest = Manifest {
        source: from.address,
        application: from.application.map(Into::into),
        made_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        tool: made.tool,
        units: contents.units,
        records: contents.records,
        bytes: report.bytes,
        lacking: (report.failures.len() + report.aside.len()) as u64,
        sum: contents.sum,
        origin: made.origin,
    };
    failpoint::pass(Point::Manifest)?;
    match archive.register_swap(register(), None, manifest.to_bytes()).await? {
        Swap::Swapped(_) => Ok(Created { report, manifest: Some(manifest) }),
        Swap::Lost(_) => {
            let message = "the archive has a manifest already; name another file";
            Err(Error::new(ErrorKind::Refused, CREATE, message))
        }
    }
}

const CREATE: &str = "make a backup";

/// Refuses an archive that does not hold what was read: only the source may have gone on.
fn refuse_unlike(swept: &SweepReport, archive: &dyn Store) -> Result<()> {
    const UNLIKE: [What; 6] = [
        What::DamagedTarget,
        What::UnitMissing,
        What::RecordMissing,
        What::RecordExtra,
        What::RecordAltered,
        What::ResidueAltered,
    ];
    let Some(what) = UNLIKE.into_iter().find(|what| swept.count(*what) > 0) else { return Ok(()) };
    let message = "the archive does not hold what was written; check the disk, and run it again";
    let error = Error::new(ErrorKind::Damaged, CREATE, message);
    Err(error.with("archive", archive.info().address.clone()).with("found", what.word()))
}

/// Reads an archive's manifest; a store without one is no backup.
pub async fn manifest(archive: &dyn Store) -> Result<Manifest> {
    let found = archive.register_read(register()).await?;
    let refused = |kind, message| {
        let error = Error::new(kind, "open a backup", message);
        error.with("archive", archive.info().address.clone())
    };
    let Some((_, bytes)) = found else {
        let message = "it has no manifest, so that it is no backup; name one";
        return Err(refused(ErrorKind::Invalid, message));
    };
    match Manifest::from_bytes(&bytes) {
        Ok(manifest) => Ok(manifest),
        Err(manifest::Unread::Later) => {
            let message = "a newer restow made it; use that version";
            Err(refused(ErrorKind::Refused, message))
        }
        Err(manifest::Unread::Damaged) => {
            let message = "its manifest is damaged; use another backup, or copy the units out of \
                           it with `copy`";
            Err(refused(ErrorKind::Damaged, message))
        }
    }
}

/// A backup that was restored, or was not.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What the copier did.
    pub report: CopyReport,
    /// What the archive holds otherwise than its manifest says.
    pub faults: Vec<Fault>,
}

impl Restored {
    /// Says whether the store holds all that the backup was made with.
    pub fn is_whole(&self) -> bool {
        self.report.is_clean() && self.faults.is_empty()
    }
}

/// Copies an archive into an empty store, where every record is read back.
///
/// A target that holds anything is refused, unless this restore was interrupted there. What is
/// damaged in the archive is named, and the rest restored.
pub async fn restore(
    archive: Arc<dyn Store>,
    manifest: &Manifest,
    target: Arc<dyn Store>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    options: CopyOptions,
    progress: Arc<Progress>,
) -> Result<Restored> {
    let is_begun = is_begun(&*archive, &*target, &*ledger).await?;
    if !is_begun && !is_empty(&*target, options.dry_run).await? {
        let message = "the target holds units already; name an empty one, or bring it up to date \
                       with `copy`";
        let error = Error::new(ErrorKind::Refused, "restore a backup", message);
        return Err(error.with("target", target.info().address.clone()));
    }
    let contents = contents(&*archive).await?;
    let mut faults = contents.faults.clone();
    faults.extend(contents.unlike(manifest));
    let report = copy(archive, target, ledger, clock, options, progress).await?;
    Ok(Restored { report, faults })
}

/// Says whether a copy of the archive into the target was begun and not ended.
async fn is_begun(archive: &dyn Store, target: &dyn Store, ledger: &dyn Ledger) -> Result<bool> {
    let addresses = (&archive.info().address, &target.info().address);
    let known = ledger.summaries().await?;
    if !known.iter().any(|s| (&s.source, &s.target) == addresses) {
        return Ok(false);
    }
    let migration = ledger.open(addresses.0, addresses.1, 0).await?;
    Ok(ledger.interrupted(migration).await?.is_some())
}

/// Says whether a store holds no unit. One that cannot tell is made ready first, but for a dry run.
async fn is_empty(store: &dyn Store, dry_run: bool) -> Result<bool> {
    match has_unit(store).await {
        Ok(has_unit) => Ok(!has_unit),
        Err(error) if dry_run && error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) if dry_run => Err(error),
        Err(_) => {
            prepare(store).await?;
            has_unit(store).await.map(|has_unit| !has_unit)
        }
    }
}

async fn has_unit(store: &dyn Store) -> Result<bool> {
    let mut units = store.units().await?;
    Ok(units.next().await.transpose()?.is_some())
}
