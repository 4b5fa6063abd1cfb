//! The names of the protocol's steps, the same in the model, in the code and in what both print.

use std::fmt;

/// One step of the live protocol: a look at one store, or one conditional apply at one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Reads what a store says of the unit.
    Look,
    /// Gives a unit without control record its first one, at the store where it lives.
    Adopt,
    /// Opens an empty staged copy in the target, and notes the source's seq as its base.
    Stage,
    /// Copies one batch of records to the staged copy while the source goes on.
    CopyBatch,
    /// Replays to the staged copy what the source's journal tells since the base.
    Lap,
    /// Reads the staged copy back and compares it with what the lap claimed.
    Verify,
    /// Stops writes at the source.
    Seal,
    /// Replays the little that is left while the source is sealed.
    LastLap,
    /// Makes the staged copy a replica that may be replayed to.
    Publish,
    /// Makes the target the home, with what it holds, in one step.
    Activate,
    /// Makes sure that the target is not activated by anybody who is late.
    Fence,
    /// Lets the source of an aborted move go on.
    Reopen,
    /// Writes at the home.
    Write,
    /// Replays to a replica what the home's journal tells since the replica's seq.
    Mirror,
    /// Forgets journal entries.
    Trim,
    /// Lets no unit begin at a store that is to be retired.
    Close,
    /// Notes at the home that no older mover may take the unit away.
    Mark,
    /// Ends a store's part in a migration for good.
    Retire,
    /// Removes what a retired store holds of a unit.
    Purge,
    /// Makes the replica the home, because the home is lost.
    Force,
}

impl Step {
    /// Every step, in the order in which a move meets them.
    pub const ALL: [Self; 20] = [
        Self::Look,
        Self::Adopt,
        Self::Stage,
        Self::CopyBatch,
        Self::Lap,
        Self::Verify,
        Self::Seal,
        Self::LastLap,
        Self::Publish,
        Self::Activate,
        Self::Fence,
        Self::Reopen,
        Self::Write,
        Self::Mirror,
        Self::Trim,
        Self::Close,
        Self::Mark,
        Self::Retire,
        Self::Purge,
        Self::Force,
    ];

    /// Returns the name by which hooks, schedules and logs know the step.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Adopt => "adopt",
            Self::Stage => "stage",
            Self::CopyBatch => "copy batch",
            Self::Lap => "lap",
            Self::Verify => "verify",
            Self::Seal => "seal",
            Self::LastLap => "last lap",
            Self::Publish => "publish",
            Self::Activate => "activate",
            Self::Fence => "fence",
            Self::Reopen => "reopen",
            Self::Write => "write",
            Self::Mirror => "mirror",
            Self::Trim => "trim",
            Self::Close => "close",
            Self::Mark => "mark",
            Self::Retire => "retire",
            Self::Purge => "purge",
            Self::Force => "force",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
