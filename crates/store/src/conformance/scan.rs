//! Cases of `Store::scan`.

use futures::TryStreamExt as _;

use super::Fixture;
use super::fixture::{by_key, merged, seen, unit};
use crate::{Content, Enumeration, Frame, Result, Segment};

const UNITS: usize = 4;

async fn fill(f: &Fixture) -> Result<()> {
    f.ready().await?;
    // In turns, so that a unit lies in several places; from behind, so that order is work.
    for from in [0, 9] {
        for n in (0..UNITS).rev() {
            f.write(&unit(n), &(f.records)(n as u64, 18)[from..from + 9]).await?;
        }
    }
    Ok(())
}

/// Unit by unit, units ascend, and the records of each ascend by key.
pub async fn units_and_records_ascend(f: &Fixture) -> Result<()> {
    fill(f).await?;
    let units = seen(&f.scan(Segment::whole(Enumeration::Units), None).await?);
    let ids: Vec<_> = units.iter().map(|u| u.id.clone()).collect();
    assert_eq!(ids, (0..UNITS).map(unit).collect::<Vec<_>>());
    for (n, unit) in units.iter().enumerate() {
        assert_eq!(unit.records, by_key(&(f.records)(n as u64, 18)));
    }
    Ok(())
}

/// The other way of walking delivers the same records, in whatever order and pieces.
pub async fn storage_order_delivers_the_same(f: &Fixture) -> Result<()> {
    fill(f).await?;
    let units = seen(&f.scan(Segment::whole(Enumeration::Units), None).await?);
    let pieces = seen(&f.scan(Segment::whole(Enumeration::Storage), None).await?);
    assert_eq!(merged(pieces), merged(units));
    Ok(())
}

/// Of what is only checked, the same records come without their values.
pub async fn checked_records_come_without_values(f: &Fixture) -> Result<()> {
    fill(f).await?;
    for by in [Enumeration::Units, Enumeration::Storage] {
        let mut whole = f.scan(Segment::whole(by), None).await?;
        for frame in &mut whole {
            if let Frame::Record(record) = frame {
                record.values.clear();
            }
        }
        let checked = f.store.scan(Segment::whole(by), None, Content::Checked).await?;
        let checked: Vec<Frame> = checked.try_collect().await?;
        assert_eq!(merged(seen(&checked)), merged(seen(&whole)), "by {by:?}");
    }
    Ok(())
}

/// A mark follows every unit, before the next begins.
pub async fn a_mark_follows_every_unit(f: &Fixture) -> Result<()> {
    fill(f).await?;
    for by in [Enumeration::Units, Enumeration::Storage] {
        let mut unmarked = false;
        for frame in f.scan(Segment::whole(by), None).await? {
            match frame {
                Frame::Begin { .. } => assert!(!unmarked, "no mark between two units"),
                Frame::End { .. } => unmarked = by == Enumeration::Units,
                Frame::Mark(_) => unmarked = false,
                _ => {}
            }
        }
        assert!(!unmarked, "no mark behind the last unit");
    }
    Ok(())
}

/// From every mark, also inside a unit, a scan delivers exactly the rest.
pub async fn every_mark_resumes(f: &Fixture) -> Result<()> {
    fill(f).await?;
    for by in [Enumeration::Units, Enumeration::Storage] {
        let frames = f.scan(Segment::whole(by), None).await?;
        let whole = merged(seen(&frames));
        for (n, frame) in frames.iter().enumerate() {
            let Frame::Mark(cursor) = frame else { continue };
            let mut before = frames[..n].to_vec();
            if let Some(open) = open_at(&before) {
                before.push(Frame::End { unit: open, control: None, digest: None });
            }
            let rest = f.scan(Segment::whole(by), Some(cursor.clone())).await?;
            let both = seen(&before).into_iter().chain(seen(&rest));
            assert_eq!(merged(both), whole, "from mark {n} by {by:?}");
        }
    }
    Ok(())
}

fn open_at(frames: &[Frame]) -> Option<restow_model::UnitId> {
    frames.iter().rev().find_map(|frame| match frame {
        Frame::Begin { unit, .. } => Some(Some(unit.clone())),
        Frame::End { .. } => Some(None),
        _ => None,
    })?
}

/// Damage is a frame, and the rest of its unit and of the share follows it.
pub async fn damage_does_not_end_a_scan(f: &Fixture) -> Result<()> {
    let Some(damage) = &f.damage else { return Ok(()) };
    fill(f).await?;
    damage(unit(1), f.record(0, 1).key).await;
    for by in [Enumeration::Units, Enumeration::Storage] {
        let units = seen(&f.scan(Segment::whole(by), None).await?);
        let damaged: usize = units.iter().map(|unit| unit.damaged).sum();
        assert_eq!(damaged, 1, "by {by:?}");
        let records: usize = units.iter().map(|unit| unit.records.len()).sum();
        assert_eq!(records, UNITS * 18 - 1, "by {by:?}");
    }
    Ok(())
}
