//! Ending the store's part in migrations.

use restow_model::UnitId;
use restow_store::{Result, UnitPage, managed};

use super::rows::Rows;
use super::unit::{self, Which};
use super::{Split, names, registers, sweep};
use crate::engine::dynamodb::Place;
use crate::layout::parts::rows::{UnitRow, WriteRows};

/// How many heads are read at once.
const HEADS_AT_ONCE: usize = 100;

/// Lists all units with their control records, by name.
pub(super) fn list(split: &Split) -> Result<UnitPage> {
    let mut rows = Rows::new(split)?;
    let all: Vec<UnitId> = rows.names()?.keys().cloned().collect();
    let mut page = UnitPage::new();
    for some in all.chunks(HEADS_AT_ONCE) {
        let places: Vec<Place> = some.iter().map(names::head).collect();
        let mut heads = std::collections::HashMap::new();
        for item in split.table.get_many(&places)? {
            if let Some((partition, _)) = crate::engine::dynamodb::place_of(&item) {
                heads.insert(partition, item);
            }
        }
        for name in some {
            let head = heads.get(&names::partition(name));
            let head = head.map(|item| unit::readable(name, super::head::Head::of(name, item)));
            match head {
                Some(Ok(head)) => match &head.active {
                    Some(row) => page.push((name.clone(), row.control())),
                    // Others may have written since.
                    None => {
                        if unit::look(&split.table, name, Which::Active)?.is_some() {
                            page.push((name.clone(), Ok(None)));
                        }
                    }
                },
                Some(Err(error)) => page.push((name.clone(), Err(error))),
                None => page.push((name.clone(), Ok(None))),
            }
        }
    }
    Ok(page)
}

/// Takes control records and journals away, then the store's own record.
pub(super) fn release(split: &Split) -> Result<()> {
    let held = registers::store(&split.table)?;
    let held = managed::store_record(held.as_ref().map(|(_, bytes)| &bytes[..]))?;
    if managed::released(held.as_ref())?.is_none() {
        return Ok(());
    }
    for (name, control) in list(split)? {
        if matches!(control, Ok(None)) {
            continue;
        }
        split.change(&name, |work| {
            let Some(row) = work.unit(&name)? else { return Ok(()) };
            if let Some((staged, _)) = work.staged(&name)? {
                work.remove_unit(staged.unit_no)?;
            }
            // A unit that was removed leaves nothing.
            match row.digest.records {
                0 => work.remove_unit(row.unit_no),
                _ => work.save_unit(&UnitRow { control: None, op_id: None, ..row }),
            }
        })?;
        sweep::forget(split, &name, u64::MAX)?;
    }
    registers::release(split)
}
