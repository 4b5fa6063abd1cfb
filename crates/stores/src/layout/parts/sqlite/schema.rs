//! The tables of a `parts+sqlite` file, format 1.

use rusqlite::Connection;

use crate::engine::sqlite::journal;

/// SQLite's `application_id` of these files: "rest" in ASCII.
pub const APPLICATION_ID: i64 = 0x7265_7374;
/// The number of the format, SQLite's `user_version`.
pub const FORMAT: i64 = 1;

/// A unit's staged copy is a row of its own with a token; everything else hangs on `unit_no`, so
/// that promotion and removal touch one row.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS restow_unit (
    unit_no INTEGER PRIMARY KEY AUTOINCREMENT,
    unit    TEXT NOT NULL,
    token   TEXT,                -- of a staged copy; NULL for the unit itself
    active  BLOB,                -- what the unit itself was when the staging began
    dialect INTEGER NOT NULL,
    digest  BLOB NOT NULL,       -- count and sums of the records and residues
    next    INTEGER NOT NULL,    -- the number of the next element of the log
    version INTEGER NOT NULL,    -- rises with every apply
    newest  TEXT,                -- not below the greatest checkpoint id, for lists across units
    op_id   BLOB                 -- the last operation that had an id
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS restow_unit_active ON restow_unit (unit) WHERE token IS NULL;
CREATE UNIQUE INDEX IF NOT EXISTS restow_unit_staged ON restow_unit (unit) WHERE token IS NOT NULL;
CREATE INDEX IF NOT EXISTS restow_unit_newest ON restow_unit (newest) WHERE token IS NULL;
CREATE TABLE IF NOT EXISTS restow_page (
    page_no   INTEGER PRIMARY KEY,
    unit_no   INTEGER NOT NULL,
    first_key BLOB NOT NULL,
    records   INTEGER NOT NULL,
    raw_len   INTEGER NOT NULL,
    digest    BLOB NOT NULL,     -- BLAKE3 of the raw bytes
    data      BLOB NOT NULL      -- zstd
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS restow_page_key ON restow_page (unit_no, first_key);
CREATE TABLE IF NOT EXISTS restow_part (
    part_no INTEGER PRIMARY KEY,
    unit_no INTEGER NOT NULL,
    first   INTEGER NOT NULL,    -- the number of its first element
    count   INTEGER NOT NULL,
    raw_len INTEGER NOT NULL,
    digest  BLOB NOT NULL,       -- BLAKE3 of the raw bytes, the part's name
    data    BLOB NOT NULL        -- zstd
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS restow_part_first ON restow_part (unit_no, first);
";

/// What a migration kept beside the units goes; a unit that was removed leaves nothing.
pub fn clear_control(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "DELETE FROM restow_unit WHERE control IS NOT NULL AND token IS NULL
             AND substr(digest, 1, 8) = zeroblob(8);
         UPDATE restow_unit SET control = NULL, version = version + 1 WHERE control IS NOT NULL;",
    )?;
    journal::clear(connection)
}

/// What a database file is, as far as this layout is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A file of this format.
    Ours,
    /// A file of this layout in a format that this version does not know.
    Format(i64),
    /// An empty database.
    Empty,
    /// A database of something else.
    Other,
}

/// Looks what a database file is.
pub fn find(connection: &Connection) -> rusqlite::Result<Found> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    if number("application_id")? == APPLICATION_ID {
        let format = number("user_version")?;
        return Ok(if format == FORMAT { Found::Ours } else { Found::Format(format) });
    }
    let sql = "SELECT count(*) FROM sqlite_schema";
    let tables: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    Ok(if tables == 0 { Found::Empty } else { Found::Other })
}

/// Makes the tables where they are missing; the caller holds the write lock.
pub fn make(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(TABLES)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", FORMAT)
}

/// Says whether the store was prepared for a migration.
pub fn has_control(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'restow_journal'";
    connection.prepare_cached(sql)?.exists([])
}

/// Makes what a migration needs beside the tables; the caller holds the write lock.
pub fn make_control(connection: &Connection) -> rusqlite::Result<()> {
    if has_control(connection)? {
        return Ok(());
    }
    connection.execute("ALTER TABLE restow_unit ADD COLUMN control BLOB", [])?;
    journal::make(connection)
}
