//! The rules of the protocol. Each can be taken away, to see what it is there for.

macro_rules! rules {
    ($($name:ident: $says:literal,)*) => {
        /// A rule of the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Rule { $(#[doc = concat!($says, ".")] $name,)* }

        impl Rule {
            /// Every rule.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns what the rule says, in a sentence without its full stop.
            pub fn says(self) -> &'static str {
                match self { $(Self::$name => $says,)* }
            }
        }
    };
}

rules! {
    HomeIsInTheStores: "The control record tells the home, never the percentage",
    WritesAreGuarded: "A write holds only where the store is live at the term that was seen",
    GuardSeesControl: "A guard sees the control record, not only the records",
    GuardSeesState: "A guard sees the whole control record, not only its generation",
    GuardSeesPosition: "A staged copy changes only from the position seen, not only under a token",
    RecordIsOfThisStore: "A control record that another store wrote is refused",
    AdoptBehindBarrier: "No control record is written before every client writes them",
    AdoptionCounts: "Adopting content that no journal tells counts as a write",
    BaseBeforeCopy: "The base is the source's seq before the first batch, not after the last",
    TargetFirst: "A mover looks at the target first, so that what it reads of the source is newer",
    JournalWithoutGap: "A replay needs every entry between the two seqs",
    VerifyBeforeSeal: "The staged copy is read back before the seal",
    SmallLapBeforeSeal: "The source is sealed only when at most one lap is left",
    SealIsExact: "The seal holds only at the generation that was seen",
    LastLapFirst: "Only what has reached the sealed seq is activated",
    CheckBeforeActivate: "What is activated was compared with what is sealed",
    ActivationRaisesTerm: "Activation raises the term",
    OneStepActivation: "Staged records and control record become the home's in one step",
    AnyoneHelps: "Any client finishes a sealed unit's move",
    AnyoneAborts: "Any client aborts what cannot be finished in one lap",
    FenceBeforeReopen: "The target is fenced before the source is reopened",
    FenceRaisesTerm: "The fence raises the target's term",
    ReopenRaisesTerm: "Reopening raises the term",
    AuthorityFirst: "The home is written before the mirror",
    MirrorIsConditional: "A mirror is written only over the replica that was seen",
    CopiesGoForward: "A replica is overwritten only by a later generation",
    MirrorBeforeAnswer: "Under policy both the answer waits for the mirror",
    ReadOneGeneration: "A read during which the control record changed is repeated",
    SealedBodyAfterBothLooks: "A sealed unit is read only after a look at the other store",
    SealedIsLast: "A sealed record counts only while the other store's term is not beyond it",
    OperationsAreKnown: "A write that the journal knows is not made again",
    LostIsNotFailed: "A lost answer is looked up, and never taken for a failure",
    WriteSaysWhatItSaw: "A write holds only where the journal reaches back to what it saw",
    EpochOnlyRises: "A mover leaves alone what a later epoch has moved",
    TombstonesStay: "A removed unit keeps its control record",
    RetiredSaysSo: "A retired store says so to every read and every write",
    CloseBeforeRetiring: "No unit begins at a store that is about to be retired",
    MarkBeforeRetiring: "No store is retired before the last epoch stands at every unit's home",
    DrainBeforeForcing: "Clients are drained before a replica is forced to be the home",
}

/// The rules that hold: all, unless a test takes one away to see what goes wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    removed: Option<Rule>,
}

impl Rules {
    /// Takes one rule away; never done outside of tests.
    #[doc(hidden)]
    pub fn without(rule: Rule) -> Self {
        Self { removed: Some(rule) }
    }

    /// Says whether a rule holds.
    pub fn has(self, rule: Rule) -> bool {
        self.removed != Some(rule)
    }
}
