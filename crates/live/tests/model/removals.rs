//! What each rule is there for: without it, an invariant fails in some configuration.

use crate::configurations::{self as on, Setup};
use crate::properties::*;
use restow_live::Rule;

/// A rule, where its removal shows, and what goes wrong there.
pub(crate) struct Removal {
    pub(crate) rule: Rule,
    pub(crate) setup: Setup,
    pub(crate) breaks: &'static str,
    pub(crate) wrong: &'static str,
}

macro_rules! removals {
    ($($rule:ident, $setup:ident, $breaks:ident, $wrong:literal;)*) => {
        pub(crate) const ALL: &[Removal] = &[$(Removal {
            rule: Rule::$rule,
            setup: on::$setup,
            breaks: $breaks,
            wrong: $wrong,
        },)*];
    };
}

removals! {
    HomeIsInTheStores, two_movers, I1, "two clients of different percentages write to both";
    WritesAreGuarded, two_movers, I1, "a slow write makes the sealed source live again";
    GuardSeesControl, stale_epoch, I1, "a seal changes no record, and nobody notices it";
    GuardSeesState, two_movers, I3, "another mover's half copy is activated";
    GuardSeesPosition, two_movers, I10, "a late lap takes a staged copy back";
    RecordIsOfThisStore, clone, I3, "a clone is live as well";
    AdoptBehindBarrier, unaware, I2, "an unaware client's write is in no journal";
    AdoptionCounts, given_up, I7, "an empty replica is replayed to as if it held the unit";
    BaseBeforeCopy, two_movers, I17, "a write between two batches is in no lap";
    TargetFirst, two_movers, I17, "a lap from an old look misses what a batch already holds";
    JournalWithoutGap, there_and_back, I7, "a replay leaves out what it was not told";
    VerifyBeforeSeal, damaged, I10, "a damaged copy costs a seal and an abort";
    SmallLapBeforeSeal, there_and_back, I16, "writers wait for a long lap";
    SealIsExact, there_and_back, I3, "a late seal hides a write";
    LastLapFirst, two_movers, I3, "what was written before the seal is left behind";
    CheckBeforeActivate, damaged, I3, "a last lap that was stored wrongly becomes the home";
    ActivationRaisesTerm, there_and_back, I8, "two homes have one term";
    OneStepActivation, there_and_back, I7, "promoted records stand under the old generation";
    AnyoneHelps, there_and_back, I15, "a mover dies, and its unit stays sealed";
    AnyoneAborts, damaged, I15, "a copy that cannot be finished keeps its unit sealed";
    FenceBeforeReopen, given_up, I1, "a late helper activates beside the reopened source";
    FenceRaisesTerm, given_up, I1, "a target that nobody fenced passes for a fenced one";
    ReopenRaisesTerm, lost_answers, I13, "a write that was called failed arrives after all";
    AuthorityFirst, mirror_one, I7, "the mirror keeps a write that lost";
    MirrorIsConditional, mirror_one, I3, "a late mirror overwrites the new home";
    CopiesGoForward, mirror_one, I9, "a late mirror takes the replica back";
    MirrorBeforeAnswer, mirror_both, I6, "an answered write is only at the home";
    ReadOneGeneration, in_pieces, I5, "a read is half one write, half another";
    SealedBodyAfterBothLooks, reading, I5, "a sealed unit is read long after it moved";
    SealedIsLast, reading_mirror, I5, "a sealed record seen before two moves passes for the home";
    OperationsAreKnown, lost_answers, I13, "a write is sent again and made twice";
    LostIsNotFailed, lost_answers, I13, "a write is called failed, and was made";
    WriteSaysWhatItSaw, trimmed, I13, "a write comes again after its entry was trimmed";
    EpochOnlyRises, stale_epoch, I14, "an old mover undoes a rollback";
    TombstonesStay, created_and_removed, I2, "a removed unit begins a second chain";
    TombstonesStay, created_and_removed, I11, "its control record goes with it";
    RetiredSaysSo, completed, I5, "a purged unit is read as one that never was";
    CloseBeforeRetiring, begun_late, I15, "a unit begins at a store and is retired with it";
    MarkBeforeRetiring, completed, I15, "a rollback makes a retired store the home";
    DrainBeforeForcing, forced, I4, "a write is answered that the forced home lacks";
}
