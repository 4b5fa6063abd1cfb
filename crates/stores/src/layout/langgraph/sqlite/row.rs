//! Cells of rows, with their storage classes.

use bytes::Bytes;
use restow_store::buffer::Buffer;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row, ToSql};

/// Payloads beyond this many bytes are read and written piece by piece.
pub(super) const LARGE: usize = 1 << 20;

/// The storage class of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// NULL.
    Null,
    /// TEXT, whatever its encoding says.
    Text,
    /// BLOB.
    Blob,
}

/// A payload with its storage class.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// The class.
    pub(super) class: Class,
    /// The bytes, none for NULL.
    pub(super) bytes: Bytes,
}

/// What is wrong with a cell, or with the database.
#[derive(Debug)]
pub(super) enum Fault {
    /// The cell holds what its column never does.
    Cell(String),
    /// SQLite failed.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Where a payload lies: its table, column, and the places of class, length and content in a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Payload {
    /// The table.
    pub(super) table: &'static str,
    /// The column.
    pub(super) column: &'static str,
    /// Where the row's `typeof`, `octet_length` and the content itself stand, one behind the other.
    pub(super) at: usize,
}

impl Payload {
    /// Returns how many bytes the payload has, without loading it.
    pub(super) fn len(&self, row: &Row<'_>) -> usize {
        let len = row.get_ref(self.at + 1).ok().and_then(|v| v.as_i64().ok());
        len.and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
    }

    /// Loads the payload; a large one straight into one buffer.
    pub(super) fn load(
        &self,
        connection: &Connection,
        rowid: i64,
        row: &Row<'_>,
    ) -> Result<Column, Fault> {
        let class = match row.get_ref(self.at)?.as_str() {
            Ok("null") => Class::Null,
            Ok("text") => Class::Text,
            Ok("blob") => Class::Blob,
            Ok(other) => return Err(wrong(self.column, other)),
            Err(_) => return Err(wrong(self.column, "nothing")),
        };
        let len = self.len(row);
        if class == Class::Null || len <= LARGE {
            return Ok(Column { class, bytes: bytes(row.get_ref(self.at + 2)?) });
        }
        let mut buffer = Buffer::zeroed(len).map_err(|_| memory(self.column, len))?;
        let blob = connection.blob_open("main", self.table, self.column, rowid, true)?;
        blob.read_at_exact(&mut buffer, 0)?;
        Ok(Column { class, bytes: buffer.freeze() })
    }
}

/// Returns the bytes of TEXT or BLOB, and none of anything else.
pub(super) fn bytes(value: ValueRef<'_>) -> Bytes {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Bytes::copy_from_slice(bytes),
        _ => Bytes::new(),
    }
}

/// Reads a column that holds text.
pub(super) fn text<'r>(row: &'r Row<'_>, at: usize, name: &str) -> Result<&'r str, Fault> {
    match row.get_ref(at)? {
        ValueRef::Text(bytes) => std::str::from_utf8(bytes)
            .map_err(|_| Fault::Cell(format!("column {name} holds text that is not UTF-8"))),
        other => Err(wrong(name, class_name(other))),
    }
}

/// Reads a column that holds text or NULL.
pub(super) fn text_or_null<'r>(
    row: &'r Row<'_>,
    at: usize,
    name: &str,
) -> Result<Option<&'r str>, Fault> {
    match row.get_ref(at)? {
        ValueRef::Null => Ok(None),
        _ => text(row, at, name).map(Some),
    }
}

/// Reads a column that holds an integer.
pub(super) fn integer(row: &Row<'_>, at: usize, name: &str) -> Result<i64, Fault> {
    match row.get_ref(at)? {
        ValueRef::Integer(n) => Ok(n),
        other => Err(wrong(name, class_name(other))),
    }
}

/// Loads a small payload with its storage class.
pub(super) fn small(row: &Row<'_>, at: usize, name: &str) -> Result<Column, Fault> {
    let value = row.get_ref(at)?;
    let class = match value {
        ValueRef::Null => Class::Null,
        ValueRef::Text(_) => Class::Text,
        ValueRef::Blob(_) => Class::Blob,
        other => return Err(wrong(name, class_name(other))),
    };
    Ok(Column { class, bytes: bytes(value) })
}

fn memory(name: &str, len: usize) -> Fault {
    Fault::Cell(format!("column {name} holds {len} bytes, more than this machine has room for"))
}

fn wrong(name: &str, class: &str) -> Fault {
    Fault::Cell(format!("column {name} holds {class}"))
}

fn class_name(value: ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::Null => "null",
        ValueRef::Integer(_) => "an integer",
        ValueRef::Real(_) => "a float",
        ValueRef::Text(_) => "text",
        ValueRef::Blob(_) => "a blob",
    }
}

/// Bytes bound under a storage class; TEXT need not be UTF-8.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound<'b>(pub(super) Class, pub(super) &'b [u8]);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Class::Null => ValueRef::Null,
            Class::Text => ValueRef::Text(self.1),
            Class::Blob => ValueRef::Blob(self.1),
        }))
    }
}
