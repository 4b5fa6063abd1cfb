//! What is asked of the ledger's tables.

use bytes::Bytes;
use restow_model::{Token, UnitDigest, UnitId};
use restow_store::ledger::{
    Failure, MigrationId, Partial, PassId, SegmentProgress, Summary, Watermark,
};
use restow_store::{Cursor, Enumeration, Segment};
use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension, Row, params};

type Result<T> = rusqlite::Result<T>;
/// When it began, when it ended, and how.
type Attempt = (u64, Option<u64>, Option<String>);

pub(super) fn walk_name(by: Enumeration) -> &'static str {
    match by {
        Enumeration::Units => "units",
        Enumeration::Storage => "storage",
    }
}

fn digest(row: &Row<'_>, column: usize) -> Result<Option<UnitDigest>> {
    let Some(bytes) = row.get::<_, Option<Vec<u8>>>(column)? else { return Ok(None) };
    let bad = || Error::FromSqlConversionFailure(column, Type::Blob, "not a digest".into());
    UnitDigest::from_slice(&bytes).map(Some).ok_or_else(bad)
}

fn watermark(row: &Row<'_>, column: usize) -> Result<Watermark> {
    let source = digest(row, column)?.unwrap_or_default();
    Ok(Watermark { source, target: digest(row, column + 1)?.unwrap_or(source) })
}

fn unit(row: &Row<'_>, column: usize) -> Result<Option<UnitId>> {
    Ok(row.get::<_, Option<String>>(column)?.map(UnitId::new))
}

fn bytes(row: &Row<'_>, column: usize) -> Result<Option<Bytes>> {
    Ok(row.get::<_, Option<Vec<u8>>>(column)?.map(Bytes::from))
}

pub(super) fn migration(c: &Connection, source: &str, target: &str) -> Result<Option<MigrationId>> {
    let sql = "SELECT id FROM migration WHERE source = ?1 AND target = ?2";
    c.query_row(sql, [source, target], |row| Ok(MigrationId(row.get(0)?))).optional()
}

pub(super) fn interrupted(
    c: &Connection,
    migration: MigrationId,
) -> Result<Option<(PassId, Vec<SegmentProgress>)>> {
    let sql = "SELECT max(id) FROM pass WHERE migration = ?1 AND NOT ended AND segments > 0";
    let Some(pass) = c.query_row(sql, [migration.0], |row| row.get::<_, Option<i64>>(0))? else {
        return Ok(None);
    };
    let sql = "SELECT number, walk, lower, upper, bytes_estimate, \"cursor\", unit, token, staged,
        done FROM segment WHERE pass = ?1 ORDER BY number";
    let mut statement = c.prepare(sql)?;
    let segments = statement.query_map([pass], segment)?.collect::<Result<_>>()?;
    Ok(Some((PassId(pass), segments)))
}

fn segment(row: &Row<'_>) -> Result<SegmentProgress> {
    let by = match row.get_ref(1)?.as_str()? {
        "storage" => Enumeration::Storage,
        _ => Enumeration::Units,
    };
    let bytes_estimate = row.get::<_, Option<i64>>(4)?.and_then(|n| u64::try_from(n).ok());
    let token: Option<String> = row.get(7)?;
    let partial = match (unit(row, 6)?, token, digest(row, 8)?) {
        (Some(unit), Some(token), Some(staged)) => {
            Some(Partial { unit, token: Token::new(token), staged })
        }
        _ => None,
    };
    Ok(SegmentProgress {
        number: row.get(0)?,
        segment: Segment { by, from: bytes(row, 2)?, to: bytes(row, 3)?, bytes_estimate },
        cursor: bytes(row, 5)?.map(Cursor),
        partial,
        done: row.get(9)?,
    })
}

pub(super) fn watermarks(
    c: &Connection,
    migration: MigrationId,
    units: &[UnitId],
) -> Result<Vec<Option<Watermark>>> {
    let sql = "SELECT source, target FROM watermark WHERE migration = ?1 AND unit = ?2";
    let mut statement = c.prepare_cached(sql)?;
    let mut find = |unit: &UnitId| {
        statement.query_row(params![migration.0, unit.as_str()], |row| watermark(row, 0)).optional()
    };
    units.iter().map(&mut find).collect()
}

pub(super) fn marked(
    c: &Connection,
    migration: MigrationId,
    after: Option<&UnitId>,
    limit: usize,
) -> Result<Vec<(UnitId, Watermark)>> {
    let sql = "SELECT unit, source, target FROM watermark
        WHERE migration = ?1 AND (?2 IS NULL OR unit > ?2) ORDER BY unit LIMIT ?3";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = c.prepare_cached(sql)?;
    let rows = statement.query_map(params![migration.0, after.map(UnitId::as_str), limit], row)?;
    rows.collect()
}

/// Reads a unit's name and its watermark.
fn row(row: &Row<'_>) -> Result<(UnitId, Watermark)> {
    Ok((UnitId::new(row.get::<_, String>(0)?), watermark(row, 1)?))
}

pub(super) fn unseen(
    c: &Connection,
    pass: PassId,
    after: Option<&UnitId>,
    limit: usize,
) -> Result<Vec<(UnitId, Watermark)>> {
    let sql = "SELECT unit, source, target FROM watermark
        WHERE migration = (SELECT migration FROM pass WHERE id = ?1) AND pass < ?1
            AND (?2 IS NULL OR unit > ?2)
        ORDER BY unit LIMIT ?3";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let after = after.map(UnitId::as_str);
    let mut statement = c.prepare_cached(sql)?;
    statement.query_map(params![pass.0, after, limit], row)?.collect()
}

pub(super) fn stagings(c: &Connection, migration: MigrationId) -> Result<Vec<(UnitId, Token)>> {
    let sql = "SELECT unit, token FROM staging WHERE migration = ?1 ORDER BY unit";
    let mut statement = c.prepare(sql)?;
    let row = |row: &Row<'_>| {
        Ok((UnitId::new(row.get::<_, String>(0)?), Token::new(row.get::<_, String>(1)?)))
    };
    statement.query_map([migration.0], row)?.collect()
}

pub(super) fn summaries(c: &Connection) -> Result<Vec<Summary>> {
    let mut statement =
        c.prepare("SELECT id, source, target FROM migration ORDER BY began_ms, id")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.map(|row| {
        let (id, source, target): (i64, String, String) = row?;
        let count = "SELECT count(*) FROM watermark WHERE migration = ?1";
        let units: i64 = c.query_row(count, [id], |row| row.get(0))?;
        Ok(Summary {
            source,
            target,
            units: u64::try_from(units).unwrap_or(0),
            segments: segments_done(c, id)?,
            attempts: attempts(c, id)?,
            failures: failures(c, id)?,
        })
    })
    .collect()
}

fn segments_done(c: &Connection, migration: i64) -> Result<(u32, u32)> {
    let sql = "SELECT coalesce(sum(done), 0), count(*) FROM segment WHERE pass =
        (SELECT max(id) FROM pass WHERE migration = ?1 AND segments > 0)";
    c.query_row(sql, [migration], |row| Ok((row.get(0)?, row.get(1)?)))
}

fn attempts(c: &Connection, migration: i64) -> Result<Vec<Attempt>> {
    let sql = "SELECT began_ms, ended_ms, outcome FROM attempt WHERE migration = ?1 ORDER BY id";
    let mut statement = c.prepare(sql)?;
    let ms = |n: i64| u64::try_from(n).unwrap_or(0);
    let row =
        |row: &Row<'_>| Ok((ms(row.get(0)?), row.get::<_, Option<i64>>(1)?.map(ms), row.get(2)?));
    statement.query_map([migration], row)?.collect()
}

fn failures(c: &Connection, migration: i64) -> Result<Vec<Failure>> {
    let sql = "SELECT unit, what, why FROM failure WHERE migration = ?1 ORDER BY unit, rowid";
    let mut statement = c.prepare(sql)?;
    let row = |row: &Row<'_>| {
        let (what, why): (String, String) = (row.get(1)?, row.get(2)?);
        Ok(Failure { unit: unit(row, 0)?, what: what.into(), why: why.into() })
    };
    statement.query_map([migration], row)?.collect()
}
