//! Cases of control records: guards and outcomes of units that a migration looks after.

use futures::future;
use restow_model::{Control, Generation, HomeState, UnitId};

use super::Fixture;
use super::fixture::{by_key, digest, failed, lost, unit};
use crate::{Current, ErrorKind, Guard, Journal, Op, Result, Stamp, Then, UnitOps, UnitOutcome};

fn at(term: u64, seq: u64) -> Guard {
    Guard::Exactly(Stamp::Generation(Generation { term, seq }))
}

fn after(term: u64, seq: u64) -> Guard {
    Guard::After(Generation { term, seq })
}

impl Fixture {
    async fn control_of(&self, unit: &UnitId) -> Result<Option<Control>> {
        Ok(self.unit(unit).await?.and_then(|seen| seen.control))
    }

    /// Puts a record into a unit, notes it in the journal and raises the seq.
    async fn bump(&self, unit: &UnitId, guard: Guard, seed: u64) -> Result<UnitOutcome> {
        self.apply(self.increment(unit, guard, seed)).await
    }

    fn increment(&self, unit: &UnitId, guard: Guard, seed: u64) -> UnitOps {
        let record = self.record(seed as usize, seed);
        let journal = Some(Journal { put: vec![record.key.clone()], removed: vec![] });
        UnitOps { journal, ..self.ops(unit, guard, vec![Op::put(record)], Then::Bump) }
    }

    fn set(&self, state: HomeState, term: u64, seq: u64) -> Then {
        Then::Set(Box::new(self.control(state, term, seq)))
    }
}

/// A store without control records refuses whatever needs one.
pub async fn without_the_capability_all_is_refused(f: &Fixture) -> Result<()> {
    f.ready().await?;
    if f.can().live {
        return Ok(());
    }
    f.write(&unit(0), &[f.record(0, 1)]).await?;
    let set = f.set(HomeState::Live, 1, 0);
    let tries = [
        (Guard::LiveAt(1), Then::Keep),
        (at(1, 0), Then::Keep),
        (after(1, 0), Then::Keep),
        (Guard::Unmanaged, Then::Bump),
        (Guard::Unmanaged, Then::Tombstone),
        (Guard::Unmanaged, set),
    ];
    for (guard, then) in tries {
        let outcome = f.run(&unit(0), guard, vec![Op::Clear], then).await?;
        assert_eq!(failed(&outcome), Some(ErrorKind::Unsupported), "{outcome:?}");
    }
    assert_eq!(f.records_of(&unit(0)).await?.len(), 1);
    Ok(())
}

/// A control record is kept as it was set, but for digest and operation id: those are the store's.
pub async fn a_control_record_is_kept(f: &Fixture) -> Result<()> {
    if !f.ready_live().await? {
        return Ok(());
    }
    let cursor = vec![0, 1, 255].into_boxed_slice();
    let staging = HomeState::Staging { token: restow_model::Token::new("t"), base: 7, cursor };
    let records = [f.record(0, 1)];
    for (n, state) in
        [HomeState::Live, HomeState::Copy, HomeState::Sealed, staging].into_iter().enumerate()
    {
        let control = f.control(state, 3, u64::MAX);
        let put = vec![Op::put(records[0].clone())];
        let ops = f.ops(&unit(n), Guard::Absent, put, Then::Set(Box::new(control.clone())));
        let op_id = ops.op_id.unwrap_or_default();
        assert!(f.apply(ops).await?.is_applied());
        let held = f.control_of(&unit(n)).await?;
        assert_eq!(held, Some(Control { digest: digest(&records), op_id, ..control }));
    }
    Ok(())
}

/// `Exactly` a generation holds until the next write, which raises the seq by one.
pub async fn a_generation_is_compared(f: &Fixture) -> Result<()> {
    if !f.ready_live().await? {
        return Ok(());
    }
    f.managed(&unit(0), HomeState::Live, (1, 4)).await?;
    assert!(f.bump(&unit(0), at(1, 4), 1).await?.is_applied());
    let stale = f.bump(&unit(0), at(1, 4), 2).await?;
    let held = f.control_of(&unit(0)).await?;
    assert_eq!(held.as_ref().map(|c| c.generation), Some(Generation { term: 1, seq: 5 }));
    let records = [f.record(0, 1), f.record(1, 1)];
    assert_eq!(held.as_ref().map(|c| c.digest), Some(digest(&records)));
    assert_eq!(lost(&stale), held.map(|c| Current::Managed(Box::new(c))).as_ref());
    let absent = f.bump(&unit(1), at(0, 0), 1).await?;
    assert_eq!(lost(&absent), Some(&Current::Absent));
    Ok(())
}

/// `LiveAt` a term holds for the authority under that term, whatever the seq.
pub async fn a_term_is_compared(f: &Fixture) -> Result<()> {
    if !f.ready_live().await? {
        return Ok(());
    }
    f.managed(&unit(0), HomeState::Live, (2, 9)).await?;
    f.managed(&unit(1), HomeState::Copy, (2, 9)).await?;
    for seed in 1..4 {
        let outcome = f.bump(&unit(0), Guard::LiveAt(2), seed).await?;
        assert!(outcome.is_applied(), "{outcome:?}");
    }
    for (n, term) in [(0, 1), (0, 3), (1, 2), (2, 2)] {
        let outcome = f.bump(&unit(n), Guard::LiveAt(term), 1).await?;
        assert!(lost(&outcome).is_some(), "{outcome:?}");
    }
    let held = f.control_of(&unit(0)).await?.map(|c| c.generation);
    assert_eq!(held, Some(Generation { term: 2, seq: 12 }));
    let replica = f.run(&unit(1), Guard::LiveAt(2), vec![], f.set(HomeState::Live, 9, 9)).await?;
    assert!(lost(&replica).is_some(), "{replica:?}");
    Ok(())
}

/// `After` holds for an absent unit and for an older replica; never for the authority, nor for a
/// unit that was there before any migration.
pub async fn a_replica_only_goes_forward(f: &Fixture) -> Result<()> {
    f.ready().await?;
    f.write(&unit(3), &[f.record(0, 1)]).await?;
    if !f.ready_live().await? {
        return Ok(());
    }
    let mirror = |n, term, seq| {
        let put = vec![Op::put(f.record(0, seq))];
        let set = f.set(HomeState::Copy, term, seq);
        async move { f.run(&unit(n), after(term, seq), put, set).await }
    };
    assert!(mirror(0, 1, 5).await?.is_applied());
    assert!(mirror(0, 1, 6).await?.is_applied());
    for (term, seq) in [(1, 6), (1, 2), (0, 9)] {
        assert!(lost(&mirror(0, term, seq).await?).is_some(), "{term}, {seq}");
    }
    assert!(mirror(0, 2, 0).await?.is_applied());
    f.managed(&unit(1), HomeState::Live, (1, 0)).await?;
    assert!(lost(&mirror(1, 9, 9).await?).is_some());
    f.managed(&unit(2), HomeState::Sealed, (1, 0)).await?;
    assert!(mirror(2, 2, 1).await?.is_applied());
    assert!(matches!(lost(&mirror(3, 9, 9).await?), Some(Current::Unmanaged(_))));
    Ok(())
}

/// Only the authority is written to: `Bump` and `Tombstone` of a sealed unit or of a replica are
/// lost, even at the very generation.
pub async fn a_sealed_unit_takes_no_write(f: &Fixture) -> Result<()> {
    if !f.ready_live().await? {
        return Ok(());
    }
    f.managed(&unit(0), HomeState::Live, (1, 4)).await?;
    f.done(&unit(0), at(1, 4), vec![], f.set(HomeState::Sealed, 1, 4)).await?;
    f.managed(&unit(1), HomeState::Copy, (1, 4)).await?;
    for n in 0..2 {
        let before = f.unit(&unit(n)).await?;
        for then in [Then::Bump, Then::Tombstone] {
            let put = vec![Op::put(f.record(1, 1))];
            let outcome = f.run(&unit(n), at(1, 4), put, then).await?;
            assert!(matches!(lost(&outcome), Some(Current::Managed(_))), "{outcome:?}");
        }
        assert_eq!(f.unit(&unit(n)).await?, before);
    }
    Ok(())
}

/// Records of a unit with a control record do not change while its generation stays; a unit
/// without one has no generation to raise.
pub async fn records_never_change_under_a_generation(f: &Fixture) -> Result<()> {
    if !f.ready_live().await? {
        return Ok(());
    }
    f.managed(&unit(0), HomeState::Live, (1, 4)).await?;
    let put = || vec![Op::put(f.record(1, 1))];
    let kept = f.run(&unit(0), at(1, 4), put(), Then::Keep).await?;
    assert_eq!(failed(&kept), Some(ErrorKind::Invalid), "{kept:?}");
    for then in [Then::Bump, Then::Tombstone] {
        let outcome = f.run(&unit(1), Guard::Absent, put(), then).await?;
        assert_eq!(failed(&outcome), Some(ErrorKind::Invalid), "{outcome:?}");
    }
    let journal = Some(Journal { put: vec![f.record(1, 1).key], removed: vec![] });
    let ops = f.ops(&unit(0), at(1, 4), vec![], Then::Keep);
    let noted = f.apply(UnitOps { journal, ..ops }).await?;
    assert_eq!(failed(&noted), Some(ErrorKind::Invalid), "{noted:?}");
    assert_eq!(f.records_of(&unit(0)).await?.len(), 1);
    Ok(())
}

/// A tombstone is a write: the records go, the control record stays and says so, until a later
/// write puts a record again.
pub async fn a_tombstone_stays(f: &Fixture) -> Result<()> {
    if !f.ready_live().await? {
        return Ok(());
    }
    f.managed(&unit(0), HomeState::Live, (1, 4)).await?;
    f.done(&unit(0), at(1, 4), vec![], Then::Tombstone).await?;
    let seen = f.unit(&unit(0)).await?;
    assert_eq!(seen.as_ref().map(|s| s.records.len()), Some(0));
    let told = seen.and_then(|s| s.control).map(|c| (c.tombstone, c.generation.seq, c.digest));
    assert_eq!(told, Some((true, 5, digest(&[]))));
    let absent = f.bump(&unit(0), Guard::Absent, 1).await?;
    assert!(lost(&absent).is_some(), "a deleted unit is there");
    assert!(f.bump(&unit(0), at(1, 5), 1).await?.is_applied());
    assert_eq!(f.control_of(&unit(0)).await?.map(|c| c.tombstone), Some(false));
    Ok(())
}

/// Two conditional increments at once are both applied, and both are counted.
pub async fn of_two_increments_both_count(f: &Fixture) -> Result<()> {
    if !f.ready_live().await? {
        return Ok(());
    }
    f.managed(&unit(0), HomeState::Live, (1, 0)).await?;
    let id = unit(0);
    let bump = |seed| f.bump(&id, Guard::LiveAt(1), seed);
    let outcomes = future::try_join_all([bump(1), bump(2)]).await?;
    assert!(outcomes.iter().all(|o| o.is_applied()), "{outcomes:?}");
    let records = [f.record(0, 1), f.record(1, 1), f.record(2, 2)];
    let held = f.control_of(&unit(0)).await?.map(|c| (c.generation.seq, c.digest));
    assert_eq!(held, Some((2, digest(&records))));
    assert_eq!(f.records_of(&unit(0)).await?, by_key(&records));
    Ok(())
}

/// An operation that the journal holds is recognised behind later ones, and not applied again.
pub async fn the_journal_recognises_an_operation(f: &Fixture) -> Result<()> {
    if !f.ready_live().await? {
        return Ok(());
    }
    f.managed(&unit(0), HomeState::Live, (1, 0)).await?;
    let first = f.increment(&unit(0), Guard::LiveAt(1), 1);
    assert!(f.apply(first.clone()).await?.is_applied());
    assert!(f.bump(&unit(0), Guard::LiveAt(1), 2).await?.is_applied());
    let again = f.apply(first).await?;
    assert!(matches!(again, UnitOutcome::AlreadyApplied), "{again:?}");
    assert_eq!(f.control_of(&unit(0)).await?.map(|c| c.generation.seq), Some(2));
    Ok(())
}

/// Of two that write at once at a generation that both saw, exactly one wins.
pub async fn of_two_writers_at_a_generation_one_wins(f: &Fixture) -> Result<()> {
    if !f.ready_live().await? {
        return Ok(());
    }
    f.managed(&unit(0), HomeState::Live, (1, 0)).await?;
    let id = unit(0);
    let bump = |seed| f.bump(&id, at(1, 0), seed);
    let outcomes = future::try_join_all([bump(1), bump(2)]).await?;
    let won = outcomes.iter().filter(|o| o.is_applied()).count();
    assert_eq!(won, 1, "{outcomes:?}");
    assert_eq!(f.control_of(&unit(0)).await?.map(|c| c.generation.seq), Some(1));
    Ok(())
}

/// A store that takes part in a migration refuses what a copy would write.
pub async fn a_migration_s_store_takes_no_copy(f: &Fixture) -> Result<()> {
    if !f.ready_live().await? {
        return Ok(());
    }
    let put = vec![Op::put(f.record(0, 1))];
    let outcome = f.run(&unit(0), Guard::Unmanaged, put, Then::Keep).await?;
    assert_eq!(failed(&outcome), Some(ErrorKind::Refused), "{outcome:?}");
    assert_eq!(f.unit(&unit(0)).await?, None);
    Ok(())
}
