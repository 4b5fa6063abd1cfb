//! Large cells: fetched piece by piece, straight into one buffer.
//!
//! A row that comes whole is held by the connection's buffer, which grows by doubling and keeps
//! its size while the connection is used, and then once more by who copies the cell out of it.

use bytes::Bytes;
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::{ToSql, Type};
use restow_store::buffer::Buffer;
use restow_store::{Error, ErrorKind};

use super::{Fail, Transaction};

/// Cells up to this size may come with their row.
pub const WHOLE_BYTES_MAX: usize = 1 << 20;
/// How many bytes come in one message.
const PIECE: usize = 64 << 10;

/// Fetches one cell of type `bytea`; nothing where there is no such row, or NULL in it.
///
/// `cell` is an expression over the only row that `from` finds; the server unpacks it once, for
/// all pieces.
pub fn fetch(
    tx: &mut Transaction<'_>,
    (cell, from): (&str, &str),
    parameters: &[(&(dyn ToSql + Sync), Type)],
) -> Result<Option<Bytes>, Fail> {
    let sql = format!(
        "SELECT octet_length(v.cell), n, substring(v.cell FROM n * {PIECE} + 1 FOR {PIECE}) \
         FROM (SELECT {cell} || ''::bytea AS cell FROM {from} OFFSET 0) v, \
         generate_series(0, (octet_length(v.cell) - 1) / {PIECE}) n"
    );
    let mut rows =
        tx.query_typed_raw(&sql, parameters.iter().map(|(value, of)| (*value, of.clone())))?;
    let mut whole: Option<Buffer> = None;
    while let Some(row) = rows.next()? {
        let (len, number): (i32, i32) = (row.try_get(0)?, row.try_get(1)?);
        let piece: &[u8] = row.try_get(2)?;
        let buffer = match &mut whole {
            Some(buffer) => buffer,
            empty => empty.insert(zeroed(len as usize)?),
        };
        let place = buffer.get_mut(number as usize * PIECE..);
        let place = place.and_then(|rest| rest.get_mut(..piece.len()));
        place.ok_or_else(torn)?.copy_from_slice(piece);
    }
    Ok(whole.map(Buffer::freeze))
}

fn zeroed(len: usize) -> Result<Buffer, Fail> {
    Buffer::zeroed(len).map_err(|error| {
        let message = "a value is larger than this machine has room for";
        failed(message).with("bytes", len.to_string()).because(error).into()
    })
}

fn torn() -> Fail {
    failed("the server gave a piece of a value that is none of it").into()
}

fn failed(message: &str) -> Error {
    Error::new(ErrorKind::Failed, "read a large value", message)
}
