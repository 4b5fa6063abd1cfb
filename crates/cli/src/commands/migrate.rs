//! `restow migrate`: units move while the application reads and writes them through restow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use restow::live::{Config, Errand, Migration, Phase, Router, RouterOptions, Standings, Swept};
use restow::{Clock, Error, ErrorKind, Result};
use serde_json::json;

use super::environment;
use crate::args::{Migrate, MigrateAt, Mover, Rollout, Start};
use crate::exit::Exit;
use crate::out::Out;
use crate::words::{count, counted, place};

pub(super) async fn run(args: &Migrate, clock: Arc<dyn Clock>, out: &Out) -> Result<Exit> {
    match args {
        Migrate::Start(args) => start(args, clock, out).await,
        Migrate::Status(args) => status(args, clock, out).await,
        Migrate::Rollout(args) => rollout(args, clock, out).await,
        Migrate::Rollback(args) => set(&args.at, 0, args, clock, out).await,
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

async fn status(args: &MigrateAt, clock: Arc<dyn Clock>, out: &Out) -> Result<Exit> {
    let migration = Migration::read(&args.config)?;
    let pair = migration.look(&environment()).await?.ok_or_else(|| not_begun(&migration))?;
    let config = pair.config().await?.config;
    let options = RouterOptions::new(seed(&clock), clock);
    let router = Router::with_config(pair, config.clone(), options);
    let standings = router.standings().await?;
    print(&migration, &config, &standings, out);
    Ok(if standings.damaged == 0 { Exit::Ok } else { Exit::Unclean })
}

fn print(migration: &Migration, config: &Config, standings: &Standings, out: &Out) {
    let Standings { units, at_source, at_target, sealed, staging, .. } = *standings;
    out.object(&json!({
        "event": "migration",
        "migration": migration.name,
        "phase": config.phase.name(),
        "share": config.share,
        "epoch": config.epoch,
        "units": units,
        "at_source": at_source,
        "at_target": at_target,
        "sealed": sealed,
        "staging": staging,
        "misplaced": standings.misplaced,
        "mirror_lag": standings.mirror_lag,
        "damaged": standings.damaged,
        "rollback_ready": standings.rollback_ready(),
    }));
    let share = f64::from(config.share) / 100.0;
    let phase = match config.phase {
        Phase::Move => format!("move {share} %"),
        phase => phase.name().to_string(),
    };
    let (source, target) = (migration.source.to_string(), migration.target.to_string());
    out.line(format!("{}: phase {phase}, epoch {}", migration.name, config.epoch));
    out.line(format!("{}\n  → {}", place(&source), place(&target)));
    let moving = sealed + staging;
    out.line(format!(
        "{}: {} at the source, {} at the target, {} on their way",
        counted(units, "unit", "units"),
        count(at_source),
        count(at_target),
        count(moving),
    ));
    if standings.misplaced > 0 {
        out.line(format!("{} still to move", counted(standings.misplaced, "unit", "units")));
    }
    match standings.rollback_ready() {
        true => out.line("rollback_ready: all that is at the target is at the source as well"),
        false => out.line(format!("mirror_lag: {}", count(standings.mirror_lag))),
    }
    if standings.damaged > 0 {
        let damaged = counted(standings.damaged, "unit", "units");
        out.line(format!("damaged: {damaged}, with two homes or two contents of one write"));
    }
}

async fn rollout(args: &Rollout, clock: Arc<dyn Clock>, out: &Out) -> Result<Exit> {
    set(&args.mover.at, args.share, &args.mover, clock, out).await
}

/// Changes how many buckets live at the target, and moves what is elsewhere.
async fn set(
    at: &MigrateAt,
    share: u16,
    args: &Mover,
    clock: Arc<dyn Clock>,
    out: &Out,
) -> Result<Exit> {
    let migration = Migration::read(&at.config)?;
    if migration.look(&environment()).await?.is_none() {
        return Err(not_begun(&migration));
    }
    let seed = seed(&clock);
    let pair = migration.open(&environment(), &seed).await?;
    let held = pair.config().await?;
    if held.config.phase == Phase::Off {
        return Err(not_begun(&migration));
    }
    let asked = Config { phase: Phase::Move, share, ..held.config.clone() };
    let is_set = held.config.phase == Phase::Move && held.config.share == share;
    let options = RouterOptions::new(seed, clock);
    let router = Router::with_config(pair, held.config.clone(), options);
    if !is_set {
        gate(&router, share > held.config.share).await?;
        router.pair().configure(&held, asked).await?;
    }
    let config = router.refresh().await?;
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_interrupt(&stop);
    let swept = router.sweep(Errand::Place, usize::from(args.jobs.unwrap_or(2)), &stop).await?;
    told(&swept, out);
    let standings = router.standings().await?;
    print(&migration, &config, &standings, out);
    Ok(match (swept.stopped, swept.failed + standings.damaged) {
        (true, _) => Exit::Interrupted,
        (false, 0) => Exit::Ok,
        (false, _) => Exit::Unclean,
    })
}

/// More units move only while nothing is wrong with those that have.
async fn gate(router: &Router, is_more: bool) -> Result<()> {
    let standings = router.standings().await?;
    if !is_more || standings.damaged == 0 {
        return Ok(());
    }
    let message = "units are damaged, so that no more of them move; see `migrate status`";
    let error = Error::new(ErrorKind::Refused, "raise the share", message);
    Err(error.with("damaged", standings.damaged.to_string()))
}

fn told(swept: &Swept, out: &Out) {
    out.object(&json!({
        "event": "swept",
        "moved": swept.moved,
        "stay": swept.stay,
        "failed": swept.failed,
        "stopped": swept.stopped,
        "failures": swept.failures.iter().map(|(unit, error)| json!({
            "unit": unit.as_str(), "why": error.to_string(),
        })).collect::<Vec<_>>(),
    }));
    out.line(format!("moved {}", counted(swept.moved, "unit", "units")));
    for (unit, error) in &swept.failures {
        out.line(format!("  stays · {unit}: {error}"));
    }
    let named = swept.failures.len() as u64;
    if swept.failed > named {
        out.line(format!("  … and {} more", count(swept.failed - named)));
    }
}

pub(super) fn not_begun(migration: &Migration) -> Error {
    let message = "the migration has not begun; begin it with `migrate start`";
    Error::new(ErrorKind::NotFound, "find a migration", message).with("migration", &migration.name)
}

/// What this process names things after.
pub(super) fn seed(clock: &Arc<dyn Clock>) -> String {
    format!("{:x}-{:x}", clock.wall().as_nanos(), std::process::id())
}

fn stop_on_interrupt(stop: &Arc<AtomicBool>) {
    let asked = restow::Stop::default();
    super::stop_on_interrupt(asked.clone());
    let stop = Arc::clone(stop);
    tokio::spawn(async move {
        asked.stopped().await;
        stop.store(true, Ordering::Relaxed);
    });
}
