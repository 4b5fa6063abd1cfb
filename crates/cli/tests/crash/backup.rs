//! Backups that die, and several at once: what has a backup's name is whole, and what was left
//! behind is removed by the next one.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use restow::store::failpoint::Point;
use restow_testkit::cli::{Cli, Outcome};
use restow_testkit::generate;

use crate::needs_failpoints;
use crate::stores::{Contents, contents, folder, names};

const SEED: u64 = 5;
const HELD: i32 = 11;
const REFUSED: i32 = 13;

/// An application's file, and folders for a backup and for what is restored.
struct World {
    cli: Cli,
    held: Contents,
}

impl World {
    fn new() -> Self {
        let cli = Cli::new(env!("CARGO_BIN_EXE_restow"));
        for name in ["app", "backups", "back"] {
            fs::create_dir(cli.path(name)).unwrap();
        }
        generate::agent(&cli.path("app/agent.db"), 4, 1, SEED);
        let held = contents(&format!("langgraph+sqlite:{}", cli.path("app/agent.db").display()));
        Self { cli, held }
    }

    fn file(&self) -> PathBuf {
        self.cli.path("backups/a.backup")
    }

    fn create(&self) -> Outcome {
        self.cli.run(&["backup", "create", "--jobs", "1", "app/agent.db", "backups/a.backup"])
    }

    fn restore(&self) -> Outcome {
        let to = "langgraph+sqlite:back/agent.db";
        self.cli.run(&["backup", "restore", "--jobs", "1", "backups/a.backup", to])
    }

    fn dying(&mut self, point: Point, pass: u64, run: impl Fn(&Self) -> Outcome) -> Outcome {
        self.cli.set("RESTOW_FAILPOINT", format!("{}:{pass}=kill", point.name()));
        let died = run(self);
        self.cli.set("RESTOW_FAILPOINT", "");
        died
    }

    /// Checks that the backup is there, whole and alone.
    fn check_whole(&self) {
        self.cli.run(&["backup", "check", "backups/a.backup"]).expect(0);
        assert_eq!(names(&folder(&self.cli.path("backups"))), ["a.backup"]);
        let found = contents(&format!("parts+sqlite:{}", self.file().display()));
        assert_eq!(found, self.held);
    }

    /// Checks what a backup that died has left: nothing of its name, or a whole one.
    fn check_died(&self, point: Point) {
        assert_eq!(self.file().exists(), point == Point::Named, "{point:?}");
        let listed = self.cli.run(&["backup", "list", "backups"]).expect(0);
        assert!(listed.out.contains("its making died"), "{}", listed.out);
    }

    fn check_restored(&self) {
        let back = self.cli.path("back/agent.db");
        assert_eq!(contents(&format!("langgraph+sqlite:{}", back.display())), self.held);
    }
}

/// Dies at the first pass of a point and at the last; returns how often it is passed.
fn passes(dies: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high, mut died) = (0, 1, BTreeSet::new());
    while dies(high) {
        died.insert(high);
        (low, high) = (high, high * 2);
    }
    while high - low > 1 {
        let middle = low.midpoint(high);
        match dies(middle) {
            true => low = middle,
            false => high = middle,
        }
    }
    low
}

fn is_of_staging(point: Point) -> bool {
    matches!(point, Point::Staged | Point::Promote | Point::Promoted)
}

#[test]
fn a_backup_dies_everywhere() {
    needs_failpoints();
    for point in Point::ALL {
        let times = passes(|pass| {
            let mut world = World::new();
            let died = world.dying(*point, pass, World::create);
            if died.code.is_some() {
                died.expect(0);
                world.check_whole();
                return false;
            }
            world.check_died(*point);
            world.create().expect(if *point == Point::Named { REFUSED } else { 0 });
            world.check_whole();
            true
        });
        println!("{}: {times} times", point.name());
        assert_eq!(times > 0, !is_of_staging(*point), "{}", point.name());
    }
}

#[test]
fn a_restore_dies_everywhere() {
    needs_failpoints();
    for point in Point::ALL {
        let times = passes(|pass| {
            let mut world = World::new();
            world.create().expect(0);
            let died = world.dying(*point, pass, World::restore);
            if died.code.is_some() {
                died.expect(0);
                world.check_restored();
                return false;
            }
            world.restore().expect(0);
            world.check_restored();
            true
        });
        println!("{}: {times} times", point.name());
        let is_passed = !is_of_staging(*point) && !point.is_of_backup();
        assert_eq!(times > 0, is_passed, "{}", point.name());
    }
}

#[test]
fn of_several_at_once_one_makes_the_file_and_the_others_are_told() {
    let world = World::new();
    let args = ["backup", "create", "app/agent.db", "backups/a.backup"];
    let all: Vec<_> = (0..4).map(|_| world.cli.spawn(&args)).collect();
    let ends: Vec<_> = all.into_iter().map(|one| one.finish()).collect();
    let said: Vec<_> = ends.iter().map(|o| (o.code, &*o.out, &*o.err)).collect();
    let made = ends.iter().filter(|o| o.code == Some(0)).count();
    assert_eq!(made, 1, "{said:#?}");
    let told = |o: &Outcome| [Some(0), Some(HELD), Some(REFUSED)].contains(&o.code);
    assert!(ends.iter().all(told), "{said:#?}");
    world.check_whole();
}
