//! What is added to the ledger's tables, each function one transaction.

use restow_model::UnitId;
use restow_store::Segment;
use restow_store::ledger::{Failure, MigrationId, PassId, Step, Watermark};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::number;
use super::read::walk_name;

type Result<T> = rusqlite::Result<T>;

fn atomic<T>(c: &mut Connection, work: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
    let tx = c.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = work(&tx)?;
    tx.commit()?;
    Ok(done)
}

pub(super) fn migration(
    c: &mut Connection,
    id: MigrationId,
    source: &str,
    target: &str,
    now_ms: i64,
) -> Result<MigrationId> {
    let sql = "INSERT INTO migration (id, source, target, began_ms) VALUES (?1, ?2, ?3, ?4)";
    c.execute(sql, params![id.0, source, target, now_ms])?;
    Ok(id)
}

pub(super) fn begin(c: &mut Connection, migration: MigrationId, now_ms: i64) -> Result<i64> {
    atomic(c, |tx| {
        let sql = "UPDATE attempt SET ended_ms = ?2, outcome = 'died'
            WHERE migration = ?1 AND ended_ms IS NULL";
        tx.execute(sql, [migration.0, now_ms])?;
        let sql = "INSERT INTO attempt (migration, began_ms) VALUES (?1, ?2)";
        tx.execute(sql, [migration.0, now_ms])?;
        Ok(tx.last_insert_rowid())
    })
}

pub(super) fn end(c: &mut Connection, attempt: i64, outcome: &str, now_ms: i64) -> Result<()> {
    let sql = "UPDATE attempt SET ended_ms = ?2, outcome = ?3 WHERE id = ?1";
    c.execute(sql, params![attempt, now_ms, outcome]).map(|_| ())
}

pub(super) fn begin_pass(
    c: &mut Connection,
    migration: MigrationId,
    segments: &[Segment],
) -> Result<PassId> {
    atomic(c, |tx| {
        if !segments.is_empty() {
            // A whole pass finds what belonged to no unit again, or it is no longer there.
            let sql = "DELETE FROM failure WHERE migration = ?1 AND unit IS NULL";
            tx.execute(sql, [migration.0])?;
        }
        let sql = "INSERT INTO pass (migration, segments) VALUES (?1, ?2)";
        tx.execute(sql, params![migration.0, segments.len() as i64])?;
        let pass = tx.last_insert_rowid();
        let sql = "INSERT INTO segment (pass, number, walk, lower, upper, bytes_estimate)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let mut insert = tx.prepare(sql)?;
        for (n, segment) in segments.iter().enumerate() {
            let (lower, upper) = (segment.from.as_deref(), segment.to.as_deref());
            let estimate = segment.bytes_estimate.map(number);
            let walk = walk_name(segment.by);
            insert.execute(params![pass, n as i64, walk, lower, upper, estimate])?;
        }
        Ok(PassId(pass))
    })
}

pub(super) fn end_pass(c: &mut Connection, pass: PassId) -> Result<()> {
    atomic(c, |tx| {
        tx.execute("UPDATE pass SET ended = 1 WHERE id = ?1", [pass.0])?;
        // A whole pass has met every unit: what it did not name again is over.
        let sql = "DELETE FROM failure WHERE pass < ?1 AND migration =
            (SELECT migration FROM pass WHERE id = ?1 AND segments > 0)";
        tx.execute(sql, [pass.0]).map(|_| ())
    })
}

pub(super) fn save(c: &mut Connection, pass: PassId, step: &Step) -> Result<()> {
    atomic(c, |tx| {
        let sql = "SELECT migration FROM pass WHERE id = ?1";
        let migration: i64 = tx.query_row(sql, [pass.0], |row| row.get(0))?;
        if let Some((number, cursor, partial, done)) = &step.segment {
            let sql = "UPDATE segment SET \"cursor\" = ?3, unit = ?4, token = ?5, staged = ?6,
                done = ?7 WHERE pass = ?1 AND number = ?2";
            let cursor = cursor.as_ref().map(|c| &c.0[..]);
            let unit = partial.as_ref().map(|p| p.unit.as_str());
            let token = partial.as_ref().map(|p| p.token.as_str());
            let staged = partial.as_ref().map(|p| p.staged.to_bytes());
            tx.execute(sql, params![pass.0, number, cursor, unit, token, staged, done])?;
        }
        for (unit, mark) in &step.watermarks {
            watermark(tx, migration, pass, unit, mark)?;
        }
        for failed in &step.failures {
            failure(tx, migration, pass, failed)?;
        }
        for unit in &step.gone {
            forgive(tx, migration, unit)?;
            let sql = "DELETE FROM watermark WHERE migration = ?1 AND unit = ?2";
            tx.prepare_cached(sql)?.execute(params![migration, unit.as_str()])?;
        }
        for unit in &step.unstaged {
            let sql = "DELETE FROM staging WHERE migration = ?1 AND unit = ?2";
            tx.prepare_cached(sql)?.execute(params![migration, unit.as_str()])?;
        }
        for (unit, token) in &step.staging {
            let sql = "INSERT OR REPLACE INTO staging (migration, unit, token) VALUES (?1, ?2, ?3)";
            let row = params![migration, unit.as_str(), token.as_str()];
            tx.prepare_cached(sql)?.execute(row)?;
        }
        Ok(())
    })
}

fn watermark(
    tx: &Transaction<'_>,
    migration: i64,
    pass: PassId,
    unit: &UnitId,
    mark: &Watermark,
) -> Result<()> {
    forgive(tx, migration, unit)?;
    let sql = "INSERT OR REPLACE INTO watermark (migration, unit, pass, source, target)
        VALUES (?1, ?2, ?3, ?4, ?5)";
    let target = (mark.target != mark.source).then(|| mark.target.to_bytes());
    let row = params![migration, unit.as_str(), pass.0, mark.source.to_bytes(), target];
    tx.prepare_cached(sql)?.execute(row).map(|_| ())
}

fn failure(tx: &Transaction<'_>, migration: i64, pass: PassId, failed: &Failure) -> Result<()> {
    if let Some(unit) = &failed.unit {
        forgive(tx, migration, unit)?;
        let sql = "UPDATE watermark SET pass = max(pass, ?3) WHERE migration = ?1 AND unit = ?2";
        tx.prepare_cached(sql)?.execute(params![migration, unit.as_str(), pass.0])?;
    } else {
        // Damage without a unit is met by every walk, and is one failure all the same.
        let sql = "DELETE FROM failure
            WHERE migration = ?1 AND unit IS NULL AND what = ?2 AND why = ?3";
        tx.prepare_cached(sql)?.execute(params![migration, &*failed.what, &*failed.why])?;
    }
    let sql = "INSERT INTO failure (migration, pass, unit, what, why) VALUES (?1, ?2, ?3, ?4, ?5)";
    let unit = failed.unit.as_ref().map(UnitId::as_str);
    let row = params![migration, pass.0, unit, &*failed.what, &*failed.why];
    tx.prepare_cached(sql)?.execute(row).map(|_| ())
}

fn forgive(tx: &Transaction<'_>, migration: i64, unit: &UnitId) -> Result<()> {
    let sql = "DELETE FROM failure WHERE migration = ?1 AND unit = ?2";
    tx.prepare_cached(sql)?.execute(params![migration, unit.as_str()]).map(|_| ())
}

pub(super) fn audit(
    c: &mut Connection,
    migration: MigrationId,
    line: &str,
    now_ms: i64,
) -> Result<()> {
    let sql = "INSERT INTO audit (migration, at_ms, line) VALUES (?1, ?2, ?3)";
    c.execute(sql, params![migration.0, now_ms, line]).map(|_| ())
}
