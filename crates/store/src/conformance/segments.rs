//! Cases of `Store::segments`.

use super::Fixture;
use super::fixture::{merged, seen, unit};
use crate::{Enumeration, Result};

const WAYS: [Enumeration; 2] = [Enumeration::Units, Enumeration::Storage];

/// However many shares are wanted, together they hold every record exactly once.
pub async fn shares_hold_every_record_once(f: &Fixture) -> Result<()> {
    f.ready().await?;
    for n in 0..6 {
        f.write(&unit(n), &(f.records)(n as u64, 1 + n * 3)).await?;
    }
    let all: usize = (0..6).map(|n| 1 + n * 3).sum();
    for by in WAYS {
        for want in [1, 2, 5, 100] {
            let mut pieces = Vec::new();
            for segment in f.store.segments(want, by).await? {
                assert_eq!(segment.by, by);
                pieces.extend(seen(&f.scan(segment, None).await?));
            }
            let records: usize = merged(pieces).values().map(|records| records.len()).sum();
            assert_eq!(records, all, "in {want} shares by {by:?}");
        }
    }
    Ok(())
}

/// An empty store has one share, which is empty, or none.
pub async fn an_empty_store_has_one_share_or_none(f: &Fixture) -> Result<()> {
    f.ready().await?;
    for by in WAYS {
        let segments = f.store.segments(4, by).await?;
        assert!(segments.len() <= 1, "{segments:?}");
        for segment in segments {
            assert_eq!(seen(&f.scan(segment, None).await?), []);
        }
    }
    Ok(())
}
