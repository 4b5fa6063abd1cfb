//! `restow migrate complete`, `cancel` and `cleanup`: one store keeps every unit.

use std::path::Path;
use std::sync::Arc;

use restow::backup::{self, CheckOptions};
use restow::live::{Config, Errand, Finished, Phase, Side, Standings};
use restow::{Clock, Error, ErrorKind, Progress, Result};
use serde_json::json;

use super::{Begun, failures, print_swept, stop_on_interrupt};
use crate::args::{Cancel, CleanUp, Complete};
use crate::exit::Exit;
use crate::out::Out;
use crate::words::{count, counted};

const COMPLETE: &str = "complete a migration";

pub(super) async fn complete(args: &Complete, clock: Arc<dyn Clock>, out: &Out) -> Result<Exit> {
    let mut begun = Begun::open(&args.end.mover.at, &clock).await?;
    let name = begun.migration.name.clone();
    let why = "the source is retired, and nothing leads back to it";
    confirmed(COMPLETE, why, &name, args.end.confirm.as_deref())?;
    let is_begun = begun.config().phase == Phase::Cleanup;
    if !is_begun {
        begun.refuse_ended(COMPLETE)?;
        refuse_unready(begun.config(), &begun.router.standings().await?)?;
    }
    // The end itself has raised the epoch by one.
    let epoch = begun.config().epoch - u64::from(is_begun);
    refuse_unlike(&args.backup, &name, epoch).await?;
    if !is_begun {
        let was = begun.config().clone();
        begun.configure(Config { phase: Phase::Cleanup, paused: false, ..was }).await?;
    }
    finish(&begun, &args.end.mover.jobs, Side::Target, out).await
}

/// Refuses to complete before every unit was found at the target, or where some are damaged.
fn refuse_unready(config: &Config, standings: &Standings) -> Result<()> {
    let refused = |message| Error::new(ErrorKind::Refused, COMPLETE, message);
    if standings.damaged > 0 {
        let error = refused("units are damaged; see `migrate status`");
        return Err(error.with("units", standings.damaged.to_string()));
    }
    if config.phase == Phase::Settled {
        return Ok(());
    }
    let message = "not every unit was found at the target; move them with `migrate rollout 100`";
    Err(refused(message).with("phase", config.phase.name()))
}

/// Refuses a backup that is not whole, or not of the migration as it stands.
async fn refuse_unlike(file: &Path, name: &str, epoch: u64) -> Result<()> {
    let progress = Arc::new(Progress::new());
    let (manifest, report) = backup::check(file, &CheckOptions::default(), progress).await?;
    let refused = |message: &str| {
        let error = Error::new(ErrorKind::Refused, COMPLETE, message);
        Err(error.with("backup", file.display().to_string()))
    };
    let Some(manifest) = manifest.filter(|_| report.is_whole()) else {
        return refused("the backup is damaged; see `backup check`, and make another one");
    };
    if manifest.lacking > 0 {
        return refused("the backup lacks units that could not be copied; mend or remove those");
    }
    match manifest.origin {
        Some(origin) if origin.migration == name && origin.epoch == epoch => Ok(()),
        Some(origin) if origin.migration == name => refused(
            "the backup is older than the migration's last change; make another one with `backup \
             create --config`",
        ),
        _ => refused("the backup is not of this migration; make one with `backup create --config`"),
    }
}

pub(super) async fn cancel(args: &Cancel, clock: Arc<dyn Clock>, out: &Out) -> Result<Exit> {
    const CANCEL: &str = "cancel a migration";
    let mut begun = Begun::open(&args.end.mover.at, &clock).await?;
    let name = begun.migration.name.clone();
    let why = "every unit goes back to the source, and the target is retired";
    confirmed(CANCEL, why, &name, args.end.confirm.as_deref())?;
    if begun.config().phase != Phase::Cancelled {
        begun.refuse_ended(CANCEL)?;
        let was = begun.config().clone();
        begun.configure(Config { phase: Phase::Cancelled, paused: false, ..was }).await?;
    }
    finish(&begun, &args.end.mover.jobs, Side::Source, out).await
}

/// Moves what is not where it stays, and retires the other store.
async fn finish(begun: &Begun, jobs: &Option<u16>, at: Side, out: &Out) -> Result<Exit> {
    let stop = stop_on_interrupt();
    let workers = usize::from(jobs.unwrap_or(2));
    let Finished { swept, is_retired } = begun.router.finish(workers, &stop).await?;
    let (name, phase) = (&begun.migration.name, begun.config().phase.name());
    if swept.failed > 0 || !is_retired {
        print_swept(Errand::Keep(at), &swept, out);
    }
    out.object(&json!({ "event": "ended", "migration": name, "phase": phase,
        "keeps": at.name(), "is_retired": is_retired, "epoch": begun.config().epoch }));
    if !is_retired {
        out.line("not ended yet: run the same command again; clients go on meanwhile");
        return Ok(if swept.stopped { Exit::Interrupted } else { Exit::Unclean });
    }
    out.line(format!("{name}: every unit lives at the {at}, the {} is retired", at.other()));
    out.line(format!(
        "let every client use the {at} itself; then `migrate cleanup` removes the rest"
    ));
    Ok(Exit::Ok)
}

pub(super) async fn clean_up(args: &CleanUp, clock: Arc<dyn Clock>, out: &Out) -> Result<Exit> {
    const CLEAN_UP: &str = "clean up a migration";
    let begun = Begun::open(&args.at, &clock).await?;
    let name = begun.migration.name.clone();
    let Some(at) = begun.config().phase.ends_at() else {
        let message = "the migration has not ended; end it with `migrate complete` or `cancel`";
        let error = Error::new(ErrorKind::Refused, CLEAN_UP, message);
        return Err(error.with("phase", begun.config().phase.name()));
    };
    let why = match args.keep_units {
        true => "nothing that the migration keeps beside the units stays",
        false => "what the retired store holds is removed, and what the migration keeps",
    };
    confirmed(CLEAN_UP, why, &name, args.confirm.as_deref())?;
    let stop = stop_on_interrupt();
    let cleaned = begun.router.clean_up(args.keep_units, &stop).await?;
    out.object(&json!({ "event": "cleaned", "migration": name, "removed": cleaned.units,
        "left": cleaned.left, "failures": failures(&cleaned.failures) }));
    let units = counted(cleaned.units, "unit", "units");
    out.line(format!("removed {units} from the {}", at.other()));
    for (unit, error) in &cleaned.failures {
        out.line(format!("  stays · {unit}: {error}"));
    }
    if cleaned.left > 0 {
        out.line(format!("{} left; run the same command again", count(cleaned.left)));
        let is_stopped = stop.load(std::sync::atomic::Ordering::Relaxed);
        return Ok(if is_stopped { Exit::Interrupted } else { Exit::Unclean });
    }
    out.line(format!("{name} is over: the {at} is an ordinary store again"));
    Ok(Exit::Ok)
}

/// Refuses what destroys and was not confirmed by the migration's name.
fn confirmed(operation: &'static str, why: &str, name: &str, given: Option<&str>) -> Result<()> {
    if given == Some(name) {
        return Ok(());
    }
    let message = format!("{why}; add --confirm {name} to say so");
    Err(Error::new(ErrorKind::Refused, operation, message))
}
