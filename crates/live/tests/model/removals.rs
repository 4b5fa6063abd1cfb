//! What each rule is there for: without it, a property fails in some configuration.

use crate::configurations::{self as on, Setup};
use crate::properties::*;
use crate::rules::Rule;

/// A rule, and where its removal shows.
pub(crate) struct Removal {
    pub(crate) rule: Rule,
    pub(crate) setup: Setup,
    pub(crate) breaks: &'static str,
}

const fn removal(rule: Rule, setup: Setup, breaks: &'static str) -> Removal {
    Removal { rule, setup, breaks }
}

pub(crate) const ALL: &[Removal] = &[
    removal(Rule::HomeIsInTheStores, on::two_movers, I1),
    removal(Rule::WritesAreGuarded, on::two_movers, I1),
    removal(Rule::GuardSeesControl, on::stale_epoch, I1),
    removal(Rule::GuardSeesState, on::two_movers, I3),
    removal(Rule::GuardSeesPosition, on::two_movers, I10),
    removal(Rule::RecordIsOfThisStore, on::clone, I3),
    removal(Rule::AdoptBehindBarrier, on::unaware, I2),
    removal(Rule::AdoptionCounts, on::given_up, I7),
    removal(Rule::BaseBeforeCopy, on::two_movers, I17),
    removal(Rule::TargetFirst, on::two_movers, I17),
    removal(Rule::JournalWithoutGap, on::there_and_back, I7),
    removal(Rule::VerifyBeforeSeal, on::damaged, I10),
    removal(Rule::SmallLapBeforeSeal, on::there_and_back, I16),
    removal(Rule::SealIsExact, on::there_and_back, I3),
    removal(Rule::LastLapFirst, on::two_movers, I3),
    removal(Rule::CheckBeforeActivate, on::damaged, I3),
    removal(Rule::ActivationRaisesTerm, on::there_and_back, I8),
    removal(Rule::OneStepActivation, on::there_and_back, I7),
    removal(Rule::AnyoneHelps, on::there_and_back, I15),
    removal(Rule::AnyoneAborts, on::damaged, I15),
    removal(Rule::FenceBeforeReopen, on::given_up, I1),
    removal(Rule::FenceRaisesTerm, on::given_up, I1),
    removal(Rule::ReopenRaisesTerm, on::lost_answers, I13),
    removal(Rule::AuthorityFirst, on::mirror_one, I7),
    removal(Rule::MirrorIsConditional, on::mirror_one, I3),
    removal(Rule::CopiesGoForward, on::mirror_one, I9),
    removal(Rule::MirrorBeforeAnswer, on::mirror_both, I6),
    removal(Rule::ReadOneGeneration, on::in_pieces, I5),
    removal(Rule::SealedBodyAfterBothLooks, on::reading, I5),
    removal(Rule::OperationsAreKnown, on::lost_answers, I13),
    removal(Rule::LostIsNotFailed, on::lost_answers, I13),
    removal(Rule::WriteSaysWhatItSaw, on::trimmed, I13),
    removal(Rule::EpochOnlyRises, on::stale_epoch, I14),
    removal(Rule::TombstonesStay, on::created_and_removed, I2),
    removal(Rule::RetiredSaysSo, on::completed, I5),
    removal(Rule::DrainBeforeRetiring, on::completed, I3),
    removal(Rule::DrainBeforeForcing, on::forced, I4),
];
