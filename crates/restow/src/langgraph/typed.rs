//! Values as LangGraph's serializers give them: a tag, and bytes.

use bytes::Bytes;
use restow_model::{Form, Value};
use restow_stores::layout::langgraph::msgpack::{Head, Reader, write_head};
use restow_stores::layout::langgraph::record;

/// A serialised value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    /// The serializer's tag, such as `msgpack`; a pending write of old may lack it.
    pub tag: Option<Box<str>>,
    /// The bytes under it.
    pub bytes: Bytes,
}

impl Typed {
    /// Tags bytes.
    pub fn new(tag: &str, bytes: impl Into<Bytes>) -> Self {
        Self { tag: Some(tag.into()), bytes: bytes.into() }
    }

    /// Makes the value of a channel, and the tag where its bytes are not ours to open.
    ///
    /// What is open is kept as it stands inside of a packed checkpoint, where nothing is nil and
    /// bytes are a msgpack item.
    pub(super) fn into_channel(self) -> (Value, Option<Box<str>>) {
        match self.tag.as_deref() {
            Some("msgpack") if is_one_item(&self.bytes) => {
                (Value::new(Form::Msgpack, self.bytes), None)
            }
            Some("null") if self.bytes.is_empty() => (item(Head::Nil, &[]), None),
            Some("bytes" | "bytearray") => (item(Head::Bin(self.bytes.len()), &self.bytes), None),
            tag => (Value::new(record::form(tag), self.bytes), self.tag),
        }
    }

    /// Returns the value of a channel as LangGraph's serializer would have given it.
    pub(super) fn of_channel(value: &Value, tag: Option<&str>) -> Self {
        if tag.is_some() {
            return Self { tag: tag.map(Into::into), bytes: value.bytes.clone() };
        }
        let mut reader = Reader::new(&value.bytes);
        match reader.head() {
            Ok(Head::Nil) => Self::new("null", Bytes::new()),
            Ok(Head::Bin(_)) => Self::new("bytes", value.bytes.slice(reader.at()..)),
            _ => Self::new("msgpack", value.bytes.clone()),
        }
    }
}

fn item(head: Head, bytes: &[u8]) -> Value {
    let mut out = Vec::with_capacity(bytes.len() + 5);
    write_head(&mut out, head);
    out.extend_from_slice(bytes);
    Value::new(Form::Msgpack, out.into())
}

fn is_one_item(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    reader.skip().is_ok() && reader.rest().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_serializer_gave_comes_back() {
        for (tag, bytes) in [
            ("msgpack", &b"\x93\x01\x02\x03"[..]),
            ("msgpack", b"\x81\xa1a\xc0"),
            ("null", b""),
            ("bytes", b""),
            ("bytes", &[7; 300]),
            ("msgpack+aes", b"\x00sealed"),
            ("pickle", b"\x80\x04."),
            ("msgpack", b"not one item"),
            ("null", b"not nothing"),
        ] {
            let typed = Typed::new(tag, bytes);
            let (value, kept) = typed.clone().into_channel();
            assert_eq!(Typed::of_channel(&value, kept.as_deref()), typed, "{tag}");
        }
    }

    #[test]
    fn open_values_are_packed_as_inside_of_a_checkpoint() {
        let packed = |tag, bytes: &'static [u8]| Typed::new(tag, bytes).into_channel();
        assert_eq!(packed("null", b"").0.bytes, &b"\xc0"[..]);
        assert_eq!(packed("bytes", b"ab").0.bytes, &b"\xc4\x02ab"[..]);
        assert_eq!(packed("bytearray", b"ab").1, None);
        assert_eq!(packed("pickle", b"ab").1.as_deref(), Some("pickle"));
    }
}
