//! What is kept of a unit before operations are applied.

use postgres::types::Type;
use restow_model::{Control, Digest, Token, UnitDigest, UnitId};
use restow_store::managed::{self, Held, Noted};
use restow_store::{Current, RegisterName, StoreRecord};

use super::super::read::Contents;
use super::super::tables::Tables;
use super::state::{self, Staged};
use crate::engine::postgres::{Fail, Transaction, control, journal};

/// A unit as it is found under its lock, and what its store says of itself.
pub(super) struct Look<'l, 'c> {
    pub(super) tx: &'l mut Transaction<'c>,
    pub(super) tables: &'l Tables,
    pub(super) unit: &'l UnitId,
    pub(super) store: Option<StoreRecord>,
    pub(super) control: Option<Control>,
    pub(super) staged: Option<Staged>,
    /// The digest of the copy that is staged beside the control record.
    pub(super) staged_digest: Option<UnitDigest>,
}

impl<'l, 'c> Look<'l, 'c> {
    pub(super) fn at(
        tx: &'l mut Transaction<'c>,
        tables: &'l Tables,
        unit: &'l UnitId,
    ) -> Result<Self, Fail> {
        let sql = format!(
            "SELECT (SELECT bytes FROM {} WHERE name = $2), s.token, s.guard, s.direct \
             FROM (VALUES (1)) one LEFT JOIN {} s ON s.thread_id = $1",
            tables.register, tables.stage
        );
        let name = RegisterName::store();
        let parameters = [(&unit.as_str() as _, Type::TEXT), (&&*name.0 as _, Type::TEXT)];
        let row = tx.query_typed_one(&sql, &parameters)?;
        let store = managed::store_record(row.try_get(0)?)?;
        let staged = match row.try_get(1)? {
            Some(token) => {
                Some(Staged { token, guard: row.try_get(2)?, is_direct: row.try_get(3)? })
            }
            None => None,
        };
        let mut look = Self { tx, tables, unit, store, control: None, staged, staged_digest: None };
        if look.takes_part() {
            look.beside()?;
        }
        Ok(look)
    }

    /// Says whether the store takes part in a migration, and has what that needs.
    pub(super) fn takes_part(&self) -> bool {
        self.store.as_ref().is_some_and(|store| store.id.is_some())
    }

    fn beside(&mut self) -> Result<(), Fail> {
        let Some((_, beside)) = control::read(self.tx, &self.tables.control, &[self.unit])?.pop()
        else {
            return Ok(());
        };
        self.control = Some(managed::control(&beside.record, self.unit)?);
        self.staged_digest = beside.staged.as_deref().and_then(UnitDigest::from_slice);
        Ok(())
    }
}

impl Held for Look<'_, '_> {
    type Error = Fail;

    fn control(&self) -> Option<&Control> {
        self.control.as_ref()
    }

    fn last_op(&self) -> Option<Digest> {
        None
    }

    fn content(&mut self) -> Result<Current, Fail> {
        if !state::exists(self.tx, self.tables, self.unit)? {
            return Ok(Current::Absent);
        }
        Ok(match state::contents(self.tx, (self.tables, &self.tables.active), self.unit)? {
            Contents::Absent => Current::Absent,
            Contents::Digest(digest) => Current::Unmanaged(digest),
        })
    }

    fn staged(&mut self) -> Result<Option<Token>, Fail> {
        Ok(self.staged.as_ref().map(|staged| Token::new(&*staged.token)))
    }

    fn noted(&mut self, op_id: Option<Digest>, after: u64) -> Result<Noted, Fail> {
        Ok(journal::noted(self.tx, &self.tables.journal, self.unit, op_id, after)?)
    }
}
