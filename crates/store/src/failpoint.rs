//! Named points at which a test stops the process or fails an operation.
//!
//! Without the feature `failpoints` every call compiles to nothing. The list is one enum, so that
//! a crash test can be sure to have visited each.

use crate::Result;

macro_rules! points {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// A named point.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Point { $($(#[$doc])* $name),+ }

        impl Point {
            /// Every point, in the order in which a copy, and a backup behind it, passes them.
            pub const ALL: &'static [Point] = &[$(Point::$name),+];

            /// Returns the name by which a test arms the point.
            pub fn name(self) -> &'static str {
                match self { $(Point::$name => $text),+ }
            }

            /// Says whether only a backup passes it, behind its copy.
            pub fn is_of_backup(self) -> bool {
                matches!(self, Self::Manifest | Self::Whole | Self::Named)
            }
        }
    };
}

points! {
    /// The target's tables are about to be made.
    Prepare = "prepare",
    /// The target's tables were made.
    Prepared = "prepared",
    /// The ledger holds the plan, nothing was copied.
    Planned = "planned",
    /// A batch is about to be applied.
    Apply = "apply",
    /// Inside the transaction of an apply, behind its rows, before the commit.
    BeforeCommit = "before-commit",
    /// An apply was committed.
    Committed = "committed",
    /// A share of a staged unit was written.
    Staged = "staged",
    /// A staged unit is about to be promoted.
    Promote = "promote",
    /// A staged unit was promoted.
    Promoted = "promoted",
    /// A batch was read back and matched; the ledger does not know yet.
    ReadBack = "read-back",
    /// The ledger was told of a batch.
    Saved = "saved",
    /// All units were copied; the sweep is about to begin.
    Sweep = "sweep",
    /// The sweep is done; the attempt is not closed.
    Swept = "swept",
    /// A backup's manifest is about to be written.
    Manifest = "manifest",
    /// A backup is whole, and about to get its name.
    Whole = "whole",
    /// A backup has its name; what it was made in is still there.
    Named = "named",
}

/// Passes a point: does nothing, returns an error, or ends the process, as the test armed it.
#[inline]
pub fn pass(point: Point) -> Result<()> {
    #[cfg(feature = "failpoints")]
    return armed::pass(point);
    #[cfg(not(feature = "failpoints"))]
    {
        let _ = point;
        Ok(())
    }
}

#[cfg(feature = "failpoints")]
pub use armed::{COUNT, arm, passed};

#[cfg(feature = "failpoints")]
mod armed {
    //! What a test armed: one point, the how-manieth pass, and what happens there.

    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::Point;
    use crate::{Error, ErrorKind, Result};

    struct Armed {
        point: Option<Point>,
        at: u64,
        kill: bool,
        seen: u64,
    }

    static ARMED: Mutex<Option<Armed>> = Mutex::new(None);
    static PASSED: [AtomicU64; Point::ALL.len()] = [const { AtomicU64::new(0) }; Point::ALL.len()];

    /// What arms nothing, and has the passes of every point told in the end.
    pub const COUNT: &str = "count";

    /// Arms `NAME[:N][=kill|=error]`, or `any:N=kill`; the empty text and [`COUNT`] disarm.
    pub fn arm(text: &str) -> Result<()> {
        let bad = || {
            let names: Vec<_> = Point::ALL.iter().map(|p| p.name()).collect();
            Error::new(ErrorKind::Invalid, "arm a failpoint", "no such failpoint")
                .with("given", text)
                .with("known", names.join(" "))
        };
        let armed = if ["", COUNT].contains(&text) {
            None
        } else {
            let (spec, action) = text.split_once('=').unwrap_or((text, "kill"));
            let (name, at) = spec.split_once(':').unwrap_or((spec, "1"));
            let point = Point::ALL.iter().find(|p| p.name() == name).copied();
            if (point.is_none() && name != "any") || !["kill", "error"].contains(&action) {
                return Err(bad());
            }
            let at = at.parse().map_err(|_| bad())?;
            Some(Armed { point, at, kill: action == "kill", seen: 0 })
        };
        *ARMED.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = armed;
        Ok(())
    }

    /// Returns how often the process has passed a point.
    pub fn passed(point: Point) -> u64 {
        PASSED[point as usize].load(Ordering::Relaxed)
    }

    pub(super) fn pass(point: Point) -> Result<()> {
        PASSED[point as usize].fetch_add(1, Ordering::Relaxed);
        let mut armed = ARMED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(armed) = armed.as_mut() else { return Ok(()) };
        if armed.point.is_some_and(|p| p != point) {
            return Ok(());
        }
        armed.seen += 1;
        match (armed.seen == armed.at, armed.kill) {
            (false, _) => Ok(()),
            // Nothing is unwound, flushed or closed: what a killed process leaves behind.
            (true, true) => std::process::abort(),
            (true, false) => {
                Err(Error::new(ErrorKind::Failed, "pass a failpoint", "armed to fail")
                    .with("point", point.name()))
            }
        }
    }
}
