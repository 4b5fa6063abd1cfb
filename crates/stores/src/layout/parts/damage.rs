//! Pages that cannot be opened, and what is said of them.

use bytes::Bytes;
use restow_model::{Digest, Key, UnitId};
use restow_store::parts::Torn;
use restow_store::parts::part::Codec;
use restow_store::{Error, ErrorKind, Frame};

use super::page::{self, Entry, PAGE_BYTES_MAX};
use super::rows::{PageRow, UnitRow};

/// Why the rows of a unit could not be read or changed.
#[derive(Debug)]
pub(in crate::layout) enum Damage<E> {
    /// The engine failed.
    Engine(E),
    /// A page is not what its digest says.
    Page {
        /// Its row.
        page_no: i64,
        /// The first key that it should hold.
        first: Bytes,
        /// What is wrong with it.
        why: String,
    },
    /// A value or the log is torn.
    Torn(Torn),
}

impl<E> From<Torn> for Damage<E> {
    fn from(torn: Torn) -> Self {
        Self::Torn(torn)
    }
}

impl<E> Damage<E> {
    /// Turns damage into the port's error, for an operation on a unit; `store` names where it is.
    pub(in crate::layout) fn error(
        self,
        operation: &'static str,
        unit: &UnitId,
        store: (&'static str, String),
    ) -> Error {
        let message = match self {
            Self::Engine(_) => "the engine failed".to_owned(),
            Self::Page { page_no, first, why } => {
                format!("page {page_no} from {} on is damaged: {why}", name(&first))
            }
            Self::Torn(torn) => torn.to_string(),
        };
        let error = Error::new(ErrorKind::Damaged, operation, message);
        error.with(store.0, store.1).with("unit", unit.to_string())
    }
}

/// Makes the frame that reports a page.
pub(in crate::layout) fn page_frame(unit: &UnitId, page: &PageRow, why: String) -> Frame {
    let first = name(&Bytes::copy_from_slice(&page.first));
    let place = match &page.place {
        Some(place) => place.to_string(),
        None => format!("table restow_page, row {}, records from {first} on", page.page_no),
    };
    Frame::Damaged { unit: Some(unit.clone()), place, why }
}

/// Makes the frame that reports a record.
pub(in crate::layout) fn record_frame(unit: &UnitId, key: &Key, why: String) -> Frame {
    Frame::Damaged { unit: Some(unit.clone()), place: format!("record {key}"), why }
}

/// Makes the frame that reports a control record.
pub(in crate::layout) fn control_frame(row: &UnitRow, error: &Error) -> Frame {
    let place = format!("table restow_unit, row {}, column control", row.unit_no);
    Frame::Damaged { unit: Some(row.unit.clone()), place, why: error.message().to_owned() }
}

/// Expands a page, checking its bytes against its digest; returns the entries that are wanted.
pub(in crate::layout) fn expand(
    codec: &mut Codec,
    page: &PageRow,
    wanted: impl Fn(&[u8]) -> bool,
) -> Result<Vec<Entry>, String> {
    if let Some(fault) = &page.fault {
        return Err(fault.clone());
    }
    let digest = Digest::from_slice(&page.digest).ok_or("its digest has not 32 bytes")?;
    let raw_len = usize::try_from(page.raw_len).ok().filter(|len| *len <= PAGE_BYTES_MAX);
    let raw_len = raw_len.ok_or("it claims an impossible length")?;
    let raw = codec.unpack(&page.data, raw_len, &digest)?;
    page::decode_some(&raw.into(), wanted).map_err(|malformed| malformed.to_string())
}

fn name(first: &Bytes) -> String {
    Key::from_bytes(first.clone()).map_or_else(|_| "an unreadable key".into(), |k| k.to_string())
}
