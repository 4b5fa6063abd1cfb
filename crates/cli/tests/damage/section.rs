//! A table: kinds of damage to one side of one kind of copy, and what each check says.

use std::collections::BTreeSet;
use std::path::Path;

use restow_testkit::damage::{Damage, FILE, Hit, LANGGRAPH, PARTS, stale_page, stale_unit};

use crate::bench::{Bench, Side, THREADS, Way};
use crate::said::{Said, copy, verify};

/// The seeds that choose where a damage strikes.
pub(crate) const SEEDS: std::ops::RangeInclusive<u64> = 1..=3;
/// What stands for a damage that a check did not report.
pub(crate) const MISSED: &str = "—";

/// A table of the document.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) title: String,
    pub(crate) checks: Vec<&'static str>,
    /// For each kind its name, whether the file alone shows it, and a cell for each check.
    pub(crate) rows: Vec<(&'static str, bool, Vec<BTreeSet<String>>)>,
}

/// Damages rows of a layout's tables.
pub(crate) fn rows(way: Way, side: Side) -> Section {
    let list = if way.file(side) == "agent.db" { LANGGRAPH } else { PARTS };
    table(way, side, list, "Rows")
}

/// Damages bytes of a file.
pub(crate) fn bytes(way: Way, side: Side) -> Section {
    table(way, side, FILE, "Bytes")
}

fn table(way: Way, side: Side, list: &'static [Damage], what: &str) -> Section {
    let bench = Bench::new(way);
    let mut section = Section::new(way, side, what);
    for damage in list {
        let cells =
            section.cells(SEEDS.map(|seed| check(&bench, side, &|path| damage.apply(path, seed))));
        section.rows.push((damage.name, damage.structural, cells));
    }
    section
}

/// Puts older content of the same file in the place of newer.
pub(crate) fn stale() -> Section {
    let (bench, older) = Bench::followed();
    let older = older.path().join("a.restow");
    let mut section = Section::new(Way::Out, Side::Target, "Older content");
    type Harm = fn(&Path, &Path) -> Hit;
    let kinds: [(&str, bool, Harm); 2] =
        [("page stale", true, stale_page), ("unit stale", false, stale_unit)];
    for (name, structural, harm) in kinds {
        let cells = section.cells([check(&bench, Side::Target, &|path| harm(path, &older))]);
        section.rows.push((name, structural, cells));
    }
    section
}

impl Section {
    fn new(way: Way, side: Side, what: &str) -> Self {
        let layout = if way.file(side) == "agent.db" { "langgraph+sqlite" } else { "parts+sqlite" };
        Self::titled(what, layout, side)
    }

    /// Makes an empty table about one side of a copy.
    pub(crate) fn titled(what: &str, layout: &str, side: Side) -> Self {
        let (role, checks) = match side {
            Side::Source => ("source", vec!["first copy", "verify after a copy", "copy again"]),
            Side::Target => ("target", vec!["verify", "copy again"]),
        };
        Self { title: format!("{what} of a `{layout}` {role}"), checks, rows: Vec::new() }
    }

    pub(crate) fn cells(
        &self,
        cases: impl IntoIterator<Item = Vec<String>>,
    ) -> Vec<BTreeSet<String>> {
        let mut cells = vec![BTreeSet::new(); self.checks.len()];
        for case in cases {
            for (cell, said) in cells.iter_mut().zip(case) {
                cell.insert(said);
            }
        }
        cells
    }
}

/// Damages one side and holds every check against it.
fn check(bench: &Bench, side: Side, harm: &dyn Fn(&Path) -> Hit) -> Vec<String> {
    let [from, to] = bench.way.addresses();
    let file = bench.cli.path(bench.way.file(side));
    let mut cells = Vec::new();
    if side == Side::Source {
        bench.put(false);
        let hit = harm(&file);
        let said = copy(&bench.cli, from, to);
        check_rest(bench, &said);
        cells.push(cell(&said, &hit));
    }
    bench.put(true);
    let hit = harm(&file);
    cells.push(cell(&verify(&bench.cli, from, to), &hit));
    cells.push(cell(&copy(&bench.cli, from, to), &hit));
    cells
}

/// Panics unless what was not reported was copied, and nothing was lost on the way.
fn check_rest(bench: &Bench, said: &Said) {
    let Some(report) = &said.report else { return };
    let failures = report["failures"].as_array().unwrap().len() as u64;
    if failures > 0 {
        assert_eq!(report["units"]["copied"], THREADS - failures, "{}", said.all);
        assert_eq!(report["sweep"]["clean"], true, "{}", said.all);
    } else if bench.way == Way::Out {
        bench.assert_comes_home();
    }
}

/// What a check said; it has to name the unit that was hit.
pub(crate) fn cell(said: &Said, hit: &Hit) -> String {
    let words = said.words.join(", ");
    if said.code == 0 {
        return format!("{MISSED} {words}").trim_end().to_owned();
    }
    if let Some(unit) = hit.unit.as_ref().filter(|_| said.code == 3) {
        assert!(said.all.contains(unit), "{unit} is not named for {}:\n{}", hit.place, said.all);
    }
    format!("{words} ({})", said.code)
}
