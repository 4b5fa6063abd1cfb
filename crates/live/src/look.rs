//! Looking: what one store, or both, tell of a unit.

use futures::StreamExt;
use restow_model::{Control, Dialect, UnitDigest, UnitId};
use restow_store::{
    Entry, Error, ErrorKind, Frame, Result, Selection, Store, View as Records, WithoutControl,
};

use crate::hand::Hand;
use crate::view::{Behind, Seen, Standing, View};
use crate::{Side, Step};

/// So many times a unit may change under a look before it is given up.
const LOOKS_MAX: usize = 64;

/// What one store tells of a unit at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) view: View,
    pub(crate) control: Option<Control>,
    pub(crate) dialect: Dialect,
    /// The writes behind the seq that was asked for, where the journal tells all of them.
    pub(crate) entries: Option<Vec<Entry>>,
}

/// What both stores told, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Looks {
    /// The store that was looked at first: what was seen of the other one is newer.
    first: Side,
    source: Look,
    target: Look,
}

impl Looks {
    fn new(first: Side, look: Look, other: Look) -> Self {
        match first {
            Side::Source => Self { first, source: look, target: other },
            Side::Target => Self { first, source: other, target: look },
        }
    }

    pub(crate) fn first(&self) -> Side {
        self.first
    }

    pub(crate) fn at(&self, side: Side) -> &Look {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    /// The language of the unit's payloads, by the store that holds any.
    pub(crate) fn dialect(&self, at: Side) -> Dialect {
        match self.at(at).view.has_records {
            true => self.at(at).dialect,
            false => self.at(at.other()).dialect,
        }
    }

    pub(crate) fn seen(&self) -> Seen {
        Seen { source: self.source.view, target: self.target.view }
    }
}

/// What a unit's frames say, without its records.
struct Heads {
    dialect: Dialect,
    began: Option<Control>,
    ended: Option<Control>,
    digest: Option<UnitDigest>,
}

impl Hand<'_> {
    /// Looks at one store; `held` is what the other one holds, where the journal is to be asked.
    pub(crate) async fn look(&self, at: Side, held: Option<u64>) -> Result<Look> {
        self.watch.before(Step::Look, at, self.unit).await;
        for _ in 0..LOOKS_MAX {
            match self.try_look(at, held).await {
                Ok(Some(look)) => return Ok(look),
                Ok(None) => tokio::task::yield_now().await,
                Err(error) if error.kind() == ErrorKind::Retired => return Ok(Look::retired()),
                Err(error) => return Err(error),
            }
        }
        Err(self.changes("look at a unit"))
    }

    /// Looks at both stores; the second one's journal is asked what the first one lacks.
    pub(crate) async fn look_at_both(&self, first: Side) -> Result<Looks> {
        let look = self.look(first, None).await?;
        self.look_at_other(first, look).await
    }

    /// Goes on from a look at one store to a look at both.
    pub(crate) async fn look_at_other(&self, first: Side, look: Look) -> Result<Looks> {
        let other = self.look(first.other(), Some(look.view.held())).await?;
        Ok(Looks::new(first, look, other))
    }

    async fn try_look(&self, at: Side, held: Option<u64>) -> Result<Option<Look>> {
        let store = self.pair.store(at);
        let Some(heads) = heads(&**store, self.unit, Selection::nothing()).await? else {
            return Ok(Some(Look::absent(self.pair.without(at))));
        };
        if heads.began != heads.ended {
            return Ok(None);
        }
        let Some(control) = heads.ended else {
            return self.without_control(at, heads.dialect).map(Some);
        };
        self.pair.own(at, &control).map_err(|error| error.with("unit", self.unit.as_str()))?;
        let mut look = Look::managed(self.pair.without(at), &control, heads.dialect);
        if let Some(token) = control.staged() {
            let view = Records::Staged(token.clone());
            let staged = heads_of_copy(&**store, self.unit, view).await?;
            let Some(staged) = staged.filter(|s| s.ended.as_ref() == Some(&control)) else {
                return Ok(None);
            };
            look.view.staged = staged.digest;
        }
        if let Some(held) = held {
            let told = store.journal(self.unit.clone(), held).await?;
            if told.control.as_ref() != Some(&control) {
                return Ok(None);
            }
            look.tells(told.entries);
        }
        look.control = Some(control);
        Ok(Some(look))
    }

    fn without_control(&self, at: Side, dialect: Dialect) -> Result<Look> {
        if at == Side::Target {
            let message = "the target holds records of a unit that no migration wrote there; \
                           remove them, or begin with an empty target";
            let error = Error::new(ErrorKind::Refused, "look at a unit", message);
            return Err(error.with("unit", self.unit.as_str()));
        }
        let mut look = Look { dialect, ..Look::absent(self.pair.without(at)) };
        look.view.has_records = true;
        Ok(look)
    }
}

impl Look {
    fn absent(without: WithoutControl) -> Self {
        let view = View::nothing(without);
        Self { view, control: None, dialect: Dialect::default(), entries: None }
    }

    fn retired() -> Self {
        Self::absent(WithoutControl::Retired)
    }

    fn managed(without: WithoutControl, control: &Control, dialect: Dialect) -> Self {
        let mut look = Self { dialect, ..Self::absent(without) };
        look.view.control = Some(Standing::of(control));
        look.view.has_records = control.digest.records > 0;
        look
    }

    fn tells(&mut self, entries: Option<Vec<Entry>>) {
        self.view.behind = match &entries {
            Some(entries) => Behind { is_told: true, records: records_of(entries) },
            None => Behind::UNKNOWN,
        };
        self.entries = entries;
    }
}

/// How many records entries put or removed.
fn records_of(entries: &[Entry]) -> u64 {
    let count = |entry: &Entry| entry.keys.put.len() + entry.keys.removed.len();
    // An entry that only cleared the unit is something to replay as well.
    entries.iter().map(|entry| count(entry).max(1) as u64).sum()
}

async fn heads_of_copy(store: &dyn Store, unit: &UnitId, view: Records) -> Result<Option<Heads>> {
    heads(store, unit, Selection { view, ..Selection::nothing() }).await
}

async fn heads(store: &dyn Store, unit: &UnitId, what: Selection) -> Result<Option<Heads>> {
    let mut frames = store.read(vec![unit.clone()], what).await?;
    let mut heads = None;
    while let Some(frame) = frames.next().await {
        match frame? {
            Frame::Begin { dialect, control, .. } => {
                heads = Some(Heads { dialect, began: control, ended: None, digest: None });
            }
            Frame::End { control, digest, .. } => {
                if let Some(heads) = &mut heads {
                    (heads.ended, heads.digest) = (control, digest);
                }
            }
            Frame::Damaged { place, why, .. } => return Err(damaged(unit, &place, &why)),
            Frame::Record(_) | Frame::Mark(_) => {}
        }
    }
    Ok(heads)
}

/// Says that stored data is in the way, where it lies and what it is.
pub(crate) fn damaged(unit: &UnitId, place: &str, why: &str) -> Error {
    let error = Error::new(ErrorKind::Damaged, "read a unit", why.to_owned());
    error.with("unit", unit.as_str()).with("place", place)
}
