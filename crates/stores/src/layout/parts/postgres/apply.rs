//! Applying a batch: one transaction for all units, and where that fails one for each.

use std::sync::{Arc, Mutex, PoisonError};

use postgres::error::SqlState;
use restow_store::failpoint::{self, Point};
use restow_store::feed::Stop;
use restow_store::{Error, ErrorKind, UnitOps, UnitOutcome};

use super::schema::Tables;
use super::work::Work;
use crate::engine::postgres::{Fail, Server};
use crate::layout::parts::write::{self, Logs, OPERATION, Writer};

/// How often a unit begins again because others wrote it at the same time.
const ATTEMPTS_MAX: usize = 10;

/// Writers that wait for the next transaction, and the logs that they share.
#[derive(Clone, Debug, Default)]
pub(super) struct Writers {
    waiting: Arc<Mutex<Vec<Writer>>>,
    logs: Logs,
}

impl Writers {
    fn take(&self) -> Result<Writer, Error> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let failed = |torn| Error::new(ErrorKind::Failed, OPERATION, format!("{torn}"));
        waiting.map_or_else(|| Writer::new(&self.logs).map_err(failed), Ok)
    }

    fn give_back(&self, mut writer: Writer) {
        writer.rolled_back();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(writer);
    }
}

/// Why a transaction brought no outcomes.
enum Missed {
    /// Others wrote a unit at the same time; nothing is changed, and beginning again is right.
    Conflict(Error),
    /// The server does not take what a unit holds; nothing is changed.
    Refused(Error),
    /// Nothing more can be done.
    Ended(Stop),
}

/// Applies operations; one outcome a unit.
pub(super) fn apply(
    server: &Server,
    tables: &Tables,
    writers: &Writers,
    units: &[UnitOps],
) -> Result<Vec<UnitOutcome>, Stop> {
    let mut writer = writers.take()?;
    let mut place = Place { server, tables, writer: &mut writer };
    let outcomes = match place.together(units) {
        Ok(outcomes) => Ok(outcomes),
        Err(Missed::Ended(stop)) => Err(stop),
        Err(Missed::Conflict(_) | Missed::Refused(_)) => {
            units.iter().map(|ops| place.alone(ops)).collect()
        }
    };
    writers.give_back(writer);
    outcomes
}

struct Place<'p> {
    server: &'p Server,
    tables: &'p Tables,
    writer: &'p mut Writer,
}

impl Place<'_> {
    /// Applies the operations of one unit, again while others write it at the same time.
    fn alone(&mut self, ops: &UnitOps) -> Result<UnitOutcome, Stop> {
        let mut attempts = 1;
        loop {
            return match self.together(std::slice::from_ref(ops)) {
                Ok(outcomes) => {
                    Ok(outcomes.into_iter().next().unwrap_or(UnitOutcome::Indeterminate))
                }
                Err(Missed::Conflict(_)) if attempts < ATTEMPTS_MAX => {
                    attempts += 1;
                    continue;
                }
                Err(Missed::Conflict(error) | Missed::Refused(error)) => {
                    Ok(UnitOutcome::Failed(error.with("unit", ops.unit.to_string())))
                }
                Err(Missed::Ended(stop)) => Err(stop),
            };
        }
    }

    /// Applies operations in one transaction.
    fn together(&mut self, units: &[UnitOps]) -> Result<Vec<UnitOutcome>, Missed> {
        let (mut outcomes, mut code, mut is_sent) = (Vec::new(), None, false);
        let done = self.server.write(OPERATION, |tx| {
            self.writer.rolled_back();
            let names: Vec<_> = units.iter().map(|ops| &ops.unit).collect();
            let written = Work::begin(tx, self.tables, &names).and_then(|mut work| {
                for ops in units {
                    outcomes.push(one(&mut work, self.writer, ops, self.server)?);
                }
                work.finish()
            });
            if let Err(Fail::Engine(error)) = &written {
                code = error.code().cloned();
            }
            written?;
            is_sent = true;
            Ok(failpoint::pass(Point::BeforeCommit)?)
        });
        match done {
            Ok(()) => {
                self.writer.committed();
                failpoint::pass(Point::Committed).map_err(|error| Missed::Ended(error.into()))?;
                Ok(outcomes)
            }
            // Whether the commit arrived nobody knows; what was not applied was not for sure.
            Err(Stop::Error(error)) if is_sent && error.is_retryable() => {
                let became = |outcome| match outcome {
                    UnitOutcome::Applied { .. } => UnitOutcome::Indeterminate,
                    outcome => outcome,
                };
                Ok(outcomes.into_iter().map(became).collect())
            }
            Err(Stop::Error(error)) if code.as_ref().is_some_and(is_conflict) => {
                Err(Missed::Conflict(error))
            }
            Err(Stop::Error(error)) if code.as_ref().is_some_and(is_of_a_unit) => {
                Err(Missed::Refused(error))
            }
            Err(stop) => Err(Missed::Ended(stop)),
        }
    }
}

fn one(
    work: &mut Work<'_, '_>,
    writer: &mut Writer,
    ops: &UnitOps,
    server: &Server,
) -> Result<UnitOutcome, Fail> {
    work.open(&ops.unit);
    match write::apply(work, writer, ops) {
        Ok(outcome) => work.keep().map(|()| outcome),
        Err(stop) => {
            let place = ("server", server.settings().shown().to_owned());
            let outcome = stop.outcome(&ops.unit, place, |fail| fail)?;
            work.take_back().map(|()| outcome)
        }
    }
}

fn is_conflict(code: &SqlState) -> bool {
    let codes = [
        SqlState::UNIQUE_VIOLATION,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::T_R_SERIALIZATION_FAILURE,
    ];
    codes.contains(code)
}

/// Says whether it is the data that the server refuses: data exceptions, limits of the program.
fn is_of_a_unit(code: &SqlState) -> bool {
    code.code().starts_with("22") || code.code().starts_with("54")
}
