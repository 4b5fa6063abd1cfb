//! Control records: who is the authority for a unit, kept in the stores themselves.

use std::fmt;

use crate::{Body, Digest, Malformed, Map, UnitDigest, canonical};

/// Where a unit stands in the one chain of its writes: transfers of authority, then writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation {
    /// Rises with every transfer of authority; never used again.
    pub term: u64,
    /// Rises by one with every write.
    pub seq: u64,
}

/// The name of a staging: only its holder may add to it, promote or discard it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(Box<str>);

impl Token {
    /// Names a staging.
    pub fn new(token: impl Into<Box<str>>) -> Self {
        Self(token.into())
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.0)
    }
}

/// What a store is for a unit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HomeState {
    /// The authority.
    Live,
    /// A replica: staged and verified, or a mirror.
    Copy,
    /// Was the authority; authority goes to the counterpart.
    Sealed,
    /// A staged copy is being filled beside the visible records.
    Staging {
        /// The mover's name for it.
        token: Token,
        /// The source's seq behind which the next lap begins.
        base: u64,
        /// How far the copy has come.
        progress: Progress,
    },
}

/// How far a staged copy has come.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Progress {
    /// Batches are copied, up to a place in the source's own terms; empty at first.
    Copying(Box<[u8]>),
    /// A lap has made it what the source was at the base, which had this digest.
    Claimed(UnitDigest),
    /// It was read back, and had the digest that was claimed.
    Verified,
}

/// The control record of a unit in one store, changed atomically with the unit's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// What this store is for the unit.
    pub state: HomeState,
    /// Where the visible records stand in the chain of writes, also while a copy is staged.
    pub generation: Generation,
    /// The epoch of the migration's configuration under which this was written.
    pub epoch: u64,
    /// The operation that wrote it last, to tell a lost answer from a lost race.
    pub op_id: Digest,
    /// Whether the unit was deleted; a hash of nothing stays so that it cannot come back.
    pub tombstone: bool,
    /// The digest of the visible records, kept by difference.
    pub digest: UnitDigest,
    /// The migration, the store and its counterpart, as their registers name them.
    pub migration: Box<str>,
    /// The id of the store that holds this record; a cloned store does not match its own.
    pub store: Box<str>,
    /// The other store of the migration.
    pub counterpart: Box<str>,
}

/// The version of [`Control::to_bytes`].
pub const FORMAT: i64 = 1;

impl Control {
    /// Returns the token of the staged copy that stands beside the unit, if one does.
    pub fn staged(&self) -> Option<&Token> {
        match &self.state {
            HomeState::Staging { token, .. } => Some(token),
            _ => None,
        }
    }

    /// Returns the bytes to store.
    pub fn to_bytes(&self) -> Vec<u8> {
        let number = |n: u64| Body::Int(n.into());
        let state = match &self.state {
            HomeState::Live => vec![Body::text("live")],
            HomeState::Copy => vec![Body::text("copy")],
            HomeState::Sealed => vec![Body::text("sealed")],
            HomeState::Staging { token, base, progress } => {
                let token = Body::text(token.as_str());
                let mut items = vec![Body::text("staging"), token, number(*base)];
                items.extend(progress_items(progress));
                items
            }
        };
        let body = Body::Map(Map::from([
            ("format", Body::int(FORMAT)),
            ("state", Body::List(state)),
            ("term", number(self.generation.term)),
            ("seq", number(self.generation.seq)),
            ("epoch", number(self.epoch)),
            ("op_id", Body::Bytes(self.op_id.as_bytes().to_vec().into())),
            ("tombstone", Body::Bool(self.tombstone)),
            ("digest", Body::Bytes(self.digest.to_bytes().to_vec().into())),
            ("migration", Body::text(&*self.migration)),
            ("store", Body::text(&*self.store)),
            ("counterpart", Body::text(&*self.counterpart)),
        ]));
        let mut out = Vec::with_capacity(320);
        canonical::encode(&body, &mut out);
        out
    }

    /// Takes stored bytes back; refuses another format rather than guess.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let body = canonical::decode(bytes)?;
        Self::from_body(&body).ok_or(Malformed::new("not a control record of this format", 0))
    }

    fn from_body(body: &Body) -> Option<Self> {
        let number = |name| number(body.get(name)?);
        let text = |name| body.get(name)?.as_text().map(Into::into);
        let bytes = |name| match body.get(name)? {
            Body::Bytes(b) => Some(b),
            _ => None,
        };
        if number("format")? != FORMAT as u64 {
            return None;
        }
        let Body::Bool(tombstone) = body.get("tombstone")? else { return None };
        Some(Self {
            state: state(body.get("state")?.as_list()?)?,
            generation: Generation { term: number("term")?, seq: number("seq")? },
            epoch: number("epoch")?,
            op_id: Digest::from_slice(bytes("op_id")?)?,
            tombstone: *tombstone,
            digest: UnitDigest::from_slice(bytes("digest")?)?,
            migration: text("migration")?,
            store: text("store")?,
            counterpart: text("counterpart")?,
        })
    }
}

fn number(body: &Body) -> Option<u64> {
    match body {
        Body::Int(n) => n.as_str().parse().ok(),
        _ => None,
    }
}

fn state(items: &[Body]) -> Option<HomeState> {
    Some(match (items.first()?.as_text()?, &items[1..]) {
        ("live", []) => HomeState::Live,
        ("copy", []) => HomeState::Copy,
        ("sealed", []) => HomeState::Sealed,
        ("staging", [token, base, how, rest @ ..]) => HomeState::Staging {
            token: Token::new(token.as_text()?),
            base: number(base)?,
            progress: progress(how.as_text()?, rest)?,
        },
        _ => return None,
    })
}

fn progress_items(progress: &Progress) -> Vec<Body> {
    let bytes = |bytes: &[u8]| Body::Bytes(bytes.to_vec().into());
    match progress {
        Progress::Copying(place) => vec![Body::text("copying"), bytes(place)],
        Progress::Claimed(digest) => vec![Body::text("claimed"), bytes(&digest.to_bytes())],
        Progress::Verified => vec![Body::text("verified")],
    }
}

fn progress(how: &str, rest: &[Body]) -> Option<Progress> {
    Some(match (how, rest) {
        ("copying", [Body::Bytes(place)]) => Progress::Copying(place.to_vec().into()),
        ("claimed", [Body::Bytes(digest)]) => Progress::Claimed(UnitDigest::from_slice(digest)?),
        ("verified", []) => Progress::Verified,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(state: HomeState) -> Control {
        Control {
            state,
            generation: Generation { term: 3, seq: u64::MAX },
            epoch: 7,
            op_id: Digest::of(b"op"),
            tombstone: false,
            digest: UnitDigest { records: 2, ..UnitDigest::default() },
            migration: "m-1".into(),
            store: "s-1".into(),
            counterpart: "s-2".into(),
        }
    }

    fn states() -> [HomeState; 6] {
        let staging = |progress| HomeState::Staging { token: Token::new("t"), base: 9, progress };
        [
            HomeState::Live,
            HomeState::Copy,
            HomeState::Sealed,
            staging(Progress::Copying([1, 2].into())),
            staging(Progress::Claimed(UnitDigest { records: 5, ..UnitDigest::default() })),
            staging(Progress::Verified),
        ]
    }

    #[test]
    fn every_state_is_stored_whole() {
        for control in states().map(control) {
            assert_eq!(Control::from_bytes(&control.to_bytes()), Ok(control));
        }
    }

    #[test]
    fn another_format_is_refused() {
        let mut body = canonical::decode(&control(HomeState::Live).to_bytes()).expect("a body");
        let Body::Map(map) = &mut body else { panic!("not a map") };
        let mut pairs = map.clone().into_pairs();
        pairs.push((Body::text("format"), Body::int(2)));
        let mut bytes = Vec::new();
        canonical::encode(&Body::Map(Map::from_pairs(pairs)), &mut bytes);
        assert!(Control::from_bytes(&bytes).is_err());
        assert!(Control::from_bytes(&bytes[..9]).is_err());
    }

    /// Golden bytes of format 1, a line for each state. A change here needs a new format number
    /// and a decision record.
    #[test]
    fn golden_bytes_of_format_1() {
        let golden = include_str!("golden/control_1.hex").lines();
        assert_eq!(golden.clone().count(), states().len());
        for (state, line) in states().into_iter().zip(golden) {
            let bytes = control(state.clone()).to_bytes();
            let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(hex, line, "{state:?}");
        }
    }
}
