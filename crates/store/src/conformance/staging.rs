//! Cases of staged copies: what is too large for one apply, and what is not yet to be seen.

use restow_model::{Record, Token, UnitId};

use super::Fixture;
use super::fixture::{by_key, failed, lost, seen, unit};
use crate::{Current, Enumeration, ErrorKind, Guard, Op, Result, Segment, Selection, Then};

fn token(text: &str) -> Token {
    Token::new(text)
}

fn staging(text: &str) -> Guard {
    Guard::Staging(token(text))
}

impl Fixture {
    async fn stage(&self, unit: &UnitId, records: &[Record], text: &str) -> Result<()> {
        self.put(unit, records, &Guard::Unmanaged, &Then::Stage(token(text))).await
    }

    async fn staged(&self, unit: &UnitId, text: &str) -> Result<Option<Vec<Record>>> {
        let units = self.read(std::slice::from_ref(unit), Selection::staged(token(text))).await?;
        Ok(units.into_iter().next().map(|seen| seen.records))
    }
}

/// A store that stages nothing refuses whatever would.
pub async fn without_the_capability_all_is_refused(f: &Fixture) -> Result<()> {
    f.ready().await?;
    if f.can().staging {
        return Ok(());
    }
    let tries = [
        (Guard::Unmanaged, Then::Stage(token("t"))),
        (staging("t"), Then::Promote(token("t"))),
        (staging("t"), Then::Discard(token("t"))),
        (staging("t"), Then::Keep),
    ];
    for (guard, then) in tries {
        let outcome = f.run(&unit(0), guard, vec![Op::put(f.record(0, 1))], then).await?;
        assert_eq!(failed(&outcome), Some(ErrorKind::Unsupported), "{outcome:?}");
    }
    assert_eq!(f.unit(&unit(0)).await?, None);
    Ok(())
}

/// Only a read under its token sees a staged copy: no other read, no scan.
pub async fn a_staged_copy_is_invisible(f: &Fixture) -> Result<()> {
    f.ready().await?;
    if !f.can().staging {
        return Ok(());
    }
    f.write(&unit(0), &[f.record(0, 1)]).await?;
    let records = (f.records)(2, 9);
    for n in 0..2 {
        f.stage(&unit(n), &records, "t").await?;
        assert_eq!(f.staged(&unit(n), "t").await?, Some(by_key(&records)));
        assert_eq!(f.staged(&unit(n), "other").await?, None);
    }
    assert_eq!(f.records_of(&unit(0)).await?, by_key(&[f.record(0, 1)]));
    assert_eq!(f.unit(&unit(1)).await?, None);
    for by in [Enumeration::Units, Enumeration::Storage] {
        let units = seen(&f.scan(Segment::whole(by), None).await?);
        let records: usize = units.iter().map(|unit| unit.records.len()).sum();
        assert_eq!((units.len(), records), (1, 1), "by {by:?}");
    }
    Ok(())
}

/// A promoted copy replaces the unit's records, all of them, and is no longer staged.
pub async fn a_promoted_copy_is_the_unit(f: &Fixture) -> Result<()> {
    f.ready().await?;
    if !f.can().staging {
        return Ok(());
    }
    f.write(&unit(0), &(f.records)(1, 12)).await?;
    let records = (f.records)(2, 9);
    for n in 0..2 {
        f.stage(&unit(n), &records[..4], "t").await?;
        f.put(&unit(n), &records[4..], &staging("t"), &Then::Stage(token("t"))).await?;
        f.done(&unit(n), staging("t"), vec![], Then::Promote(token("t"))).await?;
        assert_eq!(f.records_of(&unit(n)).await?, by_key(&records));
        assert_eq!(f.staged(&unit(n), "t").await?, None);
    }
    Ok(())
}

/// Staging under another token discards what was staged; under the same it goes on.
pub async fn another_token_begins_again(f: &Fixture) -> Result<()> {
    f.ready().await?;
    if !f.can().staging {
        return Ok(());
    }
    let records = (f.records)(1, 6);
    f.stage(&unit(0), &records[..2], "a").await?;
    f.stage(&unit(0), &records[2..4], "a").await?;
    assert_eq!(f.staged(&unit(0), "a").await?, Some(by_key(&records[..4])));
    f.stage(&unit(0), &records[4..], "b").await?;
    assert_eq!(f.staged(&unit(0), "a").await?, None);
    assert_eq!(f.staged(&unit(0), "b").await?, Some(by_key(&records[4..])));
    let old = f.run(&unit(0), staging("a"), vec![], Then::Promote(token("a"))).await?;
    assert_eq!(lost(&old), Some(&Current::Absent));
    Ok(())
}

/// A discarded copy is gone, and the unit is as it was.
pub async fn a_discarded_copy_is_gone(f: &Fixture) -> Result<()> {
    f.ready().await?;
    if !f.can().staging {
        return Ok(());
    }
    f.write(&unit(0), &[f.record(0, 1)]).await?;
    f.stage(&unit(0), &(f.records)(2, 3), "t").await?;
    f.done(&unit(0), staging("t"), vec![], Then::Discard(token("t"))).await?;
    assert_eq!(f.staged(&unit(0), "t").await?, None);
    assert_eq!(f.records_of(&unit(0)).await?, by_key(&[f.record(0, 1)]));
    let gone = f.run(&unit(0), staging("t"), vec![], Then::Promote(token("t"))).await?;
    assert_eq!(lost(&gone), Some(&Current::Absent));
    Ok(())
}

/// What was true of the unit when it was staged has to be true when it is promoted; the staged copy
/// stays where it is not.
pub async fn the_guard_is_checked_again_on_promotion(f: &Fixture) -> Result<()> {
    f.ready().await?;
    if !f.can().staging {
        return Ok(());
    }
    let records = (f.records)(2, 3);
    f.put(&unit(0), &records, &Guard::Absent, &Then::Stage(token("t"))).await?;
    f.write(&unit(0), &[f.record(0, 1)]).await?;
    let outcome = f.run(&unit(0), staging("t"), vec![], Then::Promote(token("t"))).await?;
    assert!(matches!(lost(&outcome), Some(Current::Unmanaged(_))), "{outcome:?}");
    assert_eq!(f.records_of(&unit(0)).await?, by_key(&[f.record(0, 1)]));
    assert_eq!(f.staged(&unit(0), "t").await?, Some(by_key(&records)));
    // Once it is true again the copy takes its place.
    f.done(&unit(0), Guard::Unmanaged, vec![Op::Clear], Then::Keep).await?;
    f.done(&unit(0), staging("t"), vec![], Then::Promote(token("t"))).await?;
    assert_eq!(f.records_of(&unit(0)).await?, by_key(&records));
    Ok(())
}

/// A staged copy is written, promoted and discarded under its token, and under nothing else.
pub async fn only_its_token_touches_a_copy(f: &Fixture) -> Result<()> {
    f.ready().await?;
    if !f.can().staging {
        return Ok(());
    }
    let records = (f.records)(1, 2);
    f.stage(&unit(0), &records[..1], "a").await?;
    let put = || vec![Op::put(records[1].clone())];
    f.done(&unit(0), staging("a"), put(), Then::Keep).await?;
    assert_eq!(f.staged(&unit(0), "a").await?, Some(by_key(&records)));
    let other = f.run(&unit(0), staging("b"), put(), Then::Keep).await?;
    assert_eq!(lost(&other), Some(&Current::Absent));
    for (guard, then) in [
        (Guard::Unmanaged, Then::Promote(token("a"))),
        (Guard::Absent, Then::Discard(token("a"))),
        (staging("a"), Then::Promote(token("b"))),
        (staging("a"), Then::Stage(token("b"))),
    ] {
        let outcome = f.run(&unit(0), guard, vec![], then).await?;
        assert_eq!(failed(&outcome), Some(ErrorKind::Invalid), "{outcome:?}");
    }
    assert_eq!(f.staged(&unit(0), "a").await?, Some(by_key(&records)));
    Ok(())
}
