//! Generated files are determined by their seed, and official software takes them for its own.

use std::fs;
use std::path::{Path, PathBuf};

use restow_testkit::{generate, official};

fn read_and_continue(kind: &str, path: &Path) -> Option<String> {
    let interpreter = official::python()?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check_generated.py");
    Some(official::judge(&interpreter, &script, &[kind, &path.to_string_lossy()]))
}

fn file(dir: &tempfile::TempDir, name: &str) -> PathBuf {
    dir.path().join(name)
}

#[test]
fn a_seed_determines_every_byte_and_nothing_stays_beside_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let paths = ["a", "b", "c"].map(|name| file(&dir, name));
    let figures = [(0, 7), (1, 7), (2, 8)].map(|(n, seed)| generate::agent(&paths[n], 3, 2, seed));
    let bytes = paths.map(|path| fs::read(path).unwrap());
    assert!(bytes[0] == bytes[1], "the same seed wrote other bytes");
    assert!(bytes[0] != bytes[2], "another seed wrote the same bytes");
    assert_eq!(figures[0], figures[1]);
    assert_eq!((figures[0].checkpoints, figures[0].bytes), (54, bytes[0].len() as u64));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
}

#[test]
fn more_turns_begin_with_the_same_turns() {
    let dir = tempfile::tempdir().unwrap();
    let rows = [("short", 2), ("long", 4)].map(|(name, turns)| {
        let path = file(&dir, name);
        generate::chat(&path, 2, turns, 1);
        let connection = rusqlite::Connection::open(path).unwrap();
        let sql = "SELECT checkpoint FROM checkpoints ORDER BY rowid";
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
        rows.map(Result::unwrap).collect::<Vec<_>>()
    });
    assert_eq!((rows[0].len(), rows[1].len()), (12, 24));
    assert!(rows[1].starts_with(&rows[0]));
}

#[test]
fn official_software_reads_and_continues_an_agent() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "agent");
    let figures = generate::agent(&path, 3, 6, 1);
    let Some(said) = read_and_continue("agent", &path) else { return };
    let rows = format!("{} checkpoints, {} writes, ", figures.checkpoints, figures.writes);
    assert!(said.starts_with(&rows) && said.contains("3 threads continued"), "{said}");
}

#[test]
fn official_software_reads_and_continues_chats() {
    let dir = tempfile::tempdir().unwrap();
    for (name, write) in [
        ("chat", generate::chat as fn(&Path, u64, u64, u64) -> generate::Figures),
        ("edits", generate::edits),
        ("window", generate::window),
    ] {
        let path = file(&dir, name);
        write(&path, 2, 25, 1);
        read_and_continue("chat", &path);
    }
}

#[test]
fn official_software_reads_the_unkind_shapes() {
    let dir = tempfile::tempdir().unwrap();
    let paths = ["tiny", "large", "doubling", "long"].map(|name| file(&dir, name));
    generate::tiny(&paths[0], 50, 1);
    generate::large_values(&paths[1], 100_000, 3, 1);
    generate::doubling(&paths[2], 2, 8, 1);
    let long = generate::long_thread(&paths[3], 300_000, 1);
    assert!(long.payload >= 300_000);
    generate::mark_write_ahead(&paths[0]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4);
    assert_eq!(fs::read(&paths[0]).unwrap()[18..20], [2, 2]);
    for path in &paths {
        read_and_continue("other", path);
    }
}
