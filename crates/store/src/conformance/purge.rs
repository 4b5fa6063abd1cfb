//! Cases of `Store::purge`.

use restow_model::{HomeState, Token};

use super::Fixture;
use super::fixture::{digest, unit};
use crate::{Enumeration, ErrorKind, Guard, Op, Purged, Result, Segment, Selection, Stamp, Then};

/// A purged unit leaves no record, no control record and no staged copy.
pub async fn a_unit_goes_with_all_that_is_its(f: &Fixture) -> Result<()> {
    f.ready().await?;
    let records = (f.records)(1, 3);
    f.write(&unit(0), &records).await?;
    f.write(&unit(1), &records).await?;
    let token = Token::new("t");
    if f.can().staging {
        let ops = vec![Op::put(f.record(0, 2))];
        f.done(&unit(0), Guard::Unmanaged, ops, Then::Stage(token.clone())).await?;
    }
    let stamp = Stamp::Content(digest(&records));
    assert_eq!(f.store.purge(unit(0), stamp).await?, Purged::Removed(3));
    assert_eq!(f.unit(&unit(0)).await?, None);
    assert_eq!(f.read(&[unit(0)], Selection::staged(token)).await?, []);
    assert_eq!(f.records_of(&unit(1)).await?.len(), 3);
    Ok(())
}

/// A unit that is not as it was seen stays as it is.
pub async fn a_unit_that_changed_stays(f: &Fixture) -> Result<()> {
    f.ready().await?;
    let records = (f.records)(1, 3);
    f.write(&unit(0), &records).await?;
    let stamp = Stamp::Content(digest(&records[..2]));
    assert_eq!(f.store.purge(unit(0), stamp).await?, Purged::Lost);
    assert_eq!(f.records_of(&unit(0)).await?.len(), 3);
    Ok(())
}

/// Only a retired store lets a control record go, and then just the one that was seen; before that
/// a store of a migration lets nothing go.
pub async fn a_control_record_goes_from_a_retired_store(f: &Fixture) -> Result<()> {
    f.ready().await?;
    let records = [f.record(0, 1)];
    f.write(&unit(1), &records).await?;
    let none = Stamp::Control(Box::new(f.control(HomeState::Live, 1, 4)));
    if !f.ready_live().await? {
        let refused = f.store.purge(unit(1), none).await.map_err(|e| e.kind());
        assert_eq!(refused, Err(ErrorKind::Unsupported));
        return Ok(());
    }
    f.managed(&unit(0), HomeState::Live, (1, 4)).await?;
    let held = Stamp::Control(Box::new(f.held(&unit(0)).await?));
    let content = Stamp::Content(digest(&records));
    for (n, stamp) in [(0, &held), (1, &content)] {
        let refused = f.store.purge(unit(n), stamp.clone()).await.map_err(|e| e.kind());
        assert_eq!(refused, Err(ErrorKind::Refused));
    }
    f.retire().await?;
    for stamp in [none, content.clone()] {
        assert_eq!(f.store.purge(unit(0), stamp).await?, Purged::Lost);
    }
    let purged = [f.store.purge(unit(0), held).await?, f.store.purge(unit(1), content).await?];
    // A repetition after a lost answer finds what it removed.
    assert!(purged.iter().all(|p| [Purged::Removed(1), Purged::Absent].contains(p)), "{purged:?}");
    assert_eq!(f.scan(Segment::whole(Enumeration::Units), None).await?, []);
    Ok(())
}

/// Purging a unit that is not there says so.
pub async fn an_absent_unit_is_told(f: &Fixture) -> Result<()> {
    f.ready().await?;
    let stamp = Stamp::Content(digest(&[]));
    assert_eq!(f.store.purge(unit(0), stamp).await?, Purged::Absent);
    Ok(())
}
