//! Large cells: written and moved piece by piece, so that SQLite never holds a whole one.
//!
//! SQLite builds a row in memory, unless all that stands behind its first blob of zeros is empty or
//! zeros, too; such a row is filled in place afterwards.

use rusqlite::Connection;

use super::row::LARGE;

/// How many bytes are moved at once.
const PIECE: usize = 256 << 10;

/// Writes pieces into a cell that holds as many zeros.
pub(super) fn fill<'p>(
    connection: &Connection,
    (table, column, rowid): (&str, &str, i64),
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> rusqlite::Result<()> {
    let mut blob = connection.blob_open("main", table, column, rowid, false)?;
    let mut at = 0;
    for piece in pieces {
        blob.write_all_at(piece, at)?;
        at += piece.len();
    }
    blob.close()
}

/// Moves the rows of a unit from one table to another of the same columns; `payload` names the
/// column that may be large, and what stands behind it is in `behind`.
pub(super) fn move_rows(
    connection: &Connection,
    (to, from): (&str, &str),
    (columns, order): (&str, &str),
    large: Option<(&str, Option<&str>)>,
    unit: &str,
) -> rusqlite::Result<()> {
    let insert = format!("INSERT INTO {to} ({columns}) SELECT");
    let Some((payload, behind)) = large else {
        let sql = format!("{insert} {columns} FROM {from} WHERE thread_id = ?1 ORDER BY {order}");
        return connection.prepare_cached(&sql)?.execute([unit]).map(drop);
    };
    // Text is moved whole: only a blob can be filled in place.
    let is_blob = |column: Option<&str>| match column {
        Some(column) => format!("typeof({column}) = 'blob'"),
        None => "1".into(),
    };
    let is_large = format!(
        "octet_length({payload}) > {LARGE} AND {} AND {}",
        is_blob(Some(payload)),
        is_blob(behind)
    );
    let sql = format!(
        "{insert} {columns} FROM {from} WHERE thread_id = ?1 AND ({is_large}) IS NOT TRUE
         ORDER BY {order}"
    );
    connection.prepare_cached(&sql)?.execute([unit])?;
    let sql = format!("SELECT rowid FROM {from} WHERE thread_id = ?1 AND {is_large}");
    let mut found = connection.prepare_cached(&sql)?;
    let rows: Vec<i64> = found.query_map([unit], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let cells: Vec<&str> = std::iter::once(payload).chain(behind).collect();
    let zeros = |column: &str| match cells.contains(&column) {
        true => format!("zeroblob(octet_length({column}))"),
        false => column.to_string(),
    };
    let emptied: Vec<String> = columns.split(',').map(|column| zeros(column.trim())).collect();
    let sql = format!("{insert} {} FROM {from} WHERE rowid = ?1", emptied.join(", "));
    for row in rows {
        connection.prepare_cached(&sql)?.execute([row])?;
        let made = connection.last_insert_rowid();
        for column in &cells {
            pour(connection, column, (from, row), (to, made))?;
        }
    }
    Ok(())
}

/// Copies a cell into one that holds as many zeros.
fn pour(
    connection: &Connection,
    column: &str,
    (from, row): (&str, i64),
    (to, made): (&str, i64),
) -> rusqlite::Result<()> {
    let source = connection.blob_open("main", from, column, row, true)?;
    let mut target = connection.blob_open("main", to, column, made, false)?;
    let mut piece = vec![0; PIECE.min(source.len())];
    for at in (0..source.len()).step_by(PIECE) {
        let len = PIECE.min(source.len() - at);
        source.read_at_exact(&mut piece[..len], at)?;
        target.write_all_at(&piece[..len], at)?;
    }
    source.close()?;
    target.close()
}
