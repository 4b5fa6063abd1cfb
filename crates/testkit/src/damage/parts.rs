//! Damage to a `parts+sqlite` file.

use std::path::Path;

use rusqlite::{Connection, params};

use super::{Damage, Hit, blob, changed, delete, flip, pick, set, set_blob, swap};
use crate::generate::Random;

/// Ways to damage the rows of a `parts+sqlite` file.
///
/// The file keeps digests, so what alters content is structural here unless the digest fits.
pub const PARTS: &[Damage] = &[
    Damage::rows("unit missing", false, unit_missing),
    Damage::rows("unit renamed", false, unit_renamed),
    Damage::rows("page missing", true, |c, r| missing(c, r, "restow_page")),
    Damage::rows("part missing", true, |c, r| missing(c, r, "restow_part")),
    Damage::rows("byte of a page altered", true, |c, r| altered(c, r, "restow_page", "data")),
    Damage::rows("byte of a part altered", true, |c, r| altered(c, r, "restow_part", "data")),
    Damage::rows("page cut short", true, |c, r| cut(c, r, "restow_page")),
    Damage::rows("part cut short", true, |c, r| cut(c, r, "restow_part")),
    Damage::rows("page empty", true, |c, r| changed_to(c, r, "restow_page", "data", "x''")),
    Damage::rows("part empty", true, |c, r| changed_to(c, r, "restow_part", "data", "x''")),
    Damage::rows("digest of a page altered", true, |c, r| altered(c, r, "restow_page", "digest")),
    Damage::rows("digest of a part altered", true, |c, r| altered(c, r, "restow_part", "digest")),
    Damage::rows("digest of a unit altered", true, digest_of_a_unit),
    Damage::rows("page extra", true, page_extra),
    Damage::rows("part moved", true, |c, r| {
        changed_to(c, r, "restow_part", "first", "first + 100000000")
    }),
    Damage::rows("pages swapped", true, pages_swapped),
    Damage::rows("parts swapped", true, parts_swapped),
    Damage::rows("format unknown", true, format_unknown),
];

/// Puts one page back to what it was in an older copy of the same file.
pub fn stale_page(path: &Path, older: &Path) -> Hit {
    let connection = attached(path, older);
    // Numbers of pages and units go by who wrote first; names and keys do not.
    let sql = "SELECT n.page_no, o.page_no FROM restow_page n JOIN restow_unit u USING (unit_no)
               JOIN older.restow_page o ON o.unit_no = n.unit_no AND o.first_key = n.first_key
               WHERE o.digest <> n.digest ORDER BY u.unit, n.first_key LIMIT 1";
    let pages = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
    let (page, old): (i64, i64) = pages.expect("a page that has changed");
    let columns = "records, raw_len, digest, data";
    let sql = format!(
        "UPDATE restow_page SET ({columns}) =
           (SELECT {columns} FROM older.restow_page o WHERE o.page_no = ?2) WHERE page_no = ?1"
    );
    changed(connection.execute(&sql, [page, old]));
    hit(&connection, "restow_page", page)
}

/// Puts a whole unit back to what it was in an older copy of the same file: sound, and old.
pub fn stale_unit(path: &Path, older: &Path) -> Hit {
    let connection = attached(path, older);
    let sql = "SELECT n.unit_no FROM restow_unit n JOIN older.restow_unit o USING (unit_no, unit)
               WHERE o.digest <> n.digest AND n.token IS NULL ORDER BY n.unit_no LIMIT 1";
    let unit: i64 =
        connection.query_row(sql, [], |row| row.get(0)).expect("a unit that has changed");
    for table in ["restow_page", "restow_part", "restow_unit"] {
        let sql = format!("DELETE FROM {table} WHERE unit_no = ?");
        connection.execute(&sql, [unit]).expect("delete the new rows");
        let sql = format!("INSERT INTO {table} SELECT * FROM older.{table} WHERE unit_no = ?");
        connection.execute(&sql, [unit]).expect("put the old rows back");
    }
    hit(&connection, "restow_unit", unit)
}

fn attached(path: &Path, older: &Path) -> Connection {
    let connection = Connection::open(path).expect("open the file to damage");
    let older = older.to_string_lossy();
    connection.execute("ATTACH ? AS older", params![older]).expect("open the older file");
    connection
}

fn hit(connection: &Connection, table: &str, row: i64) -> Hit {
    let sql = format!(
        "SELECT unit FROM restow_unit WHERE unit_no = (SELECT unit_no FROM {table} WHERE rowid = ?)"
    );
    let unit = connection.query_row(&sql, [row], |row| row.get(0)).ok();
    let kind = table.trim_start_matches("restow_");
    Hit { unit, place: format!("{kind} {row}") }
}

fn any(connection: &Connection, random: &mut Random, table: &str) -> (i64, Hit) {
    let row = pick(connection, random, table, "true");
    (row, hit(connection, table, row))
}

fn unit_missing(connection: &Connection, random: &mut Random) -> Hit {
    let row = pick(connection, random, "restow_unit", "token IS NULL");
    let hit = hit(connection, "restow_unit", row);
    for table in ["restow_page", "restow_part", "restow_unit"] {
        let sql = format!("DELETE FROM {table} WHERE unit_no = ?");
        connection.execute(&sql, [row]).expect("delete a unit");
    }
    hit
}

fn unit_renamed(connection: &Connection, random: &mut Random) -> Hit {
    let (row, hit) = any(connection, random, "restow_unit");
    set(connection, "restow_unit", "unit", row, "unit || 'x'");
    hit
}

fn missing(connection: &Connection, random: &mut Random, table: &str) -> Hit {
    let (row, hit) = any(connection, random, table);
    delete(connection, table, row);
    hit
}

fn altered(connection: &Connection, random: &mut Random, table: &str, column: &str) -> Hit {
    let (row, hit) = any(connection, random, table);
    let mut bytes = blob(connection, table, column, row);
    flip(&mut bytes, random);
    set_blob(connection, table, column, row, &bytes);
    hit
}

fn digest_of_a_unit(connection: &Connection, random: &mut Random) -> Hit {
    altered(connection, random, "restow_unit", "digest")
}

fn cut(connection: &Connection, random: &mut Random, table: &str) -> Hit {
    let (row, hit) = any(connection, random, table);
    let mut bytes = blob(connection, table, "data", row);
    bytes.truncate(bytes.len() / 2);
    set_blob(connection, table, "data", row, &bytes);
    hit
}

fn changed_to(
    connection: &Connection,
    random: &mut Random,
    table: &str,
    column: &str,
    expression: &str,
) -> Hit {
    let (row, hit) = any(connection, random, table);
    set(connection, table, column, row, expression);
    hit
}

fn page_extra(connection: &Connection, random: &mut Random) -> Hit {
    let (row, hit) = any(connection, random, "restow_page");
    let columns = "unit_no, first_key, records, raw_len, digest, data";
    let values = columns.replace("first_key", "CAST(first_key || x'00' AS BLOB)");
    let sql = format!(
        "INSERT INTO restow_page ({columns}) SELECT {values} FROM restow_page WHERE rowid=?"
    );
    changed(connection.execute(&sql, [row]));
    hit
}

fn pages_swapped(connection: &Connection, random: &mut Random) -> Hit {
    let (row, hit) = any(connection, random, "restow_page");
    let columns = ["data", "records", "raw_len", "digest"];
    swap(connection, "restow_page", &columns, row, "true");
    hit
}

fn parts_swapped(connection: &Connection, random: &mut Random) -> Hit {
    let (row, hit) = any(connection, random, "restow_part");
    swap(connection, "restow_part", &["data", "count", "raw_len", "digest"], row, "true");
    hit
}

fn format_unknown(connection: &Connection, _: &mut Random) -> Hit {
    connection.pragma_update(None, "user_version", 99).expect("set the format");
    Hit { unit: None, place: "format".to_owned() }
}
