//! Which operations make sense, whatever the store holds: what every store refuses at once.

use restow_model::Control;

use crate::{Guard, Stamp, Then, UnitOps};

impl UnitOps {
    /// Says whether only a store that keeps control records can apply the operations.
    pub fn needs_control(&self) -> bool {
        self.control.is_some()
            || matches!(self.guard, Guard::LiveAt { .. } | Guard::Exactly(Stamp::Control(_)))
            || matches!(self.then, Then::Bump | Then::Tombstone)
    }

    /// Says why the operations make no sense, in lower case; the outcome is then `Invalid`.
    pub fn fault(&self) -> Option<&'static str> {
        match &self.control {
            Some(control) => self.fault_with(control),
            None => self.fault_without(),
        }
    }

    fn fault_without(&self) -> Option<&'static str> {
        use {Guard as G, Then as T};
        match (&self.guard, &self.then) {
            (G::Staging(held), T::Stage(named) | T::Promote(named) | T::Discard(named)) => {
                (held != named).then_some("guard and outcome name different staged copies")
            }
            (G::Staging(_), T::Keep) => None,
            (G::Exactly(Stamp::Control(_)) | G::LiveAt { .. }, T::Bump | T::Tombstone) => None,
            (_, T::Bump | T::Tombstone) => {
                Some("only a unit with a control record is written to in this way")
            }
            (G::Exactly(Stamp::Control(_)) | G::LiveAt { .. }, T::Keep) => (!self.ops.is_empty())
                .then_some("records of a unit with a control record change its generation"),
            (G::Exactly(Stamp::Control(_)) | G::LiveAt { .. }, _) => {
                Some("a staged copy beside a control record changes together with it")
            }
            (_, T::Promote(_) | T::Discard(_)) => {
                Some("a staged copy is promoted and discarded under its own token only")
            }
            (_, T::Keep | T::Stage(_)) => None,
        }
    }

    fn fault_with(&self, now: &Control) -> Option<&'static str> {
        let seen = match &self.guard {
            Guard::Exactly(Stamp::Control(seen)) => Some(&**seen),
            Guard::Unmanaged | Guard::Absent | Guard::Exactly(Stamp::Content(_)) => None,
            Guard::LiveAt { .. } | Guard::Staging(_) => {
                return Some("a control record is only replaced exactly as it was seen");
            }
        };
        let (was, is) = (seen.and_then(Control::staged), now.staged());
        let stages = match &self.then {
            Then::Keep => was.is_none() && is.is_none(),
            Then::Stage(token) => is == Some(token),
            Then::Promote(token) | Then::Discard(token) => was == Some(token) && is.is_none(),
            Then::Bump | Then::Tombstone => {
                return Some("a write makes the unit's control record itself");
            }
        };
        if !stages {
            return Some("a control record says staging just while there is a staged copy");
        }
        let held = seen.map(|control| control.generation).unwrap_or_default();
        let goes = match &self.then {
            // What is visible stays.
            Then::Stage(_) => now.generation == held,
            Then::Discard(_) => now.generation >= held,
            Then::Keep if self.ops.is_empty() => now.generation >= held,
            _ => now.generation > held,
        };
        (!goes).then_some("a unit only goes forward, and one generation is one content")
    }
}
