//! The configurations: small worlds, each checked to its last state.

use crate::actor::{Role, Spec, Writer};
use crate::coverage::Coverage;
use crate::machine::{Machine, Mirrors, World};
use crate::protocol::Mover;
use crate::state::{
    BOTH_KEYS, Control, Generation, NOTHING, Records, Status, Store, WithoutControl,
};
use crate::truth::Truth;
use restow_live::protocol::Goal;
use restow_live::{Rules, Side};

use Side::{Source, Target};

/// What the unit holds before anybody writes to it.
const LEGACY: Records = [0x30, 0x31];

/// A kind of world; the actors in it are what its configuration is about.
const QUIET: World = World {
    crashes: true,
    loses_answers: false,
    reads_in_pieces: false,
    damages: false,
    aborts: false,
    is_large: false,
    mirrors: Mirrors::None,
};

/// One write of both records; one of the first; the one after the other.
const BOTH: &[u8] = &[BOTH_KEYS];
const ONE: &[u8] = &[0b01];
const BOTH_THEN_ONE: &[u8] = &[BOTH_KEYS, 0b01];

fn writer(name: &'static str, first: Side, keys: &'static [u8]) -> Spec {
    let writer = Writer { keys, removes: false, retries: true };
    Spec { name, role: Role::Writer(writer), first }
}

fn reader(first: Side) -> Spec {
    Spec { name: "reader", role: Role::Reader, first }
}

fn mover(name: &'static str, from: Side, epoch: u8, token: u8) -> Spec {
    let mover = Mover { from, epoch, token, goal: Goal::Home };
    Spec { name, role: Role::Mover(mover), first: from }
}

fn forward() -> Spec {
    mover("mover", Source, 1, 1)
}

fn another() -> Spec {
    mover("another mover", Source, 1, 2)
}

fn back() -> Spec {
    mover("rollback", Target, 2, 3)
}

/// Makes a replica of the unit, which stays where it lives.
fn copier() -> Spec {
    let mover = Mover { from: Source, epoch: 1, token: 4, goal: Goal::Replica };
    Spec { name: "copier", role: Role::Mover(mover), first: Source }
}

/// Completes the migration to the target.
fn closer() -> Spec {
    let mover = Mover { from: Source, epoch: 3, token: 5, goal: Goal::LastHome };
    Spec { name: "closer", role: Role::Closer(mover), first: Target }
}

fn with(name: &'static str, role: Role) -> Spec {
    Spec { name, role, first: Source }
}

/// A unit that lives in the source and has no control record.
fn legacy(name: &'static str, world: World, actors: Vec<Spec>) -> Machine {
    begin(name, world, actors, Store::new(WithoutControl::Legacy, LEGACY), empty_target(), LEGACY)
}

/// No unit.
fn absent(name: &'static str, world: World, actors: Vec<Spec>) -> Machine {
    let source = Store::new(WithoutControl::Legacy, NOTHING);
    begin(name, world, actors, source, empty_target(), NOTHING)
}

/// A unit whose replica in the target is current.
fn mirrored(name: &'static str, world: World, actors: Vec<Spec>) -> Machine {
    let source = held(WithoutControl::Legacy, Status::Live, Source);
    let target = held(WithoutControl::Empty, Status::Copy, Target);
    begin(name, world, actors, source, target, LEGACY)
}

/// A target that was cloned from the source, control records and all.
fn cloned(name: &'static str, world: World, actors: Vec<Spec>) -> Machine {
    let source = held(WithoutControl::Legacy, Status::Live, Source);
    let target = held(WithoutControl::Empty, Status::Live, Source);
    begin(name, world, actors, source, target, LEGACY)
}

fn empty_target() -> Store {
    Store::new(WithoutControl::Empty, NOTHING)
}

fn held(without: WithoutControl, status: Status, store: Side) -> Store {
    let generation = Generation { term: 1, seq: 1 };
    let control = Some(Control { status, generation, epoch: 0, store });
    Store { control, ..Store::new(without, LEGACY) }
}

fn begin(
    name: &'static str,
    world: World,
    actors: Vec<Spec>,
    source: Store,
    target: Store,
    records: Records,
) -> Machine {
    let truth = Truth::new(records, source.generation().term);
    let (rules, seen) = (Rules::default(), Coverage::default());
    Machine { name, source, target, truth, actors, world, rules, seen }
}

/// A way to set a configuration up.
pub(crate) type Setup = fn() -> Machine;

pub(crate) const ALL: &[Setup] = &[
    two_movers,
    there_and_back,
    large,
    large_and_damaged,
    reading,
    in_pieces,
    mirror_in_pieces,
    mirror_one,
    reading_mirror,
    mirror_both,
    lost_answers,
    damaged,
    given_up,
    one_token,
    created_and_removed,
    completed,
    begun_late,
    shadowed,
    shadowed_wrongly,
    forced,
    clone,
    unaware,
    trimmed,
    trimmed_there,
    stale_epoch,
];

/// Those of which every state fits into memory at once.
pub(crate) const SMALL: &[Setup] = &[
    there_and_back,
    in_pieces,
    mirror_in_pieces,
    reading_mirror,
    mirror_both,
    lost_answers,
    created_and_removed,
    completed,
    begun_late,
    forced,
    clone,
    unaware,
    trimmed_there,
    stale_epoch,
];

/// Two movers and two writers: one write of both records, and one of one.
pub(crate) fn two_movers() -> Machine {
    let one = writer("writer", Source, BOTH);
    let two = writer("another writer", Target, ONE);
    legacy("two movers", QUIET, vec![one, two, forward(), another()])
}

/// A writer of two writes, a move and a rollback.
pub(crate) fn there_and_back() -> Machine {
    let one = writer("writer", Target, BOTH_THEN_ONE);
    let world = World { aborts: true, ..QUIET };
    legacy("there and back", world, vec![one, forward(), back()])
}

/// A unit that becomes a replica before its source is sealed.
pub(crate) fn large() -> Machine {
    let one = writer("writer", Target, BOTH_THEN_ONE);
    let world = World { aborts: true, is_large: true, ..QUIET };
    legacy("large", world, vec![one, forward(), back()])
}

/// As above, with two movers, and a batch or lap that is stored damaged.
pub(crate) fn large_and_damaged() -> Machine {
    let one = writer("writer", Source, BOTH_THEN_ONE);
    let world = World { damages: true, is_large: true, ..QUIET };
    legacy("large and damaged", world, vec![one, forward(), another()])
}

/// A reader beside two writers, a move and a rollback.
pub(crate) fn reading() -> Machine {
    let one = writer("writer", Source, BOTH);
    let two = writer("another writer", Target, ONE);
    legacy("reading", QUIET, vec![one, two, reader(Target), forward(), back()])
}

/// Records are read one by one, by all.
pub(crate) fn in_pieces() -> Machine {
    let one = writer("writer", Source, &[BOTH_KEYS, BOTH_KEYS]);
    let world = World { reads_in_pieces: true, crashes: false, ..QUIET };
    legacy("reading in pieces", world, vec![one, reader(Source), forward()])
}

/// Mirrors are replayed from records that are read one by one.
pub(crate) fn mirror_in_pieces() -> Machine {
    let one = writer("writer", Source, BOTH);
    let two = writer("another writer", Source, BOTH);
    let quiet = World { crashes: false, mirrors: Mirrors::One, ..QUIET };
    let world = World { reads_in_pieces: true, ..quiet };
    mirrored("mirror in pieces", world, vec![one, two, reader(Target)])
}

/// The mirror follows the answer.
pub(crate) fn mirror_one() -> Machine {
    let one = writer("writer", Source, BOTH);
    let two = writer("another writer", Target, ONE);
    let world = World { mirrors: Mirrors::One, ..QUIET };
    mirrored("mirror after the answer", world, vec![one, two, forward(), back()])
}

/// A reader meets mirrors that follow the answer.
pub(crate) fn reading_mirror() -> Machine {
    let one = writer("writer", Source, BOTH_THEN_ONE);
    let world = World { mirrors: Mirrors::One, ..QUIET };
    mirrored("reading mirrors", world, vec![one, reader(Source), forward(), back()])
}

/// The mirror comes before the answer.
pub(crate) fn mirror_both() -> Machine {
    let one = writer("writer", Target, BOTH_THEN_ONE);
    let world = World { mirrors: Mirrors::Both, ..QUIET };
    legacy("mirror before the answer", world, vec![one, forward(), back()])
}

/// Answers are lost, and writes come late.
pub(crate) fn lost_answers() -> Machine {
    let one = writer("writer", Source, BOTH);
    let role = Role::Writer(Writer { keys: ONE, removes: false, retries: false });
    let two = with("writer that gives up", role);
    let world = World { loses_answers: true, aborts: true, crashes: false, ..QUIET };
    mirrored("lost answers", world, vec![one, two, forward()])
}

/// One batch or lap is stored damaged.
pub(crate) fn damaged() -> Machine {
    let one = writer("writer", Source, BOTH_THEN_ONE);
    legacy("damage", World { damages: true, ..QUIET }, vec![one, forward(), another()])
}

/// Movers give up what they have sealed.
pub(crate) fn given_up() -> Machine {
    let one = writer("writer", Source, BOTH);
    legacy("given up", World { aborts: true, ..QUIET }, vec![one, forward(), another()])
}

/// As above, under one token: safety does not rest on it.
pub(crate) fn one_token() -> Machine {
    let one = writer("writer", Source, BOTH);
    let two = mover("another mover", Source, 1, 1);
    legacy("one token", World { aborts: true, ..QUIET }, vec![one, forward(), two])
}

/// One creates the unit, another removes it, while it moves there and back.
pub(crate) fn created_and_removed() -> Machine {
    let one = writer("creator", Source, BOTH);
    let role = Role::Writer(Writer { keys: BOTH, removes: true, retries: true });
    let two = Spec { name: "remover", role, first: Target };
    absent("created and removed", QUIET, vec![one, two, forward(), back()])
}

/// The migration is completed under a writer, a reader, and a rollback that comes too late.
pub(crate) fn completed() -> Machine {
    let one = writer("writer", Source, ONE);
    mirrored("completed", QUIET, vec![one, reader(Target), forward(), back(), closer()])
}

/// A unit begins while the migration is completed.
pub(crate) fn begun_late() -> Machine {
    let one = writer("creator", Source, BOTH);
    let two = writer("another creator", Target, ONE);
    absent("begun late", QUIET, vec![one, two, reader(Source), back(), closer()])
}

/// A replica is made beside a writer and a mover.
pub(crate) fn shadowed() -> Machine {
    let one = writer("writer", Source, BOTH_THEN_ONE);
    let world = World { mirrors: Mirrors::One, ..QUIET };
    legacy("shadowed", world, vec![one, copier(), forward()])
}

/// The replica is stored damaged.
pub(crate) fn shadowed_wrongly() -> Machine {
    let one = writer("writer", Source, BOTH);
    let world = World { damages: true, ..QUIET };
    legacy("shadowed wrongly", world, vec![one, copier(), back()])
}

/// The target is lost, and the source's replica becomes the home.
pub(crate) fn forced() -> Machine {
    let one = writer("writer", Source, BOTH_THEN_ONE);
    let two = writer("another writer", Target, ONE);
    let forcer = with("forcer", Role::Forcer);
    let world = World { mirrors: Mirrors::Both, ..QUIET };
    mirrored("forced", world, vec![one, two, forward(), forcer])
}

/// The target is a clone of the source.
pub(crate) fn clone() -> Machine {
    let one = writer("writer", Target, BOTH);
    let two = writer("another writer", Source, ONE);
    cloned("clone", QUIET, vec![one, two, reader(Target), forward()])
}

/// A client knows nothing of control records.
pub(crate) fn unaware() -> Machine {
    let one = writer("writer", Source, BOTH);
    let old = with("unaware writer", Role::Unaware { key: 0 });
    legacy("unaware", QUIET, vec![one, old, forward()])
}

/// The journal is forgotten while it is needed.
pub(crate) fn trimmed() -> Machine {
    let one = writer("writer", Source, BOTH);
    let two = writer("another writer", Source, ONE);
    let trim = with("trimmer", Role::Trimmer(Source));
    let world = World { loses_answers: true, ..QUIET };
    legacy("trimmed", world, vec![one, two, trim, forward()])
}

/// The journal is forgotten at the new home, so that a rollback has to stage.
pub(crate) fn trimmed_there() -> Machine {
    let one = writer("writer", Target, BOTH_THEN_ONE);
    let trim = with("trimmer", Role::Trimmer(Target));
    mirrored("trimmed there", QUIET, vec![one, trim, forward(), back()])
}

/// A mover of an old configuration beside a rollback.
pub(crate) fn stale_epoch() -> Machine {
    let one = writer("writer", Target, ONE);
    mirrored("stale epoch", QUIET, vec![one, forward(), another(), back()])
}
