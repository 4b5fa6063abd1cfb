//! Copies that die: at every named point, and at any moment by a signal. Whatever they leave
//! behind, the source is untouched, no reader sees half a unit, and the next copy finishes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends loudly")]
#![allow(clippy::print_stdout, reason = "a test that fails shows where it was")]
#![allow(clippy::disallowed_methods, reason = "a moment to kill at is told by the clock")]

mod abandoned;
mod backup;
mod beside;
mod kill;
mod origin;
mod points;
mod race;
mod served;
mod server;
mod stores;
mod target;
mod together;
mod world;

/// Ends a test with words where the points are not compiled in: it would pass without dying.
fn needs_failpoints() {
    if !cfg!(feature = "failpoints") {
        panic!(
            "nothing dies without the feature; run `cargo xtask test`, or \
             `cargo test -p restow-cli --test crash --features failpoints`"
        );
    }
}
