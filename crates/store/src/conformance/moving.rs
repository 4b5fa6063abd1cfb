//! Cases of copies staged beside a control record: each step of one changes both at once.

use restow_model::{Control, Generation, HomeState, Progress, Record, Token, UnitId};

use super::Fixture;
use super::fixture::{by_key, digest, exactly, lost, seen, unit};
use crate::{
    Content, Current, Enumeration, Guard, Op, Result, Segment, Selection, Then, UnitOutcome,
};

fn token(text: &str) -> Token {
    Token::new(text)
}

fn stage(text: &str) -> Then {
    Then::Stage(token(text))
}

fn progress(control: Control, progress: Progress) -> Control {
    let state = match control.state {
        HomeState::Staging { token, base, .. } => HomeState::Staging { token, base, progress },
        state => state,
    };
    Control { state, ..control }
}

impl Fixture {
    /// Opens an empty staged copy, and copies records to it one by one.
    async fn stage_live(&self, id: &UnitId, records: &[Record], text: &str) -> Result<Control> {
        let seen = self.store.journal(id.clone(), 0).await?.control;
        let guard = seen.as_ref().map_or(Guard::Absent, exactly);
        let generation = seen.map(|control| control.generation).unwrap_or_default();
        let opened = self.staging(text, Progress::Copying([].into()));
        let opened = Control { generation, ..opened };
        let done = self.replace(id, guard, vec![Op::Clear], stage(text), opened).await?;
        assert!(done.is_applied(), "{done:?}");
        for (n, record) in records.iter().enumerate() {
            let held = self.held(id).await?;
            let now = progress(held.clone(), Progress::Copying([n as u8].into()));
            let put = vec![Op::put(record.clone())];
            let done = self.replace(id, exactly(&held), put, stage(text), now).await?;
            assert!(done.is_applied(), "{done:?}");
        }
        self.held(id).await
    }

    /// Reads a staged copy; none where none is there.
    async fn copy_of(&self, id: &UnitId, text: &str) -> Result<Option<Vec<Record>>> {
        let what = Selection::staged(token(text));
        Ok(self.read(std::slice::from_ref(id), what).await?.pop().map(|seen| seen.records))
    }

    async fn moves(&self) -> Result<bool> {
        Ok(self.can().staging && self.ready_live().await?)
    }
}

/// A staged copy stands beside what is visible, which keeps its generation and digest; the copy's
/// own digest is told.
pub async fn a_copy_is_staged_beside_the_unit(f: &Fixture) -> Result<()> {
    if !f.moves().await? {
        return Ok(());
    }
    f.managed(&unit(0), HomeState::Copy, (1, 4)).await?;
    let (visible, records) = ([f.record(0, 1)], (f.records)(2, 3));
    for (n, visible) in [&visible[..], &[]].into_iter().enumerate() {
        let control = f.stage_live(&unit(n), &records, "t").await?;
        let seq = if n == 0 { (1, 4) } else { (0, 0) };
        assert_eq!((control.generation.term, control.generation.seq), seq);
        assert_eq!(control.digest, digest(visible));
        assert_eq!(f.records_of(&unit(n)).await?, by_key(visible));
        assert_eq!(f.copy_of(&unit(n), "t").await?, Some(by_key(&records)));
        let what = Selection { content: Content::Nothing, ..Selection::staged(token("t")) };
        let told = f.read(&[unit(n)], what).await?.pop().map(|seen| (seen.control, seen.digest));
        assert_eq!(told, Some((Some(control), Some(digest(&records)))));
    }
    let scanned = seen(&f.scan(Segment::whole(Enumeration::Units), None).await?);
    let told: Vec<_> = scanned.iter().map(|u| (u.records.len(), u.control.is_some())).collect();
    assert_eq!(told, [(1, true), (0, true)]);
    Ok(())
}

/// A staged copy changes only from the control record that was seen: neither from an older one,
/// nor under its token alone.
pub async fn a_staged_copy_changes_from_what_was_seen(f: &Fixture) -> Result<()> {
    if !f.moves().await? {
        return Ok(());
    }
    let records = (f.records)(1, 2);
    let seen = f.stage_live(&unit(0), &records[..1], "t").await?;
    let claimed = progress(seen.clone(), Progress::Claimed(digest(&records)));
    let id = unit(0);
    let lap = || {
        let put = vec![Op::put(records[1].clone())];
        f.replace(&id, exactly(&seen), put, stage("t"), claimed.clone())
    };
    assert!(lap().await?.is_applied());
    let held = f.held(&unit(0)).await?;
    assert_eq!(lost(&lap().await?), Some(&Current::Managed(Box::new(held.clone()))));
    for then in [Then::Keep, stage("t"), Then::Promote(token("t")), Then::Discard(token("t"))] {
        let guard = Guard::Staging(token("t"));
        let outcome = f.run(&unit(0), guard, vec![Op::Clear], then).await?;
        assert_eq!(lost(&outcome), Some(&Current::Managed(Box::new(held.clone()))));
    }
    assert_eq!(f.copy_of(&unit(0), "t").await?, Some(by_key(&records)));
    assert_eq!(f.held(&unit(0)).await?, held);
    Ok(())
}

/// A staged copy becomes the unit in the same step as the control record becomes the home's, and
/// with the operations of that step; a half copy that was seen is not enough.
pub async fn a_copy_is_promoted_with_its_control_record(f: &Fixture) -> Result<()> {
    if !f.moves().await? {
        return Ok(());
    }
    f.managed(&unit(0), HomeState::Copy, (1, 4)).await?;
    let (records, more) = ((f.records)(2, 3), f.record(5, 3));
    for n in 0..2 {
        let half = f.stage_live(&unit(n), &records[..2], "t").await?;
        let held = f.stage_live(&unit(n), &records, "t").await?;
        let id = unit(n);
        let promote = |seen, ops| {
            let live = f.control(HomeState::Live, 3, 9);
            f.replace(&id, exactly(seen), ops, Then::Promote(token("t")), live)
        };
        assert!(lost(&promote(&half, vec![]).await?).is_some());
        let outcome = promote(&held, vec![Op::put(more.clone())]).await?;
        let generation = Generation { term: 3, seq: 9 };
        assert!(outcome.is_applied(), "{outcome:?}");
        if let UnitOutcome::Applied { generation: made, .. } = outcome {
            assert_eq!(made, Some(generation));
        }
        let now = [&records[..], std::slice::from_ref(&more)].concat();
        let control = f.held(&unit(n)).await?;
        assert_eq!((control.generation, control.digest), (generation, digest(&now)));
        assert_eq!(control.state, HomeState::Live);
        assert_eq!(f.records_of(&unit(n)).await?, by_key(&now));
        assert_eq!(f.copy_of(&unit(n), "t").await?, None);
    }
    Ok(())
}

/// A fence drops the staged copy in the same step as it raises the term; what is visible stays, and
/// nobody who is late promotes.
pub async fn a_copy_is_discarded_with_its_control_record(f: &Fixture) -> Result<()> {
    if !f.moves().await? {
        return Ok(());
    }
    f.managed(&unit(0), HomeState::Copy, (1, 4)).await?;
    let held = f.stage_live(&unit(0), &(f.records)(2, 3), "t").await?;
    let fenced = f.control(HomeState::Copy, 2, 4);
    let drop = Then::Discard(token("t"));
    assert!(f.replace(&unit(0), exactly(&held), vec![], drop, fenced).await?.is_applied());
    assert_eq!(f.copy_of(&unit(0), "t").await?, None);
    let live = f.control(HomeState::Live, 2, 9);
    let late = f.replace(&unit(0), exactly(&held), vec![], Then::Promote(token("t")), live).await?;
    assert!(lost(&late).is_some(), "{late:?}");
    let now = f.held(&unit(0)).await?;
    assert_eq!((now.generation, now.state), (Generation { term: 2, seq: 4 }, HomeState::Copy));
    assert_eq!(f.records_of(&unit(0)).await?, by_key(&[f.record(0, 1)]));
    Ok(())
}

/// A copy is opened anew under another token, or under the same when it is cleared.
pub async fn a_copy_is_opened_anew(f: &Fixture) -> Result<()> {
    if !f.moves().await? {
        return Ok(());
    }
    let (old, new) = ((f.records)(1, 3), (f.records)(2, 1));
    f.stage_live(&unit(0), &old, "a").await?;
    f.stage_live(&unit(0), &new, "a").await?;
    assert_eq!(f.copy_of(&unit(0), "a").await?, Some(by_key(&new)));
    let held = f.held(&unit(0)).await?;
    let other = f.staging("b", Progress::Copying([].into()));
    assert!(f.replace(&unit(0), exactly(&held), vec![], stage("b"), other).await?.is_applied());
    assert_eq!(f.copy_of(&unit(0), "a").await?, None);
    assert_eq!(f.copy_of(&unit(0), "b").await?, Some(vec![]));
    Ok(())
}

/// A replica's records and control record are replaced in one step, from just what was seen.
pub async fn a_replica_is_replaced_exactly(f: &Fixture) -> Result<()> {
    if !f.ready_live().await? {
        return Ok(());
    }
    f.managed(&unit(0), HomeState::Copy, (1, 4)).await?;
    let held = f.held(&unit(0)).await?;
    let id = unit(0);
    let mirror = |seed, seq| {
        let put = vec![Op::put(f.record(0, seed))];
        let control = f.control(HomeState::Copy, 1, seq);
        f.replace(&id, exactly(&held), put, Then::Keep, control)
    };
    assert!(mirror(2, 6).await?.is_applied());
    assert!(lost(&mirror(3, 7).await?).is_some());
    let now = f.held(&unit(0)).await?;
    let records = [f.record(0, 2)];
    assert_eq!((now.generation.seq, now.digest), (6, digest(&records)));
    assert_eq!(f.records_of(&unit(0)).await?, by_key(&records));
    Ok(())
}

/// What a copy staged before the migration is gone with the first control record.
pub async fn what_was_staged_before_is_gone(f: &Fixture) -> Result<()> {
    f.ready().await?;
    if !f.can().staging || !f.can().live {
        return Ok(());
    }
    let old = vec![Op::put(f.record(1, 1))];
    for n in 0..2 {
        f.done(&unit(n), Guard::Absent, old.clone(), stage("t")).await?;
    }
    f.ready_live().await?;
    let live = f.control(HomeState::Live, 1, 0);
    assert!(f.replace(&unit(0), Guard::Absent, vec![], Then::Keep, live).await?.is_applied());
    assert_eq!(f.copy_of(&unit(0), "t").await?, None);
    let staging = f.staging("t", Progress::Copying([].into()));
    let opened = f.replace(&unit(1), Guard::Absent, vec![], stage("t"), staging).await?;
    assert!(opened.is_applied(), "{opened:?}");
    assert_eq!(f.copy_of(&unit(1), "t").await?, Some(vec![]));
    Ok(())
}
