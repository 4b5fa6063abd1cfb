//! `restow migrate`: units move while the application reads and writes them through restow.

mod ending;
mod lost;
mod plan;
mod rollout;
mod status;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use restow::live::{
    Config, Errand, GateOptions, Held, Migration, Pair, Phase, Router, RouterOptions, Swept,
};
use restow::model::UnitId;
use restow::{Clock, Error, ErrorKind, Result};
use serde_json::{Value, json};

use super::environment;
use crate::args::{Migrate, MigrateAt, Start};
use crate::exit::Exit;
use crate::out::Out;
use crate::words::counted;

pub(super) async fn run(args: &Migrate, clock: Arc<dyn Clock>, out: &Out) -> Result<Exit> {
    match args {
        Migrate::Plan(args) => plan::run(args, clock, out).await,
        Migrate::Start(args) => start(args, clock, out).await,
        Migrate::Status(args) => status::run(args, clock, out).await,
        Migrate::Shadow(args) => rollout::shadow(args, clock, out).await,
        Migrate::Rollout(args) => {
            let (p99_max, failed_max) = (args.max_p99, args.max_errors);
            let gate = GateOptions { p99_max, failed_max, ..GateOptions::default() };
            rollout::set((args.share, gate), &args.mover, clock, out).await
        }
        Migrate::Pause(args) => rollout::pause(args, true, clock, out).await,
        Migrate::Resume(args) => rollout::pause(args, false, clock, out).await,
        Migrate::Rollback(args) if args.target_lost => lost::rollback(args, clock, out).await,
        Migrate::Rollback(args) => {
            rollout::set((0, GateOptions::default()), &args.mover, clock, out).await
        }
        Migrate::Complete(args) => ending::complete(args, clock, out).await,
        Migrate::Cancel(args) => ending::cancel(args, clock, out).await,
        Migrate::Cleanup(args) => ending::clean_up(args, clock, out).await,
    }
}

async fn start(args: &Start, clock: Arc<dyn Clock>, out: &Out) -> Result<Exit> {
    let migration = Migration::read(&args.at.config)?;
    if args.confirm.as_deref() != Some(&*migration.name) {
        let message = "from now on every client has to read and write through restow; what another \
                       one writes is lost when its thread moves. When that is so, confirm it with \
                       --confirm and the migration's name";
        let error = Error::new(ErrorKind::Refused, "start a migration", message);
        return Err(error.with("migration", migration.name));
    }
    let pair = migration.open(&environment(), &seed(&clock)).await?;
    let held = pair.config().await?;
    if held.config.phase > Phase::Off {
        let message = "the migration was started before; look at it with `migrate status`";
        let error = Error::new(ErrorKind::Refused, "start a migration", message);
        return Err(error.with("phase", held.config.phase.name()));
    }
    let begins = Config { phase: Phase::Aware, ..migration.begins() };
    let held = pair.configure(&held, begins).await?;
    out.object(&json!({ "event": "started", "migration": migration.name,
        "epoch": held.config.epoch }));
    out.line(format!(
        "started {}: clients may write control records, nothing moves yet",
        migration.name
    ));
    Ok(Exit::Ok)
}

/// A migration that has begun, opened to be changed.
struct Begun {
    migration: Migration,
    held: Held,
    router: Router,
}

impl Begun {
    async fn open(at: &MigrateAt, clock: &Arc<dyn Clock>) -> Result<Self> {
        let migration = Migration::read(&at.config)?;
        looked_at(&migration, clock).await?;
        let seed = seed(clock);
        let pair = migration.open(&environment(), &seed).await?;
        let held = pair.config().await?;
        if held.config.phase == Phase::Off {
            return Err(not_begun(&migration));
        }
        let router = router(pair, &held.config, clock);
        Ok(Self { migration, held, router })
    }

    fn config(&self) -> &Config {
        &self.held.config
    }

    /// Changes the configuration, and goes by it.
    async fn configure(&mut self, now: Config) -> Result<()> {
        self.held = self.router.pair().configure(&self.held, now).await?;
        self.router.refresh().await.map(drop)
    }

    /// Refuses what is too late for a migration that was completed or cancelled.
    fn refuse_ended(&self, operation: &'static str) -> Result<()> {
        if self.config().phase.ends_at().is_none() {
            return Ok(());
        }
        let message = "the migration was completed or cancelled, and there is no way back";
        let error = Error::new(ErrorKind::Refused, operation, message);
        Err(error.with("phase", self.config().phase.name()))
    }
}

/// Joins a migration's stores to look at them; a target that was given up for lost is left out.
pub(super) async fn looked_at(migration: &Migration, clock: &Arc<dyn Clock>) -> Result<Pair> {
    match migration.look(&environment()).await {
        Ok(Some(pair)) => Ok(pair),
        looked => {
            if lost::has_begun(migration).await? {
                let alone = migration.open_alone(&environment(), &seed(clock)).await?;
                if alone.config().await?.config.lost {
                    return Ok(alone);
                }
            }
            looked?.ok_or_else(|| not_begun(migration))
        }
    }
}

/// Makes a router that goes by a configuration.
fn router(pair: Pair, config: &Config, clock: &Arc<dyn Clock>) -> Router {
    Router::with_config(pair, config.clone(), RouterOptions::new(seed(clock), clock.clone()))
}

fn print_swept(errand: Errand, swept: &Swept, out: &Out) {
    let (event, done) = match errand {
        Errand::Copy(_) => ("copied", "copied"),
        Errand::Place | Errand::Keep(_) => ("swept", "moved"),
    };
    out.object(&json!({
        "event": event,
        done: swept.moved,
        "stay": swept.stay,
        "failed": swept.failed,
        "stopped": swept.stopped,
        "failures": failures(&swept.failures),
    }));
    out.line(format!("{done} {}", counted(swept.moved, "unit", "units")));
    out.first_of(swept.failed, &swept.failures, |(unit, error)| format!("stays · {unit}: {error}"));
}

/// Names units with what is in the way of each.
fn failures(units: &[(UnitId, Error)]) -> Vec<Value> {
    let mut named = Vec::with_capacity(units.len());
    for (unit, error) in units {
        named.push(json!({ "unit": unit.as_str(), "why": error.to_string() }));
    }
    named
}

pub(super) fn not_begun(migration: &Migration) -> Error {
    let message = "the migration has not begun; begin it with `migrate start`";
    Error::new(ErrorKind::NotFound, "find a migration", message).with("migration", &migration.name)
}

/// What this process names things after.
pub(super) fn seed(clock: &Arc<dyn Clock>) -> String {
    format!("{:x}-{:x}", clock.wall().as_nanos(), std::process::id())
}

/// Returns what says that a sweep is to stop, once Ctrl-C was pressed.
fn stop_on_interrupt() -> Arc<AtomicBool> {
    let asked = restow::Stop::default();
    super::stop_on_interrupt(asked.clone());
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = Arc::clone(&stop);
    tokio::spawn(async move {
        asked.stopped().await;
        stopping.store(true, Ordering::Relaxed);
    });
    stop
}
