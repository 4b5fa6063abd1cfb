//! A unit's head: the one item whose change is the commit of everything that was written for it.

use aws_sdk_dynamodb::types::AttributeValue;
use restow_model::{Dialect, Digest, UnitDigest, UnitId};
use restow_store::{Error, ErrorKind, Result};

use crate::engine::dynamodb::{Item, bytes, bytes_of, number, number_of, text, text_of};
use crate::layout::parts::rows::{Staging, UnitRow};

/// The attribute that every change of a head changes.
pub(in crate::layout) const ETAG: &str = "etag";

/// What of a unit is to be seen, and what is left to be tidied up.
#[derive(Clone, Debug, Default)]
pub(in crate::layout) struct Head {
    /// Changes whenever the head does; never the same twice.
    pub(in crate::layout) etag: String,
    /// The unit itself.
    pub(in crate::layout) active: Option<UnitRow>,
    /// Whether its records stand where the known applications look for them.
    pub(in crate::layout) in_place: bool,
    /// The copy that is being staged.
    pub(in crate::layout) staged: Option<(UnitRow, Staging)>,
    /// Spaces that nothing refers to any more.
    pub(in crate::layout) garbage: Vec<i64>,
    /// Whether records that others wrote were removed, and are only still to be tidied up.
    pub(in crate::layout) hides: bool,
    /// Whether records that others wrote are among the unit's.
    pub(in crate::layout) is_mixed: bool,
    /// Checkpoints that are not there and have writes, where a layout cannot find these otherwise.
    pub(in crate::layout) orphans: Vec<String>,
}

impl Head {
    /// Reads the head of a unit; nothing where the item is none.
    pub(in crate::layout) fn of(unit: &UnitId, item: &Item) -> Option<Self> {
        let map = |name: &str| item.get(name).and_then(|value| value.as_m().ok());
        let control = bytes_of(item, "control").map(<[u8]>::to_vec);
        let row = |map: &Item| row_of(unit, map);
        let active = match map("active") {
            Some(map) => Some(UnitRow { control, ..row(map)? }),
            None => None,
        };
        let staged = match map("staged") {
            Some(map) => {
                let token = text_of(map, "token")?.to_owned();
                let active = bytes_of(map, "guard").unwrap_or_default().to_vec();
                Some((row(map)?, Staging { token, active }))
            }
            None => None,
        };
        let garbage = item.get("garbage").and_then(|value| value.as_l().ok());
        let garbage = garbage.into_iter().flatten();
        let flag = |name: &str| item.get(name).and_then(|v| v.as_bool().ok()) == Some(&true);
        Some(Self {
            etag: text_of(item, ETAG)?.to_owned(),
            active,
            in_place: flag("inPlace"),
            staged,
            garbage: garbage.filter_map(|value| value.as_n().ok()?.parse().ok()).collect(),
            hides: flag("hides"),
            is_mixed: flag("mixed"),
            orphans: item.get("orphans").and_then(texts_of).unwrap_or_default(),
        })
    }

    /// Says whether nothing is left of the unit.
    pub(in crate::layout) fn is_spent(&self) -> bool {
        self.active.is_none() && self.staged.is_none() && self.garbage.is_empty() && !self.hides
    }

    /// Returns the item to store.
    pub(in crate::layout) fn item(&self, at: Item) -> Item {
        let mut item = at;
        item.insert(ETAG.into(), text(&self.etag));
        if let Some(row) = &self.active {
            item.insert("active".into(), AttributeValue::M(map_of(row)));
            item.insert("inPlace".into(), AttributeValue::Bool(self.in_place));
            if let Some(control) = &row.control {
                item.insert("control".into(), bytes(&control[..]));
            }
            if let Some(newest) = &row.newest {
                item.insert("newest".into(), text(newest));
            }
        }
        if let Some((row, staging)) = &self.staged {
            let mut map = map_of(row);
            map.insert("token".into(), text(&staging.token));
            map.insert("guard".into(), bytes(&staging.active[..]));
            item.insert("staged".into(), AttributeValue::M(map));
        }
        if !self.garbage.is_empty() {
            let garbage = self.garbage.iter().map(number).collect();
            item.insert("garbage".into(), AttributeValue::L(garbage));
        }
        if !self.orphans.is_empty() {
            let orphans = self.orphans.iter().map(text).collect();
            item.insert("orphans".into(), AttributeValue::L(orphans));
        }
        for (name, _) in [("hides", self.hides), ("mixed", self.is_mixed)].iter().filter(|f| f.1) {
            item.insert((*name).into(), AttributeValue::Bool(true));
        }
        item
    }
}

fn texts_of(list: &AttributeValue) -> Option<Vec<String>> {
    Some(list.as_l().ok()?.iter().filter_map(|text| text.as_s().ok().cloned()).collect())
}

fn map_of(row: &UnitRow) -> Item {
    let mut map = Item::from([
        ("space".into(), number(row.unit_no)),
        ("dialect".into(), number(row.dialect.code())),
        ("digest".into(), bytes(&row.digest.to_bytes()[..])),
        ("next".into(), number(row.next)),
        ("version".into(), number(row.version)),
    ]);
    if let Some(newest) = &row.newest {
        map.insert("newest".into(), text(newest));
    }
    if let Some(op_id) = &row.op_id {
        map.insert("operation".into(), bytes(&op_id.as_bytes()[..]));
    }
    map
}

fn row_of(unit: &UnitId, map: &Item) -> Option<UnitRow> {
    let dialect = number_of(map, "dialect").and_then(Dialect::from_code).unwrap_or_default();
    Some(UnitRow {
        unit_no: number_of(map, "space")?,
        unit: unit.clone(),
        dialect,
        digest: UnitDigest::from_slice(bytes_of(map, "digest")?)?,
        next: number_of(map, "next")?,
        version: number_of(map, "version")?,
        newest: text_of(map, "newest").map(str::to_owned),
        op_id: bytes_of(map, "operation").and_then(Digest::from_slice),
        control: None,
    })
}

/// Refuses a head that cannot be read.
pub(in crate::layout) fn readable(unit: &UnitId, head: Option<Head>) -> Result<Head> {
    head.ok_or_else(|| {
        let message = "the item that tells what of the unit is to be seen cannot be read";
        Error::new(ErrorKind::Damaged, "read a unit", message).with("unit", unit.to_string())
    })
}

/// Says that a unit changed while it was read.
pub(in crate::layout) fn moved_on(unit: &UnitId) -> Error {
    let message = "the unit was written to while it was read; read it again";
    Error::new(ErrorKind::Unavailable, "read a unit", message).with("unit", unit.to_string())
}
