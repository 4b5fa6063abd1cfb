//! Cases of `Store::prepare`.

use futures::future;
use restow_model::HomeState;

use super::Fixture;
use super::fixture::{exactly, failed, seen, unit};
use crate::{
    Enumeration, ErrorKind, Guard, Op, RegisterName, Result, Role, Segment, Selection, StoreRecord,
    Then, WithoutControl,
};

/// Preparing twice does what once does, and loses nothing.
pub async fn twice_does_what_once_does(f: &Fixture) -> Result<()> {
    let once = f.store.prepare(Role::CopyTarget, "unused").await?;
    let records = (f.records)(1, 3);
    f.write(&unit(0), &records).await?;
    assert_eq!(f.store.prepare(Role::CopyTarget, "other").await?, once);
    assert_eq!(f.records_of(&unit(0)).await?.len(), 3);
    Ok(())
}

/// Several that prepare at once all succeed, and get the same record.
pub async fn several_at_once_agree(f: &Fixture) -> Result<()> {
    let role = if f.can().live { Role::Target } else { Role::CopyTarget };
    let ids: Vec<String> = (0..8).map(|n| format!("store-{n}")).collect();
    let records = future::try_join_all(ids.iter().map(|id| f.store.prepare(role, id))).await?;
    assert!(records.iter().all(|record| *record == records[0]), "{records:?}");
    Ok(())
}

/// The target of a copy has no id and no register: nothing says that restow was there.
pub async fn a_copy_target_bears_no_mark(f: &Fixture) -> Result<()> {
    let record = f.store.prepare(Role::CopyTarget, "unused").await?;
    assert_eq!(record, StoreRecord { id: None, without_control: WithoutControl::Legacy });
    assert_eq!(f.store.register_read(RegisterName::store()).await?, None);
    Ok(())
}

/// A store of a migration keeps the id and the role that it was given first.
pub async fn a_migration_s_store_keeps_its_record(f: &Fixture) -> Result<()> {
    let prepared = f.store.prepare(Role::Target, "first").await;
    if !f.can().live {
        assert_eq!(prepared.map_err(|e| e.kind()), Err(ErrorKind::Unsupported));
        return Ok(());
    }
    let id = Some("first".into());
    assert_eq!(prepared?, StoreRecord { id, without_control: WithoutControl::Empty });
    let again = f.store.prepare(Role::Source, "second").await?;
    assert_eq!(
        (again.id.as_deref(), again.without_control),
        (Some("first"), WithoutControl::Empty)
    );
    let kept = f.store.register_read(RegisterName::store()).await?;
    assert_eq!(kept.and_then(|(_, bytes)| StoreRecord::from_bytes(&bytes)), Some(again));
    Ok(())
}

/// A retired store refuses what an application would read or write; what is left can be scanned.
pub async fn a_retired_store_says_so(f: &Fixture) -> Result<()> {
    if !f.ready_live().await? {
        return Ok(());
    }
    f.managed(&unit(0), HomeState::Live, (1, 0)).await?;
    let held = f.held(&unit(0)).await?;
    f.retire().await?;
    let put = || vec![Op::put(f.record(1, 1))];
    let written = [
        f.run(&unit(0), exactly(&held), put(), Then::Bump).await?,
        f.run(&unit(0), Guard::LiveAt { term: 1, since: 0 }, put(), Then::Bump).await?,
        f.replace(&unit(1), Guard::Absent, put(), Then::Keep, f.control(HomeState::Live, 1, 1))
            .await?,
    ];
    for outcome in written {
        assert_eq!(failed(&outcome), Some(ErrorKind::Retired), "{outcome:?}");
    }
    for n in 0..2 {
        let read = f.read(&[unit(n)], Selection::all()).await.map(drop);
        let told = f.store.journal(unit(n), 0).await.map(|_| ());
        let trimmed = f.store.trim(unit(n), 9).await;
        for answer in [read, told, trimmed] {
            assert_eq!(answer.map_err(|e| e.kind()), Err(ErrorKind::Retired));
        }
    }
    let left = seen(&f.scan(Segment::whole(Enumeration::Units), None).await?);
    assert_eq!(left.iter().map(|u| (&u.id, u.records.len())).collect::<Vec<_>>(), [(&unit(0), 1)]);
    assert_eq!(left[0].control.as_ref(), Some(&held));
    Ok(())
}

/// At a closed store no unit begins; those that are there go on.
pub async fn a_closed_store_begins_no_unit(f: &Fixture) -> Result<()> {
    if !f.ready_live().await? {
        return Ok(());
    }
    f.managed(&unit(0), HomeState::Live, (1, 0)).await?;
    f.declare(WithoutControl::Closed).await?;
    let put = || vec![Op::put(f.record(1, 1))];
    let control = f.control(HomeState::Live, 1, 1);
    let began = f.replace(&unit(1), Guard::Absent, put(), Then::Keep, control).await?;
    assert_eq!(failed(&began), Some(ErrorKind::Retired), "{began:?}");
    let since = Guard::LiveAt { term: 1, since: 0 };
    assert!(f.run(&unit(0), since, put(), Then::Bump).await?.is_applied());
    assert_eq!(f.records_of(&unit(0)).await?.len(), 2);
    assert_eq!(f.unit(&unit(1)).await?, None);
    Ok(())
}

/// What a migration left goes; units stay, can be written as before, and may move again.
pub async fn a_released_store_is_a_plain_one(f: &Fixture) -> Result<()> {
    if !f.ready_live().await? {
        return Ok(());
    }
    f.managed(&unit(0), HomeState::Live, (1, 0)).await?;
    f.managed(&unit(1), HomeState::Live, (1, 0)).await?;
    let since = Guard::LiveAt { term: 1, since: 0 };
    assert!(f.run(&unit(1), since, vec![], Then::Tombstone).await?.is_applied());
    for _ in 0..2 {
        f.store.release().await?;
    }
    let told = f.store.journal(unit(0), 0).await?;
    assert_eq!(told.control, None);
    assert_eq!(f.listed().await?, [(unit(0), None)]);
    let put = vec![Op::put(f.record(1, 1))];
    f.done(&unit(0), Guard::Unmanaged, put, Then::Keep).await?;
    assert_eq!(f.records_of(&unit(0)).await?.len(), 2);
    let again = f.store.prepare(Role::Source, "again").await?;
    let legacy = WithoutControl::Legacy;
    assert_eq!((again.id.as_deref(), again.without_control), (Some("again"), legacy));
    f.declare(WithoutControl::Retired).await?;
    assert_eq!(f.store.release().await.map_err(|e| e.kind()), Err(ErrorKind::Retired));
    Ok(())
}
