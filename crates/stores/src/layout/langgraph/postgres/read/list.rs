//! Which units there are, without reading them.

use std::collections::{HashMap, VecDeque};

use postgres::types::Type;
use restow_model::UnitId;
use restow_store::UnitPage;

use super::Reader;
use crate::engine::postgres::Fail;

/// So many names are found at once. No index of the application's is in the order of bytes under
/// every collation, so that each time they are found among all there are.
const NAMES_AT_ONCE: usize = 1 << 16;
/// So many control records are read at once.
const UNITS_AT_ONCE: usize = 256;

/// Where a list goes on.
#[derive(Debug, Default)]
pub(in super::super) struct Listing {
    /// The names that come next.
    names: VecDeque<UnitId>,
    /// The last name that was found, where more may lie behind it.
    behind: Option<UnitId>,
    is_begun: bool,
}

/// Lists the units that come next with their control records, and says where to go on.
pub(in super::super) fn list(
    reader: &mut Reader<'_, '_>,
    mut at: Listing,
) -> Result<(UnitPage, Option<Listing>), Fail> {
    // Also a retired store is listed: whoever purges it has to find what is left.
    reader.store()?;
    if at.names.is_empty() && (!at.is_begun || at.behind.is_some()) {
        at.names = names(reader, at.behind.as_ref())?;
        let is_all = at.names.len() < NAMES_AT_ONCE;
        (at.behind, at.is_begun) = (at.names.back().filter(|_| !is_all).cloned(), true);
    }
    let names: Vec<UnitId> = at.names.drain(..at.names.len().min(UNITS_AT_ONCE)).collect();
    let there = reader.control(&names.iter().collect::<Vec<_>>())?;
    let mut held: HashMap<_, _> = there.into_iter().collect();
    let mut page = UnitPage::with_capacity(names.len());
    for unit in names {
        let control = held.remove(&unit).map(|beside| beside.control(&unit)).transpose();
        page.push((unit, control));
    }
    let is_end = at.names.is_empty() && at.behind.is_none();
    Ok((page, (!is_end).then_some(at)))
}

/// Finds the names behind one, in the order of bytes.
fn names(reader: &mut Reader<'_, '_>, behind: Option<&UnitId>) -> Result<VecDeque<UnitId>, Fail> {
    let low = "($1::text IS NULL OR t.thread_id COLLATE \"C\" > $1)";
    // From each name the index leads to the next one, past all rows of the thread.
    let each = |table: &str, hidden: &str| {
        let first = format!("SELECT r.thread_id FROM {table} r");
        format!(
            "SELECT t.thread_id FROM (WITH RECURSIVE t (thread_id) AS ( \
             ({first} ORDER BY r.thread_id LIMIT 1) UNION ALL SELECT \
             ({first} WHERE r.thread_id > t.thread_id ORDER BY r.thread_id LIMIT 1) \
             FROM t WHERE t.thread_id IS NOT NULL) SELECT * FROM t) t \
             WHERE t.thread_id IS NOT NULL AND {low}{hidden}"
        )
    };
    let place = reader.place;
    let mut selects = vec![
        each(&place.checkpoints, ""),
        each(&place.writes, ""),
        each(&place.blobs, &reader.unless_hidden("t")),
    ];
    if reader.shape.has_side {
        selects.push(each(&place.unit, ""));
    }
    if reader.has_control {
        selects.push(format!(
            "(SELECT convert_from(c.unit, 'UTF8') FROM {} c \
             WHERE $1::text IS NULL OR c.unit > convert_to($1, 'UTF8') \
             ORDER BY c.unit LIMIT {NAMES_AT_ONCE})",
            reader.tables.control
        ));
    }
    let sql = format!(
        "SELECT t.thread_id FROM ({}) t ORDER BY t.thread_id COLLATE \"C\" LIMIT {NAMES_AT_ONCE}",
        selects.join(" UNION ")
    );
    let behind = behind.map(UnitId::as_str);
    let rows = reader.tx.query_typed(&sql, &[(&behind, Type::TEXT)])?;
    rows.iter().map(|row| Ok(UnitId::new(row.try_get::<_, &str>(0)?))).collect()
}
