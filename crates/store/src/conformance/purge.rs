//! Cases of `Store::purge`.

use restow_model::{Generation, HomeState, Token};

use super::Fixture;
use super::fixture::{digest, unit};
use crate::{Guard, Op, Purged, Result, Selection, Stamp, Then};

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
    if f.ready_live().await? {
        f.managed(&unit(1), HomeState::Live, (1, 4)).await?;
        let stamp = |seq| Stamp::Generation(Generation { term: 1, seq });
        assert_eq!(f.store.purge(unit(1), stamp(3)).await?, Purged::Lost);
        assert_eq!(f.store.purge(unit(1), stamp(4)).await?, Purged::Removed(1));
    }
    Ok(())
}

/// Purging a unit that is not there says so.
pub async fn an_absent_unit_is_told(f: &Fixture) -> Result<()> {
    f.ready().await?;
    let stamp = Stamp::Content(digest(&[]));
    assert_eq!(f.store.purge(unit(0), stamp).await?, Purged::Absent);
    Ok(())
}
