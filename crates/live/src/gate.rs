//! Gates: what is looked at before more units move.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures::StreamExt;
use restow_model::{Digest, UnitId};
use restow_store::{Error, ErrorKind, Result};

use crate::{Compared, Errand, Router, Side, Standings};

/// How many replicas are compared where nothing else is said.
const SAMPLE: usize = 64;
/// So many mirrors are brought up to date at once.
const WORKERS: usize = 2;

/// How strict a gate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateOptions {
    /// How many replicas are read and compared with their home.
    pub sample: usize,
    /// How long 99 in 100 comparisons may take; as long as they do by default.
    pub p99_max: Option<Duration>,
    /// How many in 10,000 of the units that were tried may fail to be mirrored or read; none by
    /// default. Damage is none of these.
    pub failed_max: u16,
}

impl Default for GateOptions {
    fn default() -> Self {
        Self { sample: SAMPLE, p99_max: None, failed_max: 0 }
    }
}

/// What was found at a gate.
#[derive(Debug, Default)]
pub struct Gate {
    /// Where the units are.
    pub standings: Standings,
    /// How many replicas were equal to their home.
    pub equal: u64,
    /// How many had been written to since, or were moved meanwhile.
    pub behind: u64,
    /// Those that differ from their home: damage.
    pub differing: Vec<UnitId>,
    /// How many were tried: mirrored, or compared.
    pub tried: u64,
    /// How many of those failed.
    pub failed: u64,
    /// The first of those, with the reason.
    pub failures: Vec<(UnitId, Error)>,
    /// How long 99 in 100 comparisons took at most; a comparison reads both stores.
    pub p99: Duration,
}

impl Router {
    /// Looks at what has to be right before the share rises: no damage, no mirror that cannot be
    /// brought up to date, and a sample of replicas that equal their homes.
    ///
    /// Mirrors that are behind are brought up first: while clients write, some always are.
    /// The sample is another one under every configuration.
    pub async fn gate(&self, options: &GateOptions) -> Result<Gate> {
        let mut gate = Gate::default();
        if self.config().mirrors {
            let (errand, stop) = (Errand::Copy(Side::Source), AtomicBool::new(false));
            let swept = self.sweep(errand, WORKERS, &stop).await?;
            gate.tried = swept.moved + swept.stay + swept.failed;
            (gate.failed, gate.failures) = (swept.failed, swept.failures);
        }
        gate.standings = self.standings().await?;
        let mut took = Vec::new();
        for unit in self.sampled(options.sample).await? {
            let began = self.now();
            let compared = self.compare(&unit).await;
            took.push(self.now().saturating_sub(began));
            gate.tried += 1;
            match compared {
                Ok(Compared::Equal) => gate.equal += 1,
                Ok(Compared::Lags | Compared::Alone) => gate.behind += 1,
                Ok(Compared::Differs) => gate.differing.push(unit),
                Err(error) => {
                    gate.failed += 1;
                    gate.failures.push((unit, error));
                }
            }
        }
        took.sort_unstable();
        gate.p99 = took
            .get((took.len() * 99).div_ceil(100).saturating_sub(1))
            .copied()
            .unwrap_or_default();
        Ok(gate)
    }

    /// Picks units that have a replica of their last write: those of the lowest hashes.
    async fn sampled(&self, many: usize) -> Result<Vec<UnitId>> {
        let salt = self.config().epoch.to_be_bytes();
        let mut units = Box::pin(self.units().await?);
        let mut lowest = std::collections::BinaryHeap::new();
        while let Some(listed) = units.next().await {
            let listed = listed?;
            let lacks = |side| self.needs(Errand::Copy(side), &listed).is_some();
            if !listed.is_in_both() || Side::BOTH.into_iter().any(lacks) {
                continue;
            }
            let name = [&salt[..], listed.unit.as_str().as_bytes()].concat();
            lowest.push((*Digest::of(&name).as_bytes(), listed.unit));
            if lowest.len() > many {
                lowest.pop();
            }
        }
        Ok(lowest.into_iter().map(|(_, unit)| unit).collect())
    }
}

impl Gate {
    /// Refuses where more units must not move, and says why.
    pub fn pass(&self, options: &GateOptions) -> Result<()> {
        let refuse = |message: &'static str, name: &'static str, value: String| {
            let error = Error::new(ErrorKind::Refused, "raise the share", message);
            Err(error.with(name, value))
        };
        if let Some((unit, why)) = self.standings.damaged_units.first() {
            let message = "units are damaged, so that no more of them move; see `migrate status`";
            return refuse(message, "unit", format!("{unit}: {why}"));
        }
        if let Some(unit) = self.differing.first() {
            let message = "a replica is not what its home holds, so that no more units move; \
                           check the store that holds the replica";
            return refuse(message, "unit", unit.to_string());
        }
        let is_damage = |(_, error): &&(UnitId, Error)| error.kind() == ErrorKind::Damaged;
        let is_often = self.failed * 10_000 > u64::from(options.failed_max) * self.tried;
        let told = self.failures.iter().find(is_damage);
        if let Some((unit, error)) = told.or(self.failures.first().filter(|_| is_often)) {
            let message = "units cannot be mirrored or read, so that no more of them move";
            let refused = refuse(message, "failed", format!("{} of {}", self.failed, self.tried));
            return refused.map_err(|e| e.with("unit", format!("{unit}: {error}")));
        }
        match options.p99_max {
            Some(most) if self.p99 > most => {
                let message = "99 in 100 comparisons take too long to let more units move";
                refuse(message, "p99", format!("{} ms", self.p99.as_millis()))
            }
            _ => Ok(()),
        }
    }
}
