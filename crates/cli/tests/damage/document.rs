//! The document that is made of the tables.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::holes;
use crate::section::Section;

const HEAD: &str = "\
# Damage, and who catches it

Written by `cargo xtask docs` from the tests that damage stores: `crates/cli/tests/damage` with
real files and databases, `crates/migrate/tests/damage.rs` in memory. Each kind strikes at three
places; a cell holds what the check said of it, with the exit code: 3 names the unit, 1, 2 and 13
name the file or the database. A dash is a damage that the check did not report (exit 0), with
what the copy did instead. Below the tables stands why.

Structural damage (●) is what the store alone shows. Any other leaves a sound store with another
content: at the source that is what the application wrote, as far as anybody can tell; at the target
the comparison shows it.
";

const MEMORY: &str = "
## In memory, by each check of a copy

A store that lies in one way each, at the target: what the copy reads back at once, or from the
staged copy; what the sweep at its end finds; what `verify` and a second copy say of damage that
came later, to a small unit and a large one.

";

/// Writes the document.
pub(crate) fn text(sections: &[Section]) -> String {
    let mut out = HEAD.to_owned();
    for section in sections {
        let checks = section.checks.join(" | ");
        let rules = " --- |".repeat(section.checks.len());
        write!(out, "\n## {}\n\n| Damage | {checks} |\n| --- |{rules}\n", section.title).unwrap();
        for (name, structural, cells) in &section.rows {
            let mark = if *structural { " ●" } else { "" };
            let joined = |cell: &BTreeSet<String>| Vec::from_iter(cell.iter().cloned()).join("; ");
            let cells: Vec<String> = cells.iter().map(joined).collect();
            writeln!(out, "| {name}{mark} | {} |", cells.join(" | ")).unwrap();
        }
    }
    out += MEMORY;
    out += include_str!("../../../migrate/tests/damage_table.md");
    out += "\n## What is not caught, and why\n\n";
    for hole in holes::HOLES {
        writeln!(out, "- **{}.** {}", hole.title, hole.why).unwrap();
    }
    out
}
