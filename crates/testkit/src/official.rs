//! Official software as a judge: the Python interpreter that `cargo xtask test` prepared.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the interpreter, or nothing where this run was told to do without.
///
/// Panics where the interpreter is missing and nobody said so: a judge is never absent in silence.
pub fn python() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("RESTOW_TEST_PYTHON") {
        return Some(path.into());
    }
    if crate::servers::is_without("python") {
        return None;
    }
    panic!(
        "RESTOW_TEST_PYTHON names no interpreter with the official savers; \
         `cargo xtask test` prepares one, RESTOW_TEST_WITHOUT=python does without"
    );
}

/// Runs a script, which must succeed, and returns what it printed.
pub fn judge(interpreter: &Path, script: &Path, args: &[&str]) -> String {
    let mut command = Command::new(interpreter);
    command.arg(script).args(args).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command.output().expect("start the interpreter");
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {args:?}\n{out}{err}", script.display());
    out
}
