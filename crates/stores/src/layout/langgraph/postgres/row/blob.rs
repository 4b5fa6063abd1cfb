//! Rows of `checkpoint_blobs` ⇄ values, and those that no checkpoint names ⇄ records.

use bytes::Bytes;
use restow_model::{
    Body, Digest, Form, Key, KeyPart, Malformed, Record, Value, ValueRef, write_varint,
};

use super::super::super::msgpack::{Head, Reader, write_head};
use super::super::super::record::{UNIT, form};
use super::known::Content;
use super::residue::LAYOUT;

const BLOB: &str = "blob";
/// The tag of what the serializer packs.
pub(super) const MSGPACK: &str = "msgpack";
/// The tag of a row that says that there is no value.
const EMPTY: &str = "empty";
/// The tag of `None`.
const NULL: &str = "null";

/// A blob row as it is stored, read once for all checkpoints that name it.
#[derive(Clone, Debug)]
pub struct StoredBlob {
    tag: Box<str>,
    bytes: Option<Bytes>,
    meaning: Meaning,
}

/// What a blob row says.
#[derive(Clone, Debug)]
pub(super) enum Meaning {
    /// No value.
    Nothing,
    /// A value.
    Value(Value),
    /// A value that is not ours to open, under the row's tag.
    Sealed(Value),
    /// What claims to be msgpack and is none.
    Broken(Malformed),
}

impl StoredBlob {
    /// Reads a row's tag and bytes; `None` is NULL.
    pub fn new(tag: &str, bytes: Option<Bytes>) -> Self {
        let meaning = match (tag, &bytes) {
            (NULL, _) => Meaning::Value(nil()),
            (EMPTY, _) | (_, None) => Meaning::Nothing,
            (MSGPACK, Some(bytes)) => match is_one_item(bytes) {
                Ok(()) => Meaning::Value(Value::new(Form::Msgpack, bytes.clone())),
                Err(why) => Meaning::Broken(why),
            },
            ("bytes" | "bytearray", Some(bytes)) => Meaning::Value(packed_bytes(bytes)),
            (tag, Some(bytes)) => Meaning::Sealed(Value::new(form(Some(tag)), bytes.clone())),
        };
        Self { tag: tag.into(), bytes, meaning }
    }

    /// Reads a row without keeping its bytes; nothing where they say more than which value it is.
    pub fn without_bytes(tag: &str, bytes: &[u8]) -> Option<Self> {
        // A list or a map stands nowhere but in a blob row, and says nothing about others.
        let is_alone = tag == MSGPACK
            && matches!(Reader::new(bytes).head(), Ok(Head::Array(_) | Head::Map(_)));
        is_alone.then(|| {
            let name = ValueRef { digest: Digest::of(bytes), len: bytes.len() as u64 };
            let value = Value { name, form: Form::Msgpack, bytes: Bytes::new() };
            let meaning =
                is_one_item(bytes).map_or_else(Meaning::Broken, |()| Meaning::Value(value));
            Self { tag: tag.into(), bytes: Some(Bytes::new()), meaning }
        })
    }

    /// Returns the serializer's tag.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Returns the row's bytes; `None` is NULL.
    pub fn bytes(&self) -> Option<&Bytes> {
        self.bytes.as_ref()
    }

    /// Returns the content by which this row is told from another under one version.
    pub fn content(&self) -> Content {
        let held = match (&self.meaning, &self.bytes) {
            (_, None) => Held::Null,
            (Meaning::Value(value), Some(bytes)) if *self.tag != *NULL || bytes.is_empty() => {
                Held::Value(value.name)
            }
            (_, Some(bytes)) => Held::Raw(bytes),
        };
        content(&self.tag, &held)
    }

    pub(super) fn meaning(&self) -> &Meaning {
        &self.meaning
    }
}

/// What the bytes of a row are.
#[derive(Debug)]
pub(super) enum Held<'b> {
    /// NULL.
    Null,
    /// Those of a value, as records name it.
    Value(ValueRef),
    /// Others.
    Raw(&'b Bytes),
}

/// Returns the content of a row: a digest of its tag and of what its bytes are.
pub(super) fn content(tag: &str, held: &Held<'_>) -> Content {
    let mut named = Vec::with_capacity(64);
    write_varint(&mut named, tag.len() as u64);
    named.extend_from_slice(tag.as_bytes());
    match held {
        Held::Null => named.push(0),
        Held::Value(name) => {
            named.push(1);
            named.extend_from_slice(name.digest.as_bytes());
        }
        // The bytes of a value not ours to open are named by the same digest.
        Held::Raw(bytes) => {
            named.push(1);
            named.extend_from_slice(Digest::of(bytes).as_bytes());
        }
    }
    Content::Blob(Digest::of(&named))
}

/// A row of `checkpoint_blobs` to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRow {
    /// `channel`.
    pub channel: Box<str>,
    /// `version`.
    pub version: Box<str>,
    /// `type`.
    pub tag: Box<str>,
    /// `blob`; `None` is NULL.
    pub bytes: Option<Bytes>,
}

/// Says whether bytes are one msgpack item and nothing else.
pub(super) fn is_one_item(bytes: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(bytes);
    reader.skip()?;
    match reader.rest().is_empty() {
        true => Ok(()),
        false => Err(Malformed::new("bytes behind the end of msgpack", reader.at())),
    }
}

fn nil() -> Value {
    Value::new(Form::Msgpack, Bytes::from_static(b"\xc0"))
}

fn packed_bytes(bytes: &Bytes) -> Value {
    let mut packed = Vec::with_capacity(bytes.len() + 5);
    write_head(&mut packed, Head::Bin(bytes.len()));
    packed.extend_from_slice(bytes);
    Value::new(Form::Msgpack, packed.into())
}

/// Returns the bytes of a row that says a value under a tag; nothing where the tag cannot.
pub(super) fn bytes_under(tag: &str, value: &Value) -> Option<Bytes> {
    match tag {
        NULL => (value.bytes[..] == *b"\xc0").then(Bytes::new),
        "bytes" | "bytearray" => {
            let mut reader = Reader::new(&value.bytes);
            let Ok(Head::Bin(_)) = reader.head() else { return None };
            let bytes = value.bytes.slice(reader.at()..);
            (packed_bytes(&bytes).name == value.name).then_some(bytes)
        }
        _ => None,
    }
}

/// Makes the record of a blob row that no checkpoint names.
pub fn unreferenced(namespace: &str, channel: &str, version: &str, blob: &StoredBlob) -> Record {
    let key = Key::of(UNIT).text(LAYOUT).text(BLOB).text(namespace).text(channel).text(version);
    let value = blob.bytes.clone().map(|bytes| Value::new(form(Some(&blob.tag)), bytes));
    let name = value.as_ref().map_or(Body::Null, |value| Body::Value(value.name));
    let body = Body::List(vec![Body::text(blob.tag.clone()), name]);
    Record { values: value.into_iter().collect(), ..Record::new(key.build(), body) }
}

/// Returns namespace and row of a record that [`unreferenced`] made; nothing where it is another,
/// or one that no row can hold.
pub fn unreferenced_row(record: &Record) -> Option<(String, BlobRow)> {
    let parts = record.key.parts();
    let [
        KeyPart::Text(layout),
        KeyPart::Text(blob),
        KeyPart::Text(namespace),
        KeyPart::Text(channel),
        KeyPart::Text(version),
    ] = parts.as_slice()
    else {
        return None;
    };
    if record.key.kind() != UNIT || layout != LAYOUT || blob != BLOB {
        return None;
    }
    let [Body::Text(tag), value] = record.body.as_list()? else { return None };
    let bytes = match value {
        Body::Null => None,
        Body::Value(name) => Some(record.value(name)?.bytes.clone()),
        _ => return None,
    };
    let has_nul = [namespace, channel, version].iter().any(|text| text.contains('\0'));
    let is_held = !has_nul && !tag.contains('\0');
    let (channel, version) = (channel.as_str().into(), version.as_str().into());
    is_held.then(|| (namespace.clone(), BlobRow { channel, version, tag: tag.clone(), bytes }))
}
