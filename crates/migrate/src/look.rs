//! Looking at units and records: sums of what a store really holds, and what is wrong with it.

use std::collections::HashMap;

use futures::StreamExt;
use restow_model::{Body, Control, Record, UnitDigest, UnitId};
use restow_store::{Content, Frame, Result, Selection, Store};

/// What a store was seen to hold of one unit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// The sum over the records that were read.
    pub(crate) digest: UnitDigest,
    /// The unit's control record.
    pub(crate) control: Option<Control>,
    /// The first thing that is wrong with it: place and why.
    pub(crate) damage: Option<String>,
}

impl Seen {
    /// Says whether there is anything: a unit without records is not there.
    pub(crate) fn is_there(&self) -> bool {
        self.digest.records > 0 || self.control.is_some() || self.damage.is_some()
    }

    /// Returns the digest, where the unit is there.
    pub(crate) fn there(seen: Option<&Seen>) -> Option<&UnitDigest> {
        seen.filter(|s| s.is_there()).map(|s| &s.digest)
    }
}

/// Reads units whole and sums them; units that are not there are not in the result.
pub(crate) async fn look(
    store: &dyn Store,
    units: Vec<UnitId>,
    mut what: Selection,
) -> Result<HashMap<UnitId, Seen>> {
    let mut found: HashMap<UnitId, Seen> = HashMap::with_capacity(units.len());
    let mut open: Option<(UnitId, Seen)> = None;
    if what.content == Content::All {
        what.content = Content::Checked;
    }
    let mut frames = store.read(units, what).await?;
    while let Some(frame) = frames.next().await {
        match (frame?, &mut open) {
            (Frame::Begin { unit, control, .. }, _) => {
                open = Some((unit, Seen { control, ..Seen::default() }));
            }
            (Frame::Record(record), Some((_, seen))) => {
                seen.digest.merge(&record.summed());
            }
            (Frame::Damaged { unit, place, why }, open) => {
                let damage = format!("{place}: {why}");
                match (unit, open) {
                    (Some(unit), Some((id, seen))) if unit == *id => {
                        seen.damage.get_or_insert(damage);
                    }
                    (Some(unit), _) => {
                        found.entry(unit).or_default().damage.get_or_insert(damage);
                    }
                    (None, _) => {}
                }
            }
            (Frame::End { digest, .. }, _) => {
                let Some((unit, mut seen)) = open.take() else { continue };
                if seen.damage.is_none() && digest.is_some_and(|d| d != seen.digest) {
                    seen.damage = Some(CLAIM.into());
                }
                let earlier = found.remove(&unit).and_then(|e| e.damage);
                seen.damage = seen.damage.or(earlier);
                found.insert(unit, seen);
            }
            (Frame::Record(_) | Frame::Mark(_), _) => {}
        }
    }
    Ok(found)
}

/// What is wrong where a store's own digest of a unit is not that of its records.
pub(crate) const CLAIM: &str = "the digest that the store keeps is not that of its records";

/// Says which of some units a store holds.
pub(crate) async fn held(store: &dyn Store, units: Vec<UnitId>) -> Result<Vec<UnitId>> {
    let what = Selection { limit: Some(1), content: Content::Bodies, ..Selection::all() };
    let mut frames = store.read(units, what).await?;
    let (mut held, mut open): (Vec<UnitId>, Option<UnitId>) = (Vec::new(), None);
    while let Some(frame) = frames.next().await {
        match frame? {
            Frame::Begin { unit, control: None, .. } => open = Some(unit),
            Frame::Begin { unit, .. } | Frame::Damaged { unit: Some(unit), .. } => held.push(unit),
            Frame::Record(_) => held.extend(open.take()),
            _ => {}
        }
    }
    Ok(held)
}

/// Returns how many bytes of content a record carries, or names where its values were left behind;
/// for progress and reports.
pub(crate) fn bytes_of(record: &Record) -> u64 {
    let mut values: u64 = record.values.iter().map(|v| v.name.len).sum();
    if record.values.is_empty() {
        record.body.each_value(&mut |name| values += name.len);
    }
    let residue: usize = record.residue.iter().map(|r| r.bytes.len()).sum();
    values + (residue + record.key.as_bytes().len() + body_bytes(&record.body)) as u64
}

/// Returns about how much memory a record holds.
pub(crate) fn heft_of(record: &Record) -> usize {
    let values: usize = record.values.iter().map(|v| v.bytes.len() + 96).sum();
    let residue: usize = record.residue.iter().map(|r| r.bytes.len() + 96).sum();
    values + residue + record.key.as_bytes().len() + 256 + body_heft(&record.body)
}

fn body_heft(body: &Body) -> usize {
    const NODE: usize = size_of::<Body>();
    let inside = match body {
        Body::Text(t) => t.len(),
        Body::Bytes(b) => b.len(),
        Body::Int(n) => n.as_str().len(),
        Body::Decimal(d) => d.coefficient.as_str().len(),
        Body::List(items) => items.iter().map(body_heft).sum(),
        Body::Map(map) => map.iter().map(|(k, v)| body_heft(k) + body_heft(v)).sum(),
        _ => 0,
    };
    NODE + inside
}

fn body_bytes(body: &Body) -> usize {
    match body {
        Body::Null | Body::Bool(_) => 1,
        Body::Float(_) => 8,
        Body::Value(_) => 33,
        Body::Text(t) => t.len() + 2,
        Body::Bytes(b) => b.len() + 2,
        Body::Int(n) => n.as_str().len() + 2,
        Body::Decimal(d) => d.coefficient.as_str().len() + 6,
        Body::List(items) => 2 + items.iter().map(body_bytes).sum::<usize>(),
        Body::Map(map) => 2 + map.iter().map(|(k, v)| body_bytes(k) + body_bytes(v)).sum::<usize>(),
    }
}
