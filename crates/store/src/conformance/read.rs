//! Cases of `Store::read`.

use std::collections::BTreeSet;

use restow_model::{Key, Record};

use super::Fixture;
use super::fixture::{by_key, digest, unit};
use crate::{Content, KeyRange, Order, Result, Selection};

async fn fill(f: &Fixture) -> Result<Vec<Record>> {
    f.ready().await?;
    let records = (f.records)(1, 12);
    f.write(&unit(0), &records).await?;
    Ok(by_key(&records))
}

async fn keys(f: &Fixture, what: Selection) -> Result<Vec<Key>> {
    let units = f.read(&[unit(0)], what).await?;
    assert_eq!(units.len(), 1, "the unit is there, whatever is read of it");
    Ok(units.into_iter().flat_map(|u| u.records).map(|r| r.key).collect())
}

/// A unit that is not there has no frame; those beside it have theirs.
pub async fn an_absent_unit_has_no_frame(f: &Fixture) -> Result<()> {
    fill(f).await?;
    assert_eq!(f.read(&[unit(7)], Selection::all()).await?, []);
    let units = f.read(&[unit(7), unit(0), unit(8)], Selection::all()).await?;
    assert_eq!(units.iter().map(|u| u.id.clone()).collect::<Vec<_>>(), [unit(0)]);
    Ok(())
}

/// Units come in the order in which they were asked for.
pub async fn units_come_in_the_order_given(f: &Fixture) -> Result<()> {
    f.ready().await?;
    let order = [3, 0, 2, 1].map(unit);
    for (n, id) in order.iter().enumerate() {
        f.write(id, &(f.records)(n as u64, 1 + n)).await?;
    }
    let units = f.read(&order, Selection::all()).await?;
    assert_eq!(units.iter().map(|u| u.id.clone()).collect::<Vec<_>>(), order);
    for (n, unit) in units.into_iter().enumerate() {
        assert_eq!(unit.records, by_key(&(f.records)(n as u64, 1 + n)));
    }
    Ok(())
}

/// A range and a prefix of keys bound what is read.
pub async fn keys_bound_a_read(f: &Fixture) -> Result<()> {
    let all: Vec<Key> = fill(f).await?.into_iter().map(|r| r.key).collect();
    let range = |keys: KeyRange| Selection { keys: keys.into(), ..Selection::all() };
    assert_eq!(keys(f, range(KeyRange::default())).await?, all);
    assert_eq!(keys(f, range(KeyRange::after(&all[4]))).await?, all[5..]);
    let (from, to) = (all[2].as_bytes().clone(), Some(all[6].as_bytes().clone()));
    assert_eq!(keys(f, range(KeyRange { from, to })).await?, all[2..6]);
    let kind = Key::of(all[0].kind()).build();
    let of_kind: Vec<Key> = all.iter().filter(|k| kind.covers(k)).cloned().collect();
    assert!(!of_kind.is_empty() && of_kind.len() < all.len(), "samples have several kinds");
    assert_eq!(keys(f, Selection::prefix(&kind)).await?, of_kind);
    let nowhere = Key::of("nowhere").build();
    assert_eq!(keys(f, Selection::prefix(&nowhere)).await?, []);
    Ok(())
}

/// A set of keys bounds what is read to those of them that are there, of each unit, in its order.
pub async fn a_set_of_keys_bounds_a_read(f: &Fixture) -> Result<()> {
    let all = fill(f).await?;
    f.write(&unit(1), &(f.records)(1, 4)).await?;
    let nowhere = Key::of("nowhere").text("a").build();
    let absent = (f.records)(7, 30).pop().map(|record| record.key);
    let among: Vec<Key> = all.iter().skip(1).step_by(3).map(|r| r.key.clone()).collect();
    let set: BTreeSet<Key> = among.iter().cloned().chain(absent).chain([nowhere]).collect();
    let what = Selection::keys(set.clone());
    assert_eq!(keys(f, what.clone()).await?, among);
    let units = f.read(&[unit(1), unit(0)], what.clone()).await?;
    for (seen, records) in units.iter().zip([&by_key(&(f.records)(1, 4)), &all]) {
        let among = records.iter().filter(|r| set.contains(&r.key)).cloned();
        assert_eq!(seen.records, among.collect::<Vec<_>>(), "{}", seen.id);
    }
    let newest = Selection { order: Order::Descending, limit: Some(2), ..what.clone() };
    let last: Vec<Key> = among.iter().rev().take(2).cloned().collect();
    assert_eq!(keys(f, newest).await?, last);
    assert_eq!(keys(f, Selection { limit: Some(1), ..what }).await?, among[..1]);
    assert_eq!(keys(f, Selection::keys(BTreeSet::new())).await?, []);
    let every: BTreeSet<Key> = all.iter().map(|r| r.key.clone()).collect();
    let every = f.read(&[unit(0)], Selection::keys(every)).await?.remove(0);
    assert_eq!(every.records, all);
    Ok(())
}

/// Newest first, and no more than the limit; a limit of none is none.
pub async fn order_and_limit_bound_a_read(f: &Fixture) -> Result<()> {
    let mut all: Vec<Key> = fill(f).await?.into_iter().map(|r| r.key).collect();
    let read = |order, limit, keys: KeyRange| {
        let keys = keys.into();
        Selection { order, limit, keys, ..Selection::all() }
    };
    let any = KeyRange::default();
    assert_eq!(keys(f, read(Order::Ascending, Some(3), any.clone())).await?, all[..3]);
    assert_eq!(keys(f, read(Order::Ascending, Some(0), any.clone())).await?, []);
    let range = KeyRange::after(&all[6]);
    let newest = [all[11].clone(), all[10].clone()];
    assert_eq!(keys(f, read(Order::Descending, Some(2), range)).await?, newest);
    all.reverse();
    assert_eq!(keys(f, read(Order::Descending, None, any)).await?, all);
    Ok(())
}

/// Bodies come without values, checked or not, and nothing comes without records.
pub async fn content_bounds_a_read(f: &Fixture) -> Result<()> {
    let all = fill(f).await?;
    let read = |content| Selection { content, ..Selection::all() };
    let without = |r: &Record| Record { values: Vec::new(), ..r.clone() };
    let without: Vec<Record> = all.iter().map(without).collect();
    for content in [Content::Bodies, Content::Checked] {
        let bodies = f.read(&[unit(0)], read(content)).await?.remove(0).records;
        assert_eq!(bodies, without, "{content:?}");
    }
    assert_eq!(keys(f, Selection::nothing()).await?, []);
    Ok(())
}

/// Where digests are kept, the end of a unit tells the sum over all its records, whatever of it is
/// read, and a change of one record changes it.
pub async fn a_kept_digest_is_the_sum_of_the_records(f: &Fixture) -> Result<()> {
    let mut records = fill(f).await?;
    let one = Selection { limit: Some(1), ..Selection::all() };
    for round in 0..2 {
        for what in [Selection::all(), Selection::nothing(), one.clone()] {
            let told = f.read(&[unit(0)], what).await?.remove(0).digest;
            assert!(told.is_some() || !f.can().keeps_digests, "no digest");
            assert!(told.is_none_or(|told| told == digest(&records)), "round {round}");
        }
        // This one has residue, before and behind.
        let changed = f.record(3, 2);
        f.write(&unit(0), std::slice::from_ref(&changed)).await?;
        records.retain(|r| r.key != changed.key);
        records.push(changed);
    }
    Ok(())
}
