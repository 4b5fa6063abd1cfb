//! Where the units of a migration are, counted from lists of both stores.
//!
//! The stores are listed one beside the other, not at one moment: what two entries show together
//! may never have been. So whatever looks like damage is looked at again, at one moment, before it
//! is called that.

use futures::{Stream, StreamExt};
use restow_model::UnitId;
use restow_store::{ErrorKind, Result};

use crate::fleet::{Errand, Listed, NAMED_MAX};
use crate::look::Look;
use crate::protocol::Home;
use crate::view::{Seen, Status};
use crate::{Router, Side};

/// So many times a unit may change under a look before it counts as on its way.
const LOOKS_MAX: usize = 16;

/// Where the units of a migration are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standings {
    /// How many units there are.
    pub units: u64,
    /// How many live at the source.
    pub at_source: u64,
    /// How many live at the target.
    pub at_target: u64,
    /// How many are sealed: on their way, until anybody touches them.
    pub sealed: u64,
    /// How many have a copy that is being filled.
    pub staging: u64,
    /// How many are not where the configuration wants them.
    pub misplaced: u64,
    /// How many units have no replica of their last write in the store that is not their home.
    pub uncopied: u64,
    /// How many units at the target have an older copy at the source, or none: what a rollback
    /// would have to move first.
    pub mirror_lag: u64,
    /// How many units have two homes, copies of one generation and different content, or a control
    /// record that cannot be read: damage.
    pub damaged: u64,
    /// The first of those, with what is wrong.
    pub damaged_units: Vec<(UnitId, String)>,
}

impl Standings {
    /// Says whether every unit at the target has an equal copy at the source.
    pub fn rollback_ready(&self) -> bool {
        self.mirror_lag == 0 && self.damaged == 0
    }

    fn is_damaged(&mut self, unit: &UnitId, why: impl Into<String>) {
        self.damaged += 1;
        if self.damaged_units.len() < NAMED_MAX {
            self.damaged_units.push((unit.clone(), why.into()));
        }
    }
}

/// What is wrong with a unit, as two entries show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    TwoHomes,
    TwoContents,
}

impl Damage {
    fn why(self) -> &'static str {
        match self {
            Self::TwoHomes => "both stores are its home",
            Self::TwoContents => "the stores hold two contents of one write",
        }
    }

    fn of(seen: &Seen, home: Home) -> Option<Self> {
        let is_live = |side| seen.at(side).is(Status::Live);
        if Side::BOTH.into_iter().all(is_live) {
            return Some(Self::TwoHomes);
        }
        let (Home::At(home) | Home::Legacy(home)) = home else { return None };
        let at = |side: Side| seen.at(side).control.map(|c| (c.generation.seq, c.digest));
        let replica = seen.at(home.other());
        let ((seq, digest), (other, content)) = (at(home)?, at(home.other())?);
        let is_copy = replica.staging().is_none() && replica.generation().term > 0;
        (is_copy && seq == other && digest != content).then_some(Self::TwoContents)
    }
}

impl Router {
    /// Counts where all units are, from a list of both stores.
    ///
    /// A unit that moves meanwhile counts as sealed or as what it was.
    pub async fn standings(&self) -> Result<Standings> {
        self.counted(self.units().await?).await
    }

    async fn counted(&self, units: impl Stream<Item = Result<Listed>>) -> Result<Standings> {
        let mut units = Box::pin(units);
        let mut count = Standings::default();
        while let Some(listed) = units.next().await {
            let mut listed = listed?;
            if self.damage(&listed).is_some() {
                match self.at_one_moment(&listed.unit).await? {
                    Some(now) => listed = now,
                    None => {
                        count.units += 1;
                        count.sealed += 1;
                        continue;
                    }
                }
            }
            self.count(&listed, &mut count);
        }
        Ok(count)
    }

    fn damage(&self, listed: &Listed) -> Option<Damage> {
        let seen = listed.seen(self.pair());
        Damage::of(&seen, self.home_of(&seen))
    }

    /// Looks at a unit in both stores; `None` where it changes all the time.
    async fn at_one_moment(&self, unit: &UnitId) -> Result<Option<Listed>> {
        let hand = self.hand(unit);
        let has = |look: &Look| match (&look.control, look.view.has_records) {
            (None, false) => None,
            (control, _) => Some(control.clone()),
        };
        for _ in 0..LOOKS_MAX {
            let looks = match hand.look_at_both(Side::Source).await {
                Err(error) if error.kind() == ErrorKind::Damaged => {
                    let (unit, damage) = (unit.clone(), Some(error));
                    return Ok(Some(Listed { unit, source: None, target: None, damage }));
                }
                looks => looks?,
            };
            let source = has(looks.at(Side::Source));
            // No control record comes twice: what is the same again was so all the time.
            if has(&hand.look(Side::Source, None).await?) == source {
                let (unit, target) = (unit.clone(), has(looks.at(Side::Target)));
                return Ok(Some(Listed { unit, source, target, damage: None }));
            }
        }
        Ok(None)
    }

    fn count(&self, listed: &Listed, count: &mut Standings) {
        count.units += 1;
        if let Some(error) = &listed.damage {
            return count.is_damaged(&listed.unit, error.to_string());
        }
        let seen = listed.seen(self.pair());
        let is_staged = |side| seen.at(side).staging().is_some();
        count.staging += u64::from(Side::BOTH.into_iter().any(is_staged));
        let home = self.home_of(&seen);
        let damage = Damage::of(&seen, home);
        if let Some(damage) = damage {
            count.is_damaged(&listed.unit, damage.why());
        }
        let home = match home {
            Home::At(side) | Home::Legacy(side) => side,
            Home::Sealed(_) | Home::Unclear => {
                count.sealed += u64::from(damage.is_none());
                return;
            }
        };
        match home {
            Side::Source => count.at_source += 1,
            Side::Target => count.at_target += 1,
        }
        count.misplaced += u64::from(self.wanted(&listed.unit) != home);
        let lacks = |side| self.needs(Errand::Copy(side), listed).is_some();
        count.uncopied += u64::from(Side::BOTH.into_iter().any(lacks));
        if home == Side::Target {
            let seq = |side: Side| seen.at(side).generation().seq;
            count.mirror_lag += u64::from(seq(Side::Source) < seq(Side::Target));
        }
    }
}

#[cfg(test)]
#[path = "standings_tests.rs"]
mod tests;
