//! Running other programs, one announced step at a time.

use std::env;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use cargo_metadata::MetadataCommand;

/// The root folder of the workspace.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// The folder that Cargo builds into, whatever variable or configuration chose it.
pub(crate) fn target() -> Result<PathBuf, cargo_metadata::Error> {
    let metadata = MetadataCommand::new().no_deps().exec()?;
    Ok(metadata.target_directory.into_std_path_buf())
}

/// The Cargo that runs this tool, with these arguments.
pub(crate) fn cargo<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    command
}

/// Announces a step.
pub(crate) fn heading(title: &str) {
    println!("\n== {title}");
    // Programs started next write to the same terminal: their lines belong below the heading.
    let _ = io::stdout().flush();
}

/// Announces a step, runs it, and gives its exit code.
pub(crate) fn run(title: &str, command: &mut Command) -> crate::Outcome {
    heading(title);
    Ok(code(status(command)?))
}

/// Runs a program to its end. A program that does not start is named in the error.
pub(crate) fn status(command: &mut Command) -> io::Result<ExitStatus> {
    command.status().map_err(|error| {
        let program = command.get_program().to_string_lossy();
        io::Error::new(error.kind(), format!("{program} does not start: {error}"))
    })
}

/// Takes variables from a program, which a terminal may have set for another run.
pub(crate) fn forget<'a>(command: &'a mut Command, variables: &[&str]) -> &'a mut Command {
    for name in variables {
        command.env_remove(name);
    }
    command
}

/// The exit code of a program as our own; a program ended by a signal has failed.
pub(crate) fn code(status: ExitStatus) -> u8 {
    status.code().map_or(1, |code| u8::try_from(code).unwrap_or(1))
}
