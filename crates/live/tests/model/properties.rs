//! The invariants, numbered as in `docs/protocol.md`, and what has to be reachable.

use restow_live::{Rules, Side, protocol::Home};
use stateright::Property;

use crate::actor::{Ending, Phase};
use crate::machine::{Machine, Mirrors, State};
use crate::protocol::{Protocol, Seen};
use crate::state::{NOTHING, Status, Store, WithoutControl};
use crate::truth::Wrong;

pub(crate) const I1: &str = "I1 at most one store is live";
pub(crate) const I2: &str = "I2 writes form one chain";
pub(crate) const I3: &str = "I3 both stores tell the home, and it holds the last write";
pub(crate) const I4: &str = "I4 what was answered is in the home's past";
pub(crate) const I5: &str = "I5 a read is one moment, not before it began";
pub(crate) const I6: &str = "I6 under policy both the source holds what was answered";
pub(crate) const I7: &str = "I7 one generation is one content";
pub(crate) const I8: &str = "I8 no term is used twice";
pub(crate) const I9: &str = "I9 a store only goes forward";
pub(crate) const I10: &str = "I10 what is sealed was staged right";
pub(crate) const I11: &str = "I11 no control record goes from an open store";
pub(crate) const I13: &str = "I13 a write is made once, and a failed one never";
pub(crate) const I14: &str = "I14 no older epoch moves what a newer one moved";
pub(crate) const I15: &str = "I15 nobody is left with a unit that cannot be written";
pub(crate) const I16: &str = "I16 a seal leaves at most one lap";
pub(crate) const I17: &str = "I17 a difference is damage";

/// What never fails.
pub(crate) const INVARIANTS: [&str; 16] =
    [I1, I2, I3, I4, I5, I6, I7, I8, I9, I10, I11, I13, I14, I15, I16, I17];

pub(crate) const MOVED: &str = "a move completes";
pub(crate) const MOVED_BACK: &str = "a rollback completes";
pub(crate) const ABORTED: &str = "an abort completes";
pub(crate) const SETTLED: &str = "all come to an end";

/// What has to be reachable in some configuration.
pub(crate) const GOALS: [&str; 4] = [MOVED, MOVED_BACK, ABORTED, SETTLED];

pub(crate) fn all() -> Vec<Property<Machine>> {
    let always = Property::<Machine>::always;
    let sometimes = Property::<Machine>::sometimes;
    vec![
        always(I1, |_, s| !(is_live(s, Side::Source) && is_live(s, Side::Target))),
        always(I2, |_, s| !s.truth.has(Wrong::Fork)),
        always(I3, |_, s| {
            authority(s).is_some_and(|(seq, store)| {
                seq == s.truth.last_seq() && store.records == s.truth.last()
            })
        }),
        always(I4, |_, s| authority(s).is_some_and(|(seq, _)| seq >= s.truth.answered)),
        always(I5, |_, s| !s.truth.has(Wrong::StaleRead)),
        always(I6, |machine, s| {
            let holds = s.source.is_legacy() || s.source.generation().seq >= s.truth.answered;
            machine.world.mirrors != Mirrors::Both || holds
        }),
        always(I7, |_, s| Side::BOTH.into_iter().all(|side| holds_its_generation(s, side))),
        always(I8, |_, s| !s.truth.has(Wrong::TermTwice)),
        always(I9, |_, s| !s.truth.has(Wrong::CopyBackward)),
        always(I10, |_, s| !s.truth.has(Wrong::SealedUnchecked)),
        always(I11, |_, s| !s.truth.has(Wrong::GoneUnretired)),
        always(I13, |_, s| !s.truth.has(Wrong::WrittenTwice) && failed_are_not_made(s)),
        always(I14, |_, s| !s.truth.has(Wrong::OlderEpoch)),
        always(I15, |_, s| !ends(s, Ending::Stuck) && is_writable(s)),
        always(I16, |_, s| !s.truth.has(Wrong::LongLap)),
        always(I17, |_, s| s.damaged || !ends(s, Ending::Alarmed)),
        sometimes(MOVED, |_, s| is_live(s, Side::Target)),
        sometimes(MOVED_BACK, |_, s| is_live(s, Side::Source) && s.target.is(Status::Sealed)),
        sometimes(ABORTED, |_, s| {
            let both = [s.source, s.target];
            let live = both.iter().find(|store| store.is(Status::Live));
            let fenced = both.iter().find(|store| store.is(Status::Copy));
            live.zip(fenced).is_some_and(|(live, fenced)| {
                live.generation().term == fenced.generation().term + 1
            })
        }),
        sometimes(SETTLED, |_, s| s.actors.iter().all(|a| a.phase == Phase::Over(Ending::Done))),
    ]
}

fn ends(state: &State, ending: Ending) -> bool {
    state.actors.iter().any(|actor| actor.phase == Phase::Over(ending))
}

fn is_own(state: &State, side: Side) -> bool {
    state.at(side).control.is_some_and(|control| control.store == side)
}

fn is_live(state: &State, side: Side) -> bool {
    state.at(side).is(Status::Live) && is_own(state, side)
}

/// The home as both stores tell it at one moment, with the seq of what it holds.
fn authority(state: &State) -> Option<(u8, Store)> {
    let own = |side| match state.at(side).control {
        Some(_) if !is_own(state, side) => Store::new(WithoutControl::Empty, NOTHING),
        _ => *state.at(side),
    };
    let seen = Seen { source: own(Side::Source), target: own(Side::Target) };
    match (Protocol { rules: Rules::default(), is_large: false }).home(&seen) {
        Home::At(side) | Home::Sealed(side) => {
            Some((seen.at(side).generation().seq, *seen.at(side)))
        }
        Home::Legacy(side) => Some((state.truth.first_seq(), *seen.at(side))),
        Home::Unclear => None,
    }
}

/// Whether the home takes writes, or whoever meets it sealed can make one of both stores do so.
fn is_writable(state: &State) -> bool {
    let is_nowhere = Side::BOTH.into_iter().all(|side| state.at(side).control.is_none());
    state.source.without != WithoutControl::Retired || is_live(state, Side::Target) || is_nowhere
}

fn holds_its_generation(state: &State, side: Side) -> bool {
    let store = state.at(side);
    !is_own(state, side) || state.truth.at(store.generation().seq) == Some(store.records)
}

fn failed_are_not_made(state: &State) -> bool {
    state.actors.iter().all(|actor| match actor.phase {
        Phase::Over(Ending::Failed(op)) => !state.truth.ops.contains(&op),
        _ => true,
    })
}
