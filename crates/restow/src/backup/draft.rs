//! A draft: the folder beside a backup's file in which it is made, by one process at a time.
//!
//! Invariant: what has the backup's own name is whole. A draft whose process died is removed by
//! the next one.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use restow_store::failpoint::{self, Point};
use restow_store::{Error, ErrorKind, Result};
use restow_stores::engine::sqlite;

const OPERATION: &str = "make a backup";
/// What is added to the name of a backup's file for the folder of its draft.
const ENDING: &str = ".partial";
/// How often a lock is taken anew that somebody has just removed with its draft.
const TRIES: usize = 100;

/// A backup that is being made.
#[derive(Debug)]
pub(super) struct Draft {
    file: PathBuf,
    folder: PathBuf,
    /// Held as long as the draft lasts; the system gives it back when the process dies.
    _lock: File,
}

impl Draft {
    /// Begins a draft for a file that is not there yet, removing one whose process died.
    ///
    /// Refused, with the context `held by`, while another process makes the same file. Blocks.
    pub(super) fn begin(file: &Path) -> Result<Self> {
        let file = std::path::absolute(file).map_err(|error| failed(file, error))?;
        let mut folder = file.clone().into_os_string();
        folder.push(ENDING);
        let folder = PathBuf::from(folder);
        let lock = lock(&folder).map_err(|error| error.with("file", file.display().to_string()))?;
        let draft = Self { file, folder, _lock: lock };
        draft.empty().map_err(|error| failed(&draft.folder, error))?;
        match refuse_existing(&draft.file) {
            Ok(()) => Ok(draft),
            Err(error) => {
                draft.discard();
                Err(error)
            }
        }
    }

    /// Returns where the archive is made.
    pub(super) fn archive(&self) -> PathBuf {
        self.folder.join("archive")
    }

    /// Returns where the account of its copy is kept.
    pub(super) fn ledger(&self) -> PathBuf {
        self.folder.join("ledger")
    }

    /// Gives the archive its name, once nobody uses it any more; then it is a backup. Blocks.
    pub(super) fn finish(self) -> Result<()> {
        let archive = self.archive();
        sqlite::close(&archive)?;
        refuse_existing(&self.file)?;
        failpoint::pass(Point::Whole)?;
        fs::rename(&archive, &self.file).map_err(|error| failed(&self.file, error))?;
        let folder = self.file.parent().unwrap_or(Path::new("."));
        // Where folders cannot be synchronised, a rename is all that there is.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
        failpoint::pass(Point::Named)?;
        self.discard();
        Ok(())
    }

    /// Removes the draft.
    pub(super) fn discard(self) {
        // What stays behind is removed by who comes next.
        let _ = fs::remove_dir_all(&self.folder);
    }

    /// Removes all but the lock.
    fn empty(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name() != LOCK {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// Refuses a file that is there already.
pub(super) fn refuse_existing(file: &Path) -> Result<()> {
    if file.symlink_metadata().is_err() {
        return Ok(());
    }
    let message = "the file is there already, and no backup is overwritten; name another one";
    let error = Error::new(ErrorKind::Refused, OPERATION, message);
    Err(error.with("file", file.display().to_string()))
}

/// The name of the lock inside a draft.
const LOCK: &str = "lock";

/// Says whether a folder is a draft, by its name.
pub(super) fn is_draft(path: &Path) -> bool {
    let name = path.file_name().map(OsString::from).unwrap_or_default();
    path.is_dir() && name.to_string_lossy().ends_with(ENDING)
}

/// Takes the lock of a draft, making its folder.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK);
    for _ in 0..TRIES {
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(folder, error));
            }
            _ => {}
        }
        let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = match opened {
            // Its maker has just come to an end.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.map_err(|error| failed(&path, error))?,
        };
        match file.try_lock() {
            Ok(()) if is_at(&file, &path) => return Ok(file),
            // The lock that was waited for is gone with its draft.
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => break,
            Err(TryLockError::Error(error)) => return Err(failed(&path, error)),
        }
    }
    let message = "another restow process makes this backup; wait for it, or name another file";
    Err(Error::new(ErrorKind::Refused, OPERATION, message).with("held by", "another attempt"))
}

/// Says whether a path still leads to a file that is open.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let inode = |about: fs::Metadata| (about.dev(), about.ino());
    let open = file.metadata().map(inode).ok();
    open.is_some() && open == fs::metadata(path).map(inode).ok()
}

/// Says whether a path still leads to a file that is open; other systems keep it while it is.
#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

pub(super) fn failed(path: &Path, error: io::Error) -> Error {
    let (kind, message) = match error.kind() {
        io::ErrorKind::NotFound => (ErrorKind::NotFound, "the folder is not there"),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            (ErrorKind::Credentials, "the folder may not be written to")
        }
        _ => (ErrorKind::Failed, "the folder cannot be used"),
    };
    Error::new(kind, OPERATION, message).with("place", path.display().to_string()).because(error)
}
