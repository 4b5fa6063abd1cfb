//! A hermetic environment for the command line: its own folders and variables, and nothing else.

mod process;
mod transcript;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub use process::{Outcome, Running};
pub use transcript::settled;

/// A fresh folder in which one binary is run.
///
/// The child sees none of this process's variables; `HOME`, the XDG folders and `TMPDIR` lie inside
/// the folder, and its working directory does too.
#[derive(Debug)]
pub struct Cli {
    binary: PathBuf,
    root: tempfile::TempDir,
    variables: Vec<(OsString, OsString)>,
}

impl Cli {
    /// Makes the environment of a binary: `Cli::new(env!("CARGO_BIN_EXE_restow"))`.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        let root = tempfile::tempdir().expect("make a folder");
        for folder in ["work", "home", "tmp"] {
            std::fs::create_dir(root.path().join(folder)).expect("make a folder");
        }
        Self { binary: binary.into(), root, variables: Vec::new() }
    }

    /// Sets a variable for every later run.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) -> &mut Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Returns the working directory, shown as `$DIR`.
    pub fn dir(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// Returns the home folder, shown as `$HOME`.
    pub fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// Returns a path in the working directory.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir().join(name)
    }

    /// Returns the names in the working directory, sorted.
    pub fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir()).expect("list the working directory");
        let name = |e: std::io::Result<std::fs::DirEntry>| e.expect("an entry").file_name();
        let mut names: Vec<String> =
            entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Runs the binary to its end, with nothing to read.
    pub fn run(&self, args: &[&str]) -> Outcome {
        self.spawn(args).finish()
    }

    /// Starts the binary.
    pub fn spawn(&self, args: &[&str]) -> Running {
        let mut command = Command::new(&self.binary);
        command.args(args).env_clear().current_dir(self.dir()).stdin(Stdio::null());
        command.env("HOME", self.home()).env("TMPDIR", self.root.path().join("tmp"));
        for (name, folder) in [
            ("XDG_STATE_HOME", ".local/state"),
            ("XDG_CONFIG_HOME", ".config"),
            ("XDG_CACHE_HOME", ".cache"),
        ] {
            command.env(name, self.home().join(folder));
        }
        command.envs([("LC_ALL", "C.UTF-8"), ("TZ", "UTC"), ("TERM", "dumb"), ("COLUMNS", "100")]);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        Running::start(command)
    }

    /// Runs the binary and returns what a person sees, fit for a snapshot: the command, both
    /// outputs, the exit code; paths, times and rates replaced.
    pub fn transcript(&self, args: &[&str]) -> String {
        self.settled(&self.run(args).shown(args))
    }

    /// Replaces the folders of this environment, times and rates by placeholders.
    pub fn settled(&self, text: &str) -> String {
        let folders =
            [(self.dir(), "$DIR"), (self.home(), "$HOME"), (self.root.path().into(), "$ROOT")];
        // The system may name the folder by a link or by what it leads to.
        let real =
            folders.iter().filter_map(|(path, name)| Some((path.canonicalize().ok()?, *name)));
        let mut text = text.to_owned();
        for (path, name) in real.chain(folders.clone()) {
            text = text.replace(&*path.to_string_lossy(), name);
        }
        settled(&text)
    }
}
