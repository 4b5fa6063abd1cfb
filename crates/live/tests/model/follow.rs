//! The real router beside the model: random schedules of the model, followed step by step on two
//! memory stores. After every turn each actor waits where the model says, and the stores hold what
//! the model's hold.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use restow_live::config::{Acknowledge, Config, Phase as Phases};
use restow_live::protocol::{Goal, Protocol as Decisions};
use restow_live::{Change, Limits, Pair, Router, RouterOptions, Rule, Rules, Side, Step, Watch};
use restow_model::{Body, Dialect, Digest, Key, Record, UnitId};
use restow_store::clock::ManualClock;
use restow_store::memory::MemoryStore;
use restow_store::{Expect, Op, Selection, View};
use stateright::Model;
use tokio::sync::{Semaphore, mpsc};

use crate::actor::{Phase, Role, Spec};
use crate::configurations::{self, Setup};
use crate::machine::{Machine, Mirrors, State, Turn};
use crate::seed;
use crate::state::Store;

/// Configurations whose every turn the router can take: no damage, no lost answers, no giving up.
const FOLLOWED: &[Setup] = &[
    configurations::two_movers,
    configurations::there_and_back,
    configurations::large,
    configurations::reading,
    configurations::mirror_one,
    configurations::reading_mirror,
    configurations::mirror_both,
    configurations::given_up,
    configurations::shadowed,
    configurations::trimmed,
    configurations::trimmed_there,
    configurations::stale_epoch,
];

/// How many schedules of each configuration.
const SCHEDULES: u64 = 2000;
/// How many turns a schedule has at most.
const TURNS_MAX: usize = 160;

/// The decisions that are the router's own; the other rules are the stores' to keep, and the
/// conformance suite's to check.
const DECIDED: &[Rule] = &[
    Rule::AdoptionCounts,
    Rule::JournalWithoutGap,
    Rule::VerifyBeforeSeal,
    Rule::SmallLapBeforeSeal,
    Rule::LastLapFirst,
    Rule::ActivationRaisesTerm,
    Rule::AnyoneAborts,
    Rule::FenceBeforeReopen,
    Rule::FenceRaisesTerm,
    Rule::ReopenRaisesTerm,
    Rule::EpochOnlyRises,
];

/// What an actor waits to do.
type Waits = Option<(Step, Side)>;

/// Holds an actor back before each step, and says where it waits.
#[derive(Debug)]
struct Gate {
    index: usize,
    waits: mpsc::UnboundedSender<(usize, Waits)>,
    turn: Semaphore,
}

#[async_trait]
impl Watch for Gate {
    async fn before(&self, step: Step, at: Side, _: &UnitId) {
        let _ = self.waits.send((self.index, Some((step, at))));
        if let Ok(turn) = self.turn.acquire().await {
            turn.forget();
        }
    }
}

/// A router with its actor, running.
struct Running {
    gate: Arc<Gate>,
    task: tokio::task::JoinHandle<()>,
    waits: Waits,
}

struct Follower {
    machine: Machine,
    stores: [MemoryStore; 2],
    actors: Vec<Running>,
    told: mpsc::UnboundedReceiver<(usize, Waits)>,
    steps: BTreeSet<Step>,
}

fn unit() -> UnitId {
    UnitId::new("unit")
}

fn record(key: usize, value: u8) -> Record {
    Record::new(Key::of("record").int(key as i64).build(), Body::int(i64::from(value)))
}

impl Follower {
    async fn begin(setup: Setup, rules: Rules) -> Self {
        let machine = setup();
        let (source, target) = seed::stores(&machine).await;
        let pair =
            Pair::open("m", (Arc::new(source.clone()), "s"), (Arc::new(target.clone()), "t"));
        let pair = pair.await.expect("two stores");
        let (waits, told) = mpsc::unbounded_channel();
        let mut follower = Self {
            machine,
            stores: [source, target],
            actors: Vec::new(),
            told,
            steps: BTreeSet::new(),
        };
        let promoted_records_max = if follower.machine.world.is_large { 0 } else { u64::MAX };
        for (index, spec) in follower.machine.actors.clone().into_iter().enumerate() {
            let gate = Arc::new(Gate { index, waits: waits.clone(), turn: Semaphore::new(0) });
            let options = RouterOptions {
                protocol: Decisions { rules, lap_records_max: 2, promoted_records_max },
                limits: Limits { batch_records: 1, ..Limits::default() },
                watch: Arc::clone(&gate) as Arc<dyn Watch>,
                clock: Arc::new(ManualClock::default()),
                seed: vec![index as u8],
                shadow_every: 0,
            };
            let config = config_of(&spec, follower.machine.world.mirrors);
            let router = Router::with_config(pair.clone(), config, options);
            let (done, gone) = (waits.clone(), Arc::clone(&gate));
            let task = tokio::spawn(async move {
                act(&router, &spec, index, &gone).await;
                let _ = done.send((index, None));
            });
            follower.actors.push(Running { gate, task, waits: None });
            follower.settle(index).await;
        }
        follower
    }

    /// Waits until an actor waits again, or has ended.
    async fn settle(&mut self, index: usize) {
        loop {
            let (who, waits) = self.told.recv().await.expect("actors that tell where they wait");
            self.actors[who].waits = waits;
            if who == index {
                return;
            }
        }
    }

    async fn take(&mut self, turn: Turn) {
        match turn {
            Turn::Step(index) => {
                let step = self.actors[index].waits.map(|(step, _)| step);
                self.steps.extend(step);
                self.actors[index].gate.turn.add_permits(1);
                self.settle(index).await;
            }
            Turn::Crash(index) => {
                self.actors[index].task.abort();
                self.actors[index].waits = None;
            }
            _ => panic!("a turn that no router takes: {turn:?}"),
        }
    }

    /// Says where router and stores are not as the model has it.
    async fn differs(&self, state: &State) -> Option<String> {
        for (index, actor) in state.actors.iter().enumerate() {
            let first = self.machine.first(index, actor.task);
            let expected = match (self.machine.actors[index].role, actor.phase) {
                (_, Phase::Over(_)) => None,
                (Role::Trimmer(at), _) => Some((Step::Trim, at)),
                (_, Phase::Act(plan)) => Some((plan.step, plan.at)),
                (_, Phase::Other(_) | Phase::OtherHalf(..)) => Some((Step::Look, first.other())),
                _ => Some((Step::Look, first)),
            };
            let waits = self.actors[index].waits;
            if waits != expected {
                let name = self.machine.actors[index].name;
                return Some(format!("{name} waits for {waits:?}, not for {expected:?}"));
            }
        }
        for (side, store) in Side::BOTH.into_iter().zip(&self.stores) {
            let (is, should) = (held(store).await, modelled(state.at(side)));
            if is != should {
                return Some(format!("the {side} holds {is:?}, not {should:?}"));
            }
        }
        None
    }
}

/// The configuration that a client or mover goes by.
fn config_of(spec: &Spec, mirrors: Mirrors) -> Config {
    let phase = if spec.first == Side::Target { Phases::Full } else { Phases::Aware };
    let epoch = match spec.role {
        Role::Mover(mover) => mover.epoch.into(),
        _ => 0,
    };
    let is_both = mirrors == Mirrors::Both;
    let acknowledge = if is_both { Acknowledge::Both } else { Acknowledge::One };
    let mirrors = mirrors != Mirrors::None;
    Config { epoch, phase, acknowledge, mirrors, ..Config::default() }
}

/// Does through a router what the model's actor does; it ends as that one does.
async fn act(router: &Router, spec: &Spec, index: usize, gate: &Gate) {
    match spec.role {
        Role::Writer(writer) => {
            for (made, keys) in writer.keys.iter().enumerate() {
                let op = index as u8 * 2 + made as u8 + 1;
                drop(router.write(&unit(), change(op, *keys)).await);
            }
        }
        Role::Reader => drop(router.read(&unit(), &Selection::all()).await),
        Role::Mover(mover) => {
            let to = mover.from.other();
            drop(match mover.goal {
                Goal::Replica => router.copy_to(&unit(), to).await,
                _ => router.move_to(&unit(), to).await,
            });
        }
        Role::Trimmer(at) => {
            gate.before(Step::Trim, at, &unit()).await;
            drop(router.pair().store(at).trim(unit(), u64::MAX).await);
        }
        Role::Closer(_) | Role::Forcer | Role::Unaware { .. } => {}
    }
}

/// A write of the model's: every entry has two records, as one lap has.
fn change(op: u8, keys: u8) -> Change {
    let put = |key: &usize| Op::Put { record: record(*key, op), expect: Expect::Any };
    let keys: Vec<usize> = (0..2).filter(|key| keys & (1 << key) != 0).collect();
    let ops: Vec<Op> = keys.iter().cycle().take(2).map(put).collect();
    Change { dialect: Dialect::Any, ops, op_id: Some(Digest::of(&[op])) }
}

/// What a store holds, as far as the model knows of it.
type Holds = (Option<(String, u64, u64, u64)>, [u8; 2], Option<[u8; 2]>);

async fn held(store: &MemoryStore) -> Holds {
    let (control, records) = seed::read(store, Selection::all()).await;
    let Some(control) = control else { return (None, records, None) };
    let staged = match control.staged() {
        Some(token) => {
            let view = View::Staged(token.clone());
            Some(seed::read(store, Selection { view, ..Selection::all() }).await.1)
        }
        None => None,
    };
    let standing = restow_live::view::Standing::of(&control);
    let restow_model::Generation { term, seq } = standing.generation;
    let status = match standing.status {
        restow_live::view::Status::Staging(staging) => {
            use restow_live::view::Filled;
            let progress = match staging.progress {
                Filled::Partly | Filled::Wholly => "copying",
                Filled::Claimed(_) => "claimed",
                Filled::Verified => "verified",
            };
            format!("staging from {}, {progress}", staging.base)
        }
        other => format!("{other:?}").to_lowercase(),
    };
    (Some((status, term, seq, standing.epoch)), records, staged)
}

fn modelled(store: &Store) -> Holds {
    let control = store.control.map(|control| {
        use crate::state::{Progress, Status};
        let status = match control.status {
            Status::Staging(staging) => {
                let progress = match staging.progress {
                    Progress::Copied(_) => "copying",
                    Progress::Claimed(_) => "claimed",
                    Progress::Verified => "verified",
                };
                format!("staging from {}, {progress}", staging.base)
            }
            other => format!("{other:?}").to_lowercase(),
        };
        let generation = control.generation;
        (status, generation.term.into(), generation.seq.into(), control.epoch.into())
    });
    let staged = store.staging().and(store.staged);
    (control, store.records, staged)
}

/// Follows one schedule; returns the steps taken, or where the router went another way.
async fn follow(setup: Setup, rules: Rules, seed: u64) -> Result<BTreeSet<Step>, String> {
    let mut follower = Follower::begin(setup, rules).await;
    let mut state = follower.machine.init_states().remove(0);
    let (mut random, mut taken) = (seed::Random::new(seed), Vec::new());
    // Some actors are fast and some are slow, so that each also meets what is rare.
    let haste: Vec<u64> = state.actors.iter().map(|_| 1 << random.below(6)).collect();
    for _ in 0..TURNS_MAX {
        let mut turns = Vec::new();
        follower.machine.actions(&state, &mut turns);
        turns.retain(|turn| match turn {
            Turn::Step(_) => true,
            // Crashes are rare: most of a schedule lies behind those that do not happen.
            Turn::Crash(_) => random.below(40) == 0,
            _ => false,
        });
        if turns.is_empty() {
            break;
        }
        let weight = |turn: &Turn| match turn {
            Turn::Step(index) => haste[*index],
            _ => 1,
        };
        let mut at = random.below(turns.iter().map(weight).sum());
        let turn = turns.iter().copied().find(|turn| {
            let is_it = at < weight(turn);
            at = at.saturating_sub(weight(turn));
            is_it
        });
        let turn = turn.expect("a turn within the weights");
        let (Turn::Step(who) | Turn::Crash(who)) = turn else { unreachable!("{turn:?}") };
        let name = follower.machine.actors[who].name;
        taken.push(match (turn, follower.actors[who].waits) {
            (Turn::Step(_), Some((step, at))) => format!("{name}: {step} at {at}"),
            _ => format!("{name}: crashes"),
        });
        state = follower.machine.next_state(&state, turn).expect("a turn that was offered");
        follower.take(turn).await;
        if let Some(how) = follower.differs(&state).await {
            return Err(format!(
                "{}, seed {seed}: {how}\n{}",
                follower.machine.name,
                taken.join("\n")
            ));
        }
    }
    for actor in &follower.actors {
        actor.task.abort();
    }
    Ok(follower.steps)
}

/// The router takes every step that the model takes, and the stores hold what the model's hold.
#[tokio::test]
async fn the_router_follows_the_model() {
    let mut steps = BTreeSet::new();
    for setup in FOLLOWED {
        for seed in 0..SCHEDULES {
            match follow(*setup, Rules::default(), seed).await {
                Ok(taken) => steps.extend(taken),
                Err(how) => panic!("{how}"),
            }
        }
    }
    let never = [Step::Close, Step::Mark, Step::Retire, Step::Purge, Step::Force];
    let left: Vec<_> = Step::ALL.into_iter().filter(|step| !steps.contains(step)).collect();
    assert_eq!(left, never, "steps that no schedule came to");
}

/// A router that lacks one rule of its decisions is found out.
#[tokio::test]
async fn a_router_without_a_rule_goes_astray() {
    for rule in DECIDED {
        let mut is_found = false;
        'search: for seed in 0..SCHEDULES {
            for setup in FOLLOWED {
                if follow(*setup, Rules::without(*rule), seed).await.is_err() {
                    is_found = true;
                    break 'search;
                }
            }
        }
        assert!(is_found, "nothing shows that {rule:?} is missing");
    }
}
