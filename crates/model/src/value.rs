//! Values: large pieces of a record, named by digest.

use bytes::Bytes;

use crate::Digest;

/// The name of a value: the digest of its raw bytes, and how many there are.
///
/// A version of a channel never names a value: LangGraph writes different bytes under one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueRef {
    /// BLAKE3 of the raw bytes.
    pub digest: Digest,
    /// Number of raw bytes.
    pub len: u64,
}

/// How a value's bytes are arranged; a hint where to cut, never part of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Form {
    /// Nothing is known; cut by size.
    #[default]
    Raw,
    /// One msgpack item, extension payloads included.
    Msgpack,
    /// One JSON text.
    Json,
}

impl Form {
    /// Returns the stored number of the form.
    pub fn code(self) -> u8 {
        match self {
            Self::Raw => 0,
            Self::Msgpack => 1,
            Self::Json => 2,
        }
    }

    /// Returns the form of a stored number.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Raw, Self::Msgpack, Self::Json].into_iter().find(|f| f.code() == code)
    }
}

/// A value with its bytes, which may be read as often as a retry needs; clones share them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Its name.
    pub name: ValueRef,
    /// How its bytes are arranged.
    pub form: Form,
    /// The raw bytes.
    pub bytes: Bytes,
}

impl Value {
    /// Names bytes by their digest.
    pub fn new(form: Form, bytes: Bytes) -> Self {
        let name = ValueRef { digest: Digest::of(&bytes), len: bytes.len() as u64 };
        Self { name, form, bytes }
    }
}
