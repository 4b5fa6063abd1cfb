//! Changing the pages of a unit: operations come in, whole pages go out.
//!
//! Invariant: at most one page is open at a time, so that memory does not grow with the unit.

use bytes::Bytes;
use restow_model::{Digest, Key, UnitDigest};
use restow_store::KeyRange;
use restow_store::parts::part::Codec;

use super::damage::{Damage, expand};
use super::page::{self, Entry, PAGE_BYTES_EDITED, PAGE_BYTES_TARGET};
use super::rows::{NewPage, UnitRow, WriteRows};

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

impl OpenPage {
    /// About how large it is to be. What is written to again and again is rewritten each time.
    fn target(&self) -> usize {
        match self.page_no {
            Some(_) => PAGE_BYTES_EDITED,
            None => PAGE_BYTES_TARGET,
        }
    }
}

/// Changes the pages of one unit, or of its staged copy.
pub(in crate::layout) struct PageEditor<'c> {
    unit_no: i64,
    codec: &'c mut Codec,
    open: Option<OpenPage>,
    /// Whether pages may be stored; a unit that is new has none to look for.
    stored: bool,
    /// The digest of the unit, changed with every entry.
    pub(in crate::layout) digest: UnitDigest,
}

impl<'c> PageEditor<'c> {
    pub(in crate::layout) fn new(row: &UnitRow, codec: &'c mut Codec) -> Self {
        let stored = row.version > 0;
        Self { unit_no: row.unit_no, codec, open: None, stored, digest: row.digest }
    }

    /// Returns the digest of the record under a key.
    pub(in crate::layout) fn digest_at<R: WriteRows>(
        &mut self,
        rows: &mut R,
        key: &Key,
    ) -> Result<Option<Digest>, Damage<R::Error>> {
        let page = self.page_for(rows, key)?;
        Ok(find(&page.entries, key).ok().map(|at| page.entries[at].digest()))
    }

    /// Writes an entry; returns the digest of the one that it replaces.
    pub(in crate::layout) fn put<R: WriteRows>(
        &mut self,
        rows: &mut R,
        entry: Entry,
    ) -> Result<Option<Digest>, Damage<R::Error>> {
        let page = self.page_for(rows, &entry.key)?;
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
        let full = page.weight > page.target() * 2;
        self.digest.merge(&added);
        if let Some(old) = &taken {
            self.digest.take(&old.summed());
        }
        if full {
            self.divide(rows)?;
        }
        Ok(taken.map(|old| old.digest()))
    }

    /// Removes the entry under a key; returns its digest.
    pub(in crate::layout) fn remove<R: WriteRows>(
        &mut self,
        rows: &mut R,
        key: &Key,
    ) -> Result<Option<Digest>, Damage<R::Error>> {
        let page = self.page_for(rows, key)?;
        let Ok(at) = find(&page.entries, key) else { return Ok(None) };
        let old = page.entries.remove(at);
        page.weight -= old.weight();
        page.changed = true;
        self.digest.take(&old.summed());
        Ok(Some(old.digest()))
    }

    /// Forgets all pages; the caller removes their rows.
    pub(in crate::layout) fn clear(&mut self) {
        self.open = None;
        self.stored = false;
        self.digest = UnitDigest::default();
    }

    /// Writes the open page.
    pub(in crate::layout) fn finish<R: WriteRows>(
        &mut self,
        rows: &mut R,
    ) -> Result<(), Damage<R::Error>> {
        let Some(page) = self.open.take() else { return Ok(()) };
        self.write(rows, &page)
    }

    /// Opens the page that a key belongs to.
    fn page_for<R: WriteRows>(
        &mut self,
        rows: &mut R,
        key: &Key,
    ) -> Result<&mut OpenPage, Damage<R::Error>> {
        let inside = self.open.as_ref().is_some_and(|page| {
            // One that was emptied does not tell any more where it began.
            let from = page.entries.first().is_some_and(|first| first.key <= *key);
            from && page.until.as_ref().is_none_or(|until| key.as_bytes() < until)
        });
        if !inside {
            self.finish(rows)?;
            self.open = Some(self.load(rows, key)?);
        }
        Ok(self.open.get_or_insert_default())
    }

    fn load<R: WriteRows>(
        &mut self,
        rows: &mut R,
        key: &Key,
    ) -> Result<OpenPage, Damage<R::Error>> {
        if !self.stored {
            let until = R::IS_PAGE_A_RECORD.then(|| KeyRange::after(key).from);
            return Ok(OpenPage { until, ..OpenPage::default() });
        }
        let (page, until) = rows.place_of(self.unit_no, key).map_err(Damage::Engine)?;
        let Some(page) = page else { return Ok(OpenPage { until, ..OpenPage::default() }) };
        let page_no = page.page_no;
        let entries = expand(self.codec, &page, |_| true).map_err(|why| Damage::Page {
            page_no,
            first: page.first.into(),
            why,
        })?;
        let weight = entries.iter().map(Entry::weight).sum();
        Ok(OpenPage { page_no: Some(page_no), until, entries, weight, changed: false })
    }

    /// Writes all but the last share of a page that has grown too large.
    fn divide<R: WriteRows>(&mut self, rows: &mut R) -> Result<(), Damage<R::Error>> {
        let Some(mut page) = self.open.take() else { return Ok(()) };
        let target = page.target();
        while page.weight > target * 2 {
            let mut weight = 0;
            let over = page.entries.iter().position(|entry| {
                weight += entry.weight();
                weight > target
            });
            // At least one entry on either side; a page of one large record cannot be divided.
            let at = over.unwrap_or(0).max(1);
            if at >= page.entries.len() {
                break;
            }
            let rest = page.entries.split_off(at);
            let weight = rest.iter().map(Entry::weight).sum();
            let until = page.until.take();
            self.write(rows, &page)?;
            page = OpenPage { page_no: None, until, entries: rest, weight, changed: true };
        }
        self.open = Some(page);
        Ok(())
    }

    fn write<R: WriteRows>(
        &mut self,
        rows: &mut R,
        page: &OpenPage,
    ) -> Result<(), Damage<R::Error>> {
        if !page.changed {
            return Ok(());
        }
        if let Some(page_no) = page.page_no {
            rows.remove_page(page_no).map_err(Damage::Engine)?;
        }
        let Some(first) = page.entries.first() else { return Ok(()) };
        let raw = page::encode(&page.entries);
        let new = NewPage {
            first: first.key.clone(),
            records: page.entries.len(),
            raw_len: raw.len(),
            digest: Digest::of(&raw),
            data: self.codec.pack(&raw)?,
        };
        self.stored = true;
        rows.insert_page(self.unit_no, new).map_err(Damage::Engine)
    }
}

fn find(entries: &[Entry], key: &Key) -> Result<usize, usize> {
    // Records mostly arrive in key order.
    match entries.last() {
        Some(last) if last.key < *key => Err(entries.len()),
        _ => entries.binary_search_by(|entry| entry.key.cmp(key)),
    }
}
