//! Digests of values that stay the same from one checkpoint to the next.
//!
//! Comparing a value with the one before it is much cheaper than hashing it, and most channels of
//! most checkpoints did not change.
//!
//! Invariant: what is kept is the values of one checkpoint, and only if they were small.

use bytes::Bytes;
use restow_model::{Form, Value};

const KEPT_BYTES_MAX: usize = 1 << 20;

/// The values of the last checkpoint of a namespace, by channel.
#[derive(Debug, Default)]
pub struct Memo {
    scope: (Box<str>, Box<str>),
    last: Vec<(Box<str>, Value)>,
    next: Vec<(Box<str>, Value)>,
    is_kept: bool,
}

impl Memo {
    /// Begins a checkpoint of so many bytes.
    pub fn begin(&mut self, unit: &str, namespace: &str, bytes: usize) {
        std::mem::swap(&mut self.last, &mut self.next);
        self.next.clear();
        if (&*self.scope.0, &*self.scope.1) != (unit, namespace) {
            self.last.clear();
            self.scope = (unit.into(), namespace.into());
        }
        self.is_kept = bytes <= KEPT_BYTES_MAX;
    }

    /// Returns how long a channel's value is, where `rest` begins with the one before it.
    ///
    /// No msgpack item is the beginning of another, so that it need not be walked.
    pub fn span(&self, channel: &str, rest: &[u8]) -> Option<usize> {
        let value = &self.before(channel)?.bytes;
        rest.starts_with(value).then_some(value.len())
    }

    /// Names a channel's value, from memory where it is the same as before.
    pub fn value(&mut self, channel: &str, form: Form, bytes: Bytes) -> Value {
        let value = match self.before(channel) {
            Some(value) if value.bytes == bytes => Value { bytes, ..value.clone() },
            _ => Value::new(form, bytes),
        };
        if self.is_kept {
            self.next.push((channel.into(), value.clone()));
        }
        value
    }

    fn before(&self, channel: &str) -> Option<&Value> {
        self.last.iter().find(|(name, _)| **name == *channel).map(|(_, value)| value)
    }
}
