//! Very many threads, very large values, one very long thread: in bounded memory.

use std::path::Path;

use restow_testkit::generate::{self, Figures};
use restow_testkit::postgres::Database;

use crate::common::{APP, World};

const MEMORY_MAX: u64 = 64_000_000;
const LARGE: usize = 16 << 20;
/// A server hands over whole rows.
const SERVED_MEMORY_MAX: u64 = MEMORY_MAX + LARGE as u64;

const THERE: &[&str] = &["copy", APP, "agent.restow"];
const HOME: &[&str] = &["copy", "agent.restow", "langgraph+sqlite:home.sqlite"];
const VERIFY: &[&str] = &["verify", APP, "agent.restow"];
const ASSESS: &[&str] = &["assess", APP];

/// Runs commands one after the other, each in little memory.
fn in_little_memory(make: impl FnOnce(&Path) -> Figures, commands: &[&[&str]]) {
    in_memory(MEMORY_MAX, make, commands);
}

fn in_memory(max: u64, make: impl FnOnce(&Path) -> Figures, commands: &[&[&str]]) {
    let mut made = Figures::default();
    let world = World::new(|path| made = make(path));
    let peak = |args: &&[&str]| (args.join(" "), world.run(args).expect(0).peak_memory);
    let peaks: Vec<(String, u64)> = commands.iter().map(peak).collect();
    assert!(peaks.iter().all(|(_, peak)| *peak > 0), "they are measured");
    assert!(peaks.iter().all(|(_, peak)| *peak < max), "{made}: {peaks:#?}");
}

/// Copies into a database, again, and out of it, each time in little memory.
fn through_a_server(layout: &str, max: u64, make: impl FnOnce(&Path) -> Figures) {
    let Some(database) = Database::create() else { return };
    let place = &*database.address(layout);
    let there: &[&str] = &["copy", APP, place, "--jobs", "2"];
    let commands: &[&[&str]] = &[
        there,
        there,
        &["verify", APP, place],
        &["assess", place],
        &["copy", place, "agent.restow", "--jobs", "2"],
        &["copy", place, "langgraph+sqlite:home.sqlite", "--jobs", "2"],
    ];
    in_memory(max, make, commands);
}

#[test]
fn many_tiny_threads() {
    in_little_memory(|path| generate::tiny(path, 50_000, 1), &[THERE, THERE, HOME]);
}

#[test]
fn one_long_thread() {
    in_little_memory(long_thread, &[THERE, THERE, HOME, VERIFY, ASSESS]);
}

#[test]
fn values_of_16_mebibytes() {
    in_little_memory(large_values, &[THERE, THERE, VERIFY, ASSESS]);
}

#[test]
fn values_of_16_mebibytes_come_home() {
    in_little_memory(large_values, &[THERE, HOME, HOME]);
}

#[test]
fn values_of_16_mebibytes_through_a_server_as_parts() {
    through_a_server("parts", SERVED_MEMORY_MAX, large_values);
}

#[test]
fn values_of_16_mebibytes_through_a_server_as_rows() {
    through_a_server("langgraph", SERVED_MEMORY_MAX, large_values);
}

#[test]
fn one_long_thread_through_a_server_as_parts() {
    through_a_server("parts", MEMORY_MAX, long_thread);
}

#[test]
fn one_long_thread_through_a_server_as_rows() {
    through_a_server("langgraph", MEMORY_MAX, long_thread);
}

fn large_values(path: &Path) -> Figures {
    generate::large_values(path, LARGE, 3, 1)
}

fn long_thread(path: &Path) -> Figures {
    generate::long_thread(path, 200_000_000, 1)
}
