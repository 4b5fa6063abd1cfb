//! What a store holds, told from one walk in bounded memory, before anything is moved.
//!
//! Facts that only an application's layout knows are not told here; the adapter tells them.
//!
//! Invariant: memory does not depend on the store: counts beyond a table's room, and the share of
//! repeated bytes, are estimated from a sample by hash and say so.

mod distinct;

use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use futures::StreamExt;
use restow_model::{Dialect, Digest, Form, Key, Record, UnitId, canonical};
use restow_store::items::size_bound;
use restow_store::parts::cut::cut;
use restow_store::{Content, Enumeration, Frame, Result, Store, fault_of};

use crate::limits::NAMED_MAX;
use crate::look::bytes_of;
use crate::{Phase, Progress, Stop};
use distinct::{Distinct, Repeats};

/// The largest item that DynamoDB holds, in bytes.
pub const ITEM_BYTES_MAX: u64 = 409_600;
/// The size up to which records are kept whole in a DynamoDB table, unless told otherwise.
pub const SPLIT_THRESHOLD: u64 = 358_400;
/// What DynamoDB counts a write by, in bytes.
const WRITE_UNIT_BYTES: u64 = 1024;
/// How many bytes the item of a record has beside the record, about.
const ITEM_BESIDE_BYTES: u64 = 256;
/// How many large records are named.
pub const LARGEST_NAMED: usize = 10;
/// How many bytes are compressed to find the ratio.
const COMPRESSED_BYTES_MAX: usize = 16 << 20;

/// Compresses a piece and returns the number of bytes; what [`assess`] measures a ratio with.
pub type Compress = dyn Fn(&[u8]) -> usize + Send + Sync;

/// How to assess.
#[derive(Clone, Debug)]
pub struct AssessOptions {
    /// Records with more bytes of values than this are counted as oversized.
    pub item_bytes_max: u64,
    /// Records up to this size are kept whole in a DynamoDB table; larger ones are split.
    pub threshold: u64,
    /// Stops the work.
    pub stop: Stop,
}

impl Default for AssessOptions {
    fn default() -> Self {
        let (item_bytes_max, threshold) = (ITEM_BYTES_MAX, SPLIT_THRESHOLD);
        Self { item_bytes_max, threshold, stop: Stop::new() }
    }
}

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Assessment {
    /// How many units.
    pub units: Count,
    /// How many units of each dialect.
    pub dialects: BTreeMap<&'static str, Count>,
    /// Records and bytes, by the kind of record.
    pub kinds: BTreeMap<String, Kind>,
    /// Bytes of residues.
    pub residue_bytes: u64,
    /// The largest records, largest first.
    pub largest: Vec<Large>,
    /// How many records hold more bytes of values than the limit.
    pub oversized: u64,
    /// The first of them.
    pub oversized_examples: Vec<Large>,
    /// How many records are larger than the threshold.
    pub above_threshold: u64,
    /// By upper bounds: how many records are not larger, but larger than the bound before.
    pub sizes: BTreeMap<u64, u64>,
    /// About how many write units it takes to write everything into a DynamoDB table.
    pub write_units_estimate: u64,
    /// About how many bytes of values are left when every piece that repeats inside its unit is
    /// kept once.
    pub distinct_bytes_estimate: u64,
    /// About how many bytes the `parts` layout takes: distinct pieces and bodies, compressed as
    /// the sample was; `None` without a way to compress.
    pub parts_bytes_estimate: Option<u64>,
    /// How many places are damaged.
    pub damaged: u64,
    /// The first of them: unit, place and why.
    pub damage: Vec<(Option<UnitId>, String)>,
    /// Whether it was stopped before the end.
    pub interrupted: bool,
}

/// A number of things, counted or estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// The number.
    pub number: u64,
    /// Whether it was counted; otherwise it is right to about one in a hundred.
    pub exact: bool,
}

/// Records of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kind {
    /// How many.
    pub records: u64,
    /// Bytes of their canonical bodies.
    pub body_bytes: u64,
    /// Bytes of their values.
    pub value_bytes: u64,
}

/// A record and its size; ordered by size.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Large {
    /// Bytes of body and values.
    pub bytes: u64,
    /// The unit.
    pub unit: UnitId,
    /// The record.
    pub key: Key,
}

impl Assessment {
    /// Returns the sum over all kinds.
    pub fn total(&self) -> Kind {
        self.kinds.values().fold(Kind::default(), |sum, kind| Kind {
            records: sum.records + kind.records,
            body_bytes: sum.body_bytes + kind.body_bytes,
            value_bytes: sum.value_bytes + kind.value_bytes,
        })
    }

    /// Returns the share of value bytes that repeat inside their units, from 0 to 1.
    pub fn repeated_share(&self) -> f64 {
        match self.total().value_bytes {
            0 => 0.0,
            all => 1.0 - (self.distinct_bytes_estimate as f64 / all as f64).min(1.0),
        }
    }
}

/// Walks a store once and tells what it holds.
pub async fn assess(
    store: Arc<dyn Store>,
    options: AssessOptions,
    compress: Option<Arc<Compress>>,
    progress: Arc<Progress>,
) -> Result<Assessment> {
    let segments = store.segments(1, Enumeration::Storage).await?;
    let estimate = segments.iter().filter_map(|s| s.bytes_estimate).sum();
    progress.enter(Phase::Assessing, estimate);
    let mut tally = Tally::new(options, compress);
    'segments: for segment in segments {
        let mut frames = store.scan(segment, None, Content::All).await?;
        let mut open: Option<(UnitId, Digest)> = None;
        while let Some(frame) = frames.next().await {
            if tally.options.stop.is_stopped() {
                tally.found.interrupted = true;
                break 'segments;
            }
            match frame? {
                Frame::Begin { unit, dialect, .. } => {
                    let name = Digest::of(unit.as_str().as_bytes());
                    tally.unit(&name, dialect);
                    open = Some((unit, name));
                }
                Frame::Record(record) => {
                    let Some((unit, name)) = &open else { continue };
                    progress.record(bytes_of(&record));
                    tally.record(unit, name, &record);
                }
                Frame::Damaged { unit, place, why } => {
                    tally.damage(unit, format!("{place}: {why}"));
                }
                Frame::End { .. } => {
                    open = None;
                    progress.unit();
                }
                Frame::Mark(_) => {}
            }
        }
    }
    progress.enter(Phase::Done, 0);
    Ok(tally.finish())
}

struct Tally {
    options: AssessOptions,
    compress: Option<Arc<Compress>>,
    found: Assessment,
    units: Distinct,
    dialects: BTreeMap<&'static str, Distinct>,
    largest: BinaryHeap<std::cmp::Reverse<Large>>,
    repeats: Repeats,
    body: Vec<u8>,
    /// New pieces that wait to be compressed together, as a part would hold them.
    sample: Vec<u8>,
    raw: usize,
    packed: usize,
    /// Write units of items, and the bytes of values that would lie in parts.
    item_units: u64,
    part_bytes: u64,
}

impl Tally {
    fn new(options: AssessOptions, compress: Option<Arc<Compress>>) -> Self {
        Self {
            options,
            compress,
            found: Assessment::default(),
            units: Distinct::default(),
            dialects: BTreeMap::new(),
            largest: BinaryHeap::new(),
            repeats: Repeats::default(),
            body: Vec::new(),
            sample: Vec::new(),
            raw: 0,
            packed: 0,
            item_units: 0,
            part_bytes: 0,
        }
    }

    fn unit(&mut self, name: &Digest, dialect: Dialect) {
        self.units.add(name.short());
        let word = match dialect {
            Dialect::Any => "any",
            Dialect::Python => "Python",
            Dialect::JavaScript => "JavaScript",
        };
        self.dialects.entry(word).or_default().add(name.short());
    }

    fn record(&mut self, unit: &UnitId, name: &Digest, record: &Record) {
        self.body.clear();
        canonical::encode(&record.body, &mut self.body);
        let body_bytes = self.body.len() as u64;
        let value_bytes: u64 = record.values.iter().map(|v| v.name.len).sum();
        if !self.found.kinds.contains_key(record.key.kind()) {
            self.found.kinds.insert(record.key.kind().to_owned(), Kind::default());
        }
        if let Some(kind) = self.found.kinds.get_mut(record.key.kind()) {
            kind.records += 1;
            kind.body_bytes += body_bytes;
            kind.value_bytes += value_bytes;
        }
        self.found.residue_bytes +=
            record.residue.iter().map(|r| r.bytes.len() as u64).sum::<u64>();
        if let Some(why) = fault_of(record) {
            self.damage(Some(unit.clone()), format!("record {}: {why}", record.key));
        }
        let large = || Large {
            bytes: body_bytes + value_bytes,
            unit: unit.clone(),
            key: record.key.clone(),
        };
        if value_bytes > self.options.item_bytes_max {
            self.found.oversized += 1;
            if self.found.oversized_examples.len() < LARGEST_NAMED {
                self.found.oversized_examples.push(large());
            }
        }
        self.weigh(record, body_bytes, value_bytes);
        let least = self.largest.peek().map_or(0, |least| least.0.bytes);
        if self.largest.len() < LARGEST_NAMED || body_bytes + value_bytes > least {
            self.largest.push(std::cmp::Reverse(large()));
            if self.largest.len() > LARGEST_NAMED {
                self.largest.pop();
            }
        }
        for value in &record.values {
            for range in cut(value.form, &value.bytes) {
                self.piece(name, &value.bytes[range]);
            }
        }
    }

    /// Counts a record by its size, and by what it costs to write it into a DynamoDB table.
    fn weigh(&mut self, record: &Record, body_bytes: u64, value_bytes: u64) {
        let bytes = body_bytes + value_bytes;
        *self.found.sizes.entry(size_bound(bytes)).or_default() += 1;
        self.found.above_threshold += u64::from(bytes > self.options.threshold);
        // What others can read stands whole in its item; of the rest the values lie in parts.
        let is_text = matches!(&record.values[..], [value] if value.form == Form::Json);
        let item = match is_text && bytes <= self.options.threshold {
            true => bytes,
            false => {
                self.part_bytes += value_bytes;
                body_bytes
            }
        };
        // A transaction costs twice.
        self.item_units += 2 * (item + ITEM_BESIDE_BYTES).div_ceil(WRITE_UNIT_BYTES);
    }

    /// Notes a piece of a value; pieces are only shared inside their unit.
    fn piece(&mut self, unit: &Digest, piece: &[u8]) {
        let hash = Digest::of(piece).short() ^ unit.short().rotate_left(17);
        let new = self.repeats.add(hash, piece.len() as u64);
        if new && self.compress.is_some() && self.raw < COMPRESSED_BYTES_MAX {
            self.sample.extend_from_slice(piece);
            if self.sample.len() >= restow_store::parts::part::PART_BYTES_TARGET {
                self.pack();
            }
        }
    }

    fn pack(&mut self) {
        if let (Some(compress), false) = (&self.compress, self.sample.is_empty()) {
            self.raw += self.sample.len();
            self.packed += compress(&self.sample);
            self.sample.clear();
        }
    }

    fn damage(&mut self, unit: Option<UnitId>, why: String) {
        self.found.damaged += 1;
        if self.found.damage.len() < NAMED_MAX {
            self.found.damage.push((unit, why));
        }
    }

    fn finish(mut self) -> Assessment {
        self.pack();
        let mut found = self.found;
        found.units = self.units.count();
        found.dialects = self.dialects.into_iter().map(|(d, units)| (d, units.count())).collect();
        found.largest =
            self.largest.into_sorted_vec().into_iter().map(|reverse| reverse.0).collect();
        let total = found.total();
        found.distinct_bytes_estimate =
            (total.value_bytes as f64 * self.repeats.distinct_share()) as u64;
        let ratio = if self.raw == 0 { 1.0 } else { self.packed as f64 / self.raw as f64 };
        let parts = self.part_bytes as f64 * self.repeats.distinct_share() * ratio;
        found.write_units_estimate = self.item_units + (parts as u64).div_ceil(WRITE_UNIT_BYTES);
        if self.compress.is_some() {
            let raw = found.distinct_bytes_estimate + total.body_bytes;
            found.parts_bytes_estimate = Some((raw as f64 * ratio) as u64 + found.residue_bytes);
        }
        found
    }
}

#[cfg(test)]
mod tests;
