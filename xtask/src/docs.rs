//! `cargo xtask docs`: documents that tests write, so that they cannot say what is not so.

use std::fs;

use crate::Outcome;
use crate::step;

/// A document, and the test that writes it where `RESTOW_BLESS=docs` asks for that.
struct Document {
    path: &'static str,
    package: &'static str,
    test: &'static str,
}

const DOCUMENTS: &[Document] = &[
    Document { path: "docs/damage.md", package: "restow-cli", test: "damage" },
    Document { path: "docs/protocol.md", package: "restow-live", test: "model" },
];

/// Writes every generated document again.
pub(crate) fn write() -> Outcome {
    for document in DOCUMENTS {
        let code = generate(document)?;
        if code != 0 {
            return Ok(code);
        }
    }
    Ok(0)
}

/// Compares every generated document with what its test writes now; leaves the tree as it was.
pub(crate) fn check() -> Outcome {
    let mut stale = 0;
    for document in DOCUMENTS {
        let before = fs::read(document.path).ok();
        let code = generate(document);
        let after = fs::read(document.path).ok();
        restore(document.path, before.as_deref())?;
        let code = code?;
        if code != 0 {
            return Ok(code);
        }
        if before != after {
            println!("{}:1: is not what its test writes; run `cargo xtask docs`", document.path);
            stale += 1;
        }
    }
    Ok(u8::from(stale > 0))
}

fn generate(document: &Document) -> Outcome {
    let test = ["test", "--quiet", "--package", document.package, "--test", document.test];
    step::run(document.path, step::cargo(test).env("RESTOW_BLESS", "docs"))
}

fn restore(path: &str, before: Option<&[u8]>) -> std::io::Result<()> {
    match before {
        Some(bytes) => fs::write(path, bytes),
        None if fs::exists(path)? => fs::remove_file(path),
        None => Ok(()),
    }
}
