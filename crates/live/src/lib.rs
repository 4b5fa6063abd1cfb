//! The live protocol: units move between two stores while an application reads and writes them.
//!
//! Every actor, whether it reads, writes, moves or cleans up, does the same three things again and
//! again: it looks at one store or at both, decides on one [`Step`], and tries that step as one
//! conditional apply at one store. It keeps nothing that it could not read again, so it may stop
//! anywhere and anybody may go on. `docs/protocol.md` tells the protocol in words; the model in
//! this crate's tests checks it.

mod step;

pub use step::Step;
