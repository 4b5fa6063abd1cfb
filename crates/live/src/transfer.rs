//! Steps that move records: batches of a staged copy, laps, mirrors, and reading a copy back.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use restow_model::{Control, HomeState, Key, Progress, Record, UnitDigest};
use restow_store::{
    Content, Entry, Expect, Frame, Frames, Guard, KeyRange, Op, Result, Selection, Stamp, Then,
    UnitOps, View as Records,
};

use crate::Side;
use crate::hand::{Done, Hand, is_tombstone};
use crate::look::{Looks, damaged};
use crate::protocol::Plan;
use crate::view::{END, Filled, Staging, Standing, Status};

/// The records of one batch, and where the next one begins.
struct Batch {
    ops: Vec<Op>,
    place: Box<[u8]>,
}

/// What a replay puts and removes.
struct Replay {
    ops: Vec<Op>,
    /// The seq up to which it goes.
    upto: u64,
}

impl Hand<'_> {
    /// Copies one batch more to the staged copy.
    pub(crate) async fn copy_batch(&self, plan: &Plan, looks: &Looks) -> Result<Done> {
        let here = looks.at(plan.at);
        let Some(Control { state: HomeState::Staging { token, base, progress }, .. }) =
            &here.control
        else {
            return Ok(Done::Lost);
        };
        let Progress::Copying(place) = progress else { return Ok(Done::Lost) };
        let batch = self.next_batch(plan, place).await?;
        let staged = self.pair.control(plan.at, &plan.now, token, is_tombstone(here));
        let progress = Progress::Copying(batch.place);
        let state = HomeState::Staging { token: token.clone(), base: *base, progress };
        let control = Control { state, ..staged };
        let dialect = looks.at(plan.at.other()).dialect;
        let guard = self.exactly(plan, here);
        let then = Then::Stage(token.clone());
        let ops = UnitOps::new(self.unit.clone(), dialect, guard, batch.ops, then);
        self.watch.before(plan.step, plan.at, self.unit).await;
        self.apply(plan.at, UnitOps { control: Some(Box::new(control)), ..ops }).await
    }

    /// Reads the records behind a place, as many as one batch takes.
    async fn next_batch(&self, plan: &Plan, place: &[u8]) -> Result<Batch> {
        let keys = KeyRange { from: place.to_vec().into(), to: None }.into();
        let what = Selection { keys, ..Selection::default() };
        let source = self.pair.store(plan.at.other());
        let records_max = self.limits.batch_records.min(self.records_max(plan)).max(1);
        let mut frames = source.read(vec![self.unit.clone()], what).await?;
        let (mut ops, mut bytes) = (Vec::new(), 0);
        while let Some(record) = self.next_record(&mut frames).await? {
            let weight = record.weight();
            if ops.len() == records_max
                || (!ops.is_empty() && bytes + weight > self.bytes_max(plan))
            {
                return Ok(Batch { ops, place: record.key.as_bytes()[..].into() });
            }
            bytes += weight;
            ops.push(Op::put(record));
        }
        Ok(Batch { ops, place: END.into() })
    }

    /// Brings a staged copy or a replica up to the home by what the home's journal tells.
    pub(crate) async fn replay(&self, plan: &Plan, looks: &Looks) -> Result<Done> {
        let (here, home) = (looks.at(plan.at), looks.at(plan.at.other()));
        let (Some(entries), Some(source)) = (&home.entries, &home.control) else {
            return Ok(Done::Lost);
        };
        let is_staged = here.view.staging().is_some();
        let entries = if is_staged { self.as_many_as_fit(entries) } else { &entries[..] };
        let Some(replay) = self.changed(plan, source, entries).await? else {
            return Ok(Done::Lost);
        };
        let now = match replay.upto == source.generation.seq {
            true => plan.now,
            // A part of a long lap: the copy claims nothing yet.
            false => partly(plan.now, replay.upto),
        };
        match is_staged {
            true => self.send_in_pieces(plan, looks, now, replay.ops).await,
            false => self.send_whole(plan, looks, replay.ops).await,
        }
    }

    /// The first entries that one apply has room for; one at least.
    fn as_many_as_fit<'e>(&self, entries: &'e [Entry]) -> &'e [Entry] {
        let room = self.limits.lap_records;
        let mut records = 0;
        let fits = entries.iter().position(|entry| {
            records += entry.keys.put.len() + entry.keys.removed.len();
            records > room
        });
        &entries[..fits.unwrap_or(entries.len()).max(1).min(entries.len())]
    }

    /// Reads what is there by now under the keys of entries; nothing where the home has changed.
    async fn changed(
        &self,
        plan: &Plan,
        source: &Control,
        entries: &[Entry],
    ) -> Result<Option<Replay>> {
        let (mut keys, mut is_cleared) = (BTreeSet::new(), false);
        for entry in entries {
            if entry.keys.cleared {
                (keys, is_cleared) = (BTreeSet::new(), true);
            }
            keys.extend(entry.keys.put.iter().chain(&entry.keys.removed).cloned());
        }
        let Some(mut records) = self.records(plan, source, &keys).await? else { return Ok(None) };
        let mut ops = Vec::with_capacity(keys.len() + 1);
        if is_cleared {
            ops.push(Op::Clear);
        }
        ops.extend(keys.into_iter().map(|key| match records.remove(&key) {
            Some(record) => Op::put(record),
            None => Op::Remove { key, expect: Expect::Any },
        }));
        let upto = entries.last().map_or(source.generation.seq, |entry| entry.seq);
        Ok(Some(Replay { ops, upto }))
    }

    /// Reads records of the home, as far as they are there; nothing where the control record is not
    /// the one that was seen.
    async fn records(
        &self,
        plan: &Plan,
        seen: &Control,
        keys: &BTreeSet<Key>,
    ) -> Result<Option<BTreeMap<Key, Record>>> {
        let what = Selection::keys(keys.clone());
        let store = self.pair.store(plan.at.other());
        let mut frames = store.read(vec![self.unit.clone()], what).await?;
        let (mut found, mut is_same) = (BTreeMap::new(), true);
        while let Some(frame) = frames.next().await {
            match frame? {
                Frame::Begin { control, .. } | Frame::End { control, .. } => {
                    is_same &= control.as_ref() == Some(seen);
                }
                Frame::Record(record) => drop(found.insert(record.key.clone(), record)),
                Frame::Damaged { place, why, .. } => return Err(damaged(self.unit, &place, &why)),
                Frame::Mark(_) => {}
            }
        }
        Ok(is_same.then_some(found))
    }

    /// Changes a replica's records and control record in one step.
    async fn send_whole(&self, plan: &Plan, looks: &Looks, ops: Vec<Op>) -> Result<Done> {
        let (here, home) = (looks.at(plan.at), looks.at(plan.at.other()));
        let tombstone = is_tombstone(home);
        let token = self.token(None, plan.step);
        let control = self.pair.control(plan.at, &plan.now, &token, tombstone);
        let guard = self.exactly(plan, here);
        let ops = UnitOps::new(self.unit.clone(), home.dialect, guard, ops, Then::Keep);
        self.watch.before(plan.step, plan.at, self.unit).await;
        self.apply(plan.at, UnitOps { control: Some(Box::new(control)), ..ops }).await
    }

    /// Adds to a staged copy, in as many applies as it takes; only the last one moves it on.
    async fn send_in_pieces(
        &self,
        plan: &Plan,
        looks: &Looks,
        now: Standing,
        ops: Vec<Op>,
    ) -> Result<Done> {
        let here = looks.at(plan.at);
        let Some(mut held) = here.control.clone() else { return Ok(Done::Lost) };
        let Some(token) = held.staged().cloned() else { return Ok(Done::Lost) };
        let dialect = looks.at(plan.at.other()).dialect;
        let mut pieces = self.pieces(plan, ops);
        let last = pieces.pop().unwrap_or_default();
        self.watch.before(plan.step, plan.at, self.unit).await;
        for (piece, is_last) in pieces.into_iter().map(|piece| (piece, false)).chain([(last, true)])
        {
            let control = match is_last {
                true => self.pair.control(plan.at, &now, &token, held.tombstone),
                false => held.clone(),
            };
            let guard = Guard::Exactly(Stamp::Control(Box::new(held.clone())));
            let then = Then::Stage(token.clone());
            let ops = UnitOps::new(self.unit.clone(), dialect, guard, piece, then);
            let op_id = self.ids.next();
            let ops = UnitOps { control: Some(Box::new(control.clone())), ..ops };
            let done = self.apply_as(plan.at, ops, op_id).await?;
            if done != Done::Taken {
                return Ok(done);
            }
            held = Control { op_id, digest: held.digest, ..control };
        }
        Ok(Done::Taken)
    }

    /// Cuts operations into what one apply of the store has room for.
    fn pieces(&self, plan: &Plan, ops: Vec<Op>) -> Vec<Vec<Op>> {
        let (records_max, bytes_max) = (self.records_max(plan), self.bytes_max(plan));
        let mut pieces: Vec<Vec<Op>> = vec![Vec::new()];
        let (mut records, mut bytes) = (0, 0);
        for op in ops {
            let weight = match &op {
                Op::Put { record, .. } => record.weight(),
                Op::Remove { .. } | Op::Clear => 0,
            };
            if records > 0 && (records == records_max || bytes + weight > bytes_max) {
                pieces.push(Vec::new());
                (records, bytes) = (0, 0);
            }
            records += usize::from(weight > 0);
            bytes += weight;
            if let Some(piece) = pieces.last_mut() {
                piece.push(op);
            }
        }
        pieces
    }

    fn records_max(&self, plan: &Plan) -> usize {
        self.pair.store(plan.at).info().capabilities.apply_records_max.max(1)
    }

    fn bytes_max(&self, plan: &Plan) -> usize {
        self.limits.bytes.min(self.pair.store(plan.at).info().capabilities.apply_bytes_max)
    }

    /// Reads the staged copy back, every byte of it, and compares it with what was claimed.
    pub(crate) async fn verify(&self, plan: &Plan, looks: &Looks) -> Result<Done> {
        let here = looks.at(plan.at);
        let Some(control) = &here.control else { return Ok(Done::Lost) };
        let HomeState::Staging { token, progress: Progress::Claimed(claimed), .. } = &control.state
        else {
            return Ok(Done::Lost);
        };
        let view = Records::Staged(token.clone());
        let what = Selection { view, content: Content::Checked, ..Selection::default() };
        let Some(sum) = self.sum(plan.at, control, what).await? else {
            self.watch.before(plan.step, plan.at, self.unit).await;
            return Ok(Done::Lost);
        };
        if sum != *claimed {
            return Ok(Done::Differs);
        }
        self.send_in_pieces(plan, looks, plan.now, Vec::new()).await
    }

    /// Reads what a store holds, and sums it; nothing where the control record is not the one that
    /// was seen, or what was to be read is gone.
    pub(crate) async fn sum(
        &self,
        at: Side,
        seen: &Control,
        what: Selection,
    ) -> Result<Option<UnitDigest>> {
        let mut frames = self.pair.store(at).read(vec![self.unit.clone()], what).await?;
        let (mut sum, mut began, mut is_same) = (UnitDigest::default(), false, true);
        while let Some(frame) = frames.next().await {
            match frame? {
                Frame::Begin { control, .. } | Frame::End { control, .. } => {
                    began = true;
                    is_same &= control.as_ref() == Some(seen);
                }
                Frame::Record(record) => sum.merge(&record.summed()),
                Frame::Damaged { place, why, .. } => return Err(damaged(self.unit, &place, &why)),
                Frame::Mark(_) => {}
            }
        }
        Ok((began && is_same).then_some(sum))
    }

    /// Takes the next record of a unit out of its frames.
    async fn next_record(&self, frames: &mut Frames) -> Result<Option<Record>> {
        while let Some(frame) = frames.next().await {
            match frame? {
                Frame::Record(record) => return Ok(Some(record)),
                Frame::Damaged { place, why, .. } => return Err(damaged(self.unit, &place, &why)),
                Frame::Begin { .. } | Frame::End { .. } | Frame::Mark(_) => {}
            }
        }
        Ok(None)
    }
}

/// A staged copy that has come to a seq, and claims nothing.
fn partly(now: Standing, base: u64) -> Standing {
    let progress = Filled::Wholly;
    Standing { status: Status::Staging(Staging { base, progress }), ..now }
}
