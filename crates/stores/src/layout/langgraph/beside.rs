//! What every engine keeps beside the application's rows: records that belong to a unit alone.
//!
//! Such a record is its key, its encoded body, and its values one behind the other: form, length
//! (varint), bytes.

use bytes::Bytes;
use restow_model::{Form, Record, Value, canonical, read_varint, write_varint};

/// Encodes the body and the values of a record.
pub fn encode(record: &Record) -> (Vec<u8>, Vec<u8>) {
    let mut body = Vec::new();
    canonical::encode(&record.body, &mut body);
    let mut items = Vec::new();
    for value in &record.values {
        items.push(value.form.code());
        write_varint(&mut items, value.bytes.len() as u64);
        items.extend_from_slice(&value.bytes);
    }
    (body, items)
}

/// Takes the values of a record back; `None` where they are cut short.
pub fn values(items: &Bytes) -> Option<Vec<Value>> {
    let mut values = Vec::new();
    let mut at = 0;
    while at < items.len() {
        let form = Form::from_code(items[at])?;
        at += 1;
        let len = usize::try_from(read_varint(items, &mut at).ok()?).ok()?;
        let end = at.checked_add(len).filter(|end| *end <= items.len())?;
        values.push(Value::new(form, items.slice(at..end)));
        at = end;
    }
    Some(values)
}
