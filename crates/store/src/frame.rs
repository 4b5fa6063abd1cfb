//! Frames: how whole units and their records come out of a store, in bounded memory.

use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use restow_model::{Control, Dialect, Digest, Record, UnitDigest, UnitId};

use crate::Result;

/// An owned stream of frames; an error ends it, damage does not.
pub type Frames = Pin<Box<dyn Stream<Item = Result<Frame>> + Send + 'static>>;

/// A unit with its control record, or with what is wrong with that.
pub type UnitHead = (UnitId, Result<Option<Control>>);

/// An owned stream of units with their control records; an error ends it, damage does not.
pub type Units = Pin<Box<dyn Stream<Item = Result<UnitHead>> + Send + 'static>>;

/// Units with their control records, as one look at a store finds them.
pub type UnitPage = Vec<UnitHead>;

/// Lists units page by page, each a look of its own, so that no look lasts as long as the list.
///
/// `page` is given where to go on and returns a page with where the next one begins, or nothing
/// behind the last one.
pub fn units_in_pages<S, F>(first: S, page: impl Fn(S) -> F + Send + 'static) -> Units
where
    S: Send + 'static,
    F: Future<Output = Result<(UnitPage, Option<S>)>> + Send + 'static,
{
    let pages = stream::unfold((Some(first), page), |(at, page)| async move {
        let (units, next) = match page(at?).await {
            Ok((units, next)) => (units.into_iter().map(Ok).collect(), next),
            Err(error) => (vec![Err(error)], None),
        };
        Some((stream::iter(units), (next, page)))
    });
    Box::pin(pages.flatten())
}

/// One step of a stream of units.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// A unit begins; frames up to its `End` belong to it.
    Begin {
        /// The unit.
        unit: UnitId,
        /// The language of its payloads, as far as its content tells.
        dialect: Dialect,
        /// Its control record, read before its records.
        control: Option<Control>,
    },
    /// A record of the unit.
    Record(Record),
    /// Something in the store that cannot be read as what it should be; the rest goes on.
    Damaged {
        /// The unit, where even that can be told.
        unit: Option<UnitId>,
        /// Table, row, part: where it lies, for a person to find it.
        place: String,
        /// What is wrong with it, in lower case.
        why: String,
    },
    /// A unit ends.
    End {
        /// The unit.
        unit: UnitId,
        /// Its control record, read after its records; where it differs from the one at the
        /// beginning, the reader drops the unit and reads it again.
        control: Option<Control>,
        /// The digest that the store keeps of the unit; a claim, to be compared with the records.
        digest: Option<UnitDigest>,
    },
    /// Everything before this point was delivered; a scan can go on from here.
    Mark(Cursor),
}

/// A place in a scan, in the store's own terms.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cursor(pub Bytes);

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({})", self.0.escape_ascii())
    }
}

/// Says what is wrong with the values of a record that was read whole.
pub fn fault_of(record: &Record) -> Option<String> {
    for value in &record.values {
        if value.bytes.len() as u64 != value.name.len {
            let (is, named) = (value.bytes.len(), value.name.len);
            return Some(format!("a value of {named} bytes has {is}"));
        }
        if Digest::of(&value.bytes) != value.name.digest {
            return Some(format!(
                "a value's bytes are not those of its digest {}",
                value.name.digest
            ));
        }
    }
    let mut missing = None;
    record.body.each_value(&mut |name| {
        if record.value(&name).is_none() {
            missing = Some(name.digest);
        }
    });
    missing.map(|digest| format!("the value {digest} is missing"))
}
