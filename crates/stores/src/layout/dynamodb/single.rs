//! Pages of one record, values and all.

use restow_model::{Digest, Record, Value, canonical};
use restow_store::parts::Pointer;
use restow_store::parts::part::Codec;
use restow_store::parts::pointer::Piece;

use crate::layout::parts::page::{self, Entry, value_names};
use crate::layout::parts::rows::{NewPage, PageRow};

/// A page's length, digest and compressed bytes.
pub(in crate::layout) type Packed = (usize, Digest, Vec<u8>);

/// Makes the pointer of a value that stands in its page.
pub(in crate::layout) fn literal(value: &[u8]) -> Vec<u8> {
    Pointer { depth: 0, pieces: vec![Piece::Literal(value.to_vec())] }.to_bytes()
}

/// Makes the entry of a record, its values in it.
pub(in crate::layout) fn entry_of(record: &Record) -> Entry {
    let mut body = Vec::new();
    canonical::encode(&record.body, &mut body);
    let names = value_names(&record.body);
    let values = names.iter().filter_map(|name| record.value(name));
    let pointers = values.map(|value| (value.form, literal(&value.bytes))).collect();
    let (key, residue) = (record.key.clone(), record.residue.clone());
    Entry { key, body: body.into(), pointers, residue }
}

/// Takes the record of a page back whose values stand in it; nothing where some do not.
pub(in crate::layout) fn record_of(page: &NewPage, codec: &mut Codec) -> Result<Record, String> {
    let raw = codec.unpack(&page.data, page.raw_len, &page.digest)?;
    let entries = page::decode(&raw.into()).map_err(|malformed| malformed.to_string())?;
    let entry = entries.first().ok_or("a page holds no record")?;
    let (mut record, names) = entry.record().map_err(|malformed| malformed.to_string())?;
    for (name, (form, pointer)) in names.into_iter().zip(&entry.pointers) {
        let pointer = Pointer::from_bytes(pointer).map_err(|malformed| malformed.to_string())?;
        let bytes = match <[Piece; 1]>::try_from(pointer.pieces) {
            Ok([Piece::Literal(bytes)]) => bytes,
            Err(none) if none.is_empty() => Vec::new(),
            _ => return Err("a value does not stand in its page".into()),
        };
        record.values.push(Value { name, form: *form, bytes: bytes.into() });
    }
    Ok(record)
}

/// Compresses the page of entries.
pub(in crate::layout) fn packed(entries: &[Entry], codec: &mut Codec) -> Result<Packed, String> {
    let raw = page::encode(entries);
    let data = codec.pack(&raw).map_err(|torn| torn.to_string())?;
    Ok((raw.len(), Digest::of(&raw), data))
}

/// Makes the row of a page; one that cannot be read says why.
pub(in crate::layout) fn row(
    page_no: i64,
    key: &[u8],
    name: &str,
    read: Result<Packed, String>,
) -> PageRow {
    let (fault, (raw_len, digest, data)) = match read {
        Ok(read) => (None, read),
        Err(why) => (Some(why), (0, Digest::default(), Vec::new())),
    };
    PageRow {
        page_no,
        first: key.to_vec(),
        raw_len: raw_len as i64,
        digest: digest.as_bytes().to_vec(),
        data,
        place: Some(format!("item {name}").into()),
        fault,
    }
}
