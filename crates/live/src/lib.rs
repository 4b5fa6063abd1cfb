//! The live protocol: units move between two stores while an application reads and writes them.
//!
//! Every actor, whether it reads, writes, moves or cleans up, does the same three things again and
//! again: it looks at one store or at both, decides on one [`Step`], and tries that step as one
//! conditional apply at one store. It keeps nothing that it could not read again, so it may stop
//! anywhere and anybody may go on. `docs/protocol.md` tells the protocol in words; the model in
//! this crate's tests checks the decisions of [`protocol`] as they stand.

mod combine;
mod compare;
pub mod config;
mod ending;
mod fleet;
mod gate;
mod hand;
mod look;
mod lost;
mod mover;
mod pair;
pub mod protocol;
mod reader;
mod router;
mod rule;
mod shadow;
mod side;
mod standings;
mod step;
mod transfer;
pub mod view;
mod watch;
mod writer;

pub use compare::Compared;
pub use ending::{Cleaned, Finished};
pub use fleet::{Errand, Listed, Swept};
pub use gate::{Gate, GateOptions};
pub use hand::{Limits, OperationIds};
pub use lost::AtRisk;
pub use mover::Moved;
pub use pair::Pair;
pub use router::{Change, Router, RouterOptions};
pub use rule::{Rule, Rules};
pub use shadow::Shadowed;
pub use side::Side;
pub use standings::Standings;
pub use step::Step;
pub use watch::{Unwatched, Watch};
pub use writer::Written;
