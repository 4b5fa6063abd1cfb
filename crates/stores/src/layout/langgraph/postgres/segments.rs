//! Dividing a store into shares of like weight.

use restow_store::{Enumeration, Segment};

use super::super::spot::Spot;
use super::read::Reader;
use crate::engine::postgres::Fail;

/// What a checkpoint's row weighs beside its blobs, about.
const ROW_BYTES: i64 = 2048;

/// Divides a store into about `want` segments.
pub(super) fn segments(
    reader: &mut Reader<'_, '_>,
    want: usize,
    by: Enumeration,
) -> Result<Vec<Segment>, Fail> {
    let want = want.clamp(1, 1024);
    let bounds = match by {
        Enumeration::Units => by_units(reader, want)?,
        Enumeration::Storage => by_blocks(reader, want)?,
    };
    let bounds: Vec<_> = bounds.iter().map(Spot::encode).collect();
    let ends = bounds.iter().cloned().map(Some).chain([None]);
    let starts = [None].into_iter().chain(bounds.iter().cloned().map(Some));
    let segment = |(from, to)| Segment { by, from, to, bytes_estimate: None };
    Ok(starts.zip(ends).map(segment).collect())
}

/// Finds thread ids that divide checkpoints and blobs evenly, in the order of bytes.
fn by_units(reader: &mut Reader<'_, '_>, want: usize) -> Result<Vec<Spot>, Fail> {
    let sql = format!(
        "WITH g AS (SELECT t, sum(w) AS w FROM ( \
         SELECT thread_id COLLATE \"C\" AS t, count(*) * {ROW_BYTES} AS w FROM {} GROUP BY 1 \
         UNION ALL SELECT thread_id COLLATE \"C\", sum(octet_length(blob)) FROM {} GROUP BY 1 \
         ) x GROUP BY t), \
         s AS (SELECT t, sum(w) OVER (ORDER BY t) - w AS before, sum(w) OVER () AS total FROM g) \
         SELECT min(t) FROM (SELECT t, floor(before * {want} / greatest(total, 1)) AS share \
         FROM s) y GROUP BY share ORDER BY share OFFSET 1",
        reader.place.checkpoints, reader.place.blobs
    );
    let rows = reader.tx.query_typed(&sql, &[])?;
    rows.iter().map(|row| Ok(Spot::Unit(row.try_get::<_, &str>(0)?.into(), None))).collect()
}

/// Divides the blocks of the two large tables evenly.
fn by_blocks(reader: &mut Reader<'_, '_>, want: usize) -> Result<Vec<Spot>, Fail> {
    let mut bounds = Vec::new();
    if reader.is_empty()? {
        return Ok(bounds);
    }
    for (number, table) in [(0, &reader.place.checkpoints), (2, &reader.place.writes)] {
        let sql = format!(
            "SELECT pg_relation_size('{}'::regclass) / current_setting('block_size')::bigint",
            table.replace('\'', "''")
        );
        let blocks: i64 = reader.tx.query_typed_one(&sql, &[])?.try_get(0)?;
        let share = want.div_ceil(2) as i64;
        if number > 0 && want > 1 {
            bounds.push(Spot::Stored(1, 0));
            bounds.push(Spot::Stored(2, 0));
        }
        let cut = |n: i64| u64::try_from(blocks * n / share).unwrap_or(0);
        let mut last = 0;
        for block in (1..share).map(cut) {
            if block > last {
                bounds.push(Spot::Stored(number, block));
                last = block;
            }
        }
    }
    Ok(bounds)
}
