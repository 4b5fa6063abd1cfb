//! Staged copies: begun, promoted in one step, discarded.

use postgres::types::Type;
use restow_model::{Token, UnitDigest, UnitId};
use restow_store::{Current, Guard, Stamp, UnitOps, UnitOutcome, managed};

use super::super::read::{Contents, named};
use super::super::tables::{Place, Tables};
use super::Not;
use super::state::{self, Staged};
use crate::engine::postgres::{Fail, Transaction};

/// The columns of each table of a place, so that promotion does not depend on their order.
const COLUMNS: [&str; 6] = [
    "thread_id, checkpoint_ns, channel, version, type, blob",
    "thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, task_path",
    "thread_id, key, body, items",
    "thread_id, key, layout, format, record, bytes",
    "thread_id, checkpoint_ns, checkpoint_id, row_digest, bytes",
    "thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata",
];

/// Lists the tables of a place, checkpoints last, in the order of [`COLUMNS`].
fn all(place: &Place) -> [&str; 6] {
    [
        &place.blobs,
        &place.writes,
        &place.unit,
        &place.residue,
        &place.adjustment,
        &place.checkpoints,
    ]
}

fn execute(tx: &mut Transaction<'_>, sql: &str, unit: &UnitId) -> Result<u64, Fail> {
    Ok(tx.execute_typed(sql, &[(&unit.as_str(), Type::TEXT)])?)
}

/// Begins a staged copy, or goes on with it; one of another token is discarded.
pub(super) fn begin(
    tx: &mut Transaction<'_>,
    tables: &Tables,
    (held, ops): (Option<Staged>, &UnitOps),
    token: &Token,
) -> Result<Staged, Fail> {
    let unit = &ops.unit;
    let guard = match managed::guard_of_staged(ops) {
        Some(Guard::Absent) => vec![1],
        Some(Guard::Exactly(Stamp::Content(digest))) => [&[2][..], &digest.to_bytes()].concat(),
        _ => vec![0],
    };
    match held {
        Some(staged) if staged.token == token.as_str() => {
            if staged.guard == guard {
                return Ok(staged);
            }
            let sql = format!("UPDATE {} SET guard = $2 WHERE thread_id = $1", tables.stage);
            let parameters = [(&unit.as_str() as _, Type::TEXT), (&guard as _, Type::BYTEA)];
            tx.execute_typed(&sql, &parameters)?;
            return Ok(Staged { guard, ..staged });
        }
        Some(other) => discard(tx, tables, unit, &other)?,
        None => {}
    }
    let is_direct = !state::exists(tx, tables, unit)?;
    let sql = format!(
        "INSERT INTO {} (thread_id, token, guard, direct) VALUES ($1, $2, $3, $4)",
        tables.stage
    );
    let (thread, token) = (unit.as_str(), token.as_str());
    let parameters = [
        (&thread as _, Type::TEXT),
        (&token as _, Type::TEXT),
        (&guard as _, Type::BYTEA),
        (&is_direct as _, Type::BOOL),
    ];
    tx.execute_typed(&sql, &parameters)?;
    Ok(Staged { token: token.to_owned(), guard, is_direct })
}

/// Takes the blob rows of a staged copy out of the way of the unit itself, which is about to be.
pub(super) fn separate(
    tx: &mut Transaction<'_>,
    tables: &Tables,
    unit: &UnitId,
) -> Result<(), Fail> {
    let columns = COLUMNS[0];
    let sql = format!(
        "WITH gone AS (DELETE FROM {} b USING ({}) n (t, s, c, v) \
         WHERE (b.thread_id, b.checkpoint_ns, b.channel, b.version) = (n.t, n.s, n.c, n.v) \
         RETURNING b.*) INSERT INTO {} ({columns}) SELECT {columns} FROM gone",
        tables.active.blobs,
        named(&tables.staged.checkpoints, "r.thread_id = $1"),
        tables.staged.blobs
    );
    execute(tx, &sql, unit)?;
    let sql = format!("UPDATE {} SET direct = false WHERE thread_id = $1", tables.stage);
    execute(tx, &sql, unit).map(drop)
}

/// Makes a staged copy the unit; what the unit held before is gone.
pub(super) fn promote(
    tx: &mut Transaction<'_>,
    tables: &Tables,
    unit: &UnitId,
    staged: &Staged,
) -> Result<(), Not> {
    allowed(tx, tables, unit, &staged.guard)?;
    let place = staged.place(tables);
    if staged.is_direct {
        // Somebody may have made the unit meanwhile; the copy's own blob rows stay.
        forget_blobs(tx, tables, unit, (&tables.active, &place.checkpoints))?;
        for table in all(&tables.active).into_iter().skip(1) {
            execute(tx, &format!("DELETE FROM {table} WHERE thread_id = $1"), unit)?;
        }
    } else {
        clear(tx, tables, &tables.active, unit)?;
    }
    let moves = all(&tables.active).into_iter().zip(all(&tables.staged)).zip(COLUMNS);
    for ((to, from), columns) in moves {
        let sql = format!(
            "INSERT INTO {to} ({columns}) SELECT {columns} FROM {from} WHERE thread_id = $1"
        );
        execute(tx, &sql, unit)?;
    }
    end(tx, tables, unit)?;
    Ok(())
}

/// Removes a staged copy.
pub(super) fn discard(
    tx: &mut Transaction<'_>,
    tables: &Tables,
    unit: &UnitId,
    staged: &Staged,
) -> Result<(), Fail> {
    clear(tx, tables, staged.place(tables), unit)?;
    end(tx, tables, unit)
}

/// Removes what lies in the tables of staged copies, and the account of it.
fn end(tx: &mut Transaction<'_>, tables: &Tables, unit: &UnitId) -> Result<(), Fail> {
    for table in all(&tables.staged).into_iter().chain([&*tables.stage]) {
        execute(tx, &format!("DELETE FROM {table} WHERE thread_id = $1"), unit)?;
    }
    Ok(())
}

/// Removes every record of a unit, or of its staged copy, and what is kept beside them.
pub(super) fn clear(
    tx: &mut Transaction<'_>,
    tables: &Tables,
    place: &Place,
    unit: &UnitId,
) -> Result<(), Fail> {
    if *place == tables.direct {
        forget_blobs(tx, tables, unit, (place, &tables.active.checkpoints))?;
        return clear(tx, tables, &tables.staged, unit);
    }
    for table in all(place) {
        execute(tx, &format!("DELETE FROM {table} WHERE thread_id = $1"), unit)?;
    }
    Ok(())
}

/// Removes the blob rows that the checkpoints of one table name and those of another do not.
fn forget_blobs(
    tx: &mut Transaction<'_>,
    tables: &Tables,
    unit: &UnitId,
    (place, others): (&Place, &str),
) -> Result<(), Fail> {
    let condition = "r.thread_id = $1";
    let sql = format!(
        "DELETE FROM {} b USING ({} EXCEPT {}) n (t, s, c, v) \
         WHERE (b.thread_id, b.checkpoint_ns, b.channel, b.version) = (n.t, n.s, n.c, n.v)",
        tables.active.blobs,
        named(&place.checkpoints, condition),
        named(others, condition)
    );
    execute(tx, &sql, unit).map(drop)
}

/// Checks what the unit itself has to be.
fn allowed(
    tx: &mut Transaction<'_>,
    tables: &Tables,
    unit: &UnitId,
    guard: &[u8],
) -> Result<(), Not> {
    let lost = |current| Err(Not::Outcome(UnitOutcome::Lost(current)));
    match guard.split_first() {
        Some((1, _)) => match state::exists(tx, tables, unit)? {
            false => Ok(()),
            true => lost(Current::Unmanaged(None)),
        },
        Some((2, digest)) => {
            let wanted = UnitDigest::from_slice(digest).unwrap_or_default();
            match state::contents(tx, (tables, &tables.active), unit)? {
                Contents::Digest(Some(found)) if found == wanted => Ok(()),
                Contents::Digest(found) => lost(Current::Unmanaged(found)),
                Contents::Absent => lost(Current::Absent),
            }
        }
        _ => Ok(()),
    }
}
