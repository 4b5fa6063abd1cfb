//! `restow migrate rollout`, `rollback`, `pause` and `resume`: how many units live at the target.

use std::sync::Arc;

use restow::live::{Config, Errand, GateOptions, Phase};
use restow::{Clock, Error, ErrorKind, Result};

use super::{Begun, print_swept, status, stop_on_interrupt};
use crate::args::{MigrateAt, Mover};
use crate::exit::Exit;
use crate::out::Out;

/// Changes how many buckets live at the target, and moves what is elsewhere.
pub(super) async fn set(
    at: &MigrateAt,
    share: u16,
    args: &Mover,
    clock: Arc<dyn Clock>,
    out: &Out,
) -> Result<Exit> {
    let mut begun = Begun::open(at, &clock).await?;
    begun.refuse_ended("change the share")?;
    let was = begun.config().clone();
    if was.paused {
        let message = "the migration is paused; let it go on with `migrate resume`";
        let error = Error::new(ErrorKind::Refused, "change the share", message);
        return Err(error.with("migration", begun.migration.name));
    }
    if (was.phase, was.share) != (Phase::Move, share) {
        if share > was.share {
            let options = GateOptions::default();
            begun.router.gate(&options).await?.pass(&was, &options)?;
        }
        begun.configure(Config { phase: Phase::Move, share, ..was }).await?;
    }
    let stop = stop_on_interrupt();
    let workers = usize::from(args.jobs.unwrap_or(2));
    let swept = begun.router.sweep(Errand::Place, workers, &stop).await?;
    print_swept(&swept, out);
    let standings = begun.router.standings().await?;
    status::print(&begun.migration, &begun.router.config(), &standings, out);
    Ok(match (swept.stopped, swept.failed + standings.damaged) {
        (true, _) => Exit::Interrupted,
        (false, 0) => Exit::Ok,
        (false, _) => Exit::Unclean,
    })
}

/// Lets movers rest, or go on; clients read and write all the while.
pub(super) async fn pause(
    at: &MigrateAt,
    paused: bool,
    clock: Arc<dyn Clock>,
    out: &Out,
) -> Result<Exit> {
    let mut begun = Begun::open(at, &clock).await?;
    begun.refuse_ended("pause a migration")?;
    if begun.config().paused != paused {
        let was = begun.config().clone();
        begun.configure(Config { paused, ..was }).await?;
    }
    let standings = begun.router.standings().await?;
    status::print(&begun.migration, begun.config(), &standings, out);
    match paused {
        true => out.line("movers stop behind the unit that they are at; clients go on"),
        false => out.line("movers may go on: run `migrate rollout` or `migrate rollback` again"),
    }
    Ok(Exit::Ok)
}
