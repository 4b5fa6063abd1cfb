//! A store that tells another story than the one it keeps, or is out of reach now and then.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::{StreamExt, stream};
use restow_model::{Body, Dialect, Key, Record, UnitId};
use restow_store::{
    Batch, Content, Cursor, Enumeration, Error, ErrorKind, Etag, Frame, Frames, Purged,
    RegisterName, Result, Role, Segment, Selection, Stamp, Store, StoreInfo, StoreRecord, Swap,
    Told, UnitOutcome, Unsupported, fault_of,
};

use super::record;

/// What is wrong with what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tamper {
    MissingUnit,
    ExtraUnit,
    MissingRecord,
    ExtraRecord,
    DuplicateRecord,
    AlteredBody,
    AlteredValue,
    TruncatedValue,
    MissingValue,
    AlteredResidue,
    MissingResidue,
    TruncatedUnit,
    StaleRecord,
    Unreadable,
    /// Not even the unit's name can be read.
    Nameless,
}

impl Tamper {
    pub(crate) const ALL: [Self; 14] = [
        Self::MissingUnit,
        Self::ExtraUnit,
        Self::MissingRecord,
        Self::ExtraRecord,
        Self::DuplicateRecord,
        Self::AlteredBody,
        Self::AlteredValue,
        Self::TruncatedValue,
        Self::MissingValue,
        Self::AlteredResidue,
        Self::MissingResidue,
        Self::TruncatedUnit,
        Self::StaleRecord,
        Self::Unreadable,
    ];
}

/// Wraps a store.
#[derive(Debug)]
pub(crate) struct Tampered {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) tamper: Option<Tamper>,
    /// Whether it tampers now.
    pub(crate) on: Arc<AtomicBool>,
    /// Whether the first walk by storage turns it on.
    pub(crate) on_at_sweep: bool,
    /// Every so many frames of a scan one scan breaks off; zero is never.
    pub(crate) breaks_every: u64,
    pub(crate) frames: Arc<AtomicU64>,
    /// Records that were put, in all applies.
    pub(crate) puts: Arc<AtomicU64>,
    /// The unit whose next apply fails, and how.
    pub(crate) fails_once: Mutex<Option<(UnitId, ErrorKind)>>,
}

impl Tampered {
    pub(crate) fn new(inner: impl Store, tamper: Option<Tamper>) -> Self {
        Self {
            inner: Arc::new(inner),
            tamper,
            on: Arc::default(),
            on_at_sweep: false,
            breaks_every: 0,
            frames: Arc::default(),
            puts: Arc::default(),
            fails_once: Mutex::default(),
        }
    }

    fn told(&self, frames: Frames, scan: bool) -> Frames {
        let tamper = self.tamper.filter(|_| self.on.load(Ordering::Relaxed));
        let mut skips = false;
        let told = frames.flat_map(move |frame| {
            let told = match frame {
                Ok(frame) => story(tamper, frame, &mut skips),
                Err(error) => vec![Err(error)],
            };
            stream::iter(told)
        });
        let extra = (scan && tamper == Some(Tamper::ExtraUnit)).then(extra_unit);
        let told = told.chain(stream::iter(extra.unwrap_or_default()));
        let (every, count) = (self.breaks_every, self.frames.clone());
        let counted = told.map(move |frame| {
            let n = count.fetch_add(1, Ordering::Relaxed) + 1;
            match scan && every > 0 && n.is_multiple_of(every) {
                true => Err(Error::new(ErrorKind::Unavailable, "scan", "the line is down")),
                false => frame,
            }
        });
        Box::pin(counted)
    }
}

fn extra_unit() -> Vec<Result<Frame>> {
    let unit = UnitId::new("zz");
    let begin = Frame::Begin { unit: unit.clone(), dialect: Dialect::Any, control: None };
    let end = Frame::End { unit, control: None, digest: None };
    vec![Ok(begin), Ok(Frame::Record(record(1, "extra"))), Ok(end)]
}

/// Tells a frame as a store does that checked it.
fn checked(frame: Frame) -> Frame {
    let Frame::Record(record) = frame else { return frame };
    match fault_of(&record) {
        Some(why) => {
            let place = format!("record {}", record.key);
            Frame::Damaged { unit: Some(UnitId::new("u01")), place, why }
        }
        None => Frame::Record(Record { values: Vec::new(), ..record }),
    }
}

/// Tells a frame as it is, or another.
fn story(tamper: Option<Tamper>, frame: Frame, skips: &mut bool) -> Vec<Result<Frame>> {
    let Some(tamper) = tamper else { return vec![Ok(frame)] };
    if let Frame::Begin { unit, .. } = &frame {
        *skips = unit.as_str() == "u01";
    }
    let in_unit = *skips;
    let frame = match frame {
        // A store that keeps digests would be caught lying by that alone.
        Frame::End { unit, control, .. } => Frame::End { unit, control, digest: None },
        frame => frame,
    };
    if !in_unit || matches!(frame, Frame::Mark(_)) {
        return vec![Ok(frame)];
    }
    match (tamper, frame) {
        (Tamper::MissingUnit, _) => vec![],
        (Tamper::Nameless, Frame::Begin { .. }) => {
            let (place, why) = ("row 1".to_owned(), "its name is torn".to_owned());
            vec![Ok(Frame::Damaged { unit: None, place, why })]
        }
        (Tamper::Nameless, _) => vec![],
        (_, Frame::Record(record)) => record_story(tamper, record),
        (_, frame) => vec![Ok(frame)],
    }
}

fn record_story(tamper: Tamper, mut told: Record) -> Vec<Result<Frame>> {
    let key = |n| Key::of("item").int(n).build();
    if tamper == Tamper::TruncatedUnit && told.key >= key(2) {
        return vec![];
    }
    if told.key != key(2) {
        return vec![Ok(Frame::Record(told))];
    }
    let whole = told.clone();
    match tamper {
        Tamper::MissingRecord => return vec![],
        Tamper::ExtraRecord => {
            let extra = Record::new(Key::of("item").int(2).int(0).build(), Body::Null);
            return vec![Ok(Frame::Record(whole)), Ok(Frame::Record(extra))];
        }
        Tamper::DuplicateRecord => {
            return vec![Ok(Frame::Record(told)), Ok(Frame::Record(whole))];
        }
        Tamper::Unreadable => {
            let (unit, place) = (Some(UnitId::new("u01")), "row 2".to_owned());
            return vec![Ok(Frame::Damaged { unit, place, why: "it is torn".into() })];
        }
        Tamper::AlteredBody => told.body = Body::Null,
        Tamper::AlteredValue => told.values[0].bytes = Bytes::from_static(b"flipped bits!"),
        Tamper::TruncatedValue => told.values[0].bytes.truncate(4),
        Tamper::MissingValue => told.values.clear(),
        Tamper::AlteredResidue => told.residue[0].bytes = Bytes::from_static(b"another"),
        Tamper::MissingResidue => told.residue.clear(),
        Tamper::StaleRecord => told = record(2, "as it was before"),
        Tamper::MissingUnit | Tamper::ExtraUnit | Tamper::TruncatedUnit | Tamper::Nameless => {}
    }
    vec![Ok(Frame::Record(told))]
}

#[async_trait::async_trait]
impl Store for Tampered {
    fn info(&self) -> &StoreInfo {
        self.inner.info()
    }

    fn check(&self, record: &Record) -> Result<(), Unsupported> {
        self.inner.check(record)
    }

    async fn prepare(&self, role: Role, id: &str) -> Result<StoreRecord> {
        self.inner.prepare(role, id).await
    }

    async fn segments(&self, _want: usize, by: Enumeration) -> Result<Vec<Segment>> {
        Ok(vec![Segment::whole(by)])
    }

    async fn scan(
        &self,
        segment: Segment,
        from: Option<Cursor>,
        content: Content,
    ) -> Result<Frames> {
        if self.on_at_sweep && segment.by == Enumeration::Storage {
            self.on.store(true, Ordering::Relaxed);
        }
        if content != Content::Checked {
            return Ok(self.told(self.inner.scan(segment, from, content).await?, true));
        }
        // What is wrong with a value is what the store itself meets while it checks.
        let told = self.told(self.inner.scan(segment, from, Content::All).await?, true);
        Ok(Box::pin(told.map(|frame| frame.map(checked))))
    }

    async fn read(&self, units: Vec<UnitId>, what: Selection) -> Result<Frames> {
        if what.content != Content::Checked {
            return Ok(self.told(self.inner.read(units, what).await?, false));
        }
        let what = Selection { content: Content::All, ..what };
        let told = self.told(self.inner.read(units, what).await?, false);
        Ok(Box::pin(told.map(|frame| frame.map(checked))))
    }

    async fn apply(&self, batch: Batch) -> Result<Vec<UnitOutcome>> {
        let puts: usize = batch.units.iter().map(|u| u.ops.len()).sum();
        self.puts.fetch_add(puts as u64, Ordering::Relaxed);
        let named = |unit: &UnitId| batch.units.iter().any(|ops| ops.unit == *unit);
        let fails = self.fails_once.lock().unwrap().take_if(|(unit, _)| named(unit));
        if let Some((_, kind)) = fails {
            return Err(Error::new(kind, "apply", "made so by a test"));
        }
        self.inner.apply(batch).await
    }

    async fn release(&self) -> Result<()> {
        self.inner.release().await
    }

    async fn journal(&self, unit: UnitId, after: u64) -> Result<Told> {
        self.inner.journal(unit, after).await
    }

    async fn trim(&self, unit: UnitId, upto: u64) -> Result<()> {
        self.inner.trim(unit, upto).await
    }

    async fn purge(&self, unit: UnitId, exactly: Stamp) -> Result<Purged> {
        self.inner.purge(unit, exactly).await
    }

    async fn register_read(&self, name: RegisterName) -> Result<Option<(Etag, Bytes)>> {
        self.inner.register_read(name).await
    }

    async fn register_swap(
        &self,
        name: RegisterName,
        was: Option<Etag>,
        now: Bytes,
    ) -> Result<Swap> {
        self.inner.register_swap(name, was, now).await
    }
}
