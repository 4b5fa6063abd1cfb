//! Numbers that are never given twice: of spaces, commits and objects.
//!
//! A store that is opened to be written takes a block of them from a counter in the table, so that
//! a number costs no request.

use std::sync::{Arc, Mutex, PoisonError};

use restow_store::Result;

use crate::engine::dynamodb::{Place, Table};

/// How many numbers a block has.
const BLOCK: i64 = 1 << 20;

/// Hands out numbers; clones share them.
#[derive(Clone, Debug, Default)]
pub(in crate::layout) struct Numbers(Arc<Mutex<i64>>);

impl Numbers {
    /// Returns a number that nobody else has, or will have.
    pub(super) fn next(&self, table: &Table) -> Result<i64> {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *next % BLOCK == 0 {
            let place: Place = ("restow#store".to_owned(), "restow#numbers".to_owned());
            *next = table.count(&place)? * BLOCK;
        }
        *next += 1;
        Ok(*next - 1)
    }
}
