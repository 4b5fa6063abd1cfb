//! Where a channel's value stands: inline in the checkpoint's JSON, in a blob row, or both.

use bytes::Bytes;
use restow_model::{Body, Form, Malformed, Value};

use super::super::super::items;
use super::super::super::json;
use super::super::super::msgpack::{Head, Reader, write_head};
use super::super::super::order::{OrderLog, Orders};
use super::blob::{Meaning, StoredBlob};
use super::jsonb;

/// How long text stands inline in the canonical row.
const INLINE_TEXT_MAX: usize = 1 << 20;
/// From here on Python writes a float with an exponent, which `jsonb` gives back as an integer.
const INLINE_FLOAT_END: f64 = 1e16;
/// The extension of a snapshot of a delta channel (langgraph-checkpoint 4.3 `serde/jsonplus.py`).
const SNAPSHOT: i8 = 7;
/// The tag of JSON, which keeps what msgpack cannot.
pub(super) const JSON: &str = "json";

/// A channel's place in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) inline: Inline,
    pub(super) row: Row,
    /// The version is there, and null.
    pub(super) has_null_version: bool,
}

/// What the JSON says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Inline {
    /// Nothing.
    Absent,
    /// The value.
    Value,
    /// `true`, the mark of a snapshot.
    True,
    /// Another JSON text.
    Other(Box<str>),
}

/// What the blob row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// There is none.
    Absent,
    /// The value, under its usual tag or another.
    Value(Option<Box<str>>),
    /// These bytes, under a tag.
    Cells(Box<str>, Option<Bytes>),
}

/// What a record says about a channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'r> {
    pub(super) version: &'r Body,
    pub(super) value: Option<&'r Value>,
    pub(super) tag: Option<&'r str>,
}

impl Shape {
    /// Returns the place that a channel has in the canonical row.
    pub(super) fn canonical(said: Said<'_>) -> Self {
        let (inline, row) = match (said.value, said.tag) {
            (None, _) => (Inline::Absent, Row::Absent),
            (Some(_), Some(_)) => (Inline::Absent, Row::Value(None)),
            (Some(value), None) if inline(value).is_some() => (Inline::Value, Row::Absent),
            (Some(value), None) if is_snapshot(value) => (Inline::True, Row::Value(None)),
            (Some(_), None) => (Inline::Absent, Row::Value(None)),
        };
        let has_null_version = said.value.is_none() && *said.version == Body::Null;
        Self { inline, row, has_null_version }
    }
}

/// Returns the JSON of a value that stands inline: a primitive that `jsonb` gives back exactly.
pub(super) fn inline(value: &Value) -> Option<Body> {
    let body = scalar(value)?;
    let is_kept = match &body {
        Body::Float(f) => jsonb::is_exact_float(*f) && f.get().abs() < INLINE_FLOAT_END,
        Body::Text(text) => !text.contains('\0'),
        _ => true,
    };
    (is_kept && packed(&body)? == value.bytes).then_some(body)
}

fn scalar(value: &Value) -> Option<Body> {
    let bytes = &value.bytes;
    match Reader::new(bytes).head().ok()? {
        Head::Nil | Head::Bool(_) | Head::Int(_) | Head::Uint(_) | Head::F64(_) => {}
        Head::Str(len) if len <= INLINE_TEXT_MAX => {}
        _ => return None,
    }
    items::read(&mut Reader::new(bytes), &mut OrderLog::default()).ok()
}

fn is_snapshot(value: &Value) -> bool {
    matches!(Reader::new(&value.bytes).head(), Ok(Head::Ext(SNAPSHOT, _)))
}

fn packed(body: &Body) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(64);
    items::write(body, &mut Orders::none(), &mut out).ok().map(|()| out)
}

/// Reads what stands inline as a value; with a tag where msgpack has no words for it.
fn inline_value(body: &Body) -> (Value, Option<&'static str>) {
    if let Some(bytes) = packed(body).or_else(|| large_float(body)) {
        return (Value::new(Form::Msgpack, bytes.into()), None);
    }
    let text = jsonb::text(body).unwrap_or_default();
    (Value::new(Form::Json, text.into()), Some(JSON))
}

/// Reads an integer beyond 64 bits as the float that it was, where a float says it exactly.
fn large_float(body: &Body) -> Option<Vec<u8>> {
    let Body::Int(n) = body else { return None };
    let f: f64 = n.as_str().parse().ok()?;
    let is_exact = f.is_finite() && format!("{f:.0}") == n.as_str();
    let mut out = Vec::with_capacity(9);
    write_head(&mut out, Head::F64(f));
    is_exact.then_some(out)
}

fn is_float_as_integer(body: &Body) -> bool {
    packed(body).is_none() && large_float(body).is_some()
}

/// A value, and its tag where it is not ours to open.
pub(super) type Read = (Option<Value>, Option<Box<str>>);

/// Reads a channel's value as LangGraph does: a blob row wins over what stands inline.
pub(super) fn read(inline: Option<&Body>, blob: Option<&StoredBlob>) -> Result<Read, Malformed> {
    match blob.map(|blob| (blob.meaning(), blob.tag())) {
        Some((Meaning::Broken(why), _)) => return Err(why.clone()),
        Some((Meaning::Value(value), _)) => return Ok((Some(value.clone()), None)),
        Some((Meaning::Sealed(value), tag)) => return Ok((Some(value.clone()), Some(tag.into()))),
        Some((Meaning::Nothing, _)) | None => {}
    }
    Ok(inline.map_or((None, None), |body| {
        let (value, tag) = inline_value(body);
        (Some(value), tag.map(Into::into))
    }))
}

/// Returns how a stored channel stands, by what was read of it.
pub(super) fn of_stored(
    inline: Option<&Body>,
    blob: Option<&StoredBlob>,
    tag: Option<&str>,
    has_null_version: bool,
) -> Shape {
    let row = blob.map_or(Row::Absent, |blob| {
        let is_usual = blob.tag() == tag.unwrap_or(super::blob::MSGPACK);
        match (blob.meaning(), blob.bytes()) {
            (Meaning::Value(_) | Meaning::Sealed(_), Some(_)) if is_usual => Row::Value(None),
            (Meaning::Value(value), Some(bytes))
                if super::blob::bytes_under(blob.tag(), value).as_ref() == Some(bytes) =>
            {
                Row::Value(Some(blob.tag().into()))
            }
            (_, bytes) => Row::Cells(blob.tag().into(), bytes.cloned()),
        }
    });
    let row_speaks = blob.is_some_and(|blob| !matches!(blob.meaning(), Meaning::Nothing));
    let inline = match inline {
        None => Inline::Absent,
        Some(body) if !row_speaks && !is_float_as_integer(body) => Inline::Value,
        Some(Body::Bool(true)) => Inline::True,
        Some(other) => Inline::Other(jsonb::text(other).unwrap_or_default().into()),
    };
    Shape { inline, row, has_null_version }
}

/// Returns the JSON of a value that stands inline although canonically it would not.
pub(super) fn unusual_inline(said: Said<'_>) -> Option<Body> {
    let value = said.value?;
    let mut log = OrderLog::default();
    match said.tag {
        None => items::read(&mut Reader::new(&value.bytes), &mut log).ok(),
        Some(JSON) => json::read(&value.bytes, &mut log).ok(),
        Some(_) => None,
    }
}
