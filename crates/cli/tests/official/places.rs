//! Places on the way of state: files and databases, and the judge that is asked about them.

use restow_testkit::postgres::Database;

use crate::Judge;
use crate::common::{World, example};

/// Where state stops: how restow and how the judge call it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) address: String,
    pub(crate) judged: String,
}

impl Place {
    /// Names a file of LangGraph's in the working directory.
    pub(crate) fn file(world: &World, name: &str) -> Self {
        let judged = world.cli.path(name).to_str().unwrap().to_owned();
        Self { address: format!("langgraph+sqlite:{name}"), judged }
    }

    /// Names LangGraph's tables in a database.
    pub(crate) fn database(database: &Database) -> Self {
        Self { address: database.address("langgraph"), judged: database.url() }
    }

    /// Names an example, which is only read.
    pub(crate) fn example(name: &str) -> Self {
        let judged = example(name).to_str().unwrap().to_owned();
        Self { address: "app/agent.db".into(), judged }
    }
}

impl Judge {
    /// Finds the judge and databases; nothing where this run was told to do without one of them.
    pub(crate) fn with_databases<const COUNT: usize>() -> Option<(Self, [Database; COUNT])> {
        let judge = Self::find()?;
        let made: Option<Vec<Database>> = (0..COUNT).map(|_| Database::create()).collect();
        Some((judge, made?.try_into().unwrap()))
    }

    /// Checks that the official savers read the same from all places as from the first, and that
    /// every thread resumes alike.
    pub(crate) fn same(&self, first: &Place, others: &[&Place], kinds: &str) {
        let others: Vec<&str> = others.iter().map(|place| place.judged.as_str()).collect();
        self.says("equal", &[&[first.judged.as_str()], &others[..]].concat());
        let asked = ["--limit", "1", "--reference", first.judged.as_str(), "--require", kinds];
        self.says("resume", &[&others[..], &asked].concat());
    }

    /// Checks that two places hold the same rows, and the tables that the official saver makes.
    pub(crate) fn same_rows(&self, left: &Place, right: &Place) {
        self.says("rows", &[&left.judged, &right.judged]);
    }

    /// Checks that two places hold the same rows in the same tables, restow's own among them.
    pub(crate) fn same_tables(&self, left: &Place, right: &Place) {
        self.says("rows", &[&left.judged, &right.judged, "--schema", "source"]);
    }
}

/// Copies and verifies, hop by hop.
pub(crate) fn copy(world: &World, hops: &[&str]) {
    for hop in hops.windows(2) {
        world.run(&["copy", hop[0], hop[1]]).expect(0);
    }
}
