//! Backups: one file that holds a whole store, compressed, with its own digests.
//!
//! A backup is a `parts+sqlite` file with a manifest, so that whatever reads that store reads a
//! backup. It is made in a draft beside its file and gets its name when it is whole.

mod draft;
mod homes;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use restow_live::Router;
use restow_live::config::Phase;
use restow_migrate::backup::{self, Made};
use restow_migrate::{CopyOptions, Progress};
use restow_store::feed::blocking;
use restow_store::ledger::Ledger;
use restow_store::memory::MemoryStore;
use restow_store::{Address, Clock, Environment, Error, ErrorKind, Result, Store};
use restow_stores::registry::{Access, open as open_store};

pub use restow_migrate::backup::{
    CheckOptions, CheckReport, Created, Fault, Manifest, Origin, Restored, Retain, Verdict,
};

use draft::Draft;

/// What a backup is made of.
#[derive(Clone, Debug)]
pub struct Subject {
    store: Arc<dyn Store>,
    origin: Option<Origin>,
}

impl Subject {
    /// Takes a store, as it is.
    pub fn store(store: Arc<dyn Store>) -> Self {
        Self { store, origin: None }
    }

    /// Takes the state of a migration: each unit as it is at its home.
    pub fn migration(router: Arc<Router>) -> Self {
        let (migration, config) = (router.pair().migration().to_owned(), router.config());
        let (epoch, phase) = (config.epoch, config.phase.name().to_owned());
        let origin = Some(Origin { migration, epoch, phase });
        Self { store: Arc::new(homes::Homes::new(router)), origin }
    }

    /// Returns the address of the store, or of the migration's source.
    pub fn address(&self) -> &str {
        &self.store.info().address
    }

    /// Returns the store, to read it through another one that slows it down.
    #[must_use]
    pub fn through(self, wrap: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>) -> Self {
        Self { store: wrap(self.store), ..self }
    }
}

/// Makes a backup in a file that is not there yet.
///
/// Where it is stopped or fails, nothing has the file's name; one that died is no backup either,
/// and is removed by the next. Refused, with the context `held by`, while another process makes
/// the same file.
pub async fn create(
    subject: Subject,
    file: &Path,
    clock: Arc<dyn Clock>,
    options: CopyOptions,
    progress: Arc<Progress>,
) -> Result<Created> {
    let path = file.to_owned();
    if options.dry_run {
        blocking(CREATE, move || draft::refuse_existing(&path)).await?;
        // Whatever a file of ours can hold, memory can.
        let kept = (Arc::new(MemoryStore::default()) as Arc<dyn Store>, crate::memory_ledger());
        return copied(subject, kept, clock, options, progress).await;
    }
    let draft = blocking(CREATE, move || Draft::begin(&path)).await?;
    let made = match kept_in(&draft).await {
        Ok(kept) => copied(subject, kept, clock, options, progress).await,
        Err(error) => Err(error),
    };
    let is_made = made.as_ref().is_ok_and(|created| created.manifest.is_some());
    let ended = blocking(CREATE, move || match is_made {
        true => draft.finish(),
        false => {
            draft.discard();
            Ok(())
        }
    });
    // The first error is the cause of a second.
    let (ended, made) = (ended.await, made?);
    ended.map(|()| made)
}

const CREATE: &str = "make a backup";

/// An archive, and the account of the copy into it.
type Kept = (Arc<dyn Store>, Arc<dyn Ledger>);

async fn kept_in(draft: &Draft) -> Result<Kept> {
    let place = draft.archive().display().to_string().into();
    let address = Address { layout: Some("parts".into()), engine: Some("sqlite".into()), place };
    let archive = open_store(&address, Access::Write, &Environment::default()).await?;
    Ok((archive.store, crate::open_ledger(&draft.ledger()).await?))
}

async fn copied(
    Subject { store, origin }: Subject,
    (archive, ledger): Kept,
    clock: Arc<dyn Clock>,
    options: CopyOptions,
    progress: Arc<Progress>,
) -> Result<Created> {
    let tool = concat!("restow ", env!("CARGO_PKG_VERSION")).to_owned();
    let made = Made { tool, origin };
    backup::create(store, archive, ledger, clock, options, progress, made).await
}

/// A backup that was opened.
#[derive(Clone, Debug)]
pub struct Backup {
    /// Its file.
    pub file: PathBuf,
    /// How many bytes the file has.
    pub file_bytes: u64,
    /// What it says of itself.
    pub manifest: Manifest,
    /// Its units.
    pub archive: Arc<dyn Store>,
}

/// Opens a backup; refused where the file is none.
pub async fn open(file: &Path) -> Result<Backup> {
    let bare = Address { layout: None, engine: None, place: file.display().to_string().into() };
    let archive = match open_store(&bare, Access::Read, &Environment::default()).await {
        Ok(opened) if opened.store.info().layout == "parts" => opened.store,
        Ok(_) => return Err(no_backup(file, None)),
        Err(error) if matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Unsupported) => {
            return Err(no_backup(file, Some(error)));
        }
        Err(error) => return Err(error),
    };
    let manifest = backup::manifest(&*archive).await?;
    let file_bytes = std::fs::metadata(file).map_or(0, |about| about.len());
    Ok(Backup { file: file.to_owned(), file_bytes, manifest, archive })
}

fn no_backup(file: &Path, cause: Option<Error>) -> Error {
    let message = "the file is no backup; name one that `backup create` made";
    let error = Error::new(ErrorKind::Invalid, "open a backup", message);
    let error = error.with("file", file.display().to_string());
    match cause {
        Some(cause) => error.because(cause),
        None => error,
    }
}

/// Checks a backup: its units against its manifest, and every part of a share of them.
///
/// A file that is too damaged to be opened is a fault like another.
pub async fn check(
    file: &Path,
    options: &CheckOptions,
    progress: Arc<Progress>,
) -> Result<(Option<Manifest>, CheckReport)> {
    match open(file).await {
        Ok(opened) => {
            let report = backup::check(opened.archive, &opened.manifest, options, progress).await?;
            Ok((Some(opened.manifest), report))
        }
        Err(error) if error.kind() == ErrorKind::Damaged => {
            let mut report = CheckReport::default();
            report.add(Fault { unit: None, why: error.to_string() });
            Ok((None, report))
        }
        Err(error) => Err(error),
    }
}

/// Copies a backup into an empty store; see [`restow_migrate::backup::restore`].
pub async fn restore(
    opened: &Backup,
    target: Arc<dyn Store>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    options: CopyOptions,
    progress: Arc<Progress>,
) -> Result<Restored> {
    let (archive, manifest) = (opened.archive.clone(), &opened.manifest);
    backup::restore(archive, manifest, target, ledger, clock, options, progress).await
}

/// What a folder of backups holds.
#[derive(Debug, Default)]
pub struct Shelf {
    /// The backups, by name.
    pub backups: Vec<Backup>,
    /// Backups that cannot be read, and why.
    pub unread: Vec<(PathBuf, Error)>,
    /// Backups that are being made, or whose making died.
    pub drafts: Vec<PathBuf>,
    /// How many other files there are.
    pub others: u64,
}

/// Looks for backups: those in a folder, or a file itself.
pub async fn list(place: &Path) -> Result<Shelf> {
    let mut shelf = Shelf::default();
    if !place.is_dir() {
        shelf.backups.push(open(place).await?);
        return Ok(shelf);
    }
    let entries = std::fs::read_dir(place).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut paths: Vec<PathBuf> =
        entries.map_err(|e| draft::failed(place, e))?.iter().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if draft::is_draft(&path) {
            shelf.drafts.push(path);
            continue;
        }
        match open(&path).await {
            Ok(opened) => shelf.backups.push(opened),
            Err(error) if is_of_another(&error) => shelf.others += 1,
            Err(error) => shelf.unread.push((path, error)),
        }
    }
    Ok(shelf)
}

/// Says whether a file is none of ours, such as an application's.
fn is_of_another(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Invalid | ErrorKind::NotFound)
}

/// Removes a backup's file.
pub async fn remove(opened: Backup) -> Result<()> {
    let Backup { file, archive, .. } = opened;
    drop(archive);
    std::fs::remove_file(&file).map_err(|error| draft::failed(&file, error))
}

/// Says whether a migration that has come so far may need its backups.
pub fn pins(phase: Phase) -> bool {
    phase > Phase::Off && phase.ends_at().is_none()
}
