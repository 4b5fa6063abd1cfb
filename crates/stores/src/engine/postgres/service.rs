//! The service file of `libpq`: parameters under a name.

use std::path::{Path, PathBuf};

use restow_store::{Environment, Error, ErrorKind, Result};

use super::conninfo::Params;

const OPERATION: &str = "read a service file";

/// Returns the parameters of a service from the first file that has it.
pub(super) fn find(name: &str, file: Option<&str>, environment: &Environment) -> Result<Params> {
    let files = files(file, environment);
    for file in &files {
        if let Some(params) = std::fs::read_to_string(file).ok().and_then(|t| section(&t, name)) {
            return params.ok_or_else(|| malformed(file, name));
        }
    }
    let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    let message = "no service of this name is described; add it to a service file";
    Err(Error::new(ErrorKind::NotFound, OPERATION, message)
        .with("service", name)
        .with("files", files.join(" ")))
}

/// A file that is named replaces the user's own; the machine's comes last.
fn files(file: Option<&str>, environment: &Environment) -> Vec<PathBuf> {
    let own = || environment.get("HOME").map(|home| Path::new(home).join(".pg_service.conf"));
    let machine = environment.get("PGSYSCONFDIR").map(|at| Path::new(at).join("pg_service.conf"));
    file.map(PathBuf::from).or_else(own).into_iter().chain(machine).collect()
}

/// Returns what stands under a name: nothing where it does not occur, `Some(None)` where it is no
/// list of parameters.
fn section(text: &str, name: &str) -> Option<Option<Params>> {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let header = |line: &str| Some(line.strip_prefix('[')?.strip_suffix(']')?.to_owned());
    let mut lines = lines.skip_while(|line| header(line).as_deref() != Some(name));
    lines.next()?;
    let pair = |line: &str| {
        let (name, value) = line.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    Some(lines.take_while(|line| header(line).is_none()).map(pair).collect())
}

fn malformed(file: &Path, name: &str) -> Error {
    let message = "a line of the service is no parameter; write name=value";
    Error::new(ErrorKind::Invalid, OPERATION, message)
        .with("service", name)
        .with("file", file.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_ends_where_the_next_begins() {
        let text = "# all\n[a]\nhost=x\n[b]\nhost = y\n# no\nport=1\n\n[c]\nbroken\n";
        let b = section(text, "b").flatten().expect("a service");
        assert_eq!(
            b.into_iter().collect::<Vec<_>>(),
            [("host".to_owned(), "y".to_owned()), ("port".to_owned(), "1".to_owned())]
        );
        assert_eq!(section(text, "c"), Some(None));
        assert_eq!(section(text, "d"), None);
    }
}
