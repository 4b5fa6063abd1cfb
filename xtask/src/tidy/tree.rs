//! The files that the rules look at: all that Git knows or would add.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::step;

/// The files of the project, sorted by path.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) files: Vec<File>,
}

#[derive(Debug)]
pub(super) struct File {
    /// The path from the root, with `/` between names.
    pub(super) path: String,
    /// Nothing for a file that is not text.
    pub(super) text: Option<String>,
}

impl Tree {
    pub(super) fn load() -> io::Result<Self> {
        let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let output = Command::new("git").args(arguments).current_dir(step::root()).output()?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(io::Error::other(format!("git does not list the files: {message}")));
        }
        let names = String::from_utf8_lossy(&output.stdout);
        let paths: BTreeSet<&str> = names.split('\0').filter(|path| !path.is_empty()).collect();
        let mut files = Vec::new();
        for path in paths {
            let place = step::root().join(path);
            // Git still lists what is deleted and not yet committed.
            if place.is_file() {
                let text = String::from_utf8(fs::read(&place)?).ok();
                let text = text.filter(|text| !text.contains('\0'));
                files.push(File { path: path.to_owned(), text });
            }
        }
        Ok(Self { files })
    }

    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File {
            path: (*path).to_owned(),
            text: Some((*text).to_owned()),
        };
        Self { files: files.iter().map(file).collect() }
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path)?.text.as_deref()
    }

    /// The files that are text, with it.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&File, &str)> {
        self.files.iter().filter_map(|file| Some((file, file.text.as_deref()?)))
    }

    /// Every folder that holds a file, however deep.
    pub(super) fn folders(&self) -> BTreeSet<&str> {
        let mut folders = BTreeSet::new();
        for file in &self.files {
            for (at, _) in file.path.match_indices('/') {
                folders.insert(&file.path[..at]);
            }
        }
        folders
    }
}

impl File {
    pub(super) fn extension(&self) -> &str {
        Path::new(&self.path).extension().and_then(|ending| ending.to_str()).unwrap_or("")
    }

    pub(super) fn is_rust(&self) -> bool {
        self.extension() == "rs"
    }

    pub(super) fn is_shell(&self) -> bool {
        let first = self.text.as_deref().and_then(|text| text.lines().next()).unwrap_or("");
        self.extension() == "sh" || (first.starts_with("#!") && first.ends_with("sh"))
    }

    /// Code or prose: what people write, and not data.
    pub(super) fn is_written(&self) -> bool {
        const ENDINGS: [&str; 9] = ["rs", "py", "ts", "js", "sql", "md", "toml", "yml", "yaml"];
        self.is_shell() || ENDINGS.contains(&self.extension())
    }
}

/// The lines of a text with their numbers, as editors count them.
pub(super) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}
