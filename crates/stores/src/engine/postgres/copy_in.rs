//! Bulk loading: rows in the binary format of COPY, sent while they are made.
//!
//! Format: PostgreSQL 15, "COPY", binary format; all numbers are big-endian.

use std::io::{self, Write};

use postgres::CopyInWriter;

use super::{Fail, Transaction};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// A field goes in pieces of this size, so that nobody between here and the server holds it whole.
const PIECE: usize = 64 << 10;

/// Rows on their way into a table.
pub struct CopyIn<'t> {
    writer: CopyInWriter<'t>,
    row: Vec<u8>,
}

impl<'t> CopyIn<'t> {
    /// Begins to load rows; `into` is the table with its columns in brackets.
    pub fn begin(tx: &'t mut Transaction<'_>, into: &str) -> Result<Self, Fail> {
        let sql = format!("COPY {into} FROM STDIN (FORMAT binary)");
        let mut this = Self { writer: tx.copy_in(&sql)?, row: Vec::with_capacity(PIECE) };
        this.row.extend_from_slice(SIGNATURE);
        Ok(this)
    }

    /// Begins a row of so many fields.
    pub fn row(&mut self, fields: u16) -> Result<(), Fail> {
        self.row.extend_from_slice(&fields.to_be_bytes());
        self.spill()
    }

    /// Adds text.
    pub fn text(&mut self, text: &str) -> Result<(), Fail> {
        self.pieces(text.len(), [text.as_bytes()])
    }

    /// Adds text or NULL.
    pub fn text_or_null(&mut self, text: Option<&str>) -> Result<(), Fail> {
        match text {
            Some(text) => self.text(text),
            None => self.null(),
        }
    }

    /// Adds NULL.
    pub fn null(&mut self) -> Result<(), Fail> {
        self.row.extend_from_slice(&(-1i32).to_be_bytes());
        Ok(())
    }

    /// Adds an integer of two bytes.
    pub fn int2(&mut self, n: i16) -> Result<(), Fail> {
        self.pieces(2, [&n.to_be_bytes()[..]])
    }

    /// Adds an integer of four bytes.
    pub fn int4(&mut self, n: i32) -> Result<(), Fail> {
        self.pieces(4, [&n.to_be_bytes()[..]])
    }

    /// Adds an integer of eight bytes.
    pub fn int8(&mut self, n: i64) -> Result<(), Fail> {
        self.pieces(8, [&n.to_be_bytes()[..]])
    }

    /// Adds JSON as `jsonb`.
    pub fn jsonb(&mut self, json: &str) -> Result<(), Fail> {
        self.pieces(json.len() + 1, [&[1], json.as_bytes()])
    }

    /// Adds bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Fail> {
        self.pieces(bytes.len(), [bytes])
    }

    /// Adds bytes that lie in several pieces, `len` in all.
    pub fn pieces<'b>(
        &mut self,
        len: usize,
        pieces: impl IntoIterator<Item = &'b [u8]>,
    ) -> Result<(), Fail> {
        let len = i32::try_from(len).map_err(|_| too_large(len))?;
        self.row.extend_from_slice(&len.to_be_bytes());
        for piece in pieces.into_iter().flat_map(|piece| piece.chunks(PIECE)) {
            self.row.extend_from_slice(piece);
            self.spill()?;
        }
        Ok(())
    }

    /// Ends the loading; returns the number of rows.
    pub fn finish(mut self) -> Result<u64, Fail> {
        self.row.extend_from_slice(&(-1i16).to_be_bytes());
        self.send()?;
        Ok(self.writer.finish()?)
    }

    fn spill(&mut self) -> Result<(), Fail> {
        match self.row.len() >= PIECE {
            true => self.send(),
            false => Ok(()),
        }
    }

    fn send(&mut self) -> Result<(), Fail> {
        let sent = self.writer.write_all(&self.row);
        self.row.clear();
        sent.map_err(|error| broken(error).into())
    }
}

/// The writer wraps PostgreSQL's own error; what it says is what counts.
fn broken(error: io::Error) -> restow_store::Error {
    match error.into_inner().map(|inner| inner.downcast::<postgres::Error>()) {
        Some(Ok(error)) => super::error::failed("load rows", *error),
        Some(Err(error)) => lost().because(error),
        None => lost(),
    }
}

fn lost() -> restow_store::Error {
    let kind = restow_store::ErrorKind::Unavailable;
    restow_store::Error::new(kind, "load rows", "the connection broke")
}

fn too_large(len: usize) -> Fail {
    let kind = restow_store::ErrorKind::Unsupported;
    let message = "a value is larger than PostgreSQL can hold";
    restow_store::Error::new(kind, "load rows", message).with("bytes", len.to_string()).into()
}
