//! Shadow reads: what the replica of a unit holds against what its home holds, record by record.

use restow_model::UnitId;
use restow_store::{Content, Result, Selection};

use crate::hand::Hand;
use crate::protocol::Home;
use crate::{Router, Side};

/// So many times a unit may be written while it is compared.
const TRIES: usize = 4;

/// What a comparison of a unit's home with its replica told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// Both hold the same records, under one generation.
    Equal,
    /// They hold different records under one generation, or not what their digests say: damage.
    Differs,
    /// The replica is of an earlier write, or the unit was written to all the time.
    Lags,
    /// There is no replica, or the unit is on its way.
    Alone,
}

impl Router {
    /// Reads a unit in both stores, every byte of it, and compares what was read.
    ///
    /// Nothing is changed, and nobody waits for it.
    pub async fn compare(&self, unit: &UnitId) -> Result<Compared> {
        self.hand(unit).compare(self.wanted(unit)).await
    }
}

impl Hand<'_> {
    async fn compare(&self, first: Side) -> Result<Compared> {
        for _ in 0..TRIES {
            let looks = self.look_at_both(first).await?;
            let Home::At(at) = self.protocol.home(&looks.seen()) else {
                return Ok(Compared::Alone);
            };
            let (home, other) = (looks.at(at), looks.at(at.other()));
            let (Some(control), Some(replica)) = (&home.control, &other.control) else {
                return Ok(Compared::Alone);
            };
            if other.view.staging().is_some() {
                return Ok(Compared::Alone);
            }
            if !other.view.is_replica_of(&home.view) {
                return Ok(Compared::Lags);
            }
            let what = Selection { content: Content::Checked, ..Selection::default() };
            let held = self.sum(at, control, what.clone()).await?;
            let copied = self.sum(at.other(), replica, what).await?;
            let (Some(held), Some(copied)) = (held, copied) else { continue };
            let is_equal = held == copied && held == control.digest && copied == replica.digest;
            return Ok(if is_equal { Compared::Equal } else { Compared::Differs });
        }
        Ok(Compared::Lags)
    }
}
