//! Changing the pages of a unit: operations come in, whole pages go out.
//!
//! Invariant: at most one page is open at a time, so that memory does not grow with the unit.

use bytes::Bytes;
use restow_model::{Digest, Key, UnitDigest};
use restow_store::parts::part::Codec;
use rusqlite::{Connection, OptionalExtension, params};

use super::damage::{Damage, expand};
use crate::layout::parts::page::{self, Entry, PAGE_BYTES_TARGET};

/// A page that is being changed.
#[derive(Debug, Default)]
struct OpenPage {
    /// The row that it was read from.
    page_no: Option<i64>,
    /// The first key of the page behind it; every key below belongs here.
    until: Option<Bytes>,
    entries: Vec<Entry>,
    weight: usize,
    changed: bool,
}

/// Changes the pages of one unit, or of its staged copy.
pub(super) struct PageEditor<'c> {
    connection: &'c Connection,
    unit_no: i64,
    codec: &'c mut Codec,
    open: Option<OpenPage>,
    /// The digest of the unit, changed with every entry.
    pub(super) digest: UnitDigest,
}

impl<'c> PageEditor<'c> {
    pub(super) fn new(
        connection: &'c Connection,
        unit_no: i64,
        digest: UnitDigest,
        codec: &'c mut Codec,
    ) -> Self {
        Self { connection, unit_no, codec, open: None, digest }
    }

    /// Returns the digest of the record under a key.
    pub(super) fn digest_at(&mut self, key: &Key) -> Result<Option<Digest>, Damage> {
        let page = self.page_for(key)?;
        Ok(find(&page.entries, key).ok().map(|at| page.entries[at].digest()))
    }

    /// Writes an entry; returns the digest of the one that it replaces.
    pub(super) fn put(&mut self, entry: Entry) -> Result<Option<Digest>, Damage> {
        let page = self.page_for(&entry.key)?;
        let (added, mut taken) = (entry.summed(), None);
        page.weight += entry.weight();
        page.changed = true;
        match find(&page.entries, &entry.key) {
            Ok(at) => {
                let old = std::mem::replace(&mut page.entries[at], entry);
                page.weight -= old.weight();
                taken = Some(old);
            }
            Err(at) => page.entries.insert(at, entry),
        }
        let full = page.weight > PAGE_BYTES_TARGET * 2;
        self.digest.merge(&added);
        if let Some(old) = &taken {
            self.digest.take(&old.summed());
        }
        if full {
            self.divide()?;
        }
        Ok(taken.map(|old| old.digest()))
    }

    /// Removes the entry under a key; returns its digest.
    pub(super) fn remove(&mut self, key: &Key) -> Result<Option<Digest>, Damage> {
        let page = self.page_for(key)?;
        let Ok(at) = find(&page.entries, key) else { return Ok(None) };
        let old = page.entries.remove(at);
        page.weight -= old.weight();
        page.changed = true;
        self.digest.take(&old.summed());
        Ok(Some(old.digest()))
    }

    /// Forgets all pages; the caller removes their rows.
    pub(super) fn clear(&mut self) {
        self.open = None;
        self.digest = UnitDigest::default();
    }

    /// Writes the open page.
    pub(super) fn finish(&mut self) -> Result<(), Damage> {
        let Some(page) = self.open.take() else { return Ok(()) };
        self.write(&page)
    }

    /// Opens the page that a key belongs to.
    fn page_for(&mut self, key: &Key) -> Result<&mut OpenPage, Damage> {
        let inside = self.open.as_ref().is_some_and(|page| {
            let from = page.entries.first().is_none_or(|first| first.key <= *key);
            from && page.until.as_ref().is_none_or(|until| key.as_bytes() < until)
        });
        if !inside {
            self.finish()?;
            self.open = Some(self.load(key)?);
        }
        Ok(self.open.get_or_insert_default())
    }

    fn load(&mut self, key: &Key) -> Result<OpenPage, Damage> {
        let columns = "page_no, first_key, raw_len, digest, data";
        let at_or_below = format!(
            "SELECT {columns} FROM restow_page WHERE unit_no = ?1 AND first_key <= ?2 \
             ORDER BY first_key DESC LIMIT 1"
        );
        let above = format!(
            "SELECT {columns} FROM restow_page WHERE unit_no = ?1 AND first_key > ?2 \
             ORDER BY first_key LIMIT 1"
        );
        let place = params![self.unit_no, &key.as_bytes()[..]];
        let read = |row: &rusqlite::Row<'_>| {
            let (page_no, first): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
            Ok((page_no, first, row.get::<_, i64>(2)?, row.get::<_, Vec<u8>>(3)?, row.get(4)?))
        };
        let find =
            |sql: &str| self.connection.prepare_cached(sql)?.query_row(place, read).optional();
        let (below, next) = (find(&at_or_below)?, find(&above)?);
        let until = next.map(|(_, first, ..)| Bytes::from(first));
        let Some((page_no, first, raw_len, digest, data)) = below else {
            return Ok(OpenPage { until, ..OpenPage::default() });
        };
        let data: Vec<u8> = data;
        let entries = expand(self.codec, (raw_len, &digest, &data), |_| true)
            .map_err(|why| Damage::Page { page_no, first: first.into(), why })?;
        let weight = entries.iter().map(Entry::weight).sum();
        Ok(OpenPage { page_no: Some(page_no), until, entries, weight, changed: false })
    }

    /// Writes all but the last share of a page that has grown too large.
    fn divide(&mut self) -> Result<(), Damage> {
        let Some(mut page) = self.open.take() else { return Ok(()) };
        let mut weight = 0;
        let over = page.entries.iter().position(|entry| {
            weight += entry.weight();
            weight > PAGE_BYTES_TARGET
        });
        // At least one entry on either side; a page of one large record cannot be divided.
        let at = over.unwrap_or(0).max(1);
        if at < page.entries.len() {
            let rest = page.entries.split_off(at);
            let weight = rest.iter().map(Entry::weight).sum();
            let until = page.until.take();
            self.write(&page)?;
            page = OpenPage { page_no: None, until, entries: rest, weight, changed: true };
        }
        self.open = Some(page);
        Ok(())
    }

    fn write(&mut self, page: &OpenPage) -> Result<(), Damage> {
        if !page.changed {
            return Ok(());
        }
        if let Some(page_no) = page.page_no {
            let sql = "DELETE FROM restow_page WHERE page_no = ?1";
            self.connection.prepare_cached(sql)?.execute([page_no])?;
        }
        let Some(first) = page.entries.first() else { return Ok(()) };
        let raw = page::encode(&page.entries);
        let data = self.codec.pack(&raw)?;
        let sql = "INSERT INTO restow_page (unit_no, first_key, records, raw_len, digest, data) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.connection.prepare_cached(sql)?.execute(params![
            self.unit_no,
            &first.key.as_bytes()[..],
            page.entries.len() as i64,
            raw.len() as i64,
            &Digest::of(&raw).as_bytes()[..],
            data,
        ])?;
        Ok(())
    }
}

fn find(entries: &[Entry], key: &Key) -> Result<usize, usize> {
    // Records mostly arrive in key order.
    match entries.last() {
        Some(last) if last.key < *key => Err(entries.len()),
        _ => entries.binary_search_by(|entry| entry.key.cmp(key)),
    }
}
