//! A store tried as an application uses it: an old record is read, a large one written, read
//! back, listed and removed, each step with its time.
//!
//! Invariant: nothing but the doctor's own threads is written to, and what a run left that was
//! killed is removed by a later one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use restow_model::{Digest, UnitId};
use restow_store::{
    Address, Clock, Content, Enumeration, Environment, Error, ErrorKind, Frame, Result, Role,
    Selection, Store, fault_of,
};
use restow_stores::layout::langgraph::msgpack::{Head, write_head, write_text};
use restow_stores::registry::{Access, open};

use crate::langgraph::{
    CheckpointPut, CheckpointQuery, Payload, Place, Saver, Stored, Tuple, Typed,
};

const OPERATION: &str = "try a store";
/// What the doctor's threads are called, each with a number behind.
const THREAD: &str = "restow-doctor-";
/// How many of these there are, so that several may be at work at once.
const THREADS: u64 = 16;
/// A thread that was written so long ago is nobody's any more.
const LEFT_AFTER: Duration = Duration::from_secs(600);
/// How large the value is that is written: more than an item of DynamoDB holds.
const VALUE_BYTES: usize = 2 << 20;
const CHANNEL: &str = "restow";

/// What was tried, and how long it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What was done.
    pub name: &'static str,
    /// What came of it.
    pub said: String,
    /// How long it took.
    pub took: Duration,
}

/// What became of a trial: the steps that went well, and what ended it.
#[derive(Debug)]
pub struct Trial {
    /// The steps that went well, in order.
    pub steps: Vec<Step>,
    /// What failed.
    pub failed: Option<Error>,
}

/// Tries a store; `seed` tells apart those that try it at the same time.
pub async fn doctor(
    address: &Address,
    environment: &Environment,
    clock: Arc<dyn Clock>,
    seed: u64,
) -> Trial {
    let mut steps = Steps { clock, done: Vec::new() };
    let failed = steps.all(address, environment, seed).await.err();
    Trial { steps: steps.done, failed }
}

struct Steps {
    clock: Arc<dyn Clock>,
    done: Vec<Step>,
}

impl Steps {
    /// Does a step and notes how long it took.
    async fn step<T>(
        &mut self,
        name: &'static str,
        work: impl Future<Output = Result<(T, String)>>,
    ) -> Result<T> {
        let begun = self.clock.monotonic();
        let (done, said) = work.await?;
        let took = self.clock.monotonic().saturating_sub(begun);
        self.done.push(Step { name, said, took });
        Ok(done)
    }

    async fn all(&mut self, address: &Address, environment: &Environment, seed: u64) -> Result<()> {
        // What is not there is not made.
        let reader = open(address, Access::Read, environment);
        let reader = self.step("open", async { Ok((reader.await?, address.to_string())) }).await?;
        self.step("read an old record", old_record(&*reader.store)).await?;
        let writer = open(address, Access::Write, environment).await?;
        writer.store.prepare(Role::CopyTarget, "").await?;
        let now = self.clock.wall();
        let saver = Saver::new(writer.clone());
        let removed = removed(&saver, &*writer.store, now);
        self.step("remove what was left", removed).await?;
        let thread = format!("{THREAD}{}", seed % THREADS);
        let tried = self.large(&saver, &Saver::new(writer.clone()), &thread, now).await;
        let gone = self.step("delete", async {
            saver.delete_thread(&thread).await?;
            match saver.get(&thread, "", None).await? {
                None => Ok(((), "it is gone".to_owned())),
                Some(_) => Err(wrong("a thread that was deleted is still there", &thread)),
            }
        });
        let gone = gone.await;
        tried.and(gone)
    }

    /// Writes a large checkpoint, reads it back and lists it.
    async fn large(
        &mut self,
        saver: &Saver,
        reader: &Saver,
        thread: &str,
        now: Duration,
    ) -> Result<()> {
        let (id, value) = (id_at(now), value());
        let put = checkpoint(thread, &id, value.clone());
        let written = async {
            match saver.put(put).await? {
                Stored::Done => Ok(((), format!("{VALUE_BYTES} bytes"))),
                _ => Err(wrong("the store takes no checkpoint that is given open", thread)),
            }
        };
        self.step("write a large record", written).await?;
        let read = async {
            match reader.get(thread, "", Some(&id)).await? {
                Some(found) if holds(&found, &value) => Ok(((), "it is the same".to_owned())),
                Some(_) => Err(wrong("what was read is not what was written", thread)),
                None => Err(wrong("what was written is not there", thread)),
            }
        };
        self.step("read it back", read).await?;
        let query = CheckpointQuery { thread: Some(thread.into()), ..CheckpointQuery::default() };
        let listed = async {
            let listed: Vec<Tuple> = reader.list(query).await?.try_collect().await?;
            match listed.iter().any(|tuple| tuple.id == id) {
                true => Ok(((), format!("{} of the thread", listed.len()))),
                false => Err(wrong("a list lacks what was written", thread)),
            }
        };
        self.step("list", listed).await
    }
}

fn wrong(message: &str, thread: &str) -> Error {
    Error::new(ErrorKind::Damaged, OPERATION, message).with("thread", thread)
}

/// Reads the first record that the store holds.
async fn old_record(store: &dyn Store) -> Result<((), String)> {
    for segment in store.segments(1, Enumeration::Storage).await? {
        let mut frames = store.scan(segment, None, Content::All).await?;
        let mut unit = None;
        while let Some(frame) = frames.next().await {
            match frame? {
                Frame::Begin { unit: name, .. } => unit = Some(name),
                Frame::Record(record) => {
                    let name = unit.unwrap_or_else(|| UnitId::new(""));
                    return match fault_of(&record) {
                        None => Ok(((), format!("{name} {}", record.key))),
                        Some(why) => Err(wrong(&why, name.as_str())),
                    };
                }
                Frame::Damaged { place, why, .. } => {
                    let error = Error::new(ErrorKind::Damaged, OPERATION, why);
                    return Err(error.with("place", place));
                }
                Frame::End { .. } | Frame::Mark(_) => {}
            }
        }
    }
    Ok(((), "there is none yet".to_owned()))
}

/// Removes threads of earlier runs that did not come to their end.
async fn removed(saver: &Saver, store: &dyn Store, now: Duration) -> Result<((), String)> {
    let names: Vec<_> = (0..THREADS).map(|n| UnitId::new(format!("{THREAD}{n}"))).collect();
    let mut found = store.read(names, Selection::nothing()).await?;
    let mut there = Vec::new();
    while let Some(frame) = found.next().await {
        if let Frame::Begin { unit, .. } = frame? {
            there.push(unit);
        }
    }
    let mut gone = 0;
    for thread in there {
        let last = saver.get(thread.as_str(), "", None).await?;
        let before = id_at(now.saturating_sub(LEFT_AFTER));
        if last.is_none_or(|last| last.id < before) {
            saver.delete_thread(thread.as_str()).await?;
            gone += 1;
        }
    }
    Ok((
        (),
        match gone {
            0 => "nothing".to_owned(),
            gone => format!("{gone} of its own threads"),
        },
    ))
}

/// Returns an id of a checkpoint that is put at a moment; later ones are greater.
fn id_at(now: Duration) -> String {
    let ms = now.as_millis() as u64;
    format!("1f{:06x}-{:04x}-6{:03x}-8000-7265736f7400", ms >> 28, ms >> 12 & 0xffff, ms & 0xfff)
}

/// Returns text of which compression leaves half, as msgpack.
fn value() -> Typed {
    let digest = |n: usize| Digest::of(&n.to_be_bytes()).to_string();
    let text: String = (0..VALUE_BYTES.div_ceil(64)).map(digest).collect();
    let mut out = Vec::with_capacity(VALUE_BYTES + 8);
    write_text(&mut out, &text[..VALUE_BYTES]);
    Typed::new("msgpack", out)
}

fn checkpoint(thread: &str, id: &str, value: Typed) -> CheckpointPut {
    let mut head = Vec::new();
    write_head(&mut head, Head::Map(5));
    write_text(&mut head, "v");
    write_head(&mut head, Head::Uint(4));
    for (name, text) in [("id", id), ("ts", "2026-01-01T00:00:00+00:00")] {
        write_text(&mut head, name);
        write_text(&mut head, text);
    }
    write_text(&mut head, "versions_seen");
    write_head(&mut head, Head::Map(0));
    write_text(&mut head, "channel_versions");
    write_head(&mut head, Head::Map(1));
    write_text(&mut head, CHANNEL);
    write_text(&mut head, "00000000000000000000000000000001.0.5");
    CheckpointPut {
        place: Place::new(thread, "", id),
        parent: None,
        metadata: Bytes::from_static(br#"{"source": "input", "step": -1, "parents": {}}"#),
        head: head.into(),
        values: vec![(CHANNEL.into(), value)],
        unchanged: Vec::new(),
    }
}

fn holds(found: &Tuple, value: &Typed) -> bool {
    match &found.payload {
        Payload::Open { values, .. } => {
            values.iter().any(|(name, held)| &**name == CHANNEL && held == value)
        }
        Payload::Whole(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use restow_store::clock::ManualClock;

    use super::*;

    async fn tried(address: &str, clock: &Arc<ManualClock>) -> Trial {
        let address = Address::parse(address).unwrap();
        doctor(&address, &Environment::default(), clock.clone(), 17).await
    }

    #[tokio::test]
    async fn a_sound_store_passes_every_step_and_keeps_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for layout in ["parts", "langgraph"] {
            let clock = Arc::new(ManualClock::default());
            let place = folder.path().join(layout);
            let address = format!("{layout}+sqlite:{}", place.display());
            let trial = tried(&address, &clock).await;
            let error = trial.failed.unwrap();
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            assert!(!place.exists());
            let parsed = Address::parse(&address).unwrap();
            let saver = Saver::open(&parsed, &Environment::default()).await.unwrap();
            let old = checkpoint("mine", "1", value());
            saver.put(old).await.unwrap();
            let mut trial = tried(&address, &clock).await;
            assert!(trial.failed.is_none(), "{:?}", trial.failed);
            let names: Vec<_> = trial.steps.iter().map(|step| step.name).collect();
            let all = ["open", "read an old record", "remove what was left"];
            let own = ["write a large record", "read it back", "list", "delete"];
            assert_eq!(names, [&all[..], &own[..]].concat());
            // What a run leaves that was killed goes some time later.
            let id = id_at(clock.wall());
            let left = checkpoint("restow-doctor-3", &id, value());
            saver.put(left).await.unwrap();
            trial = tried(&address, &clock).await;
            assert_eq!(trial.steps[2].said, "nothing");
            clock.advance(LEFT_AFTER * 2);
            trial = tried(&address, &clock).await;
            assert_eq!(trial.steps[2].said, "1 of its own threads");
            assert!(saver.get("restow-doctor-3", "", None).await.unwrap().is_none());
            assert!(saver.get("mine", "", None).await.unwrap().is_some());
        }
    }

    #[test]
    fn later_ids_are_greater() {
        let ids = [0, 1, 4095, 4096, 1 << 28, 1_767_225_600_000, 1_767_225_600_001];
        let ids = ids.map(|ms| id_at(Duration::from_millis(ms)));
        assert!(ids.is_sorted(), "{ids:?}");
    }
}
