//! Ending the store's part in migrations.

use restow_store::{Result, managed};

use super::{Layout, Threads, journal, registers};
use crate::layout::parts::rows::{UnitRow, WriteRows as _};

impl<L: Layout> Threads<L> {
    /// Takes control records and journals away, then the store's own record.
    pub(super) fn end(&self) -> Result<()> {
        let base = self.0.base();
        let held = registers::store(&base.table)?;
        let held = managed::store_record(held.as_ref().map(|(_, bytes)| &bytes[..]))?;
        if managed::released(held.as_ref())?.is_none() {
            return Ok(());
        }
        for (name, control) in self.0.list()? {
            if matches!(control, Ok(None)) {
                continue;
            }
            self.change(&name, |work| {
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
            journal::forget(&base.table, &self.0.partition(&name), u64::MAX)?;
        }
        registers::release(base)
    }
}
