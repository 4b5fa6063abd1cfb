//! The Python environment that the tests use: official software and the S3 server, installed beside
//! the build.
//!
//! It lives in the folder that Cargo builds into and is made again only when what it is made from
//! has changed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::step;

/// What is installed; a file that does not exist yet asks for nothing.
const REQUIREMENTS: &[&str] = &[
    "examples/requirements.txt",
    "tests/official/requirements.txt",
    "bindings/python/tests/requirements.txt",
    "xtask/requirements.txt",
];

/// Makes the environment where it is missing or old, and gives the path of its interpreter.
pub(crate) fn prepare(target: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let folder = target.join("python");
    let interpreter = folder.join("bin").join("python");
    let stamp_file = folder.join("requirements.stamp");

    let version = version()?;
    let present: Vec<&str> =
        REQUIREMENTS.iter().copied().filter(|path| Path::new(path).exists()).collect();
    let mut texts = Vec::new();
    for path in &present {
        texts.push((*path, fs::read_to_string(path)?));
    }
    let stamp = stamp(&version, &texts);
    if interpreter.exists() && fs::read_to_string(&stamp_file).is_ok_and(|old| old == stamp) {
        println!("{version}, as installed before");
        return Ok(interpreter);
    }

    println!("{version}: installing {}", present.join(", "));
    succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    if !present.is_empty() {
        let mut install = Command::new(&interpreter);
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        for path in &present {
            install.args(["-r", path]);
        }
        succeed(&mut install)?;
    }
    // Last, so that an installation cut short is done again.
    fs::write(&stamp_file, stamp)?;
    Ok(interpreter)
}

fn version() -> io::Result<String> {
    let output = Command::new("python3").arg("--version").output().map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("python3 does not start; install it, or pass --without python,s3: {error}"),
        )
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Everything that the environment is made from. The texts themselves stand in the stamp, so that
/// whoever looks at it sees what was installed.
fn stamp(version: &str, texts: &[(&str, String)]) -> String {
    let mut stamp = format!("{version}\n");
    for (path, text) in texts {
        stamp.push_str(&format!("-- {path}\n{text}"));
    }
    stamp
}

fn succeed(command: &mut Command) -> io::Result<()> {
    let status = step::status(command)?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("the Python environment was not made: {status}: {command:?}")))
}

#[cfg(test)]
mod tests {
    use super::stamp;

    #[test]
    fn the_stamp_changes_with_the_interpreter_and_with_every_requirement() {
        let texts = [("a.txt", "x==1\n".to_owned())];
        let base = stamp("Python 3.11.7", &texts);
        assert_ne!(base, stamp("Python 3.12.0", &texts));
        assert_ne!(base, stamp("Python 3.11.7", &[("a.txt", "x==2\n".to_owned())]));
        assert_ne!(base, stamp("Python 3.11.7", &[]));
        assert_eq!(base, stamp("Python 3.11.7", &texts));
    }
}
