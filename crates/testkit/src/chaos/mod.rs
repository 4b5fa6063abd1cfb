//! Chaos: processes read, write and move units while everything around them is killed; then what
//! they were told is held against what the stores say.
//!
//! The conductor ([`conduct`]) starts clients ([`client`]) and movers ([`mover`]), each a process
//! of its own, changes the share of units that are to move, and kills processes and the server. A
//! seed decides who does what, whom the conductor kills and which calls fail; how threads and
//! processes take turns is the machine's. Afterwards [`check`] takes the [`history`] of every
//! process and what the stores themselves tell ([`truth`]).

pub mod check;
#[cfg(test)]
mod check_tests;
pub mod client;
pub mod clock;
pub mod conduct;
pub mod history;
pub mod mover;
mod table;
pub mod truth;
pub mod world;
