//! The password file of `libpq`: `host:port:database:user:password`, a line each.

use std::path::Path;

/// Whom a password is looked up for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// Returns the text of the file; nothing where there is none or where others may read it.
///
/// The second value says that a file was left aside because of its mode.
pub(super) fn load(path: &Path) -> (Option<String>, bool) {
    match (std::fs::read_to_string(path), is_private(path)) {
        (Ok(_), false) => {
            tracing::warn!(
                path = %path.display(),
                "the password file is ignored, for others may read it; chmod 600 would help"
            );
            (None, true)
        }
        (text, _) => (text.ok(), false),
    }
}

/// Says whether nobody but its owner may read a file.
#[cfg(unix)]
pub(super) fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|about| about.permissions().mode() & 0o077 == 0)
}

/// Says whether nobody but its owner may read a file; other systems do not tell.
#[cfg(not(unix))]
pub(super) fn is_private(_path: &Path) -> bool {
    true
}

/// Returns the password of the first line that fits.
pub(super) fn find(text: &str, who: Who<'_>) -> Option<String> {
    let port = who.port.to_string();
    let wanted = [who.host, &port, who.database, who.user];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = fields(line);
        let (password, names) = fields.split_last().filter(|(_, names)| names.len() == 4)?;
        let fits = names.iter().zip(wanted).all(|(name, wanted)| name == "*" || name == wanted);
        fits.then(|| password.clone())
    })
}

/// Splits at colons that no backslash precedes; the password keeps those that follow its own.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == ':' && fields.len() < 5 {
            fields.push(String::new());
            continue;
        }
        let c = if c == '\\' { chars.next() } else { Some(c) };
        if let (Some(c), Some(field)) = (c, fields.last_mut()) {
            field.push(c);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_counts() {
        let text = "# db:5432:app:me:no\ntoo:short\n\
                    db:5432:app:you:other\ndb:*:app:me:it\\:s a\\\\b:c\n*:*:*:*:last";
        let who = Who { host: "db", port: 5432, database: "app", user: "me" };
        assert_eq!(find(text, who).as_deref(), Some("it:s a\\b:c"));
        assert_eq!(find(text, Who { host: "other", ..who }).as_deref(), Some("last"));
        assert_eq!(find("db:5432:app:me:x", Who { port: 1, ..who }), None);
    }
}
