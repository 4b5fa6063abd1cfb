//! Each damage changes a file, tells what it hit, and does the same again for the same seed.

#![allow(clippy::expect_used)] // Also in the helpers of tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use restow_testkit::damage::{Damage, FILE, LANGGRAPH, PARTS, stale_page, stale_unit};
use restow_testkit::{generate, official};

/// Damages two copies of a file by each damage of a list.
fn damage_all(list: &'static [Damage], sound: &Path) {
    let original = fs::read(sound).expect("the sound file");
    for (seed, damage) in list.iter().enumerate() {
        let copies = ["one", "two"].map(|name| sound.with_file_name(name));
        let hits = copies.clone().map(|copy| {
            fs::copy(sound, &copy).expect("copy the sound file");
            damage.apply(&copy, seed as u64)
        });
        let bytes = copies.map(|copy| fs::read(copy).expect("the damaged file"));
        assert!(bytes[0] != original, "{damage:?} changed nothing");
        assert!(bytes[0] == bytes[1] && hits[0] == hits[1], "{damage:?} differs from itself");
        assert!(!hits[0].place.is_empty(), "{damage:?} does not tell what it hit");
    }
}

#[test]
fn names_are_unique() {
    let all = || FILE.iter().chain(LANGGRAPH).chain(PARTS);
    assert_eq!(all().map(|d| d.name).collect::<BTreeSet<_>>().len(), all().count());
    assert_eq!(Damage::named(LANGGRAPH, "write missing").name, "write missing");
}

#[test]
fn each_damage_to_a_langgraph_file() {
    let dir = tempfile::tempdir().unwrap();
    let sound = dir.path().join("sound");
    generate::agent(&sound, 3, 3, 1);
    damage_all(LANGGRAPH, &sound);
    damage_all(FILE, &sound);
}

#[test]
fn official_software_refuses_structural_damage_and_reads_past_every_other() {
    let dir = tempfile::tempdir().unwrap();
    let sound = dir.path().join("sound");
    generate::agent(&sound, 2, 2, 1);
    let paths: Vec<String> = (0..LANGGRAPH.len())
        .map(|n| {
            let path = dir.path().join(n.to_string());
            fs::copy(&sound, &path).unwrap();
            LANGGRAPH[n].apply(&path, 9);
            path.to_string_lossy().into_owned()
        })
        .collect();
    let Some(interpreter) = official::python() else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check_readable.py");
    let args: Vec<&str> = paths.iter().map(String::as_str).collect();
    let said = official::judge(&interpreter, &script, &args);
    // Its msgpack reads one item and asks for nothing behind it.
    let ignored = |d: &Damage| !d.structural || d.name == "bytes behind a checkpoint";
    let expected = LANGGRAPH.iter().map(|d| (d.name, if ignored(d) { "read" } else { "refused" }));
    let said: Vec<_> = LANGGRAPH.iter().map(|d| d.name).zip(said.lines()).collect();
    assert_eq!(said, expected.collect::<Vec<_>>());
}

#[test]
fn swapped_rows_change_places_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    generate::agent(&path, 2, 2, 1);
    let values = || {
        let connection = rusqlite::Connection::open(&path).unwrap();
        let mut statement = connection.prepare("SELECT value FROM writes ORDER BY rowid").unwrap();
        let rows = statement.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
        rows.map(Result::unwrap).collect::<Vec<_>>()
    };
    let before = values();
    Damage::named(LANGGRAPH, "writes swapped").apply(&path, 3);
    let after = values();
    let moved: Vec<usize> = (0..before.len()).filter(|n| before[*n] != after[*n]).collect();
    assert_eq!(moved.len(), 2);
    let swapped = [&after[moved[1]], &after[moved[0]]];
    assert_eq!([&before[moved[0]], &before[moved[1]]], swapped);
}

#[test]
fn each_damage_to_a_parts_file() {
    let dir = tempfile::tempdir().unwrap();
    let (sound, newer) = (dir.path().join("sound"), dir.path().join("newer"));
    let connection = rusqlite::Connection::open(&sound).unwrap();
    connection.execute_batch(include_str!("parts.sql")).unwrap();
    connection.close().unwrap();
    damage_all(PARTS, &sound);

    fs::copy(&sound, &newer).unwrap();
    let connection = rusqlite::Connection::open(&newer).unwrap();
    let sql = "UPDATE restow_unit SET digest = x'99' WHERE unit_no = 2;
               UPDATE restow_page SET digest = x'99' WHERE page_no = 2;";
    connection.execute_batch(sql).unwrap();
    connection.close().unwrap();
    let page = stale_page(&newer, &sound);
    assert_eq!((page.unit.as_deref(), page.place.as_str()), (Some("b"), "page 2"));
    assert_eq!(stale_unit(&newer, &sound).unit.as_deref(), Some("b"));
}
