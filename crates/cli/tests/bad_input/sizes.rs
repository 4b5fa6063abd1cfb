//! Very many threads, very large values, one very long thread: in bounded memory.

use std::path::Path;

use restow_testkit::generate::{self, Figures};

use crate::common::{APP, World};

/// 64 MB, and for a build without optimisation what its own code and stacks take beyond a release
/// build's: 5 MB with values of 16 MiB, of which 4 are granted.
const MEMORY_MAX: u64 = if cfg!(debug_assertions) { 68_000_000 } else { 64_000_000 };

const THERE: &[&str] = &["copy", APP, "agent.restow"];
const HOME: &[&str] = &["copy", "agent.restow", "langgraph+sqlite:home.sqlite"];
const VERIFY: &[&str] = &["verify", APP, "agent.restow"];
const ASSESS: &[&str] = &["assess", APP];

/// Runs commands one after the other, each in little memory.
fn in_little_memory(make: impl FnOnce(&Path) -> Figures, commands: &[&[&str]]) {
    let mut made = Figures::default();
    let world = World::new(|path| made = make(path));
    let peak = |args: &&[&str]| (args.join(" "), world.run(args).expect(0).peak_memory);
    let peaks: Vec<(String, u64)> = commands.iter().map(peak).collect();
    assert!(peaks.iter().all(|(_, peak)| *peak > 0), "they are measured");
    assert!(peaks.iter().all(|(_, peak)| *peak < MEMORY_MAX), "{made}: {peaks:#?}");
}

#[test]
fn many_tiny_threads() {
    in_little_memory(|path| generate::tiny(path, 50_000, 1), &[THERE, THERE, HOME]);
}

#[test]
fn one_long_thread() {
    let make = |path: &Path| generate::long_thread(path, 200_000_000, 1);
    in_little_memory(make, &[THERE, THERE, HOME, VERIFY, ASSESS]);
}

#[test]
fn values_of_16_mebibytes() {
    let make = |path: &Path| generate::large_values(path, 16 << 20, 3, 1);
    in_little_memory(make, &[THERE, THERE, VERIFY, ASSESS]);
}

#[test]
fn values_of_16_mebibytes_come_home() {
    let make = |path: &Path| generate::large_values(path, 16 << 20, 3, 1);
    in_little_memory(make, &[THERE, HOME, HOME]);
}
