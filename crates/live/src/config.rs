//! A migration's configuration: one record that every client reads, changed by compare-and-swap.

use std::fmt;

use bytes::Bytes;
use restow_model::{Body, Bucket, Map, UnitId, canonical};
use restow_store::{Error, ErrorKind, Etag, RegisterName, Result, Store, Swap};

use crate::{Pair, Side};

/// How far a migration has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Nothing is routed yet.
    Off,
    /// Clients write control records; nothing moves.
    Aware,
    /// Copies are made and mirrored and compared; nothing is read from them.
    Shadow,
    /// Units move, as many as the share says.
    Move,
    /// All units are to be at the target.
    Full,
    /// All were found there, and what begins goes there; the source is kept up, for a rollback.
    Settled,
    /// All stay at the target, and the source is retired: there is no way back.
    Cleanup,
    /// All stay at the source, and the target is retired.
    Cancelled,
}

impl Phase {
    const NAMES: [(Self, &'static str); 8] = [
        (Self::Off, "off"),
        (Self::Aware, "aware"),
        (Self::Shadow, "shadow"),
        (Self::Move, "move"),
        (Self::Full, "full"),
        (Self::Settled, "settled"),
        (Self::Cleanup, "cleanup"),
        (Self::Cancelled, "cancelled"),
    ];

    /// Returns the name by which configuration and reports know the phase.
    pub fn name(self) -> &'static str {
        let found = Self::NAMES.iter().find(|(phase, _)| *phase == self);
        found.map_or("off", |(_, name)| name)
    }

    /// Returns the store that keeps every unit, once that is decided.
    pub fn ends_at(self) -> Option<Side> {
        match self {
            Self::Cleanup => Some(Side::Target),
            Self::Cancelled => Some(Side::Source),
            _ => None,
        }
    }

    /// Says whether units may live at the target, and be missed if it is not there.
    pub(crate) fn needs_target(self) -> bool {
        self > Self::Off && self.ends_at().is_none()
    }

    fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(phase, _)| *phase)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// When a write is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Acknowledge {
    /// When it is at the home; the mirror follows.
    One,
    /// When it is in both stores.
    Both,
}

/// A migration's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Rises with every change.
    pub epoch: u64,
    /// How far the migration has come.
    pub phase: Phase,
    /// How many of the 10,000 buckets are to live at the target.
    pub share: u16,
    /// When a write is answered.
    pub acknowledge: Acknowledge,
    /// Whether the store that is not the home is kept up to date.
    pub mirrors: bool,
    /// Whether movers rest; clients go on.
    pub paused: bool,
    /// Whether the target was given up for lost; nobody looks at it any more.
    pub lost: bool,
}

impl Default for Config {
    fn default() -> Self {
        let (phase, acknowledge) = (Phase::Off, Acknowledge::One);
        Self { epoch: 1, phase, share: 0, acknowledge, mirrors: false, paused: false, lost: false }
    }
}

/// The version of [`Config::to_bytes`].
const FORMAT: i64 = 1;

impl Config {
    /// Says where a unit is to live: a hint where to look first, and where to move it to.
    ///
    /// By bucket, so that raising the share only adds units; the same in every process.
    pub fn place(&self, migration: &str, unit: &UnitId) -> Side {
        let is_chosen = match self.phase {
            Phase::Off | Phase::Aware | Phase::Shadow | Phase::Cancelled => false,
            Phase::Move => Bucket::of(migration.as_bytes(), unit).get() < self.share,
            Phase::Full | Phase::Settled | Phase::Cleanup => true,
        };
        if is_chosen { Side::Target } else { Side::Source }
    }

    /// Returns the bytes for the register.
    pub fn to_bytes(&self) -> Bytes {
        let body = Body::Map(Map::from([
            ("format", Body::int(FORMAT)),
            ("epoch", Body::Int(self.epoch.into())),
            ("phase", Body::text(self.phase.name())),
            ("share", Body::int(i64::from(self.share))),
            ("both", Body::Bool(self.acknowledge == Acknowledge::Both)),
            ("mirrors", Body::Bool(self.mirrors)),
            ("paused", Body::Bool(self.paused)),
            ("lost", Body::Bool(self.lost)),
        ]));
        let mut out = Vec::with_capacity(96);
        canonical::encode(&body, &mut out);
        out.into()
    }

    /// Takes a register's bytes back; `None` where they are of another format.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let body = canonical::decode(bytes).ok()?;
        let number = |name| match body.get(name)? {
            Body::Int(n) => n.as_str().parse::<u64>().ok(),
            _ => None,
        };
        let flag = |name| match body.get(name)? {
            Body::Bool(flag) => Some(*flag),
            _ => None,
        };
        if number("format")? != FORMAT as u64 {
            return None;
        }
        let acknowledge = if flag("both")? { Acknowledge::Both } else { Acknowledge::One };
        Some(Self {
            epoch: number("epoch")?,
            phase: Phase::named(body.get("phase")?.as_text()?)?,
            share: number("share")?.try_into().ok()?,
            acknowledge,
            mirrors: flag("mirrors")?,
            paused: flag("paused")?,
            lost: flag("lost")?,
        })
    }
}

/// A configuration as it stands in the store, with the version to change it from.
#[derive(Clone, Debug)]
pub struct Held {
    /// What it says.
    pub config: Config,
    etag: Option<Etag>,
}

impl Held {
    pub(crate) async fn read(source: &dyn Store, migration: &str) -> Result<Self> {
        let Some((etag, bytes)) = source.register_read(register(migration)).await? else {
            return Ok(Self { config: Config::default(), etag: None });
        };
        let Some(config) = Config::from_bytes(&bytes) else {
            let message = "the migration's configuration is damaged, or of a later version";
            let error = Error::new(ErrorKind::Damaged, "read a configuration", message);
            return Err(error.with("migration", migration));
        };
        Ok(Self { config, etag: Some(etag) })
    }
}

fn register(migration: &str) -> RegisterName {
    RegisterName(format!("migration/{migration}").into())
}

impl Pair {
    /// Reads the migration's configuration, which stands in the source; where none was written, it
    /// is the one of a migration that has not begun.
    pub async fn config(&self) -> Result<Held> {
        Held::read(&**self.store(Side::Source), self.migration()).await
    }

    /// Changes the configuration from the one that was read; the epoch rises by one.
    ///
    /// Refused where somebody else has changed it meanwhile.
    pub async fn configure(&self, was: &Held, now: Config) -> Result<Held> {
        let config = Config { epoch: was.config.epoch + 1, ..now };
        let (source, bytes) = (self.store(Side::Source), config.to_bytes());
        match source.register_swap(register(self.migration()), was.etag.clone(), bytes).await? {
            Swap::Swapped(etag) => Ok(Held { config, etag: Some(etag) }),
            Swap::Lost(_) => {
                let message = "somebody else has just changed the configuration; look again";
                let error = Error::new(ErrorKind::Refused, "change a configuration", message);
                Err(error.with("migration", self.migration()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(phase: Phase, share: u16) -> Config {
        Config { phase, share, ..Config::default() }
    }

    #[test]
    fn a_configuration_is_stored_whole() {
        for (phase, _) in Phase::NAMES {
            for (acknowledge, mirrors) in [(Acknowledge::One, false), (Acknowledge::Both, true)] {
                let paused = !mirrors;
                let of = config(phase, 9);
                let lost = mirrors;
                let config = Config { epoch: u64::MAX, acknowledge, mirrors, paused, lost, ..of };
                assert_eq!(Config::from_bytes(&config.to_bytes()), Some(config));
            }
        }
        let bytes = Config::default().to_bytes();
        assert_eq!(Config::from_bytes(&bytes[..bytes.len() - 1]), None);
    }

    /// Raising the share moves units forward only, and each phase puts all or none elsewhere.
    #[test]
    fn a_share_only_adds_units() {
        let units: Vec<_> = (0..500).map(|n| UnitId::new(format!("thread-{n}"))).collect();
        let mut before = 0;
        for share in [0, 1, 100, 3700, 9999, 10_000] {
            let config = config(Phase::Move, share);
            let there = |unit: &&UnitId| config.place("m", unit) == Side::Target;
            let now = units.iter().filter(there).count();
            let wider = Config { share: share.saturating_add(1), ..config.clone() };
            let stays = |unit| wider.place("m", unit) == Side::Target;
            assert!(units.iter().filter(there).all(stays));
            assert!(now >= before, "{now} units at {share}, {before} before");
            before = now;
        }
        assert_eq!(before, units.len());
        for (phase, side) in [(Phase::Shadow, Side::Source), (Phase::Settled, Side::Target)] {
            assert!(units.iter().all(|unit| config(phase, 5).place("m", unit) == side));
        }
    }
}
