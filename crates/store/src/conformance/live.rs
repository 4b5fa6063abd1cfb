//! Cases of control records: guards and writes of units that a migration looks after.

use futures::future;
use restow_model::{Control, Digest, Generation, HomeState, Progress, Token, UnitDigest, UnitId};

use super::Fixture;
use super::fixture::{by_key, digest, exactly, failed, lost, seen, unit};
use crate::{
    Current, Enumeration, ErrorKind, Expect, Guard, Op, Result, Segment, Stamp, Then, UnitOps,
    UnitOutcome,
};

/// Returns the guard of a write under a term that saw a seq.
pub(super) fn live_at(term: u64, since: u64) -> Guard {
    Guard::LiveAt { term, since }
}

impl Fixture {
    /// Puts a record into a unit as a write at home.
    pub(super) async fn bump(&self, unit: &UnitId, guard: Guard, seed: u64) -> Result<UnitOutcome> {
        self.apply(self.increment(unit, guard, seed)).await
    }

    /// Makes such a write, to be applied more than once.
    pub(super) fn increment(&self, unit: &UnitId, guard: Guard, seed: u64) -> UnitOps {
        let record = self.record(seed as usize, seed);
        self.ops(unit, guard, vec![Op::put(record)], Then::Bump)
    }

    /// Makes the control record of a staged copy beside no visible record.
    pub(super) fn staging(&self, token: &str, progress: Progress) -> Control {
        let state = HomeState::Staging { token: Token::new(token), base: 7, progress };
        self.control(state, 0, 0)
    }
}

/// A store without control records refuses whatever needs one.
pub async fn without_the_capability_all_is_refused(f: &Fixture) -> Result<()> {
    f.ready().await?;
    if f.can().live {
        return Ok(());
    }
    f.write(&unit(0), &[f.record(0, 1)]).await?;
    let control = f.control(HomeState::Live, 1, 0);
    let tries = [
        (live_at(1, 0), Then::Keep),
        (exactly(&control), Then::Keep),
        (Guard::Unmanaged, Then::Bump),
        (Guard::Unmanaged, Then::Tombstone),
    ];
    for (guard, then) in tries {
        let outcome = f.run(&unit(0), guard, vec![Op::Clear], then).await?;
        assert_eq!(failed(&outcome), Some(ErrorKind::Unsupported), "{outcome:?}");
    }
    let adopted = f.replace(&unit(0), Guard::Unmanaged, vec![], Then::Keep, control).await?;
    assert_eq!(failed(&adopted), Some(ErrorKind::Unsupported), "{adopted:?}");
    let told = f.store.journal(unit(0), 0).await.map(|_| ());
    for answer in [told, f.store.trim(unit(0), 9).await] {
        assert_eq!(answer.map_err(|e| e.kind()), Err(ErrorKind::Unsupported));
    }
    assert_eq!(f.records_of(&unit(0)).await?.len(), 1);
    Ok(())
}

/// A control record is kept as it was given, but for digest and operation id: those are the
/// store's. Reads, scans and the journal show the same one.
pub async fn a_control_record_is_kept(f: &Fixture) -> Result<()> {
    if !f.ready_live().await? {
        return Ok(());
    }
    let records = [f.record(0, 1)];
    for (n, state) in [HomeState::Live, HomeState::Copy, HomeState::Sealed].into_iter().enumerate()
    {
        let control = f.control(state, 3, u64::MAX);
        let put = f.ops(&unit(n), Guard::Absent, vec![Op::put(records[0].clone())], Then::Keep);
        let op_id = put.op_id.unwrap_or_default();
        let ops = UnitOps { control: Some(Box::new(control.clone())), ..put };
        assert!(f.apply(ops).await?.is_applied());
        let held = Control { digest: digest(&records), op_id, ..control };
        assert_eq!(f.held(&unit(n)).await?, held);
        assert_eq!(f.unit(&unit(n)).await?.and_then(|seen| seen.control), Some(held));
    }
    let claimed = Progress::Claimed(digest(&records));
    let stages = [Progress::Copying([0, 255].into()), claimed, Progress::Verified];
    for (n, progress) in stages.into_iter().enumerate().take(3 * usize::from(f.can().staging)) {
        let (id, control) = (unit(3 + n), f.staging("t", progress));
        let stage = Then::Stage(Token::new("t"));
        let done = f.replace(&id, Guard::Absent, vec![], stage, control.clone()).await?;
        assert!(done.is_applied(), "{done:?}");
        let held = f.held(&id).await?;
        assert_eq!(held, Control { op_id: held.op_id, ..control });
    }
    Ok(())
}

/// `Exactly` a control record compares all of it: whatever was changed since, it is lost.
pub async fn a_control_record_is_compared_whole(f: &Fixture) -> Result<()> {
    if !f.ready_live().await? {
        return Ok(());
    }
    f.managed(&unit(0), HomeState::Live, (1, 4)).await?;
    let held = f.held(&unit(0)).await?;
    let other = [
        Control { state: HomeState::Copy, ..held.clone() },
        Control { generation: Generation { term: 1, seq: 3 }, ..held.clone() },
        Control { generation: Generation { term: 0, seq: 4 }, ..held.clone() },
        Control { epoch: 2, ..held.clone() },
        Control { op_id: Digest::of(b"other"), ..held.clone() },
        Control { tombstone: true, ..held.clone() },
        Control { digest: UnitDigest::default(), ..held.clone() },
        Control { migration: "other".into(), ..held.clone() },
        Control { store: "other".into(), ..held.clone() },
        Control { counterpart: "other".into(), ..held.clone() },
    ];
    for other in other {
        let outcome = f.bump(&unit(0), exactly(&other), 1).await?;
        assert_eq!(lost(&outcome), Some(&Current::Managed(Box::new(held.clone()))));
    }
    let content = Guard::Exactly(Stamp::Content(held.digest));
    let control = f.control(HomeState::Copy, 9, 9);
    let outcome = f.replace(&unit(0), content, vec![], Then::Keep, control).await?;
    assert!(lost(&outcome).is_some(), "{outcome:?}");
    assert!(f.bump(&unit(0), exactly(&held), 1).await?.is_applied());
    assert!(lost(&f.bump(&unit(0), exactly(&held), 2).await?).is_some());
    let absent = f.bump(&unit(1), exactly(&held), 1).await?;
    assert_eq!(lost(&absent), Some(&Current::Absent));
    assert_eq!(f.held(&unit(0)).await?.generation, Generation { term: 1, seq: 5 });
    Ok(())
}

/// A control record that was made for another store, as in a clone, is refused.
pub async fn another_store_s_control_record_is_refused(f: &Fixture) -> Result<()> {
    if !f.ready_live().await? {
        return Ok(());
    }
    let control = Control { store: "store-9".into(), ..f.control(HomeState::Live, 1, 0) };
    let outcome = f.replace(&unit(0), Guard::Unmanaged, vec![], Then::Keep, control).await?;
    assert_eq!(failed(&outcome), Some(ErrorKind::Refused), "{outcome:?}");
    assert_eq!(f.unit(&unit(0)).await?, None);
    Ok(())
}

/// What makes no sense, whatever the store holds, is refused: writes and control records that come
/// under a guard which says too little.
pub async fn what_makes_no_sense_is_refused(f: &Fixture) -> Result<()> {
    if !f.ready_live().await? {
        return Ok(());
    }
    f.managed(&unit(0), HomeState::Live, (1, 4)).await?;
    let (before, held) = (f.unit(&unit(0)).await?, f.held(&unit(0)).await?);
    let put = || vec![Op::put(f.record(1, 1))];
    let later = Control { generation: Generation { term: 2, seq: 4 }, ..held.clone() };
    let token = || Token::new("t");
    let mut tries = vec![
        (exactly(&held), Then::Keep, None),
        (live_at(1, 4), Then::Keep, None),
        (Guard::Absent, Then::Bump, None),
        (Guard::Unmanaged, Then::Tombstone, None),
        (live_at(1, 4), Then::Keep, Some(&later)),
        (exactly(&held), Then::Bump, Some(&later)),
        (exactly(&held), Then::Tombstone, Some(&later)),
    ];
    let staging = f.staging("t", Progress::Verified);
    let with_copies = [
        (exactly(&held), Then::Stage(token()), None),
        (exactly(&held), Then::Keep, Some(&staging)),
        (exactly(&held), Then::Promote(token()), Some(&later)),
        (exactly(&staging), Then::Discard(Token::new("other")), Some(&later)),
        (exactly(&staging), Then::Keep, Some(&later)),
        (Guard::Staging(token()), Then::Promote(token()), Some(&later)),
    ];
    tries.extend(with_copies.into_iter().filter(|_| f.can().staging));
    for (guard, then, control) in tries {
        let ops = f.ops(&unit(0), guard, put(), then);
        let control = control.cloned().map(Box::new);
        let outcome = f.apply(UnitOps { control, ..ops }).await?;
        assert_eq!(failed(&outcome), Some(ErrorKind::Invalid), "{outcome:?}");
    }
    assert_eq!(f.unit(&unit(0)).await?, before);
    Ok(())
}

/// No control record takes a unit back, and records change only together with the generation.
pub async fn a_unit_only_goes_forward(f: &Fixture) -> Result<()> {
    if !f.ready_live().await? {
        return Ok(());
    }
    f.managed(&unit(0), HomeState::Copy, (2, 4)).await?;
    let (before, held) = (f.unit(&unit(0)).await?, f.held(&unit(0)).await?);
    let put = || vec![Op::put(f.record(1, 1))];
    for (ops, term, seq) in [(vec![], 2, 3), (vec![], 1, 9), (put(), 2, 4), (put(), 1, 9)] {
        let control = f.control(HomeState::Copy, term, seq);
        let outcome = f.replace(&unit(0), exactly(&held), ops, Then::Keep, control).await?;
        assert_eq!(failed(&outcome), Some(ErrorKind::Invalid), "{term} {seq} {outcome:?}");
    }
    let empty = f.control(HomeState::Copy, 0, 0);
    let outcome = f.replace(&unit(1), Guard::Absent, put(), Then::Keep, empty).await?;
    assert_eq!(failed(&outcome), Some(ErrorKind::Invalid), "{outcome:?}");
    assert_eq!(f.unit(&unit(0)).await?, before);
    let sealed = f.control(HomeState::Sealed, 2, 4);
    let outcome = f.replace(&unit(0), exactly(&held), vec![], Then::Keep, sealed).await?;
    assert!(outcome.is_applied(), "{outcome:?}");
    Ok(())
}

/// A unit gets its first control record once, with the digest of what it holds, or of nothing.
pub async fn a_unit_is_adopted_once(f: &Fixture) -> Result<()> {
    f.ready().await?;
    let records = (f.records)(1, 3);
    f.write(&unit(0), &records).await?;
    if !f.ready_live().await? {
        return Ok(());
    }
    for (n, held) in [&records[..], &[]].into_iter().enumerate() {
        let (id, seq) = (unit(n), u64::from(!held.is_empty()));
        let adopt = || {
            let control = f.control(HomeState::Live, 1, seq);
            f.replace(&id, Guard::Unmanaged, vec![], Then::Keep, control)
        };
        let outcomes = future::try_join_all([adopt(), adopt()]).await?;
        assert_eq!(outcomes.iter().filter(|o| o.is_applied()).count(), 1, "{outcomes:?}");
        let control = f.held(&id).await?;
        let generation = Generation { term: 1, seq };
        assert_eq!((control.digest, control.generation), (digest(held), generation));
        assert_eq!(f.records_of(&id).await?, by_key(held));
    }
    Ok(())
}

/// `LiveAt` a term holds for the authority under that term, whatever the seq; a seq that it has
/// not come to does not hold.
pub async fn a_term_is_compared(f: &Fixture) -> Result<()> {
    if !f.ready_live().await? {
        return Ok(());
    }
    f.managed(&unit(0), HomeState::Live, (2, 9)).await?;
    f.managed(&unit(1), HomeState::Copy, (2, 9)).await?;
    for seed in 1..4 {
        let outcome = f.bump(&unit(0), live_at(2, 9), seed).await?;
        assert!(outcome.is_applied(), "{outcome:?}");
    }
    for (n, term, since) in [(0, 1, 12), (0, 3, 12), (0, 2, 13), (1, 2, 9), (2, 2, 0)] {
        let outcome = f.bump(&unit(n), live_at(term, since), 1).await?;
        assert!(lost(&outcome).is_some(), "{outcome:?}");
    }
    assert_eq!(f.held(&unit(0)).await?.generation, Generation { term: 2, seq: 12 });
    Ok(())
}

/// Only the authority is written to: `Bump` and `Tombstone` of a sealed unit or of a replica are
/// lost, even exactly as it was seen.
pub async fn a_sealed_unit_takes_no_write(f: &Fixture) -> Result<()> {
    if !f.ready_live().await? {
        return Ok(());
    }
    f.managed(&unit(0), HomeState::Live, (1, 4)).await?;
    let (held, sealed) = (f.as_held(&unit(0)).await?, f.control(HomeState::Sealed, 1, 4));
    assert!(f.replace(&unit(0), held, vec![], Then::Keep, sealed).await?.is_applied());
    f.managed(&unit(1), HomeState::Copy, (1, 4)).await?;
    for n in 0..2 {
        let (before, held) = (f.unit(&unit(n)).await?, f.as_held(&unit(n)).await?);
        for (guard, then) in [
            (held.clone(), Then::Bump),
            (held, Then::Tombstone),
            (live_at(1, 4), Then::Bump),
            (live_at(1, 4), Then::Tombstone),
        ] {
            let put = vec![Op::put(f.record(1, 1))];
            let outcome = f.run(&unit(n), guard, put, then).await?;
            assert!(matches!(lost(&outcome), Some(Current::Managed(_))), "{outcome:?}");
        }
        assert_eq!(f.unit(&unit(n)).await?, before);
    }
    Ok(())
}

/// Behind every write the control record has the digest of what is there, also of what nobody can
/// read: it is kept by difference.
pub async fn a_write_keeps_the_digest_by_difference(f: &Fixture) -> Result<()> {
    if !f.ready_live().await? {
        return Ok(());
    }
    f.managed(&unit(0), HomeState::Live, (1, 0)).await?;
    let (first, other, changed) = (f.record(0, 1), f.record(3, 1), f.record(3, 2));
    if let Some(damage) = &f.damage {
        damage(unit(0), first.key.clone()).await;
    }
    let remove = Op::Remove { key: other.key.clone(), expect: Expect::Any };
    let steps = [
        (Op::put(other.clone()), vec![first.clone(), other]),
        (Op::put(changed.clone()), vec![first.clone(), changed.clone()]),
        (Op::put(changed.clone()), vec![first.clone(), changed]),
        (remove, vec![first]),
        (Op::Clear, vec![]),
    ];
    for (n, (op, now)) in steps.into_iter().enumerate() {
        f.done(&unit(0), live_at(1, n as u64), vec![op], Then::Bump).await?;
        let held = f.held(&unit(0)).await?;
        assert_eq!((held.digest, held.generation.seq), (digest(&now), n as u64 + 1), "step {n}");
    }
    Ok(())
}

/// A tombstone is a write: the records go, the control record stays and says so, until a later
/// write puts a record again.
pub async fn a_tombstone_stays(f: &Fixture) -> Result<()> {
    if !f.ready_live().await? {
        return Ok(());
    }
    f.managed(&unit(0), HomeState::Live, (1, 4)).await?;
    f.done(&unit(0), live_at(1, 4), vec![], Then::Tombstone).await?;
    assert_eq!(f.unit(&unit(0)).await?.map(|s| s.records.len()), Some(0));
    let held = f.held(&unit(0)).await?;
    assert_eq!((held.tombstone, held.generation.seq, held.digest), (true, 5, digest(&[])));
    assert_eq!(f.listed().await?, [(unit(0), Some(held.clone()))]);
    let scanned = seen(&f.scan(Segment::whole(Enumeration::Units), None).await?);
    assert_eq!(scanned.iter().map(|seen| &seen.id).collect::<Vec<_>>(), [&unit(0)]);
    let control = f.control(HomeState::Live, 9, 0);
    for guard in [Guard::Absent, Guard::Unmanaged] {
        let absent = f.replace(&unit(0), guard, vec![], Then::Keep, control.clone()).await?;
        assert!(lost(&absent).is_some(), "a removed unit is there");
    }
    assert!(f.bump(&unit(0), exactly(&held), 1).await?.is_applied());
    assert!(!f.held(&unit(0)).await?.tombstone);
    Ok(())
}

/// Two conditional increments at once are both applied, and both are counted.
pub async fn of_two_increments_both_count(f: &Fixture) -> Result<()> {
    if !f.ready_live().await? {
        return Ok(());
    }
    f.managed(&unit(0), HomeState::Live, (1, 0)).await?;
    let id = unit(0);
    let bump = |seed| f.bump(&id, live_at(1, 0), seed);
    let outcomes = future::try_join_all([bump(1), bump(2)]).await?;
    assert!(outcomes.iter().all(|o| o.is_applied()), "{outcomes:?}");
    let records = [f.record(0, 1), f.record(1, 1), f.record(2, 2)];
    let held = f.held(&unit(0)).await?;
    assert_eq!((held.generation.seq, held.digest), (2, digest(&records)));
    assert_eq!(f.records_of(&unit(0)).await?, by_key(&records));
    Ok(())
}

/// Of two that change at once what both saw, exactly one wins, be it a write or a seal.
pub async fn of_two_that_saw_the_same_one_wins(f: &Fixture) -> Result<()> {
    if !f.ready_live().await? {
        return Ok(());
    }
    for n in 0..2 {
        let id = unit(n);
        f.managed(&id, HomeState::Live, (1, 0)).await?;
        let (held, sealed) = (f.as_held(&id).await?, f.control(HomeState::Sealed, 1, 0));
        let write = f.bump(&id, held.clone(), 1);
        let (one, other) = match n {
            0 => future::try_join(write, f.bump(&id, held, 2)).await?,
            _ => {
                let seal = f.replace(&id, held, vec![], Then::Keep, sealed);
                future::try_join(write, seal).await?
            }
        };
        assert!(one.is_applied() != other.is_applied(), "{one:?}, {other:?}");
        let written = n == 0 || one.is_applied();
        assert_eq!(f.held(&id).await?.generation.seq, u64::from(written));
    }
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
