//! Staged copies: begun, promoted in one step, discarded.

use restow_model::{Token, UnitDigest, UnitId};
use restow_store::{Current, Guard, Stamp, UnitOps, managed};
use rusqlite::{Connection, params};

use super::apply::{Not, lost};
use super::put::{self, Contents};
use super::side::{ACTIVE, STAGED, make_stage};
use super::{large, shape};

/// Begins a staged copy, or goes on with it; one of another token is discarded.
pub(super) fn begin(connection: &Connection, ops: &UnitOps, token: &Token) -> Result<(), Not> {
    make_stage(connection)?;
    let unit = &ops.unit;
    if put::staged(connection, unit)?.is_some_and(|(held, _)| held != token.as_str()) {
        put::clear(connection, &STAGED, unit)?;
    }
    let guard = match managed::guard_of_staged(ops) {
        Some(Guard::Absent) => vec![1],
        Some(Guard::Exactly(Stamp::Content(digest))) => [&[2][..], &digest.to_bytes()].concat(),
        _ => vec![0],
    };
    let sql = "INSERT OR REPLACE INTO restow_stage VALUES (?1, ?2, ?3)";
    connection.prepare_cached(sql)?.execute(params![unit.as_str(), token.as_str(), guard])?;
    Ok(())
}

/// Says whether the unit itself is what it has to be when a copy takes its place.
fn allows(connection: &Connection, unit: &UnitId, guard: &[u8]) -> Result<(), Not> {
    let wanted = match guard.split_first() {
        Some((1, _)) => None,
        Some((2, digest)) => Some(UnitDigest::from_slice(digest).unwrap_or_default()),
        _ => return Ok(()),
    };
    match put::contents(connection, &ACTIVE, unit)? {
        Contents::Absent if wanted.is_none() => Ok(()),
        Contents::Absent => Err(lost(Current::Absent)),
        Contents::Digest(digest) if wanted.is_some() && digest == wanted => Ok(()),
        Contents::Digest(digest) => Err(lost(Current::Unmanaged(digest))),
    }
}

/// Makes a staged copy the unit; what the unit held before is gone.
pub(super) fn promote(connection: &Connection, unit: &UnitId) -> Result<(), Not> {
    let (_, held) = put::staged(connection, unit)?.ok_or_else(|| lost(Current::Absent))?;
    allows(connection, unit, &held)?;
    put::clear(connection, &ACTIVE, unit)?;
    let moves = [
        (
            (ACTIVE.checkpoints, STAGED.checkpoints),
            "thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, \
             metadata",
            "thread_id, checkpoint_ns, checkpoint_id",
        ),
        (
            (ACTIVE.writes, STAGED.writes),
            "thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, \
             value",
            "thread_id, checkpoint_ns, checkpoint_id, task_id, idx",
        ),
        (
            (ACTIVE.residue, STAGED.residue),
            "thread_id, key, layout, format, record, bytes",
            "thread_id, key, layout",
        ),
        ((ACTIVE.unit, STAGED.unit), "thread_id, key, body, items", "thread_id, key"),
    ];
    for ((to, from), columns, order) in moves {
        let some = format!("SELECT 1 FROM {from} WHERE thread_id = ?1");
        if !connection.prepare_cached(&some)?.exists([unit.as_str()])? {
            continue;
        }
        if to == ACTIVE.residue {
            ACTIVE.make_residue(connection)?;
        } else if to == ACTIVE.unit {
            ACTIVE.make_unit(connection)?;
        }
        let large = match to {
            _ if to == ACTIVE.checkpoints => Some(("checkpoint", Some("metadata"))),
            _ if to == ACTIVE.writes => Some(("value", None)),
            _ => None,
        };
        large::move_rows(connection, (to, from), (columns, order), large, unit.as_str())?;
    }
    Ok(discard(connection, unit)?)
}

/// Removes a staged copy, where there is one.
pub(super) fn discard(connection: &Connection, unit: &UnitId) -> rusqlite::Result<()> {
    if !shape::exists(connection, "restow_stage")? {
        return Ok(());
    }
    put::clear(connection, &STAGED, unit)?;
    let sql = "DELETE FROM restow_stage WHERE thread_id = ?1";
    connection.prepare_cached(sql)?.execute([unit.as_str()]).map(drop)
}

/// Removes the tables of staged copies where none is left.
pub(super) fn drop_empty(connection: &Connection) -> rusqlite::Result<()> {
    if shape::exists(connection, "restow_stage")?
        && !connection.prepare("SELECT 1 FROM restow_stage LIMIT 1")?.exists([])?
    {
        for table in STAGED.tables().into_iter().chain(["restow_stage"]) {
            connection.execute(&format!("DROP TABLE IF EXISTS {table}"), [])?;
        }
    }
    Ok(())
}
