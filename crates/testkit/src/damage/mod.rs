//! Damage: named ways to harm a stored file, each telling what it hit.
//!
//! A damage is *structural* where the file alone shows it; the others leave a well-formed file with
//! another content, which only a comparison, a digest or an account of the copy can show.

mod file;
mod langgraph;
mod langgraph_postgres;
mod parts;

use std::fmt;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

pub use file::FILE;
pub use langgraph::LANGGRAPH;
pub use langgraph_postgres::{BESIDE_POSTGRES, LANGGRAPH_POSTGRES, Statement};
pub use parts::{PARTS, stale_page, stale_unit};

use crate::generate::Random;

/// One way to damage a file.
#[derive(Clone, Copy)]
pub struct Damage {
    /// Its name, as the table of damages and checks shows it.
    pub name: &'static str,
    /// Whether the file alone shows it.
    pub structural: bool,
    harm: Harm,
}

/// What a damage hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The unit, where it is one.
    pub unit: Option<String>,
    /// The place inside the unit or the file.
    pub place: String,
}

#[derive(Clone, Copy)]
enum Harm {
    Rows(fn(&Connection, &mut Random) -> Hit),
    Bytes(fn(&Path, &mut Random) -> Hit),
}

impl Damage {
    const fn rows(
        name: &'static str,
        structural: bool,
        harm: fn(&Connection, &mut Random) -> Hit,
    ) -> Self {
        Self { name, structural, harm: Harm::Rows(harm) }
    }

    const fn bytes(name: &'static str, harm: fn(&Path, &mut Random) -> Hit) -> Self {
        Self { name, structural: true, harm: Harm::Bytes(harm) }
    }

    /// Damages a file that nobody has open; the seed chooses the place.
    pub fn apply(&self, path: &Path, seed: u64) -> Hit {
        let mut random = Random::new(seed);
        match self.harm {
            Harm::Bytes(harm) => harm(path, &mut random),
            Harm::Rows(harm) => {
                let connection = Connection::open(path).expect("open the file to damage");
                let hit = harm(&connection, &mut random);
                connection.close().expect("close the damaged file");
                hit
            }
        }
    }

    /// Finds a damage by its name.
    pub fn named(list: &'static [Damage], name: &str) -> &'static Damage {
        let found = list.iter().find(|damage| damage.name == name);
        found.unwrap_or_else(|| panic!("no damage is named {name:?}"))
    }
}

impl fmt::Debug for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Damage({:?})", self.name)
    }
}

/// Chooses one of the rows that a condition allows.
fn pick(connection: &Connection, random: &mut Random, table: &str, condition: &str) -> i64 {
    let count = format!("SELECT count(*) FROM {table} WHERE {condition}");
    let count: i64 = connection.query_row(&count, [], |row| row.get(0)).expect("count rows");
    assert!(count > 0, "no row of {table} to damage: {condition}");
    let nth = random.below(count as u64) as i64;
    let sql =
        format!("SELECT rowid FROM {table} WHERE {condition} ORDER BY rowid LIMIT 1 OFFSET ?");
    connection.query_row(&sql, [nth], |row| row.get(0)).expect("pick a row")
}

fn blob(connection: &Connection, table: &str, column: &str, row: i64) -> Vec<u8> {
    let sql = format!("SELECT {column} FROM {table} WHERE rowid = ?");
    connection.query_row(&sql, [row], |row| row.get(0)).expect("read a blob")
}

fn set_blob(connection: &Connection, table: &str, column: &str, row: i64, bytes: &[u8]) {
    let sql = format!("UPDATE {table} SET {column} = ?1 WHERE rowid = ?2");
    changed(connection.execute(&sql, params![bytes, row]));
}

/// Sets a column of a row to an SQL expression.
fn set(connection: &Connection, table: &str, column: &str, row: i64, expression: &str) {
    let sql = format!("UPDATE {table} SET {column} = {expression} WHERE rowid = ?");
    changed(connection.execute(&sql, [row]));
}

fn delete(connection: &Connection, table: &str, row: i64) {
    changed(connection.execute(&format!("DELETE FROM {table} WHERE rowid = ?"), [row]));
}

fn changed(result: rusqlite::Result<usize>) {
    assert!(result.expect("change a row") > 0, "nothing was damaged");
}

/// Swaps a column between a row and another one that differs in it, and says which.
fn swap(connection: &Connection, table: &str, columns: &[&str], row: i64, alike: &str) -> i64 {
    let first = columns[0];
    let sql = format!(
        "SELECT b.rowid FROM {table} a JOIN {table} b ON b.rowid <> a.rowid AND {alike}
         WHERE a.rowid = ? AND b.{first} <> a.{first} ORDER BY b.rowid LIMIT 1"
    );
    let other: Option<i64> =
        connection.query_row(&sql, [row], |row| row.get(0)).optional().expect("find another row");
    let other = other.unwrap_or_else(|| panic!("no row of {table} to swap {first} with"));
    let list = columns.join(", ");
    let sql = format!(
        "WITH old AS MATERIALIZED (SELECT rowid AS r, {list} FROM {table} WHERE rowid IN (?1, ?2))
         UPDATE {table} SET ({list}) =
           (SELECT {list} FROM old WHERE r = CASE {table}.rowid WHEN ?1 THEN ?2 ELSE ?1 END)
         WHERE rowid IN (?1, ?2)"
    );
    changed(connection.execute(&sql, [row, other]));
    other
}

/// Inverts one bit somewhere in the middle half of some bytes.
fn flip(bytes: &mut [u8], random: &mut Random) {
    let (from, room) = (bytes.len() / 4, (bytes.len() / 2).max(1));
    bytes[from + random.below(room as u64) as usize] ^= 1 << random.below(8);
}
