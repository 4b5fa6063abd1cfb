//! Cases of the guards that need no control record.

use futures::future;
use restow_model::HomeState;

use super::Fixture;
use super::fixture::{by_key, digest, lost, unit};
use crate::{Current, Guard, Op, Result, Stamp, Then};

/// `Absent` holds until the unit is there.
pub async fn absent_holds_once(f: &Fixture) -> Result<()> {
    f.ready().await?;
    let put = |seed| vec![Op::put(f.record(0, seed))];
    f.done(&unit(0), Guard::Absent, put(1), Then::Keep).await?;
    let second = f.run(&unit(0), Guard::Absent, put(2), Then::Keep).await?;
    assert!(matches!(lost(&second), Some(Current::Unmanaged(_))), "{second:?}");
    Ok(())
}

/// `Unmanaged` holds for a unit with records or without, as long as it has no control record.
pub async fn unmanaged_holds_without_control_record(f: &Fixture) -> Result<()> {
    f.ready().await?;
    let put = |seed| vec![Op::put(f.record(0, seed))];
    f.done(&unit(0), Guard::Unmanaged, put(1), Then::Keep).await?;
    f.done(&unit(0), Guard::Unmanaged, put(2), Then::Keep).await?;
    if f.ready_live().await? {
        f.managed(&unit(1), HomeState::Live, (1, 0)).await?;
        let control = f.control(HomeState::Copy, 2, 0);
        let outcome = f.replace(&unit(1), Guard::Unmanaged, vec![], Then::Keep, control).await?;
        assert!(matches!(lost(&outcome), Some(Current::Managed(_))), "{outcome:?}");
        assert_eq!(f.records_of(&unit(1)).await?, by_key(&[f.record(0, 1)]));
    }
    Ok(())
}

/// `Exactly` a content holds while the unit's records have that digest; nothing has none.
pub async fn content_is_compared(f: &Fixture) -> Result<()> {
    f.ready().await?;
    let records = (f.records)(1, 4);
    f.write(&unit(0), &records).await?;
    let at = |records| Guard::Exactly(Stamp::Content(digest(records)));
    let id = unit(0);
    let change = |guard| f.run(&id, guard, vec![Op::put(f.record(0, 2))], Then::Keep);
    let stale = change(at(&records[..3])).await?;
    assert!(matches!(lost(&stale), Some(Current::Unmanaged(_))), "{stale:?}");
    assert!(change(at(&records)).await?.is_applied());
    assert!(lost(&change(at(&records)).await?).is_some());
    let absent = f.run(&unit(1), at(&[]), vec![Op::put(f.record(0, 2))], Then::Keep).await?;
    assert_eq!(lost(&absent), Some(&Current::Absent));
    // Residue counts: a stamp is of everything that reads back.
    let mut residue = (f.records)(1, 3);
    f.write(&unit(2), &residue).await?;
    residue[2].residue.clear();
    let outcome = f.run(&unit(2), at(&residue), vec![Op::Clear], Then::Keep).await?;
    assert!(lost(&outcome).is_some(), "{outcome:?}");
    Ok(())
}

/// Of two that write at once to a unit that both saw, exactly one wins.
pub async fn of_two_writers_one_wins(f: &Fixture) -> Result<()> {
    f.ready().await?;
    let seen = f.record(0, 1);
    f.write(&unit(0), std::slice::from_ref(&seen)).await?;
    for (n, guard) in
        [Guard::Exactly(Stamp::Content(digest(&[seen]))), Guard::Absent].into_iter().enumerate()
    {
        let id = unit(n);
        let write = |seed| f.run(&id, guard.clone(), vec![Op::put(f.record(0, seed))], Then::Keep);
        let outcomes = future::try_join_all([write(2), write(3)]).await?;
        let won: Vec<_> = outcomes.iter().map(|o| o.is_applied()).collect();
        assert!(won[0] != won[1], "{outcomes:?}");
        let seed = if won[0] { 2 } else { 3 };
        assert_eq!(f.records_of(&unit(n)).await?, by_key(&[f.record(0, seed)]));
    }
    Ok(())
}

/// Where the guard does not hold nothing changes, whatever the operations.
pub async fn a_lost_guard_changes_nothing(f: &Fixture) -> Result<()> {
    f.ready().await?;
    f.write(&unit(0), &(f.records)(1, 3)).await?;
    let before = f.unit(&unit(0)).await?;
    for op in [Op::Clear, Op::put(f.record(2, 2))] {
        let outcome = f.run(&unit(0), Guard::Absent, vec![op], Then::Keep).await?;
        assert!(lost(&outcome).is_some(), "{outcome:?}");
    }
    assert_eq!(f.unit(&unit(0)).await?, before);
    Ok(())
}
