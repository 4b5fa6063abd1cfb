//! Requests that are held until a test says so: how it orders what would be a race.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use super::Closed;
use super::message::Seen;

/// Where a request is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It has come in and nothing was done.
    Before,
    /// Everything was done, and nobody was told.
    After,
}

/// The first request that is what a test waits for. Dropping this closes the request.
#[derive(Debug)]
pub struct Hold {
    reached: oneshot::Receiver<Seen>,
    go: oneshot::Sender<()>,
}

impl Hold {
    /// Waits until the request is there.
    ///
    /// Panics where the proxy ends before.
    pub async fn reached(&mut self) -> Seen {
        (&mut self.reached).await.expect("the proxy waits for the request")
    }

    /// Lets the request go on.
    pub fn release(self) {
        // A request whose client has gone needs no answer.
        let _ = self.go.send(());
    }
}

struct Trap {
    moment: Moment,
    when: Box<dyn Fn(&Seen) -> bool + Send>,
    reached: oneshot::Sender<Seen>,
    go: oneshot::Receiver<()>,
}

/// What tests wait for.
#[derive(Default)]
pub(super) struct Traps(Mutex<Vec<Trap>>);

impl Traps {
    pub(super) fn add(
        &self,
        moment: Moment,
        when: impl Fn(&Seen) -> bool + Send + 'static,
    ) -> Hold {
        let (tell, reached) = oneshot::channel();
        let (go, wait) = oneshot::channel();
        let trap = Trap { moment, when: Box::new(when), reached: tell, go: wait };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(trap);
        Hold { reached, go }
    }

    /// Holds a request where a test waits for it.
    pub(super) async fn pass(&self, moment: Moment, seen: &Seen) -> Result<(), Closed> {
        let trap = {
            let mut traps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let found = traps.iter().position(|trap| trap.moment == moment && (trap.when)(seen));
            found.map(|place| traps.remove(place))
        };
        let Some(trap) = trap else { return Ok(()) };
        let _ = trap.reached.send(seen.clone());
        trap.go.await.map_err(|_| Closed)
    }
}

impl fmt::Debug for Traps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traps").finish_non_exhaustive()
    }
}
