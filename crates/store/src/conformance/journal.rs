//! Cases of `Store::journal` and `Store::trim`.

use restow_model::{Digest, Generation, HomeState, Key};

use super::Fixture;
use super::fixture::{exactly, lost, unit};
use super::live::live_at;
use crate::{Entry, Expect, Guard, Journal, Op, Result, Then, UnitOutcome};

async fn seqs(f: &Fixture, after: u64) -> Result<Option<Vec<u64>>> {
    let told = f.store.journal(unit(0), after).await?;
    Ok(told.entries.map(|entries| entries.iter().map(|entry| entry.seq).collect()))
}

/// Makes a live unit whose writes 5, 6, 7 are in the journal.
async fn written(f: &Fixture) -> Result<bool> {
    if !f.ready_live().await? {
        return Ok(false);
    }
    f.managed(&unit(0), HomeState::Live, (1, 4)).await?;
    for seed in 1..4 {
        assert!(f.bump(&unit(0), live_at(1, 4), seed).await?.is_applied());
    }
    Ok(true)
}

fn keys(put: &[Key], removed: &[Key]) -> Journal {
    Journal { cleared: false, put: put.to_vec(), removed: removed.to_vec() }
}

/// It tells every write behind a seq, with operation and keys, and the control record of that
/// moment; of what lies before its first entry, or of a unit without control record, nothing.
pub async fn it_tells_every_write_behind_a_seq(f: &Fixture) -> Result<()> {
    if !written(f).await? {
        return Ok(());
    }
    let gone = f.record(1, 1).key;
    let remove = Op::Remove { key: gone.clone(), expect: Expect::Any };
    let ops = f.ops(&unit(0), live_at(1, 7), vec![remove], Then::Bump);
    let op_id = ops.op_id;
    assert!(f.apply(ops).await?.is_applied());
    let told = f.store.journal(unit(0), 6).await?;
    let put = f.record(3, 3).key;
    let held = f.unit(&unit(0)).await?.and_then(|seen| seen.control);
    assert_eq!((told.control.as_ref(), held.as_ref().map(|c| c.op_id)), (held.as_ref(), op_id));
    let entries = told.entries.unwrap_or_default();
    let ids: Vec<Option<Digest>> = entries.iter().map(|entry| entry.op_id).collect();
    let told = |n: usize, seq, keys| Entry { seq, op_id: ids[n], keys };
    assert_eq!(entries, [told(0, 7, keys(&[put], &[])), told(1, 8, keys(&[], &[gone]))]);
    assert_eq!(ids[1], op_id);
    for (after, tells) in [
        (4, Some(vec![5, 6, 7, 8])),
        (8, Some(vec![])),
        (3, None),
        (0, None),
        (9, None),
        (u64::MAX, None),
    ] {
        assert_eq!(seqs(f, after).await?, tells, "behind {after}");
    }
    let absent = f.store.journal(unit(1), 0).await?;
    assert_eq!((absent.control, absent.entries), (None, None));
    Ok(())
}

/// Where a write removed all that there was, the entry says so, and names what came afterwards.
pub async fn what_was_cleared_is_told(f: &Fixture) -> Result<()> {
    if !written(f).await? {
        return Ok(());
    }
    let put = f.record(2, 5);
    // A store that takes one record an apply has room for one behind the clearing.
    let ops = vec![Op::Clear, Op::put(put.clone())];
    f.done(&unit(0), live_at(1, 7), ops, Then::Bump).await?;
    f.done(&unit(0), live_at(1, 8), vec![], Then::Tombstone).await?;
    let told = f.store.journal(unit(0), 7).await?.entries.unwrap_or_default();
    let told: Vec<_> = told.into_iter().map(|entry| entry.keys).collect();
    let cleared = |put: &[Key]| Journal { cleared: true, ..keys(put, &[]) };
    assert_eq!(told, [cleared(&[put.key]), cleared(&[])]);
    Ok(())
}

/// An operation that the journal tells is recognised behind later ones, also when the unit is
/// sealed by now; its seq is told, and it is not applied again.
pub async fn it_recognises_an_operation(f: &Fixture) -> Result<()> {
    if !written(f).await? {
        return Ok(());
    }
    let first = f.increment(&unit(0), live_at(1, 7), 1);
    assert!(f.apply(first.clone()).await?.is_applied());
    assert!(f.bump(&unit(0), live_at(1, 7), 2).await?.is_applied());
    for _ in 0..2 {
        let again = f.apply(first.clone()).await?;
        let made = Some(Generation { term: 1, seq: 8 });
        let is_known =
            matches!(again, UnitOutcome::AlreadyApplied { generation } if generation == made);
        assert!(is_known, "{again:?}");
        let held = f.held(&unit(0)).await?;
        assert_eq!(held.generation.seq, 9);
        let sealed = f.control(HomeState::Sealed, 1, 9);
        f.replace(&unit(0), exactly(&held), vec![], Then::Keep, sealed).await?;
    }
    Ok(())
}

/// A trimmed journal no longer says that it tells all, and a write that saw what was before is
/// lost; nothing else changes.
pub async fn a_trimmed_journal_says_so(f: &Fixture) -> Result<()> {
    if !written(f).await? {
        return Ok(());
    }
    let late = f.increment(&unit(0), live_at(1, 4), 5);
    let before = f.unit(&unit(0)).await?;
    for _ in 0..2 {
        f.store.trim(unit(0), 6).await?;
        f.store.trim(unit(1), 6).await?;
        let told = [seqs(f, 4).await?, seqs(f, 5).await?, seqs(f, 6).await?, seqs(f, 7).await?];
        assert_eq!(told, [None, None, Some(vec![7]), Some(vec![])]);
    }
    assert_eq!(f.unit(&unit(0)).await?, before);
    assert_eq!(f.unit(&unit(1)).await?, None);
    assert!(lost(&f.apply(late).await?).is_some());
    assert!(f.bump(&unit(0), live_at(1, 6), 5).await?.is_applied());
    f.store.trim(unit(0), u64::MAX).await?;
    assert_eq!([seqs(f, 7).await?, seqs(f, 8).await?], [None, Some(vec![])]);
    Ok(())
}

/// The journal stays when the home changes, and what was written elsewhere is a gap in it.
pub async fn a_change_of_home_leaves_it(f: &Fixture) -> Result<()> {
    if !written(f).await? {
        return Ok(());
    }
    for (state, term, seq) in [
        (HomeState::Sealed, 1, 7),
        // Two writes were made elsewhere and mirrored; then the unit came back.
        (HomeState::Copy, 2, 9),
        (HomeState::Live, 3, 9),
    ] {
        let held: Guard = f.as_held(&unit(0)).await?;
        let control = f.control(state, term, seq);
        assert!(f.replace(&unit(0), held, vec![], Then::Keep, control).await?.is_applied());
    }
    assert_eq!([seqs(f, 6).await?, seqs(f, 9).await?], [None, Some(vec![])]);
    assert!(f.bump(&unit(0), live_at(3, 9), 1).await?.is_applied());
    assert_eq!([seqs(f, 6).await?, seqs(f, 9).await?], [None, Some(vec![10])]);
    assert!(lost(&f.bump(&unit(0), live_at(3, 7), 1).await?).is_some());
    Ok(())
}
