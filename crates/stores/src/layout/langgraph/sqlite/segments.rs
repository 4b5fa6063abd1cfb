//! Dividing a store into shares of like weight without reading it.
//!
//! Rows sampled evenly by row id, weighed by the length that their header tells, say where the
//! bytes are.

use restow_store::{Enumeration, Segment};
use rusqlite::{OptionalExtension, params};

use super::super::spot::Spot;
use super::reading::{Reading, Table};
use super::scan::row_spot;

const SAMPLES_MAX: i64 = 1024;

struct Sample {
    unit: String,
    rowid: i64,
    bytes: u64,
}

/// Divides a store into about `want` segments.
pub(super) fn segments(
    reading: &Reading<'_>,
    want: usize,
    by: Enumeration,
) -> rusqlite::Result<Vec<Segment>> {
    let (checkpoints, rows) = samples(reading, Table::Checkpoints)?;
    let (writes, more) = samples(reading, Table::Writes)?;
    let estimate = |samples: &[Sample], rows: i64| {
        let bytes: u64 = samples.iter().map(|s| s.bytes).sum();
        bytes.saturating_mul(rows.max(0) as u64) / samples.len().max(1) as u64
    };
    let total = estimate(&checkpoints, rows).saturating_add(estimate(&writes, more));
    let bounds = match by {
        Enumeration::Units => {
            let mut all: Vec<(String, u64)> = Vec::new();
            for (samples, rows) in [(checkpoints, rows), (writes, more)] {
                // A sample stands for as many rows as lie between two samples.
                let each = (rows.max(1) as u64) / samples.len().max(1) as u64;
                all.extend(samples.into_iter().map(|s| (s.unit, s.bytes * each.max(1))));
            }
            all.sort();
            let bounds = cuts(&all, want);
            bounds.into_iter().map(|unit| Spot::Unit(unit.as_str().into(), None)).collect()
        }
        Enumeration::Storage => {
            let mut bounds = Vec::new();
            for (n, samples) in [(0, checkpoints), (2, writes)] {
                let share = want.div_ceil(2).max(1);
                let rows: Vec<(i64, u64)> = samples.iter().map(|s| (s.rowid, s.bytes)).collect();
                bounds.extend(cuts(&rows, share).into_iter().map(|rowid| row_spot(n, rowid)));
                if n == 0 && want > 1 && !samples.is_empty() {
                    bounds.push(row_spot(1, i64::MIN));
                }
            }
            bounds
        }
    };
    Ok(between(by, &bounds, total))
}

/// Cuts samples in order into `want` shares of like weight; returns where all but the first begin.
fn cuts<T: Clone + PartialEq>(samples: &[(T, u64)], want: usize) -> Vec<T> {
    let total: u64 = samples.iter().map(|(_, bytes)| bytes).sum();
    let share = (total / want.max(1) as u64).max(1);
    let mut bounds: Vec<T> = Vec::new();
    let mut sum = 0;
    for (at, bytes) in samples {
        let is_new = Some(at) != samples.first().map(|s| &s.0) && Some(at) != bounds.last();
        if bounds.len() + 1 < want && sum >= share * (bounds.len() as u64 + 1) && is_new {
            bounds.push(at.clone());
        }
        sum += bytes;
    }
    bounds
}

fn between(by: Enumeration, bounds: &[Spot], total: u64) -> Vec<Segment> {
    let bounds: Vec<_> = bounds.iter().map(Spot::encode).collect();
    let mut segments = Vec::with_capacity(bounds.len() + 1);
    let each = total / (bounds.len() as u64 + 1);
    let mut from = None;
    for bound in bounds {
        let to = Some(bound.clone());
        segments.push(Segment { by, from, to, bytes_estimate: Some(each) });
        from = Some(bound);
    }
    segments.push(Segment { by, from, to: None, bytes_estimate: Some(each) });
    segments
}

/// Samples a table; returns also about how many rows it has.
fn samples(reading: &Reading<'_>, table: Table) -> rusqlite::Result<(Vec<Sample>, i64)> {
    if !reading.has(table) {
        return Ok((Vec::new(), 0));
    }
    let name = reading.name(table);
    let column = if table == Table::Checkpoints { "checkpoint" } else { "value" };
    let edge = |which: &str| -> rusqlite::Result<Option<i64>> {
        reading
            .connection
            .query_row(&format!("SELECT {which}(rowid) FROM {name}"), [], |r| r.get(0))
    };
    let (Some(low), Some(high)) = (edge("min")?, edge("max")?) else {
        return Ok((Vec::new(), 0));
    };
    let rows = high.saturating_sub(low).saturating_add(1);
    let count = rows.min(SAMPLES_MAX);
    let sql = format!(
        "SELECT CAST(thread_id AS TEXT), rowid, coalesce(octet_length({column}), 0) + 200
         FROM {name} WHERE rowid >= ?1 ORDER BY rowid LIMIT 1"
    );
    let mut statement = reading.connection.prepare_cached(&sql)?;
    let mut samples: Vec<Sample> = Vec::new();
    for n in 0..count {
        let at = low + (i128::from(rows) * i128::from(n) / i128::from(count)) as i64;
        let sample = statement.query_row(params![at], |row| {
            let unit = super::row::text(row, 0, "thread_id").map(str::to_owned);
            let bytes = row.get::<_, i64>(2)?.max(0) as u64;
            Ok(unit.ok().map(|unit| Sample { unit, rowid: row.get(1).unwrap_or(at), bytes }))
        });
        let sample = sample.optional()?.flatten();
        samples.extend(sample.filter(|s| samples.last().is_none_or(|l| l.rowid < s.rowid)));
    }
    Ok((samples, rows))
}
