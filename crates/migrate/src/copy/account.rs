//! The account of work on units: what was applied, what came of it, what the ledger is told.

use std::sync::Arc;

use restow_model::{Token, UnitId};
use restow_store::failpoint::{self, Point};
use restow_store::ledger::{Failure, Step, Watermark};
use restow_store::{
    Batch, Current as There, Error, ErrorKind, Guard, Result, Then, UnitOps, UnitOutcome,
};

use super::current::Written;
use super::shared::{Became, Shared};
use crate::limits::ANSWERS_AWAITED_MAX;

/// What was done since the ledger was told last.
pub(super) struct Account {
    pub(super) shared: Arc<Shared>,
    pub(super) step: Step,
    /// Units to be read again by name, and the guard to stage them under, where that is known.
    pub(super) again: Vec<(UnitId, Option<Guard>)>,
}

impl Account {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, step: Step::default(), again: Vec::new() }
    }

    /// Takes over what another account says.
    pub(super) fn merge(&mut self, other: Self) {
        self.step.merge(other.step);
        self.again.extend(other.again);
    }

    /// Notes a unit that was not copied.
    pub(super) fn failed(&mut self, unit: Option<UnitId>, what: &str, why: impl Into<Box<str>>) {
        self.shared.progress.failure();
        self.step.failures.push(Failure { unit, what: what.into(), why: why.into() });
    }

    /// Applies operations; those whose answer is lost are repeated.
    pub(super) async fn apply(&mut self, units: Vec<UnitOps>) -> Result<Vec<UnitOutcome>> {
        if units.is_empty() {
            return Ok(Vec::new());
        }
        failpoint::pass(Point::Apply)?;
        let target = &self.shared.target;
        let mut outcomes = target.apply(Batch { units: units.clone() }).await?;
        for _ in 1..ANSWERS_AWAITED_MAX {
            let lost = |(_, o): &(usize, &UnitOutcome)| matches!(o, UnitOutcome::Indeterminate);
            let open: Vec<usize> =
                outcomes.iter().enumerate().filter(lost).map(|(n, _)| n).collect();
            if open.is_empty() {
                break;
            }
            let repeated = open.iter().map(|n| units[*n].clone()).collect();
            let answers = target.apply(Batch { units: repeated }).await?;
            for (n, answer) in open.into_iter().zip(answers) {
                outcomes[n] = answer;
            }
        }
        match outcomes.len() == units.len() {
            true => Ok(outcomes),
            false => {
                let message = "the target did not answer for every unit; a defect of the adapter";
                Err(Error::new(ErrorKind::Failed, "apply a batch", message))
            }
        }
    }

    /// Reports what is final about an outcome; an error that can pass ends the attempt at it.
    pub(super) fn judge(&mut self, unit: &UnitId, outcome: UnitOutcome) -> Result<Judged> {
        Ok(match outcome {
            UnitOutcome::Applied { .. } | UnitOutcome::AlreadyApplied { .. } => Judged::Applied,
            UnitOutcome::Lost(There::Managed(control)) => {
                let other = control.counterpart;
                let why = format!(
                    "at the target it belongs to a live migration with {other}; finish or cancel \
                     that one first"
                );
                self.failed(Some(unit.clone()), "refused", why);
                Judged::Failed
            }
            UnitOutcome::Lost(_) | UnitOutcome::Indeterminate => Judged::Lost,
            UnitOutcome::TooLarge => Judged::TooLarge,
            UnitOutcome::Unsupported(found) => {
                self.failed(Some(unit.clone()), "unsupported", found.to_string());
                Judged::Failed
            }
            UnitOutcome::Failed(error) if error.is_retryable() => return Err(error),
            UnitOutcome::Failed(error) => {
                self.failed(Some(unit.clone()), "failed", with_causes(&error));
                Judged::Failed
            }
        })
    }

    pub(super) async fn apply_one(&mut self, ops: UnitOps) -> Result<Judged> {
        let unit = ops.unit.clone();
        match self.apply(vec![ops]).await?.pop() {
            Some(outcome) => self.judge(&unit, outcome),
            None => Ok(Judged::Lost),
        }
    }

    /// Removes a staged copy, where there is one.
    pub(super) async fn discard(&mut self, unit: UnitId, token: Option<Token>) -> Result<()> {
        let Some(token) = token.filter(|_| self.shared.target.info().capabilities.staging) else {
            return Ok(());
        };
        let guard = Guard::Staging(token.clone());
        let dialect = restow_model::Dialect::default();
        let ops = UnitOps::new(unit.clone(), dialect, guard, Vec::new(), Then::Discard(token));
        for outcome in self.apply(vec![ops]).await? {
            match outcome {
                UnitOutcome::Failed(error) if error.is_retryable() => return Err(error),
                UnitOutcome::Failed(_) | UnitOutcome::Indeterminate => {}
                // A copy that is not there, or not ours, is lost: just so.
                _ => self.step.unstaged.push(unit.clone()),
            }
        }
        Ok(())
    }

    /// Notes a unit that is now equal on both sides.
    pub(super) fn settled(
        &mut self,
        unit: UnitId,
        sum: restow_model::UnitDigest,
        written: Written,
        became: Became,
    ) {
        self.shared.became(&unit, became, written);
        self.step.watermarks.push((unit, Watermark { source: sum, target: sum }));
    }
}

/// What an outcome means for the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Applied,
    /// Something is there, or nobody knows.
    Lost,
    TooLarge,
    /// It is reported.
    Failed,
}

/// Shows an error with its causes: here they are told, or nowhere.
pub(super) fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
